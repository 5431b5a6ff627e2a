"""One loader for every dual encoder: a tiny checkpoint by name, a directory, a model of the hub."""

import hashlib

import torch
from transformers import AutoConfig, AutoModel

from helpers import paths
from helpers.first.models.encoders import Encoder
from helpers.first.models.lora import load_adapter
from helpers.first.models.opening import check_filled, check_pixels, open_processor
from helpers.models.checkpoints import (
    Checkpoint,
    ModelError,
    check_files,
    find_checkpoint,
    opened,
)
from helpers.repro import pick_device

FAMILIES = ("clip", "siglip")
FLEXIBLE = "siglip2"  # what transformers calls SigLIP 2 with pictures of any shape
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load_encoder(
    model: str, *, adapter: str = "", device: str = "auto", precision: str = "fp32"
) -> Encoder:
    """Open a model for encoding; nothing is asked of a network.

    Parameters
    ----------
    model : str
        ``tiny-siglip`` or ``tiny-clip``; a directory with configuration, weights, tokenizer and
        preprocessor; or a hub id such as ``google/siglip-base-patch16-224`` that ``hf download``
        has fetched.
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
        If the model is not found, is damaged, is neither CLIP nor SigLIP, or if its tokenizer or
        its preprocessor belongs to another model.
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
    checkpoint = find_checkpoint(model)
    config = opened(AutoConfig, checkpoint, what="config.json")
    _refuse_other_families(checkpoint, config.model_type)
    weights = check_files(checkpoint)
    network, loaded = opened(
        AutoModel, checkpoint, what=weights, dtype=torch.float32,
        output_loading_info=True, ignore_mismatched_sizes=True,
    )  # fmt: skip
    check_filled(loaded, checkpoint)
    processor = open_processor(checkpoint, network)
    check_pixels(processor.image_processor, config.vision_config.image_size, checkpoint)
    fingerprint = weights_fingerprint(network)
    target = pick_device(device)
    network = network.eval().requires_grad_(False)
    encoder = Encoder(
        checkpoint.name, config.model_type, network, processor, target, precision, fingerprint,
        checkpoint.revision,
    )  # fmt: skip
    if adapter:
        encoder = load_adapter(encoder, paths.find(adapter)).encoder
    encoder.model.to(target, DTYPES[precision])
    return encoder


def _refuse_other_families(checkpoint: Checkpoint, family: str) -> None:
    """Say which kind of model it is, and which the course adapts."""
    if family == FLEXIBLE:
        raise ModelError(
            f"model {checkpoint.model!r} is a SigLIP 2 that takes pictures of any shape (NaFlex), "
            "which the course does not adapt: use a SigLIP 2 of fixed resolution, such as "
            "google/siglip2-base-patch16-224"
        )
    if family not in FAMILIES:
        raise ModelError(
            f"model {checkpoint.model!r} is a {family!r} model; this course adapts "
            f"{' and '.join(FAMILIES)} dual encoders, such as openai/clip-vit-base-patch32"
        )


def weights_fingerprint(model: torch.nn.Module) -> str:
    """A hash of all weights: names, shapes, types and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(memoryview(raw.numpy()))
    return digest.hexdigest()[:16]
