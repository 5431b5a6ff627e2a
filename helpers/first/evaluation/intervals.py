"""Confidence intervals: a bootstrap over recipes, and Wilson's interval for independent trials.

The default limits are BCa with tails expanded for the number of groups. On clustered hits (see
``tests.first.benchmarks.coverage``) they hold a little less than they say with 20 recipes, as every
bootstrap does: the plain percentile interval holds less still, and the bootstrap-t holds more but
grows several times too wide for hit rates near 0 or 1. With 200 recipes they are nearly alike. A
difference of two models has a symmetric error, which BCa's correction for skewness only disturbs:
comparisons take expanded percentile limits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from helpers.first.evaluation.chance import fixed_by
from helpers.first.evaluation.metrics import per_query
from helpers.first.evaluation.ranks import Ranking
from helpers.first.evaluation.resampling import (
    GroupSums,
    bca_limits,
    bootstrap_t_limits,
    expanded_tail,
    group_sums,
    percentile_limits,
    resampled_means,
    resampled_medians,
)

METHODS = ("bca", "expanded", "percentile", "bootstrap-t")
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Interval:
    """A value between two limits, and what they rest on: n queries in n_groups recipes.

    ``low`` and ``high`` are NaN where the data bound nothing (see :func:`bootstrap_interval`). All
    three are NaN where nothing was measured, and ``reason`` says why.
    """

    value: float
    low: float
    high: float
    n: int
    n_groups: int
    level: float
    reason: str = ""

    def text(self, form: str = ".3f") -> str:
        """Value and limits as they are printed: ``0.574 [0.441, 0.699]``.

        >>> Interval(math.nan, math.nan, math.nan, 6, 6, 0.95, "gallery has 6").text()
        'n/a (gallery has 6)'
        """
        if self.reason:
            return f"n/a ({self.reason})"
        ends = f" [{self.low:{form}}, {self.high:{form}}]" if math.isfinite(self.low) else ""
        return f"{self.value:{form}}{ends}"


def bootstrap_interval(
    values,
    groups,
    *,
    statistic: str = "mean",
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 42,
    bounds: Bounds | None = None,
    method: str = "bca",
) -> Interval:
    """A cluster bootstrap interval for the mean or median of per-query values.

    Groups, not values, are drawn with replacement; the mean is a ratio of sums. A median has no
    useful jackknife, so it takes expanded percentile limits.

    Where all groups have one mean, as when every query is a hit, or there is one group only,
    resampling shows no spread; the limits then say what the number of groups alone can: at most a
    share ``u = 1 - (alpha / 2)**(1 / G)`` of groups, the bound of Clopper and Pearson (1934) for 0
    of G, may lie at the far bound. For 20 recipes without a miss that is (0.83, 1).

    Parameters
    ----------
    values : (n,) float, finite
    groups : (n,) labels, the recipe of each value
    statistic : {"mean", "median"}
    level : float
        Nominal coverage, such as 0.95.
    n_resamples, seed : int
    bounds : (float, float), optional
        The least and the greatest value possible; the limits never leave them. Default: (0, 1) for
        values within it, else unknown, and then the limits of equal values are NaN.
    method : {"bca", "expanded", "percentile", "bootstrap-t"}
        How to take limits of a mean: expanded BCa, expanded percentile, plain percentile, or
        bootstrap-t.

    Raises
    ------
    ValueError
        For empty or non-finite values, lengths that differ, values outside ``bounds``, or an
        unknown statistic or method.

    Examples
    --------
    >>> bootstrap_interval([1, 0, 1, 1], ["a", "a", "b", "c"]).value
    0.75
    """
    _check_settings(statistic, level, n_resamples, method)
    values = np.asarray(values, dtype=np.float64)
    data = group_sums(values, groups)
    bounds = _bounds(values, bounds)
    value = float(values.mean() if statistic == "mean" else np.median(values))
    if data.n_groups == 1 or np.ptp(values) == 0 or (statistic == "mean" and data.agree):
        low, high = _limits_without_spread(value, data.n_groups, level, bounds)
    elif statistic == "median":
        medians = resampled_medians(data, values, n_resamples, seed)
        low, high = percentile_limits(medians, expanded_tail(data.n_groups, level))
    else:
        low, high = _mean_limits(data, method, level, n_resamples, seed)
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    low, high = min(low, value), max(high, value)
    return Interval(value, low, high, len(values), data.n_groups, level)


def wilson_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share of independent trials, one query a recipe.

    Wilson, "Probable inference, the law of succession, and statistical inference" (1927).

    Raises
    ------
    ValueError
        If ``successes`` is not within 0 to ``n``, or ``n`` is 0.

    Examples
    --------
    >>> interval = wilson_interval(31, 54)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.442, 0.697)
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes in {n} trials; need 0 <= successes <= n and n > 0")
    z = stats.norm.ppf((1 + level) / 2)
    share = successes / n
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low = 0.0 if successes == 0 else float(center - half)
    high = 1.0 if successes == n else float(center + half)
    return Interval(share, low, high, n, n, level)


def retrieval_intervals(
    ranking: Ranking,
    groups,
    *,
    ks: Sequence[int] = (1, 5, 10),
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 42,
) -> dict[str, Interval]:
    """An interval for each of ``retrieval_metrics``, under the same names.

    A metric whose K reaches the gallery's size has none: NaN, and the reason.

    Parameters
    ----------
    ranking : Ranking of q queries
    groups : (q,) labels, the recipe of each query
    ks, level, n_resamples, seed
        As in ``retrieval_metrics`` and :func:`bootstrap_interval`.

    Examples
    --------
    >>> from helpers.first.evaluation.metrics import both_directions
    >>> ids = ["a", "b"]
    >>> ranking = both_directions(np.eye(2), ids, np.eye(2), ids)["text_to_image"]
    >>> retrieval_intervals(ranking, ids)["hit@1"].value
    1.0
    """
    names = [*(f"hit@{k}" for k in ks), f"recall@{max(ks)}", "mrr", "map"]
    settings = {"level": level, "n_resamples": n_resamples, "seed": seed}
    ranks = {"bounds": (1.0, float(ranking.n_gallery)), **settings}
    shares = {"bounds": (0.0, 1.0), **settings}
    first = per_query(ranking, "mean_rank")
    found = {}
    for name in names:
        reason = fixed_by(name, ranking.n_gallery)
        if reason:
            nothing = (math.nan, math.nan, math.nan)
            n_groups = len(np.unique(np.asarray(groups)))
            found[name] = Interval(*nothing, ranking.n_queries, n_groups, level, reason)
        else:
            found[name] = bootstrap_interval(per_query(ranking, name), groups, **shares)
    return {
        **found,
        "median_rank": bootstrap_interval(first, groups, statistic="median", **ranks),
        "mean_rank": bootstrap_interval(first, groups, **ranks),
        "tied": bootstrap_interval(per_query(ranking, "tied"), groups, **shares),
    }


def _mean_limits(data: GroupSums, method: str, level: float, n_resamples: int, seed: int) -> Bounds:
    means, errors = resampled_means(data, n_resamples, seed)
    if method == "percentile":
        return percentile_limits(means, (1 - level) / 2)
    if method == "bootstrap-t":
        return bootstrap_t_limits(data, means, errors, (1 - level) / 2)
    if method == "expanded":
        return percentile_limits(means, expanded_tail(data.n_groups, level))
    return bca_limits(data, means, expanded_tail(data.n_groups, level))


def _limits_without_spread(
    value: float, n_groups: int, level: float, bounds: Bounds | None
) -> Bounds:
    if bounds is None:
        return math.nan, math.nan
    share = 1 - ((1 - level) / 2) ** (1 / n_groups)
    return value - share * (value - bounds[0]), value + share * (bounds[1] - value)


def _bounds(values: np.ndarray, bounds: Bounds | None) -> Bounds | None:
    if bounds is None:
        return (0.0, 1.0) if values.min() >= 0 and values.max() <= 1 else None
    if values.min() < bounds[0] or values.max() > bounds[1]:
        raise ValueError(
            f"values run from {values.min():g} to {values.max():g}, outside bounds {bounds}; "
            "give the least and the greatest value that are possible"
        )
    return bounds


def _check_settings(statistic: str, level: float, n_resamples: int, method: str) -> None:
    if statistic not in ("mean", "median"):
        raise ValueError(f"unknown statistic {statistic!r}; take 'mean' or 'median'")
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; take one of {', '.join(METHODS)}")
    if not 0 < level < 1 or n_resamples < 1:
        raise ValueError(
            f"level={level}, n_resamples={n_resamples}: need 0 < level < 1, one or more"
        )
