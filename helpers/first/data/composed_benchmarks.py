"""FashionIQ, CIRR and CIRCO, each in its own format and by its own protocol.

Wu et al., "Fashion IQ" (2021); Liu et al., "Image retrieval on real-life images with pre-trained
vision-and-language models" (2021), release rc2; Baldrati et al., "Zero-shot composed image
retrieval with textual inversion" (2023).
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from helpers.data.records import KINDS, Reject, kind_of, shown
from helpers.topics.cir.benchmarks import read_json
from helpers.topics.cir.triplets import Triplet, TripletError, TripletSet, collect

CATEGORIES = ("dress", "shirt", "toptee")
GALLERIES = ("original", "VAL")
CAPTIONS = ("joined", "separate")


def read_fashioniq(
    folder: Path | str,
    *,
    category: str = "dress",
    split: str = "val",
    gallery: str = "original",
    captions: str = "joined",
) -> TripletSet:
    """One category of FashionIQ: ``cap.<category>.<split>.json`` and ``split.<...>.json``.

    The reference stays in the gallery, as in the original protocol.

    Parameters
    ----------
    folder : path
        Holds the files, or ``captions/`` and ``image_splits/`` as the release has them.
    gallery : {"original", "VAL"}
        All images of the split, or only references and targets of its queries: the easier gallery
        that VAL (Chen et al., 2020) and others report on.
    captions : {"joined", "separate"}
        The two captions of an entry in one text, "... and ...", or a query each. An empty one is
        noted and left out.

    Raises
    ------
    TripletError
        For a missing or broken file, or an option that is none of these.
    """
    _one_of("category", category, CATEGORIES)
    _one_of("gallery", gallery, GALLERIES)
    _one_of("captions", captions, CAPTIONS)
    folder = Path(folder)
    file = f"cap.{category}.{split}.json"
    entries = read_json(_place(folder, file, "captions"), list)
    place = _place(folder, f"split.{category}.{split}.json", "image_splits")
    images, odd = _strings(read_json(place, list), place.name)
    queries = [*odd, *_fashioniq_queries(entries, file, f"{category}-{split}", captions)]
    if gallery == "VAL":
        good = [query for query in queries if isinstance(query, Triplet)]
        used = {name for query in good for name in (query.reference, *query.targets)}
        images = [name for name in images if name in used]
    files = {name: f"{name}.png" for name in images}
    return collect(queries, images, name=f"FashionIQ {category}", split=split, files=files)


def read_cirr(folder: Path | str, *, split: str = "val") -> TripletSet:
    """CIRR, release rc2: ``cap.rc2.<split>.json`` and ``split.rc2.<split>.json``.

    The reference leaves its query's ranking and its subset, which so falls from 6 images to 5. The
    one target is ``target_hard``. The targets of ``test1`` are the test server's.

    Parameters
    ----------
    folder : path
        Holds the files, or ``captions/`` and ``image_splits/`` as the release has them.

    Raises
    ------
    TripletError
        For a missing or broken file.
    """
    folder = Path(folder)
    file = f"cap.rc2.{split}.json"
    entries = read_json(_place(folder, file, "captions"), list)
    place = _place(folder, f"split.rc2.{split}.json", "image_splits")
    listed = read_json(place, dict)
    _, odd = _strings(listed.values(), place.name)
    files = {name: path for name, path in listed.items() if isinstance(path, str)}
    return collect(
        [*odd, *_cirr_queries(entries, file)],
        list(files),
        name="CIRR",
        split=split,
        files={name: path.removeprefix("./") for name, path in files.items()},
        exclude_reference=True,
    )


def read_circo(folder: Path | str, *, split: str = "val") -> TripletSet:
    """CIRCO: ``annotations/<split>.json`` over the unlabeled images of COCO 2017.

    Several images answer a query. The reference stays in the gallery, as in the original code.

    Parameters
    ----------
    folder : path
        Holds ``annotations/`` and ``COCO2017_unlabeled/annotations/image_info_unlabeled2017.json``.

    Raises
    ------
    TripletError
        For a missing or broken file.
    """
    folder = Path(folder)
    entries = read_json(folder / "annotations" / f"{split}.json", list)
    coco = folder / "COCO2017_unlabeled" / "annotations" / "image_info_unlabeled2017.json"
    listed = read_json(coco, dict).get("images")
    if not isinstance(listed, list) or not all(
        isinstance(image, dict) and {"id", "file_name"} <= set(image) for image in listed
    ):
        raise TripletError(f"{coco} has no list 'images' of objects with id and file_name")
    files = {str(image["id"]): str(image["file_name"]) for image in listed}
    queries = _circo_queries(entries, f"{split}.json")
    return collect(queries, list(files), name="CIRCO", split=split, files=files)


def _fashioniq_queries(
    entries: list, file: str, prefix: str, captions: str
) -> Iterator[Triplet | Reject]:
    for number, entry in enumerate(entries, start=1):
        pair_id = f"{prefix}-{number:05d}"
        if problem := _lacks(entry, {"candidate": str, "captions": list}):
            yield Reject(file, number, pair_id, problem, "record")
            continue
        texts = [text.strip(" .?,") for text in entry["captions"] if isinstance(text, str)]
        for place, text in enumerate(texts, start=1):
            if not text:
                yield Reject(file, number, pair_id, f"caption {place} is empty, left out", "field")
        texts = [text for text in texts if text]
        target = (entry["target"],) if isinstance(entry.get("target"), str) else ()
        about = {"group": entry["candidate"]}
        if captions == "joined" or not texts:
            yield Triplet(pair_id, entry["candidate"], target, " and ".join(texts), **about)
        else:
            for place, text in enumerate(texts, start=1):
                yield Triplet(f"{pair_id}-{place}", entry["candidate"], target, text, **about)


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
        yield Triplet(
            pair_id,
            str(entry["reference_img_id"]),
            tuple(dict.fromkeys(map(str, targets))),
            entry["relative_caption"],
            group=pair_id,
        )


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
    says = "data/README.md says where the benchmark is to be had and how its folder looks"
    if not folder.is_dir():
        raise TripletError(f"there is no folder {folder} to read {file} from; {says}")
    raise TripletError(f"{file} is not in {folder}, nor in {inner}/ below it: {says}")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise TripletError(f"{name} is {value!r}: use one of {', '.join(known)}")
