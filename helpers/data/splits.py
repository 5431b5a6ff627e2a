"""Splits by recipe, and the audit that nothing of a recipe is on two sides.

A split of *pairs* puts one caption of a recipe into train and another into test; the score then
measures memory. Here the unit is the recipe, or a group of recipes that share a picture.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, combinations, product

import pandas as pd

from helpers.data.records import collapse

SPLITS = ("train", "validation", "test")
LEAK_COLUMNS = ("leak", "item", "split_a", "recipe_a", "split_b", "recipe_b", "rows")
Blocks = list[list[str]]
Leak = tuple[str, str, str, str, str, str, int]


def split_by_recipe(
    recipe_ids: Iterable[str],
    *,
    seed: int,
    test_share: float,
    validation_share: float,
    groups: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Which split each recipe is in: ``"train"``, ``"validation"`` or ``"test"``, sorted by id.

    Recipes stand in the order of a hash of seed and id, and the splits are cut from that order: the
    result depends on neither the order of the input nor on repeats. Where its share is positive,
    test gets at least two recipes and validation one, if there are enough to leave one for train.

    Recipes of one of the ``groups`` stay together; those that are not named stand alone. The shares
    are then met as nearly as whole groups allow; where most recipes are one group, test and
    validation share what is left of the others.

    >>> split_by_recipe("abcde", seed=42, test_share=0.2, validation_share=0)
    {'a': 'test', 'b': 'train', 'c': 'test', 'd': 'train', 'e': 'train'}
    """
    if min(test_share, validation_share) < 0 or test_share + validation_share >= 1:
        raise ValueError(
            f"test_share {test_share} and validation_share {validation_share}: both must be at "
            "least 0, and below 1 together"
        )
    ids = sorted(set(recipe_ids))
    groups = groups or {}
    blocks: dict[tuple[bool, str], list[str]] = {}
    for recipe_id in ids:
        block = (recipe_id in groups, groups.get(recipe_id, recipe_id))
        blocks.setdefault(block, []).append(recipe_id)
    waiting = sorted(
        blocks.values(), key=lambda own: hashlib.sha256(f"{seed}:{own[0]}".encode()).hexdigest()
    )
    splits = dict.fromkeys(ids, "train")
    spare = len(ids) - 1  # one recipe at least is left for train
    for split, target in _targets(blocks.values(), test_share, validation_share).items():
        taken, waiting = _fill(waiting, min(spare, target), most=spare)
        splits.update((recipe_id, split) for block in taken for recipe_id in block)
        spare -= sum(map(len, taken))
    return splits


def check_splits(
    splits: Mapping[str, str],
    groups: Mapping[str, str],
    *,
    test_share: float,
    validation_share: float,
) -> None:
    """Refuse a split of which a part that was asked for has nothing, or test a single recipe."""
    least = {"test": 2 * bool(test_share), "validation": 1 * bool(validation_share), "train": 1}
    held = Counter(splits.values())
    for split, n_least in least.items():
        if held[split] < n_least:
            has = "one recipe" if held[split] else "no recipe"
            n, n_groups = len(splits), len(set(groups.values()))
            joined = f", which form {_count(n_groups, 'group')} as they share images"
            raise ValueError(
                f"{split} has {has} of the {_count(n, 'recipe')}{joined if n_groups < n else ''}: "
                f"train, validation and test need at least {sum(least.values())} recipes "
                f"{'that share no image' if n_groups < n else 'together'}; add recipes"
            )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def check_testable(frame: pd.DataFrame) -> None:
    """Refuse the pairs of a test of one recipe: every answer would be right."""
    tested = "split" in frame and set(frame["split"]) == {"test"}
    if tested and frame["recipe_id"].nunique() == 1:
        raise ValueError(
            f"the test has one recipe, {frame['recipe_id'].iloc[0]!r}, and retrieval needs two at "
            "least: add recipes, or raise test_share"
        )


