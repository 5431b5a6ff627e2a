"""Checks of lesson 01: positive pairs of a recipe, and a split that keeps recipes whole."""

from collections.abc import Callable
from typing import Any

from helpers.first.report.verdicts import Settled, Verdict, ask, correct, exercise, hint

_IMAGES = {"007": ["a.jpg", "b.jpg"], "NA": ["c.jpg", "d.jpg"]}
_CAPTIONS = {"NA": ["a pie", "a warm pie"], "007": ["soup", "hot soup", "red soup"]}


def _pairs(images: dict[str, list[str]], captions: dict[str, list[str]]) -> list[tuple[str, str]]:
    found = [
        (image, caption)
        for recipe, keys in images.items()
        for image in keys
        for caption in captions.get(recipe, [])
    ]
    return list(dict.fromkeys(found))


@exercise("01.positive_pairs", example={"images": _IMAGES, "captions": _CAPTIONS})
def positive_pairs(answer: Callable) -> Verdict:
    """``f(images, captions) -> list of (image, caption)``: all with all within a recipe."""
    got = _asked_pairs(answer, _IMAGES, _CAPTIONS)
    want = set(_pairs(_IMAGES, _CAPTIONS))
    flipped = {(caption, image) for image, caption in want}
    if set(got) & flipped:
        return hint("each pair is (image, caption), in this order; yours are the other way round.")
    if across := set(got) - want:
        image, caption = sorted(across)[0]
        return hint(
            f"`{image}` stands with `{caption}`, a caption of another recipe: pair by the "
            "recipe's id, "
            "not by position, and never across recipes. Such a pair teaches the wrong thing."
        )
    if len(got) < len(want) and len(set(got)) <= 4:
        return hint(
            "some pairs are missing: walking images and captions side by side, as `zip` "
            "does, gives "
            "each image one caption at most. Every image goes with every caption of its recipe."
        )
    if want - set(got):
        return hint(f"{len(want - set(got))} pairs are missing, among them {min(want - set(got))}.")
    return _edges_of_pairs(answer)


def _edges_of_pairs(answer: Callable) -> Verdict:
    """What an answer may still miss: repeats, shared captions, recipes without captions."""
    got = _asked_pairs(answer, {"1": ["a.jpg", "a.jpg"]}, {"1": ["soup", "hot soup", "soup"]})
    if len(got) > 2:
        return hint(
            f"a caption or an image that is listed twice makes {len(got)} pairs where 2 are "
            "different: "
            "duplicates stay in. Keep each pair once."
        )
    if len(got) < 2:
        return hint("when a caption is listed twice, its pairs are still due once.")
    got = _asked_pairs(answer, {"1": ["a.jpg"], "2": ["b.jpg"]}, {"1": ["soup"], "2": ["soup"]})
    if len(got) != 2:
        return hint(
            "two recipes may share a caption such as 'soup', and both keep it: drop a pair only if "
            "image and caption are both the same."
        )
    for images, captions in (
        ({"1": ["a.jpg"], "2": ["b.jpg"]}, {"2": ["pie"]}),
        ({"2": ["b.jpg"]}, {"1": ["soup"], "2": ["pie"]}),
    ):
        if _asked_pairs(answer, images, captions) != [("b.jpg", "pie")]:
            return hint("a recipe with images but no captions, or the reverse, gives no pair.")
    return correct(
        "every image with every caption of its recipe, each pair once, none across recipes."
    )


def _asked_pairs(answer: Callable, images: dict, captions: dict) -> list[tuple[str, str]]:
    result = ask(answer, images=images, captions=captions)
    if not isinstance(result, (list, tuple)):
        raise Settled(
            hint(
                f"a list of pairs is due, and you returned a {type(result).__name__}. "
                "(A set loses the order: the next run would write another file.)"
            )
        )
    for pair in result:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise Settled(
                hint(f"each pair is a tuple (image, caption), and one of yours is {pair!r}.")
            )
        if not all(isinstance(part, str) for part in pair):
            raise Settled(
                hint(f"a pair holds one image and one caption, both text; you gave {pair!r}.")
            )
    return [tuple(pair) for pair in result]


