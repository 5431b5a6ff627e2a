"""Text as shops and their visitors write it: listings that are short, incomplete or wrong, and
queries in small letters without grammar.

Whoever has products rarely has captions. What a listing lacks is known here, because the noise is
made by rule and its kind is kept.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.data.records import Recipe
from helpers.first.prepare.food_words import SMALL_WORDS
from helpers.repro import hash_of

NOISE = ("as it is", "short", "incomplete", "wrong")
COLUMNS = ("recipe_id", "listing", "noise")
# What people type around a wish, and what they leave out is in SMALL_WORDS.
FILLERS = ("photo", "picture", "homemade", "fresh", "served", "topped", "garnished", "covered")


def noisy_listings(
    recipes: Iterable[Recipe], shares: Mapping[str, float], *, seed: int = 42
) -> pd.DataFrame:
    """One listing a recipe, from its title.

    Parameters
    ----------
    recipes : iterable of Recipe
        Those without a title are left out.
    shares : mapping of noise to share of the recipes
        ``short``: the last word of what is named before any "with"; ``incomplete``: one word of the
        title is missing; ``wrong``: another recipe's title. What is left is "as it is", and so are
        titles that are too short to lose a word.
    seed : int

    Returns
    -------
    DataFrame
        Columns ``COLUMNS``, all strings, in the order of the recipes.

    Raises
    ------
    ValueError
        If a share is unknown, negative, or they add up to more than 1.

    Examples
    --------
    >>> noisy_listings([Recipe("1", "Egg salad with basil", ())], {"short": 1})["listing"].tolist()
    ['salad']
    """
    unknown = sorted(set(shares) - set(NOISE[1:]))
    if unknown or min(shares.values(), default=0) < 0 or sum(shares.values()) > 1 + 1e-9:
        raise ValueError(
            f"shares of noise {dict(shares)}: give shares of {', '.join(NOISE[1:])} that are not "
            "negative and add up to at most 1"
        )
    titled = [recipe for recipe in recipes if recipe.title.strip()]
    titles = [" ".join(recipe.title.split()) for recipe in titled]
    edges = np.cumsum([shares.get(kind, 0.0) for kind in NOISE[1:]])
    rows = []
    for recipe, title in zip(titled, titles, strict=True):
        rng = _stream(seed, recipe.recipe_id)
        place = int(np.searchsorted(edges, rng.random(), side="right"))
        kind = NOISE[place + 1] if place < len(edges) else NOISE[0]
        listing = _listing(title, kind, titles, rng)
        rows.append((recipe.recipe_id, listing, kind if listing != title else NOISE[0]))
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype="str")


def user_queries(captions: Sequence[str], *, typos: float = 0.2, seed: int = 42) -> list[str]:
    """Captions as somebody would type them: content words in small letters, now and then a slip.

    Parameters
    ----------
    captions : sequence of str
    typos : float
        Share of the queries in which two neighboring letters of a longer word are exchanged.
    seed : int

    Examples
    --------
    >>> user_queries(["A photo of egg salad, on a red plate"], typos=0)
    ['egg salad red plate']
    """
    if not 0 <= typos <= 1:
        raise ValueError(f"typos is {typos}: give a share from 0 to 1")
    found = []
    for place, caption in enumerate(captions):
        words = [word.strip(".,;:!?\"'()").lower() for word in caption.split()]
        kept = [w for w in words if w and w not in SMALL_WORDS and w not in FILLERS] or words
        rng = _stream(seed, f"{place} {caption}")
        long = [i for i, word in enumerate(kept) if len(word) > 4]
        if long and rng.random() < typos:
            i = long[int(rng.integers(len(long)))]
            kept[i] = _slip(kept[i], rng)
        found.append(" ".join(kept))
    return found


def _listing(title: str, kind: str, titles: Sequence[str], rng: np.random.Generator) -> str:
    words = title.split()
    if kind == "wrong":
        others = [other for other in dict.fromkeys(titles) if other != title]
        return others[int(rng.integers(len(others)))] if others else title
    if len(words) < 2 or kind == NOISE[0]:
        return title
    if kind == "short":
        lower = [word.lower() for word in words]
        named = words[: lower.index("with")] if "with" in lower[1:] else words
        return named[-1]
    droppable = [i for i, word in enumerate(words) if word.lower() not in SMALL_WORDS]
    if len(droppable) < 2:
        return title
    gone = droppable[int(rng.integers(len(droppable)))]
    left = words[:gone] + words[gone + 1 :]
    while left and left[-1].lower() in SMALL_WORDS:  # nothing ends in "with"
        left.pop()
    return " ".join(left)


def _slip(word: str, rng: np.random.Generator) -> str:
    """Two neighboring letters exchanged, never the first; the word itself if all are alike."""
    places = [i for i in range(1, len(word) - 1) if word[i] != word[i + 1]]
    if not places:
        return word
    i = places[int(rng.integers(len(places)))]
    return word[:i] + word[i + 1] + word[i] + word[i + 2 :]


def _stream(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng(int(hash_of([seed, name]), 16))
