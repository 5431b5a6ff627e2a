"""Paired comparisons of models on the same queries: difference, interval, test, verdict.

The test flips the signs of whole recipes' differences, the interval resamples recipes. The verdict
follows the test, which holds its level with few recipes too; "not distinguishable" is an answer,
and ``smallest_detectable`` says what it is worth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from helpers.first.evaluation.intervals import Bounds, bootstrap_interval
from helpers.first.evaluation.power import smallest_detectable_difference
from helpers.first.evaluation.resampling import group_sums

EXACT_GROUPS = 12
_CELLS = 4_000_000


@dataclass(frozen=True)
class Comparison:
    """The mean of ``a - b`` over n queries in n_groups recipes, and what can be said of it.

    Where nothing could be compared all numbers are NaN, and ``reason`` says why; see
    :func:`not_compared`.
    """

    difference: float
    low: float
    high: float
    p_value: float
    n: int
    n_groups: int
    smallest_detectable: float
    verdict: str
    reason: str = ""

    def text(self, *, scale: float = 100.0, form: str = "+.1f") -> str:
        """Difference and limits as they are printed, in points: ``+3.1 [-0.2, +6.0]``."""
        if self.reason:
            return self.verdict
        ends = [scale * self.low, scale * self.high]
        shown = f" [{ends[0]:{form}}, {ends[1]:{form}}]" if np.isfinite(ends).all() else ""
        return f"{scale * self.difference:{form}}{shown}"


def not_compared(n: int, groups, reason: str) -> Comparison:
    """No comparison of n queries, for a reason such as ``gallery has 6``.

    >>> not_compared(6, ["a"] * 6, "gallery has 6").verdict
    'n/a (gallery has 6)'
    """
    n_groups = len(np.unique(np.asarray(groups))) if len(groups) else 0
    nothing = (np.nan, np.nan, np.nan, np.nan)
    return Comparison(*nothing, n, n_groups, np.nan, f"n/a ({reason})", reason)


def paired_comparison(
    a,
    b,
    groups,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    higher_is_better: bool = True,
    n_resamples: int = 2000,
    n_flips: int = 10_000,
    seed: int = 42,
) -> Comparison:
    """Compare two models by their values on the same queries in the same order.

    The interval is ``bootstrap_interval`` of the differences at level ``1 - alpha``, with expanded
    percentile limits; the p-value is two-sided, from sign flips of the groups' summed differences:
    all of them where at most 12 groups differ, else ``n_flips`` random ones, the observed one
    counted (Phipson and Smyth, "Permutation p-values should never be zero", 2010). The verdict is
    on ``a`` and follows the p-value.

    Parameters
    ----------
    a, b : (n,) float
        Per-query values, say of ``per_query(ranking, "hit@10")``.
    groups : (n,) labels, the recipe of each query
    alpha, power : float
        Level of the test; power at which ``smallest_detectable`` is stated.
    higher_is_better : bool
        False for ranks.

    Returns
    -------
    Comparison
        ``verdict`` is "better", "worse" or "not distinguishable".

    Raises
    ------
    ValueError
        If lengths differ or a value is not finite.

    Examples
    --------
    >>> paired_comparison([1, 1, 0], [1, 0, 0], ["x", "y", "z"]).verdict
    'not distinguishable'
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"a has shape {a.shape}, b {b.shape}; give values on the same queries")
    differences = a - b
    data = group_sums(differences, groups)
    interval = bootstrap_interval(
        differences,
        groups,
        level=1 - alpha,
        n_resamples=n_resamples,
        seed=seed,
        bounds=_difference_bounds(a, b),
        method="expanded",
    )
    p_value = _sign_flip_p(data.sums, n_flips, seed)
    detectable = smallest_detectable_difference(
        differences, groups, alpha=alpha, power=power, bounds=_difference_bounds(a, b)
    )
    verdict = _verdict(interval.value, p_value, alpha, higher_is_better)
    return Comparison(
        interval.value,
        interval.low,
        interval.high,
        p_value,
        interval.n,
        interval.n_groups,
        detectable,
        verdict,
    )


