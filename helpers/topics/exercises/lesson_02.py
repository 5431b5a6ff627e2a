"""Checks of lesson 02: swapped colors, an ingredient that moves behind its dish, captions that are
wrong, and the step at which training should have stopped."""

import operator
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from helpers.topics.exercises.engine import (
    Settled,
    Verdict,
    ask,
    compare,
    correct,
    exercise,
    hint,
)

_PIXELS = torch.rand(2, 3, 3, 4, generator=torch.Generator().manual_seed(0))
_SWAPS: list[tuple[Callable[[torch.Tensor], torch.Tensor], str]] = [
    (lambda x: x, "nothing is swapped: `pixels[:, [1, 0, 2]]` takes channels in a new order."),
    (lambda x: x[:, [2, 1, 0]], "red and blue are swapped: channel 0 is red, 1 green, 2 blue."),
    (lambda x: x[:, [0, 2, 1]], "green and blue are swapped: channel 0 is red, 1 green, 2 blue."),
    (lambda x: x[:, [1, 2, 0]], "all three channels move: blue has to stay where it is."),
    (lambda x: x[:, [2, 0, 1]], "all three channels move: blue has to stay where it is."),
    (lambda x: x[:, [1, 1, 2]], "green is there twice: red has to take its place."),
    (lambda x: x[:, [0, 0, 2]], "red is there twice: green has to take its place."),
    (lambda x: 1 - x, "the colors are inverted, not swapped."),
    (lambda x: x.flip(-1), "the image is mirrored: channels are the second dimension."),
    (lambda x: x.flip(0), "the images of the batch have changed places: channels come second."),
]


@exercise(example={"pixels": _PIXELS})
def swapped_colors(answer: Callable) -> Verdict:
    """``f(pixels) -> (n, 3, h, w)``: red and green change places."""
    pixels = _PIXELS.clone()
    got = ask(answer, pixels=pixels)
    if not isinstance(got, torch.Tensor):
        return hint(f"a tensor is due, and you returned a {type(got).__name__}.")
    if got.shape != _PIXELS.shape:
        return hint(f"shape {tuple(_PIXELS.shape)} is due, and you returned {tuple(got.shape)}.")
    if torch.equal(got, _PIXELS[:, [1, 0, 2]]):
        return correct(
            "a library would call it augmentation, and every caption that names one of the two "
            "colors is now false."
        )
    for mistake, text in _SWAPS:
        if torch.equal(got, mistake(_PIXELS)):
            return hint(text)
    return hint("the values are others: channels change places, and no number changes.")


_FOODS = {"banana", "tomato", "apple", "chicken"}
# Title and known ingredients; the first that goes wrong decides the hint.
_TITLES = [
    ("Banana French Toast", _FOODS),
    ("Tomato Soup", _FOODS),
    ("apple crumble", _FOODS),
    ("Lentil Curry", {"lentil"}),
    ("Danish Apple Pancakes", _FOODS),
    ("Rice Pudding", _FOODS),
    ("Banana", _FOODS),
    ("Tomato Soup with Basil", _FOODS),
    ("French Toast with Banana", _FOODS),
    ("Chicken Curry without Cream", _FOODS),
]


def _reordered(
    title: str,
    ingredients: set[str],
    *,
    moves: Callable[[list[str], set[str]], bool] | None = None,
    kept: slice = slice(1, None),
    moved: Callable[[str], str] = str,
    sign: Callable[[list[str]], bool] | None = None,
) -> str:
    words = title.split()
    small = [word.lower() for word in words]
    known = (moves or (lambda w, known: w[0].lower() in known))(words, ingredients)
    signed = (sign or (lambda w: "with" in w or "without" in w))(small)
    if len(words) < 2 or not known or signed:
        return title
    return f"{' '.join(words[kept])} with {moved(words[0])}"


_TITLE_MISTAKES: list[tuple[Callable[[str, set[str]], str], str]] = [
    (lambda t, known: t,
     "a title whose first word is an ingredient stays as it was: the set holds small letters, "
     "so look up `word.lower()`."),
    (lambda t, known: _reordered(t, known, kept=slice(-1, None)),
     "a word is lost: everything behind the first word is the dish, not the last word alone."),
    (lambda t, known: _reordered(t, known, kept=slice(0, None)),
     "the ingredient stands there twice: it moves, so it leaves the front."),
    (lambda t, known: _reordered(t, known, moved=str.lower),
     "the moved word has lost its capital: look it up in small letters, but move it as it stood."),
    (lambda t, known: _reordered(t, known, moved=str.capitalize),
     "the moved word has got a capital that it did not have: move it as it stood."),
    (lambda t, known: _reordered(t, known).lower(),
     "the capitals are gone: look the word up in small letters, but leave the title its own."),
    (lambda t, known: _reordered(t, known, moves=lambda words, known: True),
     "the first word is no ingredient, and yet it moved: what stands in front may be part of the "
     "name, as in French toast."),
    (lambda t, known: _reordered(
        t, known, moves=lambda words, known: any(w.lower() in known for w in words)),
     "the first word is no ingredient, and yet it moved: only the first word is to be looked up, "
     "not any word of the title."),
    (lambda t, known: _reordered(t, known, sign=lambda words: False),
     "a title that says `with` or `without` already is changed: it would say it twice, or deny the "
     "wrong thing."),
    (lambda t, known: _reordered(t, known, sign=lambda words: "with" in words),
     "a title with `without` is changed: what is denied must stay next to its denial."),
    (lambda t, known: _reordered(t, known, sign=lambda words: "without" in words),
     "a title that says `with` already is changed, and now says it twice."),
    (lambda t, known: _reordered(t, known) if len(t.split()) > 2 else t,
     "a title of two words stays as it was: Tomato Soup is a Soup with Tomato."),
    (lambda t, known: _reordered(t, _FOODS),
     "you look the word up in a list of your own: the ingredients are the second argument."),
]  # fmt: skip


