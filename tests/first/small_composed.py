"""Made-up triplets as features: the target is where reference and text together point."""

from types import SimpleNamespace

import numpy as np

from helpers.first.training.composed_features import ComposedFeatures
from helpers.topics.cir.triplets import Triplet, TripletSet

DIM = 12


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def small_composed(
    n: int = 40, *, seed: int = 0, prefix: str = "", turned: bool = True
) -> ComposedFeatures:
    """``n`` triplets over 3 n pictures: references, targets, and others.

    A text is turned away from the pictures' space, the same way for all: that is to be learned.
    """
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(99).normal(size=(DIM, DIM)))[0]
    references, changes = rng.normal(size=(n, DIM)), rng.normal(size=(n, DIM))
    targets = references + changes + 0.1 * rng.normal(size=(n, DIM))
    others = rng.normal(size=(n, DIM))
    gallery = [f"{prefix}{part}{i}" for part in "rto" for i in range(n)]
    triplets = tuple(
        Triplet(
            f"{prefix}{i}", f"{prefix}r{i}", (f"{prefix}t{i}",), f"change {i}",
            group=f"{prefix}{i}", reverse=f"back {i}", changed=("plate",), held_out=i % 4 == 0,
        )
        for i in range(n)
    )  # fmt: skip
    whole = TripletSet("made-up", "train", triplets, tuple(gallery), exclude_reference=True)
    texts = changes @ turn if turned else changes
    images = np.concatenate([references, targets, others])
    return ComposedFeatures(whole, unit(images), unit(texts), f"{prefix}-{n}-{seed}-{turned}")


def found_run(ranks) -> SimpleNamespace:
    """A finished run that knows nothing but its ranks."""
    return SimpleNamespace(ranks=lambda test="test": np.asarray(ranks, dtype=float), validation=0.5)
