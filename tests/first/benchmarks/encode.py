"""Encoding of pictures end to end, against what the model, the machine and others allow.

``python -m tests.first.benchmarks.encode [--quick] [--threads 1] [--clock cpu|wall] [--batch 32]``

The model has the configuration of CLIP ViT-B/32 with random weights: they take the time that the
real ones take. Pictures are JPEG files of 512 px, the course's normal form, in memory. Each way
runs in turn, and what counts is its fastest turn: what disturbs a measurement only makes it longer.

On one thread seconds are those of the processor by default, those of the threads that decode
included: end to end over the model alone is then the share of all work that is the model's, and no
core stands idle for it. With ``--clock wall`` it is what a person sees; on a machine whose cores
are all at the model's disposal the two come to the same.

The machine's limit is the fastest of several matrix products, those of the model's layers and a
large one among them. "plain" is the encoder as it is loaded, "lean" the copy that only encodes
(:mod:`helpers.first.retrieval.precision`). The last line is one JSON object of ratios.
"""

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor

from helpers.data.images import encode_jpeg
from helpers.first.models.encoders import Encoder
from helpers.first.retrieval.corpus import embed_pictures
from helpers.first.retrieval.onnx_encoder import load_onnx
from helpers.first.retrieval.onnx_export import export_onnx
from helpers.first.retrieval.onnx_int8 import CUTS, quantize_onnx
from helpers.first.retrieval.precision import in_precision
from helpers.first.retrieval.preprocessing import fast_preprocessing
from helpers.pretraining.shapes import TinyShape, train_tokenizer
from helpers.world import open_world

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
AIMS = {
    "end_to_end/fp32": 0.95, "end_to_end/bf16": 0.85, "of_limit/fp32": 0.78, "of_limit/bf16": 0.6,
    "int8/speed": 3.5, "int8/min_cosine": 0.9995,
}  # fmt: skip
WAYS = {  # ratio: what it divides, in images a second
    "end_to_end/fp32": ("end to end fp32", "lean fp32"),
    "end_to_end/bf16": ("end to end bf16", "lean bf16"),
    "end_to_end_small/fp32": ("end to end, 224 px files fp32", "lean fp32"),
    "end_to_end_small/bf16": ("end to end, 224 px files bf16", "lean bf16"),
    "lean/fp32": ("lean fp32", "plain fp32"),
    "lean/bf16": ("lean bf16", "plain bf16"),
    "onnx/fp32": ("onnx fp32", "plain fp32"),
    "int8/speed": ("onnx int8", "plain fp32"),
    "int8/against_lean_bf16": ("onnx int8", "lean bf16"),
    "preprocessing": ("fused preprocessing", "processor's preprocessing"),
    "sentence_transformers/fp32": ("end to end fp32", "sentence-transformers fp32"),
    "sentence_transformers/chosen": ("end to end bf16", "sentence-transformers fp32"),
}


@dataclass(frozen=True)
class Bench:
    """Pictures a batch, batches a turn, turns, and the clock."""

    batch: int
    batches: int
    turns: int
    clock: Callable[[], float]

    @property
    def n(self) -> int:
        """Pictures a turn."""
        return self.batch * self.batches


def random_clip() -> Encoder:
    """CLIP ViT-B/32 with random weights and a processor that has everything."""
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(vision_config={"patch_size": 32})).eval().requires_grad_(False)
    tokenizer = train_tokenizer(["a red mug"], TinyShape(text_length=77), start_token=True)
    processor = CLIPProcessor(CLIPImageProcessorPil(), tokenizer)
    return Encoder("random-clip-vit-b-32", "clip", model, processor, "cpu", "fp32", "random")


def drawn(n: int, *, px: int) -> list[bytes]:
    """JPEG files of the drawn kitchen; a few pictures, repeated."""
    world = open_world(f"kitchen?px={px}", n_recipes=16)
    files = [encode_jpeg(world.draw(i, 0).image) for i in range(16)]
    return [files[i % len(files)] for i in range(n)]


def limit_gflops(dtype: torch.dtype, bench: Bench) -> float:
    """The fastest matrix product that this machine was seen to do, 10**9 operations a second."""
    rows, best = bench.batch * 50, 0.0
    shapes = [(rows, 768, 3072), (rows, 768, 768), (rows, 3072, 768), (2048, 2048, 2048)]
    for m, k, n in shapes:
        a, weight = torch.randn(m, k, dtype=dtype), torch.randn(n, k, dtype=dtype)
        for _ in range(bench.turns + 2):
            began = bench.clock()
            for _ in range(4):
                F.linear(a, weight)
            best = max(best, 4 * 2 * m * k * n / (bench.clock() - began) / 1e9)
    return best


