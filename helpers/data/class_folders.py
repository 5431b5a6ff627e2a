"""A folder of images without a table, sorted into folders whose names say what they show.

That is how image classification keeps its data: ``soup/1.jpg``, or ``train/soup/1.jpg``. The name
of an image's folder is its caption.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator

from helpers.data.records import Caption, Recipe
from helpers.data.texts import text_problem

# Names that say what a folder is for, not what its images show.
USES = frozenset((
    "train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval",
    "image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "data",
    "dataset", "static", "content", "media", "assets", "upload", "uploads", "files",
))  # fmt: skip


def class_of(file: str) -> str:
    """The name of a file's folder in words; empty where it lies in none, or in one for a use.

    >>> class_of("train/apple_pie/7.jpg"), class_of("photos/7.jpg"), class_of("7.jpg")
    ('apple pie', '', '')
    """
    folder = posixpath.basename(posixpath.dirname(file))
    words = " ".join(re.sub(r"[_+]|(?<=\w)-(?=\w)", " ", folder).split())
    return "" if words.lower() in USES or text_problem(words) else words


def are_classes(pictures: Iterable[str]) -> bool:
    """Whether pictures lie in folders of at least two classes."""
    return len({class_of(file) for file in pictures} - {""}) > 1


def read_class_folders(pictures: Iterable[str]) -> Iterator[Recipe]:
    """A recipe for each class, with all its pictures; pictures outside of a class give none.

    Not one for each picture: a caption that several recipes have would have several right answers
    of which one counts.
    """
    classes: dict[str, list[str]] = {}
    for file in pictures:
        if name := class_of(file):
            classes.setdefault(name, []).append(file)
    for name, files in classes.items():
        folder = posixpath.dirname(files[0])
        yield Recipe(name, "", tuple(files), (Caption(name),), file=folder)
