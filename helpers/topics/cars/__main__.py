"""Zero-shot, training and evaluation of instance retrieval in one run, on any number of processes.

    python -m helpers.topics.cars --out reports/cars
    torchrun --nproc_per_node=8 -m helpers.topics.cars --source FOLDER --precision bf16

Each process encodes its part of a batch. Embeddings are gathered, so that the loss has the
negatives of the whole batch; gradients are added up. Communication is that of ``accelerate`` (gloo
on CPUs, NCCL on GPUs), started by ``torchrun``; ``accelerate launch --cpu`` starts one process in
silence, whatever number it is told.

The first process alone writes ``evaluation_results.json``, ``adapter/`` and ``losses.csv``. A run
that was stopped goes on from ``state.safetensors`` when it is started again.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather as gather_rows
from accelerate.utils import pad_across_processes, reduce

from helpers.evaluation.ranking import DIRECTIONS
from helpers.evaluation.stats import Estimate
from helpers.experiment import PreparedSet
from helpers.models.encoder import Encoder, load_encoder
from helpers.models.lora import adapt, load_adapter, save_adapter
from helpers.models.placement import Placement
from helpers.store.zones import write_file_atomically
from helpers.study import Study
from helpers.topics.cars import llm, measures
from helpers.topics.cars.batch_study import load_siglip
from helpers.topics.cars.instances import open_classes, split_queries
from helpers.training.batches import (
    Towers,
    TrainingPairs,
    encode_batch,
    epoch_batches,
    gather,
    plain_towers,
)
from helpers.training.gradcache import accumulate_cached
from helpers.training.loop import Settings, fit
from helpers.training.runs import SCALARS, contrastive_loss

NAME = "helpers.topics.cars"


@dataclass(frozen=True)
class Ranks:
    """One process among ``count``, which computes on ``device``; the default is the only one."""

    rank: int = 0
    count: int = 1
    device: str = ""

    @classmethod
    def join(cls, device: str = "auto") -> "Ranks":
        """Meet the processes that ``torchrun`` started, each on a GPU of its own where there are
        any; one alone where it did not.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
        return cls(state.process_index, state.num_processes, str(state.device))

    def shares(self, rows: np.ndarray) -> list[np.ndarray]:
        """The part of a batch of each process: contiguous, within one row as large as another."""
        if len(rows) < self.count:
            raise ValueError(
                f"a batch of {len(rows)} pairs for {self.count} processes: give each at least one"
            )
        return np.array_split(rows, self.count)

    def gathered(self, columns: list[torch.Tensor], sizes: list[int]):
        """What gradient caching asks: the columns of all, this rank, where its own rows start."""
        start = [sum(sizes[: self.rank])] * len(columns)
        if self.count == 1:
            return columns, 0, start
        whole = []
        for column in columns:  # some processes may have one row less, and send one of zeros
            padded = pad_across_processes(column.detach().to(self.device), dim=0)
            parts = gather_rows(padded.contiguous()).split(max(sizes))
            rows = [part[:size] for part, size in zip(parts, sizes, strict=True)]
            whole.append(torch.cat(rows).to(column.device))
        return whole, self.rank, start

    def sum_gradients(self, model: torch.nn.Module) -> None:
        """Add up the gradients of all trainable parameters over the processes, in one message."""
        if self.count == 1:
            return
        trainable = [p for p in model.parameters() if p.requires_grad]
        for parameter in trainable:  # a process whose part left it out adds nothing
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = reduce(torch.cat([p.grad.flatten() for p in trainable]), reduction="sum")
        sizes = [p.numel() for p in trainable]
        for parameter, part in zip(trainable, flat.split(sizes), strict=True):
            parameter.grad.copy_(part.view_as(parameter))


