"""A retrieval back end: text, image or both in; ids, scores, metadata and provenance out.

It is typed and keeps no state, so that a service or a retrieval-augmented generation (RAG) system
can call it. Filters are exact: the search runs among the rows that pass, and none is lost to them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from helpers.first.retrieval.space import IndexRefused, space_of
from helpers.first.retrieval.vector_index import VectorIndex

if TYPE_CHECKING:
    from helpers.first.models.encoders import Encoder

Filters = Mapping[str, str | Sequence[str]]


class QueryRefused(ValueError):
    """A query that asks for nothing, or for what the metadata does not have."""


@dataclass(frozen=True)
class Query:
    """What is looked for.

    Attributes
    ----------
    text : str
    image : PIL.Image.Image, optional
        With a text: the normalized sum of both embeddings, weighted.
    k : int
        How many results.
    filters : mapping
        Field of the metadata to the value, or the values, that may pass.
    image_weight : float
        In [0, 1]: of the image where both are given.
    """

    text: str = ""
    image: Image.Image | None = None
    k: int = 10
    filters: Filters = field(default_factory=dict)
    image_weight: float = 0.5

    def __post_init__(self) -> None:
        if not self.text.strip() and self.image is None:
            raise QueryRefused("a query has neither text nor image: give one of them or both")
        try:
            self.text.encode()
        except UnicodeEncodeError:
            shown = ascii(self.text[:200]).replace(r"\udc", r"\x")  # bytes as they came
            raise QueryRefused(
                f"the query {shown} is no readable text: it has to be in UTF-8"
            ) from None
        if self.k < 1:
            raise QueryRefused(f"k is {self.k}: ask for at least one result")
        if not 0 <= self.image_weight <= 1:
            raise QueryRefused(f"image_weight is {self.image_weight}: give a number from 0 to 1")


@dataclass(frozen=True)
class Hit:
    """One result: its place from 1, its id, its cosine, and what is known of it."""

    rank: int
    id: str
    score: float
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """The results of a query and where they come from.

    Attributes
    ----------
    hits : tuple of Hit
        Best first; fewer than asked for where fewer pass the filters.
    searched : int
        Rows that passed the filters.
    provenance : mapping
        Model, fingerprint and preprocessing behind the scores, and the number of rows.
    """

    hits: tuple[Hit, ...]
    searched: int
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class Retriever:
    """An encoder, an index that it made, and the metadata of the rows.

    Attributes
    ----------
    encoder : Encoder
    index : VectorIndex
    metadata : mapping
        By id; an id without any has an empty one. Filters look at strings.

    Raises
    ------
    IndexRefused
        If the index is of another model than the encoder.

    Examples
    --------
    >>> found = Retriever(encoder, index).search([Query("soup")])  # doctest: +SKIP
    """

    encoder: "Encoder"
    index: VectorIndex
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        space = space_of(self.encoder)
        if space != self.index.space:
            raise IndexRefused(
                f"the index was made by {self.index.space.model} "
                f"({self.index.space.fingerprint[:12]}), the encoder is {space.model} "
                f"({space.fingerprint[:12]}): search with the model that made it"
            )

    def search(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer several queries; their texts and images are encoded in batches.

        Raises
        ------
        QueryRefused
            If a filter names a field that no row has.
        """
        queries = list(queries)
        if not queries:
            return []
        rows = self._embedded(queries)  # (q, d)
        return [self._answer(query, row[None]) for query, row in zip(queries, rows, strict=True)]

    def _embedded(self, queries: Sequence[Query]) -> np.ndarray:
        total = np.zeros((len(queries), self.encoder.dimension), dtype=np.float32)
        with_text = [i for i, q in enumerate(queries) if q.text.strip()]
        with_image = [i for i, q in enumerate(queries) if q.image is not None]
        share = np.array([q.image_weight if q.text.strip() and q.image else 1.0 for q in queries])
        if with_text:
            found = _distinct(self.encoder.texts, [queries[i].text for i in with_text], _folded)
            both = np.array([queries[i].image is not None for i in with_text])
            weight = np.where(both, 1 - share[with_text], 1.0)
            total[with_text] += weight[:, None] * found
        if with_image:
            pictures = [queries[i].image for i in with_image]
            found = _distinct(self.encoder.images, pictures, _content)
            total[with_image] += share[with_image][:, None] * found
        return total / np.linalg.norm(total, axis=1, keepdims=True)

    def _answer(self, query: Query, row: np.ndarray) -> Answer:
        passing = self._passing(query.filters)
        scores, found = self.index.search(row, query.k, rows=passing)
        ids = self.index.ids[found[0]].tolist()
        hits = tuple(
            Hit(rank, name, float(score), dict(self.metadata.get(name, {})))
            for rank, (name, score) in enumerate(zip(ids, scores[0], strict=True), start=1)
        )
        space = self.index.space
        provenance = {
            "model": space.model,
            "fingerprint": space.fingerprint,
            "preprocessing": space.preprocessing,
            "rows": len(self.index),
        }
        return Answer(hits, len(self.index) if passing is None else len(passing), provenance)

    def _passing(self, filters: Filters) -> np.ndarray | None:
        """The rows that pass all filters; None: all."""
        if not filters:
            return None
        known = {name for values in self.metadata.values() for name in values}
        if unknown := sorted(set(filters) - known):
            raise QueryRefused(
                f"filter {unknown[0]!r}: no row has such a field (there are "
                f"{', '.join(sorted(known)) or 'none'})"
            )
        wanted = {n: {v} if isinstance(v, str) else set(v) for n, v in filters.items()}
        passes = [
            all(str(self.metadata.get(i, {}).get(n, "")) in v for n, v in wanted.items())
            for i in self.index.ids.tolist()
        ]
        return np.flatnonzero(passes)


def _distinct(encode: Callable, items: Sequence[Any], sign: Callable[[Any], Any]) -> np.ndarray:
    """Rows of a batch of queries, which may all be one.

    An encoder refuses a batch in which all rows are the same: of different inputs that is a broken
    model. Items that a model may take for one are encoded one at a time.
    """
    if len({sign(item) for item in items}) > 1:
        return encode(items)
    return np.concatenate([encode([item]) for item in items])


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _content(picture: Image.Image) -> tuple[tuple[int, int], bytes]:
    return picture.size, picture.convert("RGB").tobytes()
