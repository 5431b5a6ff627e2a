"""Sources that lie in a folder: records read from text files, images below the same folder."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from PIL import Image

from helpers import paths
from helpers.data.guard import FileRefused, find_below, key_below, read_below
from helpers.data.images import ImageError, load_image
from helpers.data.records import UNUSABLE, Recipe, Reject
from helpers.data.texts import printable
from helpers.repro import hash_of

PICTURES = (
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif",
    ".jp2", ".ppm",
)  # fmt: skip
RECORDS_FILE = "recipes.jsonl"
TABLES = (".csv", ".tsv")
RECORDS = (".jsonl", ".json")


@dataclass(frozen=True)
class Asked:
    """What the caller of ``open_source`` asked for."""

    source: str
    max_recipes: int
    seed: int

    @property
    def path(self) -> Path:
        """The file or folder; see ``paths.find`` for a relative one."""
        return paths.find(self.source)


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


def folder_source(
    asked: Asked,
    items: Iterable[Recipe | Reject],
    data: bytes,
    folder: Path,
    *,
    name: str,
    notes: Iterable[str] = (),
) -> FolderSource:
    """The source of some items; ``data`` is what they were read from, for the fingerprint.

    Raises ``ValueError`` if no record among them can be kept.
    """
    found = [_tidied(item, folder) for item in items]
    if not any(isinstance(item, Recipe) for item in found):
        rejects = [item for item in found if isinstance(item, Reject)]
        raise ValueError(nothing_kept(name, rejects))
    kept = tuple(_chosen(found, asked))
    keys = sorted({key for item in kept if isinstance(item, Recipe) for key in item.images})
    fingerprint = hash_of(
        [
            hashlib.sha256(data).hexdigest(),
            asked.max_recipes,
            asked.seed if asked.max_recipes else 0,
            [[printable(key), *_look(folder, key)] for key in keys],
        ]
    )
    return FolderSource(name, fingerprint, kept, folder, tuple(filter(None, notes)))


def nothing_kept(name: str, rejects: Sequence[Reject]) -> str:
    """Why a source gives nothing: each cause once, how often it occurs, and where first."""
    records = sum(reject.kind == "record" for reject in rejects)
    own = [r for r in rejects if r.kind in ("record", "image", "caption") and r.cause != UNUSABLE]
    causes = Counter(reject.cause for reject in own)
    first = {reject.cause: reject for reject in reversed(own)}
    told = [
        f"{n} times, first in {first[cause].place}: {first[cause].reason}"
        for cause, n in causes.most_common(3)
    ]
    return (
        f"source {name!r}: none of its {records} records can be kept ({'; '.join(told)})"
        if told
        else f"source {name!r} holds no record"
    )


def files_below(folder: Path) -> list[str]:
    """The relative posix paths of all files below a folder, sorted; hidden ones are left out."""
    found = []
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        start = Path(base).relative_to(folder)
        found += [(start / name).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)


def pictures_of(files: Iterable[str]) -> list[str]:
    """The files whose names end as those of images do."""
    return [file for file in files if file.lower().endswith(PICTURES)]


def tables_of(files: Iterable[str], *, known: Sequence[str] = ()) -> list[str]:
    """The files that may be a source by themselves: ``known`` names first, then the least deep."""
    found = [file for file in files if PurePosixPath(file).suffix.lower() in TABLES + RECORDS]
    return sorted(found, key=lambda f: (PurePosixPath(f).name not in known, f.count("/"), f))


def unnamed_pictures(
    files: Iterable[str], items: Iterable[Recipe | Reject], *, by: str
) -> Iterator[Reject]:
    """A reject of kind ``file`` for each picture that no record names, so that none is lost.

    ``by`` says what could have named it.
    """
    named = {
        form
        for item in items
        for key in (item.images if isinstance(item, Recipe) else [item.item])
        for form in (
            unicodedata.normalize("NFC", key),
            f"images/{unicodedata.normalize('NFC', key)}",
        )
    }
    for file in files:
        is_picture = file.lower().endswith(PICTURES)
        if is_picture and unicodedata.normalize("NFC", file) not in named:
            yield Reject(printable(file), 0, printable(file), f"no {by} names this picture", "file")


def _tidied(item: Recipe | Reject, folder: Path) -> Recipe | Reject:
    """The item with its images as keys below the folder."""
    if isinstance(item, Reject):
        return item
    keys = tuple(key_below(folder, key) for key in item.images)
    return item if keys == item.images else replace(item, images=keys)


def _look(folder: Path, key: str) -> tuple[int, int]:
    """Size and time of change of an image; (-1, -1) for none, and for one that is refused."""
    try:
        status = find_below(folder, key).stat()
    except (FileRefused, OSError):
        return -1, -1
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
