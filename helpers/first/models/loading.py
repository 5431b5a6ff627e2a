"""One loader for every model: a tiny checkpoint by name, a directory, a checkpoint of the hub."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoProcessor
from transformers.utils import logging

from helpers.first import paths
from helpers.first.models.encoders import Encoder
from helpers.first.models.lora import load_adapter
from helpers.first.models.tiny import TINY_MODELS
from helpers.first.repro import pick_device

FAMILIES = ("clip", "siglip")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class ModelError(ValueError):
    """A model that cannot be opened, or is of no kind that the course knows."""


def load_encoder(
    model: str, *, adapter: str = "", device: str = "auto", precision: str = "fp32"
) -> Encoder:
    """Open a model for encoding.

    Parameters
    ----------
    model : str
        ``tiny-siglip`` or ``tiny-clip``; a directory with configuration, weights, tokenizer and
        preprocessor; or a hub id such as ``google/siglip-base-patch16-224``.
    adapter : str
        A folder that :func:`helpers.first.models.lora.save_adapter` wrote; a relative one is also
        looked for under the course's root. Empty: the model as it is.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    precision : str
        ``fp32`` or ``bf16`` (weights and activations; embeddings are float32 either way).

    Raises
    ------
    ModelError
        If the model is not found, is incomplete, or is neither CLIP nor SigLIP.
    AdapterError
        If the adapter is not whole, or belongs to another model.

    Examples
    --------
    >>> encoder = load_encoder("tiny-siglip", device="cpu")
    >>> encoder.texts(["tomato soup", "a red mug"]).shape
    (2, 96)
    """
    if precision not in DTYPES:
        raise ModelError(f"unknown precision {precision!r}: use one of {', '.join(DTYPES)}")
    where = resolve_model(model)
    config = opened(AutoConfig, model, where)
    if config.model_type not in FAMILIES:
        raise ModelError(
            f"model {model!r} is a {config.model_type!r} model; this course adapts "
            f"{' and '.join(FAMILIES)} dual encoders, such as openai/clip-vit-base-patch32"
        )
    network, loaded = opened(AutoModel, model, where, dtype=torch.float32, output_loading_info=True)
    if loaded["missing_keys"] or loaded["mismatched_keys"]:
        wrong = sorted(map(str, [*loaded["missing_keys"], *loaded["mismatched_keys"]]))
        raise ModelError(
            f"the weights of model {model!r} at {where} do not fill its configuration: "
            f"{wrong[0]} and {len(wrong) - 1} more are missing or of another shape"
        )
    processor = opened(AutoProcessor, model, where)
    if (
        getattr(processor, "tokenizer", None) is None
        or getattr(processor, "image_processor", None) is None
    ):
        raise ModelError(
            f"model {model!r} at {where} has no complete processor: a tokenizer and "
            "preprocessor_config.json must lie beside its weights"
        )
    fingerprint = weights_fingerprint(network)
    target = pick_device(device)
    network = network.eval().requires_grad_(False)
    name = Path(where).name if Path(where).is_dir() else model
    encoder = Encoder(name, config.model_type, network, processor, target, precision, fingerprint)
    if adapter:
        encoder = load_adapter(encoder, paths.find(adapter)).encoder
    encoder.model.to(target, DTYPES[precision])
    return encoder


def resolve_model(model: str) -> str:
    """The directory or hub id behind a model's name.

    Raises
    ------
    ModelError
        If a path was meant and nothing lies there.
    """
    if model in TINY_MODELS:
        folder = paths.tiny() / model
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} holds no model: make it with 'course pretrain {model}'")
        return str(folder)
    folder = Path(model).expanduser()
    for place in paths.places(folder):
        if (place / "config.json").is_file():
            return str(place)
        if place.is_dir():
            raise ModelError(f"{place} is a directory without config.json, so it holds no model")
    if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1:
        raise ModelError(
            f"no model at {model!r}: give {', '.join(TINY_MODELS)}, a directory, "
            "or a hub id of the form owner/name"
        )
    return model


def opened(kind: Any, model: str, where: str, **options: Any) -> Any:
    """``kind.from_pretrained(where)`` without the library's notes and bars.

    Parameters
    ----------
    kind : class of transformers
    model : str
        As the user named it, for the message.
    where : str
        A directory or a hub id.

    Raises
    ------
    ModelError
        If it cannot be opened.
    """
    try:
        with _quietly():
            return kind.from_pretrained(where, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"model {model!r} could not be opened from {where} ({first}); "
            "without a network, give a directory that holds the whole checkpoint"
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the library's notes and bars: what matters of them is checked here."""
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def weights_fingerprint(model: torch.nn.Module) -> str:
    """A hash of all weights: names, shapes, types and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(memoryview(raw.numpy()))
    return digest.hexdigest()[:16]
