"""How two sets of unit embeddings lie to each other: the gap between modalities, alignment,
uniformity, and how many neighbors stay the same when a model is changed.

Retrieval says that something broke; these say what.
"""

from collections.abc import Sequence

import numpy as np

from helpers.first.evaluation.blocks import on_grid
from helpers.first.evaluation.embeddings import check_embeddings

_BLOCK = 512


def modality_gap(images, texts) -> float:
    """The distance between the mean image and the mean text.

    Liang et al. 2022, "Mind the Gap" (section 2.2): of two clouds on the unit sphere, from 0 to 2.

    Parameters
    ----------
    images : (n, d) float, unit rows
    texts : (m, d) float, unit rows

    Examples
    --------
    >>> modality_gap([[1.0, 0.0]], [[0.0, 1.0]]) == 2**0.5
    True
    """
    images, texts = _pair(images, texts)
    return float(np.linalg.norm(images.mean(axis=0) - texts.mean(axis=0)))


def alignment(images, image_ids: Sequence[str], texts, text_ids: Sequence[str]) -> float:
    """The mean squared distance of images and texts that belong together; 0 is best.

    Wang and Isola 2020, "Understanding contrastive representation learning through alignment and
    uniformity on the hypersphere" (equation 1, exponent 2). The mean runs over all pairs of an
    image and a text of one id.

    Raises
    ------
    ValueError
        If no id is on both sides.

    Examples
    --------
    >>> alignment([[1.0, 0.0]], ["a"], [[0.0, 1.0]], ["a"])
    2.0
    """
    images, texts = _pair(images, texts)
    image_ids, text_ids = np.asarray(image_ids), np.asarray(text_ids)
    order = np.argsort(text_ids, kind="stable")
    first = np.searchsorted(text_ids[order], image_ids, "left")
    last = np.searchsorted(text_ids[order], image_ids, "right")
    counts = last - first
    if not counts.sum():
        raise ValueError("no id is on both sides: no image and text belong together")
    rows = np.repeat(np.arange(len(images)), counts)
    places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    others = order[np.repeat(first, counts) + places]
    return float(((images[rows] - texts[others]) ** 2).sum(axis=1).mean())


def uniformity(rows) -> float:
    """How evenly rows fill the sphere; lower is more even, 0 is one point.

    Wang and Isola 2020 (equation 2, t = 2): ``log mean exp(-2 * |x - y|^2)`` over all pairs of two
    rows.

    Raises
    ------
    ValueError
        If there is one row only.

    Examples
    --------
    >>> uniformity([[1.0, 0.0], [-1.0, 0.0]])
    -8.0
    """
    rows = on_grid(check_embeddings(rows, name="rows"))
    n = len(rows)
    if n < 2:
        raise ValueError("uniformity of one row: give at least two")
    total = 0.0
    for start in range(0, n, _BLOCK):
        kernel = np.exp(4 * np.minimum(rows[start : start + _BLOCK] @ rows.T - 1, 0))  # (block, n)
        line = np.arange(len(kernel))
        kernel[line, start + line] = 0  # a row with itself; taking 1 off the sum would cancel
        total += kernel.sum()
    return float(np.log(total / (n * (n - 1))))


def neighbor_overlap(before, after, *, k: int = 10) -> np.ndarray:
    """The share of each row's k nearest other rows that a changed model leaves it.

    Parameters
    ----------
    before, after : (n, d) and (n, e) float, unit rows
        The same items under two models.
    k : int
        Below n. Chance level: k / (n - 1).

    Returns
    -------
    (n,) float64
        Equal scores are taken in the order of the rows.

    Raises
    ------
    ValueError
        If there are not as many rows on both sides, or no k others.

    Examples
    --------
    >>> rows = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]
    >>> neighbor_overlap(rows, rows, k=1).tolist()
    [1.0, 1.0, 1.0]
    """
    before, after = (check_embeddings(r, name=n) for r, n in ((before, "before"), (after, "after")))
    if len(before) != len(after):
        raise ValueError(f"{len(before)} rows before and {len(after)} after: give the same items")
    if not 1 <= k < len(before):
        raise ValueError(f"k is {k}: give 1 to {len(before) - 1}, the number of other rows")
    shares = []
    for start in range(0, len(before), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(before)))
        kept = np.zeros((2, len(rows), len(before)), dtype=bool)
        for side, embedded in enumerate((before, after)):
            np.put_along_axis(kept[side], _nearest(embedded, rows, k), True, axis=1)
        shares.append((kept[0] & kept[1]).sum(axis=1) / k)
    return np.concatenate(shares)


def _nearest(embedded: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """(len(rows), k): the nearest other rows of some rows."""
    scores = on_grid(embedded[rows]) @ on_grid(embedded).T
    scores[np.arange(len(rows)), rows] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def _pair(images, texts) -> tuple[np.ndarray, np.ndarray]:
    images = check_embeddings(images, name="images").astype(np.float64)
    texts = check_embeddings(texts, name="texts").astype(np.float64)
    if images.shape[1] != texts.shape[1]:
        raise ValueError(
            f"images have {images.shape[1]} dimensions and texts {texts.shape[1]}: "
            "embed both with one model"
        )
    return images, texts
