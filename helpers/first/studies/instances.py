"""Sigmoid against InfoNCE over batch sizes, and which tower to adapt: arms, runs, claims.

Two comparisons that are easily taken for one are kept apart: with equal *samples* a small batch has
more steps, with equal *steps* it has seen less. Memory is equal in all: what is held at once is cut
by gradient caching, which changes no gradient.
"""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from helpers.course.code import Modules
from helpers.first.evaluation.claims import Claim, Judged, judge_claims
from helpers.first.evaluation.comparison import paired_comparison
from helpers.first.models.encoders import Encoder
from helpers.first.models.lora import adapter_files, load_adapter
from helpers.first.models.placement import count_parameters
from helpers.first.training.instance_runs import (
    Bench,
    InstanceArm,
    measure,
    stored_again,
    train_arm,
)
from helpers.repro import hash_of
from helpers.store.artefacts import Writer, code_of, ensure
from helpers.store.zones import Zone, write_file_atomically

FOLDER = "fine-tuning-zone/experiments/instances"
LOSSES = ("sigmoid", "info_nce")
NAMES = {"sigmoid": "sigmoid", "info_nce": "InfoNCE"}
PAPER = "Zhai et al. 2023"
SAME = 0.05  # hit@5 that would not matter, set before any run
CODE = Modules().named(
    "helpers.first.training.instance_runs", packages=("evaluation", "models", "training")
)


@dataclass(frozen=True)
class ArmResult:
    """A finished run.

    Attributes
    ----------
    id : str
    arm : InstanceArm
    record : dict
        ``values`` (direction to metric to the values of the test queries), ``validation`` (mean of
        hit@5 both ways), ``logit_scale``, ``logit_bias``, ``seconds``, ``losses`` by step,
        ``trainable_parameters``.
    zone : Zone
    """

    id: str
    arm: InstanceArm
    record: Mapping[str, Any]
    zone: Zone

    def values(self, direction: str, metric: str) -> np.ndarray:
        """(q,) values of the test queries."""
        return np.array(self.record["values"][direction][metric])

    def encoder(self, base: Encoder) -> Encoder:
        """The adapted model, from its stored files."""
        with tempfile.TemporaryDirectory() as name:
            for file in self.record["files"]:
                content = self.zone.read_bytes(f"{FOLDER}/run_{self.id}/adapter/{file}")
                write_file_atomically(Path(name) / file, content)
            return load_adapter(base, Path(name)).encoder


Results = Mapping[str, Sequence[ArmResult]]


def arm_name(loss: str, batch: int) -> str:
    """``sigmoid, 32``.

    >>> arm_name("info_nce", 8)
    'InfoNCE, 8'
    """
    return f"{NAMES[loss]}, {batch}"


def batch_arms(
    base: InstanceArm, sizes: Sequence[int], *, rates: Mapping[str, float], steps: int = 0
) -> dict[str, InstanceArm]:
    """Both losses with each batch size: ``base.samples`` pairs each, or ``steps`` steps each.

    Parameters
    ----------
    rates : mapping of loss to learning rate
        Chosen on validation, each loss for itself.

    Raises
    ------
    ValueError
        If ``base.samples`` is no whole number of batches of a size.

    >>> list(batch_arms(InstanceArm(samples=64), [8], rates={"sigmoid": 0.01, "info_nce": 0.01}))
    ['sigmoid, 8', 'InfoNCE, 8']
    """
    return {
        arm_name(loss, size): replace(
            base, loss=loss, batch=size, samples=steps * size if steps else base.samples,
            learning_rate=rates[loss],
        )
        for size in sizes
        for loss in LOSSES
    }  # fmt: skip


def tower_arms(base: InstanceArm) -> dict[str, InstanceArm]:
    """The same adapter on the vision tower, on the text tower, and on both."""
    layers = {"vision only": (-1, 0), "text only": (0, -1), "dual": (-1, -1)}
    return {
        name: replace(
            base, placement=replace(base.placement, vision_layers=vision, text_layers=text)
        )
        for name, (vision, text) in layers.items()
    }


def accumulation_arms(base: InstanceArm, *, parts: int) -> dict[str, InstanceArm]:
    """A batch whole, and the same batch in parts with a loss each."""
    if base.batch % parts:
        raise ValueError(f"a batch of {base.batch} cannot be cut into {parts} equal parts")
    size = base.batch // parts
    return {
        f"1 x {base.batch}": base,
        f"{parts} x {size}, a loss each": replace(base, held=size, accumulate="plain"),
    }


def questions(arm: InstanceArm) -> dict[str, float]:
    """What a step asks: matches, strangers, and strangers a match, if no two pairs are alike."""
    part = arm.batch if arm.accumulate == "cached" else min(arm.held, arm.batch)
    strangers = arm.batch * (part - 1)
    return {"matches": arm.batch, "strangers": strangers, "strangers a match": part - 1}


