"""Where records come from: the drawn world, folders of several kinds, a JSONL file, a table.

A source gives recipes and rejects, and loads images by the keys that its recipes name. To add a
kind, write a function from its path to what was ``Read`` there, and add its line to ``KINDS``.
"""

import difflib
import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from heapq import nsmallest
from importlib import import_module
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Protocol

from PIL import Image

from helpers import paths
from helpers.data.images import (
    FileRefused,
    ImageError,
    find_below,
    key_below,
    load_image,
    read_below,
)
from helpers.data.markdown import PAGES, has_front_matter, pages_of, read_page
from helpers.data.readers import (
    SEPARATORS,
    class_of,
    decode,
    is_json_list,
    read_class_folders,
    read_recipes_jsonl,
    read_table,
    separator_of,
)
from helpers.data.records import UNUSABLE, Recipe, Reject, printable
from helpers.repro import canonical_json, hash_of

WORLD = "helpers.world"  # opened by its name: nothing else of the course imports it
IMAGE_FILES = (
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif",
    ".jp2", ".ppm",
)  # fmt: skip
RECORDS_FILE = "recipes.jsonl"
METADATA = ("metadata.jsonl", "metadata.csv")
KNOWN_TABLES = (RECORDS_FILE, *METADATA)
RECORDS, TABLES = (".jsonl", ".json"), (".csv", ".tsv")
# What people bring that is no source, and what to do with it.
INSTEAD = {
    (".xlsx", ".xls", ".ods", ".numbers"): "save the sheet as CSV, with the columns image,caption",
    (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"): "unpack it, and give the folder or its table",
    (".parquet", ".arrow", ".db", ".sqlite"): "write it as CSV, with the columns image,caption",
    (".txt", ".dat"): "where it is a table image,caption, let its name end in .csv",
    IMAGE_FILES: "give the table that names it, or the folder that holds the table",
}
Items = Iterable[Recipe | Reject]
Read = tuple[Items, bytes, Iterable[str]]  # items, the bytes they came from, sentences on how


class Source(Protocol):
    """What every kind of source offers."""

    name: str
    fingerprint: str

    def recipes(self) -> Iterator[Recipe | Reject]:
        """The records in their order, and what was not taken where it stood."""

    def load_image(self, key: str) -> Image.Image:
        """The image that a recipe names. Raises ``ImageError``."""


@dataclass(frozen=True)
class FolderSource:
    """Records that were read from files, with the images below their folder.

    ``fingerprint`` covers the records' bytes, and each named image's size and time of change;
    ``notes`` are sentences on how the records were read, where that is not as expected.
    """

    name: str
    fingerprint: str
    items: tuple[Recipe | Reject, ...]
    folder: Path
    notes: tuple[str, ...] = ()

    def recipes(self) -> Iterator[Recipe | Reject]:
        """The records in the order of the file, each after what was rejected in it."""
        return iter(self.items)

    def load_image(self, key: str) -> Image.Image:
        """The image of a key. Raises ``ImageError``."""
        try:
            data = read_below(self.folder, key)
        except FileRefused as refused:
            raise ImageError(str(refused)) from refused
        return load_image(data)


def open_source(source: str, *, max_recipes: int = 0, seed: int = 42) -> Source:
    """Open a source of recipes and images.

    A source is ``world:<domain>``; a folder that holds ``recipes.jsonl``, or ``metadata.jsonl`` or
    ``metadata.csv`` (an imagefolder), or Markdown pages with front matter, or images in folders
    that are named after what they show, tried in this order; a ``.jsonl`` or ``.json`` file; a
    table (``.csv``, ``.tsv``) with the columns ``image`` and ``caption``, and ``recipe_id`` where a
    recipe has several images. Images are named relative to the file, or to ``images/`` beside it.

    ``max_recipes`` 0 takes all (of a world: its default number), another number at most so many:
    drawn at random but always the same for a seed; a larger one only adds to a smaller one. Raises
    ``ValueError`` if nothing of a known kind is there; the message names what is near.
    """
    if max_recipes < 0:
        raise ValueError(f"max_recipes is {max_recipes}; use 0 for all recipes, or a count")
    if source.startswith(_DRAWN):
        world = import_module(WORLD)
        return world.open_world(source.removeprefix(_DRAWN), n_recipes=max_recipes, seed=seed)
    path = paths.find(source)
    items, data, notes = _reader_of(source)()
    folder, name = (path, path.name) if path.is_dir() else (path.parent, path.stem)
    items = [
        replace(item, images=tuple(key_below(folder, key) for key in item.images))
        if isinstance(item, Recipe) else item
        for item in items
    ]  # fmt: skip
    if all(isinstance(item, Reject) for item in items):
        raise ValueError(nothing_kept(name, items))
    items = tuple(_chosen(items, max_recipes, seed))
    keys = sorted({key for item in items if isinstance(item, Recipe) for key in item.images})
    fingerprint = hash_of([
        hashlib.sha256(data).hexdigest(), max_recipes, seed if max_recipes else 0,
        [[printable(key), *_size_and_time(folder, key)] for key in keys],
    ])  # fmt: skip
    return FolderSource(name, fingerprint, items, folder, tuple(filter(None, notes)))


def check_source(source: str) -> None:
    """Refuse what ``open_source`` would, as far as that shows without reading records."""
    if source.startswith(_DRAWN):
        open_source(source, max_recipes=1, seed=0)  # an unknown world, or option of it
    else:
        _reader_of(source)


def nothing_kept(name: str, rejects: Sequence[Reject]) -> str:
    """Why a source gives nothing: each cause once, how often it occurs, and where first."""
    records = sum(reject.kind == "record" for reject in rejects)
    own = [r for r in rejects if r.kind in ("record", "image", "caption") and r.cause != UNUSABLE]
    if not own:
        return f"source {name!r} holds no record"
    first = {reject.cause: reject for reject in reversed(own)}
    causes = "; ".join(
        f"{n} times, first in {first[cause].place}: {first[cause].reason}"
        for cause, n in Counter(reject.cause for reject in own).most_common(3)
    )
    return f"source {name!r}: none of its {records} records can be kept ({causes})"


def files_below(folder: Path) -> list[str]:
    """The relative posix paths of all files below a folder, sorted; hidden ones are left out."""
    found = []
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        start = Path(base).relative_to(folder)
        found += [(start / name).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)


def images_of(files: Iterable[str]) -> list[str]:
    """The files whose names end as those of images do."""
    return [file for file in files if file.lower().endswith(IMAGE_FILES)]


def _tables_of(files: Iterable[str]) -> list[str]:
    """The files that may be a source by themselves: known names first, then the least deep."""
    found = [file for file in files if PurePosixPath(file).suffix.lower() in TABLES + RECORDS]
    return sorted(found, key=lambda f: (PurePosixPath(f).name not in KNOWN_TABLES, f.count("/"), f))


def _size_and_time(folder: Path, key: str) -> tuple[int, int]:
    """Size and time of change of an image; (-1, -1) for none, and for one that is refused."""
    with suppress(FileRefused, OSError):
        status = find_below(folder, key).stat()
        return status.st_size, status.st_mtime_ns
    return -1, -1


def _chosen(items: list[Recipe | Reject], most: int, seed: int) -> list[Recipe | Reject]:
    """All rejects, and ``most`` of the recipes by a hash of seed and id; the order stays."""
    ids = {item.recipe_id for item in items if isinstance(item, Recipe)}
    if not most or len(ids) <= most:
        return items
    ranks = {i: hashlib.sha256(f"{seed}:max_recipes:{i}".encode()).digest() for i in ids}
    chosen = set(nsmallest(most, ids, ranks.get))
    return [item for item in items if isinstance(item, Reject) or item.recipe_id in chosen]


# The kinds of sources.


def _from_records(path: Path) -> Read:
    data = path.read_bytes()
    text, note = decode(data, path.name)
    listed = f"{path.name} is one JSON list: each object in it is a record"
    items = read_recipes_jsonl(text, path.name)
    return items, data, (note, listed if is_json_list(text) else "")


def _from_table(path: Path) -> Read:
    data = path.read_bytes()
    items, notes, _ = _table(path.parent, path.name, data)
    return items, data, notes


def _from_imagefolder(folder: Path, files: list[str]) -> Read:
    tables, items = _read_all(folder, filter(_is_metadata, files))
    texts, notes = {}, []
    for file, data in tables.items():
        found, said, texts[file] = _table(folder, file, data)
        items, notes = [*items, *found], [*notes, *said]
    items += _unnamed(files, items, by="line of the metadata")
    return items, _read_from(texts, files), notes


def _from_markdown(folder: Path, files: list[str]) -> Read:
    known = frozenset(files)
    pages, items = _read_all(folder, pages_of(files))
    texts = {file: decode(data, file)[0] for file, data in pages.items()}
    for file, text in texts.items():
        items += read_page(text, file, known)
    items += _unnamed(files, items, by="page")
    reason = f"no recipe: a page outside {PAGES}/, or one about the folder"
    others = {file for file in files if file.lower().endswith(".md")} - set(pages_of(files))
    items += [Reject(file, 0, file, reason, "file") for file in sorted(others)]
    return items, _read_from(texts, files), ()


def _from_class_folders(folder: Path, files: list[str]) -> Read:
    items = list(read_class_folders(images_of(files)))
    count = sum(len(recipe.images) for recipe in items)
    note = (
        f"{folder.name} holds no table: the names of its folders are {len(items)} classes, and the "
        f"captions of their {count} images (all images of a class are one recipe)"
    )
    items += _unnamed(files, items, by="folder of a class")
    return items, _read_from({}, files), [note]


def _table(folder: Path, file: str, data: bytes) -> tuple[list[Recipe | Reject], list[str], str]:
    """The items of a table below a folder, sentences on how it was read, and its text."""
    is_csv = not file.endswith(".jsonl")
    text, note = decode(data, file, code_pages=is_csv)
    mark = separator_of(text) if is_csv else ","
    separated = f"{file}: its columns are separated by {SEPARATORS[mark]}" if mark != "," else ""
    return list(read_table(text, file, key_of=partial(key_below, folder))), [note, separated], text


def _read_all(folder: Path, files: Iterable[str]) -> tuple[dict[str, bytes], list[Recipe | Reject]]:
    """The bytes of files of a folder, and why others are not read."""
    read: dict[str, bytes] = {}
    refused: list[Recipe | Reject] = []
    for file in files:
        try:
            read[file] = read_below(folder, file, places=("",))
        except FileRefused as error:
            refused.append(Reject(printable(file), 0, printable(file), str(error)))
    return read, refused


def _unnamed(files: Iterable[str], items: Items, *, by: str) -> list[Reject]:
    """A reject of kind ``file`` for each image that no record names, so that none is lost."""
    nfc = partial(unicodedata.normalize, "NFC")
    keys = chain(*(item.images if isinstance(item, Recipe) else [item.item] for item in items))
    named = set(map(nfc, keys))
    named |= {f"images/{key}" for key in named}
    lost = [printable(file) for file in images_of(files) if nfc(file) not in named]
    return [Reject(file, 0, file, f"no {by} names this picture", "file") for file in lost]


def _read_from(texts: Mapping[str, str], files: list[str]) -> bytes:
    """What a source was read from, for its fingerprint: the texts, and which images there are."""
    values = (*images_of(files), *chain(*texts.items()))
    return canonical_json([[printable(value) for value in values]]).encode()


def _is_metadata(file: str) -> bool:
    """``metadata.jsonl`` of the folder, or of a folder in it: ``train/metadata.jsonl``."""
    return file.rsplit("/", 1)[-1] in METADATA and file.count("/") <= 1


def _has_pages(folder: Path, files: list[str]) -> bool:
    """Whether a folder holds a page that begins as recipes do."""
    pages, _ = _read_all(folder, pages_of(files))
    return any(map(has_front_matter, pages.values()))


def _has_classes(folder: Path, files: list[str]) -> bool:
    """Whether a folder holds images of two classes at least, and no table that would say more."""
    return not _tables_of(files) and len({class_of(f) for f in images_of(files)} - {""}) > 1


_DRAWN = "world:"
# A kind of source by its name: whether a folder with these files, or the ending of a file, is one,
# and its reader.
FOLDERS: dict[str, tuple[Callable[..., bool], Callable[..., Read]]] = {
    f"a folder that holds {RECORDS_FILE}": (
        lambda folder, files: (folder / RECORDS_FILE).is_file(),
        lambda folder, files: _from_records(folder / RECORDS_FILE),
    ),
    f"a folder that holds {' or '.join(METADATA)}": (
        lambda folder, files: any(map(_is_metadata, files)), _from_imagefolder,
    ),
    "a folder of Markdown pages with front matter": (_has_pages, _from_markdown),
    "a folder whose folders of images are named after what they show": (
        _has_classes, _from_class_folders,
    ),
}  # fmt: skip
FILES = {
    "a .jsonl or .json file": (RECORDS, _from_records),
    "a .csv or .tsv file": (TABLES, _from_table),
}
KINDS = ("world:<domain>", *FOLDERS, *FILES)


def _reader_of(source: str) -> Callable[[], Read]:
    path = paths.find(source)
    if path.is_dir():
        files = files_below(path)
        found = (partial(read, path, files) for fits, read in FOLDERS.values() if fits(path, files))
    else:
        is_file, suffix = path.is_file(), path.suffix.lower()
        found = (partial(read, path) for ends, read in FILES.values() if is_file and suffix in ends)
    if (read := next(found, None)) is None:
        reason = _why_not(source, path, f"a source is {', '.join(KINDS)}")
        raise ValueError(f"source {source!r}: {reason}")
    return read


def _why_not(source: str, path: Path, kinds: str) -> str:
    """What is there instead of a source, and what may have been meant; ``kinds`` names them."""
    if not source:
        return f"it is empty; {kinds}"
    if path.is_dir():
        return _what_a_folder_lacks(source, path)
    if path.exists():
        suffix = path.suffix.lower()
        hint = next((f": {instead}" for ends, instead in INSTEAD.items() if suffix in ends), "")
        return f"a {path.suffix or 'nameless'} file is not read as a source{hint} ({kinds})"
    where = f"nothing is at {' or '.join(map(str, paths.places(source)))}"
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = [str(path.with_name(n)) for n in difflib.get_close_matches(path.name, names, n=1)]
    scheme, colon, rest = source.partition(":")
    if colon and difflib.get_close_matches(scheme.lower(), ["world"]):
        near.insert(0, f"world:{rest}")
    return f"{where}; did you mean {near[0]!r}? ({kinds})" if near else f"{where}; {kinds}"


def _what_a_folder_lacks(source: str, folder: Path) -> str:
    """What was looked for in a folder, what is there instead, and what to give."""

    def inside(name: object) -> str:
        return f"{source.rstrip('/')}/{name}"

    files = files_below(folder)
    looked = f"no {RECORDS_FILE}, no {', no '.join(METADATA)}, no Markdown page with front matter"
    has = f"the folder {folder} holds {looked} and no folders of images named after classes"
    if tables := _tables_of(files):
        more = f" and {len(tables) - 1} more" if len(tables) > 1 else ""
        table = PurePosixPath(tables[0])
        place = table.parent if table.name in KNOWN_TABLES else table
        return f"{has}; a table is at {table}{more}: did you mean {inside(place)!r}?"
    if pages := pages_of(files):
        return f"{has}; of {len(pages)} pages such as {pages[0]} none begins with a line ---"
    if images := images_of(files):
        write = f"write {inside('captions.csv')} with the columns image,caption"
        return f"{has}; it holds {len(images)} images such as {images[0]}: {write}, and give that"
    return f"{has}, nor any image"
