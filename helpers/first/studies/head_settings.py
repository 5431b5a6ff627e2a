"""Settings of residual heads, tried on validation: alpha, width, what is learned, what is turned.

Nothing here returns a test score. Whoever has chosen looks at the test part once, by the runs of
the setting that was chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from helpers.first.models.adapters import HeadShape, with_alpha
from helpers.first.studies.adapters import Study, run_arm
from helpers.first.studies.lists import numbers, whole_numbers
from helpers.first.training.head_runs import HeadArm, HeadRun, train_arm
from helpers.first.training.heads import validation_score


def alpha_arms(alphas: str, n_recipes: int) -> dict[float, HeadArm]:
    """Convex residual heads of several alphas, InfoNCE; 1 is a tower, and starts at random."""
    return {
        alpha: HeadArm(
            HeadShape(form="convex", alpha=alpha, zero_init=alpha < 1), n_recipes=n_recipes
        )
        for alpha in numbers(alphas, "alphas")
    }


def width_arms(widths: str, n_recipes: int) -> dict[int, HeadArm]:
    """Residual heads of several bottlenecks, alpha 0.2, InfoNCE."""
    return {
        width: HeadArm(HeadShape(width=width), n_recipes=n_recipes)
        for width in whole_numbers(widths, "widths")
    }


def run_settings(
    study: Study, arms: Mapping[float, HeadArm], *, kept: str = "best"
) -> dict[float, list[HeadRun]]:
    """Every setting with every seed; the learning rate is chosen for each by validation."""
    return {x: run_arm(study, arm, kept=kept) for x, arm in arms.items()}


def scores(
    runs: Mapping[float, Sequence[HeadRun]], *, kept: str = "best"
) -> dict[float, list[float]]:
    """Setting to the validation scores of its seeds."""
    return {x: [run.validation(kept) for run in done] for x, done in runs.items()}


def turned(study: Study, arm: HeadArm, alphas: Sequence[float]) -> dict[float, list[float]]:
    """One training a seed, its dial then turned: alpha to validation scores.

    Interpolating between a frozen and an adapted model after training: Wortsman et al. 2022 do it
    with weights (WiSE-FT), here it is the embeddings that are mixed.
    """
    found: dict[float, list[float]] = {alpha: [] for alpha in alphas}
    for run in run_arm(study, arm):
        heads = train_arm(study.parts, run.arm, groups=study.groups).best
        for alpha in alphas:
            score = validation_score(with_alpha(heads, alpha), study.parts.validation)
            found[alpha].append(score)
    return found


def learned_alpha(study: Study, arm: HeadArm) -> dict[str, float]:
    """Where alpha ends if it is trained: the mean over seeds, for images and for texts."""
    learned = replace(arm, shape=replace(arm.shape, learn_alpha=True))
    done = run_arm(study, learned)
    return {
        side: float(np.mean([run.record["final"][f"{side}_alpha"] for run in done]))
        for side in ("image", "text")
    }


def choice(runs: Mapping[float, Sequence[HeadRun]], name: str) -> tuple[float, pd.DataFrame]:
    """The setting with the best mean validation score, and the table that says so.

    Returns
    -------
    float, DataFrame
        Columns ``name``, ``validation score`` (mean over seeds), ``learning rates``, ``best step``;
        of equal scores the smaller setting wins.
    """
    rows = [
        {
            name: x,
            "validation score": float(np.mean([run.validation() for run in done])),
            "learning rates": ", ".join(
                sorted({f"{r.arm.training.learning_rate:g}" for r in done})
            ),
            "best step": ", ".join(str(run.record["best"]["step"]) for run in done),
        }
        for x, done in sorted(runs.items())
    ]
    frame = pd.DataFrame(rows)
    return float(frame.loc[frame["validation score"].idxmax(), name]), frame
