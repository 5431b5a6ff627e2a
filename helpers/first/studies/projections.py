"""Pictures of many dimensions on paper: PCA, fitted once, and t-SNE at several perplexities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear projection that was fitted on one set of rows and serves for others.

    Attributes
    ----------
    mean : (d,) float64
    axes : (k, d) float64
        Orthonormal rows, the one with most variance first; the largest part of each is positive.
    explained : (k,) float64
        The share of the variance of the fitted rows along each axis.
    points : tuple of (n, k) float64
        The fitted rows, then the others that were given.
    """

    mean: np.ndarray
    axes: np.ndarray
    explained: np.ndarray
    points: tuple[np.ndarray, ...]

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Other rows (n, d) in the same coordinates: (n, k)."""
        return (np.asarray(rows, np.float64) - self.mean) @ self.axes.T


def project_pca(fit_on: np.ndarray, *others: np.ndarray, n_axes: int = 2) -> Projection:
    """Principal components of ``fit_on``, and the others seen along them.

    Rows that are projected on axes fitted elsewhere can be compared; two fits cannot.

    Parameters
    ----------
    fit_on : (n, d) float
    *others : (m, d) float
    n_axes : int

    Raises
    ------
    ValueError
        If there are not more rows than axes, or a number is not finite.

    Examples
    --------
    >>> found = project_pca(np.array([[0.0, 0], [2, 0], [4, 1]]), np.array([[2.0, 0]]))
    >>> [points.shape for points in found.points]
    [(3, 2), (1, 2)]
    """
    rows = np.asarray(fit_on, np.float64)
    if rows.ndim != 2 or len(rows) <= n_axes or rows.shape[1] < n_axes:
        raise ValueError(
            f"fit_on has shape {rows.shape}; more than {n_axes} rows and at least {n_axes} columns "
            "are due"
        )
    if not np.isfinite(rows).all():
        raise ValueError("fit_on holds a number that is not finite; leave its row out on purpose")
    mean = rows.mean(axis=0)
    _, singular, axes = np.linalg.svd(rows - mean, full_matrices=False)
    axes = axes[:n_axes]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes = axes * np.where(largest < 0, -1.0, 1.0)
    explained = singular[:n_axes] ** 2 / max((singular**2).sum(), 1e-300)
    fitted = Projection(mean, axes, explained, ())
    return Projection(mean, axes, explained, tuple(fitted.apply(x) for x in (rows, *others)))


def project_tsne(
    features: np.ndarray, perplexities: Sequence[float] = (5, 30, 50), seed: int = 42
) -> dict[float, np.ndarray]:
    """t-SNE (van der Maaten and Hinton 2008) at several perplexities, started from PCA.

    Distances between clusters, their sizes and densities mean little in such a map: look for what
    stays the same at all perplexities, and trust :mod:`helpers.first.studies.embedding_gap`.

    Parameters
    ----------
    features : (n, d) float
    perplexities : sequence of float
        Roughly how many neighbors count; each below n.
    seed : int

    Returns
    -------
    dict
        Perplexity to (n, 2) float32.

    Raises
    ------
    ValueError
        If there is no perplexity, or one is below 1 or not below n.
    """
    from sklearn.manifold import TSNE

    features = np.asarray(features, np.float64)
    wrong = [p for p in perplexities if not 1 <= p < len(features)]
    if wrong or not len(perplexities):
        raise ValueError(
            f"perplexities {list(perplexities)} for {len(features)} rows: give at least one, each "
            "from 1 to below the number of rows"
        )
    return {
        p: TSNE(perplexity=p, init="pca", random_state=seed, n_jobs=1).fit_transform(features)
        for p in perplexities
    }
