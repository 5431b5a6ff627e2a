"""Where triplets come from: the drawn world, or FashionIQ, CIRR and CIRCO in their own formats.

Wu et al., "Fashion IQ" (2021); Liu et al., "Image retrieval on real-life images with pre-trained
vision-and-language models" (2021), release rc2; Baldrati et al., "Zero-shot composed image
retrieval with textual inversion" (2023). Links to images die, so hardly anybody holds all of
FashionIQ's: what cannot be shown is left out of a set and named, and how much that is stands in one
sentence, because numbers over an incomplete gallery cannot be compared with published ones.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from helpers import paths
from helpers.data.images import (
    FileMissing,
    FileRefused,
    ImageError,
    find_below,
    load_image,
    normalise,
    read_below,
)
from helpers.data.records import KINDS, Reject, bounded, kind_of, shown
from helpers.repro import sha256_file
from helpers.topics.cir.triplets import (
    Source,
    Triplet,
    TripletError,
    TripletSet,
    collect,
    drawn_source,
    split_groups,
    take,
)

CATEGORIES = ("dress", "shirt", "toptee")
SOURCES = ("world", "fashioniq", "cirr", "circo")
DEFAULT = "world:kitchen"
TEST_ONLY = ("garage", "circo")
IMAGES = "images"  # below a benchmark's folder
COCO = ("COCO2017_unlabeled", "unlabeled2017")  # where CIRCO's images lie
IMAGE_PX = 512  # side of an image from a folder
NO_TRIPLETS = (
    f"{{source}} has no triplets: all of this lesson is about {DEFAULT} in its place, and none of "
    "its numbers are about your data"
)
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
WHOLE = ((b"\xff\xd8\xff", b"\xff\xd9"), (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"))
TAIL = 8  # bytes, in which a whole JPEG or PNG begins and ends
WHERE = "data/README.md says where the benchmark is to be had and how its folder looks"


def open_triplets(
    source: str, *, counts: Mapping[str, int], gallery: int = 0, seed: int = 42
) -> Source:
    """Open a source of triplets, or refuse it with a ``TripletError``.

    Parameters
    ----------
    source : str
        ``world:kitchen`` with its options; ``world:garage`` and ``circo:FOLDER``, a test alone;
        ``cirr:FOLDER``; ``fashioniq:FOLDER``, or with one category ``fashioniq:FOLDER#dress``. A
        folder holds the annotations of ``train`` and ``val``, and its images below ``images``. In
        the place of what has no triplets (recipes, ``world:general``) the kitchen is opened, and
        ``left_out`` says so: the whole course runs on one source.
    counts : mapping of int
        Triplets of ``train``, ``pool``, ``validation`` and ``test``; a part that is not named is
        left out. 0: all there are, where the source is a folder. There ``val`` is the test,
        validation takes whole groups of ``train`` (0: a tenth), and the pool what is left.
    gallery : int
        Drawn triplets of a gallery of the test; 0: one gallery.
    """
    kind, _, place = source.partition(":")
    if place.partition("?")[0] == "general" or (
        kind not in SOURCES and paths.find(source).exists()
    ):
        drawn = open_triplets(DEFAULT, counts=counts, gallery=gallery, seed=seed)
        return replace(drawn, left_out=NO_TRIPLETS.format(source=source))
    if kind not in SOURCES or not place.partition("#")[0]:
        raise TripletError(
            f"unknown source of triplets {source!r}: use world:kitchen, cirr:FOLDER, circo:FOLDER "
            "or fashioniq:FOLDER"
        )
    if kind == "world":
        return _drawn(source, counts, gallery, seed)
    place, _, category = place.partition("#")
    if category and kind != "fashioniq":
        raise TripletError(f"{source}: {kind.upper()} has no categories; write {kind}:{place}")
    if category not in ("", *CATEGORIES):
        known = " or ".join(f"#{one}" for one in CATEGORIES)
        raise TripletError(f"{source}: FashionIQ has no {category!r}; end it in {known}")
    folder = paths.find(place)
    if kind == "circo":
        if "train" in counts:
            raise TripletError(
                f"{source}: CIRCO has no training triplets, only a test set; test on it with "
                f"-p transfer={source}"
            )
        images = folder.joinpath(*COCO)
        images = images if images.is_dir() else folder / IMAGES
        return _of_folder(images, [], [read_circo(folder)], counts, seed)
    splits = ("train", "val") if "train" in counts else ("val",)
    if kind == "cirr":
        read = {split: [read_cirr(folder, split=split)] for split in splits}
    else:
        chosen = [category] if category else CATEGORIES
        read = {s: [read_fashioniq(folder, category=c, split=s) for c in chosen] for s in splits}
    return _of_folder(folder / IMAGES, read.get("train", []), read["val"], counts, seed)


def read_fashioniq(
    folder: Path | str, *, category: str = "dress", split: str = "val"
) -> TripletSet:
    """One category of FashionIQ: ``cap.CATEGORY.SPLIT.json`` and ``split.CATEGORY.SPLIT.json``.

    The files lie in the folder, or in ``captions/`` and ``image_splits/`` as the release has them.
    The two captions of an entry become one text, "... and ..."; the gallery holds all images of
    the split, and the reference stays in it, as in the original protocol.
    """
    if category not in CATEGORIES:
        raise TripletError(f"category is {category!r}: use one of {', '.join(CATEGORIES)}")
    folder, file = Path(folder), f"cap.{category}.{split}.json"
    entries = read_json(_place(folder, file, "captions"), list)
    place = _place(folder, f"split.{category}.{split}.json", "image_splits")
    images, odd = _strings(read_json(place, list), place.name)
    queries = [*odd, *_fashioniq_queries(entries, file, f"{category}-{split}")]
    files = {name: f"{name}.png" for name in images}
    return collect(queries, images, name=f"FashionIQ {category}", split=split, files=files)


def read_cirr(folder: Path | str, *, split: str = "val") -> TripletSet:
    """CIRR, release rc2: ``cap.rc2.SPLIT.json`` and ``split.rc2.SPLIT.json``.

    The reference leaves its query's ranking and its subset, which so falls from 6 images to 5. The
    one target is ``target_hard``; those of ``test1`` are the test server's.
    """
    folder, file = Path(folder), f"cap.rc2.{split}.json"
    entries = read_json(_place(folder, file, "captions"), list)
    place = _place(folder, f"split.rc2.{split}.json", "image_splits")
    listed = read_json(place, dict)
    _, odd = _strings(listed.values(), place.name)
    files = {n: path.removeprefix("./") for n, path in listed.items() if isinstance(path, str)}
    queries = [*odd, *_cirr_queries(entries, file)]
    about = {"files": files, "exclude_reference": True}
    return collect(queries, list(files), name="CIRR", split=split, **about)


def read_circo(folder: Path | str, *, split: str = "val") -> TripletSet:
    """CIRCO: ``annotations/SPLIT.json`` over the unlabeled images of COCO 2017.

    ``COCO2017_unlabeled/annotations/image_info_unlabeled2017.json`` below the folder lists these.
    Several images answer a query; the reference stays in the gallery, as in the original code.
    """
    folder = Path(folder)
    entries = read_json(folder / "annotations" / f"{split}.json", list)
    coco = folder / COCO[0] / "annotations" / "image_info_unlabeled2017.json"
    listed = read_json(coco, dict).get("images")
    if not isinstance(listed, list) or not all(
        isinstance(image, dict) and {"id", "file_name"} <= set(image) for image in listed
    ):
        raise TripletError(f"{coco} has no list 'images' of objects with id and file_name")
    files = {str(image["id"]): str(image["file_name"]) for image in listed}
    queries = _circo_queries(entries, f"{split}.json")
    return collect(queries, list(files), name="CIRCO", split=split, files=files)


def read_json(place: Path, kind: type) -> Any:
    """A benchmark's JSON file; the ``TripletError`` names it and what is wrong."""
    if not place.is_file():
        raise TripletError(f"{place.name} is not in {place.parent}: {WHERE}")
    try:
        found = json.loads(place.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:  # also of numbers with too many digits
        why = bounded(str(error), 120)
        raise TripletError(f"{place} is not JSON ({why}): get the file again") from error
    if not isinstance(found, kind):
        raise TripletError(f"{place} holds {kind_of(found)}, not {KINDS[kind]}")
    return found


def _drawn(source: str, counts: Mapping[str, int], gallery: int, seed: int) -> Source:
    parts, start = {}, 0
    test_only = source.removeprefix("world:").startswith(TEST_ONLY)
    wanted = ("test",) if test_only else ("train", "pool", "validation", "test")
    for part in wanted:
        if part in counts and counts[part] < 1:
            raise TripletError(
                f"{source} draws as many triplets as it is asked for: {dict(counts)}"
            )
        if n := counts.get(part, 0):
            parts[part] = {"first": start, "n": n, "gallery": gallery if part == "test" else 0}
        start += n
    return drawn_source(source, parts, seed=seed)


def _of_folder(
    images: Path, train: Sequence[TripletSet], test: Sequence[TripletSet],
    counts: Mapping[str, int], seed: int,
) -> Source:  # fmt: skip
    several = len(test) > 1
    listed = {
        (label if not several else f"{label}, {one.name}"): one
        for label, some in (("train and validation", train), ("test", test)) for one in some
    }  # fmt: skip
    there = {label: keep_pictured(one, images) for label, one in listed.items()}
    found = list(there.values())
    train, test = found[: len(train)], found[len(train) :]
    share = {part: -(-n // len(test)) for part, n in counts.items()}
    sets: dict[str, list[TripletSet]] = {}
    for one in train:
        held = share.get("validation", 0) or max(1, len(one.triplets) // 10)
        kept, aside = split_groups(one.triplets, held, seed=seed)
        if not kept:
            raise TripletError(
                f"{one.name}: no triplet is left to train on; lower n_validation ({held})"
            )
        some = take(replace(one, triplets=kept), min(share["train"], len(kept)), seed=seed)
        known = {t.pair_id for t in some.triplets}
        rest = replace(one, triplets=tuple(t for t in kept if t.pair_id not in known))
        sets.setdefault("train", []).append(some)
        sets.setdefault("validation", []).append(replace(one, triplets=aside))
        if "pool" in counts:
            sets.setdefault("pool", []).append(take(rest, min(share["pool"], len(rest.triplets)),
                                                    seed=seed))  # fmt: skip
    sets["test"] = [
        take(one, min(share.get("test", 0), len(one.triplets)), seed=seed) for one in test
    ]
    files = {key: file for one in found for key, file in one.files.items()}
    hashed = cache(lambda key: sha256_file(find_below(images, files[key], places=("",))))
    name = test[0].name if not several else test[0].name.split()[0]
    parts = {part: tuple(some) for part, some in sets.items()}
    load = image_loader(images, files)
    return Source(name, parts, load, hashed, left_out=left_out(listed, there))


def image_loader(images: Path, files: Mapping[str, str]) -> Callable[..., Image.Image]:
    """What opens an image of a folder by its id, as drawn images are opened; ``px`` is theirs."""

    def image(key: str, *, px: int = 0) -> Image.Image:
        try:
            data = read_below(images, files[key], places=("",))
            return normalise(load_image(data), image_px=IMAGE_PX)
        except (FileRefused, ImageError) as error:
            raise TripletError(
                f"image {images / files[key]} cannot be read: {error}. Get it again, or delete it: "
                "what needs a missing image is left out"
            ) from error

    return image


def _fashioniq_queries(entries: list, file: str, prefix: str) -> Iterator[Triplet | Reject]:
    for number, entry in enumerate(entries, start=1):
        pair_id = f"{prefix}-{number:05d}"
        if problem := _lacks(entry, {"candidate": str, "captions": list}):
            yield Reject(file, number, pair_id, problem, "record")
            continue
        texts = [text.strip(" .?,") for text in entry["captions"] if isinstance(text, str)]
        for place, text in enumerate(texts, start=1):
            if not text:
                yield Reject(file, number, pair_id, f"caption {place} is empty, left out", "field")
        target = (entry["target"],) if isinstance(entry.get("target"), str) else ()
        text = " and ".join(filter(None, texts))
        yield Triplet(pair_id, entry["candidate"], target, text, group=entry["candidate"])


def _cirr_queries(entries: list, file: str) -> Iterator[Triplet | Reject]:
    needed = {"pairid": int, "reference": str, "caption": str, "img_set": dict}
    for number, entry in enumerate(entries, start=1):
        pair_id = str(entry.get("pairid", number)) if isinstance(entry, dict) else str(number)
        if problem := _lacks(entry, needed):
            yield Reject(file, number, pair_id, problem, "record")
            continue
        reference, members = entry["reference"], entry["img_set"].get("members", [])
        target = (entry["target_hard"],) if "target_hard" in entry else ()
        if not isinstance(members, list) or not all(
            isinstance(x, str) for x in (*members, *target)
        ):
            yield Reject(file, number, pair_id, "its subset or target is not of names", "record")
            continue
        subset = tuple(name for name in members if name != reference)
        if len(subset) != len(members) - 1:
            yield Reject(file, number, pair_id, "the subset is without the reference", "record")
        elif target and target[0] not in subset:
            yield Reject(file, number, pair_id, "the subset is without the target", "record")
        else:
            group = str(entry["img_set"].get("id", pair_id))
            yield Triplet(pair_id, reference, target, entry["caption"], subset, group)


def _circo_queries(entries: list, file: str) -> Iterator[Triplet | Reject]:
    needed = {"id": int, "reference_img_id": int, "relative_caption": str}
    for number, entry in enumerate(entries, start=1):
        pair_id = str(entry.get("id", number)) if isinstance(entry, dict) else str(number)
        if problem := _lacks(entry, needed):
            yield Reject(file, number, pair_id, problem, "record")
            continue
        targets = entry.get("gt_img_ids") or [entry[k] for k in ("target_img_id",) if k in entry]
        if not isinstance(targets, list):
            yield Reject(file, number, pair_id, f"gt_img_ids is {kind_of(targets)}", "record")
            continue
        names = tuple(dict.fromkeys(map(str, targets)))
        reference, text = str(entry["reference_img_id"]), entry["relative_caption"]
        yield Triplet(pair_id, reference, names, text, group=pair_id)


def _lacks(entry: Any, fields: Mapping[str, type]) -> str:
    """What is wrong with the form of an entry; empty: nothing."""
    if not isinstance(entry, dict):
        return f"the entry is {kind_of(entry)}, not an object"
    for name, kind in fields.items():
        if not isinstance(entry.get(name), kind) or isinstance(entry.get(name), bool):
            found = kind_of(entry[name]) if name in entry else "missing"
            return f"{name} is {found}, not {KINDS[kind]}"
    return ""


def _strings(listed: Iterable[Any], file: str) -> tuple[list[str], list[Reject]]:
    """The names in a list of images, and a reject for what is none."""
    names, odd = [], []
    for number, name in enumerate(listed, start=1):
        if isinstance(name, str):
            names.append(name)
        else:
            reason = f"the name of an image is {kind_of(name)}, not a string"
            odd.append(Reject(file, number, shown(name), reason, "image"))
    return names, odd


def _place(folder: Path, file: str, inner: str) -> Path:
    for place in (folder / file, folder / inner / file):
        if place.is_file():
            return place
    if not folder.is_dir():
        raise TripletError(f"there is no folder {folder} to read {file} from; {WHERE}")
    raise TripletError(f"{file} is not in {folder}, nor in {inner}/ below it: {WHERE}")


def keep_pictured(triplets: TripletSet, folder: Path | str) -> TripletSet:
    """The set without what has no image in a folder; the same set where all are there.

    An image may have another ending than the annotation says. A triplet goes with its reference or
    its last target, and a reject of kind ``record`` names it; an image goes from the gallery, with
    a reject of kind ``image``. Where a subset loses one, its triplet stays, with a note of kind
    ``field``. Raises ``TripletError`` if no triplet is left.
    """
    folder = Path(folder)
    files, lost = _find_images(triplets, folder)
    files = {**triplets.files, **files}
    if not lost:
        return replace(triplets, files=files)
    place = f"{triplets.name} {triplets.split}"
    kept, rejects = [], []
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
    said = f"Left out, as images are missing or broken: {'; '.join(told)}. Numbers on an "
    return said + "incomplete gallery cannot be compared with published ones." if told else ""


def _find_images(triplets: TripletSet, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The file of every image that can be used, relative to the folder; and why others cannot."""
    files, lost = {}, {}
    ends = (n for t in triplets.triplets for n in (t.reference, *t.targets, *t.subset))
    for name in dict.fromkeys((*ends, *triplets.gallery)):
        wanted = triplets.files.get(name, name)
        try:
            place = _there(folder, wanted)
        except FileRefused as refused:
            why = "not there" if isinstance(refused, FileMissing) else f"refused: {refused}"
            lost[name] = f"{bounded(wanted, 120)} is {why}"
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
    """Why an image cannot be read; empty: it can, or looks as if.

    One whose first and last bytes are those of a whole JPEG or PNG is not decoded here; any other
    is, so that an empty file, a page of text or half an image is found before its use.
    """
    with place.open("rb") as stream:
        head = stream.read(TAIL)
        size = stream.seek(0, 2)
        stream.seek(max(0, size - TAIL))
        tail = stream.read()
    if any(head.startswith(first) and tail.endswith(last) for first, last in WHOLE):
        return ""
    try:
        load_image(place.read_bytes())
    except ImageError as error:
        return str(error)
    return ""
