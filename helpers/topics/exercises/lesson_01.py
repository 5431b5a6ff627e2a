"""Checks of lesson 01: a split that keeps recipes whole, groups of recipes that share an image, and
the number of test recipes that an interval of a given width takes."""

import math
from collections.abc import Callable
from typing import Any

from helpers.topics.exercises.engine import (
    Settled,
    Verdict,
    ask,
    compare,
    correct,
    exercise,
    hint,
)


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


@exercise(example={"ids": _IDS, "test_share": 0.2, "seed": 42})
def split(answer: Callable) -> Verdict:
    """``f(ids, test_share, seed) -> (train, test)``: sets; the id of each pair comes in."""
    train, test = _asked_split(answer, _IDS, 0.2, 42)
    if train & test:
        return hint(
            f"{len(train & test)} recipes are on both sides: shuffling rows splits pairs. Shuffle "
            "the different ids instead."
        )
    if missing := set(_IDS) - train - test:
        return hint(f"recipes are lost: {sorted(missing)[:5]} are in neither set.")
    if train | test != set(_IDS):
        return hint(f"there are ids that were not given: {sorted((train | test) - set(_IDS))[:5]}.")
    if len(test) == 16:
        return hint("train and test are swapped: return `(train, test)`, the test is the share.")
    # 20 recipes x 0.2 = 4; 9 x 0.3 = 2.7, so 3.
    small = [i for i in _IDS if i < "009"]
    for ids, share, due in ((_IDS, 0.2, 4), (small, 0.3, 3)):
        test = _asked_split(answer, ids, share, 42)[1]
        if len(test) != due:
            recipes = len(set(ids))
            cut = " (`int` cuts off, `round` rounds)" if len(test) == int(recipes * share) else ""
            return hint(
                f"{due} of {recipes} recipes are due in test for a share of {share}, and yours has "
                f"{len(test)}{cut}. The share is of recipes, not of pairs."
            )
    return _repeatable(answer)


def _repeatable(answer: Callable) -> Verdict:
    tests = [_asked_split(answer, _IDS, 0.2, seed)[1] for seed in (1, 1, 2, 3, 4, 5)]
    if tests[0] != tests[1]:
        return hint(
            "two calls with the same seed give two splits: draw from a generator made from the "
            "seed, such as `random.Random(seed)`."
        )
    if all(test == tests[0] for test in tests):
        return hint("the seed makes no difference: use it to shuffle the recipes before the cut.")
    for kind in (_FirstRun, _NextRun):
        if _asked_split(answer, [kind(i) for i in _IDS], 0.2, 1)[1] != tests[0]:
            return hint(
                "the order of a `set` of text changes from one Python run to the next, and your "
                "split with it: sort the different ids before you shuffle them."
            )
    for ids in (_IDS[::-1], _IDS[37:] + _IDS[:37], sorted(set(_IDS))):
        if _asked_split(answer, ids, 0.2, 1)[1] != tests[0]:
            return hint(
                "the split depends on the order of the list, or on how often an id is in it: sort "
                "the different ids before you shuffle them, so that new rows move no recipe."
            )
    return correct("no recipe on both sides, and the same split for the same seed, in any order.")


def _asked_split(answer: Callable, ids: list[str], share: float, seed: int) -> tuple[set, set]:
    result = ask(answer, ids=ids, test_share=share, seed=seed)
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


# A chain that is listed from its middle, a pair that joins two groups late, and recipes alone.
_COPIES = [("c", "d"), ("b", "c"), ("f", "g"), ("h", "i"), ("g", "h"), ("e", "k")]
_RECIPES = list("abcdefghijkl")
_GROUPS = {name: "b" if name in "bcd" else "f" if name in "fghi" else "e" if name == "k" else name
           for name in _RECIPES}  # fmt: skip


@exercise(example={"recipe_ids": _RECIPES, "copies": _COPIES})
def groups(answer: Callable) -> Verdict:
    """``f(recipe_ids, copies) -> dict``: of each recipe the smallest id of its group.

    ``copies`` are pairs of recipes that share an image; who is joined through others is in one
    group too.
    """
    for copies in (_COPIES, _COPIES[::-1], [pair[::-1] for pair in _COPIES]):
        if verdict := _wrong_groups(_asked_groups(answer, _RECIPES, copies)):
            return verdict
    if any(name != of for name, of in _asked_groups(answer, _RECIPES, []).items()):
        return hint("without copies every recipe is a group of its own, named after itself.")
    return correct(
        "recipes that share an image, however indirectly, are one group: a split of groups keeps "
        "them on one side. The search for such groups is called *connected components*."
    )


