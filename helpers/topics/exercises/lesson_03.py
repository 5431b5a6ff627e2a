"""Checks of lesson 03: ranks with ties, the bootstrap over items, what one hit of 54 is worth."""

from collections.abc import Callable
from functools import cache
from math import sqrt
from typing import Any

import numpy as np

from helpers.topics.exercises.engine import Settled, Verdict, ask, compare, correct, exercise, hint


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


@exercise(example=_HIT_CASES[0])
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


@exercise(example=_RANK_CASES[0])
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


_RESAMPLES = 1000
_SEEDS = (1, 2, 3, 4)


@cache
def _clustered() -> tuple[np.ndarray, np.ndarray]:
    """24 recipes with 16 queries each that mostly agree: 384 rows say little more than 24."""
    generator = np.random.default_rng(7)
    means = generator.normal(0.5, 0.2, 24)
    values = np.repeat(means, 16) + generator.normal(0, 0.04, 24 * 16)
    groups = np.repeat([f"{i:03d}" for i in range(24)], 16)
    mixed = generator.permutation(values.size)  # a recipe's rows need not lie together
    return values[mixed], groups[mixed]


@cache
def _uneven() -> tuple[np.ndarray, np.ndarray]:
    """Large recipes score low: the mean of recipe means is far above the mean of all rows."""
    generator = np.random.default_rng(8)
    sizes = [1, 2] * 10 + [24] * 10
    means = np.repeat([0.9] * 20 + [0.2] * 10, sizes)
    values = means + generator.normal(0, 0.05, means.size)
    return values, np.repeat([f"r{i}" for i in range(30)], sizes)


@cache
def _rare() -> tuple[np.ndarray, np.ndarray]:
    """Two recipes of 20 are found: a share near 0, where a symmetric interval falls below it."""
    return np.repeat([1.0, 1.0] + [0.0] * 18, 3), np.repeat([f"r{i}" for i in range(20)], 3)


