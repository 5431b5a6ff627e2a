"""Ids of a Milvus collection: any text of at most 512 bytes, and filters for the rows of some.

The client's own calls by id (``get``, ``delete(ids=...)``) paste ids between quotes as they are, and
Milvus Lite takes no parameters in a filter. So ids are escaped here, in the one place that makes
filters. The five escapes are what the grammars of Milvus Lite and of the server both know; every
other letter stands for itself in both.
"""

from collections.abc import Iterable

from helpers.first.retrieval.space import IndexRefused

MOST = 512  # bytes of an id
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


def one_of(ids: Iterable[str]) -> str:
    """The filter for the rows of some ids.

    >>> print(one_of(["it's", "C:\\\\new"]))
    id in ["it's", "C:\\\\new"]
    """
    quoted = (f'"{name.translate(ESCAPES)}"' for name in ids)
    return f"id in [{', '.join(quoted)}]"


def check_ids(ids: Iterable[str]) -> None:
    """Refuse ids that a collection cannot hold. Raises ``IndexRefused``."""
    for name in ids:
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            raise IndexRefused(f"id {name[:40]!r} is no readable text: ids are UTF-8") from None
        if size > MOST:
            raise IndexRefused(f"id {name[:40]!r}... has more than {MOST} bytes")
