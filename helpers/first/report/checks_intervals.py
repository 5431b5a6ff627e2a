"""Checks of lesson 03 on certainty: the bootstrap over recipes, and what one hit of 54 is worth."""

from collections.abc import Callable
from functools import cache
from math import sqrt
from typing import Any

import numpy as np

from helpers.first.report.verdicts import Settled, Verdict, ask, correct, exercise, hint

_RESAMPLES = 1000
_SEEDS = (1, 2, 3, 4)


@cache
def _clustered() -> tuple[np.ndarray, np.ndarray]:
    """24 recipes with 16 queries each that mostly agree: 384 rows say little more than 24."""
    generator = np.random.default_rng(7)
    means = generator.normal(0.5, 0.2, 24)
    values = np.repeat(means, 16) + generator.normal(0, 0.04, 24 * 16)
    groups = np.repeat([f"{i:03d}" for i in range(24)], 16)
    mixed = generator.permutation(values.size)  # a recipe's rows need not lie together
    return values[mixed], groups[mixed]


@cache
def _uneven() -> tuple[np.ndarray, np.ndarray]:
    """Large recipes score low: the mean of recipe means is far above the mean of all rows."""
    generator = np.random.default_rng(8)
    sizes = [1, 2] * 10 + [24] * 10
    means = np.repeat([0.9] * 20 + [0.2] * 10, sizes)
    values = means + generator.normal(0, 0.05, means.size)
    return values, np.repeat([f"r{i}" for i in range(30)], sizes)


@cache
def _rare() -> tuple[np.ndarray, np.ndarray]:
    """Two recipes of 20 are found: a share near 0, where a symmetric interval falls below it."""
    return np.repeat([1.0, 1.0] + [0.0] * 18, 3), np.repeat([f"r{i}" for i in range(20)], 3)


