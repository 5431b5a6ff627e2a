"""Made-up triplets as features: the target is where reference and text together point."""

import numpy as np

from helpers.topics.cir.composers import Features, ImageRows
from helpers.topics.cir.triplets import Triplet, TripletSet

DIM = 12


def unit(rows) -> np.ndarray:
    """Rows of length 1, float32."""
    rows = np.asarray(rows, np.float64)
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def triplet_set(n: int, *, prefix: str = "", name: str = "made up", **options) -> TripletSet:
    """``n`` queries over 3 n images: references, targets, and others."""
    gallery = [f"{prefix}{part}{i}" for part in "rto" for i in range(n)]
    triplets = tuple(
        Triplet(
            f"{prefix}{i}", f"{prefix}r{i}", (f"{prefix}t{i}",), f"change {i}",
            group=f"{prefix}{i}", reverse=f"back {i}", changed=("plate",),
        )
        for i in range(n)
    )  # fmt: skip
    about = {"exclude_reference": True} | options
    return TripletSet(name, "train", triplets, tuple(gallery), **about)


def features(n: int = 40, *, seed: int = 0, prefix: str = "") -> Features:
    """Texts are turned away from the images' space, the same way for all: that is to be learned."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(99).normal(size=(DIM, DIM)))[0]
    references, changes = rng.normal(size=(n, DIM)), rng.normal(size=(n, DIM))
    targets = references + changes + 0.1 * rng.normal(size=(n, DIM))
    one = triplet_set(n, prefix=prefix)
    images = unit(np.concatenate([references, targets, rng.normal(size=(n, DIM))]))
    return Features((one,), ImageRows(one.gallery, images), unit(changes @ turn))
