"""Training from a cached prefix: what the frozen layers make of an item is computed once.

With an adapter on the last k layers the layers below are a constant of the image or the caption.
They run once for each, their output is cached on disk (:mod:`helpers.cache`), and a step runs the
rest: the same loss and gradients up to the last bits, a fraction of the work. All runs of a study
that split a tower at one place share the cache, their seeds too. Dropout in the adapters draws
other numbers than in the plain loop, from the same distribution.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from helpers.cache import Cache, Items, key_of
from helpers.models.encoder import Encoder, encode
from helpers.models.placement import Placement, adapted_layers
from helpers.models.towers import SplitTower
from helpers.repro import hash_of
from helpers.training.batches import Towers, TrainingPairs, normalized, resized

UNCACHED = -1  # in the place of a split: the tower is trained from its first weight


class PrefixError(ValueError):
    """A prefix that cannot be cached."""


def splits_of(placement: Placement, encoder: Encoder) -> dict[str, int]:
    """Where each tower is split: at its first adapted layer, its head, or behind its embedding.

    -1 where nothing of a tower is frozen.
    """
    splits = {}
    for tower, numbers in adapted_layers(placement, encoder.model).items():
        frozen = numbers.stop + (0 if placement.heads else 1)
        splits[tower] = numbers.start if numbers else frozen
        if placement.method == "full" and numbers and numbers.start == 0:
            splits[tower] = UNCACHED
    return splits


def why_not(placement: Placement, encoder: Encoder, *, transforms: bool = False) -> str:
    """Why the prefixes of a placement cannot be cached; empty where they can.

    ``transforms`` says whether images are augmented at run time.
    """
    if transforms:
        return "images are augmented at run time, so that no two steps see the same prefix"
    for tower in ("vision", "text"):
        dropout = getattr(encoder.model.config, f"{tower}_config").attention_dropout
        if dropout:
            return f"the {tower} tower has dropout {dropout} in its frozen part"
    if encoder.precision != "fp32":
        return f"{encoder.name} is open in {encoder.precision}: open it in fp32"
    if max(splits_of(placement, encoder).values()) < 1:
        return "both towers are adapted from their first layer: nothing below is frozen"
    return ""


@dataclass(frozen=True)
class Prefixes:
    """The cached prefixes of an adapted encoder, which embed images and captions.

    ``folder`` is the parent of the caches, by default ``data/cache/items``.
    """

    encoder: Encoder
    folder: Path | None = None

    def __post_init__(self) -> None:
        if reason := why_not(self.encoder.adapter.placement, self.encoder):
            raise PrefixError(f"prefixes cannot be cached: {reason}; train without them")
        for name, split in self._splits.items():
            for part, module in SplitTower(self.encoder, name).below(split).items():
                trained = [n for n, p in module.named_parameters() if p.requires_grad]
                if trained and split != UNCACHED:
                    raise PrefixError(
                        f"{trained[0]!r} in the {part} of the {name} tower is trained, below the "
                        "first layer that the placement adapts: a prefix must be frozen"
                    )

    @cached_property
    def _splits(self) -> dict[str, int]:
        return splits_of(self.encoder.adapter.placement, self.encoder)

    @cached_property
    def _caches(self) -> dict[str, Cache]:
        encoder, processor = self.encoder, self.encoder.processor.image_processor
        scale = [processor.do_normalize, list(processor.image_mean), list(processor.image_std)]
        shared = [
            encoder.device.split(":")[0], encoder.model.config._attn_implementation,
            version("torch"), version("transformers"),
        ]  # fmt: skip
        caches = {}
        for name, split in self._splits.items():
            parts = [SplitTower(encoder, name).fingerprint(split), *shared]
            fingerprint = hash_of([*parts, scale] if name == "vision" else parts)
            kind = f"{encoder.family} {name} states at {split}"
            caches[name] = Cache(fingerprint, kind, self.folder)
        return caches

    def towers(self, pairs: TrainingPairs) -> Towers:
        """Towers for training that start from the prefixes of the images and captions of pairs."""
        vision, text = SplitTower(self.encoder, "vision"), SplitTower(self.encoder, "text")
        image_split, text_split, device = *self._splits.values(), self.encoder.device
        states = self._image_states(pairs.pixels) if image_split > 0 else None
        text_states = self._text_states(pairs.tokens) if text_split > 0 else None

        def gather_images(ids: torch.Tensor, _: torch.Generator) -> torch.Tensor:
            if states is not None:
                return _batch(states, ids, vision, image_split)
            return normalized(pairs.pixels[ids].float() / 255, self.encoder).to(device)

        def encode_images(found: torch.Tensor) -> torch.Tensor:
            if image_split == UNCACHED:
                return self.encoder.image_features(found)
            return vision.suffix(_started(vision, found, image_split), image_split, None)

        def gather_texts(ids: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
            tokens = text.inputs({"input_ids": pairs.tokens["input_ids"][ids]}).to(device)
            if text_states is not None:
                return _batch(text_states, ids, text, text_split), tokens
            return tokens, tokens

        def encode_texts(found: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
            start, tokens = found
            if text_split == UNCACHED:
                return self.encoder.text_features({"input_ids": tokens})
            return text.suffix(_started(text, start, text_split), text_split, tokens)

        return Towers(gather_images, encode_images, gather_texts, encode_texts)

    def images(
        self, images: Iterable[Image.Image], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        """Embeddings of images, (n, dimension) float32, unit rows; see the encoder's."""
        tower, split = SplitTower(self.encoder, "vision"), self._splits["vision"]
        if split < 1:
            return self.encoder.images(images, batch_size=batch_size, progress=progress)

        def run(batch: Sequence[Image.Image]) -> torch.Tensor:
            states = self._image_states(torch.cat([resized(self.encoder, one) for one in batch]))
            return tower.suffix(_batch(states, range(len(batch)), tower, split), split, None)

        name = f"image embeddings of {self.encoder.name}"
        return encode(images, run, batch_size=batch_size, name=name, progress=progress)

    def texts(
        self, captions: Iterable[str], *, batch_size: int = 256, progress: bool = False
    ) -> np.ndarray:
        """Embeddings of captions, likewise."""
        tower, split = SplitTower(self.encoder, "text"), self._splits["text"]
        if split < 1:
            return self.encoder.texts(captions, batch_size=batch_size, progress=progress)

        def run(batch: Sequence[str]) -> torch.Tensor:
            tokens = self.encoder.prepare_texts(batch)
            states = self._text_states(tokens)
            ids = tower.inputs(tokens).to(self.encoder.device)
            return tower.suffix(_batch(states, range(len(batch)), tower, split), split, ids)

        name = f"text embeddings of {self.encoder.name}"
        return encode(captions, run, batch_size=batch_size, name=name, progress=progress)

    def _image_states(self, pixels: torch.Tensor) -> Items:
        """States of images, (n, 3, h, w) uint8, cached by their pixels."""
        tower, split = SplitTower(self.encoder, "vision"), self._splits["vision"]

        def compute(numbers: list[int]) -> torch.Tensor:
            found = normalized(pixels[numbers].float() / 255, self.encoder)
            return self._prefix(tower, found, split)

        return self._caches["vision"].fetch([key_of(one) for one in pixels], compute)

    def _text_states(self, tokens: dict[str, torch.Tensor]) -> Items:
        """States of texts, (m, length) tokens, cached by the tokens up to the pooled one."""
        tower, split = SplitTower(self.encoder, "text"), self._splits["text"]
        ids = tokens["input_ids"]
        ends = tower.ends(ids).tolist()

        def compute(numbers: list[int]) -> list[torch.Tensor]:
            states = self._prefix(tower, tower.inputs({"input_ids": ids[numbers]}), split)
            if states.ndim == 2:
                return list(states)
            return [one[: ends[i] + 1] for i, one in zip(numbers, states, strict=True)]

        keys = [key_of(one[: end + 1]) for one, end in zip(ids, ends, strict=True)]
        return self._caches["text"].fetch(keys, compute)

    def _prefix(self, tower: SplitTower, inputs: torch.Tensor, split: int) -> torch.Tensor:
        model = self.encoder.model
        training = model.training
        model.eval()
        try:
            with torch.no_grad():
                return tower.prefix(inputs.to(self.encoder.device), split)
        finally:
            model.train(training)


def _batch(
    items: Items, numbers: Sequence[int] | torch.Tensor, tower: SplitTower, split: int
) -> torch.Tensor:
    """(b, t, d) or, where one token was pooled, (b, d) float32 on the model's device."""
    found = items.batch(numbers).to(tower.encoder.device)
    pooled = split > tower.depth or (split == tower.depth and not tower.pools_all_tokens)
    return found[:, 0] if pooled else found


def _started(tower: SplitTower, found: torch.Tensor, split: int) -> torch.Tensor:
    """What enters the suffix: cached states, or at split 0 the embeddings of pixels or ids."""
    if split:
        return found
    with torch.no_grad():
        return tower.prefix(found, 0)