def leak_audit(
    frame: pd.DataFrame,
    *,
    image_hashes: Mapping[str, str] | None = None,
    near_duplicates: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """What is found on two sides of a split; no row means that nothing is.

    ``frame`` holds pairs with their split. Images are told apart by their keys, or by a hash of
    their content (``Pairs.image_hashes``); ``near_duplicates`` are images that are one
    (``Pairs.near_duplicates``).

    There is one row for each thing and pair of splits: ``leak`` (``recipe``, ``image``, ``image and
    caption`` where the caption is the same too, or ``near-duplicate`` for two images), ``item``
    (recipe id or image keys), an example recipe on either side, and the number of ``rows`` of the
    frame that are concerned.
    """
    content = frame["image_key"].map(dict(image_hashes)) if image_hashes else frame["image_key"]
    if content.isna().any():
        raise KeyError(f"no hash for image {frame.loc[content.isna(), 'image_key'].iloc[0]!r}")
    captions = frame["caption"].map(collapse)
    found = [
        *_shared(frame, "recipe", frame["recipe_id"], frame["recipe_id"]),
        *_shared(frame, "image", content, frame["image_key"]),
        *_shared(frame, "image and caption", content + "\0" + captions, frame["image_key"]),
        *([] if near_duplicates is None else _nearly_shared(frame, near_duplicates)),
    ]
    return pd.DataFrame(found, columns=list(LEAK_COLUMNS))


def _targets(blocks: Collection[list[str]], test: float, validation: float) -> dict[str, int]:
    """How many recipes test and validation are to have."""
    n = sum(map(len, blocks))
    least = {"test": min(2, n - 1 - bool(validation)), "validation": 1}
    targets = {
        split: max(int(share * n + 0.5), least[split], 1) if share else 0
        for split, share in (("test", test), ("validation", validation))
    }
    wanted = sum(targets.values())
    fits = sum(len(block) for block in blocks if len(block) < 2 * targets["test"])
    if targets["test"] and fits < min(wanted, n - 1):  # the large groups are for train alone
        targets["test"] = max(min(2, fits), round(fits * targets["test"] / wanted))
        targets["validation"] = fits - targets["test"]
    return targets


def _fill(blocks: Blocks, target: int, *, most: int) -> tuple[Blocks, Blocks]:
    """The blocks that, in order, bring the count nearer to the target, and those that are left."""
    taken: Blocks = []
    left: Blocks = []
    size = 0
    for block in blocks:
        after = size + len(block)
        nearer = after <= most and abs(after - target) < abs(size - target)
        (taken if nearer else left).append(block)
        size = after if nearer else size
    return taken, left


def _shared(frame: pd.DataFrame, leak: str, thing: pd.Series, named: pd.Series) -> Iterator[Leak]:
    """A row for each value of ``thing`` and each two splits that both hold it."""
    n_splits = frame["split"].groupby(thing).nunique()
    frame = frame[thing.map(n_splits) > 1]  # few, or none
    for _, rows in frame.groupby(thing[frame.index]):
        for a, b in combinations(rows.groupby("split"), 2):
            yield _leak(leak, named[a[1].index[0]], a, b)


def _nearly_shared(frame: pd.DataFrame, matches: pd.DataFrame) -> Iterator[Leak]:
    """A row for each two images that are one and stand in different splits."""
    frame = frame[frame["image_key"].isin({*matches["image_a"], *matches["image_b"]})]
    sides = {key: list(rows.groupby("split")) for key, rows in frame.groupby("image_key")}
    for key_a, key_b in zip(matches["image_a"], matches["image_b"], strict=True):
        for a, b in product(sides.get(key_a, ()), sides.get(key_b, ())):
            if a[0] != b[0]:
                yield _leak("near-duplicate", f"{key_a} and {key_b}", a, b)


def _leak(leak: str, item: str, *sides: tuple[str, pd.DataFrame]) -> Leak:
    ends = ((split, rows["recipe_id"].iloc[0]) for split, rows in sides)
    return leak, item, *chain(*ends), sum(len(rows) for _, rows in sides)
