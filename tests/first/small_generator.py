"""A generator of a few thousand weights around a small SigLIP, for tests that train and write."""

from functools import cache

import numpy as np
import torch
from PIL import Image

from helpers.first.models.generator import Generator
from helpers.first.models.loading import weights_fingerprint
from helpers.first.models.tiny_instructblip import BlipShape, build_instructblip
from tests.first.small_training import small_encoder

SHAPE = BlipShape(
    width=24, heads=2, mlp_width=32, qformer_layers=2, text_layers=2, queries=4, text_length=64,
    vocabulary=320,
)  # fmt: skip
TEXTS = (
    "on a red plate", "on a blue plate", "with tofu instead of beef", "replace beef with tofu",
    "without basil", "add basil", "a pie instead", "as a soup", "what has changed?",
)  # fmt: skip


@cache
def small_generator(*, seed: int = 0) -> Generator:
    """A fresh, frozen generator that reads 16 px pictures; never train it in place."""
    encoder = small_encoder("siglip")
    pixels = encoder.pixels(pictures(8))
    model, tokenizer = build_instructblip(encoder.model, TEXTS, pixels, seed=seed, shape=SHAPE)
    model = model.eval().requires_grad_(False)
    statistics = (0.5,) * 3, (0.5,) * 3
    fingerprint = weights_fingerprint(model)
    return Generator("small", model, tokenizer, tokenizer, *statistics, "cpu", fingerprint)


def pictures(n: int, *, seed: int = 0) -> list[Image.Image]:
    """Noise, each of another color."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 90, (n, 16, 16, 3)) + rng.integers(0, 165, (n, 1, 1, 3))
    return [Image.fromarray(one.astype(np.uint8)) for one in noise]


def weights(generator: Generator) -> dict[str, torch.Tensor]:
    """All weights by name, copied."""
    return {name: p.detach().clone() for name, p in generator.model.named_parameters()}