def compare_all(
    values: Mapping[str, Sequence[float]],
    groups,
    *,
    alpha: float = 0.05,
    higher_is_better: bool = True,
    **settings,
) -> pd.DataFrame:
    """Compare every pair of models, with Holm's correction over all pairs.

    Parameters
    ----------
    values : mapping of str to (n,) float
        A model's name and its per-query values, all on the same queries.
    groups : (n,) labels, the recipe of each query
    alpha, higher_is_better, **settings
        As in :func:`paired_comparison`.

    Returns
    -------
    pandas.DataFrame
        A row a pair, in the order given: ``a, b``, the fields of :class:`Comparison`, ``p_holm``;
        the verdict is on ``a`` and follows ``p_holm``. The intervals are not corrected.

    Raises
    ------
    ValueError
        If there are fewer than two models.

    Examples
    --------
    >>> compare_all({"m0": [0, 1], "m1": [1, 1]}, ["x", "y"])["p_holm"].tolist()
    [1.0]
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} models to compare; give at least two")
    rows = []
    for a, b in combinations(values, 2):
        found = paired_comparison(
            values[a],
            values[b],
            groups,
            alpha=alpha,
            higher_is_better=higher_is_better,
            **settings,
        )
        rows.append({"a": a, "b": b, **vars(found)})
    frame = pd.DataFrame(rows)
    frame.insert(frame.columns.get_loc("p_value") + 1, "p_holm", holm(frame["p_value"]))
    frame["verdict"] = [
        _verdict(row.difference, row.p_holm, alpha, higher_is_better) for row in frame.itertuples()
    ]
    return frame


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Adjust p-values so that all tests together keep the level.

    Holm, "A simple sequentially rejective multiple test procedure" (1979).

    Parameters
    ----------
    p_values : (m,) float in [0, 1]

    Returns
    -------
    (m,) float64, in the order given

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values must lie in 0 to 1, got {p.tolist()}")
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty(len(p))
    result[order] = np.minimum(adjusted, 1)
    return result


def exact_mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided p-value for two models' hits on independent queries.

    Only queries that one model alone hits count; without any the answer is 1. McNemar, "Note on the
    sampling error of the difference between correlated proportions" (1947), with binomial tails.

    Parameters
    ----------
    only_a, only_b : int
        Queries that only ``a``, or only ``b``, hits.

    Examples
    --------
    >>> exact_mcnemar(1, 0)
    1.0
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"only_a={only_a}, only_b={only_b}: counts cannot be negative")
    if only_a + only_b == 0:
        return 1.0
    return float(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue)


def _sign_flip_p(sums: np.ndarray, n_flips: int, seed: int) -> float:
    """Two-sided p-value of the total of the groups' sums (G,) under random signs of groups."""
    sums = sums[sums != 0]
    if sums.size == 0:
        return 1.0
    reach = abs(sums.sum()) - 1e-9 * np.abs(sums).sum()  # equal totals count as equal
    if sums.size <= EXACT_GROUPS:
        bits = np.arange(2**sums.size)[:, None] >> np.arange(sums.size) & 1
        return float((np.abs((2 * bits - 1) @ sums) >= reach).mean())
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS // sums.size)
    extreme = 0
    for start in range(0, n_flips, step):
        size = (min(step, n_flips - start), sums.size)
        signs = 2.0 * generator.integers(0, 2, size=size, dtype=np.int8) - 1
        extreme += int((np.abs(signs @ sums) >= reach).sum())
    return (1 + extreme) / (1 + n_flips)


def _verdict(difference: float, p_value: float, alpha: float, higher_is_better: bool) -> str:
    if p_value > alpha or difference == 0:
        return "not distinguishable"
    return "better" if (difference > 0) == higher_is_better else "worse"


def _difference_bounds(a: np.ndarray, b: np.ndarray) -> Bounds | None:
    both = np.concatenate([a, b])
    within = both.size > 0 and both.min() >= 0 and both.max() <= 1
    return (-1.0, 1.0) if within else None
