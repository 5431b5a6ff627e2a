"""Folders of images from outside the drawn world: read safely, sampled, paired by file stem.

Nothing is said about them but their files: no recipe, no caption. A file that cannot be used is
named with the reason, never dropped in silence.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from helpers import paths
from helpers.data.sources import IMAGE_FILES, files_below
from helpers.data.images import FileRefused, read_below
from helpers.data.images import ImageError, load_image, normalise
from helpers.data.records import Reject
from helpers.data.records import printable
from helpers.repro import hash_of

Taken = dict[str, tuple[Image.Image, str]]  # stem to picture and hash of its file


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Images of a folder.

    Attributes
    ----------
    folder : str
        As it was given.
    images : tuple of PIL.Image.Image
        RGB squares of at most ``image_px``.
    stems : tuple of str
        The path of each below the folder, without its ending: ``set1/0007``.
    rejects : tuple of Reject
        Files that were not taken, and why.
    n_files : int
        All files that lie below the folder, hidden ones aside.
    fingerprint : str
        A hash of the chosen images' names and bytes, and of how they were made square.
    """

    folder: str
    images: tuple[Image.Image, ...]
    stems: tuple[str, ...]
    rejects: tuple[Reject, ...]
    n_files: int
    fingerprint: str


@dataclass(frozen=True, eq=False)
class FolderPair:
    """Two folders; where ``paired``, image i of one belongs to image i of the other.

    ``groups_a`` and ``groups_b`` are what measures resample by: the same label on both sides for a
    pair, and labels that never meet where there are no pairs.
    """

    a: ImageFolder
    b: ImageFolder
    paired: bool

    @property
    def px(self) -> int:
        """The smallest side of all images: the size at which their pixels can be compared."""
        return min(min(image.size) for image in (*self.a.images, *self.b.images))

    @property
    def groups_a(self) -> tuple[str, ...]:
        return self.a.stems if self.paired else tuple(f"a/{stem}" for stem in self.a.stems)

    @property
    def groups_b(self) -> tuple[str, ...]:
        return self.b.stems if self.paired else tuple(f"b/{stem}" for stem in self.b.stems)


def open_image_folder(
    folder: str | Path,
    *,
    max_images: int = 0,
    seed: int = 42,
    image_px: int = 224,
    fit: str = "crop",
    stems: Collection[str] | None = None,
) -> ImageFolder:
    """Read the images below a folder.

    Parameters
    ----------
    folder : str or Path
        A relative one is under the course's root, or where Python runs.
    max_images : int
        0: all. Otherwise at most so many, drawn at random but always the same for a seed.
    seed : int
    image_px, fit
        See :func:`helpers.data.images.normalise`; small images stay small.
    stems : collection of str, optional
        Only these.

    Raises
    ------
    ValueError
        If there is no such folder, or no image in it can be used.

    Examples
    --------
    >>> opened = open_image_folder("photos", max_images=200)  # doctest: +SKIP
    """
    if max_images < 0:
        raise ValueError(f"max_images is {max_images}; use 0 for all images, or a count")
    root = _root(folder)
    found, rejects, n_files = _listed(root)
    chosen = sorted(found if stems is None else set(found) & set(stems), key=_order(seed))
    taken: Taken = {}
    for stem in chosen:
        if max_images and len(taken) == max_images:
            break
        try:
            taken[stem] = _read(root, found[stem], image_px=image_px, fit=fit)
        except ImageError as error:
            rejects.append(_reject(found[stem], str(error), "image"))
    return _folder(folder, taken, rejects, n_files, how=[image_px, fit])


