"""Runs of composed Q-Formers in a zone: trained once for a set of settings, found again ever after.

A run is one small JSON, ``fine-tuning-zone/experiments/qformer/<id>.json``: where every query of
each test set found its first target, what validation said, and whether the queries collapsed. Its
weights lie beside it where they are asked for: a pretraining has to keep them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from helpers.course.code import Modules
from helpers.first.evaluation.collapse import Spread, explain_collapse, has_collapsed
from helpers.first.models.blip2 import Blip2
from helpers.first.models.experiments import EXPERIMENTS
from helpers.first.models.sprc import Sprc
from helpers.first.training.composed_features import rank_composed
from helpers.first.training.composed_qformer import (
    QformerArm,
    TrainedQformer,
    build_composer,
    qformer_scores,
    train_qformer,
)
from helpers.first.training.image_states import ImageStates
from helpers.repro import hash_of
from helpers.store.artefacts import Writer, code_of, ensure
from helpers.store.zones import Zone
from helpers.topics.cir.triplets import Triplet, TripletSet

# A change in any of them makes runs stale: they decide weights or ranks.
CODE = Modules().named(
    "helpers.first.training.composed_qformer_runs", packages=("evaluation", "models", "training")
)


@dataclass(frozen=True)
class QformerRun:
    """A finished run.

    Attributes
    ----------
    arm : QformerArm
    record : mapping
        What its JSON says: ``best_step``, ``looks``, ``steps``, ``seconds``, ``n_triplets``,
        ``n_parameters``, ``tests`` and ``collapse``.
    fingerprint : str
        Of everything that decided it.
    zone : Zone
    """

    arm: QformerArm
    record: Mapping[str, Any]
    fingerprint: str
    zone: Zone

    def ranks(self, test: str = "test") -> np.ndarray:
        """(q,) float64: the rank of the first target of each query of a test set.

        Raises
        ------
        KeyError
            If the run was not measured on it.
        """
        tests = self.record["tests"]
        if test not in tests:
            raise KeyError(
                f"run {self.fingerprint} has no test {test!r}: it has {', '.join(tests)}"
            )
        return np.array(tests[test])

    @property
    def validation(self) -> float:
        """Validation's hit@10 at the look that was kept."""
        return next(
            look["score"] for look in self.record["looks"]
            if look["step"] == self.record["best_step"]
        )  # fmt: skip

    def spread(self, which: str = "last") -> Spread:
        """Of ``p`` over validation's queries at the ``first``, ``best`` or ``last`` look."""
        looks = self.record["looks"]
        step = {"first": 0, "best": self.record["best_step"], "last": looks[-1]["step"]}[which]
        look = next(look for look in looks if look["step"] == step)
        return Spread(look["spread"], look["effective_rank"], look["mean_cosine"])

    def weights(self) -> dict[str, torch.Tensor]:
        """The kept weights. Raises ``ValueError`` where the run did not keep them."""
        if not self.record["weights"]:
            raise ValueError(
                f"run {self.fingerprint} kept no weights: ask for it with keep_weights=True"
            )
        return load(self.zone.read_bytes(self.record["weights"]))

    def composer(self, blip2: Blip2) -> Sprc:
        """The trained model, from its kept weights."""
        composer = build_composer(blip2, self.arm)
        composer.load_state_dict(self.weights())
        return composer.eval()


def ensure_qformer_run(
    zone: Zone,
    blip2: Blip2,
    arm: QformerArm,
    *,
    train: Sequence[Triplet],
    validation: TripletSet,
    tests: Mapping[str, TripletSet],
    states: ImageStates,
    start: QformerRun | None = None,
    keep_weights: bool = False,
    progress: bool = False,
) -> QformerRun:
    """Train and measure an arm, or read it where that is done.

    Parameters
    ----------
    zone : Zone
    blip2 : Blip2
    arm : QformerArm
    train : sequence of Triplet
    validation : TripletSet
        What the weights are chosen by.
    tests : mapping of TripletSet
        Measured once, after training; may be empty.
    states : ImageStates
        Of every picture.
    start : QformerRun, optional
        A pretraining that kept its weights: training goes on from them.
    keep_weights : bool

    Raises
    ------
    ValueError
        As :func:`helpers.first.training.composed_qformer.train_qformer`; or if ``start`` kept no weights.

    Examples
    --------
    >>> run = ensure_qformer_run(zone, blip2, QformerArm(), train=triplets, validation=validation,
    ...                          tests={"test": test}, states=states)  # doctest: +SKIP
    """
    parameters = {
        "arm": asdict(arm), "model": blip2.name, "keep_weights": keep_weights,
        "tests": sorted(tests),
    }  # fmt: skip
    inputs = {
        "model": blip2.fingerprint,
        "states": states.fingerprint,
        "train": hash_of([asdict(one) for one in train]),
        "validation": _hash_of_set(validation),
        **{f"test {name}": _hash_of_set(found) for name, found in tests.items()},
        "start": start.fingerprint if start else "",
    }
    run_id = hash_of([parameters, inputs])
    key = f"{EXPERIMENTS}/qformer/{run_id}"

    def build(writer: Writer) -> None:
        trained = train_qformer(
            blip2, arm, train, states, validation=validation,
            start=start.weights() if start else None, progress=progress,
        )  # fmt: skip
        kept = f"{key}.safetensors" if keep_weights else ""
        if kept:
            weights = {name: value.contiguous() for name, value in trained.weights().items()}
            writer.write_bytes(kept, save(weights))
        record = _record(trained, blip2, arm, train, tests, states)
        text = json.dumps({"id": run_id, **parameters, "weights": kept, **record}, allow_nan=False)
        writer.write_text(f"{key}.json", text + "\n")

    ensure(
        zone, f"qformer-{run_id}", kind="composed Q-Former", parameters=parameters, inputs=inputs,
        build=build, prefixes=(f"{key}.json", f"{key}.safetensors"), code=code_of(*CODE),
    )  # fmt: skip
    return QformerRun(arm, json.loads(zone.read_text(f"{key}.json")), run_id, zone)


def _record(
    trained: TrainedQformer,
    blip2: Blip2,
    arm: QformerArm,
    train: Sequence[Triplet],
    tests: Mapping[str, TripletSet],
    states: ImageStates,
) -> dict[str, Any]:
    ranks = {
        name: rank_composed(qformer_scores(trained.composer, blip2, found, states), found).first
        for name, found in tests.items()
    }
    first, last = (_spread(trained.looks[i]) for i in (0, -1))
    return {
        "best_step": trained.best_step,
        "looks": list(trained.looks),
        "steps": [{name: round(v, 5) for name, v in step.items()} for step in trained.steps],
        "seconds": trained.seconds,
        "n_triplets": arm.n_triplets or len(train),
        "n_parameters": sum(p.numel() for p in trained.composer.parameters()),
        "tests": {name: found.tolist() for name, found in ranks.items()},
        "collapse": {
            "collapsed": has_collapsed(last, first),
            "says": explain_collapse(last, first),
        },
    }


def _spread(look: Mapping[str, float]) -> Spread:
    return Spread(look["spread"], look["effective_rank"], look["mean_cosine"])


def _hash_of_set(triplets: TripletSet) -> str:
    rows = [asdict(one) for one in triplets.triplets]
    return hash_of([rows, list(triplets.gallery), triplets.excluded()])
