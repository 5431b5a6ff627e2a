"""An exact index of unit rows, and what makes rows comparable.

The inner product of unit rows is their cosine. A flat index compares a query with every row, so no
recall is lost. Nothing here loads torch: a search from kept rows starts at once.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.evaluation.ranking import check_embeddings
from helpers.repro import hash_of

if TYPE_CHECKING:
    from helpers.models.encoder import Encoder


class IndexRefused(ValueError):
    """An index that is damaged, of another model, or asked in the wrong way."""


@dataclass(frozen=True)
class Space:
    """What made the rows: only rows of one space can be compared.

    ``fingerprint`` is that of the weights, an adapter's included; ``preprocessing`` a hash of the
    image processor's settings.
    """

    model: str
    fingerprint: str
    preprocessing: str
    dimension: int


def space_of(encoder: "Encoder") -> Space:
    """The space of an encoder's embeddings; a part of an encoder carries that of the whole."""
    if isinstance(known := getattr(encoder, "space", None), Space):
        return known
    settings = encoder.processor.image_processor.to_dict()
    plain = {k: str(v) for k, v in sorted(settings.items()) if not k.startswith("_")}
    return Space(encoder.name, encoder.fingerprint, hash_of(plain), encoder.dimension)


@dataclass(frozen=True, eq=False)
class FlatIndex:
    """A FAISS ``IndexFlatIP`` and the ids (n,) of its rows."""

    space: Space
    ids: np.ndarray
    faiss: Any

    @classmethod
    def of(cls, rows: Any, ids: Sequence[str], space: Space) -> "FlatIndex":
        """An index of ``rows``, (n, d) float, unit rows.

        Raises ``IndexRefused`` if ids repeat, are empty or no strings, or do not fit the rows, and
        ``InvalidEmbeddings`` if a row is not finite, not of length 1, or all rows are equal.
        """
        import faiss

        rows, names = check_embeddings(rows, name="rows of the index"), list(ids)
        if strange := [i for i in names if not isinstance(i, str) or not i]:
            raise IndexRefused(f"id {strange[0]!r} is no name: give every row a text of its own")
        if rows.shape != (len(names), space.dimension):
            raise IndexRefused(
                f"rows have shape {rows.shape}; there are {len(names)} ids, and {space.model} has "
                f"{space.dimension} dimensions"
            )
        if len(set(names)) != len(names):
            twice = Counter(names).most_common(1)[0][0]
            raise IndexRefused(f"id {twice!r} is there twice: ids name one row each")
        made = faiss.IndexFlatIP(space.dimension)
        made.add(np.ascontiguousarray(rows, dtype=np.float32))
        return cls(space, np.array(names, dtype=str), made)

    @classmethod
    def from_bytes(cls, content: bytes, ids: Sequence[str], space: Space) -> "FlatIndex":
        """An index as :meth:`to_bytes` wrote it; check its hash first, FAISS checks nothing.

        Raises ``IndexRefused`` if ids or dimensions do not fit.
        """
        import faiss

        held = faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8))
        if (held.ntotal, held.d) != (len(ids), space.dimension):
            raise IndexRefused(
                f"the index has {held.ntotal} rows of {held.d} dimensions for {len(ids)} ids of "
                f"{space.dimension}: build it again"
            )
        return cls(space, np.array(ids, dtype=str), held)

    def to_bytes(self) -> bytes:
        """The index as plain FAISS reads it (``faiss.read_index`` on a file)."""
        import faiss

        return faiss.serialize_index(self.faiss).tobytes()

    def __len__(self) -> int:
        return len(self.ids)

    def search(
        self, queries: Any, k: int, *, rows: Iterable[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k rows with the largest cosines for each query.

        Parameters
        ----------
        queries : (q, d) float, unit rows of the index's space
        k : int
            At least 1; fewer come back where the index, or ``rows``, has fewer.
        rows : iterable of int, optional
            Search among these rows alone.

        Returns
        -------
        (q, m) float32, (q, m) int64
            Cosines and row numbers, best first; equal cosines in the order of rows.

        Raises ``IndexRefused`` for k below 1 or queries of another dimension.
        """
        queries = check_embeddings(queries, name="queries", alike=True)
        if queries.shape[1] != self.space.dimension:
            raise IndexRefused(
                f"queries have {queries.shape[1]} dimensions, the index of {self.space.model} has "
                f"{self.space.dimension}: embed them with that model"
            )
        if k < 1:
            raise IndexRefused(f"k is {k}: ask for at least one result")
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if rows is None:
            scores, found = self.faiss.search(queries, min(k, len(self)))
        else:
            chosen = np.fromiter(rows, dtype=np.int64)
            among = self.faiss.reconstruct_batch(chosen) if len(chosen) else queries[:0]
            scores = queries @ among.T  # (q, n)
            found = np.broadcast_to(chosen, scores.shape)
        order = np.lexsort((found, -scores), axis=1)[:, :k]
        return np.take_along_axis(scores, order, 1), np.take_along_axis(found, order, 1)
