"""Where records come from: the drawn world, a folder with ``recipes.jsonl``, a JSONL file, a CSV.

A source gives recipes and rejects, and loads images by the keys that its recipes name. To add a
kind, write a function from ``Asked`` to a source and add its line to ``KINDS``.
"""

import difflib
import hashlib
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from helpers import paths
from helpers.data.csv_pairs import read_pairs_csv
from helpers.data.images import ImageError, load_image
from helpers.data.records import Recipe, Reject, printable, read_recipes_jsonl
from helpers.repro import hash_of
from helpers.store.zones import KeyRefused, check_key

RECORDS_FILE = "recipes.jsonl"


class Source(Protocol):
    """What every kind of source offers."""

    name: str
    fingerprint: str

    def recipes(self) -> Iterator[Recipe | Reject]:
        """The records in their order, and what was not taken where it stood."""

    def load_image(self, key: str) -> Image.Image:
        """The image that a recipe names. Raises ``ImageError``."""


@dataclass(frozen=True)
class Asked:
    """What the caller of ``open_source`` asked for."""

    source: str
    max_recipes: int
    seed: int

    @property
    def path(self) -> Path:
        """The file or folder; a relative one is under the course's root, or where Python runs."""
        given = Path(self.source).expanduser()
        under_root = paths.root() / given  # an absolute path stays as it is
        return under_root if under_root.exists() or not given.exists() else given.absolute()


@dataclass(frozen=True)
class FolderSource:
    """Records that were read from a file, with the images below its folder.

    ``fingerprint`` covers the records' bytes, and each named image's size and time of change.
    """

    name: str
    fingerprint: str
    items: tuple[Recipe | Reject, ...]
    folder: Path

    def recipes(self) -> Iterator[Recipe | Reject]:
        """The records in the order of the file, each after what was rejected in it."""
        return iter(self.items)

    def load_image(self, key: str) -> Image.Image:
        """The image of a key. Raises ``ImageError``."""
        try:
            check_key(unicodedata.normalize("NFC", key))
        except KeyRefused as error:
            raise ImageError(f"not a file below the records' folder: {error}") from error
        place = image_path(self.folder, key)
        if place is None:
            raise ImageError(f"no such file in {self.folder.name}/ or {self.folder.name}/images/")
        try:
            data = place.read_bytes()
        except OSError as error:
            raise ImageError(f"cannot be opened ({error.strerror})") from error
        return load_image(data)


def open_source(source: str, *, max_recipes: int = 0, seed: int = 42) -> Source:
    """Open a source of recipes and images.

    Parameters
    ----------
    source : str
        ``world:<domain>``; a folder that holds ``recipes.jsonl``; a ``.jsonl`` file; a ``.csv``
        file with the columns ``image`` and ``caption``, and ``recipe_id`` where a recipe has
        several images. Image keys are relative to the file or to ``images/`` beside it.
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
    for fits, opener in KINDS.values():
        if fits(asked):
            return opener(asked)
    raise ValueError(f"source {source!r}: {_why_not(asked)}")


def image_path(folder: Path, key: str) -> Path | None:
    """The file of a key below ``folder`` or its ``images/``, or None; the name in either form."""
    forms = dict.fromkeys((key, *(unicodedata.normalize(form, key) for form in ("NFC", "NFD"))))
    places = (base / form for base in (folder, folder / "images") for form in forms)
    return next((place for place in places if place.is_file()), None)


def _open_world(asked: Asked) -> Source:
    from helpers.data.world import open_world

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
    return _folder_source(asked, items, data, asked.path.parent, name=asked.path.stem)


def _from_records(asked: Asked, records: Path, *, name: str) -> FolderSource:
    data = records.read_bytes()
    text = data.decode("utf-8", errors="surrogateescape")
    items = read_recipes_jsonl(text, records.name)
    return _folder_source(asked, items, data, records.parent, name=name)


def _folder_source(
    asked: Asked, items: Iterator[Recipe | Reject], data: bytes, folder: Path, *, name: str
) -> FolderSource:
    kept = tuple(_chosen(list(items), asked))
    keys = sorted({key for item in kept if isinstance(item, Recipe) for key in item.images})
    fingerprint = hash_of(
        [
            hashlib.sha256(data).hexdigest(),
            asked.max_recipes,
            asked.seed if asked.max_recipes else 0,
            [[printable(key), *_look(folder, key)] for key in keys],
        ]
    )
    return FolderSource(name, fingerprint, kept, folder)


def _look(folder: Path, key: str) -> tuple[int, int]:
    """Size and time of change of an image; (-1, -1) for none, and for a key that is refused."""
    try:
        check_key(unicodedata.normalize("NFC", key))
    except KeyRefused:
        return -1, -1
    place = image_path(folder, key)
    if place is None:
        return -1, -1
    status = place.stat()
    return status.st_size, status.st_mtime_ns


def _chosen(items: list[Recipe | Reject], asked: Asked) -> list[Recipe | Reject]:
    """All rejects, and ``max_recipes`` of the recipes by a hash of seed and id; the order stays."""

    def order(recipe_id: str) -> str:
        return hashlib.sha256(f"{asked.seed}:max_recipes:{recipe_id}".encode()).hexdigest()

    ids = {item.recipe_id for item in items if isinstance(item, Recipe)}
    if not asked.max_recipes or len(ids) <= asked.max_recipes:
        return items
    chosen = set(sorted(ids, key=order)[: asked.max_recipes])
    return [item for item in items if isinstance(item, Reject) or item.recipe_id in chosen]


KINDS: dict[str, tuple[Callable[[Asked], bool], Callable[[Asked], Source]]] = {
    "world:<domain>": (lambda asked: asked.source.startswith("world:"), _open_world),
    f"a folder that holds {RECORDS_FILE}": (
        lambda asked: (asked.path / RECORDS_FILE).is_file(),
        _open_folder,
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
        return f"the folder {path} holds no {RECORDS_FILE}{hint} ({kinds})"
    if path.exists():
        return f"a {path.suffix or 'nameless'} file is of no known kind; {kinds}"
    where = f"nothing is at {path}"
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = [str(path.with_name(n)) for n in difflib.get_close_matches(path.name, names, n=1)]
    scheme, colon, rest = asked.source.partition(":")
    if colon and difflib.get_close_matches(scheme.lower(), ["world"]):
        near.insert(0, f"world:{rest}")
    return f"{where}; did you mean {near[0]!r}? ({kinds})" if near else f"{where}; {kinds}"
