"""Where triplets come from: the drawn world, or a folder with a benchmark's annotations and images.

One shape for all: three sets that share no reference, a picture and a hash for every id, and, where
it is known, the truth.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import paths
from helpers.data.images import (
    FileRefused,
    ImageError,
    find_below,
    load_image,
    normalise,
    read_below,
)
from helpers.first.data.composed_benchmarks import CATEGORIES, read_circo, read_cirr, read_fashioniq
from helpers.first.data.present_pictures import keep_pictured, left_out, left_out_sentence
from helpers.repro import hash_of, sha256_file
from helpers.topics.cir.triplets import Triplet, TripletError, TripletSet
from helpers.world import open_world
from helpers.world.car_changes import composed_cars
from helpers.world.changes import ComposedWorld, composed_world

KINDS = ("world", "fashioniq", "cirr", "circo")
DEFAULT = "world:kitchen"
IMAGES = "images"
COCO = ("COCO2017_unlabeled", "unlabeled2017")  # below the folder: where CIRCO's images lie
NO_TRIPLETS = (
    f"{{source}} has no triplets: all of this lesson is about {DEFAULT} in its place, and none of its "
    "numbers are about your data"
)


@dataclass(frozen=True)
class ComposedSource:
    """Triplets for training, validation and test, with their pictures.

    Attributes
    ----------
    name : str
    sets : mapping of TripletSet
        ``train``, ``validation`` and ``test``.
    load_image : callable
        An id to its picture.
    image_hash : callable
        An id to a hash of the picture's content.
    truth : ComposedWorld, optional
        What every picture shows; None for photographs.
    left_out : str
        How much has no picture, or that another source had to be taken, in a sentence; empty:
        nothing. The sets' ``rejects`` name all that has no picture.
    """

    name: str
    sets: Mapping[str, TripletSet]
    load_image: Callable[[str], Image.Image]
    image_hash: Callable[[str], str]
    truth: ComposedWorld | None = field(default=None, repr=False)
    left_out: str = ""

    @property
    def fingerprint(self) -> str:
        """Of the triplets and their pictures, or of the world that drew these."""
        if self.truth is not None:
            return self.truth.fingerprint
        triplets = [t for one in self.sets.values() for t in one.triplets]
        told = [[t.pair_id, t.reference, *t.targets, t.caption] for t in triplets]
        shown = dict.fromkeys(name for t in triplets for name in (t.reference, *t.targets))
        return hash_of([told, [self.image_hash(name) for name in shown]])

    def unlike(self, triplet: Triplet) -> str:
        """A picture that is not asked for: the drawn look-alike, one of CIRR's subset, or the
        reference."""
        if self.truth is not None:
            return f"{triplet.pair_id}-other"
        others = (name for name in triplet.subset if name not in triplet.targets)
        return next(others, triplet.reference)

    def unknown(self, what: str) -> str:
        """The sentence that says what is left out for want of a known truth."""
        return f"Left out, as nobody has written down what the photographs show: {what}."


def open_composed(
    source: str, *, counts: Mapping[str, int], seed: int = 42, image_px: int = 512
) -> ComposedSource:
    """Open a source of triplets.

    Parameters
    ----------
    source : str
        ``world:kitchen`` (with its options), ``world:garage`` (a test set alone),
        ``cirr:<folder>``, ``circo:<folder>`` (a test set alone), or ``fashioniq:<folder>`` with a
        category, such as ``fashioniq:data/fashioniq#dress``. A folder holds the annotations of
        ``train`` and ``val`` and its pictures below ``images``; what has no picture is left out.
        In the place of what has no triplets (a file or folder of recipes, ``world:general``) the
        kitchen is opened, and ``left_out`` says so: the whole course runs on one source.
    counts : mapping of int
        Triplets of ``train``, ``validation`` and ``test``; 0: all there are. The world draws
        them. Of a benchmark ``val`` is what is tested, and validation takes whole groups of
        ``train``: a tenth, or as many as asked for.
    seed : int
    image_px : int
        Pictures of a folder are made this large, in pixels.

    Raises
    ------
    TripletError
        If the source is unknown, its files are missing or broken, or no triplet has its pictures.

    Examples
    --------
    >>> found = open_composed("world:kitchen", counts={"train": 2, "validation": 1, "test": 1})
    >>> len(found.sets["train"].triplets)
    2
    """
    kind, _, place = source.partition(":")
    if place.partition("?")[0] == "general" or _is_recipes(source):
        drawn = open_composed(DEFAULT, counts=counts, seed=seed, image_px=image_px)
        return replace(drawn, left_out=NO_TRIPLETS.format(source=source))
    if kind not in KINDS or not place.partition("#")[0]:
        raise TripletError(
            f"unknown source of triplets {source!r}: use world:kitchen, cirr:<folder>, "
            "circo:<folder> or fashioniq:<folder>#<category>"
        )
    if kind == "world" and place.startswith("garage"):
        world = open_world(place, n_recipes=counts.get("test", 0), seed=seed)
        cars = composed_cars(world, n_triplets=counts.get("test", 0), seed=seed)
        return _of_world(source, cars)
    if kind == "world":
        if not all(counts.get(name, 0) > 0 for name in ("train", "validation", "test")):
            raise TripletError(f"{source} draws as many triplets as it is asked for: {counts}")
        world = open_world(place, n_recipes=sum(counts.values()), seed=seed)
        return _of_world(source, composed_world(world, counts=counts, seed=seed))
    place, _, category = place.partition("#")
    folder = paths.find(place)
    if kind in ("cirr", "circo") and category:
        raise TripletError(f"{source}: {kind.upper()} has no categories; write {kind}:{place}")
    if kind == "circo":
        if counts.get("train", 0):
            raise TripletError(
                f"{source}: CIRCO has no training triplets, only a test set; test on it with "
                f"-p transfer={source}"
            )
        images = folder.joinpath(*COCO)
        images = images if images.is_dir() else folder / IMAGES
        return _of_folder(source, images, None, read_circo(folder), counts, seed, image_px)
    if kind == "fashioniq" and category not in ("", *CATEGORIES):
        known = " or ".join(f"#{one}" for one in CATEGORIES)
        raise TripletError(f"{source}: FashionIQ has no {category!r}; end it in {known}")
    if kind == "fashioniq":
        options = {"category": category or CATEGORIES[0]}
        train, test = (read_fashioniq(folder, split=s, **options) for s in ("train", "val"))
    else:
        train, test = (read_cirr(folder, split=s) for s in ("train", "val"))
    return _of_folder(source, folder / IMAGES, train, test, counts, seed, image_px)


def take(triplets: TripletSet, n: int, *, seed: int) -> TripletSet:
    """``n`` triplets that a seed draws over the same gallery; the smaller part is in the larger.

    Parameters
    ----------
    n : int
        0: all, as they are.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    if n == 0:
        return triplets
    if not 0 < n <= len(triplets.triplets):
        raise ValueError(
            f"{n} triplets are asked for and there are {len(triplets.triplets)}: 0 for all"
        )
    chosen = np.sort(np.random.default_rng([seed, 7]).permutation(len(triplets.triplets))[:n])
    return replace(triplets, triplets=tuple(triplets.triplets[i] for i in chosen))


