"""Checks of lesson 09: gradient of the sigmoid loss, average precision, prior in the bias."""

import math
from collections.abc import Callable

import numpy as np

from helpers.topics.exercises.engine import Verdict, compare, correct, exercise

_CELLS = [
    {"logit": 2.0, "positive": False, "n": 4},
    {"logit": 2.0, "positive": True, "n": 4},
    {"logit": -3.0, "positive": True, "n": 8},
    {"logit": -3.0, "positive": False, "n": 8},
    {"logit": 0.5, "positive": False, "n": 3},
]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _cell(logit: float, positive: bool, n: int) -> float:
    return (_sigmoid(logit) - positive) / n


_CELL_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda logit, positive, n: _cell(logit, positive, 1),
     "the sum of all cells is divided by n, the number of pairs: divide its derivative too."),
    (lambda logit, positive, n: _cell(logit, positive, n * n),
     "you divide by the n x n cells: the sum is divided by n, the number of pairs."),
    (lambda logit, positive, n: -_cell(logit, positive, n),
     "the sign: where the probability is too high, the loss grows with the logit."),
    (lambda logit, positive, n: _sigmoid(logit) / n,
     "every cell is treated as a negative: of a positive 1 is taken away."),
    (lambda logit, positive, n: (_sigmoid(logit) - 1) / n,
     "every cell is treated as a positive: of a negative nothing is taken away."),
    (lambda logit, positive, n: (_sigmoid(logit) - (not positive)) / n,
     "positives and negatives are exchanged."),
    (lambda logit, positive, n: math.log1p(math.exp(-logit if positive else logit)) / n,
     "this is the loss of the cell: its derivative is due."),
    (lambda logit, positive, n: (logit - positive) / n,
     "the logit is no probability: put it through the sigmoid."),
    (lambda logit, positive, n: _sigmoid(logit) * (1 - _sigmoid(logit)) / n,
     "this is the derivative of the sigmoid: the logarithm in front of it is missing."),
]  # fmt: skip


@exercise(example=_CELLS[0])
def cell_gradient(answer: Callable) -> Verdict:
    """``f(logit, positive, n) -> float``: the derivative of the sigmoid loss by one logit."""
    return compare(answer, _CELLS, _cell, _CELL_MISTAKES) or correct(
        "probability minus label, as in InfoNCE. But this probability is of one cell alone: no "
        "other pair of the batch changes it."
    )


_RANK_CASES = [
    {"ranks": [1, 3]}, {"ranks": [2]}, {"ranks": [1, 2, 3]}, {"ranks": [4, 9, 20]},
    {"ranks": [7, 2]},
]  # fmt: skip


def _average_precision(ranks) -> float:
    return float(np.mean([(j + 1) / rank for j, rank in enumerate(sorted(ranks))]))


_RANK_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda ranks: 1 / min(ranks),
     "this is the reciprocal rank: average precision looks at every positive, not at the first "
     "alone."),
    (lambda ranks: float(np.mean([1 / rank for rank in ranks])),
     "the mean of 1 / rank: at the j-th positive, j of the images so far are positives, so that "
     "the precision there is j / rank."),
    (lambda ranks: float(sum((j + 1) / rank for j, rank in enumerate(sorted(ranks)))),
     "the sum of the precisions: divide by the number of positives."),
    (lambda ranks: float(sum((j + 1) / r for j, r in enumerate(sorted(ranks))) / max(ranks)),
     "you divide by the last rank: divide by the number of positives."),
    (lambda ranks: float(np.mean([(j + 1) / rank for j, rank in enumerate(ranks)])),
     "the ranks are not always in order: sort them before you count."),
    (lambda ranks: float(np.mean([j / rank for j, rank in enumerate(sorted(ranks))])),
     "the first positive is the first, not number 0: the precision is j / rank with j from 1."),
    (lambda ranks: len(ranks) / max(ranks),
     "this is the precision at the last positive: average it over all of them."),
]  # fmt: skip


@exercise(example=_RANK_CASES[0])
def average_precision(answer: Callable) -> Verdict:
    """``f(ranks) -> float``: average precision from the ranks of all positives of a query."""
    return compare(answer, _RANK_CASES, _average_precision, _RANK_MISTAKES) or correct(
        "all positives count, wherever they stand. With a dozen of them, mAP can lie far below "
        "hit@1: one high and one low value of the same model are no contradiction."
    )


_PRIOR_CASES = [
    {"bias": -10.0, "trained": 1 / 32, "used": 1 / 196},
    {"bias": 0.0, "trained": 0.5, "used": 0.25},
    {"bias": -3.0, "trained": 0.01, "used": 0.2},
    {"bias": 2.0, "trained": 0.3, "used": 0.3},
]


def _odds(p: float) -> float:
    return math.log(p / (1 - p))


def _shifted(bias: float, trained: float, used: float) -> float:
    return bias + _odds(used) - _odds(trained)


_PRIOR_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda bias, trained, used: bias + _odds(trained) - _odds(used),
     "the wrong way round: take the log-odds of the share trained on away, add those of the share "
     "used on."),
    (lambda bias, trained, used: bias + math.log(used / trained),
     "the logarithm of the shares: the logit needs that of the odds, p / (1 - p). For rare "
     "positives the two are close."),
    (lambda bias, trained, used: _odds(used) - _odds(trained),
     "this is the change alone: add it to the bias."),
    (lambda bias, trained, used: bias + _odds(used),
     "the prior of the training is in the bias already: take it away first."),
    (lambda bias, trained, used: _odds(used),
     "the bias also balances the scale and the cosines: only the prior's part of it changes."),
    (lambda bias, trained, used: bias * used / trained,
     "a bias is a logit: priors change it by a sum of logarithms, not by a factor."),
]  # fmt: skip


@exercise(example=_PRIOR_CASES[0])
def shifted_bias(answer: Callable) -> Verdict:
    """``f(bias, trained, used) -> float``: the bias for another share of positives."""
    return compare(answer, _PRIOR_CASES, _shifted, _PRIOR_MISTAKES) or correct(
        "a larger gallery, or a larger batch, has a smaller share of positives: the bias goes "
        "down, and the order of the results stays as it was."
    )
