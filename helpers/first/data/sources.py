"""Where records come from: the drawn world, folders of several kinds, a JSONL file, a CSV.

A source gives recipes and rejects, and loads images by the keys that its recipes name. To add a
kind, write a function from ``Asked`` to a source and add its line to ``KINDS``.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Protocol

from PIL import Image

from helpers.first import paths
from helpers.first.data.csv_pairs import read_pairs_csv
from helpers.first.data.folders import (
    PICTURES,
    Asked,
    FolderSource,
    files_below,
    folder_source,
    unnamed_pictures,
)
from helpers.first.data.imagefolder import METADATA, read_metadata
from helpers.first.data.markdown import PAGES, is_page, read_page
from helpers.first.data.records import Recipe, Reject, printable, read_recipes_jsonl
from helpers.first.repro import canonical_json

RECORDS_FILE = "recipes.jsonl"


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
        ``metadata.csv`` (an imagefolder), or Markdown pages with front matter, tried in this
        order; a ``.jsonl`` file; a ``.csv`` file with the columns ``image`` and ``caption``, and
        ``recipe_id`` where a recipe has several images. Image keys are relative to the file or to
        ``images/`` beside it.
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
    raise ValueError(f"source {asked.source!r}: {_why_not(asked)}")


def _open_world(asked: Asked) -> Source:
    from helpers.first.data.world import open_world

    domain = asked.source.partition(":")[2]
    return open_world(domain, n_recipes=asked.max_recipes, seed=asked.seed)


def _open_folder(asked: Asked) -> FolderSource:
    records = asked.path / RECORDS_FILE
    return _from_records(asked, records, name=asked.path.name)


def _open_jsonl(asked: Asked) -> FolderSource:
    return _from_records(asked, asked.path, name=asked.path.stem)


def _open_csv(asked: Asked) -> FolderSource:
    data = asked.path.read_bytes()
    text = data.decode("utf-8", errors="surrogateescape")
    items = read_pairs_csv(text, asked.path.name)
    return folder_source(asked, items, data, asked.path.parent, name=asked.path.stem)


def _from_records(asked: Asked, records: Path, *, name: str) -> FolderSource:
    data = records.read_bytes()
    text = data.decode("utf-8", errors="surrogateescape")
    items = read_recipes_jsonl(text, records.name)
    return folder_source(asked, items, data, records.parent, name=name)


def _from_markdown(asked: Asked) -> FolderSource:
    folder = asked.path
    files = files_below(folder)
    pages = {file: _text(folder / file) for file in files if is_page(file, files)}
    known = frozenset(files)
    items = [item for file, text in pages.items() for item in read_page(text, file, known)]
    items += unnamed_pictures(files, items, by="page")
    items += [
        Reject(file, 0, file, f"a page outside {PAGES}/, not read", "file")
        for file in files
        if file.lower().endswith(".md") and file not in pages
    ]
    return folder_source(asked, items, _all_of(pages, files), folder, name=folder.name)


def _from_imagefolder(asked: Asked) -> FolderSource:
    folder = asked.path
    files = files_below(folder)
    tables = {file: _text(folder / file) for file in files if _is_metadata(file)}
    items = [item for file, text in tables.items() for item in read_metadata(text, file)]
    items += unnamed_pictures(files, items, by="line of the metadata")
    return folder_source(asked, items, _all_of(tables, files), folder, name=folder.name)


def _is_metadata(file: str) -> bool:
    """``metadata.jsonl`` of the folder, or of a folder in it: ``train/metadata.jsonl``."""
    return file.rsplit("/", 1)[-1] in METADATA and file.count("/") <= 1


def _all_of(texts: Mapping[str, str], files: list[str]) -> bytes:
    """What a source was read from, for its fingerprint: the texts, and which pictures there are."""
    pictures = [file for file in files if file.lower().endswith(PICTURES)]
    return canonical_json([[printable(v) for v in (*pictures, *chain(*texts.items()))]]).encode()


def _text(file: Path) -> str:
    return file.read_bytes().decode("utf-8", errors="surrogateescape")


def _holds(asked: Asked, wanted: Callable[[str], bool]) -> bool:
    return asked.path.is_dir() and any(map(wanted, files_below(asked.path)))


KINDS: dict[str, tuple[Callable[[Asked], bool], Callable[[Asked], Source]]] = {
    "world:<domain>": (lambda asked: asked.source.startswith("world:"), _open_world),
    f"a folder that holds {RECORDS_FILE}": (
        lambda asked: (asked.path / RECORDS_FILE).is_file(),
        _open_folder,
    ),
    f"a folder that holds {' or '.join(METADATA)}": (
        lambda asked: _holds(asked, _is_metadata),
        _from_imagefolder,
    ),
    "a folder of Markdown pages": (
        lambda asked: _holds(asked, lambda file: file.lower().endswith(".md")),
        _from_markdown,
    ),
    "a .jsonl file": (
        lambda asked: asked.path.suffix.lower() == ".jsonl" and asked.path.is_file(),
        _open_jsonl,
    ),
    "a .csv file": (
        lambda asked: asked.path.suffix.lower() == ".csv" and asked.path.is_file(),
        _open_csv,
    ),
}


def _why_not(asked: Asked) -> str:
    """What is there instead, and what may have been meant."""
    kinds = f"a source is {', '.join(KINDS)}"
    if not asked.source:
        return f"it is empty; {kinds}"
    path = asked.path
    if path.is_dir():
        held = sorted(p.name for p in path.iterdir() if p.suffix.lower() in (".jsonl", ".csv"))
        inside = [f"{asked.source.rstrip('/')}/{name}" for name in held[:3]]
        hint = f"; did you mean {' or '.join(map(repr, inside))}?" if inside else ""
        looked = f"no {RECORDS_FILE}, no {', no '.join(METADATA)} and no Markdown page"
        return f"the folder {path} holds {looked}{hint} ({kinds})"
    if path.exists():
        return f"a {path.suffix or 'nameless'} file is of no known kind; {kinds}"
    where = f"nothing is at {' or '.join(map(str, paths.places(asked.source)))}"
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = [str(path.with_name(n)) for n in difflib.get_close_matches(path.name, names, n=1)]
    scheme, colon, rest = asked.source.partition(":")
    if colon and difflib.get_close_matches(scheme.lower(), ["world"]):
        near.insert(0, f"world:{rest}")
    return f"{where}; did you mean {near[0]!r}? ({kinds})" if near else f"{where}; {kinds}"
