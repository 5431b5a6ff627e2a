"""Metrics of composed image retrieval, as its benchmarks define them, from scores.

R@K of these benchmarks is hit@K. Whether the reference is in the gallery decides numbers: it stays
for FashionIQ and CIRCO, and leaves for CIRR and for drawn triplets; a ``TripletSet`` says which.
Ties take realistic ranks, as in :mod:`helpers.evaluation.ranking`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from helpers.evaluation.metrics import summary
from helpers.evaluation.ranking import COMPOSED, TIE_TOLERANCE, InvalidEmbeddings
from helpers.topics.cir.triplets import TripletSet

FASHIONIQ_KS = (10, 50)
CIRR_KS = (1, 5, 10, 50)
SUBSET, SUBSET_KS = 5, (1, 2, 3)
CIRCO_KS = (5, 10, 25, 50)
SUBMITTED = {"recall": 50, "recall_subset": 3}
NO_SYNONYMS = SimpleNamespace(synsets=lambda word, pos=None: [])  # a WordNet without a word


def ranks_of_positives(
    scores, positives: Sequence[Sequence[int]], excluded: Sequence[int] = ()
) -> list[np.ndarray]:
    """The rank of every positive of each query, the best first: a (p,) float64 for each.

    The j-th best positive stands at ``j + above + tied / 2``, counted over negatives. ``scores``
    are (q, g), ``positives`` gallery rows of each query, ``excluded`` the row that leaves a query's
    ranking (-1: none). Raises ``InvalidEmbeddings`` if a score is not finite, ``ValueError`` if
    shapes do not agree or a query has no positive.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or len(scores) != len(positives):
        raise ValueError(
            f"scores of shape {scores.shape} for {len(positives)} queries: give (q, g)"
        )
    if not np.isfinite(scores).all():
        raise InvalidEmbeddings("scores hold NaN or infinite entries, which would all rank first")
    found = []
    for query, (row, rows) in enumerate(zip(scores, positives, strict=True)):
        if not len(rows):
            raise ValueError(f"query {query} has no positive in the gallery: leave it out")
        others = np.ones(len(row), bool)
        others[list(rows)] = False
        if len(excluded) and excluded[query] >= 0:
            others[excluded[query]] = False
        negatives = np.sort(row[others])
        own = -np.sort(-row[list(rows)])
        above = len(negatives) - np.searchsorted(negatives, own + TIE_TOLERANCE, "right")
        level = len(negatives) - np.searchsorted(negatives, own - TIE_TOLERANCE, "left") - above
        found.append(np.arange(1, len(own) + 1) + above + level / 2)
    return found


def rank_frame(scores: Sequence[np.ndarray], sets: Sequence[TripletSet]) -> pd.DataFrame:
    """Ranks of the first positive, gallery after gallery, as a study takes them.

    ``scores`` are (q, g) of each set. Columns ``direction``, ``query``, ``group``, ``gallery``,
    ``gallery_size`` (without the reference where it leaves), ``positives`` and ``rank``.
    """
    parts, start = [], 0
    for number, (table, one) in enumerate(zip(scores, sets, strict=True)):
        positives, excluded = one.positives(), one.excluded()
        first = [ranks[0] for ranks in ranks_of_positives(table, positives, excluded)]
        parts.append(pd.DataFrame({
            "direction": COMPOSED,
            "query": np.arange(start, start + len(first)),
            "group": [t.group for t in one.triplets],
            "gallery": number,
            "gallery_size": len(one.gallery) - (np.array(excluded) >= 0),
            "positives": [len(rows) for rows in positives],
            "rank": first,
        }))  # fmt: skip
        start += len(first)
    return pd.concat(parts, ignore_index=True)


def hit10(ranks: pd.DataFrame) -> float:
    """What is chosen by on validation."""
    return summary(ranks["rank"].to_numpy(), "hit@10")


def subset_ranks(scores, triplets: TripletSet) -> np.ndarray:
    """(q,) rank of the target among CIRR's five other images of the reference's set."""
    rows = triplets.rows()
    subsets = [[rows[name] for name in one.subset] for one in triplets.triplets]
    local = [[one.subset.index(one.targets[0])] for one in triplets.triplets]
    inside = np.take_along_axis(np.asarray(scores, np.float64), np.asarray(subsets), axis=1)
    return np.array([ranks[0] for ranks in ranks_of_positives(inside, local)])


def average_precision(ranks: Sequence[np.ndarray], k: int) -> np.ndarray:
    """CIRCO's average precision among the first ``k``, (q,).

    The sum of ``j / rank`` over the positives whose rank is at most k (the j-th best at ``rank``),
    divided by min(number of positives, k) (Baldrati et al. 2023, section 5).

    >>> average_precision(ranks_of_positives([[3, 2, 1]], [[0, 2]]), 2)
    array([0.5])
    """
    precision = [(np.arange(1, len(one) + 1) / one)[one <= k] for one in ranks]
    return np.array([p.sum() / min(len(one), k) for p, one in zip(precision, ranks, strict=True)])


