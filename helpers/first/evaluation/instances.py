"""What instance retrieval reports: hit@1, hit@5, MRR and mAP over all relevant pictures.

Two numbers go by the name mAP. The one counts every relevant picture, wherever it stands; the other
stops at place K and divides by what K places can hold. With a dozen pictures a class they differ.
"""

import numpy as np

from helpers.first.evaluation.intervals import bootstrap_interval
from helpers.first.evaluation.metrics import per_query
from helpers.first.evaluation.ranks import Ranking

METRICS = ("hit@1", "hit@5", "map", "mrr")


def instance_values(ranking: Ranking, *, cut: int = 5) -> dict[str, np.ndarray]:
    """The values of each query: ``METRICS``, and ``map@K``, the cut variant, beside them.

    Returns
    -------
    dict of metric to (q,) float64

    Examples
    --------
    >>> from helpers.first.evaluation.positives import positives_from_lists
    >>> from helpers.first.evaluation.ranks import rank_positives_from_scores
    >>> relation = positives_from_lists([[0, 1]], n_gallery=3)
    >>> found = instance_values(rank_positives_from_scores([[3, 1, 2]], relation), cut=1)
    >>> found["map"].round(3).tolist(), found["map@1"].tolist()
    ([0.833], [1.0])
    """
    values = {metric: per_query(ranking, metric) for metric in METRICS}
    return {**values, f"map@{cut}": cut_average_precisions(ranking, cut)}


def cut_average_precisions(ranking: Ranking, k: int) -> np.ndarray:
    """Average precision of the first ``k`` places alone, (q,) float64.

    The sum of ``j / rank`` over the positives within ``k``, divided by the smaller of ``k`` and the
    number of positives, so that a perfect list has 1.

    Raises
    ------
    ValueError
        If ``k`` is below 1.
    """
    if k < 1:
        raise ValueError(f"map@{k}: the cut is a number of places, at least 1")
    counts = np.diff(ranking.indptr)
    query = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((ranking.ranks, query))
    ranks = ranking.ranks[order]
    place = np.arange(len(ranks)) - np.repeat(ranking.indptr[:-1], counts) + 1  # j, from 1
    parts = np.where(ranks <= k, place / ranks, 0.0)
    return np.add.reduceat(parts, ranking.indptr[:-1]) / np.minimum(counts, k)


def summarized(values: dict[str, np.ndarray], groups, *, seed: int = 42) -> dict[str, dict]:
    """Each metric's mean with its interval over classes, as plain JSON values."""
    found = {}
    for metric, each in values.items():
        i = bootstrap_interval(each, groups, bounds=(0.0, 1.0), seed=seed)
        found[metric] = {"value": i.value, "low": i.low, "high": i.high, "n": i.n}
    return found
