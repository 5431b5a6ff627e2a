"""Unit rows by id in Milvus: a file inside this process, or a server; the calls are the same.

Rows that were written are found at once (consistency level *strong*). Ids are any text of at most
512 bytes: the client's own calls by id paste them between quotes as they are, so that filters are
made here, escaped as the grammars of Milvus Lite and of the server both read them.
"""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.evaluation.ranking import check_embeddings
from helpers.store.credentials import MILVUS_TOKEN, read_key, refuse_keys
from helpers.topics.serving.index import IndexRefused, Space

BATCH = 2000  # rows a call: a request may have 64 MB
MOST = 512  # bytes of an id
SPACE = "space"  # property of a collection: what made its rows
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
_USERS: defaultdict[Path, set[int]] = defaultdict(set)  # clients of each embedded server


class MilvusError(RuntimeError):
    """A database that does not do what it is asked."""


def one_of(ids: Iterable[str]) -> str:
    """The filter for the rows of some ids.

    >>> print(one_of(["it's", "C:\\\\new"]))
    id in ["it's", "C:\\\\new"]
    """
    quoted = (f'"{name.translate(ESCAPES)}"' for name in ids)
    return f"id in [{', '.join(quoted)}]"


@dataclass(frozen=True, eq=False)
class Collection:
    """Rows by id; :func:`open_milvus` opens one."""

    client: Any
    uri: str
    name: str
    space: Space

    def __len__(self) -> int:
        with self._errors("count"):
            (found,) = self.client.query(self.name, filter="", output_fields=["count(*)"])
        return int(found["count(*)"])

    def upsert(self, ids: Sequence[str], rows: Any) -> None:
        """Rows that are new, or that take the place of those of the same id.

        Raises
        ------
        IndexRefused
            If an id repeats, is no text or too long, or rows do not fit; nothing was written then.
        InvalidEmbeddings
            If a row is refused; nothing was written then.
        MilvusError
            If the database fails; rows up to a multiple of 2,000 may be written then.
        """
        names, rows = self._checked(list(ids), rows)
        with self._errors("upsert"):
            for start in range(0, len(names), BATCH):
                pairs = zip(names[start : start + BATCH], rows[start : start + BATCH], strict=True)
                self.client.upsert(self.name, [{"id": i, "vector": row} for i, row in pairs])

    def remove(self, ids: Sequence[str]) -> None:
        """Rows leave. Raises ``IndexRefused`` for an id that is not there."""
        names = list(dict.fromkeys(ids))
        self.rows_of(names)
        with self._errors("remove"):
            for start in range(0, len(names), BATCH):
                self.client.delete(self.name, filter=one_of(names[start : start + BATCH]))

    def rows_of(self, ids: Sequence[str]) -> np.ndarray:
        """The rows of some ids, (n, d) float32. Raises ``IndexRefused`` for one that is missing."""
        found = {}
        with self._errors("rows_of"):
            for start in range(0, len(ids), BATCH):
                chosen = one_of(ids[start : start + BATCH])
                rows = self.client.query(self.name, filter=chosen, output_fields=["id", "vector"])
                found |= {row["id"]: row["vector"] for row in rows}
        if missing := [name for name in ids if name not in found]:
            raise IndexRefused(f"id {missing[0]!r} is not in collection {self.name!r}")
        return np.array([found[name] for name in ids], dtype=np.float32)

    def nearest(self, queries: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (q, m) str and cosines (q, m) float32 of the k best rows of each query.

        Raises ``IndexRefused`` if k is below 1 or the queries are of another dimension.
        """
        queries = check_embeddings(queries, name="queries", alike=True)
        if k < 1 or queries.shape[1] != self.space.dimension:
            raise IndexRefused(
                f"k is {k} and queries have {queries.shape[1]} dimensions: ask for at least one "
                f"row, with the {self.space.dimension} dimensions of {self.space.model}"
            )
        with self._errors("nearest"):
            data = list(np.ascontiguousarray(queries, np.float32))
            found = self.client.search(self.name, data=data, limit=k, output_fields=["id"])
        ids = np.array([[hit["id"] for hit in hits] for hits in found], dtype=str)
        cosines = np.array([[hit["distance"] for hit in hits] for hits in found], np.float32)
        return ids.reshape(len(queries), -1), cosines.reshape(len(queries), -1)

    def flush(self) -> None:
        """Seal what was written: searches of Milvus Lite are faster by far afterwards."""
        with self._errors("flush"):
            self.client.flush(self.name)

    def close(self) -> None:
        """Let go of the database; the embedded server ends with the last that uses it."""
        _let_go(self.client, self.uri)

    def _checked(self, names: list[str], rows: Any) -> tuple[list[str], np.ndarray]:
        alike = len(names) == 1 or len(self) > 0  # a first batch of one row is a broken encoder's
        rows = check_embeddings(rows, name="embeddings", alike=alike)
        if rows.shape != (len(names), self.space.dimension):
            raise IndexRefused(
                f"embeddings have shape {rows.shape}; there are {len(names)} ids and "
                f"{self.space.model} has {self.space.dimension} dimensions"
            )
        for name, count in Counter(names).items():
            if not isinstance(name, str) or not name or count > 1:
                raise IndexRefused(f"id {name!r} stands there {count} times: give each row a text")
            _check_length(name)
        return names, np.ascontiguousarray(rows, dtype=np.float32)

    @contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        from pymilvus.exceptions import MilvusException

        try:
            yield
        except MilvusException as error:
            raise MilvusError(
                f"{operation} in collection {self.name!r} of {self.uri}: {error.message}; see that "
                "the server runs and the disk has room"
            ) from error


def _check_length(name: str) -> None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise IndexRefused(f"id {name[:40]!r} is no readable text: ids are UTF-8") from None
    if size > MOST:
        raise IndexRefused(f"id {name[:40]!r}... has more than {MOST} bytes")


def open_milvus(
    uri: str, *, collection: str = "images", space: Space, timeout: float = 10
) -> Collection:
    """Open a collection that is searched exactly; it is made where it is missing.

    Parameters
    ----------
    uri : str
        A file ending in ``.db`` for Milvus Lite, or ``http://host:19530``. ``user:password`` of a
        server stand in ``MILVUS_TOKEN`` of the environment or of ``.env``.
    collection : str
    space : Space
        Of the rows: it is written into the collection, and one of another space is refused.
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
    """
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

    refuse_keys(uri, what="the database", variable=f"{MILVUS_TOKEN}=user:password")
    if "://" not in uri:
        if not uri.endswith(".db"):
            raise MilvusError(f"{uri!r} is neither an address (http://...) nor a file (.db)")
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        # The embedded server has no clock service; the client asks for one, and does without.
        logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
    token = "" if uri.endswith(".db") else read_key(MILVUS_TOKEN)
    client = None
    try:
        client = MilvusClient(uri, token=token, timeout=timeout)
        _USERS[Path(uri).resolve()].add(id(client))
        if not client.has_collection(collection):
            _make(client, collection, space)
        said = client.describe_collection(collection)
        _check_space(said, space, where=f"collection {collection!r} of {uri}")
        client.load_collection(collection)
    except BaseException as error:
        _let_go(client, uri)
        if not isinstance(error, MilvusException):
            raise
        raise MilvusError(
            f"no Milvus at {uri} ({error.message}): start it, or give a file ending in .db"
        ) from error
    return Collection(client, uri, collection, space)


def _let_go(client: Any, uri: str) -> None:
    if client is not None:
        client.close()
    users = _USERS[Path(uri).resolve()]
    users.discard(id(client))
    if "://" not in uri and not users:
        from milvus_lite.server_manager import server_manager_instance

        server_manager_instance.release_server(uri)


def _make(client: Any, collection: str, space: Space) -> None:
    from pymilvus import DataType

    about = json.dumps(asdict(space))
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False, description=about)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=MOST)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=space.dimension)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="IP")
    client.create_collection(
        collection, schema=schema, index_params=index, consistency_level="Strong",
        properties={SPACE: about},
    )  # fmt: skip


def _check_space(said: dict[str, Any], space: Space, *, where: str) -> None:
    try:
        about = said.get("properties", {}).get(SPACE) or said["description"]
        made = Space(**json.loads(about))
    except (ValueError, TypeError, KeyError) as error:
        raise IndexRefused(f"{where} was not made here: nobody knows what its rows are") from error
    if made != space:
        raise IndexRefused(
            f"{where} was made by {made.model} ({made.fingerprint[:12]}), not by {space.model} "
            f"({space.fingerprint[:12]}): use another collection for another model"
        )
