"""Negative pairs: an image with a caption that is not its own, label 0.

Contrastive losses find their negatives in the batch; written ones are for losses that read labels,
and to compare. A negative that is true of the image teaches the opposite of what it should, and "a
caption of another recipe" is not enough to rule that out: what is refused, and why, is counted.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse

from helpers.data.duplicates import groups_by_picture
from helpers.data.records import Recipe, collapse
from helpers.first.prepare.food_words import SMALL_WORDS
from helpers.first.prepare.text_facts import WORD, one_word_each
from helpers.repro import canonical_json

MODES = ("random", "hard")
HARD_POOL = 10  # a hard negative is one of this many captions that share most words
REASONS = ("same recipe", "near-duplicate", "says nothing else")
_BLOCK = 512


@dataclass(frozen=True)
class Negatives:
    """Negative rows, and how often the guard spoke.

    ``frame`` has the columns of the positives with ``label`` "0" and ``caption_recipe_id``, the
    recipe that the caption comes from. ``refused`` counts, for each of ``REASONS``, the captions
    that were drawn and put back; ``repeated`` the rows whose image had no fresh caption left.
    """

    frame: pd.DataFrame
    refused: Mapping[str, int]
    repeated: int


def near_duplicates(
    recipes: Iterable[Recipe], *, image_hashes: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Recipe id to the group of those that show the same: equal picture, title or attributes.

    Parameters
    ----------
    recipes : iterable of Recipe
        The attribute ``style`` does not count: it says how a dish is pictured.
    image_hashes : mapping of image key to str, optional
        ``Pairs.image_hashes``; without it pictures are not compared.

    >>> a, b = (Recipe(i, title, ()) for i, title in (("1", "Pie"), ("2", "pie")))
    >>> near_duplicates([a, b])
    {'1': '1', '2': '1'}
    """
    signs: dict[str, list[str]] = {}
    for recipe in recipes:
        own = [f"picture {image_hashes[key]}" for key in recipe.images] if image_hashes else []
        if title := collapse(recipe.title).casefold():
            own.append(f"title {title}")
        attributes = {k: v for k, v in recipe.attributes.items() if k != "style"}
        if attributes:
            own.append(f"attributes {canonical_json(attributes)}")
        signs[recipe.recipe_id] = own
    return groups_by_picture(signs)


def negative_pairs(
    positives: pd.DataFrame,
    *,
    seed: int,
    mode: str = "random",
    per_positive: int = 1,
    groups: Mapping[str, str] | None = None,
    captions: pd.DataFrame | None = None,
) -> Negatives:
    """Captions of other recipes for the images of the positives, ``per_positive`` to each.

    What a row gets depends on seed, image and captions alone, not on the order of the frame.

    Parameters
    ----------
    positives : DataFrame
        At least ``recipe_id``, ``image_key`` and ``caption``, strings.
    mode : str
        ``random``: any caption that passes; ``hard``: one of the ``HARD_POOL`` that share most
        words (Jaccard) with the positive's own caption.
    groups : mapping of recipe id to group, optional
        Near-duplicates (see ``near_duplicates``): no captions are exchanged inside a group.
    captions : DataFrame, optional
        ``recipe_id`` and ``caption`` to draw from; by default the positives.

    Raises
    ------
    ValueError
        For an unknown mode, a number below 1, or an image for which no caption passes, as with
        one recipe only.
    """
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r} of negatives; use one of {', '.join(MODES)}")
    if per_positive < 1:
        raise ValueError(f"per_positive is {per_positive}; it must be at least 1")
    pool = _Pool.of(positives if captions is None else captions, dict(groups or {}), seed)
    own = _own_words(positives, pool)
    ranked = _ranked(positives, pool) if mode == "hard" else None
    tally = _Tally()
    rows, texts, sources = [], [], []
    order = positives.reset_index(drop=True).sort_values(["image_key", "recipe_id", "caption"])
    for (key, recipe_id), part in order.groupby(["image_key", "recipe_id"], sort=True):
        guard = _Guard(pool, recipe_id, own[recipe_id], tally)
        rng = np.random.default_rng(_number(seed, mode, key, recipe_id))
        used: set[str] = set()
        for index, caption in zip(part.index, part["caption"], strict=True):
            drawn = ranked[collapse(caption)] if ranked else _shuffled(rng, len(pool.texts))
            for chosen in guard.take(drawn, per_positive, used, rng, hard=ranked is not None):
                rows.append(index)
                texts.append(pool.texts[chosen])
                sources.append(pool.recipes[chosen])
    frame = positives.reset_index(drop=True).loc[rows]
    frame = frame.assign(caption=texts, label="0", caption_recipe_id=sources).sort_index(
        kind="stable"
    )
    return Negatives(frame.reset_index(drop=True), dict(tally.refused), tally.repeated)


@dataclass
class _Tally:
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    repeated: int = 0


