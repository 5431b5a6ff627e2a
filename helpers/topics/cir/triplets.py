"""Triplets of composed image retrieval: a reference image, a text that modifies it, its targets.

What a benchmark's files say is checked here in one way: every triplet that cannot be used is
reported by its pair id, and the counts reconcile.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from PIL import Image

from helpers.data.records import Reject
from helpers.data.sets import WORLD


class TripletError(ValueError):
    """A file of a benchmark that is missing or is not what it should be."""


@dataclass(frozen=True)
class Triplet:
    """One query of composed retrieval; images are named by their ids."""

    pair_id: str
    reference: str
    targets: tuple[str, ...]  # the images that answer; empty where a test server keeps them
    caption: str  # the modification, as the model reads it
    subset: tuple[str, ...] = ()  # CIRR: the five images like the reference, the target among them
    group: str = ""  # what queries share that are not independent: resampled for intervals
    reverse: str = ""  # the text that leads back from target to reference, where it is known
    changed: tuple[str, ...] = ()  # of drawn images: the attributes that change; all others stay
    held_out: bool = False  # of drawn images: whether training has none of this combination


@dataclass(frozen=True)
class TripletSet:
    """The queries and the gallery of a benchmark's split.

    ``rejects`` name what was not used, by pair id; notes of kind ``field`` left their triplet in,
    and those of kind ``image`` name an image that left the gallery.
    """

    name: str
    split: str
    triplets: tuple[Triplet, ...]
    gallery: tuple[str, ...]  # the images among which targets are looked for, in the file's order
    files: Mapping[str, str] = field(default_factory=dict)  # of an id, relative to the images
    exclude_reference: bool = False  # from its own query's ranking, by the benchmark's protocol
    rejects: tuple[Reject, ...] = ()
    n_read: int = 0  # entries of the annotations: len(triplets) and the rejected ones

    def rows(self) -> dict[str, int]:
        """The gallery's row of each id."""
        return {name: row for row, name in enumerate(self.gallery)}

    def positives(self) -> list[list[int]]:
        """The gallery's rows of each query's targets; ``TripletError`` where they are hidden."""
        if hidden := [t.pair_id for t in self.triplets if not t.targets]:
            raise TripletError(
                f"{self.name} {self.split}: the targets of {len(hidden)} queries are not public "
                f"(the first is {hidden[0]}); write a submission file instead"
            )
        rows = self.rows()
        return [[rows[name] for name in triplet.targets] for triplet in self.triplets]

    def excluded(self) -> list[int]:
        """The gallery row that leaves each query's ranking; -1: none."""
        rows = self.rows() if self.exclude_reference else {}
        return [rows.get(triplet.reference, -1) for triplet in self.triplets]


def collect(
    queries: Iterable[Triplet | Reject],
    gallery: Sequence[str],
    *,
    name: str,
    split: str,
    **options: Any,
) -> TripletSet:
    """Check every query against the gallery and gather what is good.

    An empty caption is noted and its query kept: the protocol's denominator counts it, and a
    submission has to answer it. Raises ``TripletError`` if the gallery names an image twice, or no
    query is left.
    """
    if len(set(gallery)) != len(gallery):
        twice = next(x for i, x in enumerate(gallery) if x in set(gallery[:i]))
        raise TripletError(f"{name} {split}: the gallery names image {twice!r} twice")
    known = set(gallery) | set(options.get("files", ()))
    inside = set(gallery)
    kept, rejects, seen, n_read = [], [], set(), 0
    for number, query in enumerate(queries, start=1):
        if isinstance(query, Reject):
            rejects.append(query)
            n_read += query.kind == "record"
            continue
        n_read += 1
        reason = _why_not(query, known, inside, seen)
        seen.add(query.pair_id)
        if reason:
            rejects.append(Reject(f"{name} {split}", number, query.pair_id, reason, "record"))
            continue
        if not query.caption.strip():
            note = "the caption is empty; the query is kept, as the protocol counts it"
            rejects.append(Reject(f"{name} {split}", number, query.pair_id, note, "field"))
        kept.append(query)
    if not kept:
        why = f" (the first reason: {rejects[0].reason})" if rejects else ""
        raise TripletError(f"{name} {split}: no query can be used of {n_read}{why}")
    return TripletSet(
        name, split, tuple(kept), tuple(gallery), rejects=tuple(rejects), n_read=n_read, **options
    )


