"""Retrieval sets: images and captions of some items, each once, with the item of each beside it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from helpers.evaluation.ranking import disjoint_galleries

WORLD = "helpers.world"  # opened by its name: nothing else of the course imports it


class LazyImages(Sequence):
    """Images that are opened when they are asked for, by a number or a slice."""

    def __init__(self, keys: Sequence[str], load: Callable[[str], Image.Image]):
        self.keys, self._load = tuple(keys), load

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return LazyImages(self.keys[index], self._load)
        return self._load(self.keys[index])

    def __iter__(self) -> Iterator[Image.Image]:
        return map(self._load, self.keys)


@dataclass(frozen=True)
class RetrievalSet:
    """Images and captions of some items (recipes, classes, products).

    Attributes
    ----------
    images : sequence of n PIL images
    image_items : (n,) str
        The item of each image.
    captions : sequence of m str
    caption_items : (m,) str
    name : str
        What results call the data.
    galleries : mapping of item to gallery, optional
        Where the items are searched in several disjoint galleries of one size.
    """

    images: Sequence[Image.Image]
    image_items: np.ndarray
    captions: Sequence[str]
    caption_items: np.ndarray
    name: str = ""
    galleries: dict[str, int] | None = field(default=None, repr=False)

    @property
    def image_keys(self) -> list[str]:
        """A name for each image."""
        return list(getattr(self.images, "keys", map(str, range(len(self.images)))))

    @property
    def items(self) -> list[str]:
        """The items, in order of their images."""
        return list(dict.fromkeys(self.image_items.tolist()))

    @cached_property
    def captions_of(self) -> dict[str, list[str]]:
        """The captions of each item."""
        captions = pd.Series(list(self.captions), dtype=object)
        return captions.groupby(self.caption_items, sort=False).agg(list).to_dict()

    def part(self, n_items: int) -> "RetrievalSet":
        """The first ``n_items`` items with their images and captions."""
        wanted = set(self.items[:n_items])
        images = [i for i, item in enumerate(self.image_items) if item in wanted]
        captions = [i for i, item in enumerate(self.caption_items) if item in wanted]
        chosen = LazyImages([str(i) for i in images], lambda key: self.images[int(key)])
        galleries = self.galleries and {i: g for i, g in self.galleries.items() if i in wanted}
        return RetrievalSet(
            chosen, self.image_items[images], [self.captions[i] for i in captions],
            self.caption_items[captions], self.name, galleries,
        )  # fmt: skip


def set_of(
    recipes: Sequence[Any], load: Callable[[str], Image.Image], *, name: str = "", gallery: int = 0
) -> RetrievalSet:
    """The set of some recipes; with ``gallery`` their items lie in galleries of that size."""
    images = [(key, one.recipe_id) for one in recipes for key in one.images]
    captions = [(one.recipe_id, c.text) for one in recipes for c in one.captions]
    keys, image_items = zip(*images, strict=True)
    caption_items, texts = zip(*dict.fromkeys(captions), strict=True)
    galleries = disjoint_galleries(image_items, gallery) if gallery else None
    return RetrievalSet(
        LazyImages(keys, load), np.array(image_items), list(texts), np.array(caption_items),
        name, galleries,
    )  # fmt: skip


def drawn_set(
    source: str, *, first: int, n: int, gallery: int = 0, seed: int = 42,
    unlike: Sequence[range] = (),
) -> RetrievalSet:  # fmt: skip
    """Recipes ``first`` to ``first + n`` of a procedurally generated domain.

    Every lesson tests on a range of its own, and trains on another.

    Parameters
    ----------
    source : str
        ``world:kitchen``, ``world:general`` or ``world:garage``, with its options.
    first, n : int
        The recipes; each is drawn from its number and the seed alone.
    gallery : int
        Items of a gallery; 0: one gallery.
    unlike : sequence of range
        Numbers of recipes of the same domain, such as those of the training. One with the very
        attributes of these is passed over, and the next number is taken in its place.
    """
    domain = source.removeprefix("world:")
    world = import_module(WORLD).open_world(domain, n_recipes=first + 2 * n, seed=seed)
    known = {str(world.attributes(index)) for part in unlike for index in part}
    new = (i for i in range(first, first + 2 * n) if str(world.attributes(i)) not in known)
    recipes = [world.recipe(index) for index in islice(new, n)]
    return set_of(recipes, world.load_image, name=world.name, gallery=gallery)


def drawn_sets(data: Mapping[str, Mapping[str, Any]]) -> dict[str, RetrievalSet]:
    """The sets that a design names: what :func:`drawn_set` takes, ``unlike`` as names of others."""
    sets = {}
    for name, about in data.items():
        others = [data[other] for other in about.get("unlike", ())]
        parts = [range(one["first"], one["first"] + one["n"]) for one in others]
        sets[name] = drawn_set(**{**about, "unlike": parts})
    return sets
