"""Answers to the exercises of lesson 09: right ones, and mistakes with their hints."""

import math

import numpy as np
from scipy.special import expit, logit


def cell_right(x, positive, n):
    return (expit(x) - float(positive)) / n


def cell_by_difference(x, positive, n):
    """By a central difference of the loss itself."""
    sign = 1 if positive else -1
    low, high = (np.logaddexp(0, -sign * (x + step)) for step in (-1e-6, 1e-6))
    return round((high - low) / 2e-6 / n, 8)


CELL_MISTAKES = [
    (lambda x, p, n: expit(x) - p, "divide its derivative too"),
    (lambda x, p, n: (expit(x) - p) / n**2, "n x n cells"),
    (lambda x, p, n: (p - expit(x)) / n, "the sign"),
    (lambda x, p, n: expit(x) / n, "treated as a negative"),
    (lambda x, p, n: (expit(x) - 1) / n, "treated as a positive"),
    (lambda x, p, n: (expit(x) - 1 + p) / n, "exchanged"),
    (lambda x, p, n: np.logaddexp(0, -x if p else x) / n, "its derivative is due"),
    (lambda x, p, n: (x - p) / n, "no probability"),
    (lambda x, p, n: expit(x) * expit(-x) / n, "logarithm in front"),
    (lambda x, p, n: 7.0, "is due and you gave 7"),
]


def ap_right(ranks):
    ordered = sorted(ranks)
    return sum((j + 1) / rank for j, rank in enumerate(ordered)) / len(ordered)


def ap_by_array(ranks):
    ordered = np.sort(ranks)
    return float((np.arange(1, len(ordered) + 1) / ordered).mean())


RANK_MISTAKES = [
    (lambda ranks: 1 / min(ranks), "reciprocal rank"),
    (lambda ranks: float(np.mean(1 / np.array(ranks))), "precision there is j / rank"),
    (lambda ranks: ap_right(ranks) * len(ranks), "divide by the number"),
    (lambda ranks: ap_right(ranks) * len(ranks) / max(ranks), "divide by the last rank"),
    (lambda ranks: float(np.mean(np.arange(1, len(ranks) + 1) / np.array(ranks))), "sort them"),
    (lambda ranks: float(np.mean(np.arange(len(ranks)) / np.sort(ranks))), "not number 0"),
    (lambda ranks: len(ranks) / max(ranks), "at the last positive"),
    (lambda ranks: 5.0, "is due and you gave 5"),
]


def bias_right(bias, trained, used):
    return bias + math.log(used / (1 - used)) - math.log(trained / (1 - trained))


PRIOR_MISTAKES = [
    (lambda b, t, u: b + logit(t) - logit(u), "wrong way round"),
    (lambda b, t, u: b + math.log(u / t), "that of the odds"),
    (lambda b, t, u: logit(u) - logit(t), "the change alone"),
    (lambda b, t, u: b + logit(u), "take it away first"),
    (lambda b, t, u: logit(u), "only the prior's part"),
    (lambda b, t, u: b * u / t, "not by a factor"),
    (lambda b, t, u: 3.0, "is due and you gave 3"),
]

RIGHT = {
    "09.cell_gradient": [cell_right, cell_by_difference],
    "09.average_precision": [ap_right, ap_by_array],
    "09.shifted_bias": [bias_right, lambda b, t, u: b + logit(u) - logit(t)],
}
WRONG = {
    "09.cell_gradient": CELL_MISTAKES,
    "09.average_precision": RANK_MISTAKES,
    "09.shifted_bias": PRIOR_MISTAKES,
}
