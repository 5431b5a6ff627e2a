"""Stanford Cars: the data set's own MATLAB files, read by field name, and names split into parts.

Krause et al., "3D object representations for fine-grained categorization" (2013). The order of the
fields in the files differs from the one that the development kit's text gives, so nothing is read
by position.
"""

import re
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, ValidationError

META = "cars_meta.mat"
ANNOTATIONS = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
# Makes of more than one word; every other make of a name is its first word.
LONG_MAKES = ("AM General", "Aston Martin", "Land Rover")
# The longest first: "Crew Cab" before "Cab", "Minivan" is no "Van".
BODIES = (
    "Extended Cab", "Regular Cab", "Crew Cab", "Quad Cab", "Club Cab", "SuperCab", "Convertible",
    "Hatchback", "Minivan", "Sedan", "Coupe", "Wagon", "SUV", "Van",
)  # fmt: skip


class CarsError(ValueError):
    """A file of the data set that is missing, or is not what it should be."""


class CarName(NamedTuple):
    """The parts of a class name; ``body`` is empty where the name has none ("Acura TL Type-S")."""

    make: str
    model: str
    body: str
    year: str


class Annotation(BaseModel):
    """An image, the number of its class from 1, and the corners of the car's box in pixels."""

    fname: str = Field(pattern=r"^[\w-]+\.jpg$")
    label: int = Field(alias="class", ge=1)
    bbox_x1: int
    bbox_y1: int
    bbox_x2: int
    bbox_y2: int


def read_cars(folder: Path) -> pd.DataFrame:
    """The annotations of a folder, a row an image, in the files' order.

    ``file`` such as ``cars_train/00001.jpg``, ``split``, ``class_id`` from 1, ``name``, its parts
    and the corners of the box. The ``.mat`` files lie in the folder or in its ``devkit/``. Raises
    ``CarsError`` if one is missing or is no such file, or an annotation has no label, a class that
    does not exist, a name that leaves its folder, or an image that another one has.
    """
    names, rows = [str(name) for name in _read(folder, META, "class_names")], []
    for split, file in ANNOTATIONS.items():
        for i, entry in enumerate(_read(folder, file, "annotations"), start=1):
            where = f"{file}, annotation {i}"
            if "class" not in entry:
                raise CarsError(
                    f"{where} has no field 'class'; take cars_test_annos_withlabels.mat"
                )
            try:
                one = Annotation.model_validate(entry)
            except ValidationError as error:
                wrong = error.errors()[0]
                raise CarsError(f"{where}: {wrong['loc'][0]}: {wrong['msg']}") from error
            if one.label > len(names):
                raise CarsError(f"{where}: class {one.label} is not among 1 to {len(names)}")
            name, box = names[one.label - 1], one.model_dump(exclude={"fname", "label"})
            about = {"file": f"cars_{split}/{one.fname}", "split": split, "class_id": one.label}
            rows.append({**about, "name": name, **split_name(name)._asdict(), **box})
    images = pd.DataFrame(rows)
    if (twice := images["file"][images["file"].duplicated()]).size:
        raise CarsError(f"{twice.iloc[0]} is annotated twice in {folder}: keep one of them")
    return images


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


def _read(folder: Path, file: str, variable: str) -> list:
    """The entries of a variable of a file of the data set. Raises ``CarsError``."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    place = next((p for p in (folder / file, folder / "devkit" / file) if p.is_file()), None)
    if place is None:
        raise CarsError(
            f"{file} is neither in {folder} nor in its devkit/: data/README.md says where the data "
            "set is to be had and how its folder looks"
        )
    try:
        found = loadmat(place, simplify_cells=True)
    except (  # what SciPy lets through on a damaged file, beside its own error
        MatReadError, ValueError, TypeError, LookupError, OSError, NotImplementedError, zlib.error,
    ) as error:  # fmt: skip
        raise CarsError(f"{file} is no MATLAB file that can be read ({error})") from error
    if variable not in found:
        raise CarsError(f"{file} holds no {variable!r}: it is not the file it says")
    return list(np.atleast_1d(found[variable]))
