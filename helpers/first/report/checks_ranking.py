"""Checks of lesson 03 on rankings: hit@k and the reciprocal rank, several positives, ties."""

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.first.report.verdicts import Verdict, compare, correct, exercise


def _case(scores: list, query_ids: list, gallery_ids: list, k: int = 0) -> dict[str, Any]:
    case = {
        "scores": np.array(scores, dtype=float),
        "query_ids": np.array(query_ids),
        "gallery_ids": np.array(gallery_ids),
    }
    return case | {"k": k} if k else case


_ABC = [[0.9, 0.5, 0.1, 0.7], [0.2, 0.8, 0.4, 0.6], [0.8, 0.9, 0.3, 0.1]]
# No ties and one positive; several positives; ties before, after, between positives.
_CASES = [
    (_ABC, ["a", "c", "c"], ["a", "b", "c", "d"]),
    (_ABC, ["a", "b", "a"], ["a", "b", "b", "a"]),
    ([[0.1, 0.9, 0.8, 0.7, 0.6]], ["a"], ["b", "a", "b", "a", "a"]),
    ([[0.9, 0.3, 0.2, 0.8, 0.7]], ["a"], ["b", "a", "a", "b", "b"]),
    ([[0.5, 0.5, 0.5, 0.5]], ["a"], ["a", "b", "c", "d"]),
    ([[0.5, 0.5, 0.5, 0.5]], ["a"], ["b", "c", "d", "a"]),
    ([[0.5, 0.5, 0.1]], ["a"], ["a", "a", "b"]),
]
_HIT_CASES = [_case(*_CASES[i], k) for i, k in
              ((0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (3, 4),
               (4, 1), (4, 2), (4, 3), (5, 1), (5, 2), (5, 3), (6, 1))]  # fmt: skip
_RANK_CASES = [_case(*case) for case in _CASES]


def _ranks(scores, query_ids, gallery_ids, *, ties: str = "realistic") -> np.ndarray:
    """Rank of the first positive of each query, written out as plainly as it can be."""
    ranks = []
    for row, query in zip(scores, query_ids, strict=True):
        mine = gallery_ids == query
        best = row[mine].max()
        above, level = (row > best).sum(), (row[~mine] == best).sum()
        share = {"optimistic": 0, "realistic": 0.5, "pessimistic": 1}.get(ties, 0)
        rank = 1 + above + share * level
        if ties == "position":
            rank = 1 + np.flatnonzero(mine[np.argsort(-row, kind="stable")])[0]
        if ties == "position_reversed":
            rank = 1 + np.flatnonzero(mine[np.argsort(row, kind="stable")[::-1]])[0]
        if ties == "own":
            rank = above + ((row == best).sum() + 1) / 2
        ranks.append(rank)
    return np.array(ranks, dtype=float)


def _hit(scores, query_ids, gallery_ids, k, *, ties: str = "realistic") -> float:
    return float((_ranks(scores, query_ids, gallery_ids, ties=ties) <= k).mean())


def _mrr(scores, query_ids, gallery_ids, *, ties: str = "realistic") -> float:
    return float((1 / _ranks(scores, query_ids, gallery_ids, ties=ties)).mean())


def _top(scores, query_ids, gallery_ids, k) -> list[tuple[np.ndarray, int]]:
    """For each query: which of its first k are positives, and how many positives there are."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [
        (gallery_ids[row] == query, int((gallery_ids == query).sum()))
        for row, query in zip(order, query_ids, strict=True)
    ]


def _recall(**case) -> float:
    return float(np.mean([found.sum() / total for found, total in _top(**case)]))


def _precision(**case) -> float:
    return float(np.mean([found.mean() for found, _ in _top(**case)]))


def _counted(**case) -> float:
    return float(np.mean([found.sum() for found, _ in _top(**case)]))


def _turned(scores, query_ids, gallery_ids) -> tuple | None:
    """Gallery and queries exchanged, as a slip of the axis does; None if no query remains."""
    keep = np.isin(gallery_ids, query_ids)
    return (scores.T[keep], gallery_ids[keep], query_ids) if keep.any() else None


_AXIS = (
    "the wrong axis: rows are queries, columns the gallery, so each row is sorted alone (`axis=1`)."
)
_MEAN_OF_TIES = "Take the mean of the best and the worst rank that the tie allows."
_TIES = {
    "optimistic": "candidates with the same score: you count only those strictly above the "
    "positive, so a model that gives everything one score would look perfect. " + _MEAN_OF_TIES,
    "pessimistic": "candidates with the same score: you rank the positive after all of them. "
    + _MEAN_OF_TIES,
    "position": "candidates with the same score: sorting puts the one that is listed first in "
    "front, so the result depends on the order of the gallery. " + _MEAN_OF_TIES,
    "own": "two positives with the same score count against each other in your ranks: only other "
    "candidates can push the first hit down.",
}
_TIES["position_reversed"] = _TIES["position"]


@exercise("03.hit_at_k", example=_HIT_CASES[0])
def hit_at_k(answer: Callable) -> Verdict:
    """``f(scores, query_ids, gallery_ids, k) -> float``: share with a positive in the first k."""
    mistakes = [
        (lambda **c: _hit(**c | {"k": c["k"] + 1}),
         "k is off by one: the rank of the best candidate is 1, and rank k still counts."),
        (lambda **c: _hit(**c | {"k": c["k"] - 1}),
         "k is off by one: rank k itself counts, so compare with `<=`, or take `[:k]`."),
        (_recall, "this is recall@k, the share of the positives that were found. hit@k asks only "
                  "whether at least one is among the first k."),
        (_counted, "you count every positive among the first k: a query is a hit or not, 1 or 0, "
                   "however many it finds."),
        (_precision, "this is precision@k, the share of the first k that are positives. hit@k asks "
                     "only whether at least one is there."),
        (lambda **c: _hit(**c | {"scores": -c["scores"]}),
         "the order is reversed: the highest score comes first, and `argsort` sorts upwards."),
        (_hit_other_axis, _AXIS),
        (_hit_sorted_columns, _AXIS),
        (lambda **c: _hit(**c) * len(c["query_ids"]),
         "this is the number of hits; hit@k is their share of the queries."),
        *((lambda ties=ties, **c: _hit(**c, ties=ties), text) for ties, text in _TIES.items()),
    ]  # fmt: skip
    return compare(answer, _HIT_CASES, _hit, mistakes) or correct(
        "at least one positive among the first k, ties at the mean of their ranks."
    )


def _hit_other_axis(scores, query_ids, gallery_ids, k) -> float:
    """hit@k with every column sorted instead of every row, as far as it has an answer."""
    turned = _turned(scores, query_ids, gallery_ids)
    return _hit(*turned, k) if turned else float("nan")


def _hit_sorted_columns(scores, query_ids, gallery_ids, k) -> float:
    """``argsort`` along axis 0, its result read as if it were along axis 1."""
    order = np.argsort(-scores, axis=0, kind="stable")[:, :k]
    return float((gallery_ids[order] == query_ids[:, None]).any(axis=1).mean())


def _mrr_other_axis(scores, query_ids, gallery_ids) -> float:
    turned = _turned(scores, query_ids, gallery_ids)
    return _mrr(*turned) if turned else float("nan")


def _all_positives(scores, query_ids, gallery_ids) -> float:
    """Mean of 1 / rank over every positive instead of the first."""
    shares = []
    for row, query in zip(scores, query_ids, strict=True):
        order = gallery_ids[np.argsort(-row, kind="stable")] == query
        shares.append(np.mean(1 / (1 + np.flatnonzero(order))))
    return float(np.mean(shares))


@exercise("03.reciprocal_rank", example=_RANK_CASES[0])
def reciprocal_rank(answer: Callable) -> Verdict:
    """``f(scores, query_ids, gallery_ids) -> float``: mean of 1 / rank of the first hit."""
    mistakes = [
        (lambda **c: 1 / float(_ranks(**c).mean()),
         "this is 1 / (mean rank): take 1 / rank for each query first, then the mean."),
        (lambda **c: float(_ranks(**c).mean()),
         "this is the mean rank: take 1 / rank for each query, then the mean."),
        (lambda **c: float((1 / (_ranks(**c) + 1)).mean()),
         "ranks are off by one: the best candidate has rank 1 and counts 1 / 1."),
        (_all_positives, "you average over all positives: MRR looks at the first hit of each query "
                         "alone."),
        (lambda **c: _mrr(**c | {"scores": -c["scores"]}),
         "the order is reversed: the highest score comes first, and `argsort` sorts upwards."),
        (_mrr_other_axis, _AXIS),
        *((lambda ties=ties, **c: _mrr(**c, ties=ties), text) for ties, text in _TIES.items()),
    ]  # fmt: skip
    return compare(answer, _RANK_CASES, _mrr, mistakes) or correct(
        "1 / rank of the first hit, averaged over queries; a tie takes the mean of its ranks."
    )
