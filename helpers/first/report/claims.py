"""Judged claims as a table that a lesson shows and as records that a study commits."""

from collections.abc import Mapping, Sequence

import pandas as pd

from helpers.first.evaluation.claims import Claim, Judged
from helpers.first.report.results import Record
from helpers.first.report.studies import comparison_records

UNITS = {"points": 100.0, "value": 1.0}


def claims_table(
    judged: Sequence[Judged],
    *,
    reported: Mapping[str, str] | None = None,
    unit: str = "points",
    digits: int = 1,
) -> pd.DataFrame:
    """One row a claim: what is claimed, what was reported, the difference measured, the verdict.

    Parameters
    ----------
    judged : sequence of Judged
    reported : mapping of str, optional
        By the claim's name: what its source reports, in words.
    unit : {"points", "value"}
        Differences of fractions in percentage points, or values as they are.
    digits : int

    Returns
    -------
    DataFrame
        ``claim``, with its margin where it says that there is no difference; ``source``;
        ``reported`` (where given); ``measured`` with its interval; ``p`` (Holm); ``could have
        shown`` (the smallest difference found with power 0.8); ``verdict``.

    Raises
    ------
    ValueError
        For an unknown unit, or a report on a claim that is not among those judged.
    """
    if unit not in UNITS:
        raise ValueError(f"unit {unit!r} is unknown: use one of {', '.join(UNITS)}")
    names = [one.claim.name for one in judged]
    if strangers := sorted(set(reported or ()) - set(names)):
        raise ValueError(
            f"reported {strangers} is on no claim that was judged ({', '.join(names)})"
        )
    scale = UNITS[unit]
    rows = []
    for one in judged:
        seen = one.comparison
        low, high = scale * seen.low, scale * seen.high
        rows.append(
            {
                "claim": _statement(one.claim, scale, digits),
                "source": one.claim.source,
                **({"reported": reported.get(one.claim.name, "–")} if reported else {}),
                "measured": f"{scale * seen.difference:+.{digits}f} "
                f"[{low:+.{digits}f}, {high:+.{digits}f}]",
                "p": _p_text(one.p_value),
                "could have shown": f"{scale * seen.smallest_detectable:.{digits}f}",
                "verdict": one.verdict,
            }
        )
    return pd.DataFrame(rows)


def _statement(claim: Claim, scale: float, digits: int) -> str:
    limit = f" (within ±{scale * claim.margin:.{digits}f})" if claim.expects == "same" else ""
    return claim.statement + limit


def _p_text(p_value: float | None) -> str:
    if p_value is None:
        return "–"
    return f"{p_value:.3f}" if p_value >= 0.001 else "< 0.001"


def claim_records(
    judged: Sequence[Judged],
    *,
    metric: str,
    lesson: str,
    run: str,
    data: str,
    direction: str = "",
    split: str = "test",
    seed: int = 42,
) -> list[Record]:
    """Two records a claim, the difference and the p-value; ``model`` is ``claim: <name>``.

    The p-value is the raw one: Holm's depends on what else is shown.
    """
    return [
        record
        for one in judged
        for record in comparison_records(
            one.comparison,
            metric=metric,
            than="its other side",
            lesson=lesson,
            run=run,
            model=f"claim: {one.claim.name}",
            data=data,
            direction=direction,
            split=split,
            seed=seed,
        )
    ]
