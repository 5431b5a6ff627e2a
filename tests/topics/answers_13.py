"""Answers to the exercises of lesson 13: right ones, and mistakes with their hints."""

import numpy as np
from PIL import ImageOps


def kth_right(rows, others, k):
    return [sorted(1 - float(a @ b) for b in others)[k - 1] for a in rows]


def kth_partition(rows, others, k):
    return np.partition(1 - rows @ others.T, k - 1, axis=1)[:, k - 1]


def _distances(rows, others):
    return np.sort(1 - rows @ others.T, axis=1)


DISTANCE_MISTAKES = [
    (lambda r, o, k: np.sort(r @ o.T, axis=1)[:, -k], "these are cosines"),
    (lambda r, o, k: _distances(r, o)[:, k], "place k - 1"),
    (lambda r, o, k: _distances(r, o)[:, -k], r"\*largest\*"),
    (lambda r, o, k: _distances(r, o)[:, 0], "the nearest alone"),
    (lambda r, o, k: _distances(r, o)[:, :k].mean(axis=1), "the mean of the k nearest"),
    (lambda r, o, k: np.sqrt(2 * _distances(r, o)[:, k - 1]), "Euclidean"),
    (lambda r, o, k: _distances(r, o), "one a row"),
    (lambda r, o, k: np.full(len(r), 9.0), "is due, and you gave"),
    (lambda r, o, k: "far", "an array of numbers"),
]

RIGHT = {
    "13.kth_distance": [kth_right, kth_partition],
    "13.false_alarms": [1 - 0.95**20, 0.64, "0.6415", np.float64(0.642)],
    "13.change": [ImageOps.grayscale, ImageOps.mirror, lambda image: image.rotate(180)],
}
WRONG = {
    "13.kth_distance": DISTANCE_MISTAKES,
    "13.false_alarms": [
        (0.05, "on one day"), (1, "stays below 1"), (0.95**20, "the opposite"),
        (0.05**20, "every"), (64.15, "as a fraction"), (0.5, "0.5 is not it"),
        ("often", "from 0 to 1"), (True, "from 0 to 1"),
    ],
    "13.change": [
        (lambda image: image, "as it was"), (lambda image: image.resize((9, 9)), "has to stay"),
        (lambda image: np.asarray(image), "a PIL image is due"),
    ],
}  # fmt: skip
