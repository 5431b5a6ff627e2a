"""The cluster bootstrap's engine: sums per group, resamples of groups, and three kinds of limits.

Captions and images of one recipe succeed and fail together, so recipes are drawn, not queries. A
mean over the drawn queries is a ratio of sums: (sum of values) / (number of values).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

_CELLS = 4_000_000  # resamples x columns held at once: 32 MB


@dataclass(frozen=True, eq=False)
class GroupSums:
    """Sums (G,) and sizes (G,) of the values in each of G groups, and each value's group (n,)."""

    sums: np.ndarray
    sizes: np.ndarray
    codes: np.ndarray

    @property
    def n_groups(self) -> int:
        return len(self.sums)

    @property
    def agree(self) -> bool:
        """Whether all groups have one mean, so that resampling them shows no spread."""
        return bool(np.ptp(self.sums / self.sizes) <= 1e-12)


def group_sums(values: np.ndarray, groups) -> GroupSums:
    """Add ``values`` (n,) up within ``groups`` (n,).

    Raises ``ValueError`` for no values, values that are not finite, and lengths that differ.
    """
    groups = np.asarray(groups)
    if values.ndim != 1 or groups.shape != values.shape:
        raise ValueError(
            f"values of shape {values.shape} and groups of shape {groups.shape} must be two lists "
            "of one length, the group of each value"
        )
    if values.size == 0:
        raise ValueError("no values; an interval needs at least one query")
    if not np.isfinite(values).all():
        place = np.flatnonzero(~np.isfinite(values))[0]
        raise ValueError(
            f"value {values[place]} at place {place}; every query needs a finite value"
        )
    codes = np.unique(groups, return_inverse=True)[1]
    return GroupSums(np.bincount(codes, weights=values), np.bincount(codes).astype(float), codes)


def ratio_and_error(sums: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """The mean of all values and its cluster-robust standard error.

    Linearization of a ratio estimator: Cochran, "Sampling Techniques" (1977), section 6.3.
    """
    moments = (sums.sum(), sizes.sum(), sums @ sums, sums @ sizes, sizes @ sizes)
    ratio, error = _ratio_error(*moments, n_groups=len(sums))
    return float(ratio), float(error)


def _ratio_error(total, size, squares, crosses, sizes_squared, *, n_groups: int):
    ratio = total / size
    spread = np.maximum(squares - 2 * ratio * crosses + ratio**2 * sizes_squared, 0)
    return ratio, np.sqrt(spread * n_groups / max(n_groups - 1, 1)) / size


def _draws(n_groups: int, n_resamples: int, columns: int, seed: int) -> Iterator[np.ndarray]:
    """Yield (r, G) counts of how often each group was drawn, ``n_resamples`` rows in all."""
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS // max(columns, n_groups))
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start)
        yield generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=size)


def resampled_means(data: GroupSums, n_resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Means (R,) and standard errors (R,) of resamples of groups."""
    s, n = data.sums, data.sizes
    columns = np.stack([s, n, s * s, s * n, n * n], axis=1)  # (G, 5)
    draws = _draws(len(s), n_resamples, len(s), seed)
    moments = np.concatenate([counts.astype(float) @ columns for counts in draws])  # (R, 5)
    return _ratio_error(*moments.T, n_groups=len(s))


def resampled_medians(
    data: GroupSums, values: np.ndarray, n_resamples: int, seed: int
) -> np.ndarray:
    """Medians (R,) of the values in resamples of groups; two middle values are averaged."""
    order = np.argsort(values, kind="stable")
    ordered, codes = values[order], data.codes[order]
    medians = []
    for counts in _draws(data.n_groups, n_resamples, len(values), seed):
        reached = np.cumsum(counts[:, codes], axis=1)  # (r, n)
        twice = 2 * reached
        lower = ordered[(twice >= reached[:, -1:]).argmax(axis=1)]
        upper = ordered[(twice > reached[:, -1:]).argmax(axis=1)]
        medians.append((lower + upper) / 2)
    return np.concatenate(medians)


def expanded_tail(n_groups: int, level: float) -> float:
    """The tail probability at which a percentile interval is as wide as Student's t asks.

    Hesterberg, "What teachers should know about the bootstrap" (2015), section 5.3.
    """
    quantile = stats.t.ppf((1 - level) / 2, n_groups - 1)
    tail = stats.norm.cdf(quantile * np.sqrt(n_groups / (n_groups - 1)))
    return max(float(tail), 1e-12)  # two groups ask for less than float64 can say


def percentile_limits(resampled: np.ndarray, tail: float) -> tuple[float, float]:
    """The ``tail`` and ``1 - tail`` quantiles of the resampled statistic."""
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def bca_limits(data: GroupSums, resampled: np.ndarray, tail: float) -> tuple[float, float]:
    """Bias-corrected and accelerated limits of a mean, the jackknife leaving out whole groups.

    Efron, "Better bootstrap confidence intervals" (1987).
    """
    mean = data.sums.sum() / data.sizes.sum()
    below = ((resampled < mean).mean() + (resampled <= mean).mean()) / 2
    edge = 0.5 / len(resampled)
    bias = stats.norm.ppf(np.clip(below, edge, 1 - edge))
    left_out = (data.sums.sum() - data.sums) / (data.sizes.sum() - data.sizes)
    pull = left_out.mean() - left_out
    acceleration = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    z = bias + stats.norm.ppf([tail, 1 - tail])
    shifted = stats.norm.cdf(bias + z / np.maximum(1 - acceleration * z, 1e-6))
    low, high = np.quantile(resampled, shifted)
    return float(low), float(high)


def bootstrap_t_limits(
    data: GroupSums, means: np.ndarray, errors: np.ndarray, tail: float
) -> tuple[float, float]:
    """Limits from the resampled studentized mean; wide where resamples have no spread at all.

    Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 12.5.
    """
    mean, error = ratio_and_error(data.sums, data.sizes)
    away = means - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(errors > 0, away / errors, np.sign(away) * 1e9)
    low, high = np.quantile(t, [tail, 1 - tail])
    return float(mean - high * error), float(mean - low * error)
