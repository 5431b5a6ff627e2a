"""Ranks of the positives among the gallery, by blocks, with ties treated realistically.

The k-th best positive of a query has the realistic rank ``k + above + tied / 2``, where ``above``
and ``tied`` count the *negatives* that score higher, or the same within ``tie_tolerance``: the mean
of the optimistic rank (every tie won) and the pessimistic rank (every tie lost), as in Berrendorf
et al., "On the ambiguity of rank-based evaluation of entity alignment or link prediction methods"
(2020). With NaN and all-equal embeddings refused, no degenerate encoder can look good. Scores are
exact (see ``blocks``), so the ranks do not depend on block size, threads or machine.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers.first.evaluation.blocks import (
    GALLERY_BLOCK,
    QUERY_BLOCK,
    block_shape,
    on_grid,
    quick_error,
)
from helpers.first.evaluation.embeddings import check_embeddings
from helpers.first.evaluation.positives import Positives

ScoreBlock = Callable[[slice, slice], np.ndarray]
FEW = 8  # up to so many positives of a query, counting is faster than sorting
MANY = 1024  # one in so many scores near a limit, and the whole block is computed exactly


@dataclass(frozen=True, eq=False)
class Ranking:
    """Ranks of q queries, counted from 1.

    Attributes
    ----------
    optimistic, pessimistic : (q,) int64
        Rank of the first positive if it wins, or loses, every tie with a negative.
    ranks : (nnz,) float64
        Realistic ranks of all positives, ascending within a query; halves occur.
    indptr : (q + 1,) int64
        The ranks of query ``i`` are ``ranks[indptr[i]:indptr[i + 1]]``.
    n_gallery : int
        Rows in the gallery, a query's excluded one counted.
    """

    optimistic: np.ndarray
    pessimistic: np.ndarray
    ranks: np.ndarray
    indptr: np.ndarray
    n_gallery: int

    @property
    def first(self) -> np.ndarray:
        """(q,) float64, the realistic rank of the first positive."""
        return (self.optimistic + self.pessimistic) / 2

    @property
    def n_queries(self) -> int:
        return len(self.optimistic)


def rank_positives(
    queries,
    gallery,
    positives: Positives,
    *,
    exclude=None,
    block_mb: float = 256,
    tie_tolerance: float = 1e-6,
) -> Ranking:
    """Rank each query's positives in the gallery by cosine similarity.

    Parameters
    ----------
    queries : (q, d) float, unit rows
    gallery : (g, d) float, unit rows
    positives : Positives
    exclude : (q,) int, optional
        A gallery row per query that leaves its ranking, as a positive too (-1: none); for composed
        retrieval the reference image.
    block_mb : float
        Memory for one block of scores and its inputs, in MiB. The result does not depend on it.
    tie_tolerance : float
        Scores that differ by no more than this are tied.

    Raises
    ------
    InvalidEmbeddings
        If ``check_embeddings`` refuses one of the sides.
    ValueError
        If shapes do not agree, or an exclusion takes a query's only positive.

    Examples
    --------
    >>> from helpers.first.evaluation.positives import positives_from_lists
    >>> one_hot = np.eye(3)
    >>> rank_positives(one_hot, one_hot, positives_from_lists([[0], [1], [2]], n_gallery=3)).first
    array([1., 1., 1.])
    """
    queries = check_embeddings(queries, name="queries")
    gallery = check_embeddings(gallery, name="gallery")
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} dimensions and the gallery {gallery.shape[1]}; "
            "embed both with one model"
        )
    shape = (len(queries), len(gallery))
    exclude = _checked(shape, positives, exclude, tie_tolerance)
    positives = positives.without(exclude)
    blocks = block_shape(*shape, queries.shape[1], block_mb=block_mb)
    pairs = max(1, int(block_mb * 2**20) // (64 * queries.shape[1]))

    def quick(rows: slice, columns: slice) -> np.ndarray:
        return np.float32(queries[rows]) @ np.float32(gallery[columns]).T  # (rows, columns)

    def exact(rows: slice, columns: slice) -> np.ndarray:
        return on_grid(queries[rows]) @ on_grid(gallery[columns]).T

    def of_pairs(query: np.ndarray, row: np.ndarray) -> np.ndarray:
        parts = (slice(start, start + pairs) for start in range(0, len(query), pairs))
        found = [
            np.einsum("ij,ij->i", on_grid(queries[query[part]]), on_grid(gallery[row[part]]))
            for part in parts
        ]
        return np.concatenate(found) if found else np.empty(0)

    scores = _Scores(quick, exact, of_pairs, quick_error(queries.shape[1]))
    return _rank(scores, positives, exclude, blocks, tie_tolerance)


def rank_positives_from_scores(
    scores, positives: Positives, *, exclude=None, tie_tolerance: float = 1e-6
) -> Ranking:
    """Rank each query's positives by a dense score matrix, higher is better.

    Parameters
    ----------
    scores : (q, g) float, finite
    positives, exclude, tie_tolerance
        As in :func:`rank_positives`; the tolerance is in the unit of the scores.

    Raises
    ------
    ValueError
        If scores are not finite, or shapes do not agree.

    Examples
    --------
    >>> from helpers.first.evaluation.positives import positives_from_lists
    >>> rank_positives_from_scores([[1, 1, 0]], positives_from_lists([[0]], n_gallery=3)).first
    array([1.5])
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"scores: expected a (queries, gallery) matrix, got shape {scores.shape}")
    if not np.isfinite(scores).all():
        query, row = np.argwhere(~np.isfinite(scores))[0]
        raise ValueError(
            f"scores: {scores[query, row]} at query {query}, gallery row {row}; look at the "
            "encoder that made them"
        )
    exclude = _checked(scores.shape, positives, exclude, tie_tolerance)
    positives = positives.without(exclude)

    def block(rows: slice, columns: slice) -> np.ndarray:
        return scores[rows, columns].copy()

    known = _Scores(block, block, lambda query, row: scores[query, row], 0.0)
    return _rank(known, positives, exclude, (QUERY_BLOCK, GALLERY_BLOCK), tie_tolerance)


