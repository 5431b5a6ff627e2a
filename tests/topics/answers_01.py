"""Answers to the exercises of lesson 01: right ones, and mistakes with their hints."""

import math
import random

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# --- 01.split ------------------------------------------------------------------------------------


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

# --- 01.groups -----------------------------------------------------------------------------------


def groups_right(recipe_ids, copies):
    group = {one: one for one in recipe_ids}
    for a, b in copies:
        low, high = sorted((group[a], group[b]))
        group = {one: low if of == high else of for one, of in group.items()}
    return group


def groups_by_scipy(recipe_ids, copies):
    place = {one: i for i, one in enumerate(recipe_ids)}
    a, b = np.array([(place[x], place[y]) for x, y in copies], int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(a)), (a, b)), shape=(len(place), len(place)))
    labels = connected_components(graph, directed=False)[1].tolist()
    least = {}
    for one, label in zip(recipe_ids, labels, strict=True):
        least[label] = min(one, least.get(label, one))
    return {one: least[label] for one, label in zip(recipe_ids, labels, strict=True)}


def groups_one_pass(recipe_ids, copies):
    group = {one: one for one in recipe_ids}
    for a, b in copies:
        group[a] = group[b] = min(group[a], group[b])
    return group


def groups_with_names(recipe_ids, copies, name):
    found = groups_right(recipe_ids, copies)
    return {one: name(of, [k for k, v in found.items() if v == of]) for one, of in found.items()}


GROUP_MISTAKES = [
    (groups_one_pass, "joining two recipes joins all"),
    (lambda ids, copies: {one: one for one in ids}, "share an image, and stand in"),
    (lambda ids, copies: dict.fromkeys(ids, "a"), "share no image, not even through others"),
    (lambda ids, copies: groups_with_names(ids, copies, lambda of, own: max(own)), "their names"),
    (lambda ids, copies: groups_with_names(ids, copies, lambda of, own: hash(of)), "their names"),
    (lambda ids, copies: {k: v for k, v in groups_right(ids, copies).items()
                          if any(k in pair for pair in copies)}, "A recipe without a copy"),
    (lambda ids, copies: dict(list(groups_right(ids, copies).items())[:5]), r"missing: f, g"),
    (lambda ids, copies: groups_right(ids, copies) | {"z": "z"}, "`z` is no recipe"),
    (lambda ids, copies: list(groups_right(ids, copies).values()), "a dict is due"),
    (lambda ids, copies: groups_right(ids, copies) if copies else dict.fromkeys(ids, "a"),
     "without copies every recipe"),
    (lambda ids, copies: groups_right(ids, [p for p in copies if p[0] < p[1]]), "share an image"),
]  # fmt: skip

# --- 01.recipes_needed ---------------------------------------------------------------------------


def needed_right(share, width):
    return math.ceil(share * (1 - share) * (2 * 1.96 / width) ** 2)


def needed_by_trying(share, width):
    n = 1
    while 2 * 1.96 * math.sqrt(share * (1 - share) / n) > width:
        n += 1
    return n


NEEDED_MISTAKES = [
    (lambda s, w: math.ceil(s * (1 - s) * (1.96 / w) ** 2), "twice as wide"),
    (lambda s, w: math.ceil(s * (1 - s) * (2 / w) ** 2), "takes 1.96"),
    (lambda s, w: math.ceil(2 * 1.96 * math.sqrt(s * (1 - s)) / w), "root of the number"),
    (lambda s, w: math.ceil(s * (2 * 1.96 / w) ** 2), "variance of a share"),
    (lambda s, w: math.ceil(0.25 * (2 * 1.96 / w) ** 2), "a share of 0.5"),
    (lambda s, w: needed_right(s, w) - 1, "round up"),
    (lambda s, w: s * (1 - s) * (2 * 1.96 / w) ** 2, "recipes come whole"),
    (lambda s, w: round(s * (1 - s) * (2 * 1.96 / w) ** 2), "round up"),
    (lambda s, w: "many", "a single number is due"),
    (lambda s, w: 7, "is due and you gave"),
]

RIGHT = {
    "01.split": [split_right, split_numpy],
    "01.groups": [groups_right, groups_by_scipy],
    "01.recipes_needed": [needed_right, needed_by_trying],
}
WRONG = {
    "01.split": SPLIT_MISTAKES,
    "01.groups": GROUP_MISTAKES,
    "01.recipes_needed": NEEDED_MISTAKES,
}
