"""What the loop asks of a model: rows of the data in, embeddings out, gathered and encoded apart.

Gathering draws at random (augmentation) and is done once a step; encoding is done twice by gradient
caching. Whoever has something better than pixels to start from, such as the kept output of a frozen
prefix, hands the loop other towers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from helpers.first.models.encoders import Encoder
from helpers.first.training.pairs import TrainingPairs

Augment = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


@dataclass(frozen=True)
class Towers:
    """Two ways from rows to embeddings.

    Attributes
    ----------
    gather_images : callable
        (b,) int64 rows of pictures and a generator, to whatever ``encode_images`` takes.
    encode_images : callable
        To (b, d) embeddings with a graph; the loop makes unit rows of them.
    gather_texts, encode_texts : callable
        Likewise for rows of captions, without a generator.
    """

    gather_images: Callable[[torch.Tensor, torch.Generator], Any]
    encode_images: Callable[[Any], torch.Tensor]
    gather_texts: Callable[[torch.Tensor], Any]
    encode_texts: Callable[[Any], torch.Tensor]


def towers_of(encoder: Encoder, pairs: TrainingPairs, *, augment: Augment | None = None) -> Towers:
    """The whole towers of a model, over pixels and tokens.

    Parameters
    ----------
    encoder : Encoder
    pairs : TrainingPairs
    augment : callable, optional
        (b, 3, px, px) float32 in [0, 1] on the CPU and a seeded generator, to the same shape. It
        may draw from the generator or from torch's global state, which is seeded for every step.
    """
    model, device = encoder.model, encoder.device

    def gather_images(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        pixels = pairs.pixels[rows].float() / 255  # (b, 3, px, px)
        if augment is not None:
            pixels = augment(pixels, generator).clamp(0, 1)
        return normalized(pixels, encoder).to(device)

    def gather_texts(rows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: ids[rows].to(device) for name, ids in pairs.tokens.items()}

    return Towers(
        gather_images,
        lambda pixels: model.get_image_features(pixel_values=pixels).pooler_output,
        gather_texts,
        lambda tokens: model.get_text_features(**tokens).pooler_output,
    )


def normalized(pixels: torch.Tensor, encoder: Encoder) -> torch.Tensor:
    """Pixels in [0, 1] as the vision tower reads them, by the processor's mean and deviation."""
    processor = encoder.processor.image_processor
    if processor.do_rescale and abs(processor.rescale_factor * 255 - 1) > 1e-6:
        raise ValueError(
            f"the image processor of {encoder.name} rescales by {processor.rescale_factor}; "
            "only 1/255 is known here: preprocess to pixel values and pass towers of your own"
        )
    if not processor.do_normalize:
        return pixels
    mean, deviation = (
        torch.tensor(values).view(3, 1, 1) for values in (processor.image_mean, processor.image_std)
    )
    return (pixels - mean) / deviation
