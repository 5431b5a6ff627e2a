"""A BLIP-2 of a few thousand weights, and triplets of noise, for tests that compose queries."""

from functools import cache

import numpy as np
import torch
from PIL import Image

from helpers.first.models.blip2 import Blip2
from helpers.first.models.loading import weights_fingerprint
from helpers.first.models.tiny_blip2 import QFormerShape, build_tiny_blip2
from helpers.first.training.image_states import ImageStates
from helpers.topics.cir.triplets import Triplet, TripletSet
from tests.first.small_training import WORDS, small_encoder

SHAPE = QFormerShape(
    queries=3, width=16, heads=2, mlp_width=16, layers=2, text_length=12, vocabulary=300
)
THINGS = ("mug", "soup", "tofu", "basil", "plate", "books", "wood", "two")
CHANGES = [f"{color} {thing}" for color in ("red", "blue", "black", "no") for thing in THINGS]


@cache
def small_blip2(*, seed: int = 0) -> Blip2:
    """Fresh, frozen weights; shared between tests, which train copies."""
    pixels = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    model, processor = build_tiny_blip2(
        [*WORDS, *CHANGES], small_encoder("siglip"), pixels, seed=seed, shape=SHAPE
    )
    model = model.eval().requires_grad_(False)
    return Blip2("small-blip2", model, processor, "cpu", "fp32", weights_fingerprint(model))


def noise(name: str) -> Image.Image:
    """The picture of a name."""
    pixels = np.random.default_rng(list(name.encode())).integers(0, 255, (16, 16, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def small_triplets(n: int = 32, *, prefix: str = "") -> TripletSet:
    """``n`` triplets with pictures of their own; the two of a pair share the reference."""
    triplets = tuple(
        Triplet(
            f"{prefix}{i}", f"{prefix}r{i // 2}", (f"{prefix}t{i}",), CHANGES[i % len(CHANGES)],
            reverse=f"with {CHANGES[(i + 1) % len(CHANGES)]}", group=f"{prefix}{i // 2}",
        )
        for i in range(n)
    )  # fmt: skip
    gallery = tuple(f"{prefix}t{i}" for i in range(n)) + tuple(
        f"{prefix}r{i}" for i in range((n + 1) // 2)
    )
    return TripletSet("noise", "train", triplets, gallery, exclude_reference=True, n_read=n)


def small_states(*sets: TripletSet) -> ImageStates:
    """Of every picture of some sets, in memory."""
    names = tuple(dict.fromkeys(name for one in sets for name in one.gallery))
    rows = small_blip2().states([noise(name) for name in names])
    return ImageStates(names, (rows.astype(np.float16),), "-".join(names), "small")


def distinct_states(*sets: TripletSet) -> ImageStates:
    """Of every picture of some sets, as a tower would give them that tells all apart."""
    names = tuple(dict.fromkeys(name for one in sets for name in one.gallery))
    rows = np.random.default_rng(0).normal(size=(len(names), 5, 24)).astype(np.float16)
    return ImageStates(names, (rows,), "distinct", "small")
