"""C2 and C3 judged at every number of recipes, beside what was reported."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.first.evaluation.chance import Gallery
from helpers.first.evaluation.claims import Claim, Judged, judge_claims
from helpers.first.evaluation.comparison import Comparison
from helpers.first.report.adapters import arm_and_size, labeled
from helpers.first.report.results import DIRECTION_NAMES, Record
from helpers.first.report.studies import P_UNIT, against, value_records
from helpers.first.studies.adapters import mean_values
from helpers.first.studies.arms import query_values
from helpers.first.training.head_runs import HeadRun

METRICS = ("hit@1", "hit@5", "hit@10", "mrr")
# What was reported for residual heads on a frozen CLIP: fractions.
REPORTED = {"zero-shot, hit@10": 0.587, "residual heads, hit@10": 0.697}
REPORTED_SOURCE = "reported for products"
CLAIMS = {
    "C2": ("tower, margin", "lower", "a naive tower with a margin loss is worse than zero-shot"),
    "C3": ("residual, InfoNCE", "higher", "residual heads with InfoNCE are better than zero-shot"),
}


def judge_sizes(records: Iterable[Record], *, claims: Sequence[str] = ("C2", "C3")) -> list[Judged]:
    """C2 and C3 at every number of recipes and in both directions, judged as one family.

    Parameters
    ----------
    records : iterable of Record
        Differences to zero-shot and their raw p-values, as ``report.studies.against`` gives them,
        of models named by :func:`labeled`; other arms are passed over.

    Raises
    ------
    ValueError
        If a difference has no p-value.
    """
    records = list(records)
    tests = {(r.model, r.direction, r.metric): r.value for r in records if r.unit == P_UNIT}
    pairs = []
    for name in claims:
        arm, way, said = CLAIMS[name]
        for r in records:
            if r.unit == P_UNIT or " minus " not in r.metric or arm_and_size(r.model)[0] != arm:
                continue
            if not r.measured:
                continue
            if (r.model, r.direction, f"p of {r.metric}") not in tests:
                raise ValueError(f"no p-value among the records for {r.model}, {r.metric}")
            p = tests[r.model, r.direction, f"p of {r.metric}"]
            full = f"{name}, {arm_and_size(r.model)[1]}, {r.direction}"
            seen = Comparison(r.value, _or_nan(r.low), _or_nan(r.high), p, r.n, 0, np.nan, "")
            pairs.append((Claim(full, said, REPORTED_SOURCE, way), seen))
    return judge_claims(pairs)


def claims_by_size(judged: Sequence[Judged]) -> pd.DataFrame:
    """A row a claim and direction, a column a number of recipes: difference and verdict."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for one in judged:
        name, size, direction = one.claim.name.split(", ")
        start = {
            "claim": f"{name}: {one.claim.statement}", "direction": DIRECTION_NAMES[direction]
        }  # fmt: skip
        row = rows.setdefault((name, direction), start)
        c = one.comparison
        row[f"{size} recipes"] = (
            f"{100 * c.difference:+.1f} [{100 * c.low:+.1f}, {100 * c.high:+.1f}] {one.verdict}"
        )
    return pd.DataFrame(list(rows.values()))


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def size_records(
    runs: Mapping[int, Mapping[str, Sequence[HeadRun]]],
    zero_shot: Mapping[str, np.ndarray],
    groups: Mapping[str, Sequence[str]],
    *,
    galleries: Mapping[str, Gallery],
    kept: str = "best",
    metrics: Sequence[str] = ("hit@10",),
    **about: str | int,
) -> list[Record]:
    """Every arm at every size: its values, and its paired differences to zero-shot.

    Parameters
    ----------
    runs : mapping of size to (mapping of arm to runs)
        As :func:`helpers.first.studies.adapters.run_sizes` gives them; seeds are averaged by query.
    zero_shot : mapping of direction to (q,) ranks of the first hit
    groups : mapping of direction to (q,) recipe of each query
    galleries : mapping of direction to Gallery
    kept : str
        ``best`` or ``last`` weights; the arms of the latter are called "..., fixed steps".
    metrics : sequence of str
    **about
        ``lesson``, ``run``, ``data`` and ``seed`` of the records.
    """
    records = []
    ending = "" if kept == "best" else ", fixed steps"
    for way, ids in groups.items():
        for metric in metrics:
            values = {
                labeled(arm + ending, n): mean_values(done, way, metric, kept=kept)
                for n, arms in runs.items()
                for arm, done in arms.items()
            }
            records += value_records(
                values, metric, ids, gallery=galleries[way], direction=way, **about
            )
            base = {"M0": query_values(np.asarray(zero_shot[way]), metric)}
            records += against(
                {**values, **base}, "M0", metric, ids, gallery=galleries[way], direction=way,
                **about,
            )  # fmt: skip
    return records
