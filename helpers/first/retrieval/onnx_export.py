"""Both towers as ONNX files, with all that an encoder needs lying beside them.

A file takes pixels or tokens and gives unit rows, for any number of them. ONNX has no notion of an
adapter: merge it first. Nothing is downloaded, and nothing of the machine that exports is kept.
"""

import ast
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from helpers.first.models.encoders import Encoder
from helpers.first.models.loading import weights_fingerprint
from helpers.first.models.prompts import PromptedLayer
from helpers.first.retrieval.space import space_of
from helpers.repro import canonical_json, library_versions, sha256_file
from helpers.store.zones import write_file_atomically

RECORD, SCHEMA = "onnx.json", 1
TOWERS = ("vision", "text")
SCOPES = "pkg.torch.onnx.name_scopes"  # where the exporter keeps the module behind a node
OPSET = 20


class OnnxRefused(ValueError):
    """A model that cannot be exported, or an exported one that cannot be opened."""


class _Vision(nn.Module):
    """Pixels to unit rows."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        rows = self.model.get_image_features(pixel_values=pixel_values).pooler_output
        return F.normalize(rows, dim=-1)


class _Text(nn.Module):
    """Tokens to unit rows; SigLIP has no mask."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        rows = self.model.get_text_features(input_ids=input_ids, attention_mask=attention_mask)
        return F.normalize(rows.pooler_output, dim=-1)


def export_onnx(encoder: Encoder, folder: Path | str, *, towers: Sequence[str] = TOWERS) -> Path:
    """Write both towers in fp32 into a folder that :func:`onnx_encoder.load_onnx` opens.

    Parameters
    ----------
    encoder : Encoder
        CLIP or SigLIP in fp32; of an adapted one give ``merge(adapted)``.
    folder : path
        ``vision.onnx``, ``text.onnx``, processor, configuration, and last ``onnx.json`` with the
        hashes of the two.
    towers : sequence of str
        ``vision`` or ``text`` alone where one of them is served elsewhere.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OnnxRefused
        If the encoder carries an adapter or learned tokens, is not in fp32, or the exporter finds
        an operation that ONNX has no word for.

    Examples
    --------
    >>> folder = export_onnx(merge(adapted), "data/cache/onnx")  # doctest: +SKIP
    >>> load_onnx(folder).texts(["tomato soup"]).shape  # doctest: +SKIP
    (1, 96)
    """
    refuse_what_cannot_go(encoder)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).unlink(missing_ok=True)
    model = encoder.model.cpu()
    try:
        fingerprint = encoder.fingerprint or weights_fingerprint(model)
        named = replace(encoder, model=model, fingerprint=fingerprint, device="cpu")
        encoder.processor.save_pretrained(folder)
        model.config.save_pretrained(folder)
        for tower in towers:
            wrapped, inputs, shapes = _tower(named, tower)
            content = _graph(wrapped, inputs, shapes, f"the {tower} tower of {encoder.name}")
            write_file_atomically(folder / file_name(tower, "fp32"), content)
        write_record(folder, {**_record(named), "towers": list(towers)}, precision="fp32")
    finally:
        model.to(encoder.device)  # also where the exporter has failed
    return folder


def file_name(tower: str, precision: str) -> str:
    """The file of a tower: ``vision.onnx``, ``text.int8.onnx``."""
    return f"{tower}.onnx" if precision == "fp32" else f"{tower}.{precision}.onnx"


def read_record(folder: Path | str) -> dict[str, Any]:
    """What ``onnx.json`` says. Raises ``OnnxRefused`` if it is missing or not to be read."""
    path = Path(folder) / RECORD
    if not path.is_file():
        raise OnnxRefused(f"{path} is missing: export the model into this folder (export_onnx)")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA or not {"space", "files", "family", "towers"} <= set(record):
            raise ValueError("a form that is not known here")
    except (ValueError, KeyError, TypeError) as error:
        raise OnnxRefused(f"{path} cannot be read ({error}): export the model again") from error
    return record


def write_record(folder: Path, record: dict[str, Any], *, precision: str) -> None:
    """Write ``onnx.json`` with the hashes of both files of a precision added."""
    files = {file_name(tower, precision) for tower in record["towers"]}
    hashes = {name: sha256_file(folder / name) for name in sorted(files)}
    done = {**record, "files": {**record.get("files", {}), **hashes}}
    write_file_atomically(folder / RECORD, canonical_json(done).encode())