def _wrong_groups(found: dict[str, str]) -> Verdict | None:
    if missing := sorted(set(_RECIPES) - set(found)):
        alone = "" if set(missing) - set("ajl") else " A recipe without a copy is a group, too."
        return hint(f"recipes are missing: {', '.join(missing)}.{alone}")
    if extra := sorted(set(found) - set(_RECIPES), key=str):
        return hint(f"`{extra[0]}` is no recipe that was given.")
    if found == _GROUPS:
        return None
    for a, b in _COPIES:
        if found[a] != found[b]:
            return hint(
                f"{a} and {b} share an image, and stand in the groups {found[a]} and {found[b]}: "
                "joining two recipes joins all that their groups hold. One pass over the copies "
                "is not enough if it renames a single recipe at a time."
            )
    joined = {}
    for name, of in found.items():
        joined.setdefault(of, set()).add(_GROUPS[name])
    if apart := [of for of, parts in joined.items() if len(parts) > 1]:
        return hint(f"group {apart[0]} holds recipes that share no image, not even through others.")
    odd = next(name for name in _RECIPES if found[name] != _GROUPS[name])
    return hint(
        f"the groups are right, their names are not: {odd} is in group {found[odd]}, and the "
        f"smallest id of that group is {_GROUPS[odd]}."
    )


def _asked_groups(answer: Callable, ids: list[str], copies: list[tuple[str, str]]) -> dict:
    result = ask(answer, recipe_ids=ids, copies=copies)
    if not isinstance(result, dict):
        raise Settled(hint(f"a dict is due, recipe to group, and you gave {result!r:.80}."))
    return result


_WIDTHS = [
    {"share": 0.8, "width": 0.1},
    {"share": 0.5, "width": 0.1},
    {"share": 0.8, "width": 0.05},
    {"share": 0.1, "width": 0.2},
]


def _needed(share: float, width: float, *, ends: int = 2, z: float = 1.96) -> float:
    return (ends * z) ** 2 * share * (1 - share) / width**2


_WIDTH_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda share, width: math.ceil(_needed(share, width, ends=1)),
     "that is for an interval twice as wide: it reaches 1.96 standard errors to each side, so that "
     "its width is 2 x 1.96 standard errors."),
    (lambda share, width: math.ceil(_needed(share, width, z=1)),
     "that is for one standard error to each side; a 95 % interval takes 1.96."),
    (lambda share, width: math.ceil(math.sqrt(_needed(share, width))),
     "that is the root of the number: solve `width = 2 * 1.96 * sqrt(share * (1 - share) / n)` for "
     "n, which squares both sides."),
    (lambda share, width: math.ceil((2 * 1.96) ** 2 * share / width**2),
     "the variance of a share is `share * (1 - share)`, not the share."),
    (lambda share, width: math.ceil((2 * 1.96) ** 2 * 0.25 / width**2),
     "that is the number for a share of 0.5, whatever the share is."),
    (lambda share, width: math.floor(_needed(share, width)),
     "one recipe fewer than needed: round up (`math.ceil`), or the interval is too wide."),
    (lambda share, width: _needed(share, width),
     "recipes come whole: round up (`math.ceil`)."),
    (lambda share, width: round(_needed(share, width)),
     "round up (`math.ceil`): with one recipe fewer the interval is too wide."),
]  # fmt: skip


@exercise(example=_WIDTHS[0])
def recipes_needed(answer: Callable) -> Verdict:
    """``f(share, width) -> int``: test recipes for a 95 % interval that is ``width`` wide."""
    wrong = compare(answer, _WIDTHS, lambda **case: math.ceil(_needed(**case)), _WIDTH_MISTAKES)
    return wrong or correct(
        "half the width takes four times the recipes. It holds for independent recipes: images "
        "of one recipe succeed and fail together and do not count as several."
    )
