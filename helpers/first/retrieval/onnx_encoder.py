"""An exported model behind the same face as any other: pictures and captions in, unit rows out.

onnxruntime takes the place of torch in an :class:`~helpers.first.models.encoders.Encoder`; whatever works
with an encoder (evaluation, indexes, corpora) works with it.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoConfig

from helpers.first.models.encoders import Encoder
from helpers.first.models.opening import open_processor
from helpers.first.retrieval.onnx_export import OnnxRefused, file_name, muted, read_record
from helpers.models.checkpoints import Checkpoint, opened
from helpers.repro import hash_of, sha256_file

PRECISIONS = ("fp32", "int8")


class OnnxTowers:
    """What an encoder asks of a model, answered by onnxruntime.

    Parameters
    ----------
    sessions : mapping of str to onnxruntime.InferenceSession
        ``vision`` and ``text``.
    config : transformers.PreTrainedConfig
    logit_scale, logit_bias : float or None
        The inverse temperature, and SigLIP's bias.
    """

    dtype = torch.float32

    def __init__(
        self,
        sessions: Mapping[str, Any],
        config: Any,
        *,
        logit_scale: float,
        logit_bias: float | None,
    ) -> None:
        self.sessions, self.config = dict(sessions), config
        self.logit_scale = torch.tensor(math.log(logit_scale))
        if logit_bias is not None:
            self.logit_bias = torch.tensor(logit_bias)

    def get_image_features(self, *, pixel_values: torch.Tensor) -> SimpleNamespace:
        """Unit rows of pixels (n, 3, h, w), as ``pooler_output``."""
        return self._run("vision", {"pixel_values": pixel_values})

    def get_text_features(self, **tokens: torch.Tensor) -> SimpleNamespace:
        """Unit rows of tokens (n, length), as ``pooler_output``."""
        return self._run("text", tokens)

    def _run(self, tower: str, inputs: Mapping[str, torch.Tensor]) -> SimpleNamespace:
        if tower not in self.sessions:
            raise OnnxRefused(f"the {tower} tower was not exported: export both (export_onnx)")
        session = self.sessions[tower]
        asked = {one.name for one in session.get_inputs()}
        fed = {name: value.numpy() for name, value in inputs.items() if name in asked}
        return SimpleNamespace(pooler_output=torch.from_numpy(session.run(["rows"], fed)[0]))


def load_onnx(folder: Path | str, *, precision: str = "fp32", threads: int = 0) -> Encoder:
    """Open exported towers, their hashes first.

    Parameters
    ----------
    folder : path
        That :func:`onnx_export.export_onnx` wrote.
    precision : str
        ``fp32``, or ``int8`` after :func:`onnx_int8.quantize_onnx`.
    threads : int
        0: as many as torch uses, so that the two can be compared.

    Returns
    -------
    Encoder
        On the CPU. In fp32 its rows are in the space of the model that was exported; those of int8
        are near it, but are a space of their own.

    Raises
    ------
    OnnxRefused
        If a file is missing, damaged, or was never made.
    """
    folder = Path(folder)
    if precision not in PRECISIONS:
        raise OnnxRefused(f"unknown precision {precision!r}: use one of {', '.join(PRECISIONS)}")
    record = read_record(folder)
    files = {tower: file_name(tower, precision) for tower in record["towers"]}
    for name in files.values():
        _check_file(folder, name, record["files"].get(name))
    options = {"threads": threads or torch.get_num_threads()}
    sessions = {tower: open_session(folder / name, **options) for tower, name in files.items()}
    scalars = {name: record[name] for name in ("logit_scale", "logit_bias")}
    with muted("transformers"):  # SigLIP's configurations name tokens that its vocabulary has not
        checkpoint = Checkpoint(record["space"]["model"], folder)
        config = opened(AutoConfig, checkpoint, what="config.json")
    model = OnnxTowers(sessions, config, **scalars)
    space = record["space"]
    fingerprint = space["fingerprint"]
    if precision != "fp32":
        hashes = [record["files"][name] for name in files.values()]
        fingerprint = hash_of([fingerprint, *hashes], digits=16)
    processor = open_processor(checkpoint, model)
    return Encoder(
        space["model"], record["family"], model, processor, "cpu", precision, fingerprint
    )


def open_session(path: Path, *, threads: int):
    """An onnxruntime session on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _check_file(folder: Path, name: str, digest: str | None) -> None:
    if digest is None:
        raise OnnxRefused(f"{folder} has no {name}: make it with quantize_onnx")
    if not (folder / name).is_file():
        raise OnnxRefused(f"{folder / name} is missing: export the model again")
    if sha256_file(folder / name) != digest:
        raise OnnxRefused(f"{folder / name} is damaged: export the model again")
