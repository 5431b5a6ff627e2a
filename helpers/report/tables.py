"""Tables that a lesson shows: numbers as text with their intervals, every cell escaped."""

import math
from collections.abc import Sequence

import pandas as pd

from helpers.evaluation.stats import Estimate
from helpers.report.style import DIRECTION_NAMES
from helpers.study import Study

METRICS = ("hit@1", "hit@5", "hit@10", "mrr", "median rank", "mean rank")
ONE_RUN = "one training per configuration: no verdict on methods"
# System B, CLIP ViT-B/32 on 54 recipes with 103 images. hit@K in percent: zero-shot and after LoRA,
# each from text to image and from image to text.
SYSTEM_B = {
    "hit@1": (57.4, 68.9, 59.3, 68.9), "hit@5": (79.6, 91.3, 85.2, 94.2),
    "hit@10": (94.4, 96.1, 96.3, 99.0), "mrr": (0.688, 0.796, 0.702, 0.799),
    "mean rank": (3.57, 2.07, 3.28, 1.95),
}  # fmt: skip
_STYLE = "border-collapse: collapse; font-size: 0.92em; max-width: 100%"


def number(value: float, metric: str) -> str:
    """A bare value of a metric: percent for hit@K, three digits for MRR, one for ranks."""
    scale = 100 if metric.startswith("hit") else 1
    return f"{scale * value:.{3 if metric == 'mrr' else 1}f}" + " %" * (scale == 100)


def value_text(one: Estimate, metric: str = "hit@10") -> str:
    """A value with its interval: percent for hit@K, else three digits; or why there is none."""
    if one.missing:
        return one.missing
    text = number(one.value, metric)
    if not math.isfinite(one.low):
        return text
    low, high = (number(end, metric).removesuffix(" %") for end in (one.low, one.high))
    return f"{text} [{low}, {high}]"


def difference_text(one: Estimate) -> str:
    """A difference of shares in points with its interval: ``+9.6 [8.2, 11.0]``."""
    if one.missing:
        return one.missing
    low, value, high = (100 * x if abs(x) >= 5e-4 else 0.0 for x in (one.low, one.value, one.high))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def points(one: Estimate) -> str:
    """A difference with its interval and its unit; or why there is none."""
    return difference_text(one) + ("" if one.missing else " points")


def p_text(p: float) -> str:
    """A p-value: two digits, or ``< 0.001``."""
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.2g}"


def wide_table(
    table: pd.DataFrame, *, chance: dict | None = None, differences: bool = False
) -> pd.DataFrame:
    """A study's table for reading: a row for each arm and metric, a column for each direction.

    ``table`` has the columns ``arm, metric, direction, estimate``; ``chance`` maps (metric,
    direction) to the chance level, which gets rows of its own.
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for one in table.itertuples():
        found = one.estimate
        shown = difference_text(found) if differences else value_text(found, one.metric)
        rows.setdefault((one.arm, one.metric), {})[_heading(one.direction, differences)] = shown
    for (metric, direction), level in (chance or {}).items():
        shown = number(level, metric)
        rows.setdefault(("chance", metric), {})[_heading(direction, differences)] = shown
    frame = pd.DataFrame(rows).T.rename_axis(["", "metric"]).reset_index()
    alike = [name for name in ("", "metric") if frame[name].nunique() == 1]
    return frame.drop(columns=alike)


def _heading(direction: str, differences: bool) -> str:
    name = "mean of both directions" if direction == "both" else direction.replace("_", " ")
    return f"{name}, points [95 %]" if differences else f"{name} [95 %]"


def beside_system_b(study: Study, arms: Sequence[str], *, test: str) -> pd.DataFrame:
    """All metrics of some arms in both directions, with chance and what system B reports."""
    table = wide_table(study.table(list(arms), metrics=METRICS, test=test))
    for direction, name in DIRECTION_NAMES.items():
        levels = [study.chance(m, test=test, direction=direction) for m in table["metric"]]
        table[f"chance, {name}"] = list(map(number, levels, table["metric"]))
    for i, name in ((0, "B zero-shot"), (2, "B after LoRA")):
        cells = [SYSTEM_B.get(m, ("–",) * 4)[i : i + 2] for m in table["metric"]]
        table[f"{name}: text to image / image to text"] = [f"{a} / {b}" for a, b in cells]
    return table


def verdict_table(judged: pd.DataFrame) -> pd.DataFrame:
    """The hypotheses of a study for reading, one line each."""
    reported = [
        "–" if pd.isna(value) else f"{value:+.2f}" + (f" ({source})" if source else "")
        for value, source in zip(judged["reported"], judged["source"], strict=True)
    ]
    known = {
        "hypothesis": judged["says"],
        "queries": [f"{one.n:,}" for one in judged["estimate"]],
        "trainings": [str(one.n_seeds or "–") for one in judged["estimate"]],
        "difference, points [95 %]": [difference_text(one) for one in judged["estimate"]],
        "reported": reported,
        "p (Holm)": [p_text(p) for p in judged["p_holm"]],
        "verdict": judged["text"],
        "size": judged["size"],
        "smallest detectable difference, points": [f"{100 * d:.1f}" for d in judged["detectable"]],
    }
    frame = pd.DataFrame(known)
    optional = ("trainings", "reported", "size")
    return frame.drop(columns=[name for name in optional if frame[name].isin(["–", ""]).all()])


def verdict_sentences(judged: pd.DataFrame) -> list[str]:
    """What a study found, a sentence for each hypothesis, made from its numbers."""
    return [
        f"{row.says}: {points(row.estimate)}, {row.text}" + (f", {row.size}" if row.size else "")
        for row in judged.itertuples()
    ]


def frame_html(frame: pd.DataFrame, *, index: bool = False) -> str:
    """An HTML table whose cells are escaped, in a box of its own that scrolls if it is wide."""
    table = frame.to_html(escape=True, index=index, border=0, na_rep="–", justify="left")
    styled = table.replace("<table ", f'<table style="{_STYLE}" ', 1)
    return f'<div style="overflow-x: auto">{styled}</div>'
