"""Answers to the exercises as learners give them: right ones, and mistakes with their hints.

``RIGHT`` maps an exercise to right answers, ``WRONG`` to pairs of a wrong answer and a pattern that
its hint is to hold.
"""

import random

import numpy as np

from tests.first import exercise_answers_cleaning as cleaning
from tests.first import exercise_answers_composed as composed
from tests.first import exercise_answers_distributions as distributions
from tests.first import exercise_answers_mixtures as mixtures
from tests.first import exercise_answers_serving as serving

# --- 01.positive_pairs ---------------------------------------------------------------------------


def pairs_right(images, captions):
    found = []
    for recipe in images:
        for image in images[recipe]:
            for caption in captions.get(recipe, []):
                if (image, caption) not in found:
                    found.append((image, caption))
    return found


def pairs_zipped(images, captions):
    return [p for r in images for p in zip(images[r], captions.get(r, []), strict=False)]


def pairs_across(images, captions):
    return [(i, c) for a in images.values() for i in a for b in captions.values() for c in b]


def pairs_by_position(images, captions):
    both = zip(images.values(), captions.values(), strict=False)
    return [(i, c) for a, b in both for i in a for c in b]


def pairs_with_repeats(images, captions):
    return [(i, c) for r in images for i in images[r] for c in captions.get(r, [])]


def pairs_captions_once(images, captions):
    owner, found = {}, []
    for image, caption in pairs_right(images, captions):
        recipe = next(r for r in images if image in images[r])
        if owner.setdefault(caption, recipe) == recipe:
            found.append((image, caption))
    return found


PAIR_MISTAKES = [
    (pairs_zipped, "zip"),
    (pairs_across, "caption of another recipe"),
    (pairs_by_position, "not by position"),
    (pairs_with_repeats, "duplicates stay in"),
    (pairs_captions_once, "two recipes may share"),
    (lambda i, c: [(b, a) for a, b in pairs_right(i, c)], "other way round"),
    (lambda i, c: set(pairs_right(i, c)), "a list of pairs is due"),
    (lambda i, c: pairs_right(i, c)[:-1], "1 pairs are missing"),
    (lambda i, c: [pair[0] for pair in pairs_right(i, c)], "each pair is a tuple"),
    (lambda i, c: [(a, [b]) for a, b in pairs_right(i, c)], "both text"),
    (lambda i, c: list(dict.fromkeys((a, b) for r in i for a in i[r] for b in c[r])), "KeyError"),
    (lambda i, c: [p for p in pairs_right(i, c) if len(i) > 1 or len(i[min(i)]) < 2],
     "still due once"),
    (lambda i, c: pairs_right(i, {r: c.get(r, [""]) for r in i}), "gives no pair"),
]  # fmt: skip

# --- 01.split_by_recipe --------------------------------------------------------------------------


def split_right(ids, share, seed):
    recipes = sorted(set(ids))
    random.Random(seed).shuffle(recipes)
    n = round(len(recipes) * share)
    return set(recipes[n:]), set(recipes[:n])


def split_numpy(ids, share, seed):
    mixed = np.random.default_rng(seed).permutation(np.unique(ids))
    n = round(len(mixed) * share)
    return set(mixed[n:]), set(mixed[:n])


def split_rows(ids, share, seed):
    rows = sorted(ids)
    random.Random(seed).shuffle(rows)
    n = round(len(rows) * share)
    return set(rows[n:]), set(rows[:n])


def split_share_of_rows(ids, share, seed):
    recipes = sorted(set(ids))
    random.Random(seed).shuffle(recipes)
    test, rows = set(), 0
    for recipe in recipes:
        if rows < len(ids) * share:
            test.add(recipe)
            rows += ids.count(recipe)
    return set(recipes) - test, test


def split_unsorted(ids, share, seed, *, unique=dict.fromkeys):
    recipes = list(unique(ids))
    random.Random(seed).shuffle(recipes)
    n = round(len(recipes) * share)
    return set(recipes[n:]), set(recipes[:n])


def split_floor(ids, share, seed):
    recipes = sorted(set(ids))
    random.Random(seed).shuffle(recipes)
    n = int(len(recipes) * share)
    return set(recipes[n:]), set(recipes[:n])


SPLIT_MISTAKES = [
    (split_rows, "shuffling rows splits pairs"),
    (lambda i, s, _: split_right(i, s, 0), "seed makes no difference"),
    (lambda i, s, _: split_right(i, s, random.random()), "two calls with the same seed"),
    (split_unsorted, "order of the list"),
    (lambda i, s, k: split_unsorted(i, s, k, unique=set), "order of a `set`"),
    (split_floor, "`int` cuts off"),
    (lambda i, s, k: split_right(i, s, k)[::-1], "swapped"),
    (split_share_of_rows, "share is of recipes"),
    (lambda i, s, k: (split_right(i, s, k)[0], set()), "recipes are lost"),
    (lambda i, s, k: (split_right(i, s, k)[0] | {"x"}, split_right(i, s, k)[1]), "not given"),
    (lambda i, s, k: tuple(sorted(side) for side in split_right(i, s, k)), "return sets"),
    (lambda i, s, k: split_right(i, s, k)[0], "two sets are due"),
    (lambda i, s, k: (1, 2), "two sets of recipe ids"),
    (lambda i, s, k: ({1}, {2}), "the sets hold recipe ids"),
]  # fmt: skip

RIGHT = {
    "01.positive_pairs": [pairs_right],
    "01.split_by_recipe": [split_right, split_numpy],
    **cleaning.RIGHT,
    **distributions.RIGHT,
    **mixtures.RIGHT,
    **composed.RIGHT,
    **serving.RIGHT,
}
WRONG = {
    "01.positive_pairs": PAIR_MISTAKES,
    "01.split_by_recipe": SPLIT_MISTAKES,
    **cleaning.WRONG,
    **distributions.WRONG,
    **mixtures.WRONG,
    **composed.WRONG,
    **serving.WRONG,
}
