"""Signatures of failure in synthetic pretraining, each by its name, its value and its limit.

Three ways to fail are known: the generator or the model collapses to one answer, texts tell of what
is in neither picture, and pretraining on them harms. Each is looked for by a number that a healthy
run does not reach, with an interval wherever it rests on a sample.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.first.evaluation.collapse import (
    LEAST_SHARE,
    LEAST_SPREAD,
    explain_collapse,
    has_collapsed,
    spread_of,
)
from helpers.first.evaluation.comparison import holm, paired_comparison
from helpers.first.evaluation.intervals import wilson_interval

SAME_TEXT = 0.3  # share of the most frequent text
FEW_TEXTS = 0.05  # distinct texts a text
ALPHA = 0.05  # of all looks at harm together
HALLUCINATED = 0.1  # share of texts; 0.04 is what was reported for a good generator


@dataclass(frozen=True)
class Signature:
    """One way to fail, and whether it is there.

    Attributes
    ----------
    name : str
        ``collapse of texts``, ``collapse of embeddings``, ``hallucination`` or ``harmful
        pretraining``.
    found : bool
    value, limit : float
        What was measured, and from where on (or below which) it counts.
    says : str
        A sentence with both.
    """

    name: str
    found: bool
    value: float
    limit: float
    says: str


def failure_signatures(
    *,
    texts: Sequence[str] | None = None,
    embeddings=None,
    embeddings_before=None,
    hallucinated: Sequence[bool] | None = None,
    pretrained: Sequence[float] | None = None,
    scratch: Sequence[float] | None = None,
    groups: Sequence[str] | None = None,
    seed: int = 42,
) -> list[Signature]:
    """Look for every signature whose data is given.

    Parameters
    ----------
    texts : sequence of str, optional
        Generated for different pairs, at least 20.
    embeddings : (q, d) or (q, k, d) float, optional
        Of different queries under one model, at least 20.
    embeddings_before : the same, optional
        Of the same queries before training.
    hallucinated : sequence of bool, optional
        For each text whether it names what neither picture has.
    pretrained, scratch : (q,) float, optional
        Hits of the same queries with and without pretraining, after the same fine-tuning; over
        several seeds, their means.
    groups : (q,) str, optional
        What queries share that are not independent; each on its own by default.

    Raises
    ------
    ValueError
        If nothing is given, too little, or one of the two runs alone.

    Examples
    --------
    >>> found = failure_signatures(texts=["on a red plate"] * 40)
    >>> found[0].name, found[0].found
    ('collapse of texts', True)
    """
    if (pretrained is None) != (scratch is None):
        raise ValueError("give the hits with pretraining and without, for the same queries")
    found = []
    if texts is not None:
        found.append(collapse_of_texts(texts))
    if embeddings is not None:
        found.append(collapse_of_embeddings(embeddings, embeddings_before))
    if hallucinated is not None:
        found.append(hallucination(hallucinated))
    if pretrained is not None:
        names = [str(i) for i in range(len(pretrained))] if groups is None else groups
        found += harmful_pretraining({"": (pretrained, scratch)}, names, seed=seed).values()
    if not found:
        raise ValueError("nothing to look at: give texts, embeddings, hallucinated, or two runs")
    return found


def collapse_of_texts(texts: Sequence[str]) -> Signature:
    """The same text for pairs that differ: the most frequent one, or very few in all."""
    _enough("texts", len(texts))
    counted = Counter(" ".join(text.lower().split()) for text in texts)
    text, times = counted.most_common(1)[0]
    share, distinct = times / len(texts), len(counted) / len(texts)
    says = (
        f"the most frequent of {len(texts)} texts, {text!r}, is {share:.0%} of them (limit "
        f"{SAME_TEXT:.0%}); {len(counted)} are distinct (limit {FEW_TEXTS:.0%})"
    )
    found = share > SAME_TEXT or (distinct < FEW_TEXTS and len(counted) < 20)
    return Signature("collapse of texts", found, share, SAME_TEXT, says)


def collapse_of_embeddings(embeddings, before=None) -> Signature:
    """Queries that all became one vector, alone or against what they were before training."""
    rows = np.asarray(embeddings, dtype=np.float64)
    _enough("embeddings", len(rows))
    now, was = spread_of(rows), None if before is None else spread_of(before)
    limit = LEAST_SPREAD if was is None else LEAST_SHARE * was.variance
    says = explain_collapse(now, was)
    return Signature("collapse of embeddings", has_collapsed(now, was), now.variance, limit, says)


def hallucination(hallucinated: Sequence[bool]) -> Signature:
    """More texts name what neither picture has than is tolerable, beyond chance."""
    _enough("judged texts", len(hallucinated))
    found = wilson_interval(int(np.sum(hallucinated)), len(hallucinated))
    says = (
        f"{found.value:.1%} of {found.n} texts name what neither picture has, interval "
        f"{found.low:.1%} to {found.high:.1%} (limit {HALLUCINATED:.0%}, all of the interval above)"
    )
    return Signature("hallucination", found.low > HALLUCINATED, found.value, HALLUCINATED, says)


def harmful_pretraining(
    looks: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    groups: Sequence[str],
    *,
    seed: int = 42,
) -> dict[str, Signature]:
    """Pretraining that lowers the hits of the same queries, beyond chance, in any of some looks.

    Parameters
    ----------
    looks : mapping of str to two (q,) float
        A name to the hits with and without pretraining. Holm's correction covers them all: who
        looks often finds harm by chance.
    groups : (q,) str
    seed : int
    """
    compared = {}
    for name, (pretrained, scratch) in looks.items():
        _enough("queries", len(pretrained))
        compared[name] = paired_comparison(pretrained, scratch, groups, seed=seed)
    adjusted = holm([one.p_value for one in compared.values()])
    found = {}
    for (name, one), p in zip(compared.items(), adjusted, strict=True):
        many = f" after Holm over {len(compared)}" if len(compared) > 1 else ""
        says = (
            f"with pretraining {one.difference:+.3f}, interval {one.low:+.3f} to {one.high:+.3f}, "
            f"p = {p:.3f}{many} on {one.n} queries"
        )
        harmful = bool(one.difference < 0 and p <= ALPHA)
        found[name] = Signature("harmful pretraining", harmful, one.difference, 0.0, says)
    return found


def _enough(what: str, n: int) -> None:
    if n < 20:
        raise ValueError(f"{n} {what} show no signature: give at least 20")
