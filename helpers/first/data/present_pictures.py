"""Pictures of a benchmark that are there and can be read, and what is left out for want of others.

Links to pictures die, so hardly anybody holds all of FashionIQ's. What cannot be shown is left out
of a set and named; how much that is stands in one sentence, because numbers over an incomplete
gallery cannot be compared with published ones.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from helpers.data.images import FileMissing, FileRefused, ImageError, find_below, load_image
from helpers.data.records import Reject, bounded
from helpers.topics.cir.triplets import Triplet, TripletError, TripletSet

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
_WHOLE = ((b"\xff\xd8\xff", b"\xff\xd9"), (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"))
_TAIL = 8  # bytes


@dataclass(frozen=True)
class LeftOut:
    """How much of a set has no picture.

    Attributes
    ----------
    of : str
        The set.
    triplets, of_triplets : int
        Left out, and usable if all pictures were there.
    pictures, of_pictures : int
        Left out of the gallery, and listed.
    """

    of: str
    triplets: int
    of_triplets: int
    pictures: int
    of_pictures: int

    def __bool__(self) -> bool:
        return bool(self.triplets or self.pictures)


def find_pictures(
    triplets: TripletSet, folder: Path | str
) -> tuple[dict[str, str], dict[str, str]]:
    """The file of every picture of a set that can be used, and why each other one cannot.

    A picture may have another ending than the annotation says (``.png``, ``.jpg``, ``.jpeg``,
    ``.webp``). One whose first and last bytes are those of a whole JPEG or PNG is not decoded here;
    any other is, so that an empty file, a page of text or half a picture is found before its use.

    Returns
    -------
    files : dict of str
        By id, relative to ``folder``.
    lost : dict of str
        By id: the file and what is wrong with it.
    """
    folder, files, lost = Path(folder), {}, {}
    ends = (n for t in triplets.triplets for n in (t.reference, *t.targets, *t.subset))
    for name in dict.fromkeys((*ends, *triplets.gallery)):
        wanted = triplets.files.get(name, name)
        try:
            place = _there(folder, wanted)
        except FileMissing:
            lost[name] = f"{bounded(wanted, 120)} is not there"
            continue
        except FileRefused as refused:
            lost[name] = f"{bounded(wanted, 120)} is refused: {refused}"
            continue
        file = place.relative_to(folder).as_posix()
        if problem := _problem(place):
            lost[name] = f"{file} cannot be read: {problem}"
        else:
            files[name] = file
    return files, lost


def keep_pictured(triplets: TripletSet, folder: Path | str) -> TripletSet:
    """The set without what has no picture in a folder; the same set where all are there.

    A triplet goes with its reference or its last target, and a reject of kind ``record`` names it;
    a picture goes from the gallery, and a reject of kind ``image`` names that. Where a subset
    loses a picture its triplet stays, with a note of kind ``field``.

    Raises
    ------
    TripletError
        If no triplet is left.
    """
    files, lost = find_pictures(triplets, folder)
    files = {**triplets.files, **files}
    if not lost:
        return replace(triplets, files=files)
    place = f"{triplets.name} {triplets.split}"
    kept: list[Triplet] = []
    rejects: list[Reject] = []
    for one in triplets.triplets:
        targets, subset = (_without(names, lost) for names in (one.targets, one.subset))
        if one.reference in lost:
            reason = f"the reference's picture {lost[one.reference]}"
            rejects.append(Reject(place, 0, one.pair_id, reason, "record"))
        elif one.targets and not targets:
            reason = f"the target's picture {lost[one.targets[0]]}"
            rejects.append(Reject(place, 0, one.pair_id, reason, "record"))
        else:
            kept.append(replace(one, targets=targets, subset=subset))
            if gone := len(one.subset) - len(subset):
                note = f"{gone} of {len(one.subset)} pictures of the subset cannot be used"
                rejects.append(Reject(place, 0, one.pair_id, note, "field"))
    if not kept:
        raise TripletError(_nothing_left(place, Path(folder), rejects))
    gallery = _without(triplets.gallery, lost)
    missing = [n for n in triplets.gallery if n in lost]
    rejects += [Reject(place, 0, name, f"picture {lost[name]}", "image") for name in missing]
    return replace(
        triplets, triplets=tuple(kept), gallery=gallery, files=files,
        rejects=(*triplets.rejects, *rejects),
    )  # fmt: skip


def left_out(before: TripletSet, after: TripletSet, of: str) -> LeftOut:
    """What :func:`keep_pictured` left out of a set."""
    triplets, pictures = (
        [len(getattr(one, part)) for one in (before, after)] for part in ("triplets", "gallery")
    )
    return LeftOut(
        of, triplets[0] - triplets[1], triplets[0], pictures[0] - pictures[1], pictures[0]
    )


def left_out_sentence(gaps: Sequence[LeftOut]) -> str:
    """How much of each set is left out, and what that means; empty where nothing is.

    >>> left_out_sentence([LeftOut("val", 2, 9, 3, 20), LeftOut("test", 0, 5, 0, 8)])[:69]
    'Left out, as pictures are missing or broken: of val 2 of 9 triplets a'
    >>> left_out_sentence([LeftOut("val", 0, 9, 0, 20)])
    ''
    """
    if not any(gaps):
        return ""
    told = "; ".join(
        f"of {one.of} {one.triplets} of {one.of_triplets} triplets and {one.pictures} of "
        f"{one.of_pictures} pictures of its gallery"
        for one in gaps
    )
    return (
        f"Left out, as pictures are missing or broken: {told}. Numbers on an incomplete gallery "
        "cannot be compared with published ones."
    )


def _without(names: Sequence[str], lost: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in lost)


def _there(folder: Path, file: str) -> Path:
    """The file, or the one of another ending. Raises ``FileRefused``."""
    try:
        return find_below(folder, file, places=("",))
    except FileMissing as missing:
        stem = file[: -len(ending)] if (ending := PurePosixPath(file).suffix) else file
        for other in ENDINGS:
            with suppress(FileMissing):
                return find_below(folder, f"{stem}{other}", places=("",))
        raise missing


def _problem(place: Path) -> str:
    """Why a picture cannot be read; empty: it can, or looks as if."""
    with place.open("rb") as stream:
        head = stream.read(_TAIL)
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _TAIL))
        tail = stream.read()
    if any(head.startswith(first) and tail.endswith(last) for first, last in _WHOLE):
        return ""
    try:
        load_image(place.read_bytes())
    except ImageError as error:
        return str(error)
    return ""


def _nothing_left(place: str, folder: Path, rejects: Sequence[Reject]) -> str:
    where = f"in {folder}" if folder.is_dir() else f"as there is no folder {folder}"
    return (
        f"{place}: none of {len(rejects)} triplets has its pictures {where}; the first is "
        f"{rejects[0].item}: {rejects[0].reason}. Put the pictures there: data/README.md says "
        "where they are to be had"
    )
