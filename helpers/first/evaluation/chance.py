"""What a metric with a K says before any model is asked: its chance level, or nothing at all.

With K at or above the gallery's size every query has a positive among its first K, whatever the
model does: such a value is a fact about the data, and is never shown, compared or chosen by.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.first.evaluation.positives import positives_from_ids

KS = (10, 5, 1)
_FIXED = re.compile(r"(?:.* )?(?:hit|recall|R|R_subset)@(\d+)\b")


@dataclass(frozen=True, eq=False)
class Gallery:
    """What the queries of one direction choose among.

    Attributes
    ----------
    size : int
        Rows that a query ranks; one that is left out for it, such as a reference, does not count.
    positives : (q,) int
        How many of them are positives of each query.
    """

    size: int
    positives: np.ndarray

    def chance(self, metric: str) -> float | None:
        """What a random order scores on average: of ``hit@K`` alone, else None."""
        k = _cut(metric) if metric.startswith("hit@") else 0
        return chance_hit(self.positives, self.size, k) if k else None

    def said(self, metric: str, value: float) -> str:
        """A metric as it is printed, with its chance level, or why it says nothing.

        >>> Gallery(6, np.ones(6, int)).said("hit@10", 1.0)
        'hit@10 n/a (gallery has 6)'
        """
        if reason := fixed_by(metric, self.size):
            return f"{metric} n/a ({reason})"
        chance = self.chance(metric)
        return f"{metric} {value:.3f}" + ("" if chance is None else f" (chance {chance:.3f})")

    def part(self, chosen: np.ndarray) -> "Gallery":
        """The same rows, asked by some of the queries."""
        return Gallery(self.size, self.positives[chosen])


def gallery_of(query_ids: Sequence[str], gallery_ids: Sequence[str]) -> Gallery:
    """The gallery of queries whose positives are the rows of their own id.

    Examples
    --------
    >>> gallery_of(["a", "b"], ["a", "b", "b", "c"]).chance("hit@1")
    0.375
    """
    relation = positives_from_ids(query_ids, gallery_ids)
    return Gallery(relation.n_gallery, relation.counts)


def galleries_of(ids: Mapping[str, Sequence[str]]) -> dict[str, Gallery]:
    """The gallery of each direction, from the ids of the queries of both.

    What asks in one direction is what is searched in the other.

    Examples
    --------
    >>> both = {"text_to_image": ["a", "a", "b"], "image_to_text": ["a", "b"]}
    >>> {way: gallery.size for way, gallery in galleries_of(both).items()}
    {'text_to_image': 2, 'image_to_text': 3}
    """
    one, other = ids
    return {one: gallery_of(ids[one], ids[other]), other: gallery_of(ids[other], ids[one])}


def fixed_by(metric: str, size: int) -> str:
    """Why a metric is the same for every model on a gallery of that size; empty: it is not.

    Examples
    --------
    >>> fixed_by("hit@10", 6), fixed_by("hit@5", 6), fixed_by("mrr", 6)
    ('gallery has 6', '', '')
    """
    k = _cut(metric)
    return f"gallery has {size}" if k and k >= size else ""


def telling_k(*sizes: int, ks: Sequence[int] = KS) -> int:
    """The largest of some K that says something on galleries of all these sizes; else the least.

    Examples
    --------
    >>> telling_k(900, 862), telling_k(6, 12), telling_k(3)
    (10, 5, 1)
    """
    return next((k for k in sorted(ks, reverse=True) if k < min(sizes)), min(ks))


def chance_hit(positives: np.ndarray, size: int, k: int) -> float:
    """The hit@k of a random order: a query with m of ``size`` rows misses with C(size - m, k) / C(size, k).

    Parameters
    ----------
    positives : (q,) int, m of each query
    size, k : int
    """
    drawn = np.arange(min(k, size))
    sizes, queries = np.unique(positives, return_counts=True)
    left = np.maximum(size - sizes[:, None] - drawn, 0)  # (sizes, k)
    misses = np.prod(left / (size - drawn), axis=1)
    return float(1 - misses @ queries / queries.sum())


def _cut(metric: str) -> int:
    """The K of a metric that is 1 where K reaches the gallery's size; 0: it has none."""
    found = _FIXED.match(metric)
    return int(found[1]) if found else 0
