"""The study of heads on frozen features: architecture, loss, data, alpha, width, negatives.

Every arm gets the same search: some learning rates, of which validation chooses one, for each size
and seed anew. Nothing here looks at the test part to choose.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from helpers.first.evaluation.comparison import Comparison, paired_comparison
from helpers.first.models.adapters import KINDS, HeadShape
from helpers.first.retrieval.mining import Mined, mine_captions
from helpers.first.studies.arms import query_values
from helpers.first.studies.lists import whole_numbers
from helpers.first.training.features import Features
from helpers.first.training.head_runs import HeadArm, HeadRun, Parts, ensure_head_run
from helpers.first.training.heads import HeadTraining
from helpers.repro import hash_of
from helpers.store.zones import Zone

# C2: a margin loss with random negatives. C3: alpha 0.2, InfoNCE over the batch.
NAIVE, NAIVE_NCE = "tower, margin", "tower, InfoNCE"
KEPT, KEPT_NCE = "residual, margin", "residual, InfoNCE"
# The same margin loss over InfoNCE's negatives: what of the square is the loss, what its negatives.
NAIVE_BATCH, KEPT_BATCH = "tower, margin over the batch", "residual, margin over the batch"
MARGIN = HeadTraining(loss="margin", negatives="random")
MARGIN_BATCH = HeadTraining(loss="margin")
ARMS: dict[str, HeadArm] = {
    NAIVE: HeadArm(HeadShape("tower", layers=2), MARGIN),
    NAIVE_NCE: HeadArm(HeadShape("tower", layers=2)),
    KEPT: HeadArm(HeadShape(), MARGIN),
    KEPT_NCE: HeadArm(HeadShape()),
    NAIVE_BATCH: HeadArm(HeadShape("tower", layers=2), MARGIN_BATCH),
    KEPT_BATCH: HeadArm(HeadShape(), MARGIN_BATCH),
    "one-layer tower, margin": HeadArm(HeadShape("tower", layers=1), MARGIN),
    "one-layer tower, InfoNCE": HeadArm(HeadShape("tower", layers=1)),
    "residual, triplet": HeadArm(HeadShape(), HeadTraining(loss="triplet")),
    "tower, triplet": HeadArm(HeadShape("tower", layers=2), HeadTraining(loss="triplet")),
}
LOSSES = ("margin", "margin over the batch", "InfoNCE")
# Where wrong captions come from, for one architecture.
NEGATIVE_ARMS: dict[str, HeadArm] = {
    "InfoNCE, batch": ARMS[KEPT_NCE],
    "margin, random": ARMS[KEPT],
    "margin, batch": ARMS[KEPT_BATCH],
    "triplet, random": HeadArm(HeadShape(), HeadTraining(loss="triplet", negatives="random")),
    "triplet, batch": ARMS["residual, triplet"],
    "triplet, mined": HeadArm(HeadShape(), HeadTraining(loss="triplet", negatives="mined")),
    "InfoNCE, batch and mined": HeadArm(HeadShape(), HeadTraining(negatives="mined")),
}
# Of mining, as a share of the pair's own score; see ``retrieval.mining``.
CEILINGS = {"": 0.95, ", no ceiling": float("inf")}
SQUARE = (NAIVE, NAIVE_NCE, KEPT, KEPT_NCE)


@dataclass(frozen=True)
class Study:
    """What all arms of a study share.

    Attributes
    ----------
    zone : Zone
    parts : Parts
    seeds : tuple of int
        Of subset, start and batches.
    rates : tuple of float
        The learning rates that validation chooses from.
    steps : int
        Of each training.
    groups : mapping of recipe id to group
        Near-duplicates.
    """

    zone: Zone
    parts: Parts
    seeds: tuple[int, ...]
    rates: tuple[float, ...]
    steps: int
    groups: Mapping[str, str]


def arms_named(names: str) -> dict[str, HeadArm]:
    """Arms by their names, separated by semicolons: names hold commas.

    ``tower`` and ``residual`` alone stand for their arms with each of ``LOSSES``.

    Raises
    ------
    ValueError
        For a name that is not in ``ARMS``, or where there is none.

    >>> list(arms_named("tower, margin; residual, InfoNCE"))
    ['tower, margin', 'residual, InfoNCE']
    """
    given = [name.strip() for name in names.split(";") if name.strip()]
    wanted = [
        arm
        for name in given
        for arm in ([f"{name}, {loss}" for loss in LOSSES] if name in KINDS else [name])
    ]
    unknown = [name for name in wanted if name not in ARMS]
    if unknown or not wanted:
        raise ValueError(
            f"parameter arms is {names!r}: {unknown[0] if unknown else 'nothing'!r} is no arm; use "
            f"{', '.join(KINDS)}, or some of {'; '.join(ARMS)}, with semicolons"
        )
    return {name: ARMS[name] for name in wanted}


def run_arm(
    study: Study,
    arm: HeadArm,
    *,
    kept: str = "best",
    mine: Callable[[Features], np.ndarray] | None = None,
    mining: Mapping[str, Any] | None = None,
) -> list[HeadRun]:
    """One run a seed: of the learning rates the one whose ``kept`` weights validate best.

    Parameters
    ----------
    kept : str
        ``best``: early stopping; ``last``: a fixed number of steps.
    mine, mining
        See :func:`helpers.first.training.head_runs.ensure_head_run`.
    """
    chosen = []
    for seed in study.seeds:
        tried = []
        for rate in study.rates:
            training = replace(arm.training, seed=seed, learning_rate=rate, steps=study.steps)
            one = replace(arm, training=training)
            tried.append(
                ensure_head_run(
                    study.zone, study.parts, one, groups=study.groups, mine=mine, mining=mining
                )
            )
        chosen.append(max(tried, key=lambda run: run.validation(kept)))
    return chosen


def run_sizes(
    study: Study, arms: Mapping[str, HeadArm], sizes: Sequence[int], *, kept: str = "best"
) -> dict[int, dict[str, list[HeadRun]]]:
    """Number of training recipes to arm to runs."""
    return {
        n: {
            name: run_arm(study, replace(arm, n_recipes=n), kept=kept) for name, arm in arms.items()
        }
        for n in sizes
    }


def run_negatives(
    study: Study, n_recipes: int, groups: Mapping[str, str], *, k: int = 2
) -> dict[str, list[HeadRun]]:
    """``NEGATIVE_ARMS`` at one size; mined captions are those that the frozen model likes best.

    Arms that mine come twice, with each of ``CEILINGS``.

    Parameters
    ----------
    groups : mapping of recipe id to group
        Near-duplicates, which the guard of the mining leaves out.
    k : int
        Mined captions a picture.
    """
    found = {}
    for name, arm in NEGATIVE_ARMS.items():
        one = replace(arm, n_recipes=n_recipes)
        if arm.training.negatives != "mined":
            found[name] = run_arm(study, one)
            continue
        for said, ceiling in CEILINGS.items():
            mining = {"k": k, "ceiling": str(ceiling), "groups": hash_of(sorted(groups.items()))}
            mine = partial(_mined_rows, groups=groups, k=k, ceiling=ceiling)
            found[name + said] = run_arm(study, one, mine=mine, mining=mining)
    return found


def _mined_rows(features: Features, **options: Any) -> np.ndarray:
    return mined_captions(features, **options).rows


def mined_captions(
    features: Features, groups: Mapping[str, str], *, k: int = 2, ceiling: float = 0.95
) -> Mined:
    """Wrong captions for the pictures of some features, near-duplicates left out."""
    of_image, of_text = (
        [groups.get(i, i) for i in ids.tolist()]
        for ids in (features.data.image_ids, features.data.caption_ids)
    )
    return mine_captions(
        features.images, features.texts, of_image, of_text, features.data.captions,
        k=k, ceiling=ceiling,
    )  # fmt: skip


def seeded(study: Study, arm: HeadArm) -> list[HeadArm]:
    """An arm once a seed, with the learning rate that validation chose."""
    return [run.arm for run in run_arm(study, arm)]


def fitting_sizes(text: str, available: int, *, name: str = "sizes") -> tuple[list[int], str]:
    """The sizes of a comma-separated parameter that the data can give, and what to say of it.

    Where none fits, all recipes are the one size.

    Raises
    ------
    ValueError
        If there is no size, or one is no whole number of at least 2.

    >>> fitting_sizes("50, 200, 1000", 300)
    ([50, 200], 'sizes: 50, 200 of 300 recipes; left out, because there are fewer: 1000')
    """
    sizes = whole_numbers(text, name, least=2)
    fit = [n for n in sizes if n <= available]
    said = f"{name}: {_joined(fit) or 'none fits, all'} of {available} recipes"
    if large := [n for n in sizes if n > available]:
        said += f"; left out, because there are fewer: {_joined(large)}"
    return fit or [available], said


def _joined(sizes: Sequence[int]) -> str:
    return ", ".join(str(n) for n in sizes)


def mean_values(
    runs: Sequence[HeadRun], direction: str, metric: str, *, kept: str = "best"
) -> np.ndarray:
    """(q,) the value of each test query, averaged over the seeds."""
    return np.mean([query_values(run.ranks(direction, kept), metric) for run in runs], axis=0)


def factorial(values: Mapping[str, np.ndarray], groups: Sequence[str]) -> dict[str, Comparison]:
    """The 2 x 2 of ``SQUARE`` taken apart, query by query.

    Parameters
    ----------
    values : mapping of arm to (q,) float
        All four arms of ``SQUARE``.
    groups : (q,) recipe of each query

    Returns
    -------
    dict
        ``architecture``: residual minus tower, over both losses; ``loss and negatives``: InfoNCE
        over the batch minus margin with random negatives, over both architectures; ``interaction``:
        how much more that matters for a tower, half the difference of the two differences. Where
        the arms with a margin over the batch are there, the second is also parted into ``of it,
        the negatives`` and ``of it, the loss``, which add up to it.
    """
    tm, ti, rm, ri = (values[name] for name in SQUARE)
    softmax, margin = (ti + ri) / 2, (tm + rm) / 2
    sides = {
        "architecture": ((rm + ri) / 2, (tm + ti) / 2),
        "loss and negatives": (softmax, margin),
    }
    if {NAIVE_BATCH, KEPT_BATCH} <= set(values):
        batch = (values[NAIVE_BATCH] + values[KEPT_BATCH]) / 2
        sides |= {"of it, the negatives": (batch, margin), "of it, the loss": (softmax, batch)}
    sides["interaction"] = ((ti + rm) / 2, (tm + ri) / 2)
    return {name: paired_comparison(a, b, groups) for name, (a, b) in sides.items()}


def crossing(sizes: Sequence[int], differences: Sequence[float]) -> float | None:
    """Where a curve over the number of recipes first rises through 0; None where it does not.

    Interpolated on a logarithmic axis.

    >>> round(crossing([100, 1000], [-0.1, 0.1]))
    316
    """
    pairs = list(zip(sizes, differences, strict=True))
    for (n, a), (m, b) in pairwise(pairs):
        if a < 0 <= b:
            return float(np.exp(np.interp(0, [a, b], np.log([n, m]))))
    return None
