"""Answers to the exercises of lesson 08: right ones, and mistakes with their hints."""

import numpy as np

# --- 08.residual_head ----------------------------------------------------------------------------


def unit(rows):
    return np.asarray(rows) / np.linalg.norm(rows, axis=1, keepdims=True)


def residual_right(x, a_of_x, alpha, form):
    return unit((1 - alpha if form == "convex" else 1) * x + alpha * a_of_x)


def residual_by_row(x, a_of_x, alpha, form):
    found = []
    for row, change in zip(x, a_of_x, strict=True):
        new = row + alpha * change if form == "add" else row - alpha * row + alpha * change
        found.append(list(new / np.sqrt((new**2).sum())))
    return found


RESIDUAL_MISTAKES = [
    (lambda x, a, s, f: (1 - s if f == "convex" else 1) * x + s * a, "not of length 1"),
    (lambda x, a, s, f: unit(a), "a tower"),
    (lambda x, a, s, f: unit(x + a), "alpha makes no difference"),
    (lambda x, a, s, f: unit(s * x + (1 - s) * a), "alpha weighs `x`"),
    (lambda x, a, s, f: unit(x + s * a), "treated like `add`"),
    (lambda x, a, s, f: unit((1 - s) * x + s * a), "treated like `convex`"),
    (lambda x, a, s, f: residual_right(x, a, s, "add" if f == "convex" else "convex"), "swapped"),
    (lambda x, a, s, f: residual_right(x, unit(a), s, f), "brought to length 1 first"),
    (lambda x, a, s, f: (x + s * a) / np.linalg.norm(x + s * a), "whole matrix"),
    (lambda x, a, s, f: (x + s * a) / np.linalg.norm(x + s * a, axis=0), "`axis=1`"),
    (lambda x, a, s, f: residual_right(x, a, s, f)[:1], "shape"),
    (lambda x, a, s, f: -residual_right(x, a, s, f), "is due in the first row"),
    (lambda x, a, s, f: "rows", "shape"),
]  # fmt: skip

# --- 08.hard_negatives ---------------------------------------------------------------------------


def mined_right(scores, image_groups, text_groups, k):
    found = []
    for row, group in zip(scores, image_groups, strict=True):
        allowed = [j for j in np.argsort(-row) if text_groups[j] != group]
        found.append(allowed[:k])
    return found


def mined_masked(scores, image_groups, text_groups, k):
    masked = np.where(image_groups[:, None] == text_groups, -np.inf, scores)
    return np.argsort(-masked, axis=1)[:, :k]


def mined_where(allowed, *, sign=-1):
    def mine(scores, image_groups, text_groups, k):
        keep = allowed(scores, image_groups[:, None] == text_groups)
        return np.argsort(np.where(keep, sign * scores, np.inf), axis=1)[:, :k]

    return mine


MINING_MISTAKES = [
    (mined_where(lambda s, own: np.ones_like(own)), "punish them"),
    (mined_where(lambda s, own: ~np.eye(*s.shape, dtype=bool)), "not positions"),
    (mined_where(lambda s, own: ~own, sign=1), "easiest captions"),
    (mined_where(lambda s, own: own), "the positives"),
    (lambda s, i, t, k: [row[::-1] for row in mined_right(s, i, t, k)], "wrong order"),
    (lambda s, i, t, k: np.array(mined_right(s, i, t, k)) + 1, "count from 0"),
    (lambda s, i, t, k: mined_right(s, i, t, k + 1), "one too many"),
    (lambda s, i, t, k: np.take_along_axis(s, mined_masked(s, i, t, k), axis=1), "columns are due"),
    (lambda s, i, t, k: mined_masked(s, i, t, k).ravel(), "shape"),
    (lambda s, i, t, k: np.zeros((len(s), k)), "is due in the first row|of the image's own"),
]  # fmt: skip

RIGHT = {
    "08.residual_head": [residual_right, residual_by_row],
    "08.one_dial": [0.25, "0.25", 1 / 4, np.float64(0.25)],
    "08.hard_negatives": [mined_right, mined_masked],
}
WRONG = {
    "08.residual_head": RESIDUAL_MISTAKES,
    "08.one_dial": [
        (0.2, "not the same"), (0.8, "what is left"), (4, "other way round"), (0.16, "multiplies"),
        (1.2, "not 1"), (1.25, "multiply 0.2"), (0.3, "0.3 is not it"), ("a quarter", "a number"),
        (True, "a number"),
    ],
    "08.hard_negatives": MINING_MISTAKES,
}  # fmt: skip
