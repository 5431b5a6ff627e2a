"""Where records come from: the drawn world, folders of several kinds, a JSONL file, a CSV.

A source gives recipes and rejects, and loads images by the keys that its recipes name. To add a
kind, write a function from ``Asked`` to a source and add its line to ``KINDS``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Protocol

from PIL import Image

from helpers.data.class_folders import are_classes, read_class_folders
from helpers.data.csv_pairs import read_pairs_csv, separator_of
from helpers.data.decoding import decode
from helpers.data.folders import (
    RECORDS,
    RECORDS_FILE,
    TABLES,
    Asked,
    FolderSource,
    files_below,
    folder_source,
    pictures_of,
    tables_of,
    unnamed_pictures,
)
from helpers.data.guard import FileRefused, key_below, read_below
from helpers.data.imagefolder import METADATA, read_metadata
from helpers.data.json_records import is_json_list, read_recipes_jsonl
from helpers.data.markdown import PAGES, has_front_matter, is_page, read_page
from helpers.data.records import Recipe, Reject
from helpers.data.source_hints import why_not
from helpers.data.texts import printable
from helpers.repro import canonical_json


class Source(Protocol):
    """What every kind of source offers."""

    name: str
    fingerprint: str

    def recipes(self) -> Iterator[Recipe | Reject]:
        """The records in their order, and what was not taken where it stood."""

    def load_image(self, key: str) -> Image.Image:
        """The image that a recipe names. Raises ``ImageError``."""


def open_source(source: str, *, max_recipes: int = 0, seed: int = 42) -> Source:
    """Open a source of recipes and images.

    Parameters
    ----------
    source : str
        ``world:<domain>``; a folder that holds ``recipes.jsonl``, or ``metadata.jsonl`` or
        ``metadata.csv`` (an imagefolder), or Markdown pages with front matter, or images in folders
        that are named after what they show, tried in this order; a ``.jsonl`` or ``.json`` file; a
        table (``.csv``, ``.tsv``) with the columns ``image`` and ``caption``, and ``recipe_id``
        where a recipe has several images. Images are named relative to the file, or to ``images/``
        beside it.
    max_recipes : int
        0: all (of a world: its default number). Otherwise at most so many, drawn at random but
        always the same for a seed; a larger number only adds to a smaller one.
    seed : int
        Of the drawn world, and of that choice.

    Raises
    ------
    ValueError
        If nothing of a known kind is there; the message names what is near.

    >>> open_source("world:kitchen", max_recipes=2).name
    'world:kitchen'
    """
    if max_recipes < 0:
        raise ValueError(f"max_recipes is {max_recipes}; use 0 for all recipes, or a count")
    asked = Asked(source, max_recipes, seed)
    return _opener(asked)(asked)


def check_source(source: str) -> None:
    """Refuse what ``open_source`` would, as far as that shows without reading records.

    Raises
    ------
    ValueError
        As ``open_source``.
    """
    asked = Asked(source, max_recipes=1, seed=0)
    opener = _opener(asked)
    if opener is _open_world:
        opener(asked)  # an unknown world, or option of it


def _opener(asked: Asked) -> Callable[[Asked], Source]:
    for fits, opener in KINDS.values():
        if fits(asked):
            return opener
    reason = why_not(asked, f"a source is {', '.join(KINDS)}")
    raise ValueError(f"source {asked.source!r}: {reason}")


def _open_world(asked: Asked) -> Source:
    from helpers.world import open_world

    domain = asked.source.partition(":")[2]
    return open_world(domain, n_recipes=asked.max_recipes, seed=asked.seed)


def _open_folder(asked: Asked) -> FolderSource:
    return _from_records(asked, asked.path, RECORDS_FILE, name=asked.path.name)


def _open_json(asked: Asked) -> FolderSource:
    return _from_records(asked, asked.path.parent, asked.path.name, name=asked.path.stem)


def _open_table(asked: Asked) -> FolderSource:
    folder, file = asked.path.parent, asked.path.name
    data = asked.path.read_bytes()
    text, note = decode(data, file, code_pages=True)
    items = read_pairs_csv(text, file, key_of=partial(key_below, folder))
    notes = (note, _separated(text, file))
    return folder_source(asked, items, data, folder, name=asked.path.stem, notes=notes)


def _separated(text: str, file: str) -> str:
    """What a lesson says of a table whose columns no comma separates."""
    mark = {";": "semicolons", "\t": "tabs"}.get(separator_of(text))
    return f"{file}: its columns are separated by {mark}" if mark else ""


def _from_records(asked: Asked, folder: Path, file: str, *, name: str) -> FolderSource:
    data = (folder / file).read_bytes()
    text, note = decode(data, file)
    listed = f"{file} is one JSON list: each object in it is a record" if is_json_list(text) else ""
    items = list(read_recipes_jsonl(text, file))
    return folder_source(asked, items, data, folder, name=name, notes=(note, listed))


def _from_markdown(asked: Asked) -> FolderSource:
    folder = asked.path
    files = files_below(folder)
    known = frozenset(files)
    pages, refused = _read_all(folder, [file for file in files if is_page(file, files)])
    texts = {file: decode(data, file)[0] for file, data in pages.items()}
    items = [*refused, *(i for file, text in texts.items() for i in read_page(text, file, known))]
    items += unnamed_pictures(files, items, by="page")
    items += [
        Reject(
            file, 0, file, f"no recipe: a page outside {PAGES}/, or one about the folder", "file"
        )
        for file in files
        if file.lower().endswith(".md") and not is_page(file, files)
    ]
    return folder_source(asked, items, _all_of(texts, files), folder, name=folder.name)


def _from_imagefolder(asked: Asked) -> FolderSource:
    folder = asked.path
    files = files_below(folder)
    tables, refused = _read_all(folder, [file for file in files if _is_metadata(file)])
    texts, notes = {}, []
    items: list[Recipe | Reject] = list(refused)
    for file, data in tables.items():
        is_table = file.endswith(".csv")
        texts[file], note = decode(data, file, code_pages=is_table)
        notes += [note, _separated(texts[file], file) if is_table else ""]
        items += read_metadata(texts[file], file, key_of=partial(key_below, folder))
    items += unnamed_pictures(files, items, by="line of the metadata")
    data = _all_of(texts, files)
    return folder_source(asked, items, data, folder, name=folder.name, notes=notes)


def _from_class_folders(asked: Asked) -> FolderSource:
    folder = asked.path
    files = files_below(folder)
    pictures = pictures_of(files)
    items: list[Recipe | Reject] = list(read_class_folders(pictures))
    count = sum(len(recipe.images) for recipe in items)
    note = (
        f"{folder.name} holds no table: the names of its folders are {len(items)} classes, and the "
        f"captions of their {count} images (all images of a class are one recipe)"
    )
    items += unnamed_pictures(files, items, by="folder of a class")
    data = _all_of({}, files)
    return folder_source(asked, items, data, folder, name=folder.name, notes=[note])


def _read_all(folder: Path, files: Iterable[str]) -> tuple[dict[str, bytes], list[Reject]]:
    """The bytes of files of a folder, and why others are not read."""
    read: dict[str, bytes] = {}
    refused = []
    for file in files:
        try:
            read[file] = read_below(folder, file, places=("",))
        except FileRefused as error:
            refused.append(Reject(printable(file), 0, printable(file), str(error)))
    return read, refused


def _is_metadata(file: str) -> bool:
    """``metadata.jsonl`` of the folder, or of a folder in it: ``train/metadata.jsonl``."""
    return file.rsplit("/", 1)[-1] in METADATA and file.count("/") <= 1


def _all_of(texts: Mapping[str, str], files: list[str]) -> bytes:
    """What a source was read from, for its fingerprint: the texts, and which pictures there are."""
    values = (*pictures_of(files), *chain(*texts.items()))
    return canonical_json([[printable(value) for value in values]]).encode()


def _has_pages(asked: Asked) -> bool:
    """Whether a folder holds a page that begins as recipes do."""
    files = files_below(asked.path) if asked.path.is_dir() else []
    pages = [file for file in files if is_page(file, files)]
    return any(map(has_front_matter, _read_all(asked.path, pages)[0].values()))


def _has_classes(asked: Asked) -> bool:
    """Whether a folder holds images in folders of classes, and no table that would say more."""
    files = files_below(asked.path) if asked.path.is_dir() else []
    return not tables_of(files) and are_classes(pictures_of(files))


def _ends_in(*suffixes: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.path.suffix.lower() in suffixes and asked.path.is_file()


KINDS: dict[str, tuple[Callable[[Asked], bool], Callable[[Asked], Source]]] = {
    "world:<domain>": (lambda asked: asked.source.startswith("world:"), _open_world),
    f"a folder that holds {RECORDS_FILE}": (
        lambda asked: (asked.path / RECORDS_FILE).is_file(),
        _open_folder,
    ),
    f"a folder that holds {' or '.join(METADATA)}": (
        lambda asked: asked.path.is_dir() and any(map(_is_metadata, files_below(asked.path))),
        _from_imagefolder,
    ),
    "a folder of Markdown pages with front matter": (_has_pages, _from_markdown),
    "a folder whose folders of images are named after what they show": (
        _has_classes,
        _from_class_folders,
    ),
    "a .jsonl or .json file": (_ends_in(*RECORDS), _open_json),
    "a .csv or .tsv file": (_ends_in(*TABLES), _open_table),
}
