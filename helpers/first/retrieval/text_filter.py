"""Which synthetic triplets are kept: length, repetition, unsupported attributes, round trip.

Every test looks only at what one has in practice - texts, captions, embeddings - and never at the
truth, which the audit keeps for itself. A pair is dropped for the first reason that applies.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from helpers.first.evaluation.positives import positives_from_lists
from helpers.first.evaluation.ranks import rank_positives_from_scores
from helpers.first.models.generator import UNFINISHED
from helpers.world.mentions import attributes_told, claims

KEPT = "kept"
REASONS = (
    "unfinished", "too short", "too long", "same both ways", "repeated", "unsupported attribute",
    "round trip forward", "round trip reverse",
)  # fmt: skip


@dataclass(frozen=True)
class TextFilter:
    """What a pair's two texts must be.

    Attributes
    ----------
    min_words, max_words : int
        Of either text.
    most_alike : int
        How many pairs may have the same forward text; later ones are dropped.
    supported : bool
        Whether a text is dropped that names a value which the captions of both pictures
        contradict.
    round_trip : int
        Rank by which reference and forward text have to find the target, and target and reverse
        text the reference, in the whole pool; 0: no such test.
    """

    min_words: int = 2
    max_words: int = 20
    most_alike: int = 25
    supported: bool = True
    round_trip: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.min_words <= self.max_words or self.most_alike < 1 or self.round_trip < 0:
            raise ValueError(
                f"a filter of {self.min_words} to {self.max_words} words, {self.most_alike} alike, "
                f"round trip {self.round_trip}: give 0 < min_words <= max_words, most_alike from 1 "
                "and round_trip from 0"
            )


def reasons_by_text(
    texts: Sequence[tuple[str, str]],
    captions: Sequence[tuple[Sequence[str], Sequence[str]]],
    settings: TextFilter,
) -> list[str]:
    """For each pair of texts (forward, reverse) the first reason to drop it; ``kept``: none.

    Parameters
    ----------
    captions : sequence of (captions of the reference, captions of the target)

    Examples
    --------
    >>> reasons_by_text([("on a red plate", "on a blue plate")], [(["a soup"], ["a soup"])],
    ...                 TextFilter())
    ['kept']
    """
    seen: Counter[str] = Counter()
    found = []
    for (forward, reverse), pair in zip(texts, captions, strict=True):
        lengths = [len(text.split()) for text in (forward, reverse)]
        reason = KEPT
        if any(text.endswith(UNFINISHED) for text in (forward, reverse)):
            reason = "unfinished"
        elif min(lengths) < settings.min_words:
            reason = "too short"
        elif max(lengths) > settings.max_words:
            reason = "too long"
        elif _plain(forward) == _plain(reverse):
            reason = "same both ways"
        elif seen[_plain(forward)] >= settings.most_alike:
            reason = "repeated"
        elif settings.supported and any(unsupported(t, *pair) for t in (forward, reverse)):
            reason = "unsupported attribute"
        seen[_plain(forward)] += reason == KEPT
        found.append(reason)
    return found


def unsupported(text: str, first: Sequence[str], second: Sequence[str]) -> list[tuple[str, str]]:
    """Values that a text names and that neither picture has, as far as their captions tell.

    An attribute of which the captions of either picture say nothing is no ground to drop a text.

    >>> unsupported("with olives", ["soup with basil"], ["soup with lemon"])
    [('garnish', 'olives')]
    """
    told = attributes_told(first), attributes_told(second)
    return sorted(
        (name, value)
        for name, value in claims(text).all
        if all(name in one and value not in one[name] for one in told)
    )


def round_trip_ranks(
    images: np.ndarray,
    pairs: np.ndarray,
    forward: np.ndarray,
    reverse: np.ndarray,
    score: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
) -> tuple[np.ndarray, np.ndarray]:
    """Where the target is found from reference and forward text, and the reference back again.

    Parameters
    ----------
    images : (n, d) float32, unit rows
        The whole pool.
    pairs : (m, 2) int
        Rows of reference and target; what is given leaves its own ranking.
    forward, reverse : (m, d) float32, unit rows
        Of the texts.
    score : callable
        (q, d), (q, d) and (n, d) to (q, n) scores: a model of :mod:`helpers.first.models.composed`.

    Returns
    -------
    (m,) float64 twice
        Realistic ranks among the other pictures of the pool.
    """
    gallery = torch.from_numpy(np.array(images, dtype=np.float32))
    found = []
    for given, wanted, texts in ((0, 1, forward), (1, 0, reverse)):
        with torch.inference_mode():
            text = torch.from_numpy(np.array(texts, dtype=np.float32))
            scores = score(gallery[pairs[:, given]], text, gallery).numpy()
        positives = positives_from_lists([[row] for row in pairs[:, wanted]], n_gallery=len(images))
        found.append(rank_positives_from_scores(scores, positives, exclude=pairs[:, given]).first)
    return found[0], found[1]


def with_round_trip(
    reasons: Sequence[str], ranks: tuple[np.ndarray, np.ndarray], settings: TextFilter
) -> list[str]:
    """The reasons, with those of the round trip for pairs that were kept so far."""
    if settings.round_trip == 0:
        return list(reasons)
    found = []
    for reason, forward, reverse in zip(reasons, *ranks, strict=True):
        if reason == KEPT and forward > settings.round_trip:
            reason = "round trip forward"
        elif reason == KEPT and reverse > settings.round_trip:
            reason = "round trip reverse"
        found.append(reason)
    return found


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
