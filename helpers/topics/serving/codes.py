"""Embeddings in fewer bytes: whole numbers, signs, fewer dimensions, and what scores they give.

A code is fitted on training embeddings and judged by the ranks of its scores. The query stays in
the memory of one request, so that only what is stored for each gallery entry counts as its size.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.data.sets import RetrievalSet
from helpers.evaluation.ranking import first_hit_ranks_of_scores

Sides = tuple[np.ndarray, np.ndarray]  # embeddings of images (n, d) and of captions (m, d)
Score = Callable[[str, np.ndarray, np.ndarray], np.ndarray]  # direction, queries, gallery: (q, g)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def bits(rows: np.ndarray) -> np.ndarray:
    """One bit for each number, 1 where it is above 0: (n, d) to (n, d / 8) uint8, padded with 0.

    >>> bits(np.array([[0.1, -0.2, 0.3]])).tolist()
    [[160]]
    """
    return np.packbits(rows > 0, axis=1)


def agreement(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Signs that agree less those that differ, (q, g): d minus twice the Hamming distance of bits.

    >>> agreement(np.array([[0.1, -0.2, 0.3]]), np.array([[0.5, 0.5, 0.5]])).tolist()
    [[1.0]]
    """
    signs = [np.where(rows > 0, 1.0, -1.0) for rows in (queries, gallery)]
    return signs[0] @ signs[1].T


def cosine(direction: str, queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """The dot product of unit rows, (q, g)."""
    return queries @ gallery.T


def rescored(score: Score, n: int, by: Score = cosine) -> Score:
    """Score the ``n`` best candidates of a first stage again, by another score.

    So few can afford exact embeddings from a disk, or a second model. All others stay below, in
    their order.
    """

    def best_again(direction: str, queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
        rough, second = (one(direction, queries, gallery) for one in (score, by))
        best = np.argpartition(-rough, min(n, rough.shape[1]) - 1, axis=1)[:, :n]
        found = rough - rough.max() + second.min() - 1  # below every second score
        np.put_along_axis(found, best, np.take_along_axis(second, best, axis=1), axis=1)
        return found

    return best_again


@dataclass(frozen=True)
class Codes:
    """What codes learn from training embeddings.

    Attributes
    ----------
    means : (d,) and (d,) float
        Of the images and of the captions: the two lie apart, so each is centered by its own.
    step : (d,) float
        What one unit of int8 is worth in each dimension.
    axes : (d, k) float
        The directions of largest variance of the centered embeddings.
    """

    means: Sides
    step: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, images: np.ndarray, texts: np.ndarray, *, dimensions: int) -> "Codes":
        """Learn from the embeddings of training images (n, d) and captions (m, d)."""
        means = images.mean(axis=0), texts.mean(axis=0)
        centered = np.vstack([images - means[0], texts - means[1]])
        axes = np.linalg.svd(centered, full_matrices=False)[2][:dimensions].T
        step = np.abs(np.vstack([images, texts])).max(axis=0) / 127
        return cls(means, np.maximum(step, 1e-12), axes)

    def centered(self, direction: str, queries: np.ndarray, gallery: np.ndarray) -> Sides:
        """Queries and gallery of a direction, each less the mean of its modality."""
        image, text = self.means
        of_query, of_gallery = (text, image) if direction == "text_to_image" else (image, text)
        return queries - of_query, gallery - of_gallery

    def int8(self, direction: str, queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
        """Gallery rounded to whole numbers from -127 to 127, one byte each."""
        whole = np.clip(np.round(gallery / self.step), -127, 127).astype(np.int8)
        return queries @ (whole * self.step).T

    def binary(self, direction: str, queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
        """One bit for each number: above or below the mean of its modality."""
        return agreement(*self.centered(direction, queries, gallery))

    def centered_cosine(
        self, direction: str, queries: np.ndarray, gallery: np.ndarray
    ) -> np.ndarray:
        """The cosine after centering, in full float32: what centered codes are compared with."""
        moved = self.centered(direction, queries, gallery)
        return unit(moved[0]) @ unit(moved[1]).T

    def pca(self, direction: str, queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
        """The cosine along the directions of largest variance, after centering."""
        moved = self.centered(direction, queries, gallery)
        return unit(moved[0] @ self.axes) @ unit(moved[1] @ self.axes).T


def binary_at_zero(direction: str, queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """One bit for each number: above or below 0."""
    return agreement(queries, gallery)


def first(dimensions: int) -> Score:
    """The cosine of the first numbers of each embedding."""
    return lambda _, queries, gallery: (
        unit(queries[:, :dimensions]) @ unit(gallery[:, :dimensions]).T
    )


def rabitq(direction: str, queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """FAISS's RaBitQ: one bit for each number, and two numbers that make its estimate unbiased.

    Gao and Long, "RaBitQ: Quantizing high-dimensional vectors with a theoretical error bound for
    approximate nearest neighbor search" (2024). FAISS rotates nothing: a random rotation, which
    the method asks for, stands before it.
    """
    import faiss

    d = gallery.shape[1]
    turned = faiss.RandomRotationMatrix(d, d)
    turned.init(1)
    index = faiss.IndexPreTransform(turned, faiss.IndexRaBitQ(d, faiss.METRIC_INNER_PRODUCT))
    rows = np.ascontiguousarray(gallery, np.float32)
    index.train(rows)
    index.add(rows)
    estimates, found = index.search(np.ascontiguousarray(queries, np.float32), len(rows))
    scores = np.empty((len(queries), len(rows)))
    np.put_along_axis(scores, found, estimates, axis=1)
    return scores


def bytes_per_row(dimension: int, *, kept: int) -> dict[str, float]:
    """What is stored in memory for each gallery entry, by the name of the code."""
    bit = -(-dimension // 8)
    return {
        "float32": 4 * dimension,
        "float32, centered": 4 * dimension,
        "int8": dimension,
        "binary at zero": bit,
        "binary": bit,
        "binary, rescored": bit,
        "RaBitQ, rescored": bit + 8,
        f"first {kept}": 4 * kept,
        f"PCA {kept}": 4 * kept,
    }


def mixed_ranks(scores: np.ndarray, data: RetrievalSet) -> pd.DataFrame:
    """Rank the first image of each caption's item among images and captions.

    ``scores`` are (captions, images + captions) float. Captions of the own item are neither asked
    for nor negatives: they are left out.

    Returns
    -------
    DataFrame
        As :func:`helpers.evaluation.ranking.rank_both_directions`, from text to image alone.
    """
    n, items = len(data.image_items), np.asarray(data.caption_items)
    own = items[:, None] == items
    scores = scores.copy()
    scores[:, n:][own] = scores.min() - 1  # below all others
    entries = np.concatenate([data.image_items, items])
    ranks = first_hit_ranks_of_scores(scores, items, entries)
    positives = (items[:, None] == np.asarray(data.image_items)).sum(axis=1)
    sizes = {"gallery_size": len(entries) - own.sum(axis=1), "positives": positives}
    about = {"direction": "text_to_image", "query": np.arange(len(items)), "group": items}
    return pd.DataFrame(about | {"gallery": 0} | sizes | {"rank": ranks})
