"""Five questions that a stream of embeddings can be asked at every step.

Each answer is a number of standard deviations from what is expected where nothing has changed, so
that one figure holds them all. They are no p-values: a stream is asked again and again, and where
to be alarmed is chosen on streams without a change (:mod:`helpers.first.studies.drift`).
"""

from dataclasses import dataclass, replace

import numpy as np

from helpers.first.studies.distances import rbf_kernel, unbiased_mmd
from helpers.first.studies.two_samples import shuffle_p_value, shuffled_sides, two_samples

SIGNALS = ("mmd", "neighbors", "far", "group", "queries")
FAR, CROWDED = 0.1, 0.01  # shares of the reference that lie beyond either line
MEANS = {
    "mmd": "the means of both populations, in a kernel's space",
    "neighbors": "do neighbors come from the same side?",
    "far": "arrivals far from everything known",
    "group": "arrivals that lie denser than anything known there",
    "queries": "the means of both kinds of queries, in a kernel's space",
}


@dataclass(frozen=True, eq=False)
class Known:
    """What the reference says about itself, computed once.

    Attributes
    ----------
    rows : (n, d) float, unit rows
    sample : (m, d) float
        Of them, for the population tests.
    far : float
        The distance to the k-th neighbor that a tenth of the reference itself exceeds.
    outside : float
        The distance that one in a hundred exceeds.
    center : (d,) float
    axes : (d, d) float
        Half way to rows of equal variance in every direction: what tells a new thing from the
        known ones need not be what tells the known ones apart.
    dense : float
        The logarithm of known over own distance that one in a hundred exceeds where both sides are
        the reference.
    k : int
    """

    rows: np.ndarray
    sample: np.ndarray
    far: float
    outside: float
    center: np.ndarray
    axes: np.ndarray
    dense: float
    k: int

    def evened(self, rows: np.ndarray) -> np.ndarray:
        """Rows in evened directions, unit again, (n, d) float."""
        turned = (rows - self.center) @ self.axes
        return turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class Shift:
    """A statistic, its distance from its shuffles in their standard deviations, and its p-value."""

    z: float
    p_value: float


def know(reference: np.ndarray, *, k: int = 5, sample: int = 240, seed: int = 0) -> Known:
    """Learn from a reference what is usual.

    Parameters
    ----------
    reference : (n, d) float, unit rows
    k : int
        The neighbor whose distance is a density.
    sample : int
        Rows for the population tests, whose cost grows with the square.
    seed : int

    Raises
    ------
    ValueError
        If there are fewer than 8 k rows.
    """
    if len(reference) < 8 * k:
        raise ValueError(f"a reference of {len(reference)} rows; {8 * k} are the least for k={k}")
    reference = np.asarray(reference, np.float64)
    order = np.random.default_rng(seed).permutation(len(reference))
    whole = kth_distance(reference, reference, k=k, apart=True)
    far, outside = (float(v) for v in np.quantile(whole, [1 - FAR, 1 - CROWDED]))
    axes = evening_axes(reference)
    known = Known(reference, reference[order[:sample]], far, outside, reference.mean(axis=0),
                  axes, 0.0, k)  # fmt: skip
    even, half = known.evened(reference[order]), len(order) // 2
    ratio = density_ratio(even[half:], even[:half], k=k)
    return replace(known, dense=float(np.quantile(ratio, 1 - CROWDED)))


def evening_axes(rows: np.ndarray, *, shrink: float = 0.5) -> np.ndarray:
    """Directions divided by their standard deviations, (d, d) float.

    The variances are shrunk half way to their mean (Ledoit and Wolf 2004 choose how far; half is
    far enough for hundreds of rows, and leaves no direction to noise alone).
    """
    variances, directions = np.linalg.eigh(np.cov(rows, rowvar=False))
    evened = (1 - shrink) * np.maximum(variances, 0) + shrink * variances.mean()
    return directions / np.sqrt(evened)


def kth_distance(
    rows: np.ndarray, others: np.ndarray, *, k: int, apart: bool = False
) -> np.ndarray:
    """The cosine distance of each row to its k-th nearest among others, (n,) float.

    ``apart``: both are the same rows, and none is its own neighbor.

    >>> kth_distance(np.eye(2), np.eye(2), k=1, apart=True).tolist()
    [1.0, 1.0]
    """
    distances = 1 - rows @ others.T
    if apart:
        np.fill_diagonal(distances, np.inf)
    k = min(k, distances.shape[1] - apart)
    return np.partition(distances, k - 1, axis=1)[:, k - 1]


