"""Positive pairs: every image of a recipe with every caption of it, split by recipe.

``ensure_pairs`` is the one call that lessons share: it brings a source into the trusted zone,
pairs, splits and writes, or finds all of that done.
"""

import csv
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO, StringIO

import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from helpers.data import sets
from helpers.data.duplicates import between_recipes, groups_of, near_duplicates
from helpers.data.images import load_image
from helpers.data.records import Caption, Recipe, captions_of, collapse
from helpers.data.sources import open_source
from helpers.data.splits import SPLITS, check_splits, check_testable, split_by_recipe
from helpers.data.trusted import IMAGES, QUIET, Intake, build_trusted_zone, read_trusted_recipes
from helpers.store.artefacts import Manifest, Writer, code_of, ensure, read_manifest
from helpers.store.zones import Zone, open_zone

DATASETS = "fine-tuning-zone/datasets"
TRAIN, TEST = (f"{DATASETS}/{side}_pairs_positive.csv" for side in ("train", "test"))
REMOVED, NEAR_DUPLICATES = f"{DATASETS}/removed_captions.csv", f"{DATASETS}/near_duplicates.csv"
PAIR_IMAGES = "fine-tuning-zone/images"
COLUMNS = ("recipe_id", "image_key", "caption", "language", "style", "source", "split")
MISSING, DUPLICATE = "empty", "same as an earlier caption of its recipe"
CODE = tuple(f"helpers.data.{name}" for name in ("duplicates", "pairs", "records", "splits"))
MANY = 5  # recipes that show one image, from which on it is said


@dataclass(frozen=True)
class Pairs:
    """The pairs of a zone.

    ``all`` is the frame of every pair (columns ``COLUMNS``, all strings), ``removed`` names the
    captions that were left out and why, ``image_hashes`` maps image keys to a hash of the content,
    ``near_duplicates`` the images that are one (see ``duplicates``), and ``intake`` is what came
    into the trusted zone.
    """

    all: pd.DataFrame
    removed: pd.DataFrame
    image_hashes: Mapping[str, str]
    intake: Intake
    manifest: Manifest
    zone: Zone
    near_duplicates: pd.DataFrame

    @property
    def source(self) -> str:
        """What results call the data."""
        return str(self.all["source"].iloc[0])

    train = property(lambda self: _part(self.all, "train"), doc="The pairs to train on.")
    validation = property(lambda self: _part(self.all, "validation"), doc="The pairs to choose by.")
    test = property(lambda self: _part(self.all, "test"), doc="The pairs to report on.")

    def part(self, name: str) -> sets.RetrievalSet:
        """The images and captions of ``train``, ``validation``, ``test`` or ``all``, each once."""
        found = retrieval_set(self.all if name == "all" else getattr(self, name))
        images, captions = sets.LazyImages(found.image_keys, self.image), list(found.captions)
        return sets.RetrievalSet(images, found.image_ids, captions, found.caption_ids, self.source)

    @property
    def counts(self) -> pd.DataFrame:
        """Recipes, images, captions, pairs, removed captions: a row for each split, and ``all``."""
        split_of = dict(zip(self.all["recipe_id"], self.all["split"], strict=True))
        removed = self.removed.assign(split=self.removed["recipe_id"].map(split_of))
        rows = {split: (_part(self.all, split), _part(removed, split)) for split in SPLITS}
        rows["all"] = (self.all, removed)
        return pd.DataFrame.from_dict({k: _count(*v) for k, v in rows.items()}, orient="index")

    @property
    def groups(self) -> dict[str, str]:
        """The group of each recipe: those that share an image or a near-duplicate have one."""
        rows = self.all.drop_duplicates("image_key")
        hashes = rows["image_key"].map(self.image_hashes).groupby(rows["recipe_id"]).agg(list)
        return groups_of(hashes.to_dict(), between_recipes(self.near_duplicates))


    def image(self, key: str) -> Image.Image:
        """The image of an ``image_key``. Raises ``FileNotFoundError`` and ``ImageError``."""
        return load_image(self.zone.read_bytes(f"{PAIR_IMAGES}/{key}"))


@dataclass(frozen=True)
class RetrievalSet:
    """Each image once, each caption of a recipe once, and the recipe ids beside them."""

    image_keys: tuple[str, ...]
    image_ids: np.ndarray
    captions: tuple[str, ...]
    caption_ids: np.ndarray


