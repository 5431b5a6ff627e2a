"""Numbers of instance retrieval as tables and flat records, beside what was reported elsewhere."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.first.evaluation.calibration import Calibration
from helpers.first.evaluation.chance import Gallery, fixed_by, galleries_of
from helpers.first.evaluation.claims import Judged, judge_claims
from helpers.first.evaluation.comparison import Comparison, holm, paired_comparison
from helpers.first.evaluation.instances import METRICS
from helpers.first.evaluation.intervals import Interval, bootstrap_interval
from helpers.first.models.evaluate import DIRECTIONS
from helpers.first.report.results import DIRECTION_NAMES, Record
from helpers.first.report.studies import MINUS, P_UNIT, against, value_records
from helpers.first.studies.instances import LOSSES, NAMES, Results, arm_name, means, size_claims
from helpers.first.training.instance_results import REPORTED
from helpers.first.training.instance_runs import Measured

Values = Mapping[str, np.ndarray]


def interval_of(values: np.ndarray, groups: Sequence[str], *, seed: int = 42) -> Interval:
    """The mean of values in [0, 1] with its interval over classes."""
    return bootstrap_interval(values, groups, bounds=(0.0, 1.0), seed=seed)


def curves_of(
    results: Results, sizes: Sequence[int], groups: Sequence[str], metric: str
) -> dict[str, dict[int, Interval]]:
    """Loss to batch size to interval, text to image, as ``batch_curves`` takes it."""
    values = means(results, "text_to_image", metric)
    return {
        NAMES[loss]: {size: interval_of(values[arm_name(loss, size)], groups) for size in sizes}
        for loss in LOSSES
    }


def metric_table(
    before: Measured, after: Mapping[str, Values], *, alpha: float = 0.05
) -> pd.DataFrame:
    """Zero-shot and trained, each metric of each direction with its interval and the difference.

    Verdicts follow from the p-values after Holm's correction over all rows. ``after`` maps a
    direction to metric to the values of the same queries, a mean over seeds.
    """
    rows, found, galleries = [], [], _galleries(before)
    for way, by_metric in after.items():
        groups, gallery = before.groups(way), galleries[way]
        for metric, values in by_metric.items():
            row = {"direction": DIRECTION_NAMES[way], "metric": metric}
            rows.append(row)
            if reason := fixed_by(metric, gallery.size):
                row |= dict.fromkeys(("zero-shot, %", "trained, %", "verdict"), f"n/a ({reason})")
                continue
            was, now = (interval_of(v, groups) for v in (before.values[way][metric], values))
            c = paired_comparison(values, before.values[way][metric], groups)
            found.append((row, c))
            chance = gallery.chance(metric)
            row |= {
                "chance, %": "" if chance is None else f"{100 * chance:.1f}",
                "zero-shot, %": _percent(was),
                "trained, %": _percent(now),
                "difference, points": c.text(),
            }
    for (row, c), p in zip(found, holm([c.p_value for _, c in found]), strict=True):
        row["p (Holm)"] = round(float(p), 4)
        row["verdict"] = "not distinguishable" if p > alpha else (
            "better" if c.difference > 0 else "worse")  # fmt: skip
    return pd.DataFrame(rows)


def reported_table(before: Measured, after: Values) -> pd.DataFrame:
    """What was reported of SigLIP on Stanford Cars beside what was measured, text to image."""
    groups, rows = before.groups("text_to_image"), []
    for metric in METRICS:
        old, new = REPORTED[metric]
        was, now = (
            interval_of(v, groups) for v in (before.values["text_to_image"][metric], after[metric])
        )
        rows.append(
            {
                "metric": metric,
                "reported, %": f"{100 * old:.2f} -> {100 * new:.2f}",
                "measured before, %": _percent(was),
                "measured after, %": _percent(now),
            }
        )
    return pd.DataFrame(rows)


def calibration_table(found: Mapping[str, Calibration]) -> pd.DataFrame:
    """A row a model: error with interval, mean probability, share of matches, log loss."""
    rows = {
        name: {
            "calibration error": f"{c.error.value:.4f} [{c.error.low:.4f}, {c.error.high:.4f}]",
            "mean probability": f"{c.predicted:.5f}",
            "share of matches": f"{c.observed:.5f}",
            "log loss, nats": f"{c.log_loss:.4f}",
        }
        for name, c in found.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def measured_records(
    before: Measured, after: Mapping[str, Values], *, model: str, than: str = "zero-shot", **about
) -> list[Record]:
    """Values of both with intervals, and their paired differences; ``about``: lesson, run, data."""
    records, galleries = [], _galleries(before)
    for way, by_metric in after.items():
        for metric, values in by_metric.items():
            both = {than: before.values[way][metric], model: values}
            asked = {"gallery": galleries[way], "direction": way, **about}
            records += value_records(both, metric, before.groups(way), **asked)
            records += against(both, than, metric, before.groups(way), **asked)
    return records


def arm_records(
    results: Results,
    groups: Sequence[str],
    metric: str,
    *,
    gallery: Gallery,
    prefix: str = "",
    **about,
) -> list[Record]:
    """The mean of every arm, text to image; ``prefix`` goes before the arm's name."""
    values = means(results, "text_to_image", metric)
    named = {f"{prefix}{name}": found for name, found in values.items()}
    about |= {"gallery": gallery, "direction": "text_to_image"}
    return value_records(named, metric, groups, **about)


