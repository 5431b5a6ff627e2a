"""Metrics of composed image retrieval, as its benchmarks define them.

All are pure functions of rankings (see ``ranks``): the denominator is the number of queries, ties
take realistic ranks. Whether the reference is in the gallery is the caller's to say, by ``exclude``
of ``rank_positives``: it stays for FashionIQ and CIRCO, and leaves for CIRR.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from helpers.first.evaluation.metrics import hit_at_k
from helpers.first.evaluation.positives import positives_from_lists
from helpers.first.evaluation.ranks import Ranking, rank_positives_from_scores

FASHIONIQ_KS = (10, 50)
CIRR_KS = (1, 5, 10, 50)
SUBSET_KS = (1, 2, 3)
CIRCO_KS = (5, 10, 25, 50)
SUBMITTED = {"recall": 50, "recall_subset": 3}


def fashioniq_metrics(rankings: Mapping[str, Ranking]) -> dict[str, float]:
    """R@10 and R@50 (hit@K) of each category, their means over categories, and the mean of both.

    Parameters
    ----------
    rankings : mapping of Ranking
        By category; the reference in the gallery.

    Returns
    -------
    dict
        ``"dress R@10"``, ..., ``"R@10"``, ``"R@50"``, ``"mean"``; fractions. Categories weigh the
        same, whatever their number of queries (Wu et al., "Fashion IQ", 2021).

    Raises
    ------
    ValueError
        If there is no ranking.
    """
    if not rankings:
        raise ValueError("fashioniq_metrics: no ranking; give one of each category")
    by = {
        f"{name} R@{k}": hit_at_k(ranking, k)
        for name, ranking in rankings.items()
        for k in FASHIONIQ_KS
    }
    means = {
        f"R@{k}": float(np.mean([by[f"{name} R@{k}"] for name in rankings])) for k in FASHIONIQ_KS
    }
    return {**by, **means, "mean": float(np.mean(list(means.values())))}


def cirr_metrics(ranking: Ranking, subset: Ranking) -> dict[str, float]:
    """R@1/5/10/50, R_subset@1/2/3 and their average (R@5 + R_subset@1) / 2; fractions.

    Parameters
    ----------
    ranking : Ranking
        Over the whole gallery without the query's reference.
    subset : Ranking
        Of the same queries, over the five other images of the reference's set: see
        :func:`rank_subsets`.

    Raises
    ------
    ValueError
        If the rankings are not of as many queries.
    """
    if ranking.n_queries != subset.n_queries:
        raise ValueError(
            f"the ranking has {ranking.n_queries} queries and that of the subsets "
            f"{subset.n_queries}; give both for the same queries"
        )
    whole = {f"R@{k}": hit_at_k(ranking, k) for k in CIRR_KS}
    inside = {f"R_subset@{k}": hit_at_k(subset, k) for k in SUBSET_KS}
    return {**whole, **inside, "average": (whole["R@5"] + inside["R_subset@1"]) / 2}


def rank_subsets(
    scores,
    subsets: Sequence[Sequence[int]],
    positives: Sequence[Sequence[int]],
    *,
    tie_tolerance: float = 1e-6,
) -> Ranking:
    """Rank each query's positives within a few rows of the gallery.

    Parameters
    ----------
    scores : (q, g) float
        Of all queries with the whole gallery.
    subsets : q sequences of m gallery rows
        Of one length, the reference left out.
    positives : q sequences of gallery rows
        Each within its query's subset.

    Raises
    ------
    ValueError
        If subsets differ in length or repeat a row, or a positive lies outside.

    Examples
    --------
    >>> rank_subsets([[0.9, 0.2, 0.5]], [[1, 2]], [[2]]).first
    array([1.])
    """
    scores = np.asarray(scores, dtype=np.float64)
    sizes = {len(set(subset)) for subset in subsets}
    if len(sizes) != 1 or any(len(set(subset)) != len(subset) for subset in subsets):
        raise ValueError(f"subsets must be of one length and repeat no row; got lengths {sizes}")
    local = []
    for query, (subset, rows) in enumerate(zip(subsets, positives, strict=True)):
        place = {row: i for i, row in enumerate(subset)}
        if strangers := [row for row in rows if row not in place]:
            raise ValueError(f"query {query}: positive {strangers[0]} is not in its subset")
        local.append([place[row] for row in rows])
    inside = np.take_along_axis(scores, np.asarray(subsets), axis=1)  # (q, m)
    relation = positives_from_lists(local, n_gallery=inside.shape[1])
    return rank_positives_from_scores(inside, relation, tie_tolerance=tie_tolerance)


def average_precision_at(ranking: Ranking, k: int) -> np.ndarray:
    """CIRCO's average precision among the first ``k`` of each query.

    The sum of ``j / rank`` over the positives whose rank is at most k (the j-th best at ``rank``),
    divided by min(number of positives, k) (Baldrati et al., "Zero-shot composed image retrieval
    with textual inversion", 2023, section 5).

    Returns
    -------
    (q,) float64

    Examples
    --------
    >>> from helpers.first.evaluation.ranks import rank_positives_from_scores
    >>> relation = positives_from_lists([[0, 2]], n_gallery=3)
    >>> average_precision_at(rank_positives_from_scores([[3, 2, 1]], relation), 2)
    array([0.5])
    """
    if k < 1:
        raise ValueError(f"k is {k}: it must be at least 1")
    counts = np.diff(ranking.indptr)
    place = np.arange(len(ranking.ranks)) - np.repeat(ranking.indptr[:-1], counts) + 1
    found = np.where(ranking.ranks <= k, place / ranking.ranks, 0.0)
    return np.add.reduceat(found, ranking.indptr[:-1]) / np.minimum(counts, k)


def circo_metrics(ranking: Ranking) -> dict[str, float]:
    """mAP@5/10/25/50 with min(number of positives, K) as denominator; fractions."""
    return {f"mAP@{k}": float(average_precision_at(ranking, k).mean()) for k in CIRCO_KS}


def cirr_submission(
    scores,
    gallery: Sequence[str],
    pair_ids: Sequence[str],
    references: Sequence[str],
    *,
    subsets: Sequence[Sequence[str]] | None = None,
) -> dict[str, str | list[str]]:
    """What CIRR's test server takes: the best image ids of each query, the reference left out.

    Parameters
    ----------
    scores : (q, g) float, finite
    gallery : (g,) ids
    pair_ids, references : (q,) ids
    subsets : q sequences of ids, optional
        Given: the file of ``recall_subset``, the first 3 within each query's subset. Else the
        file of ``recall``, the first 50 of the gallery. Equal scores keep the order given.

    Raises
    ------
    ValueError
        If shapes do not agree, a pair id is there twice, an id is unknown, or a query has too few
        images left.

    Examples
    --------
    >>> found = cirr_submission([[3, 2, 1, 0]], "abcd", ["7"], "a", subsets=["bcd"])
    >>> found["7"]
    ['b', 'c', 'd']
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape != (len(pair_ids), len(gallery)) or len(pair_ids) != len(references):
        raise ValueError(
            f"scores have shape {scores.shape}; there are {len(pair_ids)} pair ids, "
            f"{len(references)} references and {len(gallery)} images in the gallery"
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores hold a value that is not finite; look at the model that made them")
    if len(set(pair_ids)) != len(pair_ids):
        raise ValueError("a pair id is there twice: the server takes one answer to each")
    metric = "recall" if subsets is None else "recall_subset"
    row_of = {name: row for row, name in enumerate(gallery)}
    file: dict[str, str | list[str]] = {"version": "rc2", "metric": metric}
    for query, (pair_id, reference) in enumerate(zip(pair_ids, references, strict=True)):
        names = gallery if subsets is None else subsets[query]
        if strangers := [name for name in (reference, *names) if name not in row_of]:
            raise ValueError(f"pair {pair_id}: image {strangers[0]!r} is not in the gallery")
        rows = np.array([row_of[name] for name in names if name != reference], dtype=int)
        best = rows[np.argsort(-scores[query, rows], kind="stable")][: SUBMITTED[metric]]
        if len(best) < SUBMITTED[metric]:
            raise ValueError(
                f"pair {pair_id}: {len(best)} images are left without the reference, "
                f"the server wants {SUBMITTED[metric]}"
            )
        file[pair_id] = [gallery[row] for row in best]
    return file
