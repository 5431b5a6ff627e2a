"""Runs of composed models in a zone: pretrained, fine-tuned and measured once, then found again.

Two kinds of artefacts below ``fine-tuning-zone/experiments/composed/``: weights after pretraining
on synthetic triplets, which several fine-tunings start from, and one small JSON a run, with the
rank of every test query's first target and the five pictures that it found first.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from helpers.course.code import Modules
from helpers.first.models.composed import BASELINES, build_composed
from helpers.first.models.experiments import EXPERIMENTS
from helpers.first.training.composed import ComposedTraining, train_composed
from helpers.first.training.composed_features import (
    ComposedFeatures,
    composed_scores,
    rank_composed,
    take_triplets,
)
from helpers.repro import hash_of
from helpers.store.artefacts import Writer, code_of, ensure
from helpers.store.zones import Zone

FOLDER = f"{EXPERIMENTS}/composed"
SHOWN = 5
# A change in any of them makes runs stale: they decide weights or ranks.
CODE = Modules().named(
    "helpers.first.training.composed_runs", packages=("evaluation", "models", "training")
)


@dataclass(frozen=True)
class ComposedArm:
    """One way to train a model; a study compares arms.

    Attributes
    ----------
    model : str
        ``image only``, ``text only``, ``sum`` (nothing is trained), ``combiner``, ``TIRG`` or
        ``ARTEMIS``.
    training : ComposedTraining
        On annotated triplets.
    n_triplets : int
        How many of them, drawn by the training's seed; 0: all.
    pretraining : ComposedTraining, optional
        On synthetic triplets, before.
    options : mapping
        Of the model, such as ``width``.
    """

    model: str
    training: ComposedTraining = field(default_factory=ComposedTraining)
    n_triplets: int = 0
    pretraining: ComposedTraining | None = None
    options: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ComposedRun:
    """A finished run: its arm, and what its JSON says."""

    arm: ComposedArm
    record: Mapping[str, Any]

    def ranks(self, test: str = "test") -> np.ndarray:
        """(q,) rank of the first target of each query of a test set."""
        return np.array(self.record["tests"][test]["first_hit_ranks"])

    def top(self, test: str = "test") -> np.ndarray:
        """(q, 5) rows of the gallery that were found first, the best first."""
        return np.array(self.record["tests"][test]["top"])

    def top_scores(self, test: str = "test") -> np.ndarray:
        """(q, 5) their scores."""
        return np.array(self.record["tests"][test]["top_scores"])

    @property
    def validation(self) -> float:
        """Validation's hit@10 at the look that was kept."""
        return float(self.record["validation"])


def ensure_composed_run(
    zone: Zone,
    arm: ComposedArm,
    train: ComposedFeatures,
    validation: ComposedFeatures,
    tests: Mapping[str, ComposedFeatures],
    *,
    synthetic: ComposedFeatures | None = None,
) -> ComposedRun:
    """Train and measure an arm, or read it where that is done.

    Parameters
    ----------
    train : ComposedFeatures
        Annotated triplets.
    validation : ComposedFeatures
        The best look is chosen on it, in pretraining as well.
    tests : mapping of ComposedFeatures
        Measured once each, by name.
    synthetic : ComposedFeatures, optional
        What ``arm.pretraining`` trains on.

    Raises
    ------
    ValueError
        If the arm wants pretraining and there is nothing to pretrain on, or the other way round.
    """
    if (arm.pretraining is None) != (synthetic is None):
        raise ValueError(
            f"arm {arm.model}: pretraining is {arm.pretraining} and synthetic triplets were "
            f"{'not ' if synthetic is None else ''}given: give both or neither"
        )
    parameters = asdict(arm)
    inputs = {
        "train": train.fingerprint,
        "validation": validation.fingerprint,
        "synthetic": synthetic.fingerprint if synthetic is not None else "",
        **{f"test {name}": one.fingerprint for name, one in tests.items()},
    }
    run_id = hash_of([parameters, inputs])
    key = f"{FOLDER}/{run_id}.json"

    def build(writer: Writer) -> None:
        began = time.perf_counter()
        record = _train(zone, arm, train, validation, tests, synthetic)
        seconds = time.perf_counter() - began
        text = json.dumps({"id": run_id, **parameters, **record, "seconds": seconds})
        writer.write_text(key, text + "\n")

    ensure(
        zone, f"composed-{run_id}", kind="composed run", parameters=parameters, inputs=inputs,
        build=build, prefixes=(key,), code=code_of(*CODE),
    )  # fmt: skip
    return ComposedRun(arm, json.loads(zone.read_text(key)))


def ensure_pretrained(
    zone: Zone,
    arm: ComposedArm,
    synthetic: ComposedFeatures,
    validation: ComposedFeatures,
) -> dict[str, torch.Tensor]:
    """The weights of an arm's model after pretraining, made where they are not there yet."""
    from safetensors.torch import load, save

    parameters = {"model": arm.model, "training": asdict(arm.pretraining), "options": arm.options}
    inputs = {"synthetic": synthetic.fingerprint, "validation": validation.fingerprint}
    name = hash_of([parameters, inputs])
    key = f"{FOLDER}/pretrained/{name}.safetensors"

    def build(writer: Writer) -> None:
        trained = train_composed(
            arm.model, synthetic, validation, arm.pretraining, options=arm.options
        )
        writer.write_bytes(key, save(trained.model.state_dict()))

    ensure(
        zone, f"composed-pretrained-{name}", kind="composed pretraining", parameters=parameters,
        inputs=inputs, build=build, prefixes=(key,), code=code_of(*CODE),
    )  # fmt: skip
    return load(zone.read_bytes(key))


def measure(model: nn.Module, features: ComposedFeatures) -> dict[str, list]:
    """Ranks of the first targets, and the five pictures found first with their scores."""
    scores = composed_scores(model, features)
    return found_by(scores, features)


def found_by(scores: np.ndarray, features: ComposedFeatures) -> dict[str, list]:
    """What (q, g) scores found; see :func:`measure`."""
    first = rank_composed(scores, features.triplets).first
    left = np.array(scores, dtype=np.float64)
    for query, row in enumerate(features.triplets.excluded()):
        if row >= 0:
            left[query, row] = -np.inf
    top = np.argsort(-left, axis=1, kind="stable")[:, :SHOWN]
    values = np.take_along_axis(left, top, axis=1)
    return {
        "first_hit_ranks": first.tolist(),
        "top": top.tolist(),
        "top_scores": values.round(4).tolist(),
    }


def _train(
    zone: Zone,
    arm: ComposedArm,
    train: ComposedFeatures,
    validation: ComposedFeatures,
    tests: Mapping[str, ComposedFeatures],
    synthetic: ComposedFeatures | None,
) -> dict[str, Any]:
    if arm.model in BASELINES:
        model = build_composed(arm.model, train.images.shape[1])
        looks = []
        score = float((np.array(measure(model, validation)["first_hit_ranks"]) <= 10).mean())
    else:
        start = None
        if synthetic is not None:
            start = ensure_pretrained(zone, arm, synthetic, validation)
        few = take_triplets(train, arm.n_triplets, seed=arm.training.seed)
        trained = train_composed(
            arm.model, few, validation, arm.training, start=start, options=arm.options
        )
        model, looks = trained.model, list(trained.looks)
        score = next(x["score"] for x in looks if x["step"] == trained.best_step)
    found = {name: measure(model, one) for name, one in tests.items()}
    return {"validation": score, "looks": looks, "tests": found}
