"""Head runs in a zone: trained once for a set of settings, found again ever after.

A run is one small JSON, ``fine-tuning-zone/experiments/heads/<id>.json``: where every test query
found its first hit, with the weights of the best look at validation and with those of the last
step, and what validation said. Weights are not kept: training again takes seconds and gives the
same ones.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from helpers.data.pairs import Pairs, retrieval_set
from helpers.first.evaluation.metrics import both_directions
from helpers.first.models.adapters import Heads, HeadShape, apply_heads
from helpers.first.models.encoders import Encoder
from helpers.first.models.experiments import EXPERIMENTS
from helpers.first.training.features import Features, ensure_features, take_recipes
from helpers.first.training.heads import HeadTraining, TrainedHeads, train_heads
from helpers.repro import hash_of
from helpers.store.artefacts import Writer, code_of, ensure
from helpers.store.zones import Zone

KEPT = ("best", "last")
# A change in any of them makes runs stale: they decide weights or ranks.
CODE = (
    "helpers.first.evaluation.blocks", "helpers.first.evaluation.metrics", "helpers.first.evaluation.positives",
    "helpers.first.evaluation.ranks", "helpers.first.models.adapters", "helpers.first.training.features",
    "helpers.first.training.head_batches", "helpers.first.training.head_runs", "helpers.first.training.heads",
    "helpers.first.training.losses", "helpers.first.training.margin_losses", "helpers.first.training.settings",
)  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """The features of a model on each part of some pairs.

    Attributes
    ----------
    model : str
        The model's name.
    train, validation, test : Features
    """

    model: str
    train: Features
    validation: Features
    test: Features


@dataclass(frozen=True)
class HeadArm:
    """One way to train heads; a study compares arms.

    Attributes
    ----------
    shape : HeadShape
    training : HeadTraining
    n_recipes : int
        How many training recipes; 0: all.
    """

    shape: HeadShape = field(default_factory=HeadShape)
    training: HeadTraining = field(default_factory=HeadTraining)
    n_recipes: int = 0


@dataclass(frozen=True)
class HeadRun:
    """A finished run: its arm, and what its JSON says."""

    arm: HeadArm
    record: Mapping[str, Any]

    def ranks(self, direction: str, kept: str = "best") -> np.ndarray:
        """(q,) rank of the first hit of each test query, with the ``best`` or ``last`` weights."""
        return np.array(self.record[kept]["first_hit_ranks"][direction])

    def validation(self, kept: str = "best") -> float:
        """The validation score of the ``best`` or ``last`` weights."""
        return float(self.record[kept]["validation"])


def features_of(pairs: Pairs, encoder: Encoder, *, progress: bool = True) -> Parts:
    """The kept features of all three parts.

    Examples
    --------
    >>> parts = features_of(pairs, load_encoder("tiny-clip"))  # doctest: +SKIP
    """
    found = {
        part: ensure_features(
            encoder, retrieval_set(getattr(pairs, part)), pairs.image,
            image_hashes=pairs.image_hashes, progress=progress,
        )
        for part in ("train", "validation", "test")
    }  # fmt: skip
    return Parts(encoder.name, **found)


def train_arm(
    parts: Parts,
    arm: HeadArm,
    *,
    groups: Mapping[str, str] | None = None,
    mine: Callable[[Features], np.ndarray] | None = None,
) -> TrainedHeads:
    """Train the heads of an arm: always the same ones.

    Parameters
    ----------
    groups : mapping of recipe id to group, optional
        Near-duplicates; see :func:`helpers.first.training.heads.train_heads`.
    mine : callable, optional
        From the training features to a table of wrong captions, for ``negatives='mined'``.
    """
    train = take_recipes(parts.train, arm.n_recipes, seed=arm.training.seed)
    table = mine(train) if arm.training.negatives == "mined" and mine is not None else None
    return train_heads(arm.shape, train, parts.validation, arm.training, groups=groups, mined=table)


def first_hits(heads: Heads, features: Features) -> dict[str, list[float]]:
    """Direction to the rank of the first hit of each query, under heads."""
    data = features.data
    images, texts = apply_heads(heads, features.images, features.texts)
    found = both_directions(images, data.image_ids, texts, data.caption_ids)
    return {way: ranking.first.tolist() for way, ranking in found.items()}


def ensure_head_run(
    zone: Zone,
    parts: Parts,
    arm: HeadArm,
    *,
    groups: Mapping[str, str] | None = None,
    mine: Callable[[Features], np.ndarray] | None = None,
    mining: Mapping[str, Any] | None = None,
) -> HeadRun:
    """Train and measure an arm, or read it where that is done.

    Parameters
    ----------
    zone : Zone
    parts : Parts
        Trained on ``train``, chosen by ``validation``, measured once on ``test``.
    arm : HeadArm
    groups, mine
        As for :func:`train_arm`.
    mining : mapping, optional
        JSON values that decide what ``mine`` gives: part of the run's identity.

    Raises
    ------
    ValueError
        If the arm wants mined captions and nothing mines them.
    """
    mined = arm.training.negatives == "mined"
    if mined and (mine is None or not mining):
        raise ValueError("negatives is 'mined': give mine, and in mining the settings that it has")
    parameters = {
        "arm": asdict(arm), "model": parts.model, "mining": dict(mining or {}) if mined else {},
        "groups": hash_of(sorted((groups or {}).items())),
    }  # fmt: skip
    inputs = {p: getattr(parts, p).fingerprint for p in ("train", "validation", "test")}
    run_id = hash_of([parameters, inputs])
    key = f"{EXPERIMENTS}/heads/{run_id}.json"

    def build(writer: Writer) -> None:
        began = time.perf_counter()
        trained = train_arm(parts, arm, groups=groups, mine=mine)
        record = _record(trained, parts.test, seconds=time.perf_counter() - began)
        text = json.dumps({"id": run_id, **parameters, **record}, allow_nan=False)
        writer.write_text(key, text + "\n")

    ensure(
        zone, f"heads-{run_id}", kind="head run", parameters=parameters, inputs=inputs,
        build=build, prefixes=(key,), code=code_of(*CODE),
    )  # fmt: skip
    return HeadRun(arm, json.loads(zone.read_text(key)))


def _record(trained: TrainedHeads, test: Features, *, seconds: float) -> dict[str, Any]:
    score = {look["step"]: look["score"] for look in trained.looks}
    kept_at = {"best": trained.best_step, "last": trained.looks[-1]["step"]}
    ends = {
        kept: {
            "step": step,
            "validation": score[step],
            "first_hit_ranks": first_hits(getattr(trained, kept), test),
        }
        for kept, step in kept_at.items()
    }
    return {
        "looks": list(trained.looks), "final": trained.steps[-1], "seconds": seconds, **ends,
    }  # fmt: skip
