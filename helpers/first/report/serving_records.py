"""Records of serving: latencies, what an export costs, and how soon drift is seen."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from helpers.first.evaluation.chance import fixed_by
from helpers.first.report.results import NOT_MEASURED, Record
from helpers.first.retrieval.onnx_check import METRIC, PARTS

DIRECTIONS = {"t2i": "text_to_image", "i2t": "image_to_text"}
SPEEDS = {"image_ms": "ms", "text_ms": "ms", "images_per_s": "images/s", "texts_per_s": "texts/s",
          "size_mb": "MiB"}  # fmt: skip

JUDGED = ("right_cause", "found_share", "precision")  # of the verdict at the first alarm


def latency_records(milliseconds: Mapping[str, tuple[float, int]], **about: Any) -> list[Record]:
    """A record for each latency: name to milliseconds and the number of questions behind them.

    Examples
    --------
    >>> about = {"lesson": "10", "run": "r", "model": "m", "data": "d", "seed": 1}
    >>> latency_records({"search": (1.5, 20)}, **about)[0].metric
    'latency: search'
    """
    return [
        Record(metric=f"latency: {name}", value=float(ms), n=n, unit="ms", split="all",
               direction="", **about)
        for name, (ms, n) in milliseconds.items()
    ]  # fmt: skip


def export_records(
    table: pd.DataFrame, *, model: str, repeats: int = 0, **about: Any
) -> list[Record]:
    """Speed, size and retrieval of every way to serve a model, from ``onnx_check.serving_table``.

    Parameters
    ----------
    table : DataFrame
        With ``served by``, the columns of ``SPEEDS`` and, by direction, queries, gallery, hit@10
        with its chance level, and its loss.
    model : str
        What is served; the way is added to it.
    repeats : int
        Timings behind each speed; 0: not known. A size is counted and has none.
    """
    records = []
    for way, line in _by_way(table).items():
        common = {"model": f"{model}, {way}", "split": "test", **about}
        for column, unit in SPEEDS.items():
            if column in line:
                timed = 0 if column == "size_mb" else repeats
                records.append(
                    Record(metric=column, value=float(line[column]), unit=unit, n=timed,
                           direction="", **common)
                )  # fmt: skip
        for short, direction in DIRECTIONS.items():
            found = {part: line[f"{short} {part}"] for part in PARTS}
            asked = {"n": int(line[f"{short} n"]), "direction": direction, **common}
            if reason := fixed_by(METRIC, int(line[f"{short} gallery"])):
                asked |= {"value": None, "flag": NOT_MEASURED, "reason": reason}
                records += [Record(metric=name, **asked) for name in (METRIC, f"{METRIC} lost")]
                continue
            hit, chance, lost, low, high = (float(found[part]) for part in PARTS)
            records.append(Record(metric=METRIC, value=hit, chance=chance, **asked))
            ends = {"low": low, "high": high} if math.isfinite(low) else {}
            records.append(Record(metric=f"{METRIC} lost", value=lost, **ends, **asked))
    return records


def _by_way(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {str(way): dict(line) for way, line in table.set_index("served by").iterrows()}


def drift_records(delays: pd.DataFrame, *, model: str, **about: Any) -> list[Record]:
    """Detected and false alarms of every detector, with Wilson's intervals, and the delay.

    Of the first alarm also what was made of it: the share of right causes, of the changed pictures
    that it names, and of the named ones that were changed; their n counts the alarms judged.

    ``delays`` is what ``drift_study.drift_table`` gives.
    """
    records = []
    for line in delays.to_dict("records"):
        common = {"model": model, "split": "streams", "direction": "", "n": int(line["n"]), **about}
        what = f"{line['scenario']}, {line['detector']}"
        for name in ("detected", "false_alarms"):
            low, value, high = (line.get(f"{name}{end}") for end in ("_low", "", "_high"))
            if pd.notna(value):
                records.append(
                    Record(metric=f"{what}: {name}", value=float(value), low=float(low),
                           high=float(high), **common)
                )  # fmt: skip
        if pd.notna(line.get("delay_steps")):
            ends = [float(line[f"delay_{end}"]) for end in ("low", "high")]
            records.append(
                Record(metric=f"{what}: delay", value=float(line["delay_steps"]), low=ends[0],
                       high=ends[1], unit="steps", **common)
            )  # fmt: skip
        for name in JUDGED:
            if pd.notna(line.get(name)):
                low, value, high = (float(line[f"{name}{end}"]) for end in ("_low", "", "_high"))
                judged = {**common, "n": int(line[f"{name}_n"])}
                records.append(
                    Record(metric=f"{what}: {name}", value=value, low=low, high=high, **judged)
                )
    return records


def drift_overview(records: Sequence[Record]) -> pd.DataFrame:
    """A row for each scenario and detector: what was seen, false alarms, delay, with intervals.

    ``alarms judged`` is the n of ``right_cause``.
    """
    rows: dict[str, dict[str, Any]] = {}
    for one in records:
        what, _, name = one.metric.rpartition(": ")
        if name not in ("detected", "false_alarms", "delay", *JUDGED) or not what:
            continue
        row = rows.setdefault(what, {"scenario, detector": what, "streams": one.n})
        if name == "right_cause":
            row["alarms judged"] = str(one.n)
        text = f"{one.value:.2f}"
        row[name] = text if one.low is None else f"{text} [{one.low:.2f}, {one.high:.2f}]"
    return pd.DataFrame(list(rows.values())).fillna("")