def fashioniq_metrics(ranks: Mapping[str, np.ndarray]) -> dict[str, float]:
    """R@10 and R@50 of each category, their means over categories, and the mean of both.

    Categories weigh the same, whatever their number of queries (Wu et al. 2021).
    """
    by = {f"{name} R@{k}": summary(one, f"hit@{k}")
          for name, one in ranks.items() for k in FASHIONIQ_KS}  # fmt: skip
    means = {f"R@{k}": float(np.mean([by[f"{name} R@{k}"] for name in ranks]))
             for k in FASHIONIQ_KS}  # fmt: skip
    return {**by, **means, "mean": float(np.mean(list(means.values())))}


def cirr_metrics(ranks: np.ndarray, subset: np.ndarray) -> dict[str, float]:
    """R@1/5/10/50, R_subset@1/2/3 and their average (R@5 + R_subset@1) / 2.

    ``ranks`` are over the whole gallery without the reference, ``subset`` as
    :func:`subset_ranks` gives them.
    """
    whole = {f"R@{k}": summary(ranks, f"hit@{k}") for k in CIRR_KS}
    inside = {f"R_subset@{k}": summary(subset, f"hit@{k}") for k in SUBSET_KS}
    return {**whole, **inside, "average": (whole["R@5"] + inside["R_subset@1"]) / 2}


def circo_metrics(ranks: Sequence[np.ndarray]) -> dict[str, float]:
    """mAP@5/10/25/50 with min(number of positives, K) as denominator."""
    return {f"mAP@{k}": float(average_precision(ranks, k).mean()) for k in CIRCO_KS}


def protocol(scores: Sequence[np.ndarray], sets: Sequence[TripletSet]) -> dict[str, float]:
    """What the benchmark of some sets reports, as fractions; empty for drawn triplets."""
    name = sets[0].name
    every = [
        ranks_of_positives(table, one.positives(), one.excluded())
        for table, one in zip(scores, sets, strict=True)
    ]
    first = [np.array([ranks[0] for ranks in some]) for some in every]
    if name.startswith("FashionIQ"):
        categories = (one.name.split()[-1] for one in sets)
        return fashioniq_metrics(dict(zip(categories, first, strict=True)))
    if name == "CIRR":  # queries whose subset lost an image count in neither metric
        whole = [i for i, one in enumerate(sets[0].triplets) if len(one.subset) == SUBSET]
        kept = replace(sets[0], triplets=tuple(sets[0].triplets[i] for i in whole))
        return cirr_metrics(first[0][whole], subset_ranks(np.asarray(scores[0])[whole], kept))
    return circo_metrics(every[0]) if name == "CIRCO" else {}


def submission(scores, triplets: TripletSet, metric: str) -> dict[str, str | list[str]]:
    """What CIRR's test server takes: the best image ids of each query, the reference left out.

    ``metric`` is ``recall``, the first 50 of the gallery, or ``recall_subset``, the first 3 of the
    query's subset; equal scores keep the gallery's order, and targets need not be known. Raises
    ``ValueError`` if shapes do not agree, or a query has too few images left.
    """
    scores = np.asarray(scores, dtype=np.float64)
    shape = (len(triplets.triplets), len(triplets.gallery))
    if scores.shape != shape:
        raise ValueError(f"scores have shape {scores.shape}; queries and gallery are {shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold a value that is not finite; look at the model that made them")
    row_of = triplets.rows()
    file: dict[str, str | list[str]] = {"version": "rc2", "metric": metric}
    for query, one in enumerate(triplets.triplets):
        names = triplets.gallery if metric == "recall" else one.subset
        rows = np.array([row_of[name] for name in names if name != one.reference], dtype=int)
        best = rows[np.argsort(-scores[query, rows], kind="stable")][: SUBMITTED[metric]]
        if len(best) < SUBMITTED[metric]:
            raise ValueError(
                f"pair {one.pair_id}: {len(best)} images are left without the reference, the "
                f"server wants {SUBMITTED[metric]}"
            )
        file[one.pair_id] = [triplets.gallery[row] for row in best]
    return file


def rouge_1(candidate: str, references: Sequence[str]) -> float:
    """ROUGE-1 (Lin 2004): the F value of the words that both have, in any order.

    Words are lower-cased and stemmed by ``rouge-score``; of several references the best counts.

    >>> rouge_1("beef with tofu", ["tofu with beef"])
    1.0
    """
    _check(references)
    return max(_rouge().score(text, candidate)["rouge1"].fmeasure for text in references)


def meteor(candidate: str, references: Sequence[str]) -> float:
    """METEOR (Banerjee and Lavie 2005) by ``nltk``, with exact and stem matches.

    WordNet's synonyms are a download and left out: never above the full METEOR.

    >>> meteor("on marble", ["with tofu"])
    0.0
    """
    from nltk.translate.meteor_score import meteor_score

    _check(references)
    words = candidate.lower().split()
    told = [text.lower().split() for text in references]
    return float(meteor_score(told, words, wordnet=NO_SYNONYMS)) if words else 0.0


OVERLAP: dict[str, Callable[[str, Sequence[str]], float]] = {"ROUGE-1": rouge_1, "METEOR": meteor}


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1"], use_stemmer=True)


def _check(references: Sequence[str]) -> None:
    if isinstance(references, str) or not references:
        raise ValueError(f"references are {references!r}: give a list of at least one text")
