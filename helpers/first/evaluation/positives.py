"""Which gallery rows answer which query: a relation with one or several positives per query."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Positives:
    """The positives of q queries in a gallery, as compressed sparse rows.

    The positives of query ``i`` are ``indices[indptr[i]:indptr[i + 1]]``, sorted and distinct.

    Attributes
    ----------
    indptr : (q + 1,) int64
    indices : (nnz,) int64, gallery rows
    n_gallery : int

    Raises
    ------
    ValueError
        If a query has no positive, or a positive is repeated, unsorted or no row of the gallery.
    """

    indptr: np.ndarray
    indices: np.ndarray
    n_gallery: int

    def __post_init__(self) -> None:
        if len(self.indptr) < 2:
            raise ValueError("positives: no query; give at least one")
        if self.indptr[0] != 0 or self.indptr[-1] != len(self.indices):
            raise ValueError("positives: indptr must run from 0 to the number of indices")
        empty = np.flatnonzero(np.diff(self.indptr) <= 0)
        if empty.size:
            raise ValueError(
                f"positives: {empty.size} of {self.n_queries} queries have no positive in the "
                f"gallery (queries {_first(empty)}); take them out of the queries, or add items"
            )
        outside = (self.indices < 0) | (self.indices >= self.n_gallery)
        if outside.any():
            raise ValueError(
                f"positives: gallery rows {_first(self.indices[outside])} do not exist, "
                f"the gallery has {self.n_gallery} rows counted from 0"
            )
        same_query = np.diff(self.queries) == 0
        if (np.diff(self.indices)[same_query] <= 0).any():
            raise ValueError("positives: the rows of a query must be sorted and distinct")

    @property
    def n_queries(self) -> int:
        return len(self.indptr) - 1

    @property
    def counts(self) -> np.ndarray:
        """(q,) int64, how many positives each query has."""
        return np.diff(self.indptr)

    @property
    def queries(self) -> np.ndarray:
        """(nnz,) int64, the query that each entry of ``indices`` belongs to."""
        return np.repeat(np.arange(self.n_queries), self.counts)

    def without(self, exclude: np.ndarray) -> "Positives":
        """The relation after each query's excluded row (-1: none) has left the gallery.

        Raises ``ValueError`` if that takes a query's only positive.
        """
        queries = self.queries
        kept = self.indices != np.asarray(exclude)[queries]
        counts = np.bincount(queries[kept], minlength=self.n_queries)
        return Positives(_offsets(counts), self.indices[kept], self.n_gallery)


def positives_from_ids(query_ids: Sequence[str], gallery_ids: Sequence[str]) -> Positives:
    """Relate each query to the gallery rows of the same id, say of the same recipe.

    Parameters
    ----------
    query_ids : (q,) sequence of str
    gallery_ids : (g,) sequence of str

    Raises
    ------
    TypeError
        If an id is no string: the numbers 7 and "007" would compare in ways nobody asked for.
    ValueError
        If a query's id does not occur in the gallery; the message names the id.

    Examples
    --------
    >>> positives_from_ids(["b"], ["a", "b", "b"]).indices.tolist()
    [1, 2]
    """
    query_ids, gallery_ids = _strings(query_ids, "query"), _strings(gallery_ids, "gallery")
    order = np.argsort(gallery_ids, kind="stable")
    ordered = gallery_ids[order]
    starts = np.searchsorted(ordered, query_ids, "left")
    counts = np.searchsorted(ordered, query_ids, "right") - starts
    lost = np.flatnonzero(counts == 0)
    if lost.size:
        names = ", ".join(repr(str(name)) for name in query_ids[lost[:5]])
        raise ValueError(
            f"positives: {lost.size} of {len(query_ids)} queries have an id that no gallery row "
            f"has ({names}; queries {_first(lost)}); take them out of the queries, or add items"
        )
    indptr = _offsets(counts)
    within = np.arange(indptr[-1]) - np.repeat(indptr[:-1], counts)
    return Positives(indptr, order[np.repeat(starts, counts) + within], len(gallery_ids))


def positives_from_lists(rows: Iterable[Iterable[int]], *, n_gallery: int) -> Positives:
    """Relate query ``i`` to the gallery rows in ``rows[i]``; order and repetition do not matter.

    Raises ``ValueError`` if a query has no row, or a row lies outside the gallery.

    Examples
    --------
    >>> positives_from_lists([[2, 0], [1]], n_gallery=3).counts.tolist()
    [2, 1]
    """
    lists = [np.unique(np.asarray(list(row), dtype=np.int64)) for row in rows]
    counts = np.array([len(row) for row in lists], dtype=np.int64)
    indices = np.concatenate(lists) if lists else np.empty(0, dtype=np.int64)
    return Positives(_offsets(counts), indices, n_gallery)


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _strings(ids: Sequence[str], name: str) -> np.ndarray:
    ids = list(ids)
    for place, value in enumerate(ids):
        if not isinstance(value, str):
            raise TypeError(
                f"positives: {name} id {value!r} at place {place} is {type(value).__name__}, "
                "not str; read ids as text, so that '007' stays '007'"
            )
    return np.array(ids, dtype=str)


def _first(rows: np.ndarray, shown: int = 5) -> str:
    return ", ".join(str(row) for row in rows[:shown]) + (", ..." if len(rows) > shown else "")
