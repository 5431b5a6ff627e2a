"""Stanford Cars: the data set's own MATLAB files, read by field name, and names split into parts.

Krause et al., "3D object representations for fine-grained categorization" (2013). The order of the
fields in the files differs from the one that the development kit's text gives, so nothing is read
by position.
"""

import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from helpers import paths

META = "cars_meta.mat"
ANNOTATIONS = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
FOLDERS = {"train": "cars_train", "test": "cars_test"}
BOX = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
COLUMNS = (
    "file", "split", "class_id", "name", "make", "model", "body", "year", "x1", "y1", "x2", "y2",
)  # fmt: skip
# Makes of more than one word; every other make of a name is its first word.
LONG_MAKES = ("AM General", "Aston Martin", "Land Rover")
# The longest first: "Crew Cab" before "Cab", "Minivan" is no "Van".
BODIES = (
    "Extended Cab", "Regular Cab", "Crew Cab", "Quad Cab", "Club Cab", "SuperCab", "Convertible",
    "Hatchback", "Minivan", "Sedan", "Coupe", "Wagon", "SUV", "Van",
)  # fmt: skip
# What SciPy lets through on a damaged file, beside its own MatReadError.
UNREADABLE = (ValueError, TypeError, LookupError, OSError, NotImplementedError, zlib.error)


class CarsError(ValueError):
    """A file of the data set that is missing, or is not what it should be."""


class CarName(NamedTuple):
    """The parts of a class name; ``body`` is empty where the name has none ("Acura TL Type-S")."""

    make: str
    model: str
    body: str
    year: str


class Cars(NamedTuple):
    """The data set.

    ``images`` has a row an image, in the files' order, with the columns ``COLUMNS``: ``file`` such
    as ``cars_train/00001.jpg``, ``class_id`` from 1, the corners of its box in pixels. ``names``
    has that of class i + 1 at place i. ``missing`` are annotated images that are not in the folder;
    none are looked for where neither ``cars_train`` nor ``cars_test`` is there.
    """

    images: pd.DataFrame
    names: tuple[str, ...]
    missing: tuple[str, ...]


def read_cars(folder: Path | str) -> Cars:
    """Read the annotations of a folder, and look for the images beside them.

    ``cars_meta.mat`` and the annotations lie in the folder or in its ``devkit/``, images in
    ``cars_train/`` and ``cars_test/``. Raises ``CarsError`` if a file is missing or is no such
    file, or an annotation has no label, a class that does not exist, a name that leaves its folder,
    or a file that another one has.
    """
    folder = paths.find(folder)
    names = tuple(str(one.item()) for one in _read(_find(folder, META), "class_names"))
    parts = []
    for split, file in ANNOTATIONS.items():
        rows = _read(_find(folder, file), "annotations", (*BOX, "class", "fname"))
        parts += [
            _row(row, split, names, f"{file}, annotation {i}") for i, row in enumerate(rows, 1)
        ]
    images = pd.DataFrame(parts, columns=list(COLUMNS))
    if (twice := images["file"][images["file"].duplicated()]).size:
        raise CarsError(f"{twice.iloc[0]} is annotated twice in {folder}: keep one of them")
    looked = any((folder / name).is_dir() for name in FOLDERS.values())
    missing = [file for file in images["file"] if looked and not (folder / file).is_file()]
    return Cars(images, names, tuple(missing))


def split_name(name: str) -> CarName:
    """Make, model, body and year of a class name; ``CarsError`` if it lacks a model or a year.

    >>> split_name("AM General Hummer SUV 2000")
    CarName(make='AM General', model='Hummer', body='SUV', year='2000')
    """
    found = re.fullmatch(r"(\S.*\S)\s+((?:19|20)\d\d)", name.strip())
    if found is None:
        raise CarsError(f"{name!r} is no name of a car: it ends in no year such as 2012")
    rest, year = found.groups()
    make = next((m for m in LONG_MAKES if rest.startswith(f"{m} ")), rest.split()[0])
    model = rest.removeprefix(make).strip()
    body = next((b for b in BODIES if re.search(rf"(?:^|\s){b}$", model)), "")
    model = model.removesuffix(body).strip()
    if not model:
        raise CarsError(f"{name!r} has a make and a year, and no model between them")
    return CarName(make, model, body, year)


def _find(folder: Path, file: str) -> Path:
    for place in (folder / file, folder / "devkit" / file):
        if place.is_file():
            return place
    raise CarsError(
        f"{file} is neither in {folder} nor in its devkit/: data/README.md says where the data set "
        "is to be had and how its folder looks"
    )


def _read(place: Path, variable: str, fields: Iterable[str] = ()) -> list:
    """The entries of a variable of a file. Raises ``CarsError``."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(place)
    except (MatReadError, *UNREADABLE) as error:
        raise CarsError(f"{place.name} is no MATLAB file that can be read ({error})") from error
    if variable not in found:
        held = ", ".join(name for name in found if not name.startswith("__")) or "nothing"
        raise CarsError(f"{place.name} holds {held}, no {variable!r}: it is not the file it says")
    rows = found[variable].ravel()
    if missing := [name for name in fields if name not in (rows.dtype.names or ())]:
        hint = "; take cars_test_annos_withlabels.mat" if missing == ["class"] else ""
        raise CarsError(f"{place.name}: its annotations have no field {missing[0]!r}{hint}")
    return list(rows)


def _row(entry, split: str, names: tuple[str, ...], where: str) -> tuple:
    try:
        class_id, image = int(entry["class"].item()), str(entry["fname"].item())
        box = [int(entry[name].item()) for name in BOX]
    except (ValueError, TypeError, AttributeError) as error:
        raise CarsError(f"{where} has a field of no single value ({error})") from error
    if not 1 <= class_id <= len(names):
        raise CarsError(f"{where}: class {class_id} is not among 1 to {len(names)}")
    if not re.fullmatch(r"[\w-]+\.jpg", image):
        raise CarsError(f"{where}: {image!r} is no name of a picture such as 00001.jpg")
    name = names[class_id - 1]
    return (f"{FOLDERS[split]}/{image}", split, class_id, name, *split_name(name), *box)
