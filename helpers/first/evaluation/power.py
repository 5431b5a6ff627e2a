"""What a test set can show: the smallest detectable difference, and the size that a goal needs."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from helpers.first.evaluation.resampling import group_sums, ratio_and_error

_LARGEST = 10**9


@dataclass(frozen=True)
class NeededSize:
    """A test set's size: recipes, and queries at as many per recipe as were seen."""

    groups: int
    queries: int


def smallest_detectable_difference(
    a_minus_b,
    groups,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    bounds: tuple[float, float] | None = (-1.0, 1.0),
) -> float:
    """The true difference that a paired test on such queries finds with probability ``power``.

    It is ``(t[1 - alpha / 2] + t[power])`` standard errors of the mean difference, clustered by
    group, with Student's t at ``G - 1`` degrees of freedom; Bloom, "Minimum detectable effects"
    (1995). Where the groups' differences are all the same, or there is one group, no error can be
    estimated: the answer is then ``1 - (alpha / 2)**(1 / G)`` times the larger bound, what a share
    of groups that can stay unseen could hide, or NaN with ``bounds=None``.

    Parameters
    ----------
    a_minus_b : (n,) float, per-query differences
    groups : (n,) labels, the recipe of each query
    alpha, power : float
    bounds : (float, float) or None
        The least and the greatest difference that are possible; the answer is at most the larger.

    Examples
    --------
    >>> round(smallest_detectable_difference([1, 0, 0, -1], ["a", "b", "c", "d"]), 2)
    1.0
    """
    _check_levels(alpha, power)
    data = group_sums(np.asarray(a_minus_b, dtype=np.float64), groups)
    largest = math.nan if bounds is None else max(abs(bounds[0]), abs(bounds[1]))
    if data.n_groups == 1 or data.agree:
        return largest * (1 - (alpha / 2) ** (1 / data.n_groups))
    error = ratio_and_error(data.sums, data.sizes)[1]
    found = _reach(data.n_groups, alpha, power) * error
    return found if bounds is None else min(found, largest)


def queries_needed(
    difference: float, a_minus_b, groups, *, alpha: float = 0.05, power: float = 0.8
) -> NeededSize:
    """How large a test set would have to be to show ``difference``, judged by a pilot's spread.

    Parameters
    ----------
    difference : float, not 0
        The true mean difference to be shown.
    a_minus_b : (n,) float
        The pilot's per-query differences.
    groups : (n,) labels, the recipe of each query
    alpha, power : float

    Returns
    -------
    NeededSize
        The smallest number of groups, at least 2, whose smallest detectable difference is at most
        ``difference``, and that many groups' queries.

    Raises
    ------
    ValueError
        If ``difference`` is 0, or the pilot's groups show no spread to plan with.

    Examples
    --------
    >>> queries_needed(0.1, [1, 0, 0, -1], ["a", "b", "c", "d"]).groups
    526
    """
    _check_levels(alpha, power)
    if not (math.isfinite(difference) and difference != 0):
        raise ValueError(f"difference={difference!r} must be a number other than 0")
    data = group_sums(np.asarray(a_minus_b, dtype=np.float64), groups)
    if data.n_groups == 1 or data.agree:
        raise ValueError(
            f"the pilot's {data.n_groups} groups show no spread of differences; take a larger pilot"
        )
    deviation = ratio_and_error(data.sums, data.sizes)[1] * math.sqrt(data.n_groups)

    def enough(n_groups: int) -> bool:
        return _reach(n_groups, alpha, power) * deviation <= abs(difference) * math.sqrt(n_groups)

    high = 2
    while not enough(high):
        high *= 2
        if high > _LARGEST:
            raise ValueError(f"difference={difference!r} would need over {_LARGEST} groups")
    low = max(2, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return NeededSize(high, math.ceil(high * data.sizes.mean()))


def _reach(n_groups: int, alpha: float, power: float) -> float:
    """How many standard errors lie between no difference and a detectable one."""
    return float(stats.t.ppf([1 - alpha / 2, power], n_groups - 1).sum())


def _check_levels(alpha: float, power: float) -> None:
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"alpha={alpha}, power={power}: both must lie between 0 and 1")
