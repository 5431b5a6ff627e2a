"""The one way to open a file that a data set names: below the data set's own folder, or not at all.

Tables, annotations and pages come from anywhere and may name anything: a file two folders up, a
whole path, an address on the web, a link that leads elsewhere. Every reader asks here.
"""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

MAX_BYTES = 200_000_000  # more than any picture of 50 megapixels
PLACES = ("", "images")  # where a table's pictures lie, below its folder


class FileRefused(ValueError):
    """A file that is not opened; the message is the reason that goes to the rejects."""


class FileMissing(FileRefused):
    """A file that may be opened, and is not there."""


def key_below(folder: Path, name: str) -> str:
    """A name as people write it, as a relative path with ``/``, where it can be one.

    Backslashes become ``/``, ``./`` goes, and a whole path loses the folder that it lies in. What
    lies elsewhere stays as it is: ``find_below`` refuses it.

    >>> key_below(Path("/data/dishes"), "photos\\\\7.jpg"), key_below(Path("/data"), "/data/7.jpg")
    ('photos/7.jpg', '7.jpg')
    """
    if "://" in name:
        return name
    if is_whole(name):
        try:
            given, real = Path(name), Path(os.path.realpath(name))
        except (OSError, ValueError):  # a name that no file can have
            return name
        tries = ((given, folder.absolute()), (real, Path(os.path.realpath(folder))))
        below = (path.relative_to(base) for path, base in tries if path.is_relative_to(base))
        return next(below, PurePosixPath(name)).as_posix()
    return "/".join(part for part in name.replace("\\", "/").split("/") if part != ".")


def find_below(folder: Path, name: str, *, places: Iterable[str] = PLACES) -> Path:
    """The file that a name means, below a folder.

    Parameters
    ----------
    folder : Path
    name : str
        As ``key_below`` takes it; in either of Unicode's forms NFC and NFD.
    places : iterable of str
        Folders below ``folder`` (empty: itself) in which it is looked for, in this order.

    Raises
    ------
    FileRefused
        If it is an address, lies outside the folder (also through a link) or is no plain name;
        ``FileMissing`` if it is not there.
    """
    key = key_below(folder, name)
    if reason := _why_refused(key):
        raise FileRefused(reason)
    forms = dict.fromkeys((key, *(unicodedata.normalize(form, key) for form in ("NFC", "NFD"))))
    bases = [folder / place for place in places]
    tried = [base / form for base in bases for form in forms]
    for place in tried:
        if _is_file(place):
            if not inside(folder, place):
                raise FileRefused(
                    f"a link that leads out of the folder {folder.name}/; put the file itself there"
                )
            return place
    if any(os.path.lexists(place) for place in tried if "\0" not in key):
        raise FileRefused("no regular file")
    looked = " or ".join(f"{'/'.join(filter(None, (folder.name, place)))}/" for place in places)
    raise FileMissing(f"no such file in {looked}")


def read_below(folder: Path, name: str, *, places: Iterable[str] = PLACES) -> bytes:
    """The bytes of a file below a folder. Raises ``FileRefused``."""
    place = find_below(folder, name, places=places)
    try:
        if (size := place.stat().st_size) > MAX_BYTES:
            raise FileRefused(f"has {size:,} bytes, more than {MAX_BYTES:,}")
        return place.read_bytes()
    except OSError as error:
        raise FileRefused(f"cannot be opened ({error.strerror})") from error


def inside(folder: Path, place: Path) -> bool:
    """Whether a file truly lies below a folder, once links are followed."""
    return Path(os.path.realpath(place)).is_relative_to(os.path.realpath(folder))


def is_whole(name: str) -> bool:
    """Whether a name starts at a root or a drive, of any system."""
    return name.startswith("/") or bool(PureWindowsPath(name).drive or PureWindowsPath(name).root)


def _why_refused(key: str) -> str:
    """Why a key is not even looked for; empty: it is."""
    first, *_ = parts = key.split("/")
    if "://" in key:
        return (
            "is an address on the web, and nothing is fetched here: download the pictures and name "
            "the files"
        )
    if is_whole(key) or ":" in first or ".." in parts:
        return "lies outside the folder of the data: copy the file into it and name it from there"
    if any(part in ("", ".") for part in parts):
        return "is not the name of a file"
    return ""


def _is_file(place: Path) -> bool:
    try:
        return place.is_file()
    except (OSError, ValueError):  # a name that is too long, or no name at all
        return False