def _galleries(before: Measured) -> dict[str, Gallery]:
    return galleries_of({way: before.groups(way) for way in DIRECTIONS})


def curves_from(
    records: Sequence[Record], metric: str, *, prefix: str
) -> dict[str, dict[int, Interval]]:
    """``curves_of`` from committed records, whose models are named ``prefix`` + arm."""
    found: dict[str, dict[int, Interval]] = {}
    for r in records:
        if r.metric != metric or not r.model.startswith(prefix) or r.low is None:
            continue
        loss, _, size = r.model.removeprefix(prefix).partition(", ")
        if size.isdigit():
            found.setdefault(loss, {})[int(size)] = Interval(r.value, r.low, r.high, r.n, 0, 0.95)
    return found


def judged_from(records: Sequence[Record], budget: str) -> list[Judged]:
    """The claims on batch sizes judged again from committed records; empty where there are none.

    ``budget`` is what their data's name ends in and their arms' names start with, ``equal steps``
    say. What the records do not hold (``smallest_detectable``) is NaN.
    """
    mine = [r for r in records if r.model.startswith("claim: ") and r.data.endswith(f", {budget}")]
    tests = {(r.model, r.metric): r.value for r in mine if r.unit == P_UNIT}
    seen = {r.model: r for r in mine if r.unit != P_UNIT and MINUS in r.metric}
    curves = curves_from(records, "hit@5", prefix=f"{budget}: ")
    sizes = {size for by_size in curves.values() for size in by_size}
    pairs = []
    for claim in size_claims(min(sizes), max(sizes)) if sizes else ():
        if r := seen.get(f"claim: {claim.name}"):
            low, high = (np.nan if end is None else end for end in (r.low, r.high))
            p = tests[r.model, f"p of {r.metric}"]
            pairs.append((claim, Comparison(r.value, low, high, p, r.n, 0, np.nan, "")))
    return judge_claims(pairs) if pairs else []


def calibration_records(found: Mapping[str, Calibration], **about) -> list[Record]:
    """Calibration error with its interval, and mean probability, of every model."""
    rest = {"split": "test", "direction": "", **about}
    records = []
    for name, c in found.items():
        e = c.error
        records += [
            Record(model=name, metric="calibration_error", value=e.value, low=e.low, high=e.high,
                   n=e.n, **rest),
            Record(model=name, metric="mean_probability", value=c.predicted, n=e.n, **rest),
        ]  # fmt: skip
    return records


def _percent(i: Interval) -> str:
    return f"{100 * i.value:.1f} [{100 * i.low:.1f}, {100 * i.high:.1f}]"