@cache
def _group_width(level: float = 0.95) -> float:
    """Width of the interval on ``_clustered`` from 40,000 resamples of recipes."""
    values, groups = _clustered()
    means = np.array([values[groups == name].mean() for name in np.unique(groups)])
    drawn = np.random.default_rng(0).integers(0, means.size, (40_000, means.size))
    low, high = np.quantile(means[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(high - low)


@exercise(
    "03.bootstrap_interval",
    example={
        "values": np.array([1.0, 1.0, 0.0, 0.0, 1.0]),
        "groups": np.array(["a", "a", "b", "b", "c"]),
        "n_resamples": 20,
        "seed": 1,
    },
)
def bootstrap_interval(answer: Callable) -> Verdict:
    """``f(values, groups, n_resamples, seed) -> (low, high)``: 95 %, recipes are redrawn.

    The statistic is the mean of all rows of the drawn recipes, a recipe drawn twice counted twice.
    """
    values, groups = _clustered()
    ends = [_asked(answer, values, groups, _RESAMPLES, seed) for seed in _SEEDS]
    if _asked(answer, values, groups, _RESAMPLES, _SEEDS[0]) != ends[0]:
        return hint(
            "two calls with the same seed give two intervals: draw from "
            "`np.random.default_rng(seed)`, made inside the function."
        )
    widths = np.array([high - low for low, high in ends])
    if np.all(widths < 1e-9):
        return hint(
            "every resample has the same mean, so the interval has no width: draw recipes *with* "
            "replacement, so that some come twice and some not at all."
        )
    if len(set(ends)) == 1:
        return hint("the seed makes no difference: make the generator from the seed you are given.")
    mean = values.mean()
    if any(not low <= mean <= high for low, high in ends):
        return hint(
            f"the mean, {mean:.3f}, lies outside of your interval {ends[0][0]:.3f} to "
            f"{ends[0][1]:.3f}: "
            "`np.percentile` takes 2.5 and 97.5, `np.quantile` takes 0.025 and 0.975."
        )
    return _width_hint(float(widths.mean() / _group_width())) or _further(answer)


def _width_hint(ratio: float) -> Verdict | None:
    """What a width, as a share of the right one, gives away; None if it is right."""
    narrow = (
        f"on rows that agree within a recipe, your interval has {ratio:.0%} of the width it needs"
    )
    if ratio < 0.36:
        return hint(
            f"{narrow}, that of a bootstrap over single rows: the captions of one recipe are no "
            "independent witnesses. Draw recipes, and take all rows of each."
        )
    if 0.45 < ratio < 0.58:
        return hint(
            f"{narrow}: mean plus or minus one standard deviation covers 68 %, not 95 %. Take "
            "the 2.5th "
            "and the 97.5th percentile of the resampled means."
        )
    if 0.70 < ratio < 0.80:
        return hint(
            f"{narrow}: a recipe that is drawn twice must count twice. `np.isin(groups, "
            "drawn)` counts "
            "it once."
        )
    if 0.80 <= ratio < 0.92:
        return hint(
            f"{narrow}: the 5th and 95th percentile leave out 10 %. A 95 % interval goes from "
            "the 2.5th "
            "to the 97.5th."
        )
    if 1.08 < ratio < 3.2:
        return hint(
            f"your interval is {ratio:.1f} times as wide as the 2.5th to 97.5th percentile."
        )
    if ratio >= 3.2:
        return hint(
            "your interval describes single values, not their mean: take percentiles of the "
            "resampled "
            "means."
        )
    return (
        None if ratio >= 0.92 else hint(f"{narrow}: draw as many recipes as there are, each time.")
    )


def _further(answer: Callable) -> Verdict:
    """Recipes of unequal size, shares near 0, and the number of resamples."""
    values, groups = _uneven()
    low, high = _asked(answer, values, groups, _RESAMPLES, 1)
    if not low <= values.mean() <= high:
        return hint(
            "with recipes of unequal size your interval misses the mean of all rows: average "
            "the rows "
            "of the drawn recipes, not the means of recipes (that is another question)."
        )
    if _asked(answer, *_rare(), _RESAMPLES, 1)[0] < -1e-9:
        return hint(
            "hits are 0 or 1, and your interval goes below 0: mean plus or minus 1.96 standard "
            "deviations assumes a symmetric spread. Percentiles of the resampled means stay "
            "in range."
        )
    low, high = _asked(answer, *_clustered(), 1, 1)
    if high - low > 1e-9:
        return hint(
            "one resample has one mean, so `n_resamples=1` gives low = high: use n_resamples."
        )
    return correct("recipes drawn with replacement, all their rows kept, percentiles of the means.")


def _asked(answer: Callable, values, groups, n_resamples: int, seed: int) -> tuple[float, float]:
    result = ask(answer, values=values, groups=groups, n_resamples=n_resamples, seed=seed)
    try:
        low, high = (float(end) for end in result)
    except (TypeError, ValueError):
        said = f"{result!r}"[:60]
        raise Settled(
            hint(f"two numbers are due, `(low, high)`, and you returned {said}.")
        ) from None
    if not (np.isfinite(low) and np.isfinite(high)):
        raise Settled(hint("an end of your interval is not a finite number: is a resample empty?"))
    if low > high:
        raise Settled(hint("low is above high: return the lower percentile first."))
    return low, high


@exercise("03.same_or_different")
def same_or_different(answer: Any) -> Verdict:
    """``"real"`` or ``"not distinguishable"``: 31 hits in 54 queries against 32 in 54."""
    said = " ".join(answer.lower().split()) if isinstance(answer, str) else answer
    low, high = _wilson(31, 54)
    if said == "not distinguishable":
        return correct(
            f"one query of 54 apart, and 31 of 54 alone has a 95 % interval from {low:.0%} to "
            f"{high:.0%}."
        )
    if said == "real":
        return hint(
            "the two differ in one query of 54. The 95 % interval of 31 of 54 goes from "
            f"{low:.0%} to "
            f"{high:.0%}: where does 32 of 54 lie?"
        )
    return hint(f'answer "real" or "not distinguishable"; you gave {answer!r}.')


def _wilson(hits: int, queries: int, z: float = 1.96) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927)."""
    share, spread = hits / queries, z * z / queries
    middle = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / queries + spread / queries / 4) / (1 + spread)
    return middle - half, middle + half
