"""Checks of lesson 06: an effect size, what a synthetic image is worth, attention on a region."""

from collections.abc import Callable

import numpy as np

from helpers.topics.exercises.engine import Verdict, ask, compare, correct, exercise, hint

_DELTA_CASES = [  # the second has ties, the third unequal sizes, the last one set within the other
    {"a": np.array(a, float), "b": np.array(b, float)}
    for a, b in (([3, 5, 8], [1, 4, 6]), ([1, 2, 2, 3], [2, 2, 4, 4]), ([10, 1], [2, 3, 4, 5, 11]),
                 ([5, 5, 5], [5, 5]), ([0, 100], [40, 50, 60, 70]))
]  # fmt: skip


def _pairs(a: np.ndarray, b: np.ndarray) -> tuple[float, float, int]:
    """How many pairs have a above b, and below it; and all pairs."""
    above = sum(x > y for x in a for y in b)
    below = sum(x < y for x in a for y in b)
    return above, below, len(a) * len(b)


def _delta(a: np.ndarray, b: np.ndarray) -> float:
    above, below, n = _pairs(a, b)
    return (above - below) / n


def _wins(a: np.ndarray, b: np.ndarray, ties: float) -> float:
    above, below, n = _pairs(a, b)
    return (above + ties * (n - above - below)) / n


def _cohen(a: np.ndarray, b: np.ndarray) -> float:
    spread = np.sqrt((a.var() + b.var()) / 2)
    return float((a.mean() - b.mean()) / spread) if spread else float("nan")


_DELTA_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda a, b: -_delta(a, b), "the sign: delta is positive where `a` lies above `b`."),
    (lambda a, b: _wins(a, b, 0.5),
     "this is the AUC, which runs from 0 to 1: subtract the share of pairs with `a` below."),
    (lambda a, b: _wins(a, b, 0),
     "this is the share of pairs with `a` above `b`: subtract the share with `a` below."),
    (lambda a, b: 2 * _wins(a, b, 0) - 1,
     "ties count as below: they belong to neither side, and still to the number of pairs."),
    (lambda a, b: _delta(a, b) * len(a) * len(b) / max(sum(_pairs(a, b)[:2]), 1),
     "you divide by the pairs without ties: divide by all of them, `len(a) * len(b)`."),
    (lambda a, b: _delta(a, b) * len(a) * len(b), "this is a number of pairs: divide it."),
    (lambda a, b: float(np.mean([np.sign(x - y) for x, y in zip(a, b, strict=False)])),
     "you compare `a[i]` with `b[i]` alone: every value of `a` meets every value of `b`."),
    (lambda a, b: float(a.mean() - b.mean()),
     "this is the difference of the means: delta counts pairs, so one extreme value counts once."),
    (_cohen, "this is Cohen's d, a difference in standard deviations: delta counts pairs."),
]  # fmt: skip


@exercise(example=_DELTA_CASES[0])
def cliffs_delta(answer: Callable) -> Verdict:
    """``f(a, b) -> float``: the share of pairs with a above b, less the share with a below."""
    wrong = compare(answer, _DELTA_CASES, _delta, _DELTA_MISTAKES)
    return wrong or correct(
        "a p-value falls as images are added; this number does not. 0: neither set lies above."
    )


_CURVE = {"alone": [25.0, 50.0, 100.0], "curve": [0.5, 0.6, 0.7]}
_VALUE_CASES = [
    {"real": 25.0, "synthetic": 75.0, "score": 0.65, **_CURVE},
    {"real": 50.0, "synthetic": 50.0, "score": 0.675, **_CURVE},
    {"real": 0.0, "synthetic": 100.0, "score": 0.55, **_CURVE},
    {"real": 25.0, "synthetic": 75.0, "score": 0.5, **_CURVE},
]
_OUTSIDE = [({"real": 0.0, "synthetic": 100.0, "score": 0.41, **_CURVE}, "below"),
            ({"real": 25.0, "synthetic": 75.0, "score": 0.72, **_CURVE}, "above")]  # fmt: skip


