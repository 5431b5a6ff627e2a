"""One loader for every model: a tiny checkpoint by name, a directory, a checkpoint of the hub."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoProcessor

from helpers import paths
from helpers.models.encoders import Encoder
from helpers.models.tiny import TINY_MODELS
from helpers.repro import pick_device

FAMILIES = ("clip", "siglip")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class ModelError(ValueError):
    """A model that cannot be opened, or is of no kind that the course knows."""


def load_encoder(model: str, *, device: str = "auto", precision: str = "fp32") -> Encoder:
    """Open a model for encoding.

    Parameters
    ----------
    model : str
        ``tiny-siglip`` or ``tiny-clip``; a directory with configuration, weights, tokenizer and
        preprocessor; or a hub id such as ``google/siglip-base-patch16-224``.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    precision : str
        ``fp32`` or ``bf16`` (weights and activations; embeddings are float32 either way).

    Raises
    ------
    ModelError
        If the model is not found, is incomplete, or is neither CLIP nor SigLIP.

    Examples
    --------
    >>> encoder = load_encoder("tiny-siglip", device="cpu")
    >>> encoder.texts(["tomato soup", "a red mug"]).shape
    (2, 96)
    """
    if precision not in DTYPES:
        raise ModelError(f"unknown precision {precision!r}: use one of {', '.join(DTYPES)}")
    where = resolve_model(model)
    config = _opened(AutoConfig, model, where)
    if config.model_type not in FAMILIES:
        raise ModelError(
            f"model {model!r} is a {config.model_type!r} model; this course adapts "
            f"{' and '.join(FAMILIES)} dual encoders, such as openai/clip-vit-base-patch32"
        )
    network = _opened(AutoModel, model, where, dtype=torch.float32)
    processor = _opened(AutoProcessor, model, where)
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
    network = network.eval().requires_grad_(False).to(target, DTYPES[precision])
    return Encoder(model, config.model_type, network, processor, target, precision, fingerprint)


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
    for place in (folder, paths.root() / folder):
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


def _opened(kind: Any, model: str, where: str, **options: Any) -> Any:
    try:
        return kind.from_pretrained(where, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"model {model!r} could not be opened from {where} ({first}); "
            "without a network, give a directory that holds the whole checkpoint"
        ) from error


def weights_fingerprint(model: torch.nn.Module) -> str:
    """A hash of all weights: names, shapes, types and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(memoryview(raw.numpy()))
    return digest.hexdigest()[:16]
