"""What lesson 08 measures beside the paired comparisons, as records and as tables."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.first.evaluation.comparison import Comparison
from helpers.first.evaluation.costs import cost_of
from helpers.first.report.adapters import arm_and_size, labeled
from helpers.first.report.results import DIRECTION_NAMES, Record
from helpers.first.report.studies import comparisons_of
from helpers.first.studies.adapters import crossing

UNITS = {"gap": "cosine", "alignment": "squared distance", "uniformity, pictures": "log",
         "uniformity, captions": "log"}  # fmt: skip

# How to read the last row of the square.
INTERACTION = (
    "interaction: half of what InfoNCE gains a tower more than a residual head; below 0, it gains "
    "the residual head more"
)


def effect_records(
    effects: Mapping[str, Comparison], n: int, *, direction: str, **about: str | int
) -> list[Record]:
    """The 2 x 2 at a size as records, on hit@10; see ``studies.adapters.factorial``."""
    return [
        Record(
            **about, model=labeled(effect, n), split="test", direction=direction,
            metric="hit@10 effect", value=c.difference, low=c.low, high=c.high, n=c.n,
        )
        for effect, c in effects.items()
    ]  # fmt: skip


def effects_table(records: Iterable[Record]) -> pd.DataFrame:
    """A row an effect and direction, a column a size, in points."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for r in records:
        if r.metric == "hit@10 effect":
            effect, n = arm_and_size(r.model)
            way = DIRECTION_NAMES[r.direction]
            row = rows.setdefault((effect, way), {"effect": effect, "direction": way})
            row[f"{n} recipes"] = f"{100 * r.value:+.1f} [{100 * r.low:+.1f}, {100 * r.high:+.1f}]"
    return pd.DataFrame(list(rows.values()))


def score_records(
    panels: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]], **about: str | int
) -> list[Record]:
    """The curves over settings as records: the mean over seeds, on validation."""
    return [
        Record(
            **about, model=f"{series}, {setting} {x:g}", split="validation", direction="",
            metric="validation score", value=float(np.mean(found)), n=len(found),
        )
        for setting, curves in panels.items()
        for series, points in curves.items()
        for x, found in points.items()
    ]  # fmt: skip


def settings_table(records: Iterable[Record]) -> pd.DataFrame:
    """The curves of :func:`score_records` as a table: a row a setting, a column a series."""
    rows: dict[str, dict[str, str | float]] = {}
    for r in records:
        if r.metric == "validation score":
            series, _, setting = r.model.rpartition(", ")
            rows.setdefault(setting, {"setting": setting})[series] = round(r.value, 3)
    return pd.DataFrame(list(rows.values()))


def space_records(
    space: Mapping[str, Mapping[str, float]], *, home: int, away: int, **about: str | int
) -> list[Record]:
    """The measures of ``head_effects.misalignment`` by model as records.

    Parameters
    ----------
    home, away : int
        Images and captions that were embedded in the domain of training, and in the other.
    """
    return [
        Record(
            **about, model=model, split="test", direction="", metric=name, value=value,
            unit=UNITS.get(name, "fraction"), n=away if name.endswith(", away") else home,
        )
        for model, measures in space.items()
        for name, value in measures.items()
    ]  # fmt: skip


def space_table(space: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """A row a model, a column a measure, two digits."""
    rows = [
        {"model": m, **{k: round(v, 2) for k, v in found.items()}} for m, found in space.items()
    ]
    return pd.DataFrame(rows)


def kind_records(frames: Sequence[pd.DataFrame], **about: str | int) -> list[Record]:
    """Tables of ``errors.by_kind`` as records; the first holds hit@10, the others foils."""
    records = []
    for place, frame in enumerate(frames):
        metric = "true text preferred" if place else "hit@10"
        for row in frame.itertuples():
            bounded = np.isfinite([row.low, row.high]).all()
            records.append(
                Record(
                    **about, model=row.model, split="test",
                    direction="" if place else "text_to_image", metric=f"{metric}, {row.kind}",
                    value=row.value, low=row.low if bounded else None,
                    high=row.high if bounded else None, n=row.n,
                )
            )  # fmt: skip
    return records


def rate_record(what: str, per_second: float, *, n: int, **about: str | int) -> Record:
    """A measured rate of work such as ``pictures, with heads``, on ``n`` of them."""
    work, _, model = what.partition(", ")
    return Record(
        **about, model=model, split="", direction="", metric=f"{work}_encoded", value=per_second, n=n,
        unit=f"{work}/s",
    )  # fmt: skip


def cost_table(
    rates: Mapping[str, float], amounts: Mapping[str, int], *, hourly_price: float
) -> pd.DataFrame:
    """What work costs at measured rates: ``work, items a second, items, hours, price``.

    Parameters
    ----------
    rates : mapping of work to items a second
        Work is called "pictures, frozen", say: what is before the comma names its amount.
    amounts : mapping of item to how many of them are priced
    hourly_price : float
    """
    rows = []
    for work, rate in rates.items():
        n = amounts[work.partition(", ")[0]]
        spent = cost_of(n, per_second=rate, hourly_price=hourly_price)
        hours, price = (float(f"{value:.3g}") for value in (spent.hours, spent.price))
        rows.append((work, round(rate), f"{n:,}", f"{hours:g}", f"{price:g}"))
    return pd.DataFrame(rows, columns=["work", "items a second", "items", "hours", "price"])


def crossings_table(records: Iterable[Record]) -> pd.DataFrame:
    """Where the difference of an arm to zero-shot rises through 0, and where it was told from 0.

    Returns
    -------
    DataFrame
        ``arm``, ``direction``; ``points alone``: where the line through the differences crosses 0,
        without a test; ``better at`` and ``worse at``: the numbers of recipes where the paired test
        tells the arm from zero-shot, after Holm's correction over the table.
    """
    metric = "hit@10 minus M0"
    found = comparisons_of(r for r in records if r.metric in (metric, f"p of {metric}"))
    lines: dict[tuple[str, str], dict[int, Comparison]] = {}
    for way, by_model in found.items():
        for model, compared in by_model.items():
            arm, n = arm_and_size(model)
            lines.setdefault((arm, way), {})[n] = compared
    rows = []
    for (arm, way), line in lines.items():
        told = {
            verdict: ", ".join(str(n) for n in sorted(line) if line[n].verdict == verdict) or "–"
            for verdict in ("better", "worse")
        }
        rows.append({
            "arm": arm, "direction": DIRECTION_NAMES[way],
            "points alone": _crossing_text({n: c.difference for n, c in line.items()}),
            **{f"{verdict} at": sizes for verdict, sizes in told.items()},
        })  # fmt: skip
    return pd.DataFrame(rows)


def _crossing_text(line: Mapping[int, float]) -> str:
    at = crossing(sorted(line), [line[n] for n in sorted(line)])
    if at is not None:
        return f"rises at about {at:.0f}"
    if min(line.values()) >= 0:
        return "no point below 0"
    return "no point above 0" if max(line.values()) < 0 else "does not rise"
