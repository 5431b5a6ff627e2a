"""Figures of results: metrics with their intervals. Fractions go in, percent comes out.

The other figures of the course are reached from here too, so that lessons import from one place.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from helpers.first.report.distributions import (
    Separation,
    rank_histogram,
    separation,
    similarity_histograms,
)
from helpers.first.report.results import DIRECTION_NAMES, Record
from helpers.first.report.style import (
    DIRECTION_COLORS,
    FAINT,
    HATCHES,
    INK,
    LINES,
    MARKERS,
    MUTED,
    PALETTE,
    figure_of,
    percent_axis,
    plain,
    save_figure,
    set_style,
    title,
)

__all__ = [
    "Reference",
    "Separation",
    "bars_with_intervals",
    "interval_plot",
    "rank_histogram",
    "save_figure",
    "separation",
    "set_style",
    "similarity_histograms",
]

_OPEN = ("D", "v", "P")
SHORT = {"mrr": "MRR", "map": "mAP"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A value to compare with that was not measured in this run: chance, or a published number."""

    label: str
    direction: str
    metric: str
    value: float


def interval_plot(
    records: Iterable[Record] | pd.DataFrame,
    *,
    references: Sequence[Reference] = (),
    series: str = "model",
    heading: str = "Retrieval, with 95 % intervals",
    note: str = "filled: measured here, line: 95 % interval",
) -> Figure:
    """Metrics as points with intervals, a panel a direction, a row a metric, a mark a series.

    Parameters
    ----------
    records : iterable of Record, or a frame with the same columns
        Only fractions can share this axis; rows keep the order in which metrics first occur.
    references : sequence of Reference
        Drawn as open marks without an interval: measured elsewhere. The chance levels of the
        records are drawn like them.
    series : str
        The column that tells several marks of one row apart.

    Raises
    ------
    ValueError
        If there is no record, or one whose unit is not ``fraction``.
    """
    frame = _fractions(records, "interval_plot")
    references = [*references, *_chance(frame)]
    directions = [d for d in DIRECTION_NAMES if d in set(frame["direction"])]
    metrics, names = list(dict.fromkeys(frame["metric"])), list(dict.fromkeys(frame[series]))
    labels = list(dict.fromkeys(r.label for r in references))
    lanes = len(names) + bool(labels)
    step = 0.72 / lanes
    height = 1.6 + 0.3 * len(metrics) * (lanes + 0.3)
    fig, panels = plt.subplots(
        1, len(directions), figsize=(4.6 * len(directions), height),
        sharey=True, sharex=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for ax, direction in zip(panels[0], directions, strict=True):
        part = frame[frame["direction"] == direction]
        for row, metric in enumerate(metrics):
            top = row - 0.36 + step / 2
            for i, name in enumerate(names):
                found = part[(part["metric"] == metric) & (part[series] == name)]
                color = DIRECTION_COLORS[direction] if len(names) == 1 else LINES[i % 5]
                for line in found.itertuples():
                    _mark(ax, line, top + i * step, color, MARKERS[i % 5])
            for reference in references:
                if (reference.direction, reference.metric) == (direction, metric):
                    ax.plot(
                        reference.value, top + len(names) * step, mfc="white", mec=INK, mew=1.1,
                        marker=_OPEN[labels.index(reference.label) % 3], ms=6,
                    )  # fmt: skip
            if row:
                ax.axhline(row - 0.5, color=FAINT, lw=0.8)
        name = DIRECTION_NAMES[direction].capitalize()
        ax.set_title(name if len(directions) > 1 or direction else "", fontsize=10)
        ax.set_xlim(-0.02, 1)  # a mark at 0 is a mark
        ax.set_xlabel("score, %")
        ax.grid(axis="y", visible=False)
        percent_axis(ax.xaxis)
    panels[0][0].set_yticks(range(len(metrics)), [plain(SHORT.get(m, m)) for m in metrics])
    panels[0][0].set_ylim(len(metrics) - 0.5, -0.5)
    fig.suptitle(heading, x=0.01, ha="left", fontsize=11, fontweight="bold")
    handles = [
        Line2D([], [], marker=MARKERS[i % 5], ls="-", color=LINES[i % 5], label=plain(name))
        for i, name in enumerate(names)
        if len(names) > 1
    ] + [
        Line2D([], [], marker=_OPEN[j % 3], ls="", mfc="white", mec=MUTED, label=plain(label))
        for j, label in enumerate(labels)
    ]
    if handles:
        fig.legend(handles=handles, loc="outside lower left", ncols=min(len(handles), 4),
                   title=note, title_fontsize=8.5, alignment="left")  # fmt: skip
    else:
        fig.supxlabel(note, x=0.01, ha="left", fontsize=8.5, color=MUTED)
    return fig


def _mark(ax: Axes, line, y: float, color: str, marker: str) -> None:
    """A point and its interval, and both in numbers in the right margin."""
    if pd.isna(line.value):
        _beside(ax, y, f"n/a ({line.reason})")
        return
    text = f"{100 * line.value:.1f}"
    if pd.notna(line.low):
        ax.plot([line.low, line.high], [y, y], color=color, lw=2, solid_capstyle="butt")
        ax.plot([line.low, line.high], [y, y], "|", color=color, ms=8, mew=1.4)
        text += f"  [{100 * line.low:.0f}, {100 * line.high:.0f}]"
    ax.plot(line.value, y, marker, color=color, ms=7, mec="white", mew=0.8)
    _beside(ax, y, text)


def _beside(ax: Axes, y: float, text: str) -> None:
    ax.annotate(text, (1, y), (6, 0), xycoords=ax.get_yaxis_transform(), va="center", fontsize=8,
                textcoords="offset points")  # fmt: skip


def _chance(frame: pd.DataFrame) -> list[Reference]:
    """The chance levels that some records name, each once: they are one for all models."""
    if "chance" not in frame:
        return []
    known = frame[frame["chance"].notna()].drop_duplicates(["direction", "metric"])
    return [Reference("chance", r.direction, r.metric, r.chance) for r in known.itertuples()]


def bars_with_intervals(
    records: Iterable[Record] | pd.DataFrame,
    *,
    x: str = "metric",
    series: str = "model",
    heading: str = "Before and after",
    note: str = "whiskers: 95 % interval",
    ax: Axes | None = None,
) -> Figure:
    """Grouped bars with whiskers: a group a value of ``x``, a color and hatch a ``series``.

    Two whiskers that overlap do not show that two models are equal: compare paired.

    Raises
    ------
    ValueError
        If there is no record, one whose unit is not ``fraction``, or two for one bar.
    """
    frame = _fractions(records, "bars_with_intervals")
    groups, names = list(dict.fromkeys(frame[x])), list(dict.fromkeys(frame[series]))
    if frame.duplicated([x, series]).any():
        raise ValueError(
            f"bars_with_intervals: several records for one bar of {x!r} and {series!r}; "
            "choose one direction, split and seed first"
        )
    fig, ax = figure_of(ax, size=(max(4.8, 1.1 + 0.5 * len(groups) * len(names)), 3.6))
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        part = frame[frame[series] == name].set_index(x).reindex(groups)
        part[["value", "low", "high"]] = part[["value", "low", "high"]].astype(float)
        at = np.arange(len(groups)) + (i - (len(names) - 1) / 2) * width
        ax.bar(at, part["value"], width * 0.92, color=PALETTE[i % 5], hatch=HATCHES[i % 5],
               edgecolor="white", linewidth=0.8, label=plain(name))  # fmt: skip
        ends = np.abs(part[["low", "high"]].to_numpy(float).T - part["value"].to_numpy(float))
        for color, wide in (
            ("white", 2.8),
            (INK, 1.1),
        ):  # a rim, for dark bars
            ax.errorbar(at, part["value"], yerr=ends, fmt="none", ecolor=color, elinewidth=wide,
                        capsize=3, capthick=wide)  # fmt: skip
        tops = part["high"].astype(float).fillna(part["value"])
        for place, top, value in zip(at, tops, part["value"], strict=True):
            if pd.notna(value):
                ax.annotate(f"{100 * value:.0f}", (place, top), (0, 3), ha="center", fontsize=8,
                            textcoords="offset points")  # fmt: skip
        if "chance" in part and part["chance"].notna().any():
            reach = width * 0.46
            ax.hlines(part["chance"].astype(float), at - reach, at + reach, color=INK, lw=1.2,
                      ls=(0, (2, 1.5)), label="" if i else "chance")  # fmt: skip
        if "reason" in part:
            for place, reason in zip(at, part["reason"], strict=True):
                if isinstance(reason, str) and reason:
                    ax.annotate(f"n/a ({reason})", (place, 0), (0, 3), rotation=90, ha="center",
                                fontsize=8, textcoords="offset points")  # fmt: skip
    ax.set_xticks(range(len(groups)), [plain(g) for g in groups])
    ax.set_ylim(0, 1.06)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.set_ylabel("score, %")
    ax.grid(axis="x", visible=False)
    percent_axis(ax.yaxis)
    title(ax, heading, note=note)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    return fig


def _fractions(records: Iterable[Record] | pd.DataFrame, who: str) -> pd.DataFrame:
    """The records as a frame, refused if it is empty or holds anything but fractions."""
    frame = (
        records
        if isinstance(records, pd.DataFrame)
        else pd.DataFrame([asdict(record) for record in records])
    )
    if frame.empty:
        raise ValueError(f"{who}: no record to draw; choose some before you draw them")
    if others := sorted(set(frame["unit"]) - {"fraction"}):
        raise ValueError(
            f"{who}: units {others} cannot share an axis with fractions; leave them out"
        )
    return frame
