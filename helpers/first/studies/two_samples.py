"""Two samples of pictures that come in groups: shuffles, resamples and folds that keep them whole.

A recipe's pictures resemble each other, so a recipe moves as one. Where the same label stands on
both sides, its pictures are a pair (or a family of pairs): shuffled, they swap sides; resampled,
they are drawn together; divided into folds, they stay in one. Labels must therefore be the same
where the recipe is the same, and only there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

ONLY_A, ONLY_B, BOTH = 0, 1, 2


@dataclass(frozen=True, eq=False)
class TwoSamples:
    """The rows of ``a`` and then those of ``b``, N in all, in G groups.

    Attributes
    ----------
    is_a : (N,) bool
    codes : (N,) int
        The group of each row.
    kinds : (G,) int
        ``ONLY_A``, ``ONLY_B`` or ``BOTH``: on which side a group has rows.
    """

    is_a: np.ndarray
    codes: np.ndarray
    kinds: np.ndarray

    @property
    def n_groups(self) -> int:
        return len(self.kinds)

    @property
    def n_effective(self) -> int:
        """Groups of the smaller side: what the evidence rests on."""
        counts = np.bincount(self.kinds, minlength=3)
        return int(counts[BOTH] + min(counts[ONLY_A], counts[ONLY_B]))

    def strata(self) -> list[np.ndarray]:
        """The numbers of the groups of each kind that there is."""
        found = [np.flatnonzero(self.kinds == kind) for kind in (ONLY_A, ONLY_B, BOTH)]
        return [members for members in found if len(members)]


def two_samples(groups_a: Sequence[str], groups_b: Sequence[str]) -> TwoSamples:
    """Number the groups of two samples.

    Raises
    ------
    ValueError
        If a side has no row.

    >>> two_samples(["r1", "r2"], ["r2"]).kinds.tolist()
    [0, 2]
    """
    if not len(groups_a) or not len(groups_b):
        raise ValueError(
            f"{len(groups_a)} rows in a, {len(groups_b)} in b; give at least one row on each side"
        )
    labels = np.array([*groups_a, *groups_b], str)
    codes = np.unique(labels, return_inverse=True)[1]  # (N,)
    is_a = np.arange(len(labels)) < len(groups_a)
    in_a, in_b = (np.isin(np.arange(codes.max() + 1), codes[side]) for side in (is_a, ~is_a))
    return TwoSamples(is_a, codes, np.where(in_a & in_b, BOTH, np.where(in_a, ONLY_A, ONLY_B)))


def check_rows(name: str, rows: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """The rows as (n, d) float64.

    Raises ``ValueError`` for another shape, numbers that are not finite, or a count that is not
    that of the groups; ``name`` is how the message calls the side.
    """
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or len(rows) != len(groups):
        raise ValueError(
            f"{name} has shape {rows.shape} and {len(groups)} groups; give (n, d) rows and the "
            "group of each"
        )
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise ValueError(
            f"{name} has the value {rows[row, column]} in row {row}, column {column}; leave that "
            "picture out on purpose, or mend it"
        )
    return rows


def shuffled_sides(samples: TwoSamples, n: int, *, seed: int) -> np.ndarray:
    """Which rows count as ``a``, under the hypothesis that the sides do not matter.

    A group on both sides keeps them or swaps them; the groups on one side only exchange their
    sides among themselves.

    Returns
    -------
    (n, N) bool
        No shuffle leaves a side without rows unless there is one group alone.

    Examples
    --------
    >>> shuffled_sides(two_samples(["r1"], ["r1"]), 3, seed=0).sum(axis=1).tolist()
    [1, 1, 1]
    """
    rng = np.random.default_rng(seed)
    swapped = rng.random((n, samples.n_groups)) < 0.5  # (n, G)
    counts_as_a = samples.is_a ^ swapped[:, samples.codes]
    alone = np.flatnonzero(samples.kinds != BOTH)
    if len(alone):
        sides = np.tile(samples.kinds[alone] == ONLY_A, (n, 1))
        by_group = np.zeros((n, samples.n_groups), bool)
        by_group[:, alone] = rng.permuted(sides, axis=1)
        rows = samples.kinds[samples.codes] != BOTH
        counts_as_a[:, rows] = by_group[:, samples.codes[rows]]
    return counts_as_a


def resampled_weights(samples: TwoSamples, n: int, *, seed: int) -> np.ndarray:
    """How often each row counts in ``n`` bootstrap samples of groups, (n, N) float64.

    Groups of one kind are drawn among themselves, so that both sides keep their number of groups.
    """
    rng = np.random.default_rng(seed)
    drawn = np.zeros((n, samples.n_groups))
    for members in samples.strata():
        odds = np.full(len(members), 1 / len(members))
        drawn[:, members] = rng.multinomial(len(members), odds, size=n)
    return drawn[:, samples.codes]


def folds_of(samples: TwoSamples, n_folds: int, *, seed: int) -> np.ndarray:
    """The fold of each row, (N,) int: no group is in two folds, and every fold has both sides.

    There are fewer folds than asked where one side has fewer groups.

    Raises
    ------
    ValueError
        If a side has fewer than two groups.
    """
    n_folds = min(n_folds, samples.n_effective)
    if n_folds < 2:
        counts = np.bincount(samples.kinds, minlength=3)
        raise ValueError(
            f"{counts[ONLY_A] + counts[BOTH]} groups in a, {counts[ONLY_B] + counts[BOTH]} in b; "
            "a probe is trained on some recipes and tested on others, so give at least two on "
            "each side"
        )
    rng = np.random.default_rng(seed)
    fold = np.zeros(samples.n_groups, int)
    both, only_a, only_b = (np.flatnonzero(samples.kinds == k) for k in (BOTH, ONLY_A, ONLY_B))
    # Those on one side go on where those on both have stopped, so that no fold is left out.
    for members, first in ((both, 0), (only_a, len(both)), (only_b, len(both))):
        fold[rng.permutation(members)] = (first + np.arange(len(members))) % n_folds
    return fold[samples.codes]


def shuffle_p_value(observed: float, shuffled: np.ndarray) -> float:
    """The share of shuffles that reach the observed value, which counts as one of them.

    Phipson and Smyth, "Permutation p-values should never be zero" (2010).
    """
    reach = observed - 1e-9 * max(abs(observed), 1e-12)  # equal values count as equal
    return float((1 + (shuffled >= reach).sum()) / (1 + len(shuffled)))


def cliffs_delta(a: np.ndarray, b: np.ndarray) -> float:
    """The chance that a value of ``a`` lies above one of ``b``, less the chance that it lies below.

    Cliff, "Dominance statistics" (1993): 1 where all of ``a`` lies above, 0 where neither does.

    Examples
    --------
    >>> cliffs_delta([2, 3], [1, 3])
    0.25
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    ranks = rankdata(np.concatenate([a, b]))
    above = ranks[: len(a)].sum() - len(a) * (len(a) + 1) / 2  # pairs, ties as one half
    return float(2 * above / (len(a) * len(b)) - 1)


def kolmogorov_smirnov(values: np.ndarray, is_a: np.ndarray) -> np.ndarray:
    """The largest gap between the distribution functions of both sides, for each way to side.

    Parameters
    ----------
    values : (N,) float
    is_a : (r, N) bool

    Returns
    -------
    (r,) float64, 0 to 1
    """
    order = np.argsort(values, kind="stable")
    ends = np.append(np.diff(values[order]) > 0, True)  # only behind the last of equal values
    in_a = is_a[:, order]
    steps = in_a / in_a.sum(axis=1, keepdims=True) - ~in_a / (~in_a).sum(axis=1, keepdims=True)
    return np.abs(np.cumsum(steps, axis=1)[:, ends]).max(axis=1)
