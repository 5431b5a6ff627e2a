"""Distances between two sets of vectors: maximum mean discrepancy, Frechet, and of the means."""

import numpy as np


def rbf_kernel(rows: np.ndarray) -> np.ndarray:
    """``exp(-|x - y|^2 / (2 m^2))`` of all pairs, m the median distance of two different rows.

    The median heuristic: Gretton et al. (2012), section 8.

    Parameters
    ----------
    rows : (N, d) float

    Returns
    -------
    (N, N) float64
        All ones where all rows are the same.
    """
    centered = rows - rows.mean(axis=0)
    squares = (centered**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * centered @ centered.T, 0)
    np.fill_diagonal(distances, 0)
    median = np.median(distances[np.triu_indices(len(rows), 1)])
    return np.exp(-distances / (2 * median)) if median > 0 else (distances <= 0).astype(float)


def unbiased_mmd(kernel: np.ndarray, is_a: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Unbiased squared maximum mean discrepancy, for each way to side.

    Gretton et al., "A kernel two-sample test" (2012), lemma 6, with groups: pairs of rows of one
    group are left out of all three means, because they are not independent. Where every row is its
    own group, that is the lemma itself.

    Parameters
    ----------
    kernel : (N, N) float
    is_a : (r, N) bool
    codes : (N,) int
        The group of each row.

    Returns
    -------
    (r,) float64
        NaN where a side has a single group.
    """
    apart = (codes[:, None] != codes[None, :]).astype(float)
    in_a = is_a.astype(float)  # (r, N)

    def sums(matrix: np.ndarray) -> np.ndarray:
        """Over pairs within a, within b, and from a to b: (3, r)."""
        from_a = in_a @ matrix
        within, across = (from_a * in_a).sum(axis=1), (from_a * (1 - in_a)).sum(axis=1)
        return np.stack([within, matrix.sum() - within - 2 * across, across])

    pairs = sums(apart)
    means = np.divide(
        sums(kernel * apart), pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0
    )
    return means[0] + means[1] - 2 * means[2]


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The squared Frechet distance of two Gaussians with the means and covariances of the rows.

    ``|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))``: Dowson and Landau (1982); of a network's
    features it is the "FID" of Heusel et al. (2017). It is biased upwards in small samples, the
    more so the more columns there are: never read it without its value for shuffled sides.

    Parameters
    ----------
    a : (n, d) float
    b : (m, d) float
        Two rows or more each.
    """
    factors, traces = [], 0.0
    for name, rows in (("a", a), ("b", b)):
        if len(rows) < 2:
            raise ValueError(f"{name} has {len(rows)} rows; a covariance needs two or more")
        centered = (rows - rows.mean(axis=0)) / np.sqrt(len(rows) - 1)
        factors.append(np.linalg.qr(centered, mode="r"))  # S = R^T R
        traces += (centered**2).sum()
    cross = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()  # tr (S_a S_b)^(1/2)
    shift = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    return float(max(shift + traces - 2 * cross, 0.0))


def centroid_ratio(a: np.ndarray, b: np.ndarray) -> float:
    """The distance of the two means over the root mean square distance of rows to their own mean.

    Raises
    ------
    ValueError
        If neither side has any spread.

    >>> centroid_ratio(np.array([[0.0], [2.0]]), np.array([[3.0], [5.0]]))
    3.0
    """
    spread = np.mean([((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean() for rows in (a, b)])
    if spread <= 0:
        raise ValueError(
            "all rows of a are the same, and all of b; there is no spread to divide by"
        )
    return float(np.linalg.norm(a.mean(axis=0) - b.mean(axis=0)) / np.sqrt(spread))