@dataclass(frozen=True)
class _Scores:
    """A block of scores off by at most ``error``, the exact block, exact scores of some pairs."""

    quick: ScoreBlock
    exact: ScoreBlock
    of_pairs: Callable[[np.ndarray, np.ndarray], np.ndarray]
    error: float


def _rank(
    scores: _Scores,
    positives: Positives,
    exclude: np.ndarray,
    blocks: tuple[int, int],
    tolerance: float,
) -> Ranking:
    """Count, block by block, the negatives above and level with each positive's score (nnz,)."""
    gold = scores.of_pairs(positives.queries, positives.indices)
    order = np.lexsort((-gold, positives.queries))  # best positive of a query first
    limits = np.stack([gold[order] - tolerance, gold[order] + tolerance])
    counts = np.zeros((2, len(gold)), dtype=np.int64)  # not below, above
    indptr = positives.indptr
    for start in range(0, positives.n_queries, blocks[0]):
        rows = slice(start, min(start + blocks[0], positives.n_queries))
        own = slice(indptr[rows.start], indptr[rows.stop])
        for left in range(0, positives.n_gallery, blocks[1]):
            columns = slice(left, min(left + blocks[1], positives.n_gallery))
            counts[:, own] += _count(scores, rows, columns, limits[:, own], positives, exclude)
    not_below, above = counts
    place = np.arange(len(gold)) - np.repeat(indptr[:-1], positives.counts) + 1
    first = indptr[:-1]
    ranks = place + (above + not_below) / 2
    return Ranking(1 + above[first], 1 + not_below[first], ranks, indptr, positives.n_gallery)


