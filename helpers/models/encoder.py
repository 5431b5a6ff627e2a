"""Any dual encoder by name: images and captions in, unit rows out.

A name is that of a committed tiny checkpoint (``tiny-siglip``), a folder, or an id of the hub. What
uses an encoder does not know which.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import AutoConfig, AutoModel, PreTrainedModel, ProcessorMixin

from helpers.evaluation.ranking import check_embeddings
from helpers.models.checkpoints import (
    Checkpoint,
    ModelError,
    check_files,
    check_filled,
    check_pixels,
    find_checkpoint,
    lowers,
    open_processor,
    opened,
)
from helpers.repro import pick_device

FLEXIBLE = "siglip2"  # what transformers calls SigLIP 2 with images of any shape
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Family:
    """What differs between dual encoders.

    ``heads`` are the projection heads of the vision and the text tower, by their path in the model.
    SigLIP pools the last token and attends to the padding, as in its training: its texts are padded
    to the model's length and have no mask (``pads_to_full_length``). CLIP pools the end token.
    """

    heads: tuple[str, str]
    pads_to_full_length: bool = False


FAMILIES = {
    "clip": Family(("visual_projection", "text_projection")),
    "metaclip_2": Family(("visual_projection", "text_projection")),
    "siglip": Family(("vision_model.head", "text_model.head"), pads_to_full_length=True),
}


@dataclass(frozen=True)
class Encoder:
    """A dual encoder with its processor.

    Attributes
    ----------
    name : str
        ``tiny-siglip``, a hub id, or the last part of a folder's path.
    family : str
        A key of ``FAMILIES``.
    model : transformers.PreTrainedModel
        On ``device``, in evaluation mode but while it is trained.
    fingerprint : str
        A hash of the weights as they were loaded, before any change of precision; empty for weights
        that are about to change.
    revision : str
        The commit of the hub, where there is one.
    adapter : object
        What ``models.lora.adapt`` put on it; None for the base.
    """

    name: str
    family: str
    model: PreTrainedModel
    processor: ProcessorMixin
    device: str = "cpu"
    precision: str = "fp32"
    fingerprint: str = ""
    revision: str = ""
    adapter: Any = None

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        if self.family == "siglip":
            return self.model.config.vision_config.hidden_size
        return self.model.config.projection_dim

    @property
    def text_length(self) -> int:
        """How many tokens the text tower reads; longer captions are truncated."""
        return self.model.config.text_config.max_position_embeddings

    @property
    def text_rules(self) -> str:
        """How texts are read, for records: ``in lower case, padded to 64 tokens``."""
        case = "in lower case" if lowers(self.processor.tokenizer) else "with their capitals"
        padding = "padded" if FAMILIES[self.family].pads_to_full_length else "cut"
        return f"{case}, {padding} to {self.text_length} tokens"

    @property
    def record(self) -> dict[str, str]:
        """What a record of results says of the model beside its name."""
        return {"revision": self.revision, "texts": self.text_rules}

    @property
    def image_px(self) -> int:
        """Side of the images that the vision tower reads."""
        return self.model.config.vision_config.image_size

    @property
    def logit_scale(self) -> float:
        """The learned inverse temperature (not its logarithm)."""
        return float(self.model.logit_scale.detach().float().exp())

    @property
    def logit_bias(self) -> float:
        """SigLIP's learned bias; 0 for CLIP, which has none."""
        bias = getattr(self.model, "logit_bias", None)
        return 0.0 if bias is None else float(bias.detach().float())

    def prepare_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Pixel values as the vision tower reads them: (n, 3, image_px, image_px) float32."""
        done = self.processor.image_processor(images=list(images), return_tensors="pt")
        return done["pixel_values"]

    def prepare_texts(self, captions: Sequence[str]) -> dict[str, torch.Tensor]:
        """Tokens for the text tower: ``input_ids`` (n, length) int64, with CLIP also a mask."""
        full = FAMILIES[self.family].pads_to_full_length
        tokens = self.processor.tokenizer(
            list(captions), padding="max_length" if full else "longest", truncation=True,
            max_length=self.text_length, return_attention_mask=not full, return_tensors="pt",
        )  # fmt: skip
        return dict(tokens)

    def image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Embeddings of prepared images with their gradient: (n, dimension) float32, unit rows."""
        pixel_values = pixel_values.to(self.device, self.model.dtype)
        features = self.model.get_image_features(pixel_values=pixel_values).pooler_output
        return F.normalize(features.float(), dim=-1)

    def text_features(self, tokens: dict[str, torch.Tensor]) -> torch.Tensor:
        """Embeddings of prepared texts with their gradient: (n, dimension) float32, unit rows."""
        tokens = {name: ids.to(self.device) for name, ids in tokens.items()}
        features = self.model.get_text_features(**tokens).pooler_output
        return F.normalize(features.float(), dim=-1)

    def images(
        self, images: Iterable[Image.Image], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        """Embeddings of images, batch by batch: (n, dimension) float32, unit rows, no gradient.

        Raises ``InvalidEmbeddings`` if nothing is given, or where nothing can be ranked by them.
        """
        return encode(
            images, lambda part: self.image_features(self.prepare_images(part)),
            batch_size=batch_size, name=f"image embeddings of {self.name}", progress=progress,
        )  # fmt: skip

    def texts(
        self, captions: Iterable[str], *, batch_size: int = 256, progress: bool = False
    ) -> np.ndarray:
        """Embeddings of captions, (n, dimension) float32, unit rows; see :meth:`images`."""
        return encode(
            captions, lambda part: self.text_features(self.prepare_texts(part)),
            batch_size=batch_size, name=f"text embeddings of {self.name}", progress=progress,
        )  # fmt: skip


def encode(
    inputs: Iterable[Any],
    run: Callable[[list[Any]], torch.Tensor],
    *,
    batch_size: int,
    name: str,
    progress: bool = False,
) -> np.ndarray:
    """The rows that ``run`` gives for batches of inputs; degenerate ones are refused."""
    stream, rows = iter(inputs), []
    total = len(inputs) if hasattr(inputs, "__len__") else None
    with torch.inference_mode(), tqdm(total=total, desc=name, disable=not progress) as bar:
        while batch := list(islice(stream, batch_size)):
            rows.append(run(batch).cpu().numpy())
            bar.update(len(batch))
    found = np.concatenate(rows) if rows else np.empty((0, 0), np.float32)  # (n, dimension)
    return check_embeddings(found, name=name)


def load_encoder(model: str, *, device: str = "auto", precision: str = "fp32") -> Encoder:
    """Open a dual encoder, frozen and in evaluation mode; nothing is asked of a network.

    ``model`` is ``tiny-siglip`` or ``tiny-clip``; a folder with configuration, weights, tokenizer
    and preprocessor; or a hub id such as ``google/siglip-base-patch16-224`` that ``hf download``
    has fetched. ``device`` is ``auto``, ``cpu``, ``cuda`` or ``mps``, ``precision`` ``fp32`` or
    ``bf16`` (weights and activations; embeddings are float32 either way).

    Raises ``ModelError`` if the model is not found, is damaged, is of a family that the course does
    not know, or if its tokenizer or its preprocessor belongs to another model.

    >>> load_encoder("tiny-siglip", device="cpu").texts(["tomato soup", "a red mug"]).shape
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
    processor = open_processor(checkpoint, config)
    check_pixels(processor.image_processor, config.vision_config.image_size, checkpoint)
    network = network.eval().requires_grad_(False)
    fingerprint, target = weights_fingerprint(network), pick_device(device)
    return Encoder(
        checkpoint.name, config.model_type, network.to(target, DTYPES[precision]), processor,
        target, precision, fingerprint, checkpoint.revision,
    )  # fmt: skip


def checkpoint_path(model: str) -> str:
    """The folder behind a model's name, for ``from_pretrained``; else ``ModelError``."""
    return str(find_checkpoint(model).folder)


def weights_fingerprint(model: torch.nn.Module) -> str:
    """A hash of all weights: names, shapes, types and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(memoryview(raw.numpy()))
    return digest.hexdigest()[:16]


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
