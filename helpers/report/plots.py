"""Plots of tidy frames: points and lines with given intervals, and paths between two models.

Seaborn computes intervals of its own; a study's intervals hold items and seeds, so they are drawn
as they are given.
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.report.style import (
    DIRECTION_COLORS,
    DIRECTION_NAMES,
    INK,
    LINES,
    MARKERS,
    MUTED,
    percent_axis,
    plain,
    title,
)


def points_with_intervals(
    table: pd.DataFrame, *, heading: str, note: str = "", xlabel: str = "hit@10, percent",
    chance: Mapping[str, float] | None = None, differences: bool = False,
) -> Figure:  # fmt: skip
    """A line for each arm, a point with its 95 % interval for each direction.

    ``table`` has the columns ``arm, direction, estimate``, as :meth:`helpers.study.Study.table`
    gives it for one metric. ``chance`` maps a direction to its level, a dashed line in its color.
    Of ``differences`` there is a line at zero, and the axis is in points.
    """
    arms = list(dict.fromkeys(table["arm"]))
    directions = list(dict.fromkeys(table["direction"]))
    fig, ax = plt.subplots(figsize=(7.6, 1.2 + 0.42 * len(arms)), layout="constrained")
    for i, direction in enumerate(directions):
        part = table[table["direction"] == direction].set_index("arm").loc[arms]
        offset = 0.16 * (i - (len(directions) - 1) / 2)
        color, marker = DIRECTION_COLORS.get(direction, LINES[i]), MARKERS[i]
        found = [(place, one) for place, one in enumerate(part["estimate"]) if not one.missing]
        y = np.array([place + offset for place, _ in found])
        value, low, high = (
            np.array([getattr(one, name) for _, one in found]) for name in ("value", "low", "high")
        )
        known = np.isfinite(low)
        ax.hlines(y[known], low[known], high[known], color=color, lw=1.6)
        name = "mean of both directions" if direction == "both" else direction.replace("_", " ")
        ax.plot(value, y, marker, color=color, ms=5.5, label=plain(name))
        if chance and direction in chance:
            ax.axvline(chance[direction], color=color, ls=(0, (4, 3)), lw=1)
    if chance:
        ax.plot([], [], color=MUTED, ls=(0, (4, 3)), lw=1, label="chance")
    if differences:
        ax.axvline(0, color=INK, lw=0.9)
        xlabel = "difference, points"
    ax.set(yticks=range(len(arms)), yticklabels=map(plain, arms), xlabel=xlabel)
    ax.set_ylim(len(arms) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    percent_axis(ax.xaxis)
    legend(ax, len(directions) + bool(chance) > 1)
    title(ax, heading, note=note)
    return fig


def lines_with_intervals(
    frame: pd.DataFrame, *, x: str, series: str, heading: str, xlabel: str,
    ylabel: str = "hit@10, percent", references: Mapping[str, float] | None = None,
    percent: bool = True,
) -> Figure:  # fmt: skip
    """Values over a number, a line with its interval for each series.

    ``frame`` has the columns named by ``x`` and ``series``, and ``estimate`` (or ``value``,
    ``low``, ``high``; NaN where there is no interval). ``references`` are the names and values of
    horizontal lines, such as chance or the zero-shot value.
    """
    if "estimate" in frame:
        numbers = ("value", "low", "high")
        frame = frame.assign(**{n: [getattr(e, n) for e in frame["estimate"]] for n in numbers})
    fig, ax = plt.subplots(figsize=(7.2, 3.4), layout="constrained")
    for i, (name, part) in enumerate(frame.groupby(series, sort=False)):
        part = part.sort_values(x)
        color, marker = LINES[i % len(LINES)], MARKERS[i % len(MARKERS)]
        label = plain(DIRECTION_NAMES.get(name, name))
        ax.plot(part[x], part["value"], color=color, marker=marker, ms=5, label=label)
        if "low" in part and part["low"].notna().any():
            ax.fill_between(part[x], part["low"], part["high"], color=color, alpha=0.14, lw=0)
    for name, level in (references or {}).items():
        ax.axhline(level, color=MUTED, ls=(0, (4, 3)), lw=1)
        ax.annotate(plain(name), (1, level), (-2, 4), xycoords=("axes fraction", "data"),
                    textcoords="offset points", ha="right", color=MUTED, fontsize=8.5)  # fmt: skip
    if frame[x].min() > 0 and frame[x].max() > 30 * frame[x].min():
        ax.set_xscale("log")
        ax.set_xticks(sorted(frame[x].unique()), [f"{v:g}" for v in sorted(frame[x].unique())])
        ax.minorticks_off()
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if percent:
        percent_axis(ax.yaxis)
    legend(ax, frame[series].nunique() > 1)
    title(ax, heading)
    return fig


def gain_against_loss(
    path: pd.DataFrame, *, heading: str, xlabel: str, ylabel: str, series: str = "method"
) -> Figure:
    """The path between a base and its adapted model: gain on one domain against loss on another.

    ``path`` has the columns ``factor``, ``gain``, ``loss`` (points, the loss negative) and the one
    named by ``series``; ``gain_low, gain_high, loss_low, loss_high`` where there are intervals.
    """
    fig, ax = plt.subplots(figsize=(6.6, 4.0), layout="constrained")
    for i, (name, part) in enumerate(path.groupby(series, sort=False)):
        color, marker = LINES[i % len(LINES)], MARKERS[i % len(MARKERS)]
        part = part.sort_values("factor")
        ax.plot(part["loss"], part["gain"], color=color, marker=marker, ms=5, label=plain(name))
        if "gain_low" in part:
            ax.vlines(part["loss"], part["gain_low"], part["gain_high"], color=color, lw=1)
            ax.hlines(part["gain"], part["loss_low"], part["loss_high"], color=color, lw=1)
        for row in part.itertuples():
            ax.annotate(f"{row.factor:g}", (row.loss, row.gain), (6, -9), color=color,
                        textcoords="offset points", fontsize=8)  # fmt: skip
    ax.axvline(0, color=MUTED, lw=0.8)
    ax.axhline(0, color=MUTED, lw=0.8)
    ax.margins(0.1)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if path[series].nunique() > 1:  # no path with a gain goes through that corner
        ax.legend(loc="lower left", bbox_to_anchor=(0.01, 0.12))
    title(ax, heading, note="numbers beside the points: the factor of the update")
    return fig


def legend(ax: Axes, wanted: bool) -> None:
    """Above the axes, at the right: it covers nothing."""
    if wanted:
        n = len(ax.get_legend_handles_labels()[1])
        options = {"loc": "lower right", "bbox_to_anchor": (1, 1.0), "ncols": min(n, 3)}
        ax.legend(**options, borderaxespad=0.2, columnspacing=1.2, handletextpad=0.5)
