"""Retrieval metrics from the rank of the first positive, their values by query, and chance.

hit@K is the share of queries with at least one positive among the first K; many papers print it as
R@K. MRR is the mean of 1 / rank (Voorhees, "The TREC-8 question answering track report", 1999).
"""

import numpy as np
from scipy.special import gammaln

RANKS = ("mean rank", "median rank")


def k_of(metric: str) -> int | None:
    """K of ``hit@K``; None for a metric without one.

    Raises ``ValueError`` if the metric is unknown.
    """
    name, _, k = metric.partition("@")
    if name == "hit" and k.isdigit() and int(k) >= 1:
        return int(k)
    if metric in ("mrr", *RANKS):
        return None
    known = "hit@K with a K of at least 1, mrr, mean rank or median rank"
    raise ValueError(f"unknown metric {metric!r}; take {known}")


def values_of(ranks: np.ndarray, metric: str) -> np.ndarray:
    """The value of each query, whose mean (median rank: median) is the metric."""
    k = k_of(metric)
    if k is not None:
        return (ranks <= k).astype(float)
    return 1 / ranks if metric == "mrr" else np.asarray(ranks, float)


def summary(ranks: np.ndarray, metric: str) -> float:
    """The metric of all queries."""
    values = values_of(ranks, metric)
    return float(np.median(values) if metric == "median rank" else values.mean())


def not_applicable(metric: str, gallery_size: int) -> str:
    """Why a metric says nothing in a gallery of this size, or "".

    With K at or above the gallery's size hit@K is 1 whatever the model does.
    """
    k = k_of(metric)
    return f"n/a (gallery has {gallery_size})" if k is not None and k >= gallery_size else ""


def chance(metric: str, gallery_size, positives) -> np.ndarray:
    """The expected metric of a random ranking, for each query; of ``median rank`` the mean's.

    ``gallery_size`` and ``positives``, int or (q,) int, are the rows of the gallery, and how many
    of them are positives of the query.
    """
    n, r = np.broadcast_arrays(np.asarray(gallery_size, float), np.asarray(positives, float))
    k = k_of(metric)
    if k is not None:  # 1 - C(n - r, k) / C(n, k)
        left = np.maximum(n - r - k + 1, 1)
        log = gammaln(n - r + 1) - gammaln(left) - gammaln(n + 1) + gammaln(n - k + 1)
        return np.where(n - r < k, 1.0, 1 - np.exp(log))
    if metric == "mrr":
        return np.vectorize(_chance_mrr, otypes=[float])(n, r)
    return (n + 1) / (r + 1)


def _chance_mrr(n: float, r: float) -> float:
    """Sum over i of C(n - i, r - 1) / (i C(n, r)): the first positive stands at place i."""
    i = np.arange(1, n - r + 2)
    log = gammaln(n - i + 1) - gammaln(r) - gammaln(n - i - r + 2)
    return float(np.exp(log - gammaln(n + 1) + gammaln(r + 1) + gammaln(n - r + 1)) @ (1 / i))
