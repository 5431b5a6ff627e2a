"""A vector database with the same face as an index in memory: Milvus, embedded or a cluster.

A path such as ``serving/milvus.db`` opens Milvus Lite inside this process; an address such as
``http://host:19530`` a server or cluster. Client and calls are the same. Rows that were written
are found at once (consistency level *strong*); ``flush`` seals them, which makes searches of Milvus
Lite faster by far.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any, Literal

import numpy as np

from helpers.first.retrieval.milvus_ids import MOST, check_ids, one_of
from helpers.first.retrieval.space import IndexRefused, Space, checked_queries, checked_rows
from helpers.first.retrieval.vector_index import Nearest
from helpers.store.credentials import MILVUS_TOKEN, read_key, refuse_keys

BATCH = 2000  # rows a call: a request may have 64 MB
PROPERTY = "space"  # of a collection: what made its rows
INDEXES = {
    "FLAT": {},
    "HNSW": {"M": 32, "efConstruction": 200},
    "IVF_PQ": {"nlist": 1024, "m": 16, "nbits": 8},
}
KINDS = Literal["FLAT", "HNSW", "IVF_PQ"]
EVERYTHING = {"HNSW": {"ef": 2**15}, "IVF_PQ": {"nprobe": 1024}}  # the widest search of a kind
_USERS: defaultdict[Path, set[int]] = defaultdict(set)  # clients of each embedded server


class MilvusError(RuntimeError):
    """A database that does not do what it is asked; names address, collection and operation."""


def _named(method: Callable) -> Callable:
    """Turn the client's errors into ``MilvusError``."""

    @wraps(method)
    def call(self: "MilvusIndex", *given: Any, **options: Any) -> Any:
        from pymilvus.exceptions import MilvusException

        try:
            return method(self, *given, **options)
        except MilvusException as error:
            raise MilvusError(
                f"{method.__name__} in collection {self.collection!r} of {self.uri}: "
                f"{error.message}; see that the server runs and the disk has room"
            ) from error

    return call


class MilvusIndex:
    """A collection of unit rows by id; see ``vector_index.Store``.

    :func:`open_milvus` makes one. Attributes: ``uri``, ``collection``, ``space``, ``client``.
    """

    def __init__(self, client: Any, uri: str, collection: str, space: Space) -> None:
        self.client, self.uri, self.collection, self.space = client, uri, collection, space

    @_named
    def __len__(self) -> int:
        (count,) = self.client.query(self.collection, filter="", output_fields=["count(*)"])
        return int(count["count(*)"])

    def add(self, ids: Sequence[str], rows) -> None:
        """New rows. Raises ``IndexRefused`` for an id that is there, and as ``upsert``."""
        rows, names = self._checked(ids, rows)
        if known := self._known(names):
            raise IndexRefused(f"id {known[0]!r} is in {self.collection!r}: upsert replaces it")
        self._write(names, rows)

    def upsert(self, ids: Sequence[str], rows) -> None:
        """Rows that are new, or that take the place of those of the same id.

        Raises
        ------
        IndexRefused
            If an id repeats, is no string or has more than 512 bytes, or rows do not fit.
        InvalidEmbeddings
            If a row is refused; nothing was written then.
        MilvusError
            If the database fails; rows up to a multiple of 2,000 may be written then.
        """
        rows, names = self._checked(ids, rows)
        self._write(names, rows)

    def remove(self, ids: Sequence[str]) -> None:
        """Rows leave. Raises ``IndexRefused`` for an id that is not there."""
        names = list(dict.fromkeys(ids))
        if unknown := sorted(set(names) - set(self._known(names))):
            raise IndexRefused(f"id {unknown[0]!r} is not in {self.collection!r}")
        self._delete(names)

    @_named
    def rows_of(self, ids: Sequence[str]) -> np.ndarray:
        """The rows of some ids, (n, d) float32. Raises ``IndexRefused`` for one that is missing."""
        found = {entry["id"]: entry["vector"] for entry in self._entries(ids, "vector")}
        if missing := [name for name in ids if name not in found]:
            raise IndexRefused(f"id {missing[0]!r} is not in {self.collection!r}")
        return np.array([found[name] for name in ids], dtype=np.float32)

    @_named
    def nearest(self, queries, k: int) -> Nearest:
        """The k best rows of each query, by id; fewer where there are fewer.

        A query for which an approximate index finds fewer is asked again as widely as can be.

        Raises
        ------
        IndexRefused
            If k is below 1 or the queries are of another dimension.
        MilvusError
            If the database fails, or gives one query fewer rows than another all the same.
        """
        queries = checked_queries(queries, k, self.space)
        found = self._hits(queries, k, {})
        wanted = k if all(len(hits) == k for hits in found) else min(k, len(self))
        if short := [i for i, hits in enumerate(found) if len(hits) < wanted]:
            said = self.client.describe_index(self.collection, index_name="vector")
            wide = EVERYTHING.get(said["index_type"], {})
            for i, hits in zip(short, self._hits(queries[short], k, wide), strict=True):
                found[i] = hits
        least, most = (f(map(len, found)) for f in (min, max))
        if least < most:
            raise MilvusError(
                f"nearest in collection {self.collection!r} of {self.uri}: one query has {least} "
                f"rows, another {most} of k = {k}; ask for fewer, or use a FLAT collection"
            )
        ids = [[hit["id"] for hit in hits] for hits in found]
        scores = [[hit["distance"] for hit in hits] for hits in found]
        shape = (len(queries), least)
        return Nearest(
            np.array(ids, dtype=str).reshape(shape),
            np.array(scores, dtype=np.float32).reshape(shape),
        )

    @_named
    def flush(self) -> None:
        """Seal what was written."""
        self.client.flush(self.collection)

    def close(self) -> None:
        """Let go of the database; the embedded server ends with the last that uses it."""
        _let_go(self.client, self.uri)

    def _hits(self, queries: np.ndarray, k: int, wide: dict[str, int]) -> list[list[dict]]:
        options = {"limit": k, "output_fields": ["id"], "search_params": {"params": wide}}
        return list(self.client.search(self.collection, data=list(queries), **options))

    def _checked(self, ids: Sequence[str], rows) -> tuple[np.ndarray, list[str]]:
        alike = len(ids) > 1 and len(self) > 0  # a single row needs no count
        rows, names = checked_rows(rows, ids, self.space, alike=alike)
        check_ids(names)
        return rows, names

    @_named
    def _known(self, names: list[str]) -> list[str]:
        return [entry["id"] for entry in self._entries(names)]

    def _entries(self, ids: Sequence[str], *fields: str) -> Iterator[dict[str, Any]]:
        for start in range(0, len(ids), BATCH):
            chosen = one_of(ids[start : start + BATCH])
            yield from self.client.query(
                self.collection, filter=chosen, output_fields=["id", *fields]
            )

    @_named
    def _write(self, names: list[str], rows: np.ndarray) -> None:
        for start in range(0, len(names), BATCH):
            part = slice(start, start + BATCH)
            pairs = zip(names[part], rows[part], strict=True)
            data = [{"id": name, "vector": row} for name, row in pairs]
            self.client.upsert(self.collection, data)

    @_named
    def _delete(self, names: list[str]) -> None:
        for start in range(0, len(names), BATCH):
            self.client.delete(self.collection, filter=one_of(names[start : start + BATCH]))


