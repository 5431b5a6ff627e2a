"""Answers to the exercises of lessons 02 and 04: right ones, and mistakes with their hints."""

import random

import numpy as np
from scipy.special import log_softmax, softmax

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

# --- 04.info_nce ---------------------------------------------------------------------------------


def logits_of(images, texts, scale):
    return images @ texts.T * scale


def loss_right(images, texts, scale):
    logits = logits_of(images, texts, scale)
    by_image = -np.diag(log_softmax(logits, axis=1)).mean()
    return (by_image - np.diag(log_softmax(logits, axis=0)).mean()) / 2


def loss_by_shift(images, texts, scale):
    logits = logits_of(images, texts, scale)
    total = 0.0
    for square in (logits, logits.T):
        square = square - square.max(axis=1, keepdims=True)
        total += (np.log(np.exp(square).sum(axis=1)) - np.diag(square)).mean()
    return float(total / 2)


def loss_naive(images, texts, scale, *, eps=0.0):
    logits = logits_of(images, texts, scale)
    rows = np.exp(logits)
    by_image, by_text = rows / rows.sum(1, keepdims=True), rows / rows.sum(0, keepdims=True)
    return -(np.log(np.diag(by_image) + eps).mean() + np.log(np.diag(by_text) + eps).mean()) / 2


def loss_clipped(images, texts, scale):
    logits = logits_of(images, texts, scale)
    shares = [np.diag(softmax(logits, axis=axis)) for axis in (0, 1)]
    return -np.mean(np.log(np.maximum(shares, 1e-12)))


def loss_of(of_square):
    """The mean over both directions of something that is made of the logits of one."""

    def loss(images, texts, scale):
        logits = logits_of(images, texts, scale)
        return (of_square(logits) + of_square(logits.T)) / 2

    return loss


def one_direction(axis):
    return lambda i, t, s: -np.diag(log_softmax(logits_of(i, t, s), axis=axis)).mean()


def without_own(square):
    others = np.exp(square).sum(axis=1) - np.exp(np.diag(square))
    return (np.log(others) - np.diag(square)).mean()


LOSS_MISTAKES = [
    (one_direction(1), "from image to text"),
    (one_direction(0), "from text to image"),
    (lambda i, t, s: loss_right(i, t, 1 / s), "you divide by the scale"),
    (lambda i, t, s: loss_right(i, t, np.exp(s)), "`exp` of the scale"),
    (lambda i, t, s: loss_right(i, t, 1), "makes no difference"),
    (lambda i, t, s: loss_right(i, t, s) * len(i), "sum over the pairs"),
    (lambda i, t, s: loss_right(i, t, s) * 2, "add the two directions"),
    (lambda i, t, s: loss_right(i, t, s) * 2 * len(i), "add pairs and directions"),
    (lambda i, t, s: -loss_right(i, t, s), "the sign"),
    (loss_of(lambda x: -np.diag(softmax(x, axis=1)).mean()), "this is minus the mean prob"),
    (loss_of(lambda x: np.diag(softmax(x, axis=1)).mean()), "this is the mean prob"),
    (loss_of(lambda x: -log_softmax(x, axis=1).mean()), "over all cells"),
    (loss_of(lambda x: -np.diag(log_softmax(x)).mean()), "whole matrix"),
    (loss_of(without_own), "leaves out the pair itself"),
    (loss_naive, "beyond float32"),
    (loss_clipped, "caps the loss"),
    (lambda i, t, s: 7.0, "is due and you gave 7"),
    (lambda i, t, s: log_softmax(logits_of(i, t, s), axis=1), "a single number"),
]  # fmt: skip

# --- 04.lora_parameters --------------------------------------------------------------------------


def lora_right(layers, width, rank, n_modules):
    return layers * n_modules * 2 * width * rank


LORA_MISTAKES = [
    (lambda n, d, r, m: n * m * d * r, "both are trained"),
    (lambda n, d, r, m: n * m * d * d, "frozen weights themselves"),
    (lambda n, d, r, m: n * m * (d * d + 2 * d * r), "are counted too"),
    (lambda n, d, r, m: n * 2 * d * r, "number of adapted modules"),
    (lambda n, d, r, m: m * 2 * d * r, "number of layers"),
    (lambda n, d, r, m: 2 * d * r, "and by the layers"),
    (lambda n, d, r, m: n * m * 2 * d, "the rank is missing"),
    (lambda n, d, r, m: n * m * 4 * d * r, "one tower"),
    (lambda n, d, r, m: n * m * 2 * (d + r), "not their sum"),
    (lambda n, d, r, m: n * m * (2 * d * r + r * r), "no rank x rank"),
    (lambda n, d, r, m: lora_right(n, d, r, m) + 1, "the logit scale"),
    (lambda n, d, r, m: 5, "is due and you gave 5"),
]  # fmt: skip

RIGHT = {
    "02.reorder_title": [title_right, title_as(lambda first, dish: f"{dish} with {first}")],
    "02.negative_captions": [negatives_right, negatives_by_trial],
    "04.info_nce": [loss_right, loss_by_shift],
    "04.lora_parameters": [lora_right],
    "04.same_as_one_batch": [1, 1.0, "1", np.int64(1)],
}
WRONG = {
    "02.reorder_title": TITLE_MISTAKES,
    "02.negative_captions": NEGATIVE_MISTAKES,
    "04.info_nce": LOSS_MISTAKES,
    "04.lora_parameters": LORA_MISTAKES,
    "04.same_as_one_batch": [
        (31, "gradients, not negatives"), (30, "never sees"), (32, "no negative"),
        (16, "forgotten"), (15, "other losses"), (2, "its own"), (0, "single choice"),
        (7, "7 is not it"), (0.5, "not it"), ("many", "whole number"), (True, "whole number"),
        (float("nan"), "not it"),
    ],
}  # fmt: skip