def refuse_what_cannot_go(encoder: Encoder) -> None:
    """Say why a model cannot be exported, and what to do. Raises ``OnnxRefused``."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    model = encoder.model
    if not isinstance(model, nn.Module):
        raise OnnxRefused(f"{encoder.name} is no torch model: it was exported already")
    if encoder.precision != "fp32":
        raise OnnxRefused(
            f"{encoder.name} was opened in {encoder.precision}: open it in fp32; smaller files "
            "are made from the exported one (quantize_onnx)"
        )
    for name, module in model.named_modules():
        if isinstance(module, BaseTunerLayer):
            raise OnnxRefused(
                f"{encoder.name} carries an adapter at {name}: export merge(adapted), which has "
                "it in its weights"
            )
        if isinstance(module, PromptedLayer):
            raise OnnxRefused(
                f"{encoder.name} has learned tokens at {name}, which cannot be merged into "
                "weights: serve it with torch, or train an adapter of weights (method='lora')"
            )


def module_of(node) -> str:
    """The module behind an ONNX node, such as ``vision_model.encoder.layers.0.mlp.fc1``."""
    said = {prop.key: prop.value for prop in node.metadata_props}.get(SCOPES)
    scopes = ast.literal_eval(said) if said else []
    inside = [s for s in scopes if s.startswith("model.")]
    return inside[-1].removeprefix("model.") if inside else ""


def tensorrt_command(folder: Path | str, *, max_batch: int = 128) -> str:
    """The command that makes a TensorRT engine of the vision tower on a machine with a GPU.

    It is named and not run: TensorRT belongs to NVIDIA's own tools, and an engine is made for one
    kind of GPU alone. ``--fp16`` halves weights and time; check the rows as with any other file.
    """
    px = read_record(folder)["image_px"]
    shapes = {n: f"pixel_values:{n}x3x{px}x{px}" for n in (1, min(32, max_batch), max_batch)}
    low, best, high = shapes[1], shapes[min(32, max_batch)], shapes[max_batch]
    file = Path(folder) / file_name("vision", "fp32")
    return (
        f"trtexec --onnx={file} --saveEngine={file.with_suffix('.plan')} --fp16 "
        f"--minShapes={low} --optShapes={best} --maxShapes={high}"
    )


def _tower(encoder: Encoder, tower: str) -> tuple[nn.Module, dict[str, torch.Tensor], tuple]:
    """A tower as a module, example inputs by name, and which of their lengths are free."""
    n, length = torch.export.Dim("n"), torch.export.Dim("length", max=encoder.text_length)
    if tower == "vision":
        pixels = torch.randn(2, 3, encoder.image_px, encoder.image_px)
        return _Vision(encoder.model), {"pixel_values": pixels}, ({0: n},)
    if tower != "text":
        raise OnnxRefused(f"unknown tower {tower!r}: use {' or '.join(TOWERS)}")
    tokens = encoder.tokens(["a red mug on a table", "soup"])
    free = {0: n} if encoder.family == "siglip" else {0: n, 1: length}
    return _Text(encoder.model), tokens, (free,) * len(tokens)


def _graph(wrapped: nn.Module, inputs: dict[str, torch.Tensor], shapes: tuple, name: str) -> bytes:
    import onnx

    try:
        with _quietly(), torch.no_grad():
            program = torch.onnx.export(
                wrapped.eval(), tuple(inputs.values()), dynamo=True, input_names=list(inputs),
                output_names=["rows"], dynamic_shapes=shapes, opset_version=OPSET, verbose=False,
            )  # fmt: skip
    except Exception as error:  # whatever it is, the exporter did not understand the model
        first = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise OnnxRefused(
            f"{name} could not be exported ({type(error).__name__}: {first}): serve this model "
            "with torch"
        ) from error
    model = program.model_proto
    for node in model.graph.node:  # stack traces with paths of this machine; the module stays
        kept = [p.value for p in node.metadata_props if p.key == SCOPES]
        del node.metadata_props[:]
        if kept:
            node.metadata_props.add(key=SCOPES, value=kept[0])
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.graph.value_info[:]  # shapes from before constants were folded: some are wrong now
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _record(encoder: Encoder) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "family": encoder.family,
        "space": asdict(space_of(encoder)),
        "logit_scale": encoder.logit_scale,
        "logit_bias": encoder.logit_bias if encoder.family == "siglip" else None,
        "image_px": encoder.image_px,
        "texts": encoder.text_rules,
        "versions": library_versions(),
    }


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's notes on operations of other libraries, or on what it did not fold."""
    with muted("torch.onnx", "onnxscript", "onnx_ir"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def muted(*names: str) -> Iterator[None]:
    """Only errors of some loggers, while the block runs; ``""`` is the root of all."""
    logs = [logging.getLogger(name) for name in names]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)
