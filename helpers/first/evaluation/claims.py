"""Claims of the literature against what was measured: supported, contradicted, or neither.

A claim says beforehand which way a difference goes, or that there is none worth having. The verdict
then follows from a paired comparison: for a directed claim from the test, with Holm's correction
over all directed claims that are judged together; for one of no difference from the interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from helpers.first.evaluation.comparison import Comparison, holm

Verdict = Literal["supported", "not distinguishable", "contradicted"]
EXPECTATIONS = ("higher", "lower", "same")


@dataclass(frozen=True)
class Claim:
    """A statement that a comparison ``a - b`` can speak for or against.

    Attributes
    ----------
    name : str
        Short, for tables.
    statement : str
        A sentence; it says what ``a`` and ``b`` are.
    source : str
        Who reported it, or on what.
    expects : {"higher", "lower", "same"}
        What the claim says of ``a - b``.
    margin : float
        For "same": the largest difference, in the values' unit, that would not matter. It is set
        before the comparison is seen.

    Raises
    ------
    ValueError
        If the expectation is unknown, or its margin is missing or has no place.
    """

    name: str
    statement: str
    source: str
    expects: Literal["higher", "lower", "same"] = "higher"
    margin: float = 0.0

    def __post_init__(self) -> None:
        if self.expects not in EXPECTATIONS:
            raise ValueError(
                f"claim {self.name!r} expects {self.expects!r}: "
                f"use one of {', '.join(EXPECTATIONS)}"
            )
        if (self.expects == "same") != (self.margin > 0):
            raise ValueError(
                f"claim {self.name!r} expects {self.expects!r} with margin {self.margin}: a claim "
                "of no difference needs a margin above 0, any other has none"
            )


@dataclass(frozen=True)
class Judged:
    """A claim, the comparison that it was held against, and the verdict.

    ``p_value`` is Holm's, over the directed claims that were judged together. It is None for a
    claim of no difference: the test asks whether there is one, not how large it may be.
    """

    claim: Claim
    comparison: Comparison
    p_value: float | None
    verdict: Verdict


def judge_claims(pairs: Sequence[tuple[Claim, Comparison]], *, alpha: float = 0.05) -> list[Judged]:
    """Judge a family of claims together.

    A directed claim is supported where the difference has its sign and the corrected p-value is at
    most ``alpha``, contradicted where it has the other sign. A claim of no difference is supported
    where the whole interval lies within its margin, contradicted where the whole interval lies
    beyond it on one side; a difference that is real and small contradicts nothing. With intervals
    of 95 % these are two one-sided tests at 2.5 %, for each claim by itself (Schuirmann, "A
    comparison of the two one-sided tests procedure and the power approach", 1987).

    Parameters
    ----------
    pairs : sequence of (Claim, Comparison)
        Comparisons of ``a`` with ``b`` as the claim names them.
    alpha : float
        Level of the family.

    Returns
    -------
    list of Judged
        In the order given.

    Examples
    --------
    >>> seen = Comparison(0.1, 0.05, 0.15, 0.01, 90, 30, 0.06, "better")
    >>> judge_claims([(Claim("heads", "Heads help.", "a table"), seen)])[0].verdict
    'supported'
    """
    raw = [seen.p_value for claim, seen in pairs if claim.expects != "same"]
    corrected = iter(holm(raw) if raw else ())
    values = [None if claim.expects == "same" else float(next(corrected)) for claim, _ in pairs]
    return [
        Judged(claim, comparison, p, _verdict(claim, comparison, p, alpha))
        for (claim, comparison), p in zip(pairs, values, strict=True)
    ]


def _verdict(claim: Claim, seen: Comparison, p_value: float | None, alpha: float) -> Verdict:
    if p_value is None:
        if -claim.margin <= seen.low and seen.high <= claim.margin:
            return "supported"
        if seen.low > claim.margin or seen.high < -claim.margin:
            return "contradicted"
        return "not distinguishable"
    if p_value > alpha or seen.difference == 0:
        return "not distinguishable"
    return "supported" if (seen.difference > 0) == (claim.expects == "higher") else "contradicted"