@dataclass(frozen=True)
class Source:
    """Triplets by part, with their images.

    Parts are ``train``, ``validation``, ``test`` and ``pool`` (images that nobody annotated), each
    with a set for each of its galleries; no reference is in two parts. ``truth`` is what every
    image shows, where they are drawn: ``helpers.world.changes.ComposedWorld``.
    """

    name: str
    sets: Mapping[str, tuple[TripletSet, ...]]
    load_image: Callable[..., Image.Image]  # by id; drawn ones at ``px`` pixels if that is given
    image_hash: Callable[[str], str]  # a SHA-256 of what decides the image of an id
    truth: Any = field(default=None, repr=False)
    left_out: str = ""  # how much has no image, in a sentence

    def triplets(self, part: str) -> tuple[Triplet, ...]:
        """The triplets of a part, gallery after gallery."""
        return tuple(one for chunk in self.sets.get(part, ()) for one in chunk.triplets)

    def names(self, *parts: str) -> tuple[str, ...]:
        """The ids of all images of some parts (by default all), each once."""
        chosen = [chunk for part in parts or self.sets for chunk in self.sets.get(part, ())]
        return tuple(dict.fromkeys(name for chunk in chosen for name in image_names(chunk)))

    def unlike(self, triplet: Triplet) -> str:
        """An image that is not asked for: the drawn distractor, one of CIRR's subset, or the
        reference."""
        if self.truth is not None:
            return f"{triplet.pair_id}-other"
        others = (name for name in triplet.subset if name not in triplet.targets)
        return next(others, triplet.reference)

    def unknown(self, what: str) -> str:
        """The sentence that says what is left out for want of a known truth."""
        return f"Left out, as nobody has written down what the images of {self.name} show: {what}."


def drawn_source(source: str, parts: Mapping[str, Mapping[str, Any]], *, seed: int = 42) -> Source:
    """Triplets of ``world:kitchen`` or ``world:garage``, with their truth.

    ``parts`` are ``first``, ``n``, ``gallery`` and ``unlike`` by name, as designs of studies have
    them; see ``helpers.world.changes.draw_triplets``.
    """
    drawn = import_module(WORLD).open_triplets(source.removeprefix("world:"), parts, seed=seed)
    kept = cache(drawn.load_image)  # 12 KB an image, and several models read each
    sets = dict(drawn.parts)
    if "train" in sets:  # where nothing is searched: without distractors
        sets["train"] = tuple(map(only_used, sets["train"]))
    return Source(source, sets, kept, drawn.image_hash, drawn)


def only_used(triplets: TripletSet) -> TripletSet:
    """The set with a gallery of references and targets alone."""
    used = {n for one in triplets.triplets for n in (one.reference, *one.targets)}
    return replace(triplets, gallery=tuple(n for n in triplets.gallery if n in used))


def image_names(triplets: TripletSet) -> tuple[str, ...]:
    """The gallery, then the references outside it."""
    return tuple(dict.fromkeys((*triplets.gallery, *(t.reference for t in triplets.triplets))))


def take(triplets: TripletSet, n: int, *, seed: int) -> TripletSet:
    """``n`` triplets that a seed draws over the same gallery; the smaller part is in the larger.

    0 takes all, as they are. Raises ``ValueError`` if there are fewer.
    """
    if n == 0:
        return triplets
    if not 0 < n <= len(triplets.triplets):
        raise ValueError(
            f"{n} triplets are asked for and there are {len(triplets.triplets)}: 0 for all"
        )
    chosen = np.sort(np.random.default_rng([seed, 7]).permutation(len(triplets.triplets))[:n])
    return replace(triplets, triplets=tuple(triplets.triplets[i] for i in chosen))


def split_groups(
    triplets: Sequence[Triplet], n: int, *, seed: int
) -> tuple[tuple[Triplet, ...], tuple[Triplet, ...]]:
    """All but about ``n`` triplets, and the rest; queries of one group stay together."""
    sizes = Counter(one.group for one in triplets)
    groups, aside = list(sizes), set()
    for i in np.random.default_rng([seed, 6]).permutation(len(groups)):
        if sum(sizes[group] for group in aside) >= n:
            break
        aside.add(groups[i])
    kept = tuple(one for one in triplets if one.group not in aside)
    return kept, tuple(one for one in triplets if one.group in aside)


def _why_not(query: Triplet, known: set[str], inside: set[str], seen: set[str]) -> str:
    if query.pair_id in seen:
        return "this pair id was there before"
    if query.reference not in known:
        return f"reference {query.reference!r} is not among the images of the split"
    if strangers := [name for name in query.targets if name not in inside]:
        return f"target {strangers[0]!r} is not in the gallery"
    if strangers := [name for name in query.subset if name not in known]:
        return f"subset image {strangers[0]!r} is not among the images of the split"
    return ""