def open_folder_pair(
    a: str | Path,
    b: str | Path,
    *,
    max_images: int = 0,
    seed: int = 42,
    image_px: int = 224,
    fit: str = "crop",
) -> FolderPair:
    """Read two folders; where at least half of the smaller one's stems match, as pairs.

    Paired, only images whose stem is on both sides and both good are kept; the others are named
    among the rejects, an image with a bad twin by that twin alone. Otherwise each folder is sampled
    by itself.

    Raises
    ------
    ValueError
        As :func:`open_image_folder`.
    """
    listed = [_listed(_root(folder)) for folder in (a, b)]
    shared = set(listed[0][0]) & set(listed[1][0])
    if not shared or 2 * len(shared) < min(len(found) for found, _, _ in listed):
        settings = {"max_images": max_images, "seed": seed, "image_px": image_px, "fit": fit}
        return FolderPair(*(open_image_folder(x, **settings) for x in (a, b)), paired=False)
    for (found, rejects, _), other in zip(listed, (b, a), strict=True):
        alone = sorted(set(found) - shared)
        rejects += [_reject(found[stem], f"no twin in {other}", "file") for stem in alone]
    sides: tuple[Taken, Taken] = ({}, {})
    for stem in sorted(shared, key=_order(seed)):
        if max_images and len(sides[0]) == max_images:
            break
        twins = []
        for folder, (found, rejects, _) in zip((a, b), listed, strict=True):
            try:
                twins.append(_read(_root(folder), found[stem], image_px=image_px, fit=fit))
            except ImageError as error:
                rejects.append(_reject(found[stem], str(error), "image"))
        if len(twins) == 2:
            sides[0][stem], sides[1][stem] = twins
    opened = [
        _folder(folder, taken, rejects, n_files, how=[image_px, fit])
        for folder, taken, (_, rejects, n_files) in zip((a, b), sides, listed, strict=True)
    ]
    return FolderPair(*opened, paired=True)


def _folder(
    folder: str | Path, taken: Taken, rejects: list[Reject], n_files: int, *, how: list
) -> ImageFolder:
    if not taken:
        bad = [reject for reject in rejects if reject.kind == "image"]
        why = f"; the first of {len(bad)} refused: {bad[0].item}: {bad[0].reason}" if bad else ""
        raise ValueError(f"no usable image below {folder}{why}")
    names = sorted(taken)
    fingerprint = hash_of([[printable(stem), taken[stem][1]] for stem in names] + how)
    images = tuple(taken[stem][0] for stem in names)
    return ImageFolder(str(folder), images, tuple(names), tuple(rejects), n_files, fingerprint)


def _root(folder: str | Path) -> Path:
    root = paths.find(folder)
    if not root.is_dir():
        looked = " or ".join(map(str, paths.places(folder)))
        raise ValueError(f"no folder {folder} (looked for at {looked}); give one that holds images")
    return root


def _listed(root: Path) -> tuple[dict[str, str], list[Reject], int]:
    """Stem to file of every picture, what is no picture, and the number of all files."""
    found: dict[str, str] = {}
    rejects, files = [], files_below(root)
    for file in files:
        stem, dot, ending = file.rpartition(".")
        if f"{dot}{ending}".lower() not in IMAGE_FILES:
            rejects.append(_reject(file, "its name ends like no picture's", "file"))
        elif stem in found:
            rejects.append(_reject(file, f"{printable(found[stem])} has the same stem", "file"))
        else:
            found[stem] = file
    return found, rejects, len(files)


def _read(root: Path, file: str, *, image_px: int, fit: str) -> tuple[Image.Image, str]:
    """A square picture and the hash of its file. Raises ``ImageError``."""
    try:
        data = read_below(root, file, places=("",))
    except FileRefused as refused:
        raise ImageError(str(refused)) from refused
    square = normalise(load_image(data), image_px=image_px, fit=fit)
    return _not_blank(square), hashlib.sha256(data).hexdigest()


def _not_blank(image: Image.Image) -> Image.Image:
    if all(low == high for low, high in image.getextrema()):
        raise ImageError("one color only: there is nothing to measure")
    return image


def _order(seed: int):
    return lambda stem: hashlib.sha256(f"{seed}:{stem}".encode(errors="surrogateescape")).digest()


def _reject(file: str, reason: str, kind: str) -> Reject:
    return Reject(printable(file), 0, printable(file), reason, kind)