def density_ratio(rows: np.ndarray, known: np.ndarray, *, k: int) -> np.ndarray:
    """How much nearer the k-th of the own is than the k-th of as many known ones, as a logarithm.

    The ratio of two nearest-neighbor densities (Wang, Kulkarni and Verdú 2009): 0 where arrivals
    are as dense as the known, above where they crowd in a place that was empty.

    Parameters
    ----------
    rows : (n, d) float, unit rows
    known : (m, d) float, unit rows
        The first n of them are used, so that both densities are of equally many.
    k : int

    Returns
    -------
    (n,) float
    """
    known = known[: len(rows)]
    own = kth_distance(rows, rows, k=k, apart=True)
    theirs = kth_distance(rows, known, k=k)
    return np.log(np.maximum(theirs, 1e-9) / np.maximum(own, 1e-9))


def mmd_shift(a: np.ndarray, b: np.ndarray, *, n_shuffles: int = 100, seed: int = 0) -> Shift:
    """The maximum mean discrepancy of two samples against shuffled sides (Gretton et al. 2012)."""
    names = [f"a{i}" for i in range(len(a))], [f"b{i}" for i in range(len(b))]
    samples = two_samples(*names)
    kernel = rbf_kernel(np.concatenate([a, b]))
    sides = np.vstack([samples.is_a, shuffled_sides(samples, n_shuffles, seed=seed)])
    return _against_shuffles(unbiased_mmd(kernel, sides, samples.codes))


def neighbor_shift(
    a: np.ndarray, b: np.ndarray, *, k: int = 5, n_shuffles: int = 100, seed: int = 0
) -> Shift:
    """The share of neighbors from the same side against shuffled sides.

    Schilling, "Multivariate two-sample tests based on nearest neighbors" (1986).
    """
    names = [f"a{i}" for i in range(len(a))], [f"b{i}" for i in range(len(b))]
    samples = two_samples(*names)
    sides = np.vstack([samples.is_a, shuffled_sides(samples, n_shuffles, seed=seed)])
    return _against_shuffles(same_side_share(np.concatenate([a, b]), sides, k=k))


def same_side_share(rows: np.ndarray, sides: np.ndarray, *, k: int) -> np.ndarray:
    """The mean share of the k nearest rows that lie on a row's own side, for each way to side.

    Parameters
    ----------
    rows : (n, d) float, unit rows
    sides : (r, n) bool
    k : int

    Returns
    -------
    (r,) float

    >>> rows = np.array([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    >>> same_side_share(rows, np.array([[True, True, False, False]]), k=1).tolist()
    [1.0]
    """
    near = rows @ rows.T
    np.fill_diagonal(near, -np.inf)
    neighbors = np.argpartition(-near, k - 1, axis=1)[:, :k]  # (n, k)
    return (sides[:, neighbors] == sides[:, :, None]).mean(axis=(1, 2))


def far_excess(known: Known, rows: np.ndarray) -> tuple[float, np.ndarray]:
    """How many more arrivals than usual are far from all that is known; which, (n,) bool."""
    beyond = kth_distance(rows, known.rows, k=known.k) > known.far
    return _excess(beyond, FAR), beyond


def group_excess(known: Known, rows: np.ndarray) -> tuple[float, np.ndarray]:
    """How many more arrivals than usual crowd where little is known; which, (n,) bool."""
    crowded = crowding(known, rows) > known.dense
    return _excess(crowded, CROWDED), crowded


def crowding(known: Known, rows: np.ndarray) -> np.ndarray:
    """The density of arrivals over that of the known, as a logarithm, in evened directions."""
    return density_ratio(known.evened(rows), known.evened(known.rows), k=known.k)


def _excess(found: np.ndarray, rate: float) -> float:
    spread = np.sqrt(len(found) * rate * (1 - rate))
    return float((found.sum() - rate * len(found)) / spread)


def _against_shuffles(values: np.ndarray) -> Shift:
    """The first value is the observed one."""
    observed, shuffled = float(values[0]), values[1:]
    spread = max(float(shuffled.std()), 1e-12)
    z = (observed - float(shuffled.mean())) / spread
    return Shift(float(z), shuffle_p_value(observed, shuffled))
