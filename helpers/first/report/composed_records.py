"""Records of pretraining, hops and texts: values, paired comparisons, and the tables from them.

Every comparison goes into the records as a difference and a raw p-value; verdicts follow from all
that are shown together. What is compared stands in three fields: ``model``, ``metric`` ("hit@10
minus none") and ``data`` ("world:kitchen, 10 % annotated").
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.first.evaluation.chance import Gallery
from helpers.first.evaluation.comparison import holm, paired_comparison
from helpers.first.report.results import Record, shown_value
from helpers.first.report.studies import MINUS, P_UNIT, against, comparison_records, value_records
from helpers.first.studies.composed import Found, hits
from helpers.first.studies.text_audit import Correlation

METRIC = "hit@10"
PRETRAINED, NONE = "pretrained", "none"


def grid_records(
    grid: Mapping[tuple[str, str], Mapping[str, Sequence[Found]]],
    groups: Sequence[str],
    *,
    gallery: Gallery,
    data: str,
    **about: str | int,
) -> list[Record]:
    """hit@10 with and without pretraining for each model and share, and their differences."""
    records = []
    about |= {"gallery": gallery, "direction": ""}
    for (model, share), ways in grid.items():
        where = f"{data}, {share} annotated"
        values = {way: hits(runs) for way, runs in ways.items()}
        named = {f"{model}, {way}": found for way, found in values.items()}
        records += value_records(named, METRIC, groups, data=where, **about)
        pair = {f"{model}, {PRETRAINED}": values[PRETRAINED], NONE: values[NONE]}
        records += against(pair, NONE, METRIC, groups, data=where, **about)
    return records


def way_records(
    ways: Mapping[str, Sequence[Found]],
    than: str,
    groups: Sequence[str],
    *,
    gallery: Gallery,
    data: str,
    test: str = "test",
    **about: str | int,
) -> list[Record]:
    """hit@10 of several ways to train, and the difference of each to one of them."""
    values = {way: hits(runs, test=test) for way, runs in ways.items()}
    about |= {"gallery": gallery, "data": data, "direction": ""}
    records = value_records(values, METRIC, groups, **about)
    if len(values) > 1:
        records += against(values, than, METRIC, groups, **about)
    return records


def audit_records(
    audits: Mapping[str, pd.DataFrame],
    summaries: Mapping[str, pd.DataFrame],
    *,
    data: str,
    than: str = "",
    **about: str | int,
) -> list[Record]:
    """The measures of each writer's texts; ROUGE and METEOR also as paired differences.

    Parameters
    ----------
    audits : mapping of writer to frame
        Of ``audit_texts``, on the same pairs in the same order.
    summaries : mapping of writer to frame
        Of ``audit_summary``.
    than : str
        The writer that the others are compared with; empty: none.
    """
    records = []
    for writer, summary in summaries.items():
        for row in summary.itertuples():
            records.append(
                Record(
                    model=f"texts: {writer}", data=data, split="validation", direction="",
                    metric=row.measure, value=row.value, low=row.low, high=row.high, n=row.n,
                    **about,
                )
            )  # fmt: skip
    for writer, audit in audits.items():
        if not than or writer == than:
            continue
        for measure in ("rouge_1", "rouge_l", "meteor"):
            a, b = audit[measure].to_numpy(float), audits[than][measure].to_numpy(float)
            both = np.isfinite(a) & np.isfinite(b)
            if both.sum() < 2:
                continue
            seen = paired_comparison(a[both], b[both], np.flatnonzero(both))
            records += comparison_records(
                seen, metric=measure, than=f"texts: {than}", model=f"texts: {writer}", data=data,
                direction="", split="validation", **about,
            )  # fmt: skip
    return records


def number_records(
    values: Mapping[str, float | Correlation],
    *,
    data: str,
    metric: str,
    unit: str,
    split: str = "train",
    n: int = 0,
    **about: str | int,
) -> list[Record]:
    """Numbers by name that are no hits: counts and shares as they are, correlations with ends.

    ``n`` is how many queries or texts are behind each; 0 for counts. A correlation has its own.
    What could not be measured (NaN) makes no record.
    """
    records = []
    for name, value in values.items():
        ends = {"n": n}
        if isinstance(value, Correlation):
            ends = {"low": value.low, "high": value.high, "n": value.n}
            value = value.rho
        if not np.isfinite(value):  # a correlation of constants: there is nothing to record
            continue
        records.append(
            Record(
                model=name, data=data, split=split, direction="", metric=metric,
                value=float(value), unit=unit, **ends, **about,
            )
        )  # fmt: skip
    return records


def plain_table(records: Sequence[Record]) -> pd.DataFrame:
    """A row a number of :func:`number_records`: what it is of, and its value."""
    shown = [r for r in records if r.unit not in ("fraction", P_UNIT)]
    rows = [
        {"metric": r.metric, "of": r.model, "value": f"{r.value:,.4g}" + _plain_ends(r)}
        for r in shown
    ]
    return pd.DataFrame(rows, columns=["metric", "of", "value"])


def grid_lines(
    records: Sequence[Record], shares: Mapping[str, int]
) -> dict[str, dict[str, list[tuple[float, Record]]]]:
    """Model to line (``none``, ``pretrained``) to points, as ``amount_plot`` takes them."""
    panels: dict[str, dict[str, list[tuple[float, Record]]]] = {}
    for r in records:
        model, _, way = r.model.rpartition(", ")
        share = r.data.rpartition(", ")[2].removesuffix(" annotated")
        if r.metric == METRIC and way in (NONE, PRETRAINED) and share in shares:
            lines = panels.setdefault(model, {})
            lines.setdefault(way, []).append((float(shares[share]), r))
    for lines in panels.values():
        for line in lines.values():
            line.sort(key=lambda point: point[0])
    return panels


def shares_in(records: Sequence[Record]) -> dict[str, float]:
    """The shares that records of a grid speak of, in percent: ``{"10 %": 10}``."""
    found = {
        r.data.rpartition(", ")[2].removesuffix(" annotated")
        for r in records
        if r.data.endswith(" % annotated")
    }
    return {share: float(share.removesuffix(" %")) for share in sorted(found, key=len)}


def difference_table(records: Sequence[Record]) -> pd.DataFrame:
    """A row a comparison, of any kinds: difference with its interval, Holm's p over the table.

    A column ``metric`` tells rows apart where not all are of one metric.
    """
    tests = {(r.model, r.data, r.metric): r.value for r in records if r.unit == P_UNIT}
    shown = [r for r in records if MINUS in r.metric and r.unit != P_UNIT]
    keys = [(r.model, r.data, f"p of {r.metric}") for r in shown if r.measured]
    if missing := [key for key in keys if key not in tests]:
        raise ValueError(f"no p-value among the records for {missing[0]}")
    adjusted = dict(zip(keys, holm([tests[key] for key in keys]) if keys else (), strict=True))
    columns = ["data", "metric", "model", "minus", "points", "p (Holm)", "verdict"]
    rows = [
        {
            "data": r.data.partition(", ")[2] or r.data,
            "metric": r.metric.partition(MINUS)[0].replace("_", " "),
            "model": r.model,
            "minus": r.metric.partition(MINUS)[2],
            "points": shown_value(r, scale=100, form="+.1f"),
            **_tested(r, adjusted.get((r.model, r.data, f"p of {r.metric}"))),
        }
        for r in shown
    ]
    table = pd.DataFrame(rows, columns=columns)
    return table if table["metric"].nunique() > 1 else table.drop(columns="metric")


def _plain_ends(r: Record) -> str:
    return "" if r.low is None else f" [{r.low:.2f}, {r.high:.2f}]"


def _tested(r: Record, p: float | None) -> dict[str, object]:
    """The columns that a test fills; where there is none, the reason."""
    if p is None or r.value is None:
        return {"p (Holm)": None, "verdict": shown_value(r)}
    better = "better" if r.value > 0 else "worse"
    verdict = "not distinguishable" if p > 0.05 or r.value == 0 else better
    return {"p (Holm)": round(float(p), 4), "verdict": verdict}
