"""Whether vectors that should differ have become one: spread, effective rank, mean cosine.

A collapsed representation gives every input the same answer, and a loss that only pulls vectors
together is at its best there. No loss curve shows it; these numbers do.
"""

from dataclasses import dataclass

import numpy as np

LEAST_SPREAD = 0.01  # below it, 99 % of what the vectors are is common to all
LEAST_SHARE = 0.1  # of the spread before training


@dataclass(frozen=True)
class Spread:
    """How much n vectors differ.

    Attributes
    ----------
    variance : float
        The share of their mean squared length that is not their mean; 0: all are one vector, 1:
        their mean is zero.
    effective_rank : float
        The exponential of the entropy of the normalized singular values of the centered vectors
        (Roy and Vetterli, "The effective rank", 2007): 1 on a line, up to min(n - 1, d); 0 where
        nothing varies.
    mean_cosine : float
        Over all pairs of different vectors.
    """

    variance: float
    effective_rank: float
    mean_cosine: float


def spread_of(vectors) -> Spread:
    """The spread of some vectors.

    Parameters
    ----------
    vectors : (n, d) numbers, n at least 2, or (n, k, d)
        Of tokens the mean over the k is looked at.

    Raises
    ------
    ValueError
        If there are fewer than two vectors, or one is not finite or zero.

    Examples
    --------
    >>> spread_of([[1.0, 0.0], [-1.0, 0.0]]).variance
    1.0
    """
    rows = np.asarray(vectors, dtype=np.float64)
    rows = rows.mean(axis=1) if rows.ndim == 3 else rows
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"vectors have shape {rows.shape}: give (n, d) with n of at least 2")
    lengths = np.linalg.norm(rows, axis=1)
    if not np.isfinite(rows).all() or not lengths.all():
        raise ValueError("vectors hold a row that is zero or not finite; look at what made them")
    centered = rows - rows.mean(axis=0)
    variance = float((centered**2).sum() / (rows**2).sum())
    unit = rows / lengths[:, None]
    n = len(rows)
    mean_cosine = float((np.square(unit.sum(axis=0)).sum() - n) / (n * (n - 1)))
    return Spread(variance, _effective_rank(centered, variance), mean_cosine)


def has_collapsed(now: Spread, before: Spread | None = None) -> bool:
    """Whether vectors have become one.

    Parameters
    ----------
    now : Spread
    before : Spread, optional
        Of the same inputs before training: then it is a collapse where a tenth of that spread or
        less is left, whatever is common to all vectors. Default: where less than a hundredth of
        their squared length differs.

    Examples
    --------
    >>> has_collapsed(Spread(0.002, 3.0, 0.998)), has_collapsed(Spread(0.3, 20.0, 0.7))
    (True, False)
    """
    least = LEAST_SPREAD if before is None else LEAST_SHARE * before.variance
    return now.variance < least


def explain_collapse(now: Spread, before: Spread | None = None) -> str:
    """The numbers in a sentence, and the verdict."""
    was = "" if before is None else f", before training {before.variance:.1%}"
    verdict = (
        "collapsed: every input gets nearly the same vector"
        if has_collapsed(now, before)
        else "not collapsed"
    )
    return (
        f"{now.variance:.1%} of the squared length differs between inputs{was}; effective rank "
        f"{now.effective_rank:.1f}; mean cosine {now.mean_cosine:.3f}: {verdict}"
    )


def _effective_rank(centered: np.ndarray, variance: float) -> float:
    if variance < 1e-12:
        return 0.0
    values = np.linalg.svd(centered, compute_uv=False)
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