def gflop_per_image(encoder: Encoder) -> float:
    """Operations of the matrix products of one picture, 10**9."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        side = encoder.image_px
        encoder.model.get_image_features(pixel_values=torch.randn(1, 3, side, side))
    return counter.get_total_flops() / 1e9


def model_alone(encoder: Encoder, bench: Bench) -> Callable[[], object]:
    """Batches through the vision tower, pixels being ready."""
    side = encoder.image_px
    pixels = torch.randn(bench.batch, 3, side, side).to(encoder.model.dtype)

    def run() -> None:
        with torch.inference_mode():
            for _ in range(bench.batches):
                encoder.model.get_image_features(pixel_values=pixels)

    return run


def end_to_end(encoder: Encoder, files: list[bytes], bench: Bench) -> Callable[[], object]:
    """From files to unit rows, as a corpus is embedded."""
    ids = [str(i) for i in range(bench.n)]

    def run() -> None:
        with ThreadPoolExecutor(1 if torch.get_num_threads() == 1 else 2) as pool:
            options = {"pool": pool, "batch_size": bench.batch}
            for _ in embed_pictures(encoder, ids, lambda i: files[int(i)], **options):
                pass

    return run


def served_by_onnx(plain: Encoder, folder: Path, bench: Bench) -> tuple[dict[str, Encoder], float]:
    """The vision tower in fp32 and int8, and the lowest cosine on pictures not chosen on."""
    export_onnx(plain, folder, towers=("vision",))
    pictures = [Image.open(io.BytesIO(f)).convert("RGB") for f in drawn(16, px=256)]
    options = {"repeats": bench.turns, "cuts": (CUTS[0], CUTS[3], CUTS[-1]), "clock": bench.clock}
    table = quantize_onnx(folder, pictures[:8], ["unused"], **options)
    print(table.round(5).to_string(index=False), flush=True)
    threads = torch.get_num_threads()
    served = {p: load_onnx(folder, precision=p, threads=threads) for p in ("fp32", "int8")}
    rows = plain.images(pictures[8:]), served["int8"].images(pictures[8:])
    return served, float((rows[0] * rows[1]).sum(axis=1).min())


def sentence_transformers(plain: Encoder, folder: Path, files: list[bytes], bench: Bench):
    """The same weights and pictures by sentence-transformers; None where it is not installed."""
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import CLIPModel as Wrapped
    except ImportError:
        print("sentence-transformers is not installed here: not compared", flush=True)
        return None
    plain.model.save_pretrained(folder)
    plain.processor.save_pretrained(folder)
    other = SentenceTransformer(modules=[Wrapped(str(folder))], device="cpu")

    def run() -> None:
        pictures = [Image.open(io.BytesIO(f)).convert("RGB") for f in files[: bench.n]]
        other.encode(pictures, batch_size=bench.batch, show_progress_bar=False)

    return run


def in_turns(ways: dict[str, Callable[[], object]], bench: Bench) -> dict[str, float]:
    """Images a second in the fastest turn of each way, after one that warms up."""
    best = dict.fromkeys(ways, np.inf)
    for turn in range(bench.turns + 1):
        for name, run in ways.items():
            began = bench.clock()
            run()
            if turn:
                best[name] = min(best[name], bench.clock() - began)
    return {name: bench.n / seconds for name, seconds in best.items()}


def measured(bench: Bench) -> dict[str, float]:
    """All ratios."""
    plain = random_clip()
    files, small = drawn(bench.n, px=512), drawn(bench.n, px=224)
    pictures = [Image.open(io.BytesIO(f)).convert("RGB") for f in files]
    lean = {name: in_precision(plain, name) for name in DTYPES}
    rounded = CLIPModel(plain.model.config).eval().requires_grad_(False)
    rounded.load_state_dict(plain.model.state_dict())
    in_bf16 = replace(plain, model=rounded.to(torch.bfloat16), precision="bf16")
    plains = {"fp32": plain, "bf16": in_bf16}
    ready = fast_preprocessing(plain)
    with tempfile.TemporaryDirectory() as scratch:
        served, cosine = served_by_onnx(plain, Path(scratch) / "onnx", bench)
        ways = {}
        for name in DTYPES:
            ways[f"plain {name}"] = model_alone(plains[name], bench)
            ways[f"lean {name}"] = model_alone(lean[name], bench)
            ways[f"end to end {name}"] = end_to_end(lean[name], files, bench)
            ways[f"end to end, 224 px files {name}"] = end_to_end(lean[name], small, bench)
        for name, encoder in served.items():
            ways[f"onnx {name}"] = model_alone(encoder, bench)
        ways["fused preprocessing"] = lambda: ready.finish([ready.prepare(p) for p in pictures])
        ways["processor's preprocessing"] = partial(plain.pixels, pictures)
        others = sentence_transformers(plain, Path(scratch) / "others", files, bench)
        if others is not None:
            ways["sentence-transformers fp32"] = others
        speed = in_turns(ways, bench)
    work = gflop_per_image(plain)
    limits = {name: limit_gflops(dtype, bench) for name, dtype in DTYPES.items()}
    for name, value in speed.items():
        print(f"  {name:32} {value:8.1f} images/s {1e3 / value:8.2f} ms each")
    for name, value in limits.items():
        print(f"  limit of {name}: {value:.0f} GFLOP/s; a picture takes {work:.2f} GFLOP")
    ratios = {
        ratio: speed[a] / speed[b] if {a, b} <= set(speed) else None
        for ratio, (a, b) in WAYS.items()
    }
    ratios |= {f"of_limit/{n}": speed[f"lean {n}"] * work / limits[n] for n in DTYPES}
    ratios |= {f"of_limit_plain/{n}": speed[f"plain {n}"] * work / limits[n] for n in DTYPES}
    return {**ratios, "int8/min_cosine": cosine}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer pictures and turns")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=("cpu", "wall"), default="", help="default: see above")
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kind = options.clock or ("cpu" if options.threads == 1 else "wall")
    clock = {"cpu": time.process_time, "wall": time.perf_counter}[kind]
    batches, turns = (1, 2) if options.quick else (4, 5)
    print(f"{options.threads} thread(s), {kind} clock, batch {options.batch}", flush=True)
    ratios = measured(Bench(options.batch, batches, turns, clock))
    for name, aim in AIMS.items():
        met = "met" if ratios[name] >= aim else "missed"
        print(f"  {name:20} {ratios[name]:7.4f}, aim {aim}: {met}")
    rounded = {name: None if v is None else round(v, 5) for name, v in ratios.items()}
    print(json.dumps({"benchmark": "encode", "threads": options.threads, "clock": kind, **rounded}))


if __name__ == "__main__":
    main()
