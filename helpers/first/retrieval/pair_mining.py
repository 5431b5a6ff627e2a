"""Pairs of pictures to write about: of one category, alike but not too much.

A pair that is too far apart differs in everything, and no short text leads from one to the other;
one that is too near is the same thing twice. The band between is what "controlled similarity"
means in the construction of CIRR (Liu et al., "Image retrieval on real-life images with
pre-trained vision-and-language models", 2021) and of synthetic triplets since.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers.first.evaluation.embeddings import check_embeddings

OUTCOMES = ("mined", "too alike", "too far", "taken already", "not needed")


@dataclass(frozen=True)
class Band:
    """The cosines that a pair may have, both ends included."""

    low: float = 0.8
    high: float = 0.97

    def __post_init__(self) -> None:
        if not -1 <= self.low < self.high <= 1:
            raise ValueError(
                f"the band goes from {self.low} to {self.high}: give -1 <= low < high <= 1"
            )


@dataclass(frozen=True)
class MinedPairs:
    """What was found.

    Attributes
    ----------
    pairs : (m, 2) int64
        Rows of reference and target; no two pairs hold the same two pictures.
    similarity : (m,) float32
    counts : dict
        Candidates by outcome, of ``OUTCOMES``: their sum is ``n_candidates``.
    n_candidates : int
        Unordered pairs of one category that were among the neighbors of either picture.
    """

    pairs: np.ndarray
    similarity: np.ndarray
    counts: dict[str, int]
    n_candidates: int


def mine_pairs(
    rows,
    categories: Sequence[str],
    *,
    band: Band | None = None,
    per_image: int = 1,
    depth: int = 32,
    n_pairs: int = 0,
    seed: int = 42,
) -> MinedPairs:
    """For each picture its nearest neighbors of the same category within a band of similarity.

    Which of the two is the reference is drawn; so is, with ``n_pairs``, which pairs are left out.

    Parameters
    ----------
    rows : (n, d) float, unit rows
    categories : (n,) str
    band : Band, optional
    per_image : int
        In how many pairs a picture may be, most similar first.
    depth : int
        Neighbors a picture that are looked at.
    n_pairs : int
        How many pairs at most; 0: all.
    seed : int

    Raises
    ------
    ValueError
        If lengths do not fit or a number is below 1.

    Examples
    --------
    >>> rows = np.array([[1, 0], [0.8, 0.6], [0, 1.0]])
    >>> mine_pairs(rows, ["soup"] * 3, band=Band(0.7, 0.9)).similarity.round(2).tolist()
    [0.8]
    """
    rows = np.ascontiguousarray(check_embeddings(rows, name="pictures"), dtype=np.float32)
    band = band or Band()
    if len(categories) != len(rows):
        raise ValueError(f"{len(rows)} pictures and {len(categories)} categories: give one each")
    if per_image < 1 or depth < 1 or n_pairs < 0:
        raise ValueError(
            f"per_image is {per_image}, depth {depth}, n_pairs {n_pairs}: the first two begin at 1"
        )
    candidates = _neighbors(rows, np.asarray(categories), depth)
    order = sorted(candidates, key=lambda pair: (-candidates[pair], pair))
    used = np.zeros(len(rows), dtype=int)
    counts = dict.fromkeys(OUTCOMES, 0)
    kept = []
    for a, b in order:
        outcome = _outcome(candidates[a, b], band, max(used[a], used[b]) >= per_image)
        counts[outcome] += 1
        if outcome == "mined":
            kept.append((a, b))
            used[[a, b]] += 1
    rng = np.random.default_rng([seed, 5])
    if 0 < n_pairs < len(kept):
        chosen = np.sort(rng.permutation(len(kept))[:n_pairs])
        counts["not needed"] = len(kept) - n_pairs
        counts["mined"], kept = n_pairs, [kept[i] for i in chosen]
    similarity = np.array([candidates[pair] for pair in kept], dtype=np.float32)
    turned = [pair[::-1] if rng.random() < 0.5 else pair for pair in kept]
    pairs = np.array(turned, dtype=np.int64).reshape(-1, 2)
    return MinedPairs(pairs, similarity, counts, len(candidates))


def _outcome(similarity: float, band: Band, taken: bool) -> str:
    if similarity > band.high:
        return "too alike"
    if similarity < band.low:
        return "too far"
    return "taken already" if taken else "mined"


def _neighbors(
    rows: np.ndarray, categories: np.ndarray, depth: int
) -> dict[tuple[int, int], float]:
    """Unordered pairs (a < b) among the ``depth`` nearest of either, with their cosine."""
    import faiss

    found: dict[tuple[int, int], float] = {}
    for category in np.unique(categories):
        inside = np.flatnonzero(categories == category)
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(rows[inside])
        scores, nearest = index.search(rows[inside], min(depth + 1, len(inside)))
        for place, (line, near) in enumerate(zip(scores.tolist(), nearest.tolist(), strict=True)):
            for score, other in zip(line, near, strict=True):
                if other != place:
                    pair = sorted((int(inside[place]), int(inside[other])))
                    found.setdefault((pair[0], pair[1]), score)
    return found
