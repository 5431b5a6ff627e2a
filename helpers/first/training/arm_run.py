"""One arm trained and measured: the files that its run is made of.

What is measured is the adapter as it was stored, put back on its base.
"""

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.data.pairs import Pairs, retrieval_set
from helpers.first.evaluation.chance import telling_k
from helpers.first.evaluation.efficiency import PeakMemory
from helpers.first.evaluation.metrics import both_directions, hit_at_k
from helpers.first.models.encoders import Encoder
from helpers.first.models.evaluate import DIRECTIONS, evaluate, examples
from helpers.first.models.experiments import results_of
from helpers.first.models.lora import Adapted, adapt, load_adapter, save_adapter
from helpers.first.models.placement import Placement, count_parameters
from helpers.first.training.arms import Arm, training_frame
from helpers.first.training.loop import Trained, train
from helpers.first.training.pairs import TrainingPairs, prepare_pairs
from helpers.first.training.prefix_cache import (
    PrefixError,
    build_prefixes,
    prefix_encoder,
    prefix_towers,
    why_not,
)
from helpers.first.training.towers import Towers

PREFIXES = ("auto", "off", "fp32", "bf16")
SCALARS = {"info_nce": ("logit_scale",), "sigmoid": ("logit_scale", "logit_bias")}


def kept_precision(prefix: str, arm: Arm, encoder: Encoder) -> tuple[str, str]:
    """How the prefixes of an arm are kept: ``fp32``, ``bf16`` or ``off``, and why they are not.

    Raises
    ------
    PrefixError
        If they are asked for where that is not valid.
    """
    if prefix not in PREFIXES:
        raise PrefixError(f"prefix is {prefix!r}: use one of {', '.join(PREFIXES)}")
    if prefix == "off":
        return "off", "switched off"
    reason = why_not(arm.placement, augment=False, encoder=encoder)
    if prefix == "auto":
        if not reason and arm.training.precision == "bf16":
            reason = "the run is in bf16; ask for prefix='bf16'"
        return ("off", reason) if reason else ("fp32", "")
    if reason:
        raise PrefixError(f"prefix={prefix!r} is not possible: {reason}; use 'auto' or 'off'")
    return prefix, ""


@dataclass(frozen=True)
class ArmRun:
    """An arm that is to be trained.

    Attributes
    ----------
    pairs : Pairs
    encoder : Encoder
        The base.
    arm : Arm
    kept, note : str
        As :func:`kept_precision` gives them.
    also : tuple of Placement
        Other rows, whose prefixes are computed in the same pass.
    progress : bool
    """

    pairs: Pairs
    encoder: Encoder
    arm: Arm
    kept: str
    note: str
    also: tuple[Placement, ...]
    progress: bool

    def files(self, state: Path, *, seed: int, n_resamples: int, run_id: str) -> dict[str, bytes]:
        """Train, evaluate what was stored of it; the files of the run by name."""
        arm, pairs = self.arm, self.pairs
        adapted = adapt(
            self.encoder, arm.placement, train_scalars=SCALARS[arm.training.loss],
            seed=arm.training.seed,
        )  # fmt: skip
        frame = training_frame(pairs)
        ready = prepare_pairs(frame, adapted.encoder, pairs.image, progress=False)
        began = time.perf_counter()
        towers = self._towers(adapted, ready)
        waited = time.perf_counter() - began
        with PeakMemory() as memory:
            trained = train(
                adapted.encoder, ready, arm.training, towers=towers, state=state,
                validate=validation_score(pairs, self._quick(adapted)), progress=self.progress,
            )  # fmt: skip
        about = {"training": asdict(arm.training), "data": f"{pairs.source}, training part"}
        with tempfile.TemporaryDirectory() as name:
            save_adapter(adapted, Path(name), **about)
            adapter = {path.name: path.read_bytes() for path in sorted(Path(name).iterdir())}
            stored = load_adapter(self.encoder, Path(name))
        evaluation = evaluate(
            self._quick(stored), retrieval_set(pairs.test), pairs.image,
            n_resamples=n_resamples, seed=seed,
        )  # fmt: skip
        counts = count_parameters(adapted.encoder.model)
        results = (
            {"run_id": run_id}
            | results_of(evaluation, stored.encoder)
            | {
                "trainable_parameters": counts.trainable,
                "parameters": counts.total,
                "training_seconds": trained.seconds,
                "prefix": self.kept,
                "prefix_note": self.note,
                "prefix_seconds": waited,
                "peak_memory_mb": memory.peak_mb,
                "cuda_peak_mb": memory.cuda_peak_mb,
                "first_hit_ranks": {
                    way: evaluation.rankings[way].first.tolist() for way in DIRECTIONS
                },
            }
        )
        written = {
            "training_logs.json": _log_of(trained),
            "results_lora.json": results,
            "examples_top5.json": examples(evaluation, seed=seed),
        }
        return {
            **{name: _json(value) for name, value in written.items()},
            **{f"adapters/{name}": content for name, content in adapter.items()},
        }

    def _towers(self, adapted: Adapted, ready: TrainingPairs) -> Towers | None:
        """Towers over kept prefixes, or None for the plain ones."""
        if self.kept == "off":
            return None
        options = {"precision": self.kept, "progress": self.progress}
        build_prefixes(self.encoder, ready, (self.arm.placement, *self.also), **options)
        return prefix_towers(adapted.encoder, ready, adapted.placement, **options)

    def _quick(self, adapted: Adapted) -> Encoder:
        """The adapted encoder, over kept prefixes where there are any (in fp32 always)."""
        if self.kept == "off":
            return adapted.encoder
        return prefix_encoder(adapted.encoder, adapted.placement)


def validation_score(pairs: Pairs, encoder: Encoder) -> Callable[[], dict[str, float]]:
    """A function for the loop: hit@K on the validation recipes; ``score`` is the mean of both ways.

    K is 10, or 5 or 1 where the validation recipes have no more images or captions: see
    :func:`helpers.first.evaluation.chance.telling_k`. Pictures are decoded once.
    """
    data = retrieval_set(pairs.validation)
    k = telling_k(len(data.image_keys), len(data.captions))
    pictures = [pairs.image(key) for key in data.image_keys]

    def score() -> dict[str, float]:
        images, texts = encoder.images(pictures), encoder.texts(data.captions)
        rankings = both_directions(images, data.image_ids, texts, data.caption_ids)
        found = {way: hit_at_k(ranking, k) for way, ranking in rankings.items()}
        return {**found, "score": float(np.mean(list(found.values())))}

    return score


def _log_of(trained: Trained) -> dict[str, Any]:
    return {
        "steps": list(trained.steps),
        "epochs": list(trained.epochs),
        "kept_epoch": trained.kept_epoch,
        "stopped_early": trained.stopped_early,
        "seconds": trained.seconds,
    }


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
