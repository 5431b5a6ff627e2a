"""A user's own arrivals: a folder of images, in order of their time, beside known ones."""

from pathlib import Path

import numpy as np
from PIL import Image

from helpers import paths
from helpers.data.images import ImageError, load_image
from helpers.data.pairs import open_pairs
from helpers.models.encoder import Encoder
from helpers.topics.drift.streams import Images, pixel_statistics

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def in_order(folder: Path) -> tuple[list[str], list[Image.Image], list[str]]:
    """The images below a folder, the oldest first (by name where times are equal).

    Returns
    -------
    list of str, list of images, list of str
        Names below the folder, the images, and the names of files that hold no readable image.

    Raises ``ValueError`` if not one can be read.
    """
    files = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES]
    names, images, unreadable = [], [], []
    for path in sorted(files, key=lambda one: (one.stat().st_mtime_ns, str(one))):
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


def embed_both(
    encoder: Encoder, source: str, arrivals: str, *, zone: str, seed: int
) -> tuple[Images, Images, list[str]]:
    """The known images of a source with a caption each, the arrivals, and files not readable.

    Queries that come with the arrivals are not known: captions of the source, drawn at random,
    stand for them, so that the signal of queries is silent.
    """
    names, images, unreadable = in_order(paths.find(arrivals))
    data = open_pairs(zone, source=source, seed=seed).part("all")
    first = {item: i for i, item in reversed(list(enumerate(data.caption_items)))}
    rows = encoder.images(data.images)
    asked = encoder.texts(data.captions)[[first[item] for item in data.image_items]]
    known = Images(np.array(data.image_keys), rows, pixel_statistics(data.images), asked)
    numbers = np.random.default_rng(seed).integers(len(asked), size=len(images))
    new = Images(np.array(names), encoder.images(images), pixel_statistics(images), asked[numbers])
    return known, new, unreadable
