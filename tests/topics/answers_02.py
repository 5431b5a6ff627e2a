"""Answers to the exercises of lesson 02: right ones, and mistakes with their hints."""

import random

import numpy as np
import torch

# --- 02.reorder_title ----------------------------------------------------------------------------


def title_right(title, ingredients):
    first, _, dish = title.partition(" ")
    taken = {"with", "without"} & set(title.lower().split())
    if not dish or taken or first.lower() not in ingredients:
        return title
    return dish + " with " + first


def title_where(allowed, change=lambda first, dish: f"{dish} with {first}"):
    """A wrong answer that moves the first word wherever ``allowed`` says so."""

    def reorder(title, ingredients):
        words = title.split()
        if len(words) < 2 or not allowed(words, ingredients):
            return title
        return change(words[0], " ".join(words[1:]))

    return reorder


def known(words, ingredients):
    return words[0].lower() in ingredients


def unsigned(words):
    return not {"with", "without"} & {w.lower() for w in words}


def title_as(change):
    return title_where(lambda w, i: known(w, i) and unsigned(w), change)


TITLE_MISTAKES = [
    (title_where(lambda w, i: w[0] in i and unsigned(w)), "look up `word.lower\\(\\)`"),
    (lambda t, i: t, "look up `word.lower\\(\\)`"),
    (title_as(lambda first, dish: f"{dish.split()[-1]} with {first}"), "a word is lost"),
    (title_as(lambda first, dish: f"{first} {dish} with {first}"), "stands there twice"),
    (title_as(lambda first, dish: f"{dish} with {first.lower()}"), "lost its capital"),
    (title_as(lambda first, dish: f"{dish} with {first.title()}"), "got a capital"),
    (title_as(lambda first, dish: f"{dish} with {first}".lower()), "capitals are gone"),
    (title_as(lambda first, dish: f"{dish} with  {first}"), "only the spaces"),
    (title_as(lambda first, dish: f"{dish}, {first}"), "`French Toast with Banana` is due"),
    (title_where(lambda w, i: unsigned(w)), "part of the name"),
    (title_where(lambda w, i: unsigned(w) and any(x.lower() in i for x in w)), "not any word"),
    (title_where(known), "`with` or `without` already"),
    (title_where(lambda w, i: known(w, i) and "with" not in w), "next to its denial"),
    (title_where(lambda w, i: known(w, i) and "without" not in w), "says it twice"),
    (title_where(lambda w, i: known(w, i) and unsigned(w) and len(w) > 2), "of two words"),
    (lambda t, i: title_right(t, {"banana", "apple", "tomato", "chicken"}), "list of your own"),
    (lambda t, i: t.split(), "as text"),
]  # fmt: skip

# --- 02.negative_captions ------------------------------------------------------------------------


def negatives_where(allowed, *, rng=random.Random):
    """Draws for each pair among the indices that ``allowed`` lets through."""

    def negatives(ids, captions, seed):
        generator, n = rng(seed), range(len(ids))
        return [generator.choice([j for j in n if allowed(ids, captions, i, j)]) for i in n]

    return negatives


def all_own(ids, captions, i, j):
    own = {c for c, r in zip(captions, ids, strict=True) if r == ids[i]}
    return captions[j] not in own


negatives_right = negatives_where(all_own)


def negatives_by_trial(ids, captions, seed):
    rng, found = np.random.default_rng(seed), []
    for i in range(len(ids)):
        j = rng.integers(len(ids))
        while not all_own(ids, captions, i, j):
            j = rng.integers(len(ids))
        found.append(j)
    return np.array(found)


def negatives_reseeded(ids, captions, seed):
    found = []
    for i in range(len(ids)):
        allowed = [j for j in range(len(ids)) if all_own(ids, captions, i, j)]
        found.append(int(np.random.default_rng(seed).choice(allowed)))
    return found