def _reached(score: float, alone: list[float], curve: list[float]) -> float:
    return float(np.exp(np.interp(score, curve, np.log(alone))))


def _value(real: float, synthetic: float, score: float, alone: list, curve: list) -> float:
    return (_reached(score, alone, curve) - real) / synthetic


_VALUE_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda real, synthetic, score, alone, curve: _reached(score, alone, curve),
     "this is the amount of real images that reaches the score: subtract the mixture's own real "
     "images, and divide by its synthetic ones."),
    (lambda real, synthetic, score, alone, curve: _reached(score, alone, curve) / synthetic,
     "the mixture's own real images are counted as synthetic: subtract `real` first."),
    (lambda real, synthetic, score, alone, curve: _reached(score, alone, curve) - real,
     "this is what all synthetic images replace together: divide by `synthetic`."),
    (lambda real, synthetic, score, alone, curve:
     synthetic / max(_reached(score, alone, curve) - real, 1e-9),
     "this is the exchange rate, synthetic images for one real one: its inverse is due."),
    (lambda real, synthetic, score, alone, curve:
     (float(np.interp(score, curve, alone)) - real) / synthetic,
     "you interpolate over the amounts: interpolate over their logarithm, where doubling is one "
     "step."),
]  # fmt: skip


@exercise(example=_VALUE_CASES[0])
def relative_value(answer: Callable) -> Verdict:
    """``f(real, synthetic, score, alone, curve) -> float``, ``"below"`` or ``"above"``."""
    for case, side in _OUTSIDE:
        got = ask(answer, **case)
        if got != side:
            return hint(
                f"a score of {case['score']:g} lies {side} the curve, which runs from "
                f"{case['curve'][0]:g} to {case['curve'][-1]:g}: nothing can be read off there, so "
                f"return `'{side}'`, and you returned {got!r}."
            )
    wrong = compare(answer, _VALUE_CASES, _value, _VALUE_MISTAKES)
    return wrong or correct(
        "a value at the end of the curve would look exact. `below` says what is known: less."
    )


def _share_case(seed: int, patches: int, px: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    weights = rng.random((patches, patches))
    mask = np.zeros((px, px), bool)
    top, left = rng.integers(0, px - 5, 2)
    mask[top : top + 5, left : left + 4] = True
    return {"attention": weights / weights.sum(), "mask": mask}


_SHARE_CASES = [_share_case(1, 4, 16), _share_case(2, 8, 24), _share_case(3, 2, 12)]


def _covered(attention: np.ndarray, mask: np.ndarray) -> np.ndarray:
    side = len(attention)
    step = len(mask) // side
    return mask.reshape(side, step, side, step).mean(axis=(1, 3))


def _share(attention: np.ndarray, mask: np.ndarray) -> float:
    return float((attention * _covered(attention, mask)).sum())


_SHARE_MISTAKES: list[tuple[Callable[..., float], str]] = [
    (lambda attention, mask: float(attention[_covered(attention, mask) > 0].sum()),
     "each patch that the mask touches counts as a whole: weight it by the share that is covered."),
    (lambda attention, mask: float(mask.mean()),
     "this is the area of the mask: weight each patch by its attention."),
    (lambda attention, mask: float((attention * _covered(attention, mask)).mean()),
     "this is a mean over the patches: the map sums to 1, so take the sum."),
    (lambda attention, mask: 1 - _share(attention, mask),
     "this is the share outside of the mask."),
    (lambda attention, mask: _share(attention, mask) / max(float(mask.mean()), 1e-9),
     "this is the share relative to the area: the share itself is due."),
    (lambda attention, mask: float((attention * _covered(attention, mask.T)).sum()),
     "rows and columns of the mask have changed places."),
]  # fmt: skip


@exercise(example=_SHARE_CASES[0])
def attention_share(answer: Callable) -> Verdict:
    """``f(attention, mask) -> float``: the share of a map (p, p) on a mask (px, px) of pixels."""
    wrong = compare(answer, _SHARE_CASES, _share, _SHARE_MISTAKES)
    return wrong or correct("compare a share with the area of its region, or with another image's.")
