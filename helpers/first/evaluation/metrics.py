"""Retrieval metrics as pure functions of a ranking, each with its values per query.

All metrics are means (or a median) over queries: the denominator is the number of queries, every
query has at least one positive. Ties take realistic ranks (see ``ranks``), so a rank may end in one
half: a rank of 1.5 is no hit at 1. A row that was excluded for a query, such as the reference image
in composed retrieval, holds no rank and pushes nothing down.

Sources: Manning, Raghavan, Schütze, "Introduction to Information Retrieval" (2008), section 8.4
(recall, average precision); Voorhees, "The TREC-8 question answering track report" (1999) (MRR).
"""

from collections.abc import Sequence

import numpy as np

from helpers.first.evaluation.chance import chance_hit
from helpers.first.evaluation.positives import Positives, positives_from_ids
from helpers.first.evaluation.ranks import Ranking, rank_positives


def per_query(ranking: Ranking, metric: str) -> np.ndarray:
    """The values whose mean (or median) is a metric, for bootstrap intervals and paired tests.

        Parameters
        ----------
        ranking : Ranking
        metric : str
            ``"hit@K"``, ``"recall@K"``, ``"mrr"``, ``"map"``, ``"median_rank"``, ``"mean_rank"`` or
            ``"tied"``. Both rank metrics give the rank of the first positive.

        Returns
        -------
        (q,) float64

        Raises
        ------
        ValueError
            If the metric is unknown or its K is no whole number of at least 1.

        Examples
        --------
        >>> from helpers.first.evaluation.chance import chance_hit
    from helpers.first.evaluation.positives import positives_from_lists
        >>> from helpers.first.evaluation.ranks import rank_positives_from_scores
        >>> relation = positives_from_lists([[0], [0]], n_gallery=2)
        >>> per_query(rank_positives_from_scores([[2, 1], [1, 2]], relation), "mrr").tolist()
        [1.0, 0.5]
    """
    name, _, cut = metric.partition("@")
    if name in ("hit", "recall") and cut:
        k = int(cut) if cut.isdigit() else 0
        if k < 1:
            raise ValueError(f"metric {metric!r}: K must be a whole number of at least 1")
        return (ranking.first <= k).astype(float) if name == "hit" else _recalls(ranking, k)
    if metric == "mrr":
        return 1 / ranking.first
    if metric == "map":
        return _average_precisions(ranking)
    if metric in ("median_rank", "mean_rank"):
        return ranking.first
    if metric == "tied":
        return (ranking.optimistic != ranking.pessimistic).astype(float)
    raise ValueError(
        f"unknown metric {metric!r}; take hit@K, recall@K, mrr, map, median_rank, mean_rank or tied"
    )


def hit_at_k(ranking: Ranking, k: int) -> float:
    """The share of queries with at least one positive among the first ``k`` (R@K in many papers).

    Denominator: all queries. A first positive whose realistic rank exceeds ``k`` is a miss. With
    ``k`` at or above the gallery's size the value is 1 by construction.
    """
    return float(per_query(ranking, f"hit@{k}").mean())


def recall_at_k(ranking: Ranking, k: int) -> float:
    """The mean over queries of the share of a query's positives that stand among the first ``k``.

    Denominators: the query's positives, all of them (so that a query with more than ``k`` cannot
    reach 1), then all queries. Ties: each positive counts by its own realistic rank.
    """
    return float(per_query(ranking, f"recall@{k}").mean())


def mrr(ranking: Ranking) -> float:
    """The mean over all queries of 1 / realistic rank of the first positive."""
    return float(per_query(ranking, "mrr").mean())


def mean_average_precision(ranking: Ranking) -> float:
    """The mean over all queries of average precision, over the whole gallery.

    Average precision is the mean over a query's positives of ``j / rank`` of its j-th positive;
    ties by realistic ranks.
    """
    return float(per_query(ranking, "map").mean())