@exercise(example={"title": "Banana French Toast", "ingredients": _FOODS})
def reorder_title(answer: Callable) -> Verdict:
    """``f(title, ingredients) -> str``: an ingredient in front goes behind the dish.

    "with" stands between them. ``ingredients`` are singular, in small letters. Titles of one word,
    those that begin with anything else and those that hold "with" or "without" stay as they are;
    no letter changes.
    """
    cases = [{"title": title, "ingredients": known} for title, known in _TITLES]
    got = [ask(answer, **case) for case in cases]
    if odd := [text for text in got if not isinstance(text, str)]:
        return hint(f"a title is due, as text, and you returned {odd[0]!r}.")
    want = [_reordered(*case.values()) for case in cases]
    wrong = [i for i in range(len(cases)) if got[i] != want[i]]
    if not wrong:
        return correct(
            "the words stay the same and change places, where that is safe. A rule that does not "
            "know the first word leaves the title alone."
        )
    first = wrong[0]
    if got[first].split() == want[first].split():
        return hint(f"only the spaces differ: `{want[first]}` is due, you gave `{got[first]}`.")
    alike = [
        [text == mistake(*case.values()) for text, case in zip(got, cases, strict=True)]
        for mistake, _ in _TITLE_MISTAKES
    ]
    likely = [i for i, same in enumerate(alike) if same[first]]
    said = f"from `{_TITLES[first][0]}` you made `{got[first]}`"
    if likely:
        return hint(f"{said}: {_TITLE_MISTAKES[max(likely, key=lambda i: sum(alike[i]))][1]}")
    return hint(f"{said}; `{want[first]}` is due.")


# Four recipes share a caption, and recipes take turns: "the next row" is not safe anywhere.
_RECIPES = [f"{i:03d}" for i in (0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 4, 5, 6, 7,
                                 7, 6)]  # fmt: skip
_SHARED = {0: "soup", 1: "soup", 2: "soup", 3: "soup"}
_TEXTS = [_SHARED.get(i, f"dish {recipe}, view {i}") for i, recipe in enumerate(_RECIPES)]
# All but one caption say of the first two rows what their own recipe says already.
_FEW = (["a", "a", "b", "c", "d", "e"], ["hot soup", "soup", "soup", "soup", "soup", "pie"])
_SEEDS = tuple(range(1, 11))


@exercise(example={"recipe_ids": _RECIPES, "captions": _TEXTS, "seed": 1})
def negative_captions(answer: Callable) -> Verdict:
    """``f(recipe_ids, captions, seed) -> list of int``: for each pair a caption that is wrong.

    The index of a caption of another recipe whose text is none of its own recipe's captions.
    """
    drawn = [_asked_indices(answer, _RECIPES, _TEXTS, seed) for seed in _SEEDS]
    few = [_asked_indices(answer, *_FEW, seed) for seed in _SEEDS]
    for ids, texts, found in ((_RECIPES, _TEXTS, drawn), (*_FEW, few)):
        for indices in found:
            if verdict := _invalid(ids, texts, indices):
                return verdict
    if _asked_indices(answer, _RECIPES, _TEXTS, _SEEDS[0]) != drawn[0]:
        return hint(
            "two calls with the same seed give two answers: draw from a generator made from the "
            "seed inside the function, such as `np.random.default_rng(seed)`."
        )
    if all(a == b for a, b in pairwise(drawn)):
        return hint("the seed makes no difference: draw among the captions that are allowed.")
    if sum(len(set(indices)) for indices in drawn) < len(_SEEDS) * len(_RECIPES) / 3:
        return hint(
            f"{len(_RECIPES)} pairs get only {len(set(drawn[0]))} different captions: make the "
            "generator once, before the loop. Made anew for each pair, it starts again from the "
            "same number."
        )
    return correct(
        "another recipe, and another text than any of its own: such a caption is safe to call "
        "wrong, as far as ids and texts can tell."
    )