@cache
def _group_width(level: float = 0.95) -> float:
    """Width of the interval on ``_clustered`` from 40,000 resamples of recipes."""
    values, groups = _clustered()
    means = np.array([values[groups == name].mean() for name in np.unique(groups)])
    drawn = np.random.default_rng(0).integers(0, means.size, (40_000, means.size))
    low, high = np.quantile(means[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(high - low)


@exercise(
    example={
        "values": np.array([1.0, 1.0, 0.0, 0.0, 1.0]),
        "groups": np.array(["a", "a", "b", "b", "c"]),
        "n_resamples": 20,
        "seed": 1,
    },
)
def bootstrap_interval(answer: Callable) -> Verdict:
    """``f(values, groups, n_resamples, seed) -> (low, high)``: 95 %, recipes are redrawn.

    The statistic is the mean of all rows of the drawn recipes, a recipe drawn twice counted twice.
    """
    values, groups = _clustered()
    ends = [_asked(answer, values, groups, _RESAMPLES, seed) for seed in _SEEDS]
    if _asked(answer, values, groups, _RESAMPLES, _SEEDS[0]) != ends[0]:
        return hint(
            "two calls with the same seed give two intervals: draw from "
            "`np.random.default_rng(seed)`, made inside the function."
        )
    widths = np.array([high - low for low, high in ends])
    if np.all(widths < 1e-9):
        return hint(
            "every resample has the same mean, so the interval has no width: draw recipes *with* "
            "replacement, so that some come twice and some not at all."
        )
    if len(set(ends)) == 1:
        return hint("the seed makes no difference: make the generator from the seed you are given.")
    mean = values.mean()
    if any(not low <= mean <= high for low, high in ends):
        return hint(
            f"the mean, {mean:.3f}, lies outside of your interval {ends[0][0]:.3f} to "
            f"{ends[0][1]:.3f}: "
            "`np.percentile` takes 2.5 and 97.5, `np.quantile` takes 0.025 and 0.975."
        )
    return _width_hint(float(widths.mean() / _group_width())) or _further(answer)


def _width_hint(ratio: float) -> Verdict | None:
    """What a width, as a share of the right one, gives away; None if it is right."""
    narrow = (
        f"on rows that agree within a recipe, your interval has {ratio:.0%} of the width it needs"
    )
    if ratio < 0.36:
        return hint(
            f"{narrow}, that of a bootstrap over single rows: the captions of one recipe are no "
            "independent witnesses. Draw recipes, and take all rows of each."
        )
    if 0.45 < ratio < 0.58:
        return hint(
            f"{narrow}: mean plus or minus one standard deviation covers 68 %, not 95 %. Take "
            "the 2.5th "
            "and the 97.5th percentile of the resampled means."
        )
    if 0.70 < ratio < 0.80:
        return hint(
            f"{narrow}: a recipe that is drawn twice must count twice. `np.isin(groups, "
            "drawn)` counts "
            "it once."
        )
    if 0.80 <= ratio < 0.92:
        return hint(
            f"{narrow}: the 5th and 95th percentile leave out 10 %. A 95 % interval goes from "
            "the 2.5th "
            "to the 97.5th."
        )
    if 1.08 < ratio < 3.2:
        return hint(
            f"your interval is {ratio:.1f} times as wide as the 2.5th to 97.5th percentile."
        )
    if ratio >= 3.2:
        return hint(
            "your interval describes single values, not their mean: take percentiles of the "
            "resampled "
            "means."
        )
    return (
        None if ratio >= 0.92 else hint(f"{narrow}: draw as many recipes as there are, each time.")
    )


def _further(answer: Callable) -> Verdict:
    """Recipes of unequal size, shares near 0, and the number of resamples."""
    values, groups = _uneven()
    low, high = _asked(answer, values, groups, _RESAMPLES, 1)
    if not low <= values.mean() <= high:
        return hint(
            "with recipes of unequal size your interval misses the mean of all rows: average "
            "the rows "
            "of the drawn recipes, not the means of recipes (that is another question)."
        )
    if _asked(answer, *_rare(), _RESAMPLES, 1)[0] < -1e-9:
        return hint(
            "hits are 0 or 1, and your interval goes below 0: mean plus or minus 1.96 standard "
            "deviations assumes a symmetric spread. Percentiles of the resampled means stay "
            "in range."
        )
    low, high = _asked(answer, *_clustered(), 1, 1)
    if high - low > 1e-9:
        return hint(
            "one resample has one mean, so `n_resamples=1` gives low = high: use n_resamples."
        )
    return correct("recipes drawn with replacement, all their rows kept, percentiles of the means.")


def _asked(answer: Callable, values, groups, n_resamples: int, seed: int) -> tuple[float, float]:
    result = ask(answer, values=values, groups=groups, n_resamples=n_resamples, seed=seed)
    try:
        low, high = (float(end) for end in result)
    except (TypeError, ValueError):
        said = f"{result!r}"[:60]
        raise Settled(
            hint(f"two numbers are due, `(low, high)`, and you returned {said}.")
        ) from None
    if not (np.isfinite(low) and np.isfinite(high)):
        raise Settled(hint("an end of your interval is not a finite number: is a resample empty?"))
    if low > high:
        raise Settled(hint("low is above high: return the lower percentile first."))
    return low, high


@exercise()
def same_or_different(answer: Any) -> Verdict:
    """``"real"`` or ``"not distinguishable"``: 31 hits in 54 queries against 32 in 54."""
    said = " ".join(answer.lower().split()) if isinstance(answer, str) else answer
    low, high = _wilson(31, 54)
    if said == "not distinguishable":
        return correct(
            f"one query of 54 apart, and 31 of 54 alone has a 95 % interval from {low:.0%} to "
            f"{high:.0%}."
        )
    if said == "real":
        return hint(
            "the two differ in one query of 54. The 95 % interval of 31 of 54 goes from "
            f"{low:.0%} to "
            f"{high:.0%}: where does 32 of 54 lie?"
        )
    return hint(f'answer "real" or "not distinguishable"; you gave {answer!r}.')


def _wilson(hits: int, queries: int, z: float = 1.96) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927)."""
    share, spread = hits / queries, z * z / queries
    middle = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / queries + spread / queries / 4) / (1 + spread)
    return middle - half, middle + half


@exercise(example={"caption": "red soup in a white bowl", "rng": np.random.default_rng(1)})
def shuffle_words(answer: Callable) -> Verdict:
    """``f(caption, rng) -> str``: the same words in another order."""
    caption = "tomato soup with basil in a blue bowl on a wooden table"
    results = [ask(answer, caption=caption, rng=np.random.default_rng(seed)) for seed in range(8)]
    wrong = next((one for one in results if not isinstance(one, str)), None)
    if wrong is not None:
        return hint(
            f"a text is due, and you returned {type(wrong).__name__}: put the words together again "
            "with `' '.join(...)`."
        )
    if any(sorted(one.split()) != sorted(caption.split()) for one in results):
        return hint(
            "the words are not the same: split at spaces, permute, join; letters stay as they are."
        )
    if all(one == caption for one in results):
        return hint("the order is the same: `rng.permutation(words)` gives another one.")
    if len(set(results)) == 1:
        return hint("every generator gives the same order: use the `rng` that you are given.")
    return correct("the same words, the order gone: what is left is what a bag of words can do.")
