"""Exported towers with whole numbers in their products, as many of them as the rows allow.

Dynamic quantization: weights become int8 once, with a factor for each output channel; activations
become eight bits at every call, with one factor for the whole array, so that one large value costs
all the others their precision. Which layers suffer depends on the model. So several cuts are tried
on held pictures, and the fastest that leaves the rows where they were is kept.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from PIL import Image

from helpers.first.models.encoders import Encoder
from helpers.first.retrieval.onnx_encoder import load_onnx, open_session
from helpers.first.retrieval.onnx_export import (
    file_name,
    module_of,
    muted,
    read_record,
    write_record,
)
from helpers.store.zones import write_file_atomically

FLOOR = 0.9995  # lowest cosine between a row and the row of the fp32 model
OPERATIONS = ("MatMul", "Gemm")


@dataclass(frozen=True)
class Cut:
    """A choice of what stays in fp32: ``keeps(module, last)`` with the number of the last layer."""

    name: str
    keeps: Callable[[str, int], bool]


def layer_of(module: str) -> int:
    """The number of the layer that a module is in; -1 outside of all."""
    found = re.search(r"encoder\.layers\.(\d+)\.", module + ".")
    return int(found[1]) if found else -1


CUTS = (
    Cut("nothing", lambda module, last: False),
    Cut("heads", lambda module, last: layer_of(module) < 0),
    Cut("heads, last layer", lambda module, last: layer_of(module) in (-1, last)),
    Cut("heads, second MLP products", lambda module, last: layer_of(module) < 0
        or module.endswith("fc2")),
    Cut("heads, second half", lambda module, last: layer_of(module) < 0
        or layer_of(module) > last // 2),
    Cut("all but the first MLP products", lambda module, last: not module.endswith("fc1")),
    Cut("everything", lambda module, last: True),
)  # fmt: skip


def quantize_onnx(
    folder: Path | str,
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    *,
    reference: Encoder | None = None,
    floor: float = FLOOR,
    repeats: int = 3,
    cuts: Sequence[Cut] = CUTS,
    clock: Callable[[], float] = time.perf_counter,
) -> pd.DataFrame:
    """Write int8 towers beside the exported ones: the most of them whose rows stay where they were.

    Parameters
    ----------
    folder : path
        That :func:`onnx_export.export_onnx` wrote; ``vision.int8.onnx`` and ``text.int8.onnx`` are
        added.
    pictures, captions : sequences
        Held for this choice: what is reported afterwards is measured on others.
    reference : Encoder, optional
        Whose rows count; the exported model in fp32 if none is given.
    floor : float
        The lowest cosine of any row with the reference's.
    repeats : int
        Timed passes; the fastest counts.
    cuts : sequence of Cut
        All are tried; the last, which should keep everything, is taken where none holds the floor.

    Returns
    -------
    pandas.DataFrame
        tower, kept_fp32, n_int8 (products in whole numbers), min_cosine, latency_ms (one batch),
        mb, chosen: of those that hold the floor the one with the most products in whole numbers;
        times choose nothing, as they differ between machines. ``everything`` is the fp32 file
        again: it is chosen where no other holds the floor.
    """
    if not len(pictures) or not len(captions):
        raise ValueError(
            f"{len(pictures)} pictures and {len(captions)} captions to choose on; hold some of both"
        )
    folder = Path(folder)
    record = read_record(folder)
    plain = load_onnx(folder)
    wanted = reference or plain
    inputs, rows = {}, {}
    if "vision" in record["towers"]:
        inputs["vision"] = {"pixel_values": plain.pixels(list(pictures)).numpy()}
        rows["vision"] = wanted.images(list(pictures))
    if "text" in record["towers"]:
        inputs["text"] = {n: t.numpy() for n, t in plain.tokens(list(captions)).items()}
        rows["text"] = wanted.texts(list(captions))
    tables = []
    with TemporaryDirectory() as scratch:
        for tower in inputs:
            tried = _try_cuts(
                folder / file_name(tower, "fp32"), Path(scratch), inputs[tower], rows[tower],
                floor=floor, repeats=repeats, cuts=cuts, clock=clock,
            )  # fmt: skip
            best = tried.index[tried.chosen][0]
            content = (Path(scratch) / f"{best}.onnx").read_bytes()
            write_file_atomically(folder / file_name(tower, "int8"), content)
            tables.append(tried.assign(tower=tower))
    write_record(folder, record, precision="int8")
    columns = ["tower", "kept_fp32", "n_int8", "min_cosine", "latency_ms", "mb", "chosen"]
    return pd.concat(tables, ignore_index=True)[columns]


def _try_cuts(
    source: Path,
    scratch: Path,
    inputs: Mapping[str, np.ndarray],
    rows: np.ndarray,
    *,
    floor: float,
    repeats: int,
    cuts: Sequence[Cut],
    clock: Callable[[], float],
) -> pd.DataFrame:
    """A row for each cut; of those that hold the floor the one with the most in int8 is chosen."""
    found = []
    for number, cut in enumerate(cuts):
        path = scratch / f"{number}.onnx"
        n_int8 = _quantized(source, path, cut)
        found_rows, seconds = _timed(path, inputs, repeats, clock)
        cosine = float((found_rows * rows).sum(axis=1).min())
        found.append((cut.name, n_int8, cosine, 1e3 * seconds, path.stat().st_size / 2**20))
    columns = ["kept_fp32", "n_int8", "min_cosine", "latency_ms", "mb"]
    table = pd.DataFrame(found, columns=columns)
    holds = table.min_cosine >= floor
    best = table.n_int8[holds].idxmax() if holds.any() else len(table) - 1
    return table.assign(chosen=table.index == best)


def _quantized(source: Path, path: Path, cut: Cut) -> int:
    """Write the file of a cut; how many products are in whole numbers."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    constants = {one.name for one in model.graph.initializer}
    products = {
        node.name: module_of(node)
        for node in model.graph.node
        if node.op_type in OPERATIONS and node.input[1] in constants
    }
    last = max(map(layer_of, products.values()), default=-1)
    kept = [name for name, module in products.items() if cut.keeps(module, last)]
    if len(kept) == len(products):
        path.write_bytes(source.read_bytes())
        return 0
    with muted(""):  # its advice is followed here, or does not apply
        quantize_dynamic(
            source, path, op_types_to_quantize=list(OPERATIONS), per_channel=True,
            weight_type=QuantType.QInt8, nodes_to_exclude=kept,
            extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
    return len(products) - len(kept)


def _timed(
    path: Path, inputs: Mapping[str, np.ndarray], repeats: int, clock: Callable[[], float]
) -> tuple[np.ndarray, float]:
    import torch

    session = open_session(path, threads=torch.get_num_threads())
    asked = {one.name for one in session.get_inputs()}
    fed = {name: value for name, value in inputs.items() if name in asked}
    rows, best = session.run(["rows"], fed)[0], np.inf
    for _ in range(repeats):
        began = clock()
        session.run(["rows"], fed)
        best = min(best, clock() - began)
    return rows, best