def shared_step(
    encoder: Encoder, pairs: TrainingPairs, towers: Towers, settings: Settings, ranks: Ranks, *,
    held: int,
) -> Callable[[int, np.random.Generator], tuple[torch.Tensor, list[str]]]:  # fmt: skip
    """The step of a run for ``fit``: one loss over a batch that several processes hold together.

    Each process encodes ``held`` pairs at once. With one process this is a plain step with gradient
    caching.
    """
    loss = contrastive_loss(encoder.model, pairs, settings)

    @lru_cache(maxsize=2)
    def batches_of(epoch: int) -> list[np.ndarray]:
        return batches(pairs, settings, epoch)

    def encode(batch: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
        rows, images, texts = encode_batch(
            towers, batch, device=encoder.device, precision=settings.precision
        )
        return rows, images.float(), texts.float()

    def step(number: int, rng: np.random.Generator) -> tuple[torch.Tensor, list[str]]:
        epoch, position = divmod(number, len(batches_of(0)))
        shares = ranks.shares(batches_of(epoch)[position])
        rows, sizes = shares[ranks.rank], list(map(len, shares))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)) + ranks.rank)
        parts = [gather(pairs, towers, rows[i : i + held], generator)
                 for i in range(0, len(rows), held)]  # fmt: skip
        value = accumulate_cached(encode, parts, loss, gather=partial(ranks.gathered, sizes=sizes))
        ranks.sum_gradients(encoder.model)
        return value, pairs.items[rows].tolist()

    return step


def batches(pairs: TrainingPairs, settings: Settings, epoch: int) -> list[np.ndarray]:
    """The batches of an epoch, the same on every process."""
    return list(epoch_batches(pairs, batch_size=settings.batch_size, draw=settings.draw,
                              seed=settings.seed, epoch=epoch))  # fmt: skip


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The settings of a run. Ends the process at an unknown one, as ``argparse`` does."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {NAME}", description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--source", default="world:garage?px=96&images=24", help="classes, or a folder of them")
    add("--model", default="tiny-siglip-cars", help="a tiny model, a directory or a hub id")
    add("--out", type=Path, default=Path("reports/cars"), help="folder for all results")
    add("--max-recipes", type=int, default=0, help="classes; 0: all")
    add("--image-px", type=int, default=512, help="side to which images of files are made smaller")
    add("--queries", type=int, default=36, help="written queries a class")
    add("--query-writer", default=llm.RULES, help="rules, or ADDRESS#MODEL")
    add("--query-judge", default=llm.RULES, help="rules, or ADDRESS#MODEL")
    add("--loss", choices=tuple(SCALARS), default="sigmoid")
    add("--epochs", type=int, default=3, help="passes over the training images")
    add("--batch", type=int, default=64, help="pairs of a step, over all processes")
    add("--held", type=int, default=32, help="pairs in the memory of a process at once")
    add("--learning-rate", type=float, default=0.003)
    add("--warmup", type=float, default=0.1, help="share of the steps; from 1 on: steps")
    add("--rank", type=int, default=16)
    add("--alpha", type=float, default=32.0)
    add("--modules", default="q_proj,v_proj")
    add("--precision", choices=("fp32", "bf16"), default="fp32")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--seed", type=int, default=42)
    return parser.parse_args(argv)


