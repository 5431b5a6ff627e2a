"""The study of composed retrieval on kept features: models, seeds, and what each query needs.

Every model gets the same search: some learning rates, of which validation chooses one for each seed
and amount of triplets anew. A query's hit is averaged over seeds before triplets are resampled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd

from helpers.first.models.composed import BASELINES, TRAINED
from helpers.first.training.composed import ComposedTraining
from helpers.first.training.composed_features import ComposedFeatures
from helpers.first.training.composed_runs import ComposedArm, ComposedRun, ensure_composed_run
from helpers.store.zones import Zone
from helpers.topics.cir.triplets import Triplet

KS = (1, 5, 10)
# What each model is: its paper, and what goes in and comes out of it.
MODELS = {
    "image only": ("baseline", "the reference's row"),
    "text only": ("baseline", "the text's row"),
    "sum": ("baseline", "unit(reference + text)"),
    "combiner": ("Baldrati et al. 2022, CLIP4Cir", "unit(f(r, t) + s t + (1 - s) r)"),
    "TIRG": ("Vo et al. 2019", "unit(w1 gate(r, t) r + w2 residual(r, t))"),
    "ARTEMIS": ("Delmas et al. 2022", "two weighted cosines, no single query row"),
    "SPRC": ("Bai et al. 2024", "a Q-Former over the reference's patches and the text"),
}


class Found(Protocol):
    """What a finished run of any model can tell."""

    def ranks(self, test: str = "test") -> np.ndarray:
        """(q,) rank of the first target of each query."""
        ...


@dataclass(frozen=True)
class ComposedStudy:
    """What all runs of a study share.

    Attributes
    ----------
    zone : Zone
    train, validation : ComposedFeatures
        Annotated triplets.
    tests : mapping of ComposedFeatures
    seeds : tuple of int
    rates : tuple of float
        The learning rates that validation chooses from.
    steps, batch_size : int
    width : int
        Of the combiner; 0: four times the features', as in the paper.
    """

    zone: Zone
    train: ComposedFeatures
    validation: ComposedFeatures
    tests: Mapping[str, ComposedFeatures]
    seeds: tuple[int, ...]
    rates: tuple[float, ...] = (3e-3,)
    steps: int = 200
    batch_size: int = 128
    width: int = field(default=0)


def models_named(names: str) -> tuple[str, ...]:
    """Models by their names, separated by commas.

    Raises
    ------
    ValueError
        For a name that is none of ``MODELS``.

    >>> models_named("sum, TIRG")
    ('sum', 'TIRG')
    """
    wanted = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if unknown := [name for name in wanted if name not in MODELS]:
        raise ValueError(f"unknown model {unknown[0]!r}: use some of {', '.join(MODELS)}")
    return wanted


def run_model(
    study: ComposedStudy,
    name: str,
    *,
    n_triplets: int = 0,
    synthetic: ComposedFeatures | None = None,
    pretraining_steps: int = 0,
) -> list[ComposedRun]:
    """One run a seed: of the learning rates the one that validates best.

    Parameters
    ----------
    n_triplets : int
        Annotated ones to train on; 0: all.
    synthetic : ComposedFeatures, optional
        Pretrain on these first, for ``pretraining_steps`` (0: as many as the training).

    Raises
    ------
    ValueError
        If the model is not one of those on features.
    """
    if name not in BASELINES and name not in TRAINED:
        raise ValueError(
            f"{name!r} is no model on features: use {', '.join((*BASELINES, *TRAINED))}"
        )
    seeds = study.seeds if name in TRAINED else study.seeds[:1]
    rates = study.rates if name in TRAINED else study.rates[:1]
    options = {"width": study.width} if name == "combiner" and study.width else {}
    chosen = []
    for seed in seeds:
        tried = []
        for rate in rates:
            training = ComposedTraining(study.steps, study.batch_size, rate, seed=seed)
            before = None
            if synthetic is not None and name in TRAINED:
                steps = pretraining_steps or study.steps
                before = ComposedTraining(steps, study.batch_size, rate, seed=seed)
            arm = ComposedArm(name, training, n_triplets, before, options)
            tried.append(
                ensure_composed_run(
                    study.zone, arm, study.train, study.validation, study.tests,
                    synthetic=synthetic if before is not None else None,
                )
            )  # fmt: skip
        chosen.append(max(tried, key=lambda run: run.validation))
    return chosen


def hits(runs: Sequence[Found], k: int = 10, *, test: str = "test") -> np.ndarray:
    """(q,) share of the seeds that have a target of each query among the first ``k``."""
    return np.mean([run.ranks(test) <= k for run in runs], axis=0)


def needs(image_only: np.ndarray, text_only: np.ndarray) -> np.ndarray:
    """(q,) what finds each query already: ``image``, ``text``, ``either`` or ``neither``.

    Parameters
    ----------
    image_only, text_only : (q,) float or bool
        Whether that side alone has a target among the first ones.

    >>> needs([1, 1, 0, 0], [1, 0, 1, 0]).tolist()
    ['either', 'image', 'text', 'neither']
    """
    image, text = np.asarray(image_only) > 0.5, np.asarray(text_only) > 0.5
    return np.select([image & text, image, text], ["either", "image", "text"], default="neither")


def by_need(
    values: Mapping[str, np.ndarray], wanted: np.ndarray, *, order: Sequence[str] = ()
) -> pd.DataFrame:
    """A row a kind of query: how many there are, and the mean of each model's values on them."""
    rows = []
    for kind in order or dict.fromkeys(wanted.tolist()):
        part = wanted == kind
        if part.any():
            means = {name: float(found[part].mean()) for name, found in values.items()}
            rows.append({"queries": kind, "n": int(part.sum()), **means})
    return pd.DataFrame(rows)


def kinds_of_change(triplets: Sequence[Triplet]) -> np.ndarray:
    """(q,) the attribute that a query changes; ``two changes`` where there are more."""
    return np.array(
        [one.changed[0] if len(one.changed) == 1 else "two changes" for one in triplets]
    )
