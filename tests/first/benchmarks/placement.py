"""Training from kept prefixes against the plain peft loop, side by side in one process.

``python -m tests.first.benchmarks.placement [--quick] [--threads 1] [--device cpu] [--batch 32]``

Models have the configuration of CLIP ViT-B/32 and of SigLIP-base/16 at 224 px, with random weights:
they take the time that the real ones take. Each way takes whole training steps in turn (gathering,
both towers, loss, backward, clipping, AdamW); what counts is the fastest of its steps. On one
thread of a CPU seconds are those of the processor, so that other work on the machine disturbs less;
else they are those of the wall clock.

The plain loop reads pixels from memory and texts at the model's full length; "trimmed" has them cut
to the longest caption. The study is the eight rows of the placement table, three epochs each, over
1,000 pictures with a caption each: steps times measured seconds. Its kept side pays for decoding,
resizing and hashing the pictures and for computing the prefixes; its plain side has pixels at hand.
In bf16 both sides run under autocast. Last comes one JSON line: plain over kept.
"""

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

from helpers.first.models.encoders import Encoder
from helpers.first.models.lora import adapt
from helpers.first.models.placement import Placement
from helpers.first.studies.placement import ORIGINAL
from helpers.first.training.pairs import TrainingPairs, resized
from helpers.first.training.prefix_cache import build_prefixes, prefix_towers
from helpers.first.training.settings import Training
from helpers.first.training.step import optimizer_for, take_step
from helpers.first.training.towers import towers_of

PICTURES, EPOCHS, LONGEST = 1000, 3, 16  # of the study; tokens of the longest caption
K2 = "r8 v2 heads"  # the row whose single steps are shown
ROWS = {name: row.placement for name, row in ORIGINAL.items()}
TRAINING = {precision: Training(precision=precision) for precision in ("fp32", "bf16")}


@dataclass(frozen=True)
class Bench:
    """How to measure: a batch size, repeats of a step, a device, a clock."""

    batch: int
    repeats: int
    device: str
    clock: Callable[[], float]

    def seconds(self, work: Callable[[], object]) -> float:
        """How long a piece of work takes, this once."""
        self.wait()
        began = self.clock()
        work()
        self.wait()
        return self.clock() - began

    def wait(self) -> None:
        """Until the device is done."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


def random_encoder(family: str, device: str) -> Encoder:
    """The base configuration of a family with random weights."""
    torch.manual_seed(0)
    if family == "clip":
        model = CLIPModel(CLIPConfig(vision_config={"patch_size": 32}))
        processor = CLIPImageProcessorPil()
    else:
        model = SiglipModel(SiglipConfig())
        processor = SiglipImageProcessorPil(size={"height": 224, "width": 224})
    model = model.eval().requires_grad_(False).to(device)
    tools = SimpleNamespace(image_processor=processor, tokenizer=SimpleNamespace(get_vocab=dict))
    return Encoder(f"random-{family}", family, model, tools, device, "fp32", "random")


def random_pairs(encoder: Encoder, n: int, *, length: int) -> TrainingPairs:
    """n pictures with a caption each, of 9 to ``LONGEST`` tokens padded to ``length``."""
    generator = torch.Generator().manual_seed(1)
    ends = torch.randint(8, LONGEST, (n,), generator=generator)
    ends[:: max(1, n // 8)] = LONGEST - 1
    ids = torch.randint(5, 30000, (n, length), generator=generator)
    after = torch.arange(length) >= ends[:, None]
    # CLIP's own end token; the SigLIP configuration's default lies outside its vocabulary
    filler = encoder.model.config.text_config.eos_token_id if encoder.family == "clip" else 1
    tokens = {"input_ids": ids.masked_fill(after, filler)}
    if encoder.family == "clip":
        tokens["attention_mask"] = (torch.arange(length) <= ends[:, None]).long()
    pixels = torch.randint(0, 256, (n, 3, 224, 224), generator=generator, dtype=torch.uint8)
    rows, names = np.arange(n), np.arange(n).astype(str)
    return TrainingPairs(names, rows, rows, names, names, pixels, tokens, rows[:0], rows[:0])


def stepper(
    encoder: Encoder,
    pairs: TrainingPairs,
    placement: Placement,
    bench: Bench,
    *,
    precision: str = "fp32",
    folder: Path | None = None,
) -> Callable[[], object]:
    """A function that takes one training step; from kept prefixes where a folder is given."""
    adapted = adapt(encoder, placement).encoder
    towers = towers_of(adapted, pairs)
    if folder is not None:
        options = {"precision": precision, "folder": folder, "progress": False}
        towers = prefix_towers(adapted, pairs, placement, **options)
    settings = replace(TRAINING[precision], batch_size=bench.batch)
    optimizer, rows = optimizer_for(adapted.model, settings), np.arange(bench.batch)
    return lambda: take_step(adapted, pairs, settings, towers, optimizer, rows, step=1, total=100)


def in_turns(ways: dict[str, Callable[[], object]], bench: Bench) -> dict[str, float]:
    """Seconds of the fastest step of each way, after one that warms up."""
    found = dict.fromkeys(ways, np.inf)
    for turn in range(bench.repeats + 1):
        for name, step in ways.items():
            spent = bench.seconds(step)
            if turn:
                found[name] = min(found[name], spent)
    return found


def gflop(step: Callable[[], object]) -> float:
    """Floating-point operations of the matrix products of a step, in 10**9."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e9