def open_milvus(
    uri: str,
    *,
    collection: str = "pictures",
    space: Space,
    kind: KINDS = "FLAT",
    token: str = "",
    timeout: float = 10,
) -> MilvusIndex:
    """Open a collection, made where it is missing.

    Parameters
    ----------
    uri : str
        A file ending in ``.db`` for Milvus Lite, or ``http://host:19530``.
    collection : str
    space : Space
        Of the rows; it is written into the collection, and one of another space is refused.
    kind : str
        ``FLAT`` (exact), ``HNSW`` or ``IVF_PQ``; decided when the collection is made.
    token : str
        ``user:password`` of a server, never shown; empty: ``MILVUS_TOKEN`` of the environment or
        of ``.env``, where that is set.
    timeout : float
        Seconds to wait for a server.

    Raises
    ------
    IndexRefused
        If the collection holds rows of another space.
    MilvusError
        If the database cannot be opened.
    AccessError
        If the address holds a user or a password.

    Examples
    --------
    >>> store = open_milvus("serving/milvus.db", space=space)  # doctest: +SKIP
    """
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

    if kind not in INDEXES:
        raise MilvusError(f"unknown kind of index {kind!r}: use {', '.join(INDEXES)}")
    refuse_keys(uri, what="the database", variable=f"{MILVUS_TOKEN}=user:password")
    token = token or ("" if uri.endswith(".db") else read_key(MILVUS_TOKEN))
    if "://" not in uri:
        if not uri.endswith(".db"):
            raise MilvusError(f"{uri!r} is neither an address (http://...) nor a file (.db)")
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        # The embedded server has no clock service; the client asks for one, and does without.
        logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
    client = None
    try:
        client = MilvusClient(uri, token=token, timeout=timeout)
        _USERS[Path(uri).resolve()].add(id(client))
        if not client.has_collection(collection):
            _make(client, collection, space, kind)
        said = client.describe_collection(collection)
        if (made := _space_in(said, uri, collection)) != space:
            raise IndexRefused(
                f"collection {collection!r} of {uri} was made by {made.model} "
                f"({made.fingerprint[:12]}), not by {space.model} ({space.fingerprint[:12]}): "
                "use another collection for another model"
            )
        client.load_collection(collection)
    except BaseException as error:
        _let_go(client, uri)
        if not isinstance(error, MilvusException):
            raise
        raise MilvusError(
            f"no Milvus at {uri} ({error.message}): start it, or give a file ending in .db"
        ) from error
    return MilvusIndex(client, uri, collection, space)


def _let_go(client: Any, uri: str) -> None:
    if client is not None:
        client.close()
    users = _USERS[Path(uri).resolve()]
    users.discard(id(client))
    if "://" not in uri and not users:
        from milvus_lite.server_manager import server_manager_instance

        server_manager_instance.release_server(uri)


def _make(client: Any, collection: str, space: Space, kind: str) -> None:
    from pymilvus import DataType

    about = json.dumps(asdict(space))
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False, description=about)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=MOST)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=space.dimension)
    index = client.prepare_index_params()
    index.add_index("vector", index_type=kind, metric_type="IP", params=INDEXES[kind])
    client.create_collection(
        collection,
        schema=schema,
        index_params=index,
        consistency_level="Strong",
        properties={PROPERTY: about},
    )  # Milvus Lite keeps properties and no descriptions


def _space_in(said: dict[str, Any], uri: str, collection: str) -> Space:
    try:
        return Space(**json.loads(said.get("properties", {}).get(PROPERTY) or said["description"]))
    except (ValueError, TypeError, KeyError) as error:
        raise IndexRefused(
            f"collection {collection!r} of {uri} was not made here: nobody knows what its rows are"
        ) from error