def split_groups(
    triplets: Sequence[Triplet], n: int, *, seed: int
) -> tuple[tuple[Triplet, ...], tuple[Triplet, ...]]:
    """All but about ``n`` triplets, and the rest; queries of one group stay together."""
    groups = list(dict.fromkeys(one.group for one in triplets))
    order = np.random.default_rng([seed, 6]).permutation(len(groups))
    sizes = dict.fromkeys(groups, 0)
    for one in triplets:
        sizes[one.group] += 1
    aside: set[str] = set()
    taken = 0
    for i in order:
        if taken >= n:
            break
        aside.add(groups[i])
        taken += sizes[groups[i]]
    kept = tuple(one for one in triplets if one.group not in aside)
    return kept, tuple(one for one in triplets if one.group in aside)


def _is_recipes(source: str) -> bool:
    kind = source.partition(":")[0]
    return kind not in KINDS and paths.find(source).exists()


def _of_folder(
    name: str,
    images: Path,
    train: TripletSet | None,
    test: TripletSet,
    counts: Mapping[str, int],
    seed: int,
    image_px: int,
) -> ComposedSource:
    listed = {"train and validation": train, "test": test} if train else {"test": test}
    there = {label: keep_pictured(one, images) for label, one in listed.items()}
    gaps = [left_out(before, there[label], label) for label, before in listed.items()]
    test = there["test"]
    n_test = min(counts.get("test", 0), len(test.triplets))
    sets = {"test": take(test, n_test, seed=seed)}
    if train:
        train = there["train and validation"]
        held = counts.get("validation", 0) or max(1, len(train.triplets) // 10)
        kept, aside = split_groups(train.triplets, held, seed=seed)
        if not kept:
            raise TripletError(
                f"{name}: no triplet is left to train on; lower n_validation ({held})"
            )
        learned = replace(train, triplets=kept)
        some = take(learned, min(counts.get("train", 0), len(kept)), seed=seed)
        sets = {"train": some, "validation": replace(train, triplets=aside), **sets}
    files = {key: file for one in there.values() for key, file in one.files.items()}

    def picture(key: str) -> Image.Image:
        try:
            data = read_below(images, files[key], places=("",))
            return normalise(load_image(data), image_px=image_px)
        except (FileRefused, ImageError) as error:
            raise TripletError(
                f"picture {images / files[key]} cannot be read: {error}. Get it again, or delete "
                "it: what needs a missing picture is left out"
            ) from error

    hashed = cache(lambda key: sha256_file(find_below(images, files[key], places=("",))))
    return ComposedSource(test.name, sets, picture, hashed, left_out=left_out_sentence(gaps))


def _of_world(name: str, drawn: ComposedWorld) -> ComposedSource:
    kept = cache(drawn.load_image)  # 12 KB a picture, and several models look at each
    return ComposedSource(name, drawn.sets, kept, partial(_hash_of_drawn, drawn), drawn)


def _hash_of_drawn(drawn: ComposedWorld, name: str) -> str:
    one = drawn.shown[name]
    shown = sorted(one.attributes.items())
    return hash_of([drawn.world.fingerprint, shown, one.index, one.view])
