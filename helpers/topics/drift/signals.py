"""Signals of drift: numbers that a stream of embeddings is watched by at every step.

None of them is a p-value. A stream is asked again and again, so that a signal is held against the
threshold that whole streams without a change seldom reach (:mod:`helpers.topics.drift.watch`).
"""

from dataclasses import dataclass, replace

import numpy as np

SIGNALS = ("population", "far", "group", "queries")
FAR, DENSE = 0.9, 0.99  # shares of the reference that lie below the distance and the density ratio


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

    The ratio of two nearest-neighbor densities (Wang, Kulkarni and Verdú 2009), (n,) float: about 0
    where arrivals are as dense as the known, above where they crowd in a place that was empty.
    """
    known = known[: len(rows)]
    own = kth_distance(rows, rows, k=k, apart=True)
    theirs = kth_distance(rows, known, k=k)
    return np.log(np.maximum(theirs, 1e-9) / np.maximum(own, 1e-9))


def squared_mmd(a: np.ndarray, b: np.ndarray, width: float) -> float:
    """The unbiased squared maximum mean discrepancy of two samples of unit rows.

    Gretton et al., "A kernel two-sample test" (2012), equation 3, with the kernel
    ``exp(-|x - y|^2 / (2 width^2))``. About 0 where both come from one population.
    """

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.exp((x @ y.T - 1) / width**2)

    n, m = len(a), len(b)
    within = (kernel(a, a).sum() - n) / (n * (n - 1)) + (kernel(b, b).sum() - m) / (m * (m - 1))
    return float(within - 2 * kernel(a, b).mean())


@dataclass(frozen=True, eq=False)
class Known:
    """What the reference says about itself, computed once.

    Attributes
    ----------
    rows, queries : (n, d), (m, d) float
        Unit rows of the known images, and of known queries.
    whitened : (n, d) float
        The images in directions of evened variance, unit rows: what tells a new thing from the
        known ones need not be what tells the known ones apart.
    center, axes : (d,), (d, d) float
        How rows are whitened.
    far, outside, dense : float
        The distances to the k-th neighbor that a tenth and one in a hundred of the reference
        exceed, and the density ratio that one in a hundred exceeds where both sides are the
        reference.
    width, query_width : float
        Of the kernels: the median distances.
    k : int
    """

    rows: np.ndarray
    queries: np.ndarray
    whitened: np.ndarray
    center: np.ndarray
    axes: np.ndarray
    far: float
    outside: float
    dense: float
    width: float
    query_width: float
    k: int = 5

    @classmethod
    def of(cls, rows: np.ndarray, queries: np.ndarray, *, k: int = 5) -> "Known":
        """Learn from a reference what is usual. Raises ``ValueError`` for fewer than 8 k rows."""
        if len(rows) < 8 * k:
            raise ValueError(f"a reference of {len(rows)} images: {8 * k} are the least for k={k}")
        rows, queries = np.asarray(rows, np.float64), np.asarray(queries, np.float64)
        center, (values, directions) = rows.mean(axis=0), np.linalg.eigh(np.cov(rows.T))
        # Half way to their mean: a direction of noise alone is not blown up.
        axes = directions / np.sqrt((np.maximum(values, 0) + values.mean()) / 2)
        far, outside = np.quantile(kth_distance(rows, rows, k=k, apart=True), (FAR, DENSE))
        widths = [np.median(np.sqrt(np.maximum(2 - 2 * x @ x.T, 0))) for x in (rows, queries)]
        known = cls(rows, queries, rows, center, axes, far, outside, 0.0, *widths, k)
        whitened, half = known.whiten(rows), len(rows) // 2
        ratio = density_ratio(whitened[half:], whitened[:half], k=k)
        return replace(known, whitened=whitened, dense=float(np.quantile(ratio, DENSE)))

    def whiten(self, rows: np.ndarray) -> np.ndarray:
        """Rows in directions of evened variance, unit again."""
        turned = (rows - self.center) @ self.axes
        return turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)

    def is_far(self, rows: np.ndarray) -> np.ndarray:
        """Which arrivals lie further from all that is known than nine in ten known ones."""
        return kth_distance(rows, self.rows, k=self.k) > self.far

    def is_odd(self, rows: np.ndarray) -> np.ndarray:
        """Which arrivals crowd, or lie further out, as one in a hundred known ones does."""
        beyond = kth_distance(rows, self.rows, k=self.k) > self.outside
        return beyond | (self.crowding(rows) > self.dense)

    def crowding(self, rows: np.ndarray) -> np.ndarray:
        """The density of arrivals over that of the known, as a logarithm, whitened."""
        return density_ratio(self.whiten(rows), self.whitened, k=self.k)

    def signals(self, rows: np.ndarray, queries: np.ndarray) -> dict[str, float]:
        """All ``SIGNALS`` of recent arrivals: two squared discrepancies, two shares of arrivals."""
        sample = self.rows[: len(rows)]
        return {
            "population": squared_mmd(sample, rows, self.width),
            "far": float(self.is_far(rows).mean()),
            "group": float((self.crowding(rows) > self.dense).mean()),
            "queries": squared_mmd(self.queries, queries, self.query_width),
        }
