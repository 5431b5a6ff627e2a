"""Answers to the exercises of lesson 07: right ones, and mistakes with their hints."""

import numpy as np

# --- 07.target_rank ------------------------------------------------------------------------------


def rank_right(scores, targets, reference):
    order = [row for row in np.argsort(-np.asarray(scores)) if row != reference]
    return 1 + min(order.index(row) for row in targets)


def rank_with_reference(scores, targets, reference):
    return 1 + min(list(np.argsort(-scores)).index(row) for row in targets)


RANK_MISTAKES = [
    (rank_with_reference, "reference is counted"),
    (lambda s, t, r: 1 + sum(s[x] > min(s[t]) for x in range(len(s)) if x not in [*t, r]),
     "worst target"),
    (lambda s, t, r: rank_right(s, t[:1], r), "first of the targets"),
    (lambda s, t, r: rank_right(s, t, r) - 1, "from 1"),
    (lambda s, t, r: rank_right(-s, [max(t, key=lambda row: s[row])], r)
     - sum(s[x] < max(s[t]) for x in t), "lower score"),
    (lambda s, t, r: 7, "is due"),
    (lambda s, t, r: "first", "is due"),
]  # fmt: skip

# --- 07.product ----------------------------------------------------------------------------------


def product_right(image, text):
    image, text = (one - one.min(axis=1, keepdims=True) for one in (image, text))
    return image * text


PRODUCT_MISTAKES = [
    (lambda image, text: image * text, "two negative"),
    (lambda image, text: (image - image.min()) * (text - text.min()), "its own"),
    (lambda image, text: image - image.min(1, keepdims=True) + text - text.min(1, keepdims=True),
     "a sum"),
    (lambda image, text: (image - image.min(1, keepdims=True)) * text, "text's row"),
    (lambda image, text: image * (text - text.min(1, keepdims=True)), "image's row"),
    (lambda image, text: (image - image.min(0)) * (text - text.min(0)), "a query is a row"),
    (lambda image, text: product_right(image, text).ravel(), "shape"),
    (lambda image, text: np.zeros_like(image), "in the first row"),
    (lambda image, text: "high", "shape"),
]  # fmt: skip

# --- 07.agree ------------------------------------------------------------------------------------


def agree_right(forward, back, *, names=True, apart=True, ways=(0, 1)):
    if names and set(forward[0]) | set(forward[1]) != set(back[0]) | set(back[1]):
        return False
    if apart and set(forward[0].items()) & set(back[0].items()):
        return False
    both = [(forward[1], back[0]), (back[1], forward[0])]
    return all(
        wanted.get(name, value) == value
        for way in ways for name, value in both[way][0].items() for wanted in [both[way][1]]
    )  # fmt: skip


AGREE_MISTAKES = [
    (lambda f, b: agree_right(f, b, names=False), "different attributes"),
    (lambda f, b: agree_right(f, b, apart=False), "both directions ask"),
    (lambda f, b: agree_right(f, b, ways=[1]), "the forward text removes"),
    (lambda f, b: agree_right(f, b, ways=[0]), "the text back removes"),
    (lambda f, b: agree_right(f, b, ways=[]), "not looked at"),
    (lambda f, b: not agree_right(f, b), "is due for"),
    (lambda f, b: "yes", "True or False"),
]

RIGHT = {
    "07.target_rank": [rank_right, lambda s, t, r: np.float64(rank_right(s, t, r))],
    "07.product": [product_right, lambda i, t: product_right(i, t).tolist()],
    "07.agree": [agree_right, lambda f, b: np.bool_(agree_right(f, b))],
}
WRONG = {
    "07.target_rank": RANK_MISTAKES,
    "07.product": PRODUCT_MISTAKES,
    "07.agree": AGREE_MISTAKES,
}
