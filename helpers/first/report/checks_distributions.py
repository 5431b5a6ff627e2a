"""Checks of lesson 06: an effect size, a distance between two sets, attention through layers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.first.report.verdicts import Settled, Verdict, ask, compare, correct, exercise, hint


def _samples(a: list[float], b: list[float]) -> dict[str, np.ndarray]:
    return {"a": np.array(a, float), "b": np.array(b, float)}


# The second has ties, the third unequal sizes, the last one sample within the other.
_DELTA_CASES = [
    _samples([3, 5, 8], [1, 4, 6]),
    _samples([1, 2, 2, 3], [2, 2, 4, 4]),
    _samples([10, 1], [2, 3, 4, 5, 11]),
    _samples([5, 5, 5], [5, 5]),
    _samples([0, 100], [40, 50, 60, 70]),
]


def _pairs(a: np.ndarray, b: np.ndarray) -> tuple[float, float, int]:
    """How many pairs have a above b, and below it; and all pairs."""
    above = sum(x > y for x in a for y in b)
    below = sum(x < y for x in a for y in b)
    return above, below, len(a) * len(b)


def _delta(a: np.ndarray, b: np.ndarray) -> float:
    above, below, n = _pairs(a, b)
    return (above - below) / n


def _over_clear_pairs(a: np.ndarray, b: np.ndarray) -> float:
    above, below, _ = _pairs(a, b)
    return (above - below) / max(above + below, 1)


def _share_of_pairs(a: np.ndarray, b: np.ndarray, *, ties: float) -> float:
    above, below, n = _pairs(a, b)
    return (above + ties * (n - above - below)) / n


def _standardized(a: np.ndarray, b: np.ndarray, ddof: int = 1) -> float:
    if min(len(a), len(b)) <= ddof:
        return float("nan")
    spread = np.sqrt((a.var(ddof=ddof) + b.var(ddof=ddof)) / 2)
    return float((a.mean() - b.mean()) / spread) if spread else float("nan")


_DELTA_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda a, b: -_delta(a, b),
     "the sign: delta is positive where `a` lies above `b`."),
    (lambda a, b: _share_of_pairs(a, b, ties=0.5),
     "this is the AUC, the chance that `a` lies above `b`: it runs from 0 to 1, delta from -1 to "
     "1. Take off the chance that it lies below."),
    (lambda a, b: _share_of_pairs(a, b, ties=0),
     "this is the share of pairs with `a` above `b`: take off the share with `a` below."),
    (lambda a, b: _share_of_pairs(a, b, ties=0) * 2 - 1,
     "ties count as defeats: they belong to neither side, and still to the number of pairs."),
    (lambda a, b: _share_of_pairs(a, b, ties=1) * 2 - 1,
     "ties count as wins: they belong to neither side, and still to the number of pairs."),
    (_over_clear_pairs,
     "you divide by the pairs without ties: divide by all pairs, `len(a) * len(b)`."),
    (lambda a, b: float(_pairs(a, b)[0] - _pairs(a, b)[1]),
     "this is a number of pairs: divide by all of them, so that delta does not grow with the "
     "samples."),
    (lambda a, b: _delta(a, b) * len(b),
     "you divide by `len(a)` alone: there are `len(a) * len(b)` pairs."),
    (lambda a, b: float(np.mean([np.sign(x - y) for x, y in zip(a, b, strict=False)])),
     "you compare `a[i]` with `b[i]` alone: every value of `a` meets every value of `b`."),
    (lambda a, b: float(a.mean() - b.mean()),
     "this is the difference of the means: delta counts pairs, so that one far value cannot "
     "decide it."),
    (lambda a, b: float(np.median(a) - np.median(b)),
     "this is the difference of the medians: delta counts pairs."),
    (_standardized,
     "this is Cohen's d, a difference of means in standard deviations: delta counts pairs."),
    (lambda a, b: _standardized(a, b, ddof=0),
     "this is Cohen's d, a difference of means in standard deviations: delta counts pairs."),
]  # fmt: skip


@exercise("06.cliffs_delta", example=_DELTA_CASES[0])
def cliffs_delta(answer: Callable) -> Verdict:
    """``f(a, b) -> float``: the share of pairs with a above b, less the share with a below."""
    if wrong := compare(answer, _DELTA_CASES, _delta, _DELTA_MISTAKES):
        return wrong
    return correct(
        "1 where every value of `a` lies above every one of `b`, 0 where neither side tends to. A "
        "p-value falls with the number of pictures; delta stays."
    )


def _kernels(a: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.exp(-((x[:, None] - y[None, :]) ** 2).sum(axis=2) / 2)

    return {"k_aa": kernel(a, a), "k_bb": kernel(b, b), "k_ab": kernel(a, b)}


def _clouds(n: int, m: int, shift: float, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return _kernels(rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + shift)


_SAME = np.random.default_rng(7).normal(size=(4, 2))
_MMD_CASES = [
    _clouds(3, 4, 1.0, 0),
    _clouds(5, 2, 0.0, 1),
    _clouds(4, 4, 2.0, 2),
    _kernels(_SAME, _SAME),  # below 0: the unbiased estimate of nothing
]


def _off_diagonal(k: np.ndarray) -> float:
    return float((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)))


def _mmd(k_aa: np.ndarray, k_bb: np.ndarray, k_ab: np.ndarray) -> float:
    return _off_diagonal(k_aa) + _off_diagonal(k_bb) - 2 * float(k_ab.mean())


def _short_sums(k_aa: np.ndarray, k_bb: np.ndarray, k_ab: np.ndarray) -> float:
    """Without the diagonal, divided as if it were there."""
    within = sum(_off_diagonal(k) * (len(k) - 1) / len(k) for k in (k_aa, k_bb))
    return within - 2 * float(k_ab.mean())


def _cross_off_diagonal(k_aa: np.ndarray, k_bb: np.ndarray, k_ab: np.ndarray) -> float:
    if k_ab.shape[0] != k_ab.shape[1]:
        return float("nan")
    return _off_diagonal(k_aa) + _off_diagonal(k_bb) - 2 * _off_diagonal(k_ab)


def _upper(k: np.ndarray, *, diagonal: int) -> float:
    return float(k[np.triu_indices(len(k), diagonal)].mean())


_MMD_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda k_aa, k_bb, k_ab: float(k_aa.mean() + k_bb.mean() - 2 * k_ab.mean()),
     "this is the biased estimate: on the diagonals every row meets itself, with the largest value "
     "there is. Leave `k_aa` and `k_bb` without their diagonals, and divide by n (n - 1)."),
    (_short_sums,
     "the diagonals are out of the sums but not out of the counts: there are n (n - 1) pairs of "
     "different rows, not n * n."),
    (lambda k_aa, k_bb, k_ab: _off_diagonal(k_aa) + _off_diagonal(k_bb) - float(k_ab.mean()),
     "the mean of `k_ab` is taken off twice: once for each side that it is compared with."),
    (_cross_off_diagonal,
     "`k_ab` keeps its diagonal: no row of `a` meets itself there."),
    (lambda k_aa, k_bb, k_ab: -_mmd(k_aa, k_bb, k_ab),
     "the sign: rows of one side are more alike than rows of two, so within less across."),
    (lambda k_aa, k_bb, k_ab: _mmd(k_aa, k_bb, k_ab) / 2,
     "half of what is due: a mean within `a`, a mean within `b`, less twice the mean across."),
    (lambda k_aa, k_bb, k_ab: float(np.sqrt(max(_mmd(k_aa, k_bb, k_ab), 0))),
     "you take the root: the squared discrepancy is asked, which may be below 0, and a root would "
     "hide that."),
    (lambda k_aa, k_bb, k_ab: max(_mmd(k_aa, k_bb, k_ab), 0.0),
     "you cut it off at 0: an estimate that is right on average has to lie below 0 half of the "
     "time where there is no gap."),
    (lambda k_aa, k_bb, k_ab: abs(_mmd(k_aa, k_bb, k_ab)),
     "you drop the sign: below 0 means less than chance shows, not a gap."),
    (lambda k_aa, k_bb, k_ab: _upper(k_aa, diagonal=0) + _upper(k_bb, diagonal=0)
     - 2 * float(k_ab.mean()),
     "the diagonal is still in the triangle: `np.triu_indices(n, 1)` starts above it."),
    (lambda k_aa, k_bb, k_ab: float(k_aa.sum() - np.trace(k_aa) + k_bb.sum() - np.trace(k_bb)
                                    - 2 * k_ab.sum()),
     "these are sums: take the mean of each, so that the size of the samples does not matter."),
]  # fmt: skip


@exercise("06.unbiased_mmd", example=_MMD_CASES[0])
def unbiased_mmd(answer: Callable) -> Verdict:
    """``f(k_aa, k_bb, k_ab) -> float``: the unbiased squared MMD of three kernel matrices."""
    if wrong := compare(answer, _MMD_CASES, _mmd, _MMD_MISTAKES):
        return wrong
    return correct(
        "alike within, less alike across. It is 0 on average without a gap, so a single value "
        "above 0 shows nothing: shuffle the sides, recipe by recipe, to see what chance does."
    )


def _attention(n_layers: int, n: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).random((n_layers, n, n)) ** 3
    return rows / rows.sum(axis=2, keepdims=True)


_ROLLOUT_CASES = [
    {"layers": _attention(2, 3, 0)},
    {"layers": _attention(3, 4, 1)},
    {"layers": _attention(1, 2, 2)},
    {"layers": np.stack([np.eye(3)[[1, 2, 0]], np.eye(3)[[0, 2, 1]]])},
]


def _mixed(layers: np.ndarray) -> np.ndarray:
    return (layers + np.eye(layers.shape[1])) / 2


def _product(matrices: np.ndarray, *, first_on_the_right: bool = True) -> np.ndarray:
    total = np.eye(matrices.shape[1])
    for matrix in matrices:
        total = matrix @ total if first_on_the_right else total @ matrix
    return total


def _rollout(layers: np.ndarray) -> np.ndarray:
    return _product(_mixed(layers))


_ROLLOUT_MISTAKES: list[tuple[Callable[[np.ndarray], np.ndarray], str]] = [
    (lambda x: _product(x),
     "the residual connection is missing: a token also passes its own state on, so each layer is "
     "`(W + I) / 2`."),
    (lambda x: _product(_mixed(x), first_on_the_right=False),
     "the order: the last layer reads what the layers below it wrote, so it stands on the left, "
     "`A_L @ ... @ A_1`."),
    (lambda x: _product(x, first_on_the_right=False),
     "two things: each layer is `(W + I) / 2`, and the last one stands on the left."),
    (lambda x: _product(x + np.eye(x.shape[1])),
     "the rows no longer sum to 1: divide `W + I` by 2 in every layer."),
    (lambda x: _mixed(x).mean(axis=0),
     "you average the layers: what a layer attends to is already mixed by those below it, so the "
     "matrices are multiplied."),
    (lambda x: x.mean(axis=0),
     "you average the layers: each is mixed with the identity, and they are multiplied."),
    (lambda x: _mixed(x).prod(axis=0),
     "`*` multiplies cell by cell: take the matrix product, `@`."),
    (lambda x: _mixed(x)[-1],
     "this is the last layer alone: multiply it by all those below."),
    (lambda x: x[-1],
     "this is the last layer's attention: mix it with the identity and multiply it by the layers "
     "below."),
    (lambda x: _rollout(x).T,
     "this is the transpose: row t says where token t comes from, and its numbers sum to 1."),
    (lambda x: _product(_mixed(x)[1:]),
     "the first layer is missing."),
]  # fmt: skip


@exercise("06.rollout", example=_ROLLOUT_CASES[0])
def rollout(answer: Callable) -> Verdict:
    """``f(layers) -> (n, n)``: attention rolled out over (L, n, n) layers, residual as half."""
    got = [_matrix(answer, case) for case in _ROLLOUT_CASES]
    want = [_rollout(**case) for case in _ROLLOUT_CASES]
    wrong = [i for i in range(len(got)) if not _same(got[i], want[i])]
    if not wrong:
        return correct(
            "row t tells where token t comes from. It follows the residual stream and the "
            "attention, and knows nothing of values and of the layers between: a map, no proof."
        )
    for mistake, text in _ROLLOUT_MISTAKES:
        if all(_same(got[i], mistake(**_renamed(_ROLLOUT_CASES[i]))) for i in wrong):
            return hint(text)
    i = wrong[0]
    return hint(
        f"the first row of the result should be {want[i][0].round(3).tolist()} and is "
        f"{got[i][0].round(3).tolist()} when called with {len(_ROLLOUT_CASES[i]['layers'])} layers "
        f"of {len(want[i])} tokens."
    )


def _renamed(case: dict[str, Any]) -> dict[str, Any]:
    return {"x": case["layers"]}


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.abs(a - b).max() < 1e-6)


def _matrix(answer: Callable, case: dict[str, np.ndarray]) -> np.ndarray:
    """The learner's matrix, or a hint that one was due."""
    n = case["layers"].shape[1]
    try:
        found = np.asarray(ask(answer, **case), float)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (n, n):
        raise Settled(
            hint(
                f"a matrix of {n} x {n} is due, one row and one column a token; yours has the "
                f"shape {found.shape} for layers of the shape {case['layers'].shape}."
            )
        )
    return found