def k2_steps(encoder: Encoder, folder: Path, bench: Bench) -> dict[str, float]:
    """One row's step in all ways, as a table; seconds by way."""
    pairs, short = pairs_of(encoder, bench.batch)
    row = ROWS[K2]
    ways = {
        "plain": stepper(encoder, pairs, row, bench),
        "kept": stepper(encoder, pairs, row, bench, folder=folder),
        "plain bf16": stepper(encoder, pairs, row, bench, precision="bf16"),
        "kept bf16": stepper(encoder, pairs, row, bench, precision="bf16", folder=folder),
    }
    if encoder.family == "clip":  # SigLIP was trained on padded texts: nothing may be cut
        ways["plain trimmed"] = stepper(encoder, short, row, bench)
    found = in_turns(ways, bench)
    print(f"\n{encoder.name}, row '{K2}', batch {bench.batch}")
    for name, seconds in found.items():
        work = gflop(ways[name])
        against = found["plain bf16" if "bf16" in name else "plain"] / seconds
        print(f"  {name:14} {seconds:7.3f} s/step  {against:5.1f}x  {work:6.0f} GFLOP", flush=True)
    return found


def study(
    encoder: Encoder, folder: Path, precision: str, bench: Bench
) -> tuple[dict[str, float], float, float]:
    """Seconds of a step of every row by way; of reading all pictures; of all prefixes."""
    pairs, short = pairs_of(encoder, 2 * bench.batch)
    options = {"precision": precision, "folder": folder, "progress": False}
    first, again = (
        bench.seconds(lambda: build_prefixes(encoder, pairs, ROWS.values(), **options))
        for _ in range(2)
    )  # the second finds all: what is left is the cost of looking, once a row
    build = PICTURES * (first - again) / len(pairs) + len(ROWS) * again
    read = bench.seconds(lambda: [resized(encoder, picture()) for picture in jpegs(32)]) / 32
    ways = {}
    for name, row in ROWS.items():
        kept = stepper(encoder, pairs, row, bench, precision=precision, folder=folder)
        ways[f"kept|{name}"] = kept
    for name in shapes():
        for kind, some in (("plain", pairs), ("trimmed", short)):
            ways[f"{kind}|{name}"] = stepper(encoder, some, ROWS[name], bench, precision=precision)
    return in_turns(ways, bench), PICTURES * read, build


