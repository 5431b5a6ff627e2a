"""The study of lesson 08: heads by kind, loss and number of training recipes."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from helpers.experiment import Experiment
from helpers.grid import Result
from helpers.study import Design, Study
from helpers.topics.heads import effects
from helpers.topics.heads.models import Heads, make_heads, with_alpha
from helpers.topics.heads.training import (
    Features,
    embed,
    mine,
    moved,
    ranks_of,
    score_of,
    second_stage,
    train,
)
from helpers.training.loop import Fitted

TEST = "kitchen"
SHOWN = ("MLP, margin", "MLP, InfoNCE", "residual, InfoNCE", "RLA", "ProLIP")


class Training(Experiment):
    """Trains heads as an arm of the design asks, and ranks the test."""

    @cached_property
    def features(self) -> dict[str, Features]:
        """The embeddings of the sets, computed once."""
        return {name: embed(self.base, one) for name, one in self.sets.items()}

    def fitted(
        self, seed: int, factors: Mapping[str, Any], *, alpha: float | None = None
    ) -> tuple[Heads, Features, Fitted]:
        """Trained heads of an arm, the training items that the seed drew, and how it went."""
        kind, settings = factors["head"], self.design.settings
        heads = make_heads(
            kind, self.base, seed=seed, pull=settings["pull"].get(kind, 0.0),
            alpha=settings["alpha"] if alpha is None else alpha,
        )  # fmt: skip
        drawn = self.features["training"].part(factors["n"], seed)
        options = {k: factors[k] for k in ("loss", "negatives") if k in factors}
        if factors.get("mined"):
            options["mined"] = mine(drawn)
        found = train(
            heads, drawn, self.features["validation"], seed=seed, steps=factors["steps"],
            learning_rate=factors["rate"], **options,
        )  # fmt: skip
        return heads, drawn, found

    def train(self, *, seed: int, **factors: Any) -> Result:
        """Train one arm with one seed and rank the test; without ``head`` the frozen model."""
        if "head" not in factors:
            features = self.features[TEST]
            score = score_of(None, self.features["validation"])
            scores = {"step": [0], "score": [score], "current": [score]}
            frames = {"evaluations": pd.DataFrame(scores)}
            ranks = ranks_of(None, features).assign(test=TEST)
            return Result(ranks, effects.space_of(features, features), frames)
        heads, drawn, found = self.fitted(seed, factors)
        info = {"seconds": found.seconds, "best_step": found.best_step,
                "trainable_parameters": heads.trainable}  # fmt: skip
        if "second_rate" in factors:
            stage = second_stage(
                self.base, heads, drawn.data, self.sets["validation"], seed=seed,
                steps=self.design.settings["second steps"], learning_rate=factors["second_rate"],
            )  # fmt: skip
            found, ranks = stage.fitted, ranks_of(None, stage.features(self.sets[TEST]))
            info |= {"seconds": info["seconds"] + found.seconds, "best_step": found.best_step}
        else:
            ranks = ranks_of(heads, self.features[TEST])
            test = self.features[TEST]
            info |= effects.space_of(test, moved(heads, test))
        frames = {"evaluations": selected_scores(found)}
        info["validation"] = best_score(found)
        if "dial" in factors:
            frames["dial"] = self.dial(seed, factors, heads)
        return Result(ranks.assign(test=TEST), info, frames)

    def dial(self, seed: int, factors: Mapping[str, Any], heads: Heads) -> pd.DataFrame:
        """hit@10 on the second validation over alpha, set before training or after it."""
        shown, rows = self.features["second validation"], []
        for alpha in factors["dial"]:
            trained = self.fitted(seed, factors, alpha=alpha)[0] if alpha else heads
            for how, one in (("set before training", trained), ("set after training", heads)):
                score = score_of(with_alpha(one, alpha), shown)
                rows.append((factors["n"], how, alpha, score))
        return pd.DataFrame(rows, columns=["n", "how", "alpha", "score"])


def best_score(fitted: Fitted) -> float:
    """The validation score of the weights that a training ended with."""
    scores = fitted.evaluations.set_index("step")["score"]
    return float(scores[fitted.best_step])


def selected_scores(fitted: Fitted) -> pd.DataFrame:
    """What gates read: at each evaluation the ``score`` of the weights selected up to there.

    ``current`` is the score of the weights of that step: it falls where heads overfit.
    """
    frame = fitted.evaluations[["step", "score"]]
    frame = frame if fitted.best_step == 0 else frame[frame["step"] > 0]
    return frame.assign(current=frame["score"], score=frame["score"].cummax())


def run_study(design: Design, folder, *, device: str = "cpu") -> Study:
    """Train what the design asks; finished runs in ``folder`` are not trained again."""
    experiment = Training(design, device)
    identity = experiment.identity("helpers.topics.heads.models", "helpers.topics.heads.training")
    return experiment.run(folder, identity)


def by_size(study: Study, design: Design, *, test: str = TEST) -> pd.DataFrame:
    """hit@10 minus zero-shot of the kinds of head in ``SHOWN`` over their training recipes.

    Columns ``n``, ``arm`` (without the number) and ``estimate``: for
    :func:`helpers.report.plots.lines_with_intervals`.
    """
    rows = [
        (factors["n"], kind, study.difference(arm, "zero-shot", test=test))
        for arm, factors in design.arms.items()
        if (kind := arm.rpartition(", ")[0]) in SHOWN
    ]
    return pd.DataFrame(rows, columns=["n", "arm", "estimate"])


def best_alphas(study: Study) -> str:
    """A sentence: the alpha that is best on the second validation, mean over seeds."""
    scores = study.frames["dial"].groupby(["how", "n", "alpha"])["score"].mean()
    found = []
    for (how, n), part in scores.groupby(["how", "n"]):
        alpha = part.idxmax()[-1]
        found.append(f"{how}, {n:,} recipes: {alpha:g} ({part.max():.1%})")
    return f"Best alpha on validation, {'; '.join(found)}."


def rates_on_validation(
    experiment: Training, arms: Mapping[str, Mapping[str, Any]], rates: tuple[float, ...],
    seeds: tuple[int, ...] = (101, 102),
) -> pd.DataFrame:  # fmt: skip
    """The best validation score of each arm and learning rate, mean over pilot seeds.

    Seeds of a pilot are none of the study's; the test is never read.
    """
    rows = []
    for arm, factors in arms.items():
        for rate in rates:
            scores = [
                best_score(experiment.fitted(seed, {**factors, "rate": rate})[2]) for seed in seeds
            ]
            rows.append((arm, rate, float(np.mean(scores))))
    return pd.DataFrame(rows, columns=["arm", "rate", "score"])
