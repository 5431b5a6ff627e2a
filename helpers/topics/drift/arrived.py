"""A user's own arrivals: a folder of images, in order of their time or name, beside known ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from helpers import paths
from helpers.data.images import ImageError, load_image
from helpers.data.pairs import open_pairs
from helpers.models.encoder import Encoder
from helpers.topics.drift.streams import Images, pixel_statistics

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
ORDERS = ("time", "name")


def in_order(folder: Path, *, by: str = "time") -> tuple[list[str], list[Image.Image], list[str]]:
    """The images below a folder: the oldest first, by name where times are equal; or all by name.

    Returns
    -------
    list of str, list of images, list of str
        Names below the folder, the images, and the names of files that hold no readable image.

    Raises ``ValueError`` if not one can be read.
    """
    files = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES]
    times = {path: path.stat().st_mtime_ns if by == "time" else 0 for path in files}
    names, images, unreadable = [], [], []
    for path in sorted(files, key=lambda one: (times[one], str(one))):
        name = path.relative_to(folder).as_posix()
        try:
            images.append(load_image(path.read_bytes()))
            names.append(name)
        except (ImageError, OSError):
            unreadable.append(name)
    if not images:
        raise ValueError(
            f"arrivals {folder} holds no readable image ({len(unreadable)} files were tried): give "
            f"a folder of images ({', '.join(sorted(SUFFIXES))})"
        )
    return names, images, unreadable


def beside(
    known: Images, encoder: Any, names: Sequence[str], images: Sequence[Image.Image], *, seed: int
) -> Images:
    """Arrivals, embedded.

    Queries that come with them are not known: those of the known images, drawn at random, stand
    for them, so that the signal of queries is silent.
    """
    drawn = np.random.default_rng(seed).integers(len(known.captions), size=len(images))
    rows, pixels = encoder.images(images), pixel_statistics(images)
    return Images(np.array(names), rows, pixels, known.captions[drawn])


def embed_both(
    encoder: Encoder, source: str, arrivals: str, *, zone: str, seed: int
) -> tuple[Images, Images, list[str]]:
    """The known images of a source with a caption each, the arrivals, and files not readable."""
    names, images, unreadable = in_order(paths.find(arrivals))
    data = open_pairs(zone, source=source, seed=seed).part("all")
    first = {item: i for i, item in reversed(list(enumerate(data.caption_items)))}
    rows = encoder.images(data.images)
    asked = encoder.texts(data.captions)[[first[item] for item in data.image_items]]
    known = Images(np.array(data.image_keys), rows, pixel_statistics(data.images), asked)
    return known, beside(known, encoder, names, images, seed=seed), unreadable