def median_rank(ranking: Ranking) -> float:
    """The median over all queries of the realistic rank of the first positive, from 1."""
    return float(np.median(ranking.first))


def mean_rank(ranking: Ranking) -> float:
    """The mean over all queries of the realistic rank of the first positive, from 1."""
    return float(ranking.first.mean())


def tied_share(ranking: Ranking) -> float:
    """The share of queries whose first positive is level with a negative: decided by ties alone."""
    return float(per_query(ranking, "tied").mean())


def retrieval_metrics(ranking: Ranking, *, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """All metrics of a ranking: hit@k for each k, recall at the largest k, and the rest.

            Examples
        --------
        >>> from helpers.first.evaluation.chance import chance_hit
    from helpers.first.evaluation.positives import positives_from_lists
        >>> from helpers.first.evaluation.ranks import rank_positives_from_scores
        >>> relation = positives_from_lists([[0]], n_gallery=2)
        >>> retrieval_metrics(rank_positives_from_scores([[2, 1]], relation), ks=(1,))["hit@1"]
        1.0
    """
    if not ks:
        raise ValueError("ks is empty; give at least one cut-off, such as (1, 5, 10)")
    return {
        **{f"hit@{k}": hit_at_k(ranking, k) for k in ks},
        f"recall@{max(ks)}": recall_at_k(ranking, max(ks)),
        "mrr": mrr(ranking),
        "map": mean_average_precision(ranking),
        "median_rank": median_rank(ranking),
        "mean_rank": mean_rank(ranking),
        "tied": tied_share(ranking),
    }


def both_directions(
    image_embeddings,
    image_ids: Sequence[str],
    text_embeddings,
    text_ids: Sequence[str],
    *,
    block_mb: float = 256,
    tie_tolerance: float = 1e-6,
) -> dict[str, Ranking]:
    """Rank images for every text and texts for every image; rows of one id are positives.

    Parameters
    ----------
    image_embeddings : (n, d) float, unit rows
    image_ids : (n,) sequence of str, recipe ids
    text_embeddings : (m, d) float, unit rows
    text_ids : (m,) sequence of str, recipe ids
    block_mb, tie_tolerance
        As in ``rank_positives``.

    Returns
    -------
    dict
        ``"text_to_image"`` (m queries) and ``"image_to_text"`` (n queries).

    Raises
    ------
    ValueError
        If an id occurs on one side only; also what ``rank_positives`` raises.
    """
    settings = {"block_mb": block_mb, "tie_tolerance": tie_tolerance}
    images_of = positives_from_ids(text_ids, image_ids)
    texts_of = positives_from_ids(image_ids, text_ids)
    return {
        "text_to_image": rank_positives(text_embeddings, image_embeddings, images_of, **settings),
        "image_to_text": rank_positives(image_embeddings, text_embeddings, texts_of, **settings),
    }


def chance_hit_at_k(positives: Positives, k: int) -> float:
    """The hit@k that a random order of the gallery would have on average.

        A query with m positives among g rows misses with probability C(g - m, k) / C(g, k).

        Examples
        --------
        >>> from helpers.first.evaluation.chance import chance_hit
    from helpers.first.evaluation.positives import positives_from_lists
        >>> chance_hit_at_k(positives_from_lists([[0]], n_gallery=4), 1)
        0.25
    """
    return chance_hit(positives.counts, positives.n_gallery, k)


def _recalls(ranking: Ranking, k: int) -> np.ndarray:
    found = np.add.reduceat((ranking.ranks <= k).astype(float), ranking.indptr[:-1])
    return found / np.diff(ranking.indptr)


def _average_precisions(ranking: Ranking) -> np.ndarray:
    counts = np.diff(ranking.indptr)
    place = np.arange(len(ranking.ranks)) - np.repeat(ranking.indptr[:-1], counts) + 1
    return np.add.reduceat(place / ranking.ranks, ranking.indptr[:-1]) / counts
