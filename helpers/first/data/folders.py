"""Sources that lie in a folder: records read from text files, images below the same folder."""

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from helpers.first import paths
from helpers.first.data.images import ImageError, load_image
from helpers.first.data.records import Recipe, Reject, printable
from helpers.first.repro import hash_of
from helpers.first.store.zones import KeyRefused, check_key

PICTURES = (
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm",
)  # fmt: skip


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
        if not inside(self.folder, place):
            raise ImageError(
                "a link that leads out of the records' folder; put the file itself there"
            )
        try:
            data = place.read_bytes()
        except OSError as error:
            raise ImageError(f"cannot be opened ({error.strerror})") from error
        return load_image(data)


def folder_source(
    asked: Asked, items: Iterable[Recipe | Reject], data: bytes, folder: Path, *, name: str
) -> FolderSource:
    """The source of some items; ``data`` is what they were read from, for the fingerprint."""
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


def image_path(folder: Path, key: str) -> Path | None:
    """The file of a key below ``folder`` or its ``images/``, or None; the name in either form."""
    forms = dict.fromkeys((key, *(unicodedata.normalize(form, key) for form in ("NFC", "NFD"))))
    places = (base / form for base in (folder, folder / "images") for form in forms)
    return next((place for place in places if place.is_file()), None)


def inside(folder: Path, place: Path) -> bool:
    """Whether a file truly lies below a folder, once links are followed."""
    return Path(os.path.realpath(place)).is_relative_to(os.path.realpath(folder))


def files_below(folder: Path) -> list[str]:
    """The relative posix paths of all files below a folder, sorted; hidden ones are left out."""
    found = []
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        start = Path(base).relative_to(folder)
        found += [(start / name).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)


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
