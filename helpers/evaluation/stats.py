"""Means, differences and verdicts, with an error that holds the test items and the training seeds.

Every seed is tested on the same items, so both spread independently. The squared errors of the two
add up, and Student's t takes the degrees of freedom of Satterthwaite ("An approximate distribution
of estimates of variance components", 1946). What items and seeds do together counts twice, so the
error is a little too large, never too small (Owen, "The pigeonhole bootstrap", 2007).

What a study says of a hypothesis is exactly one verdict, by rules that were fixed beforehand. A
*directed* hypothesis expects a difference above zero (or below), a *same* one expects it within an
equivalence margin (Schuirmann, "A comparison of the two one-sided tests procedure", 1987).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

ALPHA = 0.05
POWER = 0.8
Kind = Literal["higher", "lower", "same"]
VERDICTS = ("supported", "contradicted", "equivalent", "reported size excluded", "undecided")
NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of means, with its 95 % interval and a p-value against zero.

    Attributes
    ----------
    value, low, high : float
        NaN where ``missing`` says why there is no number.
    p : float
        Two-sided; it shares error and degrees of freedom with the interval.
    error, item_error, seed_error : float
        Standard errors: of both, of the test items, of the seeds (0 with one seed or none).
    df : float
        Degrees of freedom.
    n : int
        Queries; of both directions, those of the smaller one.
    n_items, n_seeds : int
        Items that were resampled, and trainings (0: nothing was trained).
    """

    value: float
    low: float
    high: float
    p: float = math.nan
    error: float = math.nan
    item_error: float = math.nan
    seed_error: float = 0.0
    df: float = math.nan
    n: int = 0
    n_items: int = 0
    n_seeds: int = 0
    missing: str = ""

    def detectable(self, n_tests: int = 1) -> float:
        """The smallest true difference that a test shows with probability 0.8.

        The level is 0.05 divided by the number of tests in the family.
        """
        if not self.error > 0:
            return max(self.high - self.value, 0.0)
        quantiles = stats.t.ppf(1 - ALPHA / 2 / n_tests, self.df) + stats.t.ppf(POWER, self.df)
        return float(quantiles * self.error)


@dataclass(frozen=True)
class Sample:
    """Values by seed and query, and the item of each query: (s, n) float and (n,) labels."""

    values: np.ndarray
    groups: Sequence[str]


def estimate(
    *samples: Sample, bounds: tuple[float, float] = (-math.inf, math.inf), shift: float = 0.0
) -> Estimate:
    """The mean of values by seed and query with its interval; of several samples, their mean.

    There is one sample, or one for each direction of retrieval: their means are averaged, whatever
    the number of their queries. All have the same seeds (rows); one without seeds has one row.
    ``bounds`` are what the interval is cut to: (0, 1) for a share. ``shift`` is added to the value:
    "at least -s" says that the value shifted by s exceeds 0.

    Raises ``ValueError`` if shapes do not agree, a value is not finite, or there are fewer than two
    items.

    >>> values = np.array([[0, 1, 1, 0, 1, 1, 0, 1], [1, 1, -1, -1, 0, 0, 0, 1],
    ...                    [1, 1, 0, 0, 0, 1, 1, 1]])
    >>> found = estimate(Sample(values, list("abcdefgh")))
    >>> [round(x, 3) for x in (found.value, found.low, found.high, found.p, found.df)]
    [0.458, -0.113, 1.03, 0.098, 6.191]
    """
    items, by_seed, residuals = _sums(samples)
    value = float(by_seed.mean())
    n_items, n_seeds = len(items), len(by_seed)
    item_error = math.sqrt(n_items / (n_items - 1) * float(residuals @ residuals))
    seed_error = float(by_seed.std(ddof=1)) / math.sqrt(n_seeds) if n_seeds > 1 else 0.0
    error = math.hypot(item_error, seed_error)
    n = min(sample.values.shape[1] for sample in samples)
    told = {"n": n, "n_items": n_items, "n_seeds": n_seeds}
    value += shift
    if error < 1e-12:  # no query differs: the one-sided limit of a share of 0 among the items
        half = 1 - 0.025 ** (1 / n_items)
        # The level at which the interval would end at 0, so that p and interval agree.
        p = min(1.0, 2 * max(0.0, 1 - abs(value)) ** n_items)
        low, high = max(value - half, bounds[0]), min(value + half, bounds[1])
        return Estimate(value, low, high, p, 0.0, 0.0, 0.0, n_items - 1.0, **told)
    parts = ((item_error, n_items - 1), (seed_error, n_seeds - 1))
    df = 1 / sum((part / error) ** 4 / free for part, free in parts if part)
    half = float(stats.t.ppf(0.975, df)) * error
    p = float(2 * stats.t.sf(abs(value) / error, df))
    low, high = max(value - half, bounds[0]), min(value + half, bounds[1])
    return Estimate(value, low, high, p, error, item_error, seed_error, df, **told)


