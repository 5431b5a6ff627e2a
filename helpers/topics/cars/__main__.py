"""Zero-shot, training and evaluation of instance retrieval in one run, on any number of processes.

    python -m helpers.topics.cars --out reports/cars
    torchrun --nproc_per_node=8 -m helpers.topics.cars --source FOLDER --precision bf16

The first process alone writes ``evaluation_results.json``, ``adapter/`` and ``losses.csv``. A run
that was stopped goes on from ``state.safetensors`` when it is started again.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from helpers.evaluation.ranking import DIRECTIONS
from helpers.evaluation.stats import Estimate
from helpers.experiment import PreparedSet
from helpers.models.encoder import load_encoder
from helpers.models.lora import adapt, load_adapter, save_adapter
from helpers.models.placement import Placement
from helpers.store.zones import write_file_atomically
from helpers.study import Study
from helpers.topics.cars import llm, measures
from helpers.topics.cars.distributed import Ranks, join, shared_step
from helpers.topics.cars.instances import ask, open_classes, split_queries
from helpers.training.batches import epoch_batches, plain_towers
from helpers.training.loop import Settings, fit
from helpers.training.runs import SCALARS

NAME = "helpers.topics.cars"


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


def first_then_others(ranks: Ranks, work: Callable[[], Any]) -> Any:
    """Do work that writes on the first process, then on the others, which find it done.

    Raises ``RuntimeError`` on the others where the first one failed: nobody waits for ever.
    """
    if ranks.rank:
        if failed := ranks.told(""):
            raise RuntimeError(f"process 0 failed: {failed}")
        return work()
    try:
        done = work()
    except Exception as error:
        ranks.told(f"{type(error).__name__}: {error}")
        raise
    ranks.told("")
    return done


def run(chosen: argparse.Namespace, ranks: Ranks) -> Path | None:
    """The whole run; the path of its results on the first process, None on the others."""
    base = load_encoder(chosen.model, device=ranks.device or chosen.device)
    if chosen.loss == "sigmoid" and base.family != "siglip":
        raise ValueError(f"{base.name} has no logit bias: use --loss info_nce, or a SigLIP")
    classes = open_classes(chosen.source, max_recipes=chosen.max_recipes,
                           image_px=chosen.image_px, seed=chosen.seed)  # fmt: skip
    written = first_then_others(ranks, lambda: ask(
        classes, query_writer=chosen.query_writer, query_judge=chosen.query_judge,
        zone=str(chosen.out.resolve() / "zone"), n=chosen.queries, seed=chosen.seed,
    ))  # fmt: skip
    sets = classes.sets(split_queries(written.queries, classes, seed=chosen.seed))
    pairs, test = (PreparedSet.of(base, sets[side]) for side in ("train", "test"))
    pairs = pairs.pairs
    settings = Settings(
        epochs=chosen.epochs, batch_size=chosen.batch, loss=chosen.loss, draw="image",
        learning_rate=chosen.learning_rate, warmup=chosen.warmup, precision=chosen.precision,
        keep="last", seed=chosen.seed,
    )  # fmt: skip
    placement = Placement(rank=chosen.rank, alpha=chosen.alpha, dropout=0.0, modules=chosen.modules)
    adapted = adapt(base, placement, seed=chosen.seed, scalars=SCALARS[chosen.loss])
    towers = plain_towers(adapted, pairs, transform=measures.augmented)
    step = shared_step(adapted, pairs, towers, settings, ranks, held=chosen.held)
    per_epoch = len(list(epoch_batches(
        pairs, batch_size=chosen.batch, draw="image", seed=chosen.seed, epoch=0)))  # fmt: skip
    chosen.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    fitted = fit(adapted.model, step, settings=settings, steps_per_epoch=per_epoch,
                 state=chosen.out / "state.safetensors", identity=pairs.fingerprint,
                 progress=not ranks.rank)  # fmt: skip
    seconds = time.perf_counter() - began
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
        "processes": ranks.count, "seconds": seconds,
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
    table = measures.metric_table(study, test="test")
    for name, model in models.items():
        logits = measures.logits_of(model, *embedded[name], test.data)
        own = table[table["arm"] == name]
        found[name] = {d: {r.metric: _numbers(r.estimate) | {"chance": r.chance}
                           for r in own[own["direction"] == d].itertuples()}
                       for d in DIRECTIONS}  # fmt: skip
        found[name]["calibration"] = measures.calibration_of(*logits) | {
            "logit_scale": model.logit_scale, "logit_bias": model.logit_bias}  # fmt: skip
    gains = {d: {m: _numbers(study.difference("trained", "zero_shot", metric=m, test="test",
                                              direction=d)) for m in ("hit@1", "hit@5", "mrr")}
             for d in DIRECTIONS}  # fmt: skip
    for d, one in measures.map_gains(study, "trained", "zero_shot", test="test").items():
        gains[d]["mAP"] = _numbers(one)
    return {**found, "differences": gains}


def _numbers(one: Estimate) -> dict[str, Any]:
    if one.missing:
        return {"value": None, "reason": one.missing}
    return {"value": one.value, "low": one.low, "high": one.high, "n": one.n}


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and say what went wrong in a line; 0, or 2 after an error of settings or data."""
    chosen = arguments(argv)
    try:
        written = run(chosen, join(chosen.device))
    except (ValueError, OSError, RuntimeError) as error:
        print(f"{NAME}, process {os.environ.get('RANK', '0')}: {error}", file=sys.stderr)
        return 2
    if written is not None:
        print(f"written: {written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