def _invalid(ids: list[str], texts: list[str], indices: list[int]) -> Verdict | None:
    """A hint at the first pair whose caption may be true of it; None if there is none."""
    n = len(ids)
    own = [{t for t, r in zip(texts, ids, strict=True) if r == recipe} for recipe in ids]
    same = [i for i, j in enumerate(indices) if ids[i] == ids[j]]
    told = [i for i, j in enumerate(indices) if texts[j] in own[i]]
    if not told:
        return None
    shift = {(j - i) % n for i, j in enumerate(indices)}
    if len(shift) == 1 and shift != {0}:
        return hint(
            f"every pair gets the caption {shift.pop()} rows on: that fails where neighbors share "
            "a recipe or a text. Choose among the captions that are allowed for each pair."
        )
    if same:
        i = same[0]
        return hint(
            f"pair {i} of recipe {ids[i]!r} gets caption {indices[i]}, of the same recipe: it is "
            "true of the image, and training would push the two apart."
        )
    i = told[0]
    j = indices[i]
    if texts[i] == texts[j]:
        return hint(
            f"pair {i} gets caption {j} of another recipe, but the text is the same, "
            f"`{texts[j]}`: another id does not make it wrong. Compare texts too."
        )
    return hint(
        f"pair {i} gets caption {j}, `{texts[j]}`, which another pair of recipe {ids[i]!r} has as "
        "well: compare with every caption of the recipe, not with this pair's alone."
    )


def _asked_indices(answer: Callable, ids: list[str], texts: list[str], seed: int) -> list[int]:
    result = ask(answer, recipe_ids=ids, captions=texts, seed=seed)
    if isinstance(result, (str, bytes, set, dict)) or not hasattr(result, "__len__"):
        raise Settled(hint(f"a list of indices is due, and you gave a {type(result).__name__}."))
    if len(result) != len(ids):
        raise Settled(hint(f"{len(ids)} indices are due, one for each pair; you gave "
                           f"{len(result)}."))  # fmt: skip
    indices = [_index(item) for item in result]
    if outside := [i for i in indices if not 0 <= i < len(ids)]:
        raise Settled(hint(f"index {outside[0]} is none of 0 to {len(ids) - 1}: indices count "
                           "from 0, into the list of captions."))  # fmt: skip
    return indices


def _index(item: Any) -> int:
    if isinstance(item, str):
        raise Settled(hint(f"indices are due, not captions: one of yours is `{item}`."))
    try:
        return operator.index(item)
    except TypeError:
        raise Settled(
            hint(f"each index is a whole number, and one of yours is {item!r}.")
        ) from None


_LOOKS = [
    {"steps": [0, 10, 20, 40], "losses": [3.0, 2.0, 2.5, 4.0]},
    {"steps": [0, 5, 15, 30, 60], "losses": [4.1, 3.9, 3.2, 3.2, 3.6]},
    {"steps": [10, 20, 30], "losses": [2.0, 2.2, 2.4]},
    {"steps": [0, 25, 50, 75], "losses": [4.0, 3.1, 2.6, 2.4]},
    {"steps": [0, 8, 16, 24, 32, 40], "losses": [4.0, 3.0, 3.3, 2.9, 3.5, 4.5]},
]


def _best_step(steps: list[int], losses: list[float]) -> int:
    return steps[losses.index(min(losses))]


def _first_rise(steps: list[int], losses: list[float]) -> int:
    rises = [i for i, (a, b) in enumerate(pairwise(losses)) if b > a]
    return steps[rises[0]] if rises else steps[-1]


_STEP_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda steps, losses: steps[-1], "that is the last step, whatever the losses say."),
    (lambda steps, losses: losses.index(min(losses)),
     "that is the number of the look, counted from 0: the step at which it was taken is due."),
    (lambda steps, losses: min(losses), "that is the lowest loss: the step that has it is due."),
    (lambda steps, losses: steps[losses.index(max(losses))],
     "that is where the loss is highest: of a loss less is better."),
    (lambda steps, losses: steps[len(losses) - 1 - losses[::-1].index(min(losses))],
     "of two equal losses you take the later: the earlier costs less training."),
    (_first_rise,
     "you stop at the first rise: a loss may rise a little and fall again. Look at all of them."),
    (lambda steps, losses: steps[min(losses.index(min(losses)) + 1, len(steps) - 1)],
     "that is one look too late: the look with the lowest loss itself is due."),
]  # fmt: skip


@exercise(example=_LOOKS[0])
def best_step(answer: Callable) -> Verdict:
    """``f(steps, losses) -> int``: the step of the lowest validation loss, the first of equals."""
    wrong = compare(answer, _LOOKS, _best_step, _STEP_MISTAKES)
    return wrong or correct(
        "early stopping. The step is chosen on validation, so the loss there is a little too "
        "good: report another set."
    )
