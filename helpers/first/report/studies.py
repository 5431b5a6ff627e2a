"""Paired comparisons as records and back, and the committed records of the ``study`` profile.

A comparison is two records: the difference with its interval, and the p-value of its test. Verdicts
are drawn from the p-values of all comparisons that are shown together, after Holm's correction.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import paths
from helpers.first.evaluation.chance import Gallery, fixed_by
from helpers.first.evaluation.comparison import (
    Comparison,
    holm,
    not_compared,
    paired_comparison,
)
from helpers.first.report.results import (
    DIRECTION_NAMES,
    NOT_MEASURED,
    Record,
    read_results,
    shown_value,
)
from helpers.first.studies.arms import interval

STUDY = "study"
P_UNIT = "p"
MINUS = " minus "
EDITED = ("world:kitchen", "world:garage")  # whose captions or images changed after the first runs
FROZEN = "tiny/frozen.json"  # what a run records as an input since then


def study_records(lesson: str) -> list[Record]:
    """The committed records of a lesson's study: ``reports/study/<lesson>/results.json``.

    Empty where the study has not been run. A line is printed above what the lesson makes of them
    where they were computed before captions and images changed.
    """
    path = paths.reports() / STUDY / lesson / "results.json"
    records = read_results(path) if path.is_file() else []
    if note := _first_edition_note(records, path.parent / "run.json"):
        print(note)
    return records


def _first_edition_note(records: Iterable[Record], run: Path) -> str:
    """That records were computed on the first edition of a data set; empty where they were not."""
    edited = {name for r in records for name in EDITED if r.data.startswith(name)}
    if not edited or not run.is_file():
        return ""
    if FROZEN in json.loads(run.read_text(encoding="utf-8"))["fingerprint"]["inputs"]:
        return ""
    return (
        f"The committed results below were computed on the first edition of "
        f"{' and '.join(sorted(edited))}, before captions were corrected and cars drawn anew."
    )


def comparison_records(
    comparison: Comparison,
    *,
    metric: str,
    than: str,
    lesson: str,
    run: str,
    model: str,
    data: str,
    direction: str,
    split: str = "test",
    seed: int = 42,
) -> list[Record]:
    """The two records of ``model`` compared with ``than`` by ``metric``.

    One, without a value, where nothing could be compared: there is no test.
    """
    name = f"{metric}{MINUS}{than}"
    about = {
        "lesson": lesson,
        "run": run,
        "model": model,
        "data": data,
        "split": split,
        "direction": direction,
        "n": comparison.n,
        "seed": seed,
    }
    if comparison.reason:
        return [
            Record(**about, metric=name, value=None, flag=NOT_MEASURED, reason=comparison.reason)
        ]
    bounded = bool(np.isfinite([comparison.low, comparison.high]).all())
    low, high = (comparison.low, comparison.high) if bounded else (None, None)
    return [
        Record(**about, metric=name, value=comparison.difference, low=low, high=high),
        Record(**about, metric=f"p of {name}", value=comparison.p_value, unit=P_UNIT),
    ]


def value_records(
    values: Mapping[str, np.ndarray],
    metric: str,
    groups: Sequence[str],
    *,
    gallery: Gallery,
    lesson: str,
    run: str,
    data: str,
    direction: str,
    seed: int = 42,
) -> list[Record]:
    """The mean of each model's values by query, with its interval over recipes and its chance level.

    Without a value where the metric says nothing on the ``gallery``.
    """
    about = {"lesson": lesson, "run": run, "data": data, "split": "test", "direction": direction}
    about |= {"metric": metric, "seed": seed}
    reason = fixed_by(metric, gallery.size)
    records = []
    for model, found in values.items():
        if reason:
            nothing = {"value": None, "flag": NOT_MEASURED, "reason": reason, "n": len(found)}
            records.append(Record(model=model, **about, **nothing))
            continue
        i = interval(found, metric, groups, seed=seed)
        measured = {"value": i.value, "low": i.low, "high": i.high, "n": i.n}
        records.append(Record(model=model, **about, **measured, chance=gallery.chance(metric)))
    return records


def against(
    values: Mapping[str, np.ndarray],
    than: str,
    metric: str,
    groups: Sequence[str],
    *,
    gallery: Gallery,
    called: str = "",
    seed: int = 42,
    **about: str,
) -> list[Record]:
    """Every other model compared with ``than``, query by query; see :func:`comparison_records`.

    Where the metric says nothing on the ``gallery`` no test is made. ``called`` is what the records
    call ``than``, where that is another name.
    """
    records = []
    reason = fixed_by(metric, gallery.size)
    for model, found in values.items():
        if model != than:
            compared = (
                not_compared(len(found), groups, reason)
                if reason
                else paired_comparison(found, values[than], groups, seed=seed)
            )
            records += comparison_records(
                compared, metric=metric, than=called or than, model=model, seed=seed, **about
            )
    return records


def comparisons_of(
    records: Iterable[Record], *, alpha: float = 0.05
) -> dict[str, dict[str, Comparison]]:
    """Direction to model to comparison, as ``difference_plot`` takes it.

    ``p_value`` and ``verdict`` are those after Holm's correction over all of them; what the records
    do not hold (``n_groups``, ``smallest_detectable``) is 0 and NaN.

    Raises
    ------
    ValueError
        If a difference has no p-value or is no fraction, or if metrics or data sets are mixed.
    """
    records = list(records)
    differences = [r for r in records if MINUS in r.metric and r.unit != P_UNIT]
    tested = [r for r in differences if r.measured]
    for what in ("metric", "data", "split", "seed"):
        if len(several := sorted({str(getattr(r, what)) for r in differences})) > 1:
            raise ValueError(f"comparisons of several kinds ({what} {several}): choose one")
    if others := {r.unit for r in differences} - {"fraction"}:
        raise ValueError(
            f"differences in {sorted(others)}: only fractions, more of which is better"
        )
    tests = {(r.model, r.direction, r.metric): r.value for r in records if r.unit == P_UNIT}
    keys = [(r.model, r.direction, f"p of {r.metric}") for r in tested]
    if missing := [key for key in keys if key not in tests]:
        raise ValueError(f"no p-value among the records for {missing[0]}")
    adjusted = iter(holm([tests[key] for key in keys]) if keys else ())
    found: dict[str, dict[str, Comparison]] = {}
    for record in differences:
        if not record.measured:
            nothing = not_compared(record.n, (), record.reason)
            found.setdefault(record.direction, {})[record.model] = nothing
            continue
        p = next(adjusted)
        better = "better" if record.value > 0 else "worse"
        low = np.nan if record.low is None else record.low
        high = np.nan if record.high is None else record.high
        found.setdefault(record.direction, {})[record.model] = Comparison(
            record.value, low, high, float(p), record.n, 0, np.nan,
            better if p <= alpha else "not distinguishable",
        )  # fmt: skip
    return found


def comparison_table(records: Iterable[Record]) -> pd.DataFrame:
    """A row a comparison: model, direction, difference in points, p after Holm, verdict."""
    rows = [
        {
            "model": model,
            "direction": DIRECTION_NAMES[direction],
            "difference, points": c.text(),
            "p (Holm)": round(c.p_value, 4),
            "verdict": c.verdict,
        }
        for direction, by_model in comparisons_of(records).items()
        for model, c in by_model.items()
    ]
    columns = ["model", "direction", "difference, points", "p (Holm)", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def beside_reported(
    records: Iterable[Record],
    reported: Mapping[str, Mapping[str, Sequence[float]]],
    models: Sequence[str],
) -> pd.DataFrame:
    """A row a metric and direction: what was reported of each model beside what was measured.

    Parameters
    ----------
    records : iterable of Record
        Values of the ``models`` by metric and direction.
    reported : mapping of direction to (mapping of metric to values)
        One value a model, in their order: on other data, so that only the form compares.
    models : sequence of str
    """
    found = {(r.direction, r.metric, r.model): r for r in records}
    rows = []
    for way, metrics in reported.items():
        for metric, values in metrics.items():
            here = [found[way, metric, model] for model in models]
            row = {"direction": DIRECTION_NAMES[way], "metric": metric}
            row |= {f"{m}, reported": f"{v:.3f}" for m, v in zip(models, values, strict=True)}
            row |= {f"{m}, here": shown_value(r) for m, r in zip(models, here, strict=True)}
            rows.append(row | {"chance, here": here[0].chance})
    return pd.DataFrame(rows)


def mean_table(records: Sequence[Record], metric: str) -> pd.DataFrame:
    """A row a model: a metric in both directions with its interval, and its chance level."""
    rows: dict[str, dict[str, str]] = {}
    for r in records:
        if r.metric == metric:
            row = rows.setdefault(r.model, {"model": r.model})
            row[f"{metric}, {DIRECTION_NAMES[r.direction]}"] = shown_value(r)
            if r.chance is not None:
                row[f"chance, {DIRECTION_NAMES[r.direction]}"] = f"{r.chance:.3f}"
    return pd.DataFrame(list(rows.values()))