def _count(
    scores: _Scores,
    rows: slice,
    columns: slice,
    limits: np.ndarray,
    positives: Positives,
    exclude: np.ndarray,
) -> np.ndarray:
    """Negatives of a block not below, and above, the limits (2, p) of its queries' positives.

    A quick score decides where its error cannot: the few near a limit are scored exactly, or, if
    they are many, the whole block.
    """
    starts = positives.indptr[rows.start : rows.stop + 1] - positives.indptr[rows.start]
    block = scores.quick(rows, columns)
    _drop_positives(block, rows, columns, positives, exclude)
    wide = limits + np.array([[-scores.error], [scores.error]])
    counts = _count_rows(block, starts, wide.astype(block.dtype))
    near = counts[0] - counts[1] if scores.error else np.zeros(1, int)
    if near.sum() > block.size // MANY:
        del block
        block = scores.exact(rows, columns)
        _drop_positives(block, rows, columns, positives, exclude)
        return _count_rows(block, starts, limits)
    if not near.any():
        return counts
    counts[0] = counts[1]
    which = np.flatnonzero(near)  # positives of the block
    lines = np.repeat(np.arange(len(block)), np.diff(starts))[which]
    found = [
        np.flatnonzero((block[line] >= low) & (block[line] <= high))
        for line, low, high in zip(lines, *wide[:, which].astype(block.dtype), strict=True)
    ]
    many = [len(hits) for hits in found]
    exact = scores.of_pairs(
        rows.start + np.repeat(lines, many), columns.start + np.concatenate(found)
    )
    which = np.repeat(which, many)
    np.add.at(counts[0], which, exact >= limits[0, which])
    np.add.at(counts[1], which, exact > limits[1, which])
    return counts


def _count_rows(block: np.ndarray, starts: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """(2, p): entries of each row at or over ``limits[0]``, and over ``limits[1]``.

    The limits of row ``i`` are those from ``starts[i]`` to ``starts[i + 1]``.
    """
    counts = np.empty(limits.shape, dtype=np.int64)
    for line, start, stop in zip(block, starts[:-1], starts[1:], strict=True):
        if stop - start > FEW:
            line = np.sort(line)
            own = slice(start, stop)
            counts[0, own] = len(line) - np.searchsorted(line, limits[0, own], "left")
            counts[1, own] = len(line) - np.searchsorted(line, limits[1, own], "right")
            continue
        for i in range(start, stop):
            counts[0, i] = np.count_nonzero(line >= limits[0, i])
            counts[1, i] = np.count_nonzero(line > limits[1, i])
    return counts


def _drop_positives(
    block: np.ndarray, rows: slice, columns: slice, positives: Positives, exclude: np.ndarray
) -> None:
    """Put positives and excluded rows at minus infinity in a (rows, columns) block, in place."""
    own = slice(positives.indptr[rows.start], positives.indptr[rows.stop])
    local = np.repeat(np.arange(rows.stop - rows.start), positives.counts[rows])
    for line, row in (
        (local, positives.indices[own]),
        (np.arange(rows.stop - rows.start), exclude[rows]),
    ):
        inside = (row >= columns.start) & (row < columns.stop)
        block[line[inside], row[inside] - columns.start] = -np.inf


def _checked(shape: tuple[int, int], positives: Positives, exclude, tolerance: float) -> np.ndarray:
    """The exclusions as (q,) int64, after a check that everything fits together."""
    if shape != (positives.n_queries, positives.n_gallery):
        raise ValueError(
            f"the relation has {positives.n_queries} queries and {positives.n_gallery} gallery "
            f"rows, the scores {shape[0]} and {shape[1]}; build it from the same lists"
        )
    if not (np.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"tie_tolerance={tolerance!r} must be a number of at least 0")
    exclude = np.full(shape[0], -1) if exclude is None else np.asarray(exclude)
    if exclude.shape != (shape[0],) or exclude.dtype.kind not in "iu":
        raise ValueError(f"exclude: expected {shape[0]} whole numbers, got shape {exclude.shape}")
    if exclude.min() < -1 or exclude.max() >= shape[1]:
        raise ValueError(f"exclude: rows must lie in -1 (none) to {shape[1] - 1}")
    return exclude.astype(np.int64)