@dataclass(frozen=True)
class _Pool:
    """Every caption once for each recipe, in an order that the seed decides."""

    texts: tuple[str, ...]
    recipes: tuple[str, ...]
    words: tuple[frozenset[str], ...]
    groups: Mapping[str, str]

    @classmethod
    def of(cls, frame: pd.DataFrame, groups: Mapping[str, str], seed: int) -> "_Pool":
        unique = {
            (recipe, collapse(text).casefold()): text
            for recipe, text in sorted(zip(frame["recipe_id"], frame["caption"], strict=True))
        }
        order = sorted(unique, key=lambda item: _number(seed, *item))
        texts = tuple(unique[item] for item in order)
        words = tuple(content_words(text) for text in texts)
        return cls(texts, tuple(recipe for recipe, _ in order), words, groups)

    def group(self, recipe_id: str) -> str:
        return self.groups.get(recipe_id, recipe_id)


@dataclass(frozen=True)
class _Guard:
    """What may not be said of the images of one recipe.

    Not its own captions, not those of a near-duplicate, and not a caption all of whose words its
    own captions hold: "chicken soup" is true of every chicken soup, whichever recipe wrote it.
    """

    pool: _Pool
    recipe_id: str
    own: frozenset[str]
    tally: _Tally

    def take(
        self, drawn: Iterable[int], n: int, used: set[str], rng: np.random.Generator, *, hard: bool
    ) -> list[int]:
        """The first ``n`` that pass, or ``n`` of the first few; texts not yet used come first."""
        wanted = max(n, HARD_POOL) if hard else n
        fresh: list[int] = []
        stale: list[int] = []
        for i in drawn:
            if reason := self.problem(i):
                self.tally.refused[reason] += 1
                continue
            (stale if self.pool.texts[i] in used else fresh).append(i)
            if len(fresh) == wanted:
                break
        if not fresh and not stale:
            raise ValueError(
                f"no negative caption for recipe {self.recipe_id!r}: all {len(self.pool.texts)} "
                f"captions are its own, a near-duplicate's, or say nothing that its own do not "
                f"({_counted(self.tally.refused)}); add recipes, or leave negatives out"
            )
        if hard:
            fresh = [fresh[j] for j in rng.permutation(len(fresh))]
        self.tally.repeated += max(0, n - len(fresh))
        repeats = stale or fresh
        chosen = (fresh + repeats * n)[:n]
        used.update(self.pool.texts[i] for i in chosen)
        return chosen

    def problem(self, i: int) -> str:
        """Why caption ``i`` of the pool may not be used; empty if it may."""
        if self.pool.recipes[i] == self.recipe_id:
            return "same recipe"
        if self.pool.group(self.pool.recipes[i]) == self.pool.group(self.recipe_id):
            return "near-duplicate"
        return "says nothing else" if self.pool.words[i] <= self.own else ""


def content_words(text: str) -> frozenset[str]:
    """The words that say something, synonyms as one, in small letters.

    >>> sorted(content_words("A bowl of Prawns")) == sorted(content_words("the shrimp bowl"))
    True
    """
    words = WORD.findall(one_word_each(collapse(text).casefold()))
    return frozenset(words) - SMALL_WORDS


def _own_words(positives: pd.DataFrame, pool: _Pool) -> dict[str, frozenset[str]]:
    """All words of a recipe's captions, those in the pool and those of the positives."""
    found: dict[str, set[str]] = {}
    for recipe, words in zip(pool.recipes, pool.words, strict=True):
        found.setdefault(recipe, set()).update(words)
    for recipe, text in set(zip(positives["recipe_id"], positives["caption"], strict=True)):
        found.setdefault(recipe, set()).update(content_words(text))
    return {recipe: frozenset(words) for recipe, words in found.items()}


def _ranked(positives: pd.DataFrame, pool: _Pool) -> dict[str, np.ndarray]:
    """For each caption of the positives the pool's captions, most shared words first."""
    queries = sorted(set(map(collapse, positives["caption"])))
    query_words = [content_words(text) for text in queries]
    columns = {w: i for i, w in enumerate(sorted(set().union(*pool.words, *query_words)))}
    gallery = _incidence(pool.words, columns)
    sizes = np.array([len(w) for w in pool.words])
    ranked: dict[str, np.ndarray] = {}
    for start in range(0, len(queries), _BLOCK):
        block = query_words[start : start + _BLOCK]
        shared = (_incidence(block, columns) @ gallery.T).toarray()  # (block, captions)
        union = np.array([len(w) for w in block])[:, None] + sizes - shared
        order = np.argsort(-shared / np.maximum(union, 1), axis=1, kind="stable")
        ranked.update(zip(queries[start : start + _BLOCK], order, strict=True))
    return ranked


def _incidence(texts: Sequence[frozenset[str]], columns: Mapping[str, int]) -> sparse.csr_array:
    rows = np.repeat(np.arange(len(texts)), [len(words) for words in texts])
    places = [columns[word] for words in texts for word in sorted(words)]
    ones = np.ones(len(places), np.int32)
    return sparse.csr_array((ones, (rows, places)), shape=(len(texts), len(columns)))


def _shuffled(rng: np.random.Generator, n: int) -> Iterable[int]:
    """Every number below ``n`` once; the first few cost little, however large ``n`` is."""
    swapped: dict[int, int] = {}
    for i in range(n):
        j = int(rng.integers(i, n))
        yield swapped.get(j, j)
        swapped[j] = swapped.get(i, i)


def _number(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big")


def _counted(refused: Mapping[str, int]) -> str:
    return ", ".join(f"{reason}: {n}" for reason, n in refused.items() if n)
