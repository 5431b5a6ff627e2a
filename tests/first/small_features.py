"""Made-up features: recipes as directions, pictures and captions as noisy copies of them."""

import numpy as np

from helpers.data.pairs import RetrievalSet
from helpers.first.training.features import Features


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def small_features(
    n: int = 12, *, d: int = 12, per: int = 2, seed: int = 0, noise: float = 0.6, name: str = "r"
) -> Features:
    """``n`` recipes with ``per`` pictures and captions each; a turned space, to be learned."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(99).normal(size=(d, d)))[0]
    centers = rng.normal(size=(n, d))
    ids = np.repeat([f"{name}{i}" for i in range(n)], per)
    images = np.repeat(centers, per, axis=0) + noise * rng.normal(size=(n * per, d))
    texts = (np.repeat(centers, per, axis=0) + noise * rng.normal(size=(n * per, d))) @ (
        np.eye(d) + 1.2 * turn
    )
    keys = tuple(f"{i}/{j}.jpg" for j, i in enumerate(ids))
    data = RetrievalSet(keys, ids, tuple(f"caption {j}" for j in range(len(ids))), ids.copy())
    return Features(data, unit(images), unit(texts), f"{name}-{n}-{d}-{seed}-{noise}")
