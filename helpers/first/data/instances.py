"""Instance retrieval: classes whose pictures are split within the class, and texts likewise.

A recipe is here one instance class, such as a make, model, body and year. Every class is on every
side; what a side has for itself are pictures and texts (the protocol of Stanford Cars: Krause et
al. 2013, whose own split is kept). A split by class would ask for cars that nobody ever showed.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from helpers import paths
from helpers.first.data.cars import META, Cars, read_cars
from helpers.data.pairs import DATASETS, Pairs, read_pairs, write_pairs
from helpers.data.pairs import COLUMNS
from helpers.data.trusted import read_trusted_recipes
from helpers.data.records import Recipe, recipe_to_json
from helpers.data.duplicates import groups_by_picture
from helpers.data.splits import SPLITS
from helpers.data.records import collapse
from helpers.repro import canonical_json, hash_of
from helpers.store.artefacts import Writer, code_of, ensure
from helpers.store.zones import write_file_atomically

NAME = "instance-pairs"
TABLE, LEFT_OUT = (f"{DATASETS}/{name}.csv" for name in ("instance_pairs", "instances_left_out"))
LEFT_COLUMNS = ("recipe_id", "item", "reason")
TEST_FROM = "test_from"  # attribute: the place among a class's images from which on they are test
NEAR = "near-duplicate of a picture of the test side"
Sides = dict[str, str]


@dataclass(frozen=True)
class Instances:
    """Pairs that are split by picture, and what had to be left out of them.

    ``left_out`` has the columns ``recipe_id``, ``item`` (a picture, or empty for a whole class) and
    ``reason``.
    """

    pairs: Pairs
    left_out: pd.DataFrame


def ensure_instances(
    pairs: Pairs,
    texts: pd.DataFrame | None = None,
    *,
    seed: int = 42,
    test_share: float = 0.3,
    validation_share: float = 0.1,
) -> Instances:
    """The same pictures split within each class, with texts that belong to one side each.

    Parameters
    ----------
    pairs : Pairs
        As ``ensure_pairs`` gives them; its own split is not used.
    texts : DataFrame, optional
        ``recipe_id`` and ``caption``, such as written queries; default: the classes' own captions.
        A text that several classes have is for training (``split_texts``).
    seed, test_share, validation_share
        Shares of each class's pictures, and of its texts; at least one of each. Where the source
        says itself which pictures are for the test, only validation is cut from the rest.

    Returns
    -------
    Instances
        ``pairs.train`` and so on are every picture of a side with every text of that side.

    Raises
    ------
    ValueError
        For shares out of range, texts of an unknown class, or if no class can be used.

    Examples
    --------
    >>> cars = ensure_instances(pairs, queries).pairs  # doctest: +SKIP
    """
    _check_shares(test_share, validation_share)
    if texts is None:
        texts = pairs.all[["recipe_id", "caption"]].drop_duplicates()
    texts = texts[["recipe_id", "caption"]].astype("str").reset_index(drop=True)
    if unknown := sorted(set(texts["recipe_id"]) - set(pairs.all["recipe_id"])):
        raise ValueError(f"texts of class {unknown[0]!r}, which {pairs.source} does not have")
    shares = {"seed": seed, "test_share": test_share, "validation_share": validation_share}
    manifest = ensure(
        pairs.zone,
        NAME,
        kind="instance pairs",
        parameters=shares,
        inputs={"pairs": pairs.manifest.fingerprint, "texts": hash_of(texts.values.tolist())},
        build=lambda writer: _build(writer, pairs, texts, shares),
        prefixes=(TABLE, LEFT_OUT),
        code=code_of(__name__, *(f"helpers.data.{name}" for name in ("duplicates", "records", "splits"))),
    )
    frame, left = (read_pairs(pairs.zone.read_text(key)) for key in (TABLE, LEFT_OUT))
    return Instances(replace(pairs, all=frame, manifest=manifest), left)


def split_pictures(
    pictures: Mapping[str, Iterable[str]],
    *,
    seed: int,
    test_share: float,
    validation_share: float,
    groups: Mapping[str, str] | None = None,
    fixed: Mapping[str, str] | None = None,
) -> Sides:
    """Which side each picture of each class is on.

    Parameters
    ----------
    pictures : mapping of class to its pictures
    groups : mapping of picture to group, optional
        Pictures that are one picture; a group is on one side, whatever classes it has. The shares
        are then met as nearly as whole groups allow.
    fixed : mapping of picture to ``train`` or ``test``, optional
        A split that is given; validation is cut from its train side. A picture of its train side
        whose group reaches the test side gets the side ``""``.

    Returns
    -------
    dict of picture to ``"train"``, ``"validation"``, ``"test"`` or ``""``

    >>> sides = split_pictures({"a": "12345"}, seed=1, test_share=0.4, validation_share=0.2)
    >>> sorted(sides.values())
    ['test', 'test', 'train', 'train', 'validation']
    """
    groups, fixed = groups or {}, fixed or {}
    members: dict[str, list[str]] = {}
    for keys in pictures.values():
        for key in keys:
            members.setdefault(groups.get(key, key), []).append(key)
    sides: Sides = {}
    for keys in members.values():
        if any(fixed.get(key) == "test" for key in keys):
            sides |= {key: "test" if fixed.get(key) == "test" else "" for key in keys}
    for _, own in sorted((name, list(keys)) for name, keys in pictures.items()):
        order = sorted(own, key=lambda key: _order(seed, groups.get(key, key)))
        wanted = {} if any(key in fixed for key in own) else {"test": test_share}
        for side, share in {**wanted, "validation": validation_share}.items():
            target = min(max(round(share * len(own)), 1 if share else 0), len(own) - 1)
            for key in order:
                if sum(sides.get(k) == side for k in own) >= target:
                    break
                if key not in sides:
                    sides |= dict.fromkeys(members[groups.get(key, key)], side)
        for key in own:
            if key not in sides:
                sides |= dict.fromkeys(members[groups.get(key, key)], "train")
    return sides


def split_texts(
    texts: pd.DataFrame, *, seed: int, test_share: float, validation_share: float
) -> pd.Series:
    """The side of each row of ``recipe_id, caption``; equal texts are on one side.

    A text that several classes have is for training: as a question it has several right answers.
    Any other goes where its hash says; where a class is then without a text for a side, the next
    of its own texts moves there.

    >>> texts = pd.DataFrame({"recipe_id": ["a", "a", "b"], "caption": ["x", "y", "x"]})
    >>> split_texts(texts, seed=1, test_share=0.5, validation_share=0).tolist()
    ['train', 'test', 'train']
    """
    same = texts["caption"].map(lambda text: collapse(text).lower())
    alone = texts["recipe_id"].groupby(same).nunique() == 1
    place = {text: int(_order(seed, text)[:12], 16) / 16**12 for text in same.unique()}
    bounds = {"test": test_share, "validation": test_share + validation_share}
    sides = {
        text: next((s for s, b in bounds.items() if alone[text] and x < b), "train")
        for text, x in place.items()
    }
    wanted = [side for side, share in (("test", 1), ("validation", validation_share)) if share]
    for own in same.groupby(texts["recipe_id"]).unique():
        order = sorted(own, key=place.__getitem__)
        for side in (*wanted, "train"):
            held = [sides[text] for text in order]
            if side not in held:
                spare = [t for t in order if alone[t] and held.count(sides[t]) > 1]
                sides |= dict.fromkeys(spare[:1], side)
    return same.map(sides)


def texts_of_queries(queries: pd.DataFrame) -> pd.DataFrame:
    """``recipe_id, caption`` of written queries: a row for every class that a query fits.

    ``queries`` has ``id``, ``query`` and, where it is known, ``fits``: ids joined by ``"; "``.
    """
    fits = queries["fits"] if "fits" in queries else queries["id"]
    rows = queries.assign(recipe_id=[sorted({*ids.split("; ")}) for ids in fits])
    rows = rows.explode("recipe_id").rename(columns={"query": "caption"})
    return rows[["recipe_id", "caption"]].drop_duplicates().reset_index(drop=True)


def source_of_cars(source: str) -> str:
    """The source itself; a folder of Stanford Cars gets a ``recipes.jsonl`` first, if it has none.

    One record a class, images of the train side first, and the attribute ``test_from``. Pictures
    that are not there are named by the intake like any other that cannot be opened.

    Raises
    ------
    CarsError
        If the folder's annotations cannot be read.
    """
    folder = paths.find(source)
    records = folder / "recipes.jsonl"
    is_cars = any((place / META).is_file() for place in (folder, folder / "devkit"))
    if is_cars and not records.is_file():
        lines = [
            canonical_json(recipe_to_json(recipe)) for recipe in car_recipes(read_cars(folder))
        ]
        write_file_atomically(records, ("\n".join(lines) + "\n").encode())
    return source


def car_recipes(cars: Cars) -> list[Recipe]:
    """One record a class of Stanford Cars, with its own split in the attribute ``test_from``."""
    found = []
    for class_id, rows in cars.images.groupby("class_id"):
        sides = {side: tuple(rows.loc[rows["split"] == side, "file"]) for side in ("train", "test")}
        about = rows.iloc[0]
        attributes = {name: str(about[name]) for name in ("make", "model", "body", "year")}
        attributes[TEST_FROM] = str(len(sides["train"]))
        pictures = sides["train"] + sides["test"]
        known = {name: value for name, value in attributes.items() if value}
        found.append(Recipe(f"car-{class_id:03d}", about["name"], pictures, attributes=known))
    return found


def _build(writer: Writer, pairs: Pairs, texts: pd.DataFrame, shares: Mapping) -> None:
    recipes = {r.recipe_id: r for r in read_trusted_recipes(writer.zone)}
    first = pairs.all.drop_duplicates("image_key").set_index("image_key")["recipe_id"]
    pictures = {name: list(keys.index) for name, keys in first.groupby(first)}
    fixed = {
        key: "test" if int(Path(key).stem) >= int(recipes[name].attributes[TEST_FROM]) else "train"
        for name, keys in pictures.items()
        if TEST_FROM in recipes[name].attributes
        for key in keys
    }
    sides = split_pictures(pictures, groups=picture_groups(pairs), fixed=fixed, **shares)
    left = [(first[key], key, NEAR) for key, side in sides.items() if not side]
    text_sides = split_texts(texts, **shares)
    wanted = [side for side in SPLITS if side == "train" or shares[f"{side}_share"]]
    whole = []
    for name, keys in pictures.items():
        own = texts["recipe_id"] == name
        lacks = [s for s in wanted if s not in set(text_sides[own])]
        unseen = [s for s in ("train", "test") if s not in {sides[key] for key in keys}]
        if lacks or unseen:
            what = f"no text for {lacks[0]}" if lacks else f"no picture for {unseen[0]}"
            left.append((name, "", what))
        else:
            whole.append(name)
    if not whole:
        raise ValueError(f"{pairs.source}: no class can be used ({left[0][2]}); give more texts")
    photos = pd.DataFrame(
        [(n, key, sides[key], recipes[n].attributes.get("style", "")) for n in whole
         for key in pictures[n] if sides[key]],
        columns=["recipe_id", "image_key", "split", "style"],
    )  # fmt: skip
    frame = photos.merge(texts.assign(split=text_sides), on=["recipe_id", "split"])
    frame = frame.assign(language="en", source=pairs.source)
    writer.write_text(TABLE, write_pairs(frame[list(COLUMNS)].astype("str")))
    writer.write_text(LEFT_OUT, write_pairs(pd.DataFrame(left, columns=list(LEFT_COLUMNS))))


def picture_groups(pairs: Pairs) -> dict[str, str]:
    """Picture to group: pictures of equal content, and near-duplicates, of any class."""
    signs = {key: [pairs.image_hashes[key]] for key in pairs.all["image_key"].unique()}
    matches = pairs.near_duplicates
    for number, pair in enumerate(zip(matches["image_a"], matches["image_b"], strict=True)):
        for key in pair:
            if key in signs:
                signs[key].append(f"near-duplicate {number}")
    return groups_by_picture(signs)


def _check_shares(test: float, validation: float) -> None:
    if not (test > 0 and validation >= 0 and test + validation < 1):
        raise ValueError(
            f"test_share {test} and validation_share {validation}: test needs more than 0, "
            "validation at least 0, both together less than 1"
        )


def _order(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
