"""Two sources of chance at once: which recipes were tested, and which seeds were trained with.

Every seed is tested on the same recipes, so both spread independently of each other. The error of a
mean over both is the root of the sum of the two squared errors: that of the recipes, from the
seeds' mean, and that of the seeds, from each seed's mean over all recipes. What recipes and seeds
do together is then counted twice, which makes intervals a little too wide, never too narrow (the
conservative variant of Owen, "The pigeonhole bootstrap", 2007).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from helpers.first.evaluation.resampling import group_sums, ratio_and_error


@dataclass(frozen=True)
class TwoWay:
    """A mean over seeds and queries, its 95 % interval, and where its error comes from.

    Attributes
    ----------
    value, low, high : float
    recipe_error, seed_error : float
        Standard errors from either source; ``seed_error`` is NaN with one seed.
    n_seeds, n_groups : int
    """

    value: float
    low: float
    high: float
    recipe_error: float
    seed_error: float
    n_seeds: int
    n_groups: int


def two_way_interval(values: np.ndarray, groups, *, level: float = 0.95) -> TwoWay:
    """The mean of values by seed and query, with an interval that speaks of seeds and recipes.

    Student's t at the degrees of freedom of Satterthwaite ("An approximate distribution of
    estimates of variance components", 1946). With one seed the interval speaks of recipes alone.

    Parameters
    ----------
    values : (s, n) float
        Of each seed (a row) on each query; differences of two models as well.
    groups : (n,) labels, the recipe of each query
    level : float

    Raises
    ------
    ValueError
        If values and groups do not fit, a value is not finite, or there is one recipe only.

    Examples
    --------
    >>> two_way_interval(np.array([[1.0, 0.0], [1.0, 1.0]]), ["a", "b"]).value
    0.75
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"values of shape {values.shape}: give (seeds, queries), at least a seed")
    data = group_sums(values.mean(axis=0), groups)
    if data.n_groups < 2:
        raise ValueError("one recipe alone: an interval over recipes needs at least two")
    value, by_recipe = ratio_and_error(data.sums, data.sizes)
    n_seeds = len(values)
    by_seed = float(values.mean(axis=1).std(ddof=1)) / math.sqrt(n_seeds) if n_seeds > 1 else 0.0
    error = math.hypot(by_recipe, by_seed)
    half = 0.0
    if error > 0:
        parts = ((by_recipe, data.n_groups - 1), (by_seed, n_seeds - 1))
        freedom = 1 / sum((part / error) ** 4 / free for part, free in parts if part)
        half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    return TwoWay(
        value, value - half, value + half, by_recipe, by_seed if n_seeds > 1 else math.nan,
        n_seeds, data.n_groups,
    )  # fmt: skip