class _FirstRun(str):
    """An id with another hash than its text: Python hashes text anew in every run."""

    __slots__ = ()
    salt = 1

    def __hash__(self) -> int:
        return hash((self.salt, str.__hash__(self)))


class _NextRun(_FirstRun):
    __slots__ = ()
    salt = 2


# Recipes of 1 to 9 pairs: a share of the pairs is not a share of the recipes.
_IDS = [f"{i:03d}" for i in range(20) for _ in range(1 + (i * 7) % 9)]


@exercise("01.split_by_recipe", example={"recipe_ids": _IDS, "test_share": 0.2, "seed": 42})
def split_by_recipe(answer: Callable) -> Verdict:
    """``f(recipe_ids, test_share, seed) -> (train, test)``: sets; an id a pair comes in."""
    train, test = _asked_split(answer, _IDS, 0.2, 42)
    if train & test:
        return hint(
            f"{len(train & test)} recipes are on both sides: shuffling rows splits pairs, and "
            "the model "
            "is then tested on dishes that it has seen. Shuffle the different recipe ids."
        )
    if missing := set(_IDS) - train - test:
        return hint(f"recipes are lost: {sorted(missing)[:5]} are in neither set.")
    if train | test != set(_IDS):
        return hint(f"there are ids that were not given: {sorted((train | test) - set(_IDS))[:5]}.")
    if len(test) == 16:
        return hint(
            "train and test are swapped: return `(train, test)`, the test set is the share."
        )
    # 20 recipes x 0.2 = 4; 9 x 0.3 = 2.7, so 3.
    small = [i for i in _IDS if i < "009"]
    for ids, share, due in ((_IDS, 0.2, 4), (small, 0.3, 3)):
        test = _asked_split(answer, ids, share, 42)[1]
        if len(test) != due:
            recipes = len(set(ids))
            cut = " (`int` cuts off, `round` rounds)" if len(test) == int(recipes * share) else ""
            return hint(
                f"{due} of {recipes} recipes are due in test for a share of {share}, and "
                "yours holds "
                f"{len(test)}{cut}. The share is of recipes, not of pairs."
            )
    return _repeatable(answer)


def _repeatable(answer: Callable) -> Verdict:
    tests = [_asked_split(answer, _IDS, 0.2, seed)[1] for seed in (1, 1, 2, 3, 4, 5)]
    if tests[0] != tests[1]:
        return hint(
            "two calls with the same seed give two splits: draw from a generator made from "
            "the seed, "
            "such as `random.Random(seed)`."
        )
    if all(test == tests[0] for test in tests):
        return hint("the seed makes no difference: use it to shuffle the recipes before the cut.")
    for kind in (_FirstRun, _NextRun):
        if _asked_split(answer, [kind(i) for i in _IDS], 0.2, 1)[1] != tests[0]:
            return hint(
                "the order of a `set` of text changes from one Python run to the next, and "
                "your split "
                "with it: sort the different ids before you shuffle them."
            )
    for ids in (_IDS[::-1], _IDS[37:] + _IDS[:37], sorted(set(_IDS))):
        if _asked_split(answer, ids, 0.2, 1)[1] != tests[0]:
            return hint(
                "the split depends on the order of the list, or on how often an id is in it: "
                "sort the "
                "different ids before you shuffle them, so that new rows do not move old recipes."
            )
    return correct("no recipe on both sides, and the same split for the same seed, in any order.")


def _asked_split(answer: Callable, ids: list[str], share: float, seed: int) -> tuple[set, set]:
    result = ask(answer, recipe_ids=ids, test_share=share, seed=seed)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Settled(hint("two sets are due, `(train, test)`."))
    for side in result:
        if isinstance(side, (str, bytes)) or not hasattr(side, "__iter__"):
            raise Settled(hint(f"two sets of recipe ids are due, and one of yours is {side!r}."))
    train, test = ([_text(item) for item in side] for side in result)
    both = set(train) & set(test)
    if not both and not all(isinstance(side, (set, frozenset)) for side in result):
        raise Settled(hint("return sets of recipe ids: `set(...)`. A recipe counts once."))
    return set(train), set(test)


def _text(item: Any) -> str:
    if not isinstance(item, str):
        raise Settled(
            hint(f"the sets hold recipe ids, text such as '007', and yours holds {item!r}.")
        )
    return "".join(item)