def study_ratio(encoder: Encoder, folder: Path, precision: str, bench: Bench) -> float:
    """The whole study in both ways, as a table; plain over kept."""
    found, read, build = study(encoder, folder, precision, bench)
    same = {row: name for name in shapes() for row in ROWS if shape(row) == shape(name)}
    steps = EPOCHS * (PICTURES // bench.batch)
    print(f"\n{encoder.name}, {precision}: seconds a step of each row")
    totals = {"plain": 0.0, "trimmed": 0.0, "kept": read + build}
    for row in ROWS:
        by_way = {"plain": found[f"plain|{same[row]}"], "trimmed": found[f"trimmed|{same[row]}"],
                  "kept": found[f"kept|{row}"]}  # fmt: skip
        for way, seconds in by_way.items():
            totals[way] += steps * seconds
        shown = "  ".join(f"{way} {seconds:6.3f}" for way, seconds in by_way.items())
        print(f"  {row:20} {shown}  {by_way['plain'] / by_way['kept']:5.1f}x")
    print(
        f"  {len(ROWS)} rows x {EPOCHS} epochs x {PICTURES} pictures: plain {totals['plain']:.0f} s"
        f", trimmed {totals['trimmed']:.0f} s, kept {totals['kept']:.0f} s "
        f"(reading {read:.0f} s, prefixes {build:.0f} s): "
        f"{totals['plain'] / totals['kept']:.2f}x, {totals['trimmed'] / totals['kept']:.2f}x",
        flush=True,
    )
    return totals["plain"] / totals["kept"]


def shape(row: str) -> tuple[int, int]:
    """What decides a plain step's work, near enough: the adapted layers of both towers."""
    return ROWS[row].vision_layers, ROWS[row].text_layers


def shapes() -> list[str]:
    """One row of each shape; prefer those that adapt queries and values alone."""
    return list({shape(row): row for row in reversed(ROWS) if "qkvo" not in row}.values())


def pairs_of(encoder: Encoder, n: int) -> tuple[TrainingPairs, TrainingPairs]:
    """The same pairs with texts at full length, and cut to the longest."""
    full = encoder.model.config.text_config.max_position_embeddings
    pairs = random_pairs(encoder, n, length=full)
    return pairs, replace(pairs, tokens={k: v[:, :LONGEST] for k, v in pairs.tokens.items()})


def jpegs(n: int) -> Iterable[Callable[[], Image.Image]]:
    """Decoders of n smooth pictures of 512 px."""
    generator = np.random.default_rng(0)
    for _ in range(n):
        colors = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(colors).resize((512, 512)).save(stream, "JPEG", quality=92)
        yield partial(_decoded, stream.getvalue())


def _decoded(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def cache_sizes(folder: Path, n: int) -> None:
    """What 1,000 pictures take, by store."""
    for store in sorted(folder.iterdir()):
        if "-vision-" in store.name:
            size = sum(path.stat().st_size for path in store.glob("*.safetensors"))
            print(f"  {store.name.rsplit('-', 1)[0]:24} {size / n * 1e-3:6.0f} MB / 1,000 pictures")


def main() -> None:
    """Print the tables and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one measured step of each way")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=32)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    alone = asked.threads == 1 and asked.device == "cpu"
    clock = time.process_time if alone else time.perf_counter
    bench = Bench(asked.batch, 1 if asked.quick else 2, asked.device, clock)
    print(f"torch {torch.__version__}, {asked.device}, {asked.threads} thread(s), "
          f"{'processor' if alone else 'wall'} seconds")  # fmt: skip
    ratios = {}
    for family in ("clip", "siglip"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            encoder = random_encoder(family, asked.device)
            steps = k2_steps(encoder, folder, bench)
            cache_sizes(folder, bench.batch)
            ratios[f"{family}_k2_fp32"] = steps["plain"] / steps["kept"]
            if family == "clip":
                ratios["clip_k2_fp32_trimmed"] = steps["plain trimmed"] / steps["kept"]
                for precision in ("fp32", "bf16"):
                    fresh = folder / precision
                    ratios[f"clip_study_{precision}"] = study_ratio(
                        encoder, fresh, precision, bench
                    )
    names = ("clip_k2_fp32", "clip_k2_fp32_trimmed", "clip_study_fp32", "clip_study_bf16",
             "siglip_k2_fp32")  # fmt: skip
    print(json.dumps({name: round(ratios[name], 2) for name in names}))


if __name__ == "__main__":
    main()
