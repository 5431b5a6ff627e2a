"""Answers to the exercises of lesson 08: right ones, and mistakes with their hints."""

import numpy as np

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


def mined_with_a_zero(scores, image_groups, text_groups, k):
    own = image_groups[:, None] == text_groups
    return np.argsort(np.where(own, 0, -scores), axis=1)[:, :k]


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
    (mined_with_a_zero, "with infinity"),
    (lambda s, i, t, k: np.zeros((len(s), k)), "is due in the first row|of the image's own"),
]  # fmt: skip

# --- 08.negated ----------------------------------------------------------------------------------


def negated_right(caption):
    return caption.replace(" with ", " without ", 1)


def negated_by_parts(caption):
    words = caption.split(" ")
    if "with" in words[1:-1]:
        words[words.index("with")] = "without"
    return " ".join(words)


NEGATION_MISTAKES = [
    (lambda c: c.replace("with ", "without "), "change the first one alone"),
    (lambda c: c.replace("with", "without", 1), "parts of words"),
    (lambda c: c.replace(" with ", " not ", 1), "in the place of"),
    (lambda c: c.split(" with ")[0], "cut off"),
    (lambda c: f"{c} without", "where it stands"),
    (lambda c: c, "unchanged"),
    (lambda c: c.upper(), "is due for"),
    (lambda c: [c], "a text is due"),
]

RIGHT = {
    "08.one_dial": [0.25, "0.25", 1 / 4, np.float64(0.25)],
    "08.hard_negatives": [mined_right, mined_masked],
    "08.negated": [negated_right, negated_by_parts],
}
WRONG = {
    "08.one_dial": [
        (0.2, "not the same"), (0.8, "what is left"), (4, "other way round"), (0.16, "multiplies"),
        (1.2, "not 1"), (1.25, "multiply 0.2"), (0.3, "0.3 is not it"), ("a quarter", "a number"),
        (True, "a number"),
    ],
    "08.hard_negatives": MINING_MISTAKES,
    "08.negated": NEGATION_MISTAKES,
}  # fmt: skip