def run(chosen: argparse.Namespace, ranks: Ranks) -> Path | None:
    """The whole run; the path of its results on the first process, None on the others."""
    load = load_siglip if chosen.loss == "sigmoid" else load_encoder
    base = load(chosen.model, device=ranks.device or chosen.device)
    classes = open_classes(chosen.source, max_recipes=chosen.max_recipes,
                           image_px=chosen.image_px, seed=chosen.seed)  # fmt: skip
    with PartialState().main_process_first():  # what it writes, the others find
        written = llm.ask(
            classes.cars, query_writer=chosen.query_writer, query_judge=chosen.query_judge,
            zone=str(chosen.out.resolve() / "zone"), n=chosen.queries, seed=chosen.seed,
        )  # fmt: skip
    sets = classes.sets(split_queries(written.queries, classes, seed=chosen.seed))
    pairs, test = PreparedSet.of(base, sets["train"]).pairs, PreparedSet.of(base, sets["test"])
    settings = Settings(
        epochs=chosen.epochs, batch_size=chosen.batch, loss=chosen.loss, draw="image",
        learning_rate=chosen.learning_rate, warmup=chosen.warmup, precision=chosen.precision,
        keep="last", seed=chosen.seed,
    )  # fmt: skip
    placement = Placement(rank=chosen.rank, alpha=chosen.alpha, dropout=0.0, modules=chosen.modules)
    adapted = adapt(base, placement, seed=chosen.seed, scalars=SCALARS[chosen.loss])
    towers = plain_towers(adapted, pairs, transform=measures.augmented)
    step = shared_step(adapted, pairs, towers, settings, ranks, held=chosen.held)
    chosen.out.mkdir(parents=True, exist_ok=True)
    fitted = fit(adapted.model, step, settings=settings,
                 steps_per_epoch=len(batches(pairs, settings, 0)), identity=pairs.fingerprint,
                 state=chosen.out / "state.safetensors", progress=not ranks.rank)  # fmt: skip
    if ranks.rank:
        return None
    save_adapter(adapted, chosen.out / "adapter", data=f"{classes.name}, training part")
    fitted.losses.to_csv(chosen.out / "losses.csv", index=False)
    trained = load_adapter(base, chosen.out / "adapter")
    results = {
        "model": base.name, "data": classes.name, "classes": len(classes.cars),
        "images": {side: len(one.images) for side, one in sets.items()},
        "queries": {side: len(one.captions) for side, one in sets.items()},
        "settings": asdict(settings), "placement": asdict(placement),
        "processes": ranks.count, "seconds": fitted.seconds,
        **evaluation(test, {"zero_shot": base, "trained": trained}),
        "reported_elsewhere_percent": measures.REPORTED,
    }  # fmt: skip
    place = chosen.out / "evaluation_results.json"
    write_file_atomically(place, (json.dumps(results, indent=1, allow_nan=False) + "\n").encode())
    return place


def evaluation(test: PreparedSet, models: dict[str, Any]) -> dict[str, Any]:
    """Each model's metrics in both directions and its calibration, and what training changed."""
    embedded = {name: test.embed(model) for name, model in models.items()}
    ranked = {name: measures.ranks_of(*one, test.data) for name, one in embedded.items()}
    study, found = Study.of(ranked, test="test"), {}
    arms = {**{name: name for name in models}, "differences": {"trained": 1.0, "zero_shot": -1.0}}
    for name, arm in arms.items():
        found[name] = {d: {m: _numbers(measures.estimate(study, arm, metric=m, test="test",
                                                         direction=d))
                           for m in measures.REPORTED} for d in DIRECTIONS}  # fmt: skip
    found["chance"] = {d: {m: measures.chance(study, metric=m, test="test", direction=d)
                           for m in measures.REPORTED} for d in DIRECTIONS}  # fmt: skip
    for name, model in models.items():
        logits = measures.logits_of(model, *embedded[name], test.data)
        found[name]["calibration"] = measures.calibration_of(*logits) | {
            "logit_scale": model.logit_scale, "logit_bias": model.logit_bias}  # fmt: skip
    return found


def _numbers(one: Estimate) -> dict[str, Any]:
    if one.missing:
        return {"value": None, "reason": one.missing}
    return {"value": one.value, "low": one.low, "high": one.high, "n": one.n}


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and say what went wrong in a line; 0, or 2 after an error of settings or data."""
    chosen = arguments(argv)
    try:
        written = run(chosen, Ranks.join(chosen.device))
    except (ValueError, OSError, RuntimeError) as error:
        print(f"{NAME}, process {os.environ.get('RANK', '0')}: {error}", file=sys.stderr)
        return 2
    if written is not None:
        print(f"written: {written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
