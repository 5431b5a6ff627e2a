"""A retrieval back end: text, image or both in; ids, scores, metadata and provenance out.

It is typed and keeps no state, so that a service or a retrieval-augmented generation (RAG) system
can call it from several threads. Filters are exact: the search runs among the rows that pass.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from helpers.topics.serving.index import FlatIndex, IndexRefused, space_of

if TYPE_CHECKING:
    from helpers.models.encoder import Encoder

Filters = Mapping[str, str | Sequence[str]]


class QueryRefused(ValueError):
    """A query that asks for nothing, or for what the metadata does not have."""


@dataclass(frozen=True)
class Query:
    """What is looked for, and for how many results ``k``.

    With text and image it is the normalized sum of both embeddings, ``image_weight`` (0 to 1) of
    the image. ``filters`` map a field of the metadata to the values that may pass.
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
    """One result: its rank from 1, its id, its cosine, and its metadata."""

    rank: int
    id: str
    score: float
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """The results of a query, best first, and where they come from.

    ``searched`` is the number of rows that passed the filters: hits may be fewer than asked for.
    ``provenance`` names model, fingerprint and preprocessing, and the number of rows.
    """

    hits: tuple[Hit, ...]
    searched: int
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class Retriever:
    """An encoder, the index of its embeddings, and the metadata of the rows by their ids.

    ``vision`` embeds images where ``encoder`` is a text tower alone; ``about`` is more provenance,
    such as the adapter. Raises ``IndexRefused`` if the index is of another model than an encoder.
    """

    encoder: "Encoder"
    index: FlatIndex
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    vision: "Encoder | None" = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for encoder in filter(None, (self.encoder, self.vision)):
            space, made = space_of(encoder), self.index.space
            if space != made:
                raise IndexRefused(
                    f"the index was made by {made.model} ({made.fingerprint[:12]}), the encoder is "
                    f"{space.model} ({space.fingerprint[:12]}): search with the model that made it"
                )

    def with_images(self, encoder: "Encoder") -> "Retriever":
        """The same with an encoder of images; ``IndexRefused`` for another model."""
        return replace(self, vision=encoder)

    def search(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer several queries; their texts and images are embedded in batches.

        Raises ``QueryRefused`` if a filter names a field that no row has.
        """
        queries = list(queries)
        if not queries:
            return []
        rows = self._embedded(queries)  # (q, d)
        return [self._answer(query, row[None]) for query, row in zip(queries, rows, strict=True)]

    def _embedded(self, queries: Sequence[Query]) -> np.ndarray:
        total = np.zeros((len(queries), self.index.space.dimension), dtype=np.float32)
        both = np.array([bool(q.text.strip()) and q.image is not None for q in queries])
        share = np.array([q.image_weight for q in queries])
        with_text = [i for i, q in enumerate(queries) if q.text.strip()]
        with_image = [i for i, q in enumerate(queries) if q.image is not None]
        if with_text:
            found = _distinct(self.encoder.texts, [queries[i].text for i in with_text], _folded)
            total[with_text] += np.where(both, 1 - share, 1.0)[with_text, None] * found
        if with_image:
            images = [queries[i].image for i in with_image]
            found = _distinct((self.vision or self.encoder).images, images, _content)
            total[with_image] += np.where(both, share, 1.0)[with_image, None] * found
        norms = np.linalg.norm(total, axis=1, keepdims=True)
        if (norms < 1e-6).any():
            raise QueryRefused("text and image cancel each other out: change image_weight")
        return total / norms

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
            "model": space.model, "fingerprint": space.fingerprint,
            "preprocessing": space.preprocessing, "rows": len(self.index), **self.about,
        }  # fmt: skip
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
    """Embeddings of a batch of queries, which may all be one.

    An encoder refuses a batch in which all embeddings are the same: of different inputs that is a
    broken model. Items that a model may take for one are embedded one at a time.
    """
    if len({sign(item) for item in items}) > 1:
        return encode(items)
    return np.concatenate([encode([item]) for item in items])


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _content(image: Image.Image) -> tuple[tuple[int, int], bytes]:
    return image.size, image.convert("RGB").tobytes()
