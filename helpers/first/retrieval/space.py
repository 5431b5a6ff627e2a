"""What makes rows comparable, and the checks that every index shares: rows, queries, files.

Nothing here loads torch: a search from kept rows has to start at once.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.first.evaluation.embeddings import check_embeddings
from helpers.repro import hash_of

if TYPE_CHECKING:
    from helpers.first.models.encoders import Encoder


class IndexRefused(ValueError):
    """An index that is damaged, foreign, or asked in the wrong way."""


@dataclass(frozen=True)
class Space:
    """What made the rows: only what is of the same space can be compared.

    Attributes
    ----------
    model : str
    fingerprint : str
        Of the weights, an adapter's included.
    preprocessing : str
        A hash of the image processor's settings.
    dimension : int
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


def checked_queries(queries, k: int, space: Space) -> np.ndarray:
    """Queries as (q, d) float32, after a check that they can be asked in this space.

    Raises
    ------
    IndexRefused
        If k is below 1 or the queries have another dimension.
    InvalidEmbeddings
        If a query is not finite or no unit row.
    """
    checked = check_embeddings(queries, name="queries", alike=True)
    if checked.shape[1] != space.dimension:
        raise IndexRefused(
            f"queries have {checked.shape[1]} dimensions, the index of {space.model} has "
            f"{space.dimension}: embed them with that model"
        )
    if k < 1:
        raise IndexRefused(f"k is {k}: ask for at least one result")
    return np.ascontiguousarray(checked, dtype=np.float32)


def checked_rows(
    embeddings, ids: Sequence[str], space: Space, *, alike: bool = False
) -> tuple[np.ndarray, list[str]]:
    """Rows as (n, d) float32 and their ids, after a check that they fit a space and each other.

    Rows may all be ``alike`` where others are there already: one picture can come several times.
    A first batch of one and the same row is taken for the work of a broken encoder.

    Raises
    ------
    IndexRefused
        If ids repeat, are empty or no strings, or do not fit the rows.
    InvalidEmbeddings
        If a row is refused.
    """
    checked = check_embeddings(embeddings, name="embeddings", alike=alike)
    names = list(ids)
    if strange := [i for i in names if not isinstance(i, str)]:
        raise IndexRefused(f"id {strange[0]!r} is no string: '007' and 7 would be one")
    if "" in names:
        raise IndexRefused(f"the id in place {names.index('')} is empty: give every row a name")
    if checked.shape != (len(names), space.dimension):
        raise IndexRefused(
            f"embeddings have shape {checked.shape}; there are {len(names)} ids and "
            f"{space.model} has {space.dimension} dimensions"
        )
    if len(set(names)) != len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise IndexRefused(f"id {twice!r} is there twice: ids name one row each")
    return np.ascontiguousarray(checked, dtype=np.float32), [str(name) for name in names]


def checked_bytes(file: Path, sha256: str) -> bytes:
    """The bytes of a file, read once and hashed before anything is made of them.

    Raises
    ------
    IndexRefused
        If it is missing or its SHA-256 is another.
    """
    if not file.is_file():
        raise IndexRefused(f"{file} is missing beside its sidecar: build the index again")
    content = file.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise IndexRefused(
            f"{file} is damaged: its SHA-256 begins {found[:12]}, the sidecar says "
            f"{sha256[:12]}; build the index again"
        )
    return content


def checked_space(made: Space, space: Space | None, folder: Path) -> Space:
    """The space that an index was made in. Raises ``IndexRefused`` if it is not ``space``."""
    if space is not None and space != made:
        differ = [n for n, v in asdict(made).items() if v != getattr(space, n)]
        raise IndexRefused(
            f"the index in {folder} was made by {made.model} ({made.fingerprint[:12]}), and "
            f"{space.model} ({space.fingerprint[:12]}) is to search it: {', '.join(differ)} "
            "differ; search with the model that made it, or build it again"
        )
    return made