def _sums(samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The items, the mean of each seed (s,), and what each item adds to the error (g,)."""
    if not samples:
        raise ValueError("nothing to estimate: give at least one sample")
    items = np.unique(np.concatenate([np.asarray(s.groups, str) for s in samples]))
    if len(items) < 2:
        raise ValueError(f"{len(items)} test item: an interval needs at least two")
    by_seed, residuals = [], np.zeros(len(items))
    for sample in samples:
        values = np.asarray(sample.values, float)
        if values.ndim != 2 or values.shape[1] != len(sample.groups):
            raise ValueError(f"values {values.shape} for {len(sample.groups)} queries: (s, n)")
        if not np.isfinite(values).all():
            raise ValueError("a value is not finite: leave out what could not be measured")
        code = np.searchsorted(items, np.asarray(sample.groups, str))
        mean = values.mean(axis=0)
        total, size = (np.bincount(code, w, len(items)) for w in (mean, None))
        residuals += (total - mean.mean() * size) / len(mean) / len(samples)
        by_seed.append(values.mean(axis=1))
    if len({len(means) for means in by_seed}) > 1:
        raise ValueError("the directions have different numbers of seeds")
    return items, np.mean(by_seed, axis=0), residuals


def contrast(values: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """The weighted sum of arms, seed by seed: (s, n) float.

    An arm that was not trained has one row and stands beside each seed of the others.
    """
    total: np.ndarray | float = 0.0
    for arm, weight in weights.items():
        total = total + weight * np.asarray(values[arm], float)
    return np.asarray(total)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values of one family after Holm's correction ("A simple sequentially rejective multiple
    test procedure", 1979), in the order given.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


@dataclass(frozen=True)
class Verdict:
    """``name`` is one of ``VERDICTS``; ``text`` is the verdict with its numbers, in points.

    ``size`` says how a reported difference compares with what was measured, "" where none was.
    """

    name: str
    text: str
    size: str = ""


def verdict(
    value: float, low: float, high: float, p: float, *, kind: Kind, margin: float,
    reported: float | None = None, detectable: float = math.nan,
) -> Verdict:  # fmt: skip
    """Judge a difference.

    Parameters
    ----------
    value, low, high : float
        The difference and its 95 % interval, as fractions.
    p : float
        After Holm's correction over the family.
    kind : ``higher``, ``lower`` or ``same``
        What the hypothesis expects of the difference.
    margin : float, above 0
        The smallest difference that would matter.
    reported : float, optional
        The difference that a source reports, in the direction that the hypothesis expects (> 0 for
        ``higher``, < 0 for ``lower``).
    detectable : float
        The smallest difference that the test could have shown.

    Raises ``ValueError`` if the margin is not positive, the interval does not hold the value, or
    the reported difference points the other way.
    """
    if not margin > 0:
        raise ValueError(f"margin {margin}: a positive difference is needed, fixed beforehand")
    if not low <= value <= high:
        raise ValueError(f"the interval [{low}, {high}] does not hold {value}")
    shown = p <= ALPHA and value != 0
    within = -margin <= low and high <= margin
    if kind == "same":
        return _same(low, high, margin, shown, within)
    if kind == "lower":  # turn it round, so that the hypothesis says "above zero"
        value, low, high = -value, -high, -low
        reported = None if reported is None else -reported
    if reported is not None and not reported > 0:
        raise ValueError(f"the reported difference {reported} is not what {kind!r} expects")
    size, m = _size(low, high, reported), f"±{100 * margin:g} points"
    if shown:
        name = "supported" if value > 0 else "contradicted"
        return Verdict(name, name + f", within {m}" * within, size)
    if within:
        return Verdict("equivalent", f"equivalent within {m}", size)
    if reported is not None and high < reported:
        excluded = f"reported size ({100 * reported:+.2f} points) excluded"
        return Verdict("reported size excluded", excluded, size)
    text = f"undecided (could have shown {100 * detectable:.1f} points)"
    return Verdict("undecided", text, size)


def _same(low: float, high: float, margin: float, shown: bool, within: bool) -> Verdict:
    m = f"±{100 * margin:g} points"
    if within:
        return Verdict("supported", f"supported (equivalent within {m})")
    if shown and (low > margin or high < -margin):
        return Verdict("contradicted", "contradicted")
    reach = 100 * max(abs(low), abs(high))
    return Verdict("undecided", f"undecided (within ±{reach:.1f} points at most)")


def _size(low: float, high: float, reported: float | None) -> str:
    if reported is None:
        return ""
    if high < reported:
        return "smaller than reported"
    return "larger than reported" if low > reported else "as reported"
