"""What the original observed on its eight rows, as claims that can be supported or contradicted.

Each is tied to rows that differ in what it names. Those with a direction are tested together; the
margin of the claim of no difference, one point, was set before any row was trained.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from helpers.first.evaluation.claims import Claim, Judged, judge_claims
from helpers.first.evaluation.comparison import Comparison, paired_comparison
from helpers.first.evaluation.power import NeededSize, queries_needed
from helpers.first.evaluation.resampling import group_sums
from helpers.first.studies.placement import ORIGINAL

SOURCE = "the original's eight rows"
MARGIN = 0.01
TRENDS = {
    "vision layers": {2: "r16 v2 heads", 4: "r16 v4 heads", 6: "r16 v6 heads"},
    "rank": {8: "r8 v2 heads", 16: "r16 v2 heads", 32: "r32 a32 v2 heads"},
}


@dataclass(frozen=True)
class Observation:
    """A claim on rows: ``a`` minus ``b``, or a turn from the first over the second to the third."""

    claim: Claim
    rows: tuple[str, ...]


OBSERVATIONS = (
    Observation(
        Claim("heads", "Retraining the heads helps.", SOURCE),
        ("r8 v2 heads", "r8 v2"),
    ),
    Observation(
        Claim("modules", "Queries and values alone are better than all of attention.", SOURCE),
        ("r16 v4 heads", "r16 v4 heads qkvo"),
    ),
    Observation(
        Claim("text", "Adapting text layers too makes no difference that matters.",
              SOURCE, "same", MARGIN),
        ("r16 v2 t2 heads", "r16 v2 heads"),
    ),
    Observation(
        Claim("rank", "Twice the rank, and twice the alpha, helps.", SOURCE),
        ("r16 v2 heads", "r8 v2 heads"),
    ),
    Observation(
        Claim("shallow", "The last two vision layers are better than the last six.", SOURCE),
        ("r16 v2 heads", "r16 v6 heads"),
    ),
    Observation(
        Claim("turn", "The score does not keep one direction as more is trained: it turns.",
              SOURCE),
        ("r8 v2 heads", "r32 a32 v2 heads", "r16 v4 heads qkvo"),
    ),
)  # fmt: skip


def turn(first, middle, last, groups, **settings) -> Comparison:
    """Whether a trend over three models turns, as one comparison.

    Both of its steps have to be shown, in opposite directions: the comparison is that of the less
    certain step, counted positive where it goes against the other one, with the larger of the two
    p-values (the intersection-union test of Berger, "Multiparameter hypothesis testing and
    acceptance sampling", 1982). A difference below zero that is shown is a trend of one direction.

    Parameters
    ----------
    first, middle, last : (n,) float
        Values on the same queries.
    groups : (n,) labels, the recipe of each query
    **settings
        Of :func:`helpers.first.evaluation.comparison.paired_comparison`.

    Examples
    --------
    >>> turn([0, 0], [1, 1], [0, 0], ["a", "b"]).difference
    1.0
    """
    steps = [
        paired_comparison(middle, first, groups, **settings),
        paired_comparison(last, middle, groups, **settings),
    ]
    steps.sort(key=lambda step: (step.p_value, -abs(step.difference)))
    certain, other = steps
    if certain.difference > 0:  # the other step has to go down
        low, high = -other.high, -other.low
        other = replace(other, difference=-other.difference + 0.0, low=low, high=high)
    shown = other.p_value <= settings.get("alpha", 0.05) and other.difference != 0
    better = "better" if other.difference > 0 else "worse"
    return replace(other, verdict=better if shown else "not distinguishable")


def observed(values: Mapping[str, np.ndarray], groups: Sequence[str]) -> list[Judged]:
    """Judge the observations whose rows are there, together.

    Parameters
    ----------
    values : mapping of row to (n,) float
        Score values by query, averaged over seeds.
    groups : (n,) labels, the recipe of each query
    """
    pairs = []
    for one in OBSERVATIONS:
        if set(one.rows) <= set(values):
            compare = turn if len(one.rows) == 3 else paired_comparison
            pairs.append((one.claim, compare(*(values[row] for row in one.rows), groups)))
    return judge_claims(pairs)


def left_out(rows: Sequence[str]) -> list[str]:
    """The observations that cannot be judged without further rows, as sentences.

    >>> left_out(["r8 v2"])[0]
    "heads: needs 'r8 v2 heads'"
    """
    missing = {one.claim.name: set(one.rows) - set(rows) for one in OBSERVATIONS}
    return [
        f"{name}: needs {', '.join(map(repr, sorted(rows)))}"
        for name, rows in missing.items()
        if rows
    ]


def reported(one: Observation) -> float:
    """The difference that the original's own numbers show; of a turn, its smaller step.

    >>> round(reported(OBSERVATIONS[0]), 5)
    0.00921
    """
    scores = [ORIGINAL[row].score for row in one.rows]
    if len(scores) == 2:
        return scores[0] - scores[1]
    up, down = scores[1] - scores[0], scores[2] - scores[1]
    return math.copysign(min(abs(up), abs(down)), -up * down)


def needed_to_show(
    values: Mapping[str, np.ndarray], groups: Sequence[str]
) -> dict[str, tuple[float, NeededSize | None]]:
    """How large a test set the original's differences need, judged by the spread seen here.

    Returns
    -------
    dict
        The claim's name to the reported difference of its two rows and the size that shows it, None
        where all recipes differ alike, so that there is no spread to plan with; for a turn, of the
        smaller step.
    """
    found = {}
    for one in OBSERVATIONS:
        if set(one.rows) <= set(values):
            a, b = one.rows[:2]
            wanted = abs(ORIGINAL[a].score - ORIGINAL[b].score)
            differences = values[a] - values[b]
            agree = group_sums(differences, groups).agree
            size = None if agree else queries_needed(wanted, differences, groups)
            found[one.claim.name] = (wanted, size)
    return found
