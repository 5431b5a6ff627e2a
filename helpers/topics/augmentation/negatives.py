"""Negative pairs: an image with a caption that is not its own, label 0.

A contrastive loss finds its negatives in the batch; written ones are for losses that read labels.
A negative that is true of the image teaches the opposite of what it should, and "a caption of
another recipe" is not enough to rule that out: what is refused, and why, is counted.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse

from helpers.data.duplicates import groups_by_picture
from helpers.data.records import Recipe, collapse
from helpers.repro import canonical_json
from helpers.topics.augmentation.facts import content_words

MODES = ("random", "hard")
HARD_POOL = 10  # a hard negative is one of this many captions that share most words
REASONS = ("same recipe", "near-duplicate", "says nothing else")


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
    """Recipe id to the group of those that show the same: equal image, title or attributes.

    ``image_hashes`` maps image keys to hashes, as ``Pairs.image_hashes`` does; without it images
    are not compared. The attribute ``style`` does not count: it says how a dish is drawn.
    """
    signs: dict[str, list[str]] = {}
    for recipe in recipes:
        own = [f"image {image_hashes[key]}" for key in recipe.images] if image_hashes else []
        if title := collapse(recipe.title).casefold():
            own.append(f"title {title}")
        attributes = {k: v for k, v in recipe.attributes.items() if k != "style"}
        if attributes:
            own.append(f"attributes {canonical_json(attributes)}")
        signs[recipe.recipe_id] = own
    return groups_by_picture(signs)


def negative_pairs(
    positives: pd.DataFrame, *, seed: int, mode: str = "random",
    groups: Mapping[str, str] | None = None, captions: pd.DataFrame | None = None,
) -> Negatives:  # fmt: skip
    """One caption of another recipe for each row of the positives.

    What a row gets depends on seed, image and captions alone, not on the order of the frame.

    Parameters
    ----------
    positives : DataFrame
        At least ``recipe_id``, ``image_key`` and ``caption``, strings.
    mode : str
        ``random``: any caption that passes; ``hard``: one of the ``HARD_POOL`` that share most
        words (Jaccard) with the row's own caption, of those that pass.
    groups : mapping of recipe id to group, optional
        Near-duplicates (:func:`near_duplicates`): no captions are exchanged inside a group.
    captions : DataFrame, optional
        ``recipe_id`` and ``caption`` to draw from; by default the positives.

    Raises
    ------
    ValueError
        For an unknown mode, or an image for which no caption passes, as with one recipe only.
    """
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r} of negatives; use one of {', '.join(MODES)}")
    rows = positives.reset_index(drop=True)
    pool = _Pool.of(rows if captions is None else captions, rows, groups or {})
    texts, sources = np.empty(len(rows), object), np.empty(len(rows), object)
    repeated = 0
    ordered = rows.sort_values(["image_key", "recipe_id", "caption"])
    for (key, recipe), part in ordered.groupby(["image_key", "recipe_id"], sort=True):
        digest = hashlib.sha256(repr((seed, mode, key, recipe)).encode()).digest()
        rng, taken = np.random.default_rng(int.from_bytes(digest[:8], "big")), set()
        for row, caption in zip(part.index, part["caption"], strict=True):
            chosen, fresh = pool.draw(recipe, caption, mode, taken, rng)
            repeated += not fresh
            taken.add(pool.texts[chosen])
            texts[row], sources[row] = pool.texts[chosen], pool.recipes[chosen]
    frame = rows.assign(caption=texts, label="0", caption_recipe_id=sources)
    frame = frame.astype({"caption": "str", "caption_recipe_id": "str"})
    return Negatives(frame, {reason: pool.refused[reason] for reason in REASONS}, repeated)


@dataclass
class _Pool:
    """The captions to draw from, each once a recipe, and what each recipe says itself."""

    texts: Sequence[str]
    recipes: Sequence[str]
    columns: Mapping[str, int]  # of a word
    words: sparse.csr_array  # (captions, words) 0 or 1
    own: Mapping[str, frozenset[str]]  # all words of a recipe's captions
    groups: Mapping[str, str]
    refused: Counter = field(default_factory=Counter)

    @classmethod
    def of(cls, captions: pd.DataFrame, positives: pd.DataFrame, groups: Mapping[str, str]):
        pairs = captions[["recipe_id", "caption"]].assign(caption=captions["caption"].map(collapse))
        pairs = pairs.drop_duplicates().sort_values(["recipe_id", "caption"])
        said = pd.concat([pairs, positives[["recipe_id", "caption"]]]).drop_duplicates()
        own: dict[str, frozenset[str]] = {}
        for recipe, text in zip(said["recipe_id"], said["caption"], strict=True):
            own[recipe] = own.get(recipe, frozenset()) | content_words(text)
        columns = {w: i for i, w in enumerate(sorted(frozenset().union(*own.values())))}
        words = _incidence(list(map(content_words, pairs["caption"])), columns)
        return cls(pairs["caption"].tolist(), pairs["recipe_id"].tolist(), columns, words, own,
                   groups)  # fmt: skip

    def draw(
        self, recipe: str, caption: str, mode: str, taken: set[str], rng: np.random.Generator
    ) -> tuple[int, bool]:
        """The number of a caption that passes for a recipe, and whether it is a fresh one."""
        n, pool = len(self.texts), HARD_POOL if mode == "hard" else 1
        order = self._nearest(caption) if mode == "hard" else _shuffled(rng, n)
        found, stale = [], []
        for i in map(int, order):
            if why := self.problem(i, recipe):
                self.refused[why] += 1
                continue
            (stale if self.texts[i] in taken else found).append(i)
            if len(found) == pool:
                break
        if not found and not stale:
            raise ValueError(
                f"no negative caption for recipe {recipe!r}: all {n} captions are its own, a "
                "near-duplicate's, or say nothing that its own do not; add recipes, or leave "
                "negatives out"
            )
        return int(rng.choice(found or stale)), bool(found)

    def problem(self, i: int, recipe: str) -> str:
        """Why caption ``i`` may not be used for a recipe; empty if it may."""
        other = self.recipes[i]
        if other == recipe:
            return "same recipe"
        if self.groups.get(other, other) == self.groups.get(recipe, recipe):
            return "near-duplicate"
        return "says nothing else" if content_words(self.texts[i]) <= self.own[recipe] else ""

    def _nearest(self, caption: str) -> np.ndarray:
        """The captions by the share of words that they have in common, most first."""
        query = _incidence([content_words(caption)], self.columns)
        shared = (self.words @ query.T).toarray()[:, 0]
        union = self.words.sum(axis=1) + query.sum() - shared
        return np.argsort(-shared / np.maximum(union, 1), kind="stable")


def _incidence(texts: Sequence[frozenset[str]], columns: Mapping[str, int]) -> sparse.csr_array:
    rows = np.repeat(np.arange(len(texts)), [len(words) for words in texts])
    places = [columns[word] for words in texts for word in sorted(words)]
    shape = (len(texts), len(columns))
    return sparse.csr_array((np.ones(len(rows), np.int32), (rows, places)), shape=shape)


def _shuffled(rng: np.random.Generator, n: int) -> Iterable[int]:
    """Every number below ``n`` once; the first few cost little, however large ``n`` is."""
    swapped: dict[int, int] = {}
    for i in range(n):
        j = int(rng.integers(i, n))
        yield swapped.get(j, j)
        swapped[j] = swapped.get(i, i)
