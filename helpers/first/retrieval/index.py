"""Indexes of unit rows, and indexes on disk: refused by checksum before a byte is parsed.

Inner product of unit rows is cosine. A flat index compares with every row: no recall is lost.

A folder holds ``index.faiss`` (plain ``faiss.read_index`` opens it), for IVF-PQ the exact rows in
``rows.npy``, which stay on the disk, and ``index.json``, which names kind, space, ids, on
how many rows codes were learned and the SHA-256 of the others, and has one of its own. It is
written last, so that a half-written index is none.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from helpers.first.retrieval.kinds import IndexKind
from helpers.first.retrieval.space import (
    IndexRefused,
    Space,
    checked_bytes,
    checked_space,
    space_of,
)
from helpers.first.retrieval.vector_index import VectorIndex
from helpers.repro import canonical_json, hash_of, sha256_file
from helpers.store.zones import write_file_atomically

__all__ = ["IndexRefused", "Space", "build_index", "load_index", "save_index", "space_of"]

FILE, ROWS, SIDECAR = "index.faiss", "rows.npy", "index.json"
SCHEMA = 3
FIELDS = {"schema", "kind", "space", "ids", "trained_on", "sha256", "self"}


def build_index(
    embeddings, ids: Sequence[str], *, space: Space, kind: IndexKind | None = None
) -> VectorIndex:
    """An index of unit rows.

    Parameters
    ----------
    embeddings : (n, d) float, unit rows
    ids : (n,) str, distinct
    space : Space
        Of the encoder that made them: :func:`space_of`.
    kind : IndexKind, optional
        Flat, which is exact, if nothing is said.

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
    index = VectorIndex(kind or IndexKind(), space)
    index.add(ids, embeddings)
    return index


def save_index(index: VectorIndex, folder: Path | str) -> Path:
    """Write an index of any kind.

    Raises
    ------
    IndexRefused
        If it holds no row.
    """
    import faiss

    if len(index) == 0:
        raise IndexRefused("the index holds no row: add some before you save it")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SIDECAR).unlink(missing_ok=True)
    write_file_atomically(folder / FILE, faiss.serialize_index(index.faiss).tobytes())
    files = [FILE]
    (folder / ROWS).unlink(missing_ok=True)
    if index.kind.approximate:
        stream = io.BytesIO()
        np.save(stream, index.rows_of(np.arange(len(index.ids))), allow_pickle=False)
        write_file_atomically(folder / ROWS, stream.getvalue())
        files.append(ROWS)
    record = {
        "schema": SCHEMA,
        "kind": asdict(index.kind),
        "space": asdict(index.space),
        "ids": index.ids.tolist(),
        "trained_on": index.trained_on,
        "sha256": {name: sha256_file(folder / name) for name in files},
    }
    record["self"] = hash_of(record, digits=64)
    write_file_atomically(folder / SIDECAR, _text(record))
    return folder


def load_index(folder: Path | str, *, space: Space | None = None) -> VectorIndex:
    """Read an index, all hashes first.

    Parameters
    ----------
    folder : path
    space : Space, optional
        Of the encoder that will search it; another one is refused.

    Raises
    ------
    IndexRefused
        If a file is missing, damaged or unknown, or the index is of another space.

    Examples
    --------
    >>> index = load_index("reports/tiny/10_serving/index")  # doctest: +SKIP
    """
    import faiss

    folder = Path(folder)
    record = _sidecar(folder / SIDECAR)
    content = {n: checked_bytes(folder / n, s) for n, s in record["sha256"].items() if n != ROWS}
    made = checked_space(Space(**record["space"]), space, folder)
    kind, exact = IndexKind(**record["kind"]), None
    if kind.approximate:
        _checked_rows(folder / ROWS, record["sha256"][ROWS])
        exact = np.load(folder / ROWS, mmap_mode="r", allow_pickle=False)
    held = faiss.deserialize_index(np.frombuffer(content[FILE], dtype=np.uint8))
    if (held.ntotal, held.d) != (len(record["ids"]), made.dimension):
        raise IndexRefused(
            f"{folder / FILE} has {held.ntotal} rows of {held.d} dimensions, its sidecar names "
            f"{len(record['ids'])} ids of {made.dimension}: build the index again"
        )
    return VectorIndex.restored(
        kind, made, held, record["ids"], exact, trained_on=record["trained_on"]
    )


def _checked_rows(file: Path, sha256: str) -> None:
    """Hash a file piece by piece: it may be larger than the memory."""
    if not file.is_file():
        raise IndexRefused(f"{file} is missing beside its sidecar: build the index again")
    if (found := sha256_file(file)) != sha256:
        raise IndexRefused(
            f"{file} is damaged: its SHA-256 begins {found[:12]}, the sidecar says {sha256[:12]}; "
            "build the index again"
        )


def _text(record: dict[str, Any]) -> bytes:
    return (canonical_json(record) + "\n").encode()


def _sidecar(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise IndexRefused(f"{path} is missing: without it nobody knows what the rows are")
    try:
        content = path.read_bytes()
        record = json.loads(content)
        whole = set(record) == FIELDS and record["schema"] == SCHEMA and content == _text(record)
        own = record.pop("self", "")
        whole = whole and own == hash_of(record, digits=64)
    except (ValueError, AttributeError, TypeError) as error:
        raise IndexRefused(f"{path} is no sidecar of an index ({error}): build it again") from error
    if not whole:
        raise IndexRefused(f"{path} is damaged or of an unknown form: build the index again")
    return record
