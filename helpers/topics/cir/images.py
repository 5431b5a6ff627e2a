"""Images of a benchmark that are there and can be read, and what is left out for want of others.

Links to images die, so hardly anybody holds all of FashionIQ's. What cannot be shown is left out of
a set and named; how much that is stands in one sentence, because numbers over an incomplete gallery
cannot be compared with published ones.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from helpers.data.images import FileMissing, FileRefused, ImageError, find_below, load_image
from helpers.data.records import Reject, bounded
from helpers.topics.cir.triplets import Triplet, TripletError, TripletSet

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
_WHOLE = ((b"\xff\xd8\xff", b"\xff\xd9"), (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"))
_TAIL = 8  # bytes


def keep_pictured(triplets: TripletSet, folder: Path | str) -> TripletSet:
    """The set without what has no image in a folder; the same set where all are there.

    An image may have another ending than the annotation says. One whose first and last bytes are
    those of a whole JPEG or PNG is not decoded here; any other is, so that an empty file, a page of
    text or half an image is found before its use. A triplet goes with its reference or its last
    target, and a reject of kind ``record`` names it; an image goes from the gallery, with a reject
    of kind ``image``. Where a subset loses one, its triplet stays, with a note of kind ``field``.
    Raises ``TripletError`` if no triplet is left.
    """
    folder = Path(folder)
    files, lost = _find_images(triplets, folder)
    files = {**triplets.files, **files}
    if not lost:
        return replace(triplets, files=files)
    place = f"{triplets.name} {triplets.split}"
    kept: list[Triplet] = []
    rejects: list[Reject] = []
    for one in triplets.triplets:
        targets, subset = (
            tuple(n for n in names if n not in lost) for names in (one.targets, one.subset)
        )
        if one.reference in lost:
            reason = f"the reference's image {lost[one.reference]}"
            rejects.append(Reject(place, 0, one.pair_id, reason, "record"))
        elif one.targets and not targets:
            reason = f"the target's image {lost[one.targets[0]]}"
            rejects.append(Reject(place, 0, one.pair_id, reason, "record"))
        else:
            kept.append(replace(one, targets=targets, subset=subset))
            if gone := len(one.subset) - len(subset):
                note = f"{gone} of {len(one.subset)} images of the subset cannot be used"
                rejects.append(Reject(place, 0, one.pair_id, note, "field"))
    if not kept:
        where = f"in {folder}" if folder.is_dir() else f"as there is no folder {folder}"
        raise TripletError(
            f"{place}: none of {len(rejects)} triplets has its images {where}; the first is "
            f"{rejects[0].item}: {rejects[0].reason}. Put the images there: data/README.md says "
            "where they are to be had"
        )
    rejects += [
        Reject(place, 0, name, f"image {lost[name]}", "image")
        for name in triplets.gallery if name in lost
    ]  # fmt: skip
    return replace(
        triplets, triplets=tuple(kept), gallery=tuple(n for n in triplets.gallery if n not in lost),
        files=files, rejects=(*triplets.rejects, *rejects),
    )  # fmt: skip


def left_out(before: Mapping[str, TripletSet], after: Mapping[str, TripletSet]) -> str:
    """How much of each set has no image, and what that means; empty where nothing is lost."""
    told = []
    for label, whole in before.items():
        part = after[label]
        triplets = len(whole.triplets) - len(part.triplets)
        images = len(whole.gallery) - len(part.gallery)
        if triplets or images:
            told.append(
                f"of {label} {triplets} of {len(whole.triplets)} triplets and {images} of "
                f"{len(whole.gallery)} images of its gallery"
            )
    if not told:
        return ""
    return (
        f"Left out, as images are missing or broken: {'; '.join(told)}. Numbers on an incomplete "
        "gallery cannot be compared with published ones."
    )


def _find_images(triplets: TripletSet, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The file of every image that can be used, relative to the folder; and why others cannot."""
    files, lost = {}, {}
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
    """Why an image cannot be read; empty: it can, or looks as if."""
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
