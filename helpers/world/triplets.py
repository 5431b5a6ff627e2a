"""Triplets of composed image retrieval: a reference image, a text that modifies it, its targets.

What a benchmark's files say is checked here in one way: every triplet that cannot be used is
reported by its pair id, and the counts reconcile.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.data.records import KINDS, Reject, bounded, kind_of


class TripletError(ValueError):
    """A file of a benchmark that is missing or is not what it should be."""


@dataclass(frozen=True)
class Triplet:
    """One query of composed retrieval.

    Attributes
    ----------
    pair_id : str
    reference : str
        The image that is modified.
    targets : tuple of str
        The images that answer; empty where a test server keeps them.
    caption : str
        The modification, as the model reads it.
    subset : tuple of str
        CIRR: the five images that are like the reference, the target among them.
    group : str
        What queries share that are not independent: resample these for intervals.
    reverse : str
        The text that leads from the target back to the reference, where it is known.
    changed : tuple of str
        Of the drawn world: the attributes that the text changes; all others stay.
    held_out : bool
        Of the drawn world: whether training has no triplet of this combination.
    """

    pair_id: str
    reference: str
    targets: tuple[str, ...]
    caption: str
    subset: tuple[str, ...] = ()
    group: str = ""
    reverse: str = ""
    changed: tuple[str, ...] = ()
    held_out: bool = False


@dataclass(frozen=True)
class TripletSet:
    """The queries and the gallery of a benchmark's split.

    Attributes
    ----------
    name, split : str
    triplets : tuple of Triplet
    gallery : tuple of str
        Ids of the images among which targets are looked for, in the file's order.
    files : mapping of str
        The file of an image's id, relative to the folder of the images.
    exclude_reference : bool
        Whether the reference leaves its own query's ranking, by the benchmark's protocol.
    rejects : tuple of Reject
        What was not used, by pair id; notes of kind ``field`` left their triplet in, and those of
        kind ``image`` name a picture that left the gallery.
    n_read : int
        Entries of the annotations: ``len(triplets)`` and the rejected ones (queries, where one
        entry makes two).
    """

    name: str
    split: str
    triplets: tuple[Triplet, ...]
    gallery: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    exclude_reference: bool = False
    rejects: tuple[Reject, ...] = ()
    n_read: int = 0

    def rows(self) -> dict[str, int]:
        """The gallery's row of each id."""
        return {name: row for row, name in enumerate(self.gallery)}

    def positives(self) -> list[list[int]]:
        """The gallery's rows of each query's targets, for ``positives_from_lists``.

        Raises ``TripletError`` where targets are hidden.
        """
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

    A query is rejected, by its pair id, where its id was there before, its reference or subset is
    not among the known images, or a target is not in the gallery. An empty caption is noted and
    the query kept: the protocol's denominator counts it, and a submission has to answer it.

    Raises
    ------
    TripletError
        If the gallery names an image twice, or no query is left.
    """
    if len(set(gallery)) != len(gallery):
        twice = next(x for i, x in enumerate(gallery) if x in set(gallery[:i]))
        raise TripletError(f"{name} {split}: the gallery names image {twice!r} twice")
    known = set(gallery) | set(options.get("files", ()))
    inside = set(gallery)
    kept: list[Triplet] = []
    rejects: list[Reject] = []
    seen: set[str] = set()
    n_read = 0
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


def read_json(place: Path, kind: type) -> Any:
    """A benchmark's JSON file. Raises ``TripletError`` that names it and what is wrong."""
    if not place.is_file():
        raise TripletError(
            f"{place.name} is not in {place.parent}: data/README.md says where the benchmark is "
            "to be had and how its folder looks"
        )
    try:
        found = json.loads(place.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # also of numbers with too many digits
        why = bounded(str(error), 120)
        raise TripletError(f"{place} is not JSON ({why}): get the file again") from error
    if not isinstance(found, kind):
        raise TripletError(f"{place} holds {kind_of(found)}, not {KINDS[kind]}")
    return found


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