def ensure_arm(bench: Bench, encoder: Encoder, arm: InstanceArm) -> ArmResult:
    """Train and measure an arm, or read it where that is done."""
    zone = bench.pairs.zone
    parameters = {"model": encoder.name, "arm": asdict(arm)}
    inputs = {"pairs": bench.pairs.manifest.fingerprint, "model": encoder.fingerprint}
    run_id = hash_of([parameters, inputs])
    folder = f"{FOLDER}/run_{run_id}"

    def build(writer: Writer) -> None:
        began = time.perf_counter()
        adapted, trained = train_arm(bench, encoder, arm)
        seconds = time.perf_counter() - began
        stored = stored_again(adapted, encoder).encoder
        found = measure(stored, bench)
        chosen = measure(stored, bench, "validation")
        files = adapter_files(adapted, data=f"{bench.pairs.source}, training part")
        record = {
            "arm": asdict(arm),
            "values": {
                way: {metric: values.tolist() for metric, values in by_metric.items()}
                for way, by_metric in found.values.items()
            },
            "validation": float(np.mean([v["hit@5"].mean() for v in chosen.values.values()])),
            "logit_scale": found.scale,
            "logit_bias": found.bias,
            "seconds": seconds,
            "losses": [step["loss"] for step in trained.steps],
            "trainable_parameters": count_parameters(adapted.encoder.model).trainable,
            "files": sorted(files),
        }
        writer.write_text(f"{folder}/results.json", json.dumps(record, allow_nan=False))
        for name, content in files.items():
            writer.write_bytes(f"{folder}/adapter/{name}", content)

    ensure(
        zone, f"instance-run_{run_id}", kind="instance run", parameters=parameters, inputs=inputs,
        build=build, prefixes=(folder,), code=code_of(*CODE),
    )  # fmt: skip
    return ArmResult(run_id, arm, json.loads(zone.read_text(f"{folder}/results.json")), zone)


def run_all(
    bench: Bench,
    encoder: Encoder,
    arms: Mapping[str, InstanceArm],
    *,
    seeds: Sequence[int],
    progress: bool = True,
) -> dict[str, list[ArmResult]]:
    """Every arm with every seed; what is done already is read from the zone."""
    done: dict[str, list[ArmResult]] = {name: [] for name in arms}
    wanted = [(seed, name) for seed in seeds for name in arms]
    for seed, name in tqdm(wanted, desc="runs", unit="run", disable=not progress):
        done[name].append(ensure_arm(bench, encoder, replace(arms[name], seed=seed)))
    return done


def chosen_rates(
    bench: Bench, encoder: Encoder, base: InstanceArm, rates: Sequence[float]
) -> tuple[dict[str, float], pd.DataFrame]:
    """Each loss's learning rate by its validation score, and the table of all that were tried.

    With one rate nothing is trained. Equal scores take the smaller rate.
    """
    if len(rates) == 1:
        return dict.fromkeys(LOSSES, rates[0]), pd.DataFrame()
    rows = [
        {
            "loss": loss,
            "learning rate": rate,
            "validation": ensure_arm(
                bench, encoder, replace(base, loss=loss, learning_rate=rate)
            ).record["validation"],
        }
        for loss in LOSSES
        for rate in sorted(rates)
    ]
    table = pd.DataFrame(rows)
    best = table.loc[table.groupby("loss")["validation"].idxmax()]
    return dict(zip(best["loss"], best["learning rate"], strict=True)), table


def seed_mean(results: Sequence[ArmResult], direction: str, metric: str) -> np.ndarray:
    """(q,) the value of each query, averaged over the seeds."""
    return np.mean([one.values(direction, metric) for one in results], axis=0)


def means(results: Results, direction: str, metric: str) -> dict[str, np.ndarray]:
    """:func:`seed_mean` of every arm."""
    return {name: seed_mean(done, direction, metric) for name, done in results.items()}


def constant_loss(strangers: float) -> float:
    """What a step pays for one answer to all pairs, the share of matches: nats a match.

    A model that knows nothing cannot pay less, with so many strangers a match.

    >>> round(constant_loss(1), 3)
    1.386
    """
    return float(np.log1p(strangers) + strangers * np.log1p(1 / strangers)) if strangers else 0.0


def size_claims(small: int, large: int) -> list[Claim]:
    """ "No large batch needed", as three claims that a paired comparison can decide."""
    return [
        Claim("sigmoid small", f"Sigmoid: {small} pairs are as good as {large}.", PAPER, "same",
              SAME),
        Claim("small batches", f"At {small} pairs sigmoid beats InfoNCE.", PAPER, "higher"),
        Claim("need", f"{small} pairs instead of {large} cost InfoNCE more than sigmoid.", PAPER,
              "higher"),
    ]  # fmt: skip


def batch_claims(
    results: Results,
    groups: Sequence[str],
    sizes: Sequence[int],
    *,
    direction: str = "text_to_image",
    metric: str = "hit@5",
) -> list[Judged]:
    """:func:`size_claims` judged by the runs.

    The smallest against the largest batch under the sigmoid loss (no difference that matters); the
    sigmoid loss against InfoNCE at the smallest batch (better); and what the small batch costs
    InfoNCE more than the sigmoid loss (something). Only the last is about the *losses'* need of a
    large batch: the first also holds where no loss needs one.
    """
    small, large = min(sizes), max(sizes)
    if small == large:
        raise ValueError(f"one batch size ({small}) says nothing on large batches: give two")
    values = means(results, direction, metric)
    s, i = ({n: values[arm_name(loss, n)] for n in (small, large)} for loss in LOSSES)
    compared = (
        paired_comparison(s[small], s[large], groups),
        paired_comparison(s[small], i[small], groups),
        paired_comparison(s[small] - s[large], i[small] - i[large], groups),
    )
    return judge_claims(list(zip(size_claims(small, large), compared, strict=True)))
