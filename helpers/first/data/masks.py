"""Drawn pictures with and without a watermark, and where the mark and the dish truly are.

The world draws a mark over a finished picture, so both versions are the same picture but for the
mark; masks come from the same drawing. No picture of the world is changed by asking.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from helpers.world import Drawing, World


@dataclass(frozen=True, eq=False)
class MarkedPictures:
    """Pictures of the drawn world, each in two versions, with their truth.

    Attributes
    ----------
    keys : tuple of str
        Image keys, such as ``kitchen-00007/1.jpg``.
    recipe_ids : tuple of str
        The recipe of each, for intervals.
    clean, marked : tuple of PIL.Image.Image
        Without and with a watermark.
    dish : (n, px, px) bool
        The dish with its plate.
    mark : (n, px, px) bool
        Every pixel that the watermark has changed.
    """

    keys: tuple[str, ...]
    recipe_ids: tuple[str, ...]
    clean: tuple[Image.Image, ...]
    marked: tuple[Image.Image, ...]
    dish: np.ndarray
    mark: np.ndarray

    @property
    def masks(self) -> dict[str, np.ndarray]:
        """Both masks under the names that figures use."""
        return {"watermark": self.mark, "dish": self.dish}


def marked_pictures(world: World, keys: Sequence[str]) -> MarkedPictures:
    """Draw pictures of a world with their watermarks and masks.

    Parameters
    ----------
    world : World
        Of any style; another style of the same recipes gives the same marks.
    keys : sequence of str

    Raises
    ------
    KeyError
        If the world has no such picture.
    ValueError
        If there is no key.

    Examples
    --------
    >>> from helpers.world import open_world
    >>> found = marked_pictures(open_world("kitchen", n_recipes=1), ["kitchen-00000/0.jpg"])
    >>> found.mark.shape, bool(found.mark.any())
    ((1, 64, 64), True)
    """
    if not keys:
        raise ValueError("marked_pictures: no key; give the keys of some pictures")
    clean = [masks(world, key, watermark=False) for key in keys]
    marked = [masks(world, key, watermark=True) for key in keys]
    return MarkedPictures(
        tuple(keys),
        tuple(key.rsplit("/", 1)[0] for key in keys),
        tuple(d.image for d in clean),
        tuple(d.image for d in marked),
        np.stack([d.subject for d in marked]),
        np.stack([d.watermark for d in marked]),
    )


def masks(world: World, key: str, *, watermark: bool = True) -> Drawing:
    """The picture of a key, drawn with or without its watermark, and both masks.

    Raises
    ------
    KeyError
        If the world has no such picture.
    """
    recipe_id, _, number = key.rpartition("/")
    tail = recipe_id.rpartition("-")[2]
    index = int(tail) if tail.isascii() and tail.isdigit() else -1
    if not 0 <= index < world.n_recipes or key not in world.recipe(index).images:
        raise KeyError(f"{key!r} is not a picture of {world.name} with {world.n_recipes} recipes")
    return world.draw(index, int(number.removesuffix(".jpg")), watermark=watermark)
