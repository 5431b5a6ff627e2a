"""What a study says of a hypothesis: exactly one verdict, by rules that were fixed beforehand.

A *directed* hypothesis expects a difference above zero (or below), a *same* one expects it within
an equivalence margin (Schuirmann, "A comparison of the two one-sided tests procedure", 1987).
"""

from dataclasses import dataclass
from typing import Literal

from helpers.evaluation.stats import ALPHA

Kind = Literal["higher", "lower", "same"]
VERDICTS = ("supported", "contradicted", "equivalent", "reported size excluded", "undecided")
NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Verdict:
    """``name`` is one of ``VERDICTS``; ``text`` is the verdict with its numbers, in points.

    ``size`` says how a reported difference compares with what was measured, "" where none was.
    """

    name: str
    text: str
    size: str = ""


def verdict(
    value: float, low: float, high: float, p: float, *, kind: Kind, margin: float,
    reported: float | None = None, detectable: float = float("nan"),
) -> Verdict:  # fmt: skip
    """Judge a difference.

    Parameters
    ----------
    value, low, high : float
        The difference and its 95 % interval, as fractions.
    p : float
        After Holm's correction over the family.
    kind : ``higher``, ``lower`` or ``same``
        What the hypothesis expects of the difference.
    margin : float, above 0
        The smallest difference that would matter.
    reported : float, optional
        The difference that a source reports, in the direction that the hypothesis expects (> 0 for
        ``higher``, < 0 for ``lower``).
    detectable : float
        The smallest difference that the test could have shown.

    Raises
    ------
    ValueError
        If the margin is not positive, the interval does not hold the value, or the reported
        difference points the other way.
    """
    if not margin > 0:
        raise ValueError(f"margin {margin}: a positive difference is needed, fixed beforehand")
    if not low <= value <= high:
        raise ValueError(f"the interval [{low}, {high}] does not hold {value}")
    shown = p <= ALPHA and value != 0
    within = -margin <= low and high <= margin
    if kind == "same":
        return _same(low, high, margin, shown, within)
    if kind == "lower":  # turn it round, so that the hypothesis says "above zero"
        value, low, high = -value, -high, -low
        reported = None if reported is None else -reported
    if reported is not None and not reported > 0:
        raise ValueError(f"the reported difference {reported} is not what {kind!r} expects")
    size = _size(low, high, reported)
    m = f"±{100 * margin:g} points"
    if shown:
        name = "supported" if value > 0 else "contradicted"
        return Verdict(name, name + f", within {m}" * within, size)
    if within:
        return Verdict("equivalent", f"equivalent within {m}", size)
    if reported is not None and high < reported:
        excluded = f"reported size ({100 * reported:+.2f} points) excluded"
        return Verdict("reported size excluded", excluded, size)
    text = f"undecided (could have shown {100 * detectable:.1f} points)"
    return Verdict("undecided", text, size)


def _same(low: float, high: float, margin: float, shown: bool, within: bool) -> Verdict:
    m = f"±{100 * margin:g} points"
    if within:
        return Verdict("supported", f"supported (equivalent within {m})")
    if shown and (low > margin or high < -margin):
        return Verdict("contradicted", "contradicted")
    reach = 100 * max(abs(low), abs(high))
    return Verdict("undecided", f"undecided (within ±{reach:.1f} points at most)")


def _size(low: float, high: float, reported: float | None) -> str:
    if reported is None:
        return ""
    if high < reported:
        return "smaller than reported"
    return "larger than reported" if low > reported else "as reported"
