"""Instance retrieval: classes of cars whose images and queries are split within each class.

Every class is on every side; what a side has for itself are images and queries (the protocol of
Stanford Cars: Krause et al. 2013, whose own split is kept). A split by class would ask for cars
that were never shown.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

from helpers import paths
from helpers.data.duplicates import near_duplicates
from helpers.data.images import FileRefused, ImageError, load_image, normalise, read_below
from helpers.data.records import Recipe
from helpers.data.sets import LazyImages, RetrievalSet
from helpers.data.sources import Source, open_source
from helpers.topics.cars.metadata import META, read_cars
from helpers.topics.cars.queries import classes_that_fit
from helpers.topics.cars.reading import FACTS, Car, cars_of

SIDES = ("train", "validation", "test")
GALLERY = 48  # classes that a query is ranked among: hit@K depends on their number
WORLD_SEED = 42  # of the drawn classes, whatever the lesson's seed is
LESSON_CLASSES = 384  # tiny-siglip-cars was pretrained on the classes behind them
IMAGE_SHARES = {"test": 0.5, "validation": 1 / 12}
QUERY_SHARES = {"test": 2 / 9, "validation": 1 / 9}
NEAR = "near-duplicate of a test image"
Load = Callable[[str], Image.Image]


@dataclass(frozen=True)
class Classes:
    """Classes of cars and their images, each image on one side.

    ``images`` has ``key``, ``car`` (its id) and ``split``, ``left_out`` has ``item`` (an image or a
    class) and ``reason``; ``load`` gives the image of a key.
    """

    name: str
    cars: tuple[Car, ...]
    images: pd.DataFrame
    load: Load
    left_out: pd.DataFrame

    @property
    def names(self) -> dict[str, str]:
        """Each class in words: make, model, body, year, and its age where it has one."""
        return {car.id: " ".join(car.metadata.values()) for car in self.cars}

    def examples(self, n: int = 3, *, each: int = 2) -> tuple[list[Image.Image], list[str]]:
        """Some images of each side of ``n`` classes, and what they are."""
        rows = self.images[self.images["car"].isin(list(self.names)[:n])]
        rows = rows.groupby(["car", "split"]).head(each).sort_values(["car", "split"])
        labels = [f"{self.names[one.car]} ({one.split})" for one in rows.itertuples()]
        return [self.load(key) for key in rows["key"]], labels

    @property
    def sentence(self) -> str:
        """How many classes and images there are, and what was left out and why."""
        why = ", ".join(sorted(set(self.left_out["reason"]))[:3])
        return (
            f"{len(self.cars)} classes with {len(self.images):,} images of {self.name}; "
            f"{len(self.left_out)} images or classes were left out{f' ({why})' * bool(why)}."
        )

    @property
    def galleries(self) -> dict[str, int]:
        """The gallery of each class; classes that fill no gallery of 48 have none, unless all."""
        whole = len(self.cars) // GALLERY * GALLERY or len(self.cars)
        return {car.id: i // GALLERY for i, car in enumerate(self.cars[:whole])}

    def sets(self, texts: pd.DataFrame) -> dict[str, RetrievalSet]:
        """The images and texts of each side; ``texts`` has ``car``, ``caption`` and ``split``."""
        return {side: self._set(side, texts[texts["split"] == side]) for side in SIDES}

    def _set(self, side: str, texts: pd.DataFrame) -> RetrievalSet:
        images = self.images[self.images["split"] == side]
        galleries = None if side == "train" else self.galleries
        both = set(images["car"]) & set(texts["car"])
        both = both if galleries is None else both & set(galleries)
        if not both:
            raise ValueError(
                f"{self.name}: no class has an image and a query for {side}; give more images a "
                "class, or more queries (n_queries)"
            )
        images, texts = (one[one["car"].isin(both)] for one in (images, texts))
        return RetrievalSet(
            LazyImages(images["key"], self.load), images["car"].to_numpy(str),
            texts["caption"].tolist(), texts["car"].to_numpy(str), self.name, galleries,
        )  # fmt: skip


def open_classes(
    source: str, *, max_recipes: int = 0, image_px: int = 0, seed: int = 42, skip: int = 0
) -> Classes:
    """The classes of a source, with their images split by ``seed``.

    A source is ``world:garage`` with its options, a folder of Stanford Cars, or any other whose
    records have the attributes make, model, year and, where there is one, body. ``max_recipes`` 0
    takes all classes, of the garage those that no model of the course was pretrained on; images of
    files are made smaller to ``image_px``; ``skip`` leaves out the first images of each class of
    the garage. Raises ``ValueError`` if a record lacks an attribute, no class can be used, or more
    of the garage is wanted than was held out from pretraining.
    """
    if source.startswith("world:"):
        if max_recipes > LESSON_CLASSES:
            raise ValueError(
                f"max_recipes is {max_recipes}: tiny-siglip-cars was pretrained on the classes "
                f"from {LESSON_CLASSES} on; use at most so many"
            )
        opened = open_source(source, max_recipes=max_recipes or LESSON_CLASSES, seed=WORLD_SEED)
        images = _images_of(opened, source)
        images = images.groupby("car").tail(-skip) if skip else images
        return _split(opened.name, images, opened.load_image, seed)
    folder = paths.find(source)
    if any((place / META).is_file() for place in (folder, folder / "devkit")):
        images = read_cars(folder).rename(columns={"file": "key"})
        images = images.assign(car=[f"car-{i:03d}" for i in images["class_id"]])
        chosen = sorted(images["car"].unique())[: max_recipes or None]
        images = images[images["car"].isin(chosen)].sort_values("car", kind="stable")
        name, load = folder.name, lambda key: load_image(read_below(folder, key))
    else:
        opened = open_source(source, max_recipes=max_recipes, seed=seed)
        name, images, load = opened.name, _images_of(opened, source), opened.load_image

    def smaller(key: str) -> Image.Image:
        return normalise(load(key), image_px=image_px) if image_px else load(key)

    return _split(name, images, smaller, seed, look=True)


def _images_of(opened: Source, source: str) -> pd.DataFrame:
    """The images of the records of a source, with the facts of their classes."""
    rows = []
    for recipe in (one for one in opened.recipes() if isinstance(one, Recipe)):
        known = {name: recipe.attributes.get(name, "") for name in FACTS[:4]}
        if lacking := [name for name in ("make", "model", "year") if not known[name]]:
            raise ValueError(
                f"{source}: record {recipe.recipe_id!r} has no attribute {lacking[0]!r}; queries "
                "are written from make, model, body and year"
            )
        rows += [{"key": key, "car": recipe.recipe_id, **known} for key in recipe.images]
    return pd.DataFrame(rows, columns=["key", "car", *FACTS[:4]])


def _split(
    name: str, images: pd.DataFrame, load: Load, seed: int, *, look: bool = False
) -> Classes:
    """``look``: open each image first, leave out what cannot be, and what shows a test image."""
    left, hashes, facts = [], {}, images.drop_duplicates("car").rename(columns={"car": "id"})
    for key in images["key"] if look else ():
        try:
            hashes[key] = hashlib.sha256(load(key).tobytes()).hexdigest()
        except (FileRefused, ImageError, KeyError) as error:
            left.append((key, str(error)))
    images = images[~images["key"].isin([key for key, _ in left])]
    sides = split_images(images, seed=seed, fixed=images.get("split"))
    images = images[["key", "car"]].assign(split=sides)
    if look:
        known = images.assign(hash=images["key"].map(hashes))
        known = known.rename(columns={"key": "image_key", "car": "recipe_id"})
        near, side = near_duplicates(known, load), images.set_index("key")["split"]
        pairs = near[["image_a", "image_b"]].to_numpy()
        lost = {a if side[b] == "test" else b for a, b in pairs
                if (side[a] == "test") != (side[b] == "test")}  # fmt: skip
        left += [(key, NEAR) for key in sorted(lost)]
        images = images[~images["key"].isin(lost)]
    shown = images.groupby("car")["split"].agg(set)
    short = [one for one in facts["id"] if not {"train", "test"} <= shown.get(one, set())]
    left += [(one, "no image for training, or none for the test") for one in short]
    cars = cars_of(facts[~facts["id"].isin(short)].to_dict("records"))
    if len(cars) < 2:
        raise ValueError(
            f"{name}: {len(cars)} classes can be used; give at least two of several images"
        )
    images = images[~images["car"].isin(short)].reset_index(drop=True)
    return Classes(name, tuple(cars), images, load, pd.DataFrame(left, columns=["item", "reason"]))


def split_images(images: pd.DataFrame, *, seed: int, fixed: pd.Series | None = None) -> pd.Series:
    """The side of each image (``key``, ``car``): shares of each class, at least one a side.

    ``fixed`` is a split into train and test that is given: only validation is cut from its train
    side.
    """
    sides = pd.Series("train", index=images.index) if fixed is None else fixed.copy()
    order = images["key"].map(lambda key: _order(seed, key))
    for _, own in order.groupby(images["car"]):
        free = own.sort_values().index
        if fixed is not None:
            free = free[fixed[free] == "train"]
        for side, share in IMAGE_SHARES.items():
            if side == "test" and fixed is not None:
                continue
            n = min(max(1, round(share * len(own))), len(free) - 1)  # one stays for training
            sides[free[: max(n, 0)]], free = side, free[max(n, 0) :]
    return sides


def split_queries(queries: pd.DataFrame, classes: Classes, *, seed: int) -> pd.DataFrame:
    """Queries as texts with a side: ``car, caption, split``, a row for each class that one fits.

    Equal texts are on one side. A text that fits two classes of one gallery is for training: as a
    query it would have two right answers. Any other goes where its hash says; where a class is
    then without a text for a side, the next of its own texts moves there.
    """
    texts, galleries = classes_that_fit(queries, classes.cars), classes.galleries
    text, gallery = texts["caption"].str.lower(), texts["car"].map(galleries)
    twice = pd.DataFrame({"text": text, "gallery": gallery}).dropna().duplicated()
    twice = twice.reindex(texts.index, fill_value=False)
    alone = ~twice.groupby(text).any() & gallery.notna().groupby(text).all()
    place = {one: int(_order(seed, one)[:12], 16) / 16**12 for one in alone.index}
    bounds = dict(zip(QUERY_SHARES, np.cumsum([*QUERY_SHARES.values()]), strict=True))
    sides = {
        one: next((s for s, b in bounds.items() if alone[one] and x < b), "train")
        for one, x in place.items()
    }
    for own in text.groupby(texts["car"]).unique():
        order = sorted(own, key=place.__getitem__)
        for side in (*QUERY_SHARES, "train"):
            held = [sides[one] for one in order]
            if side not in held:
                spare = [one for one in order if alone[one] and held.count(sides[one]) > 1]
                sides |= dict.fromkeys(spare[:1], side)
    return texts.assign(split=text.map(sides))


def _order(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
