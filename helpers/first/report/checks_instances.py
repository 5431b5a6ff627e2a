"""Checks of lesson 09: the sigmoid loss, average precision, and the prior in the bias."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.first.report.verdicts import Verdict, ask, compare, correct, exercise, hint, number


def _unit(n: int, d: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _pairs(n: int, d: int, scale: float, bias: float, seed: int) -> dict[str, Any]:
    images, texts = _unit(n, d, seed), _unit(n, d, seed + 100)
    return {"images": images, "texts": texts, "scale": scale, "bias": bias}


_LOSS_CASES = [
    _pairs(3, 4, 5.0, -2.0, 1),
    _pairs(2, 3, 2.0, 1.0, 2),
    _pairs(5, 2, 9.0, -6.0, 3),
    _pairs(4, 6, 1.0, -0.5, 4),
]
_AXES = np.array([[1, 0], [-1, 0]], np.float32)
_STEEP = {"images": _AXES, "texts": -_AXES, "scale": np.float32(2000.0), "bias": np.float32(-10.0)}


def _logits(images, texts, scale, bias) -> np.ndarray:
    return float(scale) * images.astype(float) @ texts.astype(float).T + float(bias)


def _costs(**case) -> np.ndarray:
    """(n, n): what each cell pays."""
    logits = _logits(**case)
    sign = 2 * np.eye(len(logits)) - 1
    return np.logaddexp(0, -sign * logits)


def _loss(**case) -> float:
    costs = _costs(**case)
    return float(costs.sum() / len(costs))


def _softmax_loss(**case) -> float:
    logits = _logits(**case)
    parts = [np.logaddexp.reduce(x, axis=1) - np.diag(x) for x in (logits, logits.T)]
    return float(np.mean(parts))


def _off_diagonal(**case) -> float:
    costs = _costs(**case)
    return float((costs.sum() - np.trace(costs)) / len(costs))


_LOSS_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda **c: float(_costs(**c).mean()),
     "you average over all n x n cells: the sum is divided by n, the number of pairs, so that a "
     "match weighs the same in any batch."),
    (lambda **c: float(_costs(**c).sum()),
     "you sum over the cells: divide by n, the number of pairs."),
    (lambda **c: -_loss(**c),
     "the sign: the logarithm of a probability is negative, and the loss is minus it."),
    (lambda **c: _loss(**c | {"bias": 0.0}),
     "the bias makes no difference: add it to every logit."),
    (lambda **c: _loss(**c | {"bias": -c["bias"]}),
     "you subtract the bias: it is added to every logit."),
    (lambda **c: _loss(**c | {"scale": 1 / c["scale"]}),
     "you divide by the scale: it is the inverse of the temperature."),
    (lambda **c: _loss(**c | {"scale": 1.0}),
     "the scale makes no difference: multiply the cosines by it."),
    (lambda **c: float(np.trace(_costs(**c)) / len(c["images"])),
     "only the diagonal: the strangers are questions too, with the answer no."),
    (_off_diagonal,
     "the diagonal is missing: the matches are questions too, with the answer yes."),
    (lambda **c: float(np.logaddexp(0, -_logits(**c)).sum() / len(c["images"])),
     "every cell is treated as a match: off the diagonal the sign of the logit changes."),
    (lambda **c: float(np.logaddexp(0, _logits(**c)).sum() / len(c["images"])),
     "every cell is treated as a stranger: on the diagonal the sign of the logit changes."),
    (lambda **c: float(np.logaddexp(0, (2 * np.eye(len(c["images"])) - 1) * _logits(**c)).sum()
                       / len(c["images"])),
     "yes and no are exchanged: a match pays log(1 + exp(-logit)), a stranger log(1 + exp(logit))."
     ),
    (_softmax_loss,
     "this is InfoNCE: no softmax here, each cell is a question of its own."),
]  # fmt: skip


@exercise("09.sigmoid_loss", example=_LOSS_CASES[0])
def sigmoid_loss(answer: Callable) -> Verdict:
    """``f(images, texts, scale, bias) -> float``: the pairwise sigmoid loss of (n, d) unit rows."""
    with np.errstate(all="ignore"):
        if wrong := compare(answer, _LOSS_CASES, _loss, _LOSS_MISTAKES):
            return wrong
        steep = number(ask(answer, **_STEEP), _STEEP)
    if not math.isfinite(steep) or abs(steep - _loss(**_STEEP)) > 1e-2:
        return hint(
            f"right for small logits, but with a scale of 2000 you give {steep:.4g} where "
            f"{_loss(**_STEEP):.4g} is due: `log(sigmoid(x))` runs out of numbers. Write it as "
            "`-logaddexp(0, -x)`."
        )
    return correct(
        "n matches say yes, n (n - 1) strangers say no, and no cell needs another: that is why the "
        "loss can be taken in blocks."
    )


_RANK_CASES = [
    {"ranks": [1, 3]},
    {"ranks": [2]},
    {"ranks": [1, 2, 3]},
    {"ranks": [4, 9, 20]},
    {"ranks": [7, 2]},
]


def _average_precision(ranks) -> float:
    return float(np.mean([(j + 1) / rank for j, rank in enumerate(sorted(ranks))]))


_RANK_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda ranks: 1 / min(ranks),
     "this is the reciprocal rank: average precision looks at every relevant picture, not at the "
     "first alone."),
    (lambda ranks: float(np.mean([1 / rank for rank in ranks])),
     "the mean of 1 / rank: at the j-th relevant picture, j of the pictures so far are relevant, "
     "so that the precision there is j / rank."),
    (lambda ranks: float(sum((j + 1) / rank for j, rank in enumerate(sorted(ranks)))),
     "the sum of the precisions: divide by the number of relevant pictures."),
    (lambda ranks: float(sum((j + 1) / r for j, r in enumerate(sorted(ranks))) / max(ranks)),
     "you divide by the last rank: divide by the number of relevant pictures."),
    (lambda ranks: float(np.mean([(j + 1) / rank for j, rank in enumerate(ranks)])),
     "the ranks are not always in order: sort them before you count."),
    (lambda ranks: float(np.mean([j / rank for j, rank in enumerate(sorted(ranks))])),
     "the first relevant picture is the first, not number 0: the precision is j / rank with j "
     "from 1."),
    (lambda ranks: len(ranks) / max(ranks),
     "this is the precision at the last relevant picture: average it over all of them."),
]  # fmt: skip


@exercise("09.average_precision", example=_RANK_CASES[0])
def average_precision(answer: Callable) -> Verdict:
    """``f(ranks) -> float``: average precision from the ranks of all relevant pictures."""
    if wrong := compare(answer, _RANK_CASES, _average_precision, _RANK_MISTAKES):
        return wrong
    return correct(
        "all relevant pictures count, wherever they stand. With a dozen of them, mAP can fall far "
        "below hit@1: the reported 92.79 % beside 98.52 % is no contradiction."
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
     "the logarithm of the shares: the logit needs that of the odds, p / (1 - p). For rare matches "
     "the two are close."),
    (lambda bias, trained, used: _odds(used) - _odds(trained),
     "this is the change alone: add it to the bias."),
    (lambda bias, trained, used: bias + _odds(used),
     "the prior of the training is in the bias already: take it away first."),
    (lambda bias, trained, used: _odds(used),
     "the bias also balances the scale and the cosines: only the prior's part of it changes."),
    (lambda bias, trained, used: bias * used / trained,
     "a bias is a logit: priors change it by a sum of logarithms, not by a factor."),
]  # fmt: skip


@exercise("09.shifted_bias", example=_PRIOR_CASES[0])
def shifted_bias(answer: Callable) -> Verdict:
    """``f(bias, trained, used) -> float``: the bias for another share of matches."""
    if wrong := compare(answer, _PRIOR_CASES, _shifted, _PRIOR_MISTAKES):
        return wrong
    return correct(
        "a larger gallery, or a larger batch, has a smaller share of matches: the bias goes down, "
        "and the order of the results stays as it was."
    )
