"""Zero-shot, training and evaluation of instance retrieval in one run, on any number of processes.

    python -m helpers.first.training --source world:garage --out reports/cars
    torchrun --nproc_per_node=8 -m helpers.first.training --source DIR --model HUB_ID --precision bf16

The first process alone writes: ``evaluation_results.json``, ``adapter/``, ``training_logs.json``. A
run that was killed goes on from ``state.safetensors`` when it is started again.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from helpers.first.models.loading import load_encoder
from helpers.first.models.lora import AdapterError, save_adapter
from helpers.first.models.placement import Placement
from helpers.first.training.instance_data import ensure_asked
from helpers.first.training.instance_results import results_of
from helpers.first.training.instance_runs import (
    InstanceArm,
    measure,
    ready_bench,
    stored_again,
    train_arm,
)
from helpers.first.training.ranks import Ranks, join_ranks
from helpers.store.zones import open_zone, write_file_atomically

Made = TypeVar("Made")


class RunError(RuntimeError):
    """What stopped the run on the first process, as the others are told."""


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The settings of a run. Ends the process at an unknown one, as ``argparse`` does."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.first.training",
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--source", default="world:garage", help="a domain of the world, or a folder")
    add("--model", default="tiny-siglip", help="a tiny model, a directory or a hub id")
    add("--out", type=Path, default=Path("reports/instances"), help="folder for all results")
    add("--zone", default="", help="where data is kept; empty: zone/ in the folder of results")
    add("--max-recipes", type=int, default=0, help="classes; 0: all")
    add("--image-px", type=int, default=512, help="side of a stored picture")
    add("--queries", type=int, default=8, help="written queries a class")
    add("--loss", choices=("sigmoid", "info_nce"), default="sigmoid")
    add("--epochs", type=int, default=3, help="passes over the training pictures")
    add("--batch", type=int, default=64, help="pairs of a step, over all processes")
    add("--held", type=int, default=32, help="pairs in the memory of a process at once")
    add("--learning-rate", type=float, default=0.005)
    add("--warmup", type=float, default=0.1, help="share of the steps; from 1 on: steps")
    add("--rank", type=int, default=8)
    add("--alpha", type=float, default=16.0)
    add("--modules", default="q_proj,v_proj")
    add("--vision-layers", type=int, default=-1, help="last layers; -1: all, 0: none")
    add("--text-layers", type=int, default=-1)
    add("--precision", choices=("fp32", "bf16"), default="fp32")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--seed", type=int, default=42)
    return parser.parse_args(argv)


def first_then_others(ranks: Ranks, work: Callable[[], Made]) -> Made:
    """Do work that writes on the first process, then on the others, which find it done.

    Raises
    ------
    RunError
        On the others, where the first one failed: nobody waits for ever.
    """
    if ranks.count == 1:
        return work()
    made, failed = None, ""
    if ranks.is_first:
        try:
            made = work()
        except Exception as error:
            ranks.told(f"{type(error).__name__}: {error}")
            raise
    if failed := ranks.told(failed):
        raise RunError(f"process 0 failed: {failed}")
    return made if ranks.is_first else work()


def run(chosen: argparse.Namespace, ranks: Ranks) -> Path | None:
    """The whole run; the path of its results on the first process, None on the others.

    Raises
    ------
    ValueError, OSError, RuntimeError
        For settings that do not fit one another or the data, with the remedy.
    """
    zone = open_zone(chosen.zone or str(chosen.out.resolve() / "zone"))
    base = load_encoder(chosen.model, device=ranks.device or chosen.device)
    if chosen.loss == "sigmoid" and base.family != "siglip":
        raise ValueError(f"{base.name} has no logit bias: use --loss info_nce, or a SigLIP")
    asked = first_then_others(
        ranks,
        lambda: ensure_asked(
            zone, source=chosen.source, n_queries=chosen.queries, image_px=chosen.image_px,
            max_recipes=chosen.max_recipes, seed=chosen.seed, progress=ranks.is_first,
        ),
    )  # fmt: skip
    bench = ready_bench(asked.instances.pairs, base)
    arm = _arm(chosen, len(bench.ready.image_keys))
    chosen.out.mkdir(parents=True, exist_ok=True)
    before = measure(base, bench) if ranks.is_first else None
    began = time.perf_counter()
    adapted, trained = train_arm(
        bench, base, arm, ranks=ranks, state=chosen.out / "state.safetensors",
        progress=ranks.is_first,
    )  # fmt: skip
    if not ranks.is_first:
        return None
    about = {"processes": ranks.count, "seconds": time.perf_counter() - began}
    folder = chosen.out / "adapter"
    save_adapter(adapted, folder, data=f"{bench.pairs.source}, training part")
    after = measure(stored_again(adapted, base, folder).encoder, bench)
    results = results_of(before, after, arm=arm, model=base.name, bench=bench, about=about)
    _write(chosen.out / "training_logs.json", {"steps": list(trained.steps)})
    return _write(chosen.out / "evaluation_results.json", results)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and say what went wrong in a line; 0, or 2 after an error of settings or data."""
    chosen = arguments(argv)
    try:
        ranks = join_ranks(device=chosen.device)
        written = run(chosen, ranks)
    except (ValueError, OSError, AdapterError, RuntimeError) as error:
        rank = os.environ.get("RANK", "0")
        print(f"helpers.first.training, process {rank}: {error}", file=sys.stderr)
        return 2
    if written is not None:
        print(f"written: {written}")
    return 0


def _arm(chosen: argparse.Namespace, n_pictures: int) -> InstanceArm:
    """The run's arm; pictures that fill no last batch are left to the next epoch."""
    if chosen.epochs < 1 or chosen.batch < 2:
        raise ValueError(f"epochs {chosen.epochs}, batch {chosen.batch}: at least 1 and 2")
    samples = chosen.epochs * n_pictures // chosen.batch * chosen.batch
    if not samples:
        raise ValueError(
            f"{chosen.epochs} epochs over {n_pictures} pictures fill no batch of {chosen.batch}: "
            "lower --batch or raise --epochs"
        )
    placement = Placement(
        rank=chosen.rank, alpha=chosen.alpha, dropout=0.0, modules=chosen.modules,
        vision_layers=chosen.vision_layers, text_layers=chosen.text_layers,
    )  # fmt: skip
    return InstanceArm(
        loss=chosen.loss, batch=chosen.batch, samples=samples, held=chosen.held,
        placement=placement, learning_rate=chosen.learning_rate, warmup=chosen.warmup,
        precision=chosen.precision, seed=chosen.seed,
    )  # fmt: skip


def _write(place: Path, value: dict) -> Path:
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_file_atomically(place, f"{text}\n".encode())
    return place


if __name__ == "__main__":
    sys.exit(main())
