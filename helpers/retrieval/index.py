"""Exact indexes: FAISS files that plain ``faiss.read_index`` opens, with a sidecar that says what
their rows are.

Inner product of unit rows is cosine, and a flat index compares with every row: no recall is lost.
The sidecar names model, adapter, preprocessing and ids, and holds the SHA-256 of the FAISS file,
which is checked before FAISS sees a byte: FAISS loads many damaged files without a word.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.repro import sha256_file
from helpers.retrieval.space import (
    IndexRefused,
    Space,
    checked_bytes,
    checked_queries,
    checked_rows,
    checked_space,
    space_of,
)
from helpers.store.atomic import write_file_atomically

__all__ = ["FlatIndex", "IndexRefused", "Space", "build_index", "load_index", "save_index",
           "space_of"]  # fmt: skip

FILE, SIDECAR = "index.faiss", "index.json"
SCHEMA = 1


@dataclass(frozen=True, eq=False)
class FlatIndex:
    """An exact index in memory.

    Attributes
    ----------
    faiss : faiss.IndexFlatIP
    ids : (n,) str, distinct
    space : Space
    """

    faiss: Any
    ids: np.ndarray
    space: Space

    def __len__(self) -> int:
        return len(self.ids)

    def search(
        self, queries, k: int, *, rows: Iterable[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best rows of each query, best first.

        Parameters
        ----------
        queries : (q, d) float, unit rows of the index's space
        k : int
            At least 1; fewer come back where the index, or ``rows``, has fewer.
        rows : iterable of int, optional
            Search among these alone, exactly.

        Returns
        -------
        (q, m) float32, (q, m) int64
            Cosines and rows, m = min(k, what there is). Equal cosines stand in the order of rows.

        Raises
        ------
        IndexRefused
            If k is below 1 or the queries have another dimension.
        InvalidEmbeddings
            If a query is not finite or no unit row.
        """
        import faiss

        queries = checked_queries(queries, k, self.space)
        options, n = {}, len(self)
        if rows is not None:
            chosen = np.unique(np.fromiter(rows, dtype=np.int64))
            n = len(chosen)
            options["params"] = faiss.SearchParameters(sel=faiss.IDSelectorBatch(chosen))
        if n == 0:
            empty = np.empty((len(queries), 0))
            return empty.astype(np.float32), empty.astype(np.int64)
        scores, found = self.faiss.search(queries, min(k, n), **options)
        order = np.lexsort((found, -scores), axis=1)
        return np.take_along_axis(scores, order, 1), np.take_along_axis(found, order, 1)


def build_index(embeddings, ids: Sequence[str], *, space: Space) -> FlatIndex:
    """An index of unit rows.

    Parameters
    ----------
    embeddings : (n, d) float, unit rows
    ids : (n,) str, distinct
    space : Space
        Of the encoder that made them: :func:`space_of`.

    Raises
    ------
    IndexRefused
        If ids repeat, are no strings, or do not fit the rows.
    InvalidEmbeddings
        If a row is refused.

    Examples
    --------
    >>> index = build_index(np.eye(3), ["a", "b", "c"], space=Space("m", "f", "p", 3))
    >>> index.ids[index.search(np.eye(3)[:1], 1)[1][0]].tolist()
    ['a']
    """
    import faiss

    rows, names = checked_rows(embeddings, ids, space)
    index = faiss.IndexFlatIP(space.dimension)
    index.add(rows)
    return FlatIndex(index, np.array(names, dtype=str), space)


def save_index(index: FlatIndex, folder: Path | str) -> Path:
    """Write index and sidecar; the sidecar comes last, so that a half-written index is none."""
    import faiss

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sidecar = folder / SIDECAR
    sidecar.unlink(missing_ok=True)
    write_file_atomically(folder / FILE, faiss.serialize_index(index.faiss).tobytes())
    record = {
        "schema": SCHEMA,
        "kind": "flat, inner product of unit rows",
        "space": asdict(index.space),
        "ids": index.ids.tolist(),
        "sha256": sha256_file(folder / FILE),
    }
    text = json.dumps(record, ensure_ascii=False, indent=0) + "\n"
    write_file_atomically(sidecar, text.encode())
    return folder


def load_index(folder: Path | str, *, space: Space | None = None) -> FlatIndex:
    """Read an index, its hash first.

    Parameters
    ----------
    folder : path
    space : Space, optional
        Of the encoder that will search it; another one is refused.

    Raises
    ------
    IndexRefused
        If a file is missing, damaged or unknown, or the index is of another space.
    """
    import faiss

    folder = Path(folder)
    record = _sidecar(folder / SIDECAR)
    file = folder / FILE
    content = checked_bytes(file, record["sha256"])
    made = checked_space(Space(**record["space"]), space, folder)
    index = faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8))
    if (index.ntotal, index.d) != (len(record["ids"]), made.dimension):
        raise IndexRefused(
            f"{file} has {index.ntotal} rows of {index.d} dimensions, its sidecar names "
            f"{len(record['ids'])} ids of {made.dimension}: build the index again"
        )
    return FlatIndex(index, np.array(record["ids"], dtype=str), made)


def _sidecar(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise IndexRefused(f"{path} is missing: without it nobody knows what the rows are")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        known = record["schema"] == SCHEMA and set(record["space"]) == set(Space.__annotations__)
        ids = record["ids"]
        known = known and isinstance(record["sha256"], str) and all(isinstance(i, str) for i in ids)
    except (ValueError, KeyError, TypeError) as error:
        raise IndexRefused(f"{path} is no sidecar of an index ({error}): build it again") from error
    if not known:
        raise IndexRefused(f"{path} has a form that is not known here: build the index again")
    return record
