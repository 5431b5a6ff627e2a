"""What a query needs, what its first results show, and whether its wording decides.

A benchmark that the reference image or the text alone answers says nothing about composing them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from helpers.models.encoder import Encoder
from helpers.topics.cir import composers
from helpers.topics.cir.triplets import Source, TripletSet

NEEDS = ("image", "text", "either", "both")
KINDS = ("target", "change only", "rest only", "neither")


def needs(image_ranks, text_ranks, *, k: int = 10) -> np.ndarray:
    """(q,) what finds each query: ``image``, ``text`` or ``either`` alone, or only ``both``.

    Ranks of the first target with one side alone are (q,), or (m, q) of m models, of which one
    suffices.
    """
    image, text = ((np.atleast_2d(ranks) <= k).any(axis=0) for ranks in (image_ranks, text_ranks))
    return np.select([image & text, image, text], ["either", "image", "text"], default="both")


@dataclass(frozen=True)
class Results:
    """What the first k results of each query show.

    ``kinds`` (q, 4) counts those of each of ``KINDS``: that fulfill the change and keep the rest,
    one of the two, or neither.
    """

    kinds: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """(q,) bool: some result fulfills the change, another keeps the rest, and none does both.

        Its mean is the composition gap, as Press et al. ("Measuring and narrowing the
        compositionality gap in language models", 2022) count questions whose parts are answered.
        """
        target, change, rest, _ = self.kinds.T
        return (target == 0) & (change > 0) & (rest > 0)

    @property
    def hard(self) -> np.ndarray:
        """(q,) share of hard negatives among the results: those that fulfill one side alone."""
        return self.kinds[:, 1:3].sum(axis=1) / self.kinds.sum(axis=1)

    def shares(self) -> pd.Series:
        """The share of each kind over all results."""
        return pd.Series(self.kinds.sum(axis=0) / self.kinds.sum(), index=KINDS)


def results_of(
    scores: Sequence[np.ndarray], sets: Sequence[TripletSet], truth: Any, *, k: int = 10
) -> Results:
    """What the first ``k`` images of each query show, by the truth of drawn images.

    ``scores`` are (q, g) of each set. An image fulfills the change if it has all wanted values, and
    keeps the rest if it agrees with the target in all other attributes.
    """
    found = []
    for table, one in zip(scores, sets, strict=True):
        frame = pd.DataFrame([truth.shown[name].attributes for name in one.gallery])
        codes = frame.apply(lambda column: pd.factorize(column)[0]).to_numpy()  # (g, attributes)
        rows = one.rows()
        for row, triplet, out in zip(np.asarray(table), one.triplets, one.excluded(), strict=True):
            order = np.argsort(-row, kind="stable")
            top = codes[order[order != out][:k]]  # (k, attributes)
            wanted = codes[rows[triplet.targets[0]]]
            changed = codes[rows[triplet.reference]] != wanted
            fulfills = (top[:, changed] == wanted[changed]).all(axis=1)
            keeps = (top[:, ~changed] == wanted[~changed]).all(axis=1)
            kind = np.select([fulfills & keeps, fulfills, keeps], [0, 1, 2], default=3)
            found.append(np.bincount(kind, minlength=4))
    return Results(np.array(found))


def wordings(
    model: composers.Scorer, base: Encoder, source: Source, images: composers.ImageRows, n: int
) -> dict[str, float]:
    """How far the wording decides, over ``n`` texts that ask for the same as each test query."""
    return wording_spread([
        composers.ranks_of(model, composers.embed(base, sets, images))["rank"].to_numpy()
        for sets in reworded(source.sets["test"], source.truth, n)
    ])  # fmt: skip


def reworded(sets: Sequence[TripletSet], truth: Any, n: int) -> list[tuple[TripletSet, ...]]:
    """The sets in ``n`` wordings: the k-th text that asks for the same, the triplet's own first."""
    texts = [[truth.paraphrases(t, n) for t in one.triplets] for one in sets]
    return [
        tuple(
            replace(one, triplets=tuple(
                replace(t, caption=told[k % len(told)])
                for t, told in zip(one.triplets, some, strict=True)))
            for one, some in zip(sets, texts, strict=True)
        )
        for k in range(n)
    ]  # fmt: skip


def wording_spread(ranks, *, k: int = 10) -> dict[str, float]:
    """How far the wording decides: from (w, q) ranks of the same queries in w wordings.

    ``hit`` is the mean, ``low`` and ``high`` those of the worst and the best wording number,
    ``undecided`` the share of queries that some wordings find and others miss.
    """
    hits = np.asarray(ranks) <= k
    by_wording = hits.mean(axis=1)
    mixed = hits.any(axis=0) & ~hits.all(axis=0)
    return {
        "hit": float(hits.mean()), "low": float(by_wording.min()),
        "high": float(by_wording.max()), "undecided": float(mixed.mean()),
    }  # fmt: skip