NEGATIVE_MISTAKES = [
    (lambda r, c, s: [(i + 1) % len(r) for i in range(len(r))], "1 rows on"),
    (lambda r, c, s: [(i + s) % len(r) for i in range(len(r))], "rows on"),
    (negatives_where(lambda r, c, i, j: j != i), "of the same recipe"),
    (negatives_where(lambda r, c, i, j: c[j] != c[i]), "of the same recipe"),
    (lambda r, c, s: random.Random(s).sample(range(len(r)), len(r)), "of the same recipe"),
    (lambda r, c, s: list(range(len(r))), "of the same recipe"),
    (negatives_where(lambda r, c, i, j: r[j] != r[i]), "the text is the same"),
    (negatives_where(lambda r, c, i, j: r[j] != r[i] and c[j] != c[i]), "every caption of the"),
    (negatives_where(all_own, rng=lambda s: random.Random()), "two calls with the same seed"),
    (negatives_where(all_own, rng=lambda s: random.Random(0)), "seed makes no difference"),
    (negatives_reseeded, "before the loop"),
    (lambda r, c, s: [c[j] for j in negatives_right(r, c, s)], "not captions"),
    (lambda r, c, s: [float(j) for j in negatives_right(r, c, s)], "a whole number"),
    (lambda r, c, s: [j + 1 for j in negatives_right(r, c, s)], "count from 0"),
    (lambda r, c, s: negatives_right(r, c, s)[1:], "indices are due, one for each"),
    (lambda r, c, s: set(negatives_right(r, c, s)), "a list of indices is due"),
]  # fmt: skip

# --- 02.swapped_colors ---------------------------------------------------------------------------


def swapped_right(pixels):
    return pixels[:, [1, 0, 2]]


def swapped_by_stacking(pixels):
    red, green, blue = pixels.unbind(1)
    return torch.stack([green, red, blue], 1)


SWAP_MISTAKES = [
    (lambda x: x, "nothing is swapped"),
    (lambda x: x[:, [2, 1, 0]], "red and blue"),
    (lambda x: x[:, [0, 2, 1]], "green and blue"),
    (lambda x: x[:, [1, 2, 0]], "all three"),
    (lambda x: x[:, [2, 0, 1]], "all three"),
    (lambda x: x[:, [1, 1, 2]], "green is there twice"),
    (lambda x: x[:, [0, 0, 2]], "red is there twice"),
    (lambda x: 1 - x, "inverted"),
    (lambda x: x.flip(-1), "mirrored"),
    (lambda x: x.flip(0), "of the batch"),
    (lambda x: x / 2, "the values are others"),
    (lambda x: x[0], "shape"),
    (lambda x: x.numpy(), "a tensor is due"),
]

# --- 02.best_step --------------------------------------------------------------------------------


def best_right(steps, losses):
    return steps[int(np.argmin(losses))]


def best_by_pairs(steps, losses):
    return min(zip(losses, steps, strict=True))[1]


STEP_MISTAKES = [
    (lambda s, v: s[-1], "last step"),
    (lambda s, v: int(np.argmin(v)), "number of the look"),
    (lambda s, v: min(v), "lowest loss"),
    (lambda s, v: s[int(np.argmax(v))], "highest"),
    (lambda s, v: min((loss, -step) for loss, step in zip(v, s, strict=True))[1] * -1, "the later"),
    (lambda s, v: next((s[i] for i in range(len(v) - 1) if v[i + 1] > v[i]), s[-1]), "first rise"),
    (lambda s, v: s[min(int(np.argmin(v)) + 1, len(s) - 1)], "one look too late"),
    (lambda s, v: "ten", "a single number"),
    (lambda s, v: s[0] + 1, "is due"),
]

RIGHT = {
    "02.swapped_colors": [swapped_right, swapped_by_stacking],
    "02.best_step": [best_right, best_by_pairs],
    "02.reorder_title": [title_right, title_as(lambda first, dish: f"{dish} with {first}")],
    "02.negative_captions": [negatives_right, negatives_by_trial],
}
WRONG = {
    "02.swapped_colors": SWAP_MISTAKES,
    "02.best_step": STEP_MISTAKES,
    "02.reorder_title": TITLE_MISTAKES,
    "02.negative_captions": NEGATIVE_MISTAKES,
}  # fmt: skip