def build_pairs(recipes: Iterable[Recipe], *, source: str = "") -> pd.DataFrame:
    """Every image of a recipe with every distinct caption of it; never across recipes.

    Empty captions and repeats (white space aside) are left out: ``removed_captions`` names them.
    The columns are ``COLUMNS``, all strings; ``style`` is the recipe's attribute of that name, and
    ``split`` is empty.

    >>> pie = Recipe("7", "Pie", ("a.jpg", "b.jpg"), (Caption("a pie"), Caption("a  pie")))
    >>> build_pairs([pie])[["image_key", "caption"]].values.tolist()
    [['a.jpg', 'a pie'], ['b.jpg', 'a pie']]
    """
    rows = [
        (r.recipe_id, image, c.text, c.language, r.attributes.get("style", ""), source, "")
        for r in recipes
        for image in dict.fromkeys(r.images)
        for c, reason in _sorted_out(r)
        if not reason
    ]
    return _frame_of(rows, COLUMNS)


def removed_captions(recipes: Iterable[Recipe]) -> pd.DataFrame:
    """The captions that ``build_pairs`` leaves out: ``recipe_id``, ``caption``, ``reason``."""
    found = ((r.recipe_id, c.text, reason) for r in recipes for c, reason in _sorted_out(r))
    return _frame_of([row for row in found if row[2]], ("recipe_id", "caption", "reason"))


def write_pairs(frame: pd.DataFrame) -> str:
    """The CSV text of a frame of strings; every value is quoted, so that any text survives."""
    stream = StringIO(newline="")
    frame.to_csv(stream, index=False, quoting=csv.QUOTE_ALL, lineterminator="\n")
    return stream.getvalue()


def read_pairs(text: str) -> pd.DataFrame:
    """The frame of a CSV text; every value stays the text that it was (``007``, ``NA``, ``None``).

    >>> read_pairs(write_pairs(pd.DataFrame({"caption": ["NA", "a\\nb"]})))["caption"].tolist()
    ['NA', 'a\\nb']
    """
    header, *rows = csv.reader(StringIO(text, newline=""), strict=True)
    return _frame_of(rows, tuple(header))


def retrieval_set(frame: pd.DataFrame) -> RetrievalSet:
    """The unique images and captions of each recipe; a test of one recipe is refused."""
    check_testable(frame)
    images, captions = frame.drop_duplicates("image_key"), _distinct(frame)
    return RetrievalSet(
        tuple(images["image_key"]), images["recipe_id"].to_numpy(dtype=str),
        tuple(captions["caption"]), captions["recipe_id"].to_numpy(dtype=str),
    )  # fmt: skip


def ensure_pairs(
    zone: Zone,
    *,
    source: str,
    image_px: int = 512,
    fit: str = "crop",
    max_recipes: int = 0,
    seed: int = 42,
    test_share: float = 0.2,
    validation_share: float = 0.1,
    split_used: bool = True,
    progress: bool = True,
) -> Pairs:
    """The pairs of a source in a zone, built where they are not there yet.

    ``seed`` draws ``max_recipes`` of the source (see ``open_source``) and decides the split, whose
    shares are those of all recipes; recipes that share an image, or nearly, stay on one side. Where
    the caller splits in another way, ``split_used`` is False, and an empty test no matter.

    Raises ``ValueError`` if the source is unknown, nothing in it can be kept, or train, validation
    or test would be empty; ``ArtefactError`` if files from elsewhere lie in the zone, or files of
    it were changed.
    """
    opened = open_source(source, max_recipes=max_recipes, seed=seed)
    intake = build_trusted_zone(zone, opened, image_px=image_px, fit=fit, progress=progress)
    start, files = f"{IMAGES}/", intake.manifest.files.items()
    hashes = {k.removeprefix(start): file.sha256 for k, file in files if k.startswith(start)}
    inputs = {"trusted-zone": intake.manifest.fingerprint}
    searched = ensure(
        zone, "near-duplicates", kind="near-duplicates", parameters={}, inputs=inputs,
        build=lambda writer: _search(writer, hashes, progress), prefixes=(NEAR_DUPLICATES,),
        code=code_of("helpers.data.duplicates"),
    )  # fmt: skip
    matches = read_pairs(zone.read_text(NEAR_DUPLICATES))
    across = between_recipes(matches)
    if len(across):  # pairs that no near-duplicate concerns do not depend on the search
        inputs = {**inputs, "near-duplicates": searched.fingerprint}
    shares = {"seed": seed, "test_share": test_share, "validation_share": validation_share}
    manifest = ensure(
        zone, "pairs", kind="pairs", parameters=shares, inputs=inputs,
        build=lambda writer: _build(writer, opened.name, shares, hashes, across, progress),
        prefixes=(TRAIN, TEST, REMOVED, PAIR_IMAGES), code=code_of(*CODE),
    )  # fmt: skip
    *sides, removed = (read_pairs(zone.read_text(key)) for key in (TRAIN, TEST, REMOVED))
    every = pd.concat(sides, ignore_index=True)
    pairs = Pairs(every, removed, hashes, intake, manifest, zone, matches)
    if split_used:
        held = pairs.all.drop_duplicates("recipe_id").set_index("recipe_id")["split"].to_dict()
        del shares["seed"]
        check_splits(held, pairs.groups, **shares)
    if progress:
        for note in (*getattr(opened, "notes", ()), *shared_images(pairs)):  # no world has notes
            print(note)
    return pairs


