"""A tower of a model as an ONNX graph: exported, with smaller weights, and run without torch."""

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.evaluation.ranking import check_embeddings

if TYPE_CHECKING:
    from PIL import Image

    from helpers.models.encoder import Encoder

OPSET = 20
LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir", "")  # "": quantizing recommends what was done
QUANTIZED = ("MatMul", "Gemm")  # what the linear layers become


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporter's notes on operations of other libraries."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def to_bytes(program: Any) -> bytes:
    """The graph that ``torch.onnx.export`` gives, without paths of this machine."""
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]  # stack traces
    del model.graph.value_info[:]  # shapes from before constants were folded: some are wrong now
    return model.SerializeToString()


def export(module: Any, example: Any, name: str) -> bytes:
    """A module of one input, (n, ...) to unit rows (n, d), as a graph for any n.

    ``example`` is an input of two rows, ``name`` what the graph calls its input.
    """
    import torch

    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(), (example,), dynamo=True, input_names=[name], output_names=["rows"],
            dynamic_shapes=({0: torch.export.Dim("n")},), opset_version=OPSET, verbose=False,
        )  # fmt: skip
    return to_bytes(program)


def vision_graph(encoder: "Encoder") -> bytes:
    """The vision tower of an encoder in fp32: prepared images (n, 3, px, px) to unit rows."""
    import torch

    class Vision(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = encoder.model

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            rows = self.model.get_image_features(pixel_values=pixel_values).pooler_output
            return torch.nn.functional.normalize(rows, dim=-1)

    px = encoder.image_px
    example = torch.zeros((2, 3, px, px), device=encoder.device)
    return export(Vision(), example, "pixel_values")


def quantized(graph: bytes) -> bytes:
    """The graph with the weights of its linear layers in int8, one scale for each output.

    Activations are rounded while it runs (dynamic quantization): nothing is calibrated.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(graph)
        with quiet():
            quantize_dynamic(
                source, target, op_types_to_quantize=list(QUANTIZED), per_channel=True,
                weight_type=QuantType.QInt8,
            )  # fmt: skip
        return target.read_bytes()


def session(graph: bytes, *, threads: int = 0) -> Any:
    """An onnxruntime session on the CPU; ``threads`` 0: all cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waits cost nothing
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def embed(
    running: Any, encoder: "Encoder", images: Sequence["Image.Image"], *, batch_size: int = 64
) -> np.ndarray:
    """Embeddings of images by a session of the vision tower, (n, d) float32 unit rows.

    The encoder's processor prepares them; its network is not run.
    """
    rows = [
        running.run(None, {"pixel_values": encoder.prepare_images(part).numpy()})[0]
        for part in (
            images[start : start + batch_size] for start in range(0, len(images), batch_size)
        )
    ]
    return check_embeddings(np.concatenate(rows), name=f"ONNX embeddings of {encoder.name}")
