"""An index that lives: rows are added, removed and replaced by id while it is searched.

All kinds behave alike. A row gets the next slot; a removed one is only marked, since a graph cannot
lose a node, and searches pass over it. When too many are marked the index is built anew from the
living, unless they are too few to learn codes from; so is one whose codes were learned from less
than a quarter of its rows. Whatever a kind estimates is scored again with the exact rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from helpers.first.retrieval.kinds import (
    LEAST,
    IndexKind,
    index_bytes,
    make_index,
    on_gpu,
    search_parameters,
)
from helpers.first.retrieval.space import IndexRefused, Space, checked_queries, checked_rows

MOST_DEAD = 0.3  # share of removed rows at which an index is built anew
MOST_GROWN = 4  # times the rows that codes were learned from


@dataclass(frozen=True, eq=False)
class Nearest:
    """What a search found, by id.

    Attributes
    ----------
    ids : (q, m) str
        Best first.
    scores : (q, m) float32
        Cosines.
    """

    ids: np.ndarray
    scores: np.ndarray


class Store(Protocol):
    """What an index in memory and a vector database have in common."""

    space: Space

    def __len__(self) -> int: ...

    def add(self, ids: Sequence[str], rows) -> None:
        """New rows; an id that is there is refused."""

    def remove(self, ids: Sequence[str]) -> None:
        """Rows leave; an id that is not there is refused."""

    def upsert(self, ids: Sequence[str], rows) -> None:
        """New rows, or new values of rows that are there."""

    def nearest(self, queries, k: int) -> Nearest:
        """The k best of each query."""


class VectorIndex:
    """A FAISS index of any kind with ids, tombstones and exact rescoring.

    Attributes
    ----------
    kind : IndexKind
    space : Space
    faiss : faiss.Index
        Slots in the order in which rows came.
    ids : (slots,) str
        The id in each slot, empty where a row was removed.
    rebuilt : int
        How often the index was built anew.
    trained_on : int
        Rows that codes were learned from.

    Examples
    --------
    >>> rows = np.eye(20, dtype=np.float32)
    >>> index = VectorIndex(IndexKind("hnsw"), Space("m", "f", "p", 20))
    >>> index.upsert([f"{i}" for i in range(20)], rows)
    >>> index.nearest(rows[7:8], 1).ids.tolist()
    [['7']]
    """

    def __init__(self, kind: IndexKind, space: Space) -> None:
        self.kind, self.space = kind, space
        self.faiss: Any = None
        self.rebuilt = self.trained_on = 0
        self._copy: Any = None  # of the FAISS index, on a GPU
        self._ids: list[str] = []
        self._slots: dict[str, int] = {}
        self._exact: list[np.ndarray] = []  # blocks of rows, where FAISS has only codes
        self._seen: tuple[np.ndarray, np.ndarray] | None = None  # ids, living slots: made on demand

    @classmethod
    def restored(
        cls, kind: IndexKind, space: Space, held: Any, ids: Sequence[str],
        exact: np.ndarray | None, *, trained_on: int,
    ) -> "VectorIndex":  # fmt: skip
        """An index from its parts: a FAISS index, the id of each slot, and rows beside codes."""
        index = cls(kind, space)
        index.faiss, index._ids, index.trained_on = held, list(ids), trained_on
        index._slots = {name: slot for slot, name in enumerate(ids) if name}
        index._exact = [] if exact is None else [exact]
        return index

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def ids(self) -> np.ndarray:
        """(slots,) str."""
        return self._view()[0]

    @property
    def size_mb(self) -> float:
        """MiB of the FAISS index; IVF-PQ's exact rows, which may lie on a disk, not counted."""
        return 0.0 if self.faiss is None else index_bytes(self.faiss) / 2**20

    def to_gpu(self) -> str:
        """Search a copy on the GPU until rows change; says where searches now run, and why.

        Needs ``faiss-gpu``. Where some rows are passed over, the index on the CPU answers, since
        FAISS selects rows only there.
        """
        self._copy, where = on_gpu(self.faiss, self.kind)
        return where

    def add(self, ids: Sequence[str], rows) -> None:
        """New rows.

        Raises
        ------
        IndexRefused
            If an id is there already, repeats or is no string, or the rows do not fit.
        InvalidEmbeddings
            If a row is refused. Nothing has changed then.
        """
        rows, names = checked_rows(rows, ids, self.space, alike=len(self) > 0)
        if known := [name for name in names if name in self._slots]:
            raise IndexRefused(f"id {known[0]!r} is in the index: upsert replaces its row")
        self._append(names, rows)
        self._tidy()

    def remove(self, ids: Sequence[str]) -> None:
        """Rows leave the index. Raises ``IndexRefused`` for an id that is not there."""
        names = list(dict.fromkeys(ids))
        if unknown := [name for name in names if name not in self._slots]:
            raise IndexRefused(f"id {unknown[0]!r} is not in the index of {len(self)} rows")
        for name in names:
            self._ids[self._slots.pop(name)] = ""
        self._tidy()

    def upsert(self, ids: Sequence[str], rows) -> None:
        """Rows that are new, or that take the place of those of the same id.

        Raises as ``add``, but for ids that are there.
        """
        rows, names = checked_rows(rows, ids, self.space, alike=len(self) > 0)
        for name in names:
            if name in self._slots:
                self._ids[self._slots.pop(name)] = ""
        self._append(names, rows)
        self._tidy()

    def rows_of(self, slots) -> np.ndarray:
        """The exact rows in some slots, (n, d) float32."""
        slots = np.asarray(slots, dtype=np.int64)
        if self.kind.approximate:
            if len(self._exact) > 1:
                self._exact = [np.concatenate(self._exact)]
            return np.asarray(self._exact[0][slots], dtype=np.float32)
        return self.faiss.reconstruct_batch(slots)

    def nearest(self, queries, k: int) -> Nearest:
        """The k best rows of each query, by id; raises as ``search``."""
        scores, slots = self.search(queries, k)
        return Nearest(self.ids[slots] if len(self) else slots.astype(str), scores)

    def search(
        self, queries, k: int, *, rows: Iterable[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best slots of each query, best first.

        Where an approximate search finds fewer than there are, that query is answered exactly.

        Parameters
        ----------
        queries : (q, d) float, unit rows of the index's space
        k : int
            At least 1; fewer come back where the index, or ``rows``, has fewer.
        rows : iterable of int, optional
            Search among these slots alone, exactly, whatever the kind.

        Returns
        -------
        (q, m) float32, (q, m) int64
            Cosines and slots, m = min(k, what there is). Equal cosines stand in the order of slots.

        Raises as :func:`helpers.first.retrieval.space.checked_queries`.
        """
        queries = checked_queries(queries, k, self.space)
        living = self._view()[1]
        if rows is not None:
            living = np.intersect1d(living, np.fromiter(rows, dtype=np.int64))
        k = min(k, len(living))
        if k == 0:
            empty = np.empty((len(queries), 0))
            return empty.astype(np.float32), empty.astype(np.int64)
        if rows is not None:
            return self._exactly(queries, k, living)
        again = self.kind.rescored if self.kind.approximate else 0
        scores, slots = self._found(queries, min(k * max(1, again), len(living)), living)
        if again:
            scores = self._rescored(queries, slots)
        scores, slots = _best(scores, slots, k)
        short = np.flatnonzero((slots < 0).any(axis=1))
        if len(short):
            scores[short], slots[short] = self._exactly(queries[short], k, living)
        return scores, slots

    def _view(self) -> tuple[np.ndarray, np.ndarray]:
        if self._seen is None:
            ids = np.array(self._ids, dtype=str)
            self._seen = ids, np.flatnonzero(ids != "")
        return self._seen

    def _append(self, names: list[str], rows: np.ndarray) -> None:
        self._seen = None
        if self.faiss is None:
            self.faiss, self.trained_on = make_index(self.kind, rows), len(rows)
        else:
            self.faiss.add(rows)
        if self.kind.approximate:
            self._exact.append(rows)
        start = len(self._ids)
        self._ids += names
        self._slots.update(zip(names, range(start, len(self._ids)), strict=True))

    def _tidy(self) -> None:
        """Build anew where too many rows are dead, or codes were learned from too few."""
        self._seen = self._copy = None
        dead = len(self._ids) - len(self)
        enough = len(self) >= LEAST or not self.kind.approximate
        grown = self.kind.approximate and len(self) > MOST_GROWN * self.trained_on
        if len(self) == 0:
            self.faiss, self._ids, self._exact = None, [], []
        elif enough and (grown or dead > MOST_DEAD * len(self._ids)):
            names = [name for name in self._ids if name]
            rows = self.rows_of([self._slots[name] for name in names])
            self.faiss, self._ids, self._exact, self._slots = None, [], [], {}
            self._append(names, rows)
            self.rebuilt += 1

    def _found(
        self, queries: np.ndarray, k: int, living: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the kind itself finds among the living, (q, k) scores and slots, -1 for none."""
        import faiss

        if self._copy is not None and len(living) == len(self._ids):
            return self._copy.search(queries, k)
        selector = None
        if len(living) < len(self._ids):
            alive = np.zeros(len(self._ids), dtype=bool)
            alive[living] = True
            selector = faiss.IDSelectorBitmap(np.packbits(alive, bitorder="little"))
        return self.faiss.search(queries, k, params=search_parameters(self.kind, selector))

    def _rescored(self, queries: np.ndarray, slots: np.ndarray) -> np.ndarray:
        rows = self.rows_of(np.maximum(slots, 0).ravel()).reshape(*slots.shape, -1)  # (q, c, d)
        scores = np.einsum("qd,qcd->qc", queries, rows)
        return np.where(slots < 0, -np.inf, scores).astype(np.float32)

    def _exactly(
        self, queries: np.ndarray, k: int, slots: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        scores = queries @ self.rows_of(slots).T  # (q, n)
        return _best(scores, np.broadcast_to(slots, scores.shape), k)


def _best(scores: np.ndarray, slots: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each row; equal scores in the order of slots, nothing (-1) last."""
    order = np.lexsort((slots, -np.where(slots < 0, -np.inf, scores)), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(slots, order, 1)