def open_pairs(
    zone: str, *, source: str, max_recipes: int = 0, seed: int = 42, progress: bool = True
) -> Pairs:
    """The pairs of a source in a zone that is named, built where they are not there yet.

    Images keep the size and form in which lesson 01 brought them into the zone.
    """
    opened, form = open_zone(zone), {}
    with suppress(FileNotFoundError):
        before = read_manifest(opened, "trusted-zone").parameters
        form = {name: before[name] for name in ("image_px", "fit") if name in before}
    return ensure_pairs(
        opened, source=source, max_recipes=max_recipes, seed=seed, progress=progress, **form
    )


def shared_images(pairs: Pairs) -> list[str]:
    """A sentence where many recipes show one image, as placeholders make them."""
    rows = pairs.all.drop_duplicates("image_key")
    hashes = rows["image_key"].map(pairs.image_hashes)
    n_recipes = rows["recipe_id"].groupby(hashes).nunique()
    if n_recipes.empty or n_recipes.max() < MANY:
        return []
    key = rows.loc[hashes == n_recipes.idxmax(), "image_key"]
    return [
        f"{n_recipes.max()} recipes show one image (such as {key.iloc[0]}): they are one group, "
        "and stay on one side of the split"
    ]


def _search(writer: Writer, hashes: Mapping[str, str], progress: bool) -> None:
    recipes = read_trusted_recipes(writer.zone)
    rows = [(key, recipe.recipe_id, hashes[key]) for recipe in recipes for key in recipe.images]
    images = _frame_of(rows, ("image_key", "recipe_id", "hash"))

    def load(key: str) -> Image.Image:
        return Image.open(BytesIO(writer.zone.read_bytes(f"{IMAGES}/{key}")))

    found = near_duplicates(images, load, progress=progress)
    writer.write_text(NEAR_DUPLICATES, write_pairs(found))


def _build(
    writer: Writer, source: str, shares: Mapping[str, float], hashes: Mapping[str, str],
    across: pd.DataFrame, progress: bool,
) -> None:  # fmt: skip
    zone = writer.zone
    recipes = read_trusted_recipes(zone)
    frame = build_pairs(recipes, source=source)
    images = {r.recipe_id: [hashes[key] for key in r.images] for r in recipes}
    splits = split_by_recipe(images, groups=groups_of(images, across), **shares)
    frame["split"] = frame["recipe_id"].map(splits).astype("str")
    keys = list(dict.fromkeys(frame["image_key"]))
    quiet = not progress or len(keys) <= 10 * QUIET
    for key in tqdm(keys, desc="images of the pairs", unit="image", disable=quiet):
        writer.write_bytes(f"{PAIR_IMAGES}/{key}", zone.read_bytes(f"{IMAGES}/{key}"))
    tested = frame["split"] == "test"
    tables = {TRAIN: frame[~tested], TEST: frame[tested], REMOVED: removed_captions(recipes)}
    for key, table in tables.items():
        writer.write_text(key, write_pairs(table))


def _sorted_out(recipe: Recipe) -> list[tuple[Caption, str]]:
    """The captions of a recipe, each with the reason for which it is left out, if any."""
    seen, captions = set(), []
    for caption in captions_of(recipe):
        text = collapse(caption.text)
        captions.append((caption, (DUPLICATE if text in seen else "") if text else MISSING))
        seen.add(text)
    return captions


def _frame_of(rows: list, columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns), dtype="str")


def _part(frame: pd.DataFrame, split: str) -> pd.DataFrame:
    return frame[frame["split"] == split].reset_index(drop=True)


def _distinct(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each caption of a recipe; white space aside, two may be one."""
    same = frame["caption"].map(collapse)
    return frame.assign(same=same).drop_duplicates(["recipe_id", "same"])


def _count(frame: pd.DataFrame, removed: pd.DataFrame) -> dict[str, int]:
    return {
        "recipes": frame["recipe_id"].nunique(),
        "images": frame["image_key"].nunique(),
        "captions": len(_distinct(frame)),
        "pairs": len(frame),
        "duplicates_removed": int((removed["reason"] == DUPLICATE).sum()),
        "missing_removed": int((removed["reason"] == MISSING).sum()),
    }
