"""Figures of lesson 08: curves over data and settings, kinds of queries."""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from helpers.first.evaluation.comparison import Comparison
from helpers.first.report.results import DIRECTION_NAMES, Record
from helpers.first.report.studies import comparisons_of
from helpers.first.report.style import INK, MARKERS, MUTED, PALETTE, percent_axis, plain, wrapped

LINES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
# The palette's last color is too light for lines.
COLORS = (*PALETTE[:4], MUTED, "#7d4f9e")
SIGNS = (*MARKERS, "P", "X", "*")
REFERENCE = {"color": INK, "lw": 1.1, "ls": (0, (4, 3))}


def labeled(arm: str, n_recipes: int) -> str:
    """The name of an arm at a size, as records have it.

    >>> labeled("residual, InfoNCE", 200)
    'residual, InfoNCE, 200 recipes'
    """
    return f"{arm}, {n_recipes} recipes"


def arm_and_size(label: str) -> tuple[str, int]:
    """The opposite of :func:`labeled`.

    >>> arm_and_size("residual, InfoNCE, 200 recipes")
    ('residual, InfoNCE', 200)
    """
    arm, _, size = label.rpartition(", ")
    if not size.endswith(" recipes") or not size.split()[0].isdigit():
        raise ValueError(f"{label!r} names no size; it ends as in 'residual, InfoNCE, 200 recipes'")
    return arm, int(size.split()[0])


def without_size(records: Iterable[Record]) -> dict[str, dict[str, Comparison]]:
    """Comparisons as ``difference_plot`` takes them, the size left out of the labels.

    Raises
    ------
    ValueError
        If sizes are mixed.
    """
    found = comparisons_of(records)
    sizes = {arm_and_size(label)[1] for by_model in found.values() for label in by_model}
    if len(sizes) > 1:
        raise ValueError(f"without_size: several sizes {sorted(sizes)}; choose one")
    return {
        way: {arm_and_size(label)[0]: compared for label, compared in by_model.items()}
        for way, by_model in found.items()
    }


def data_curves(
    records: Iterable[Record],
    *,
    heading: str = "How many recipes does each way need?",
    note: str = "difference to zero-shot on the same queries; bar: 95 % interval over recipes",
) -> Figure:
    """Differences to zero-shot over the number of training recipes: a panel a direction.

    Parameters
    ----------
    records : iterable of Record
        Differences in fractions, of models named by :func:`labeled`; p-values are passed over.

    Raises
    ------
    ValueError
        If there is no difference to draw.
    """
    found = [r for r in records if " minus " in r.metric and r.unit == "fraction"]
    if not found:
        raise ValueError("data_curves: no difference to draw; compare arms with zero-shot first")
    if len(several := sorted({r.metric for r in found})) > 1:
        raise ValueError(f"data_curves: differences of several kinds {several}; choose one")
    rows = pd.DataFrame(
        [(*arm_and_size(r.model), r.direction, r.value, r.low, r.high) for r in found],
        columns=["arm", "n", "direction", "value", "low", "high"],
    )
    ways = [d for d in DIRECTION_NAMES if d in set(rows["direction"])]
    arms, sizes = list(dict.fromkeys(rows["arm"])), sorted(set(rows["n"]))
    fig, panels = plt.subplots(
        1, len(ways), figsize=(4.9 * len(ways), 4.1), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax, way in zip(panels[0], ways, strict=True):
        ax.axhline(0, color=INK, lw=1.1)
        for i, arm in enumerate(arms):
            part = rows[(rows["arm"] == arm) & (rows["direction"] == way)].sort_values("n")
            at = part["n"] * 1.035 ** (i - (len(arms) - 1) / 2)  # side by side, not on each other
            look = _look(i)
            ends = np.abs(part[["low", "high"]].to_numpy(float).T - part["value"].to_numpy(float))
            ax.errorbar(at, part["value"], yerr=ends, fmt="none", ecolor=look["color"], lw=1.2)
            ax.plot(at, part["value"], ms=6, mec="white", mew=0.7, **look)
        ax.set_title(DIRECTION_NAMES[way].capitalize(), fontsize=10)
        _size_axis(ax, sizes)
        ax.set_xlabel("training recipes (logarithmic)")
    metric = found[0].metric.partition(" minus ")[0]
    panels[0][0].set_ylabel(f"{plain(metric)}, points above zero-shot")
    percent_axis(panels[0][0].yaxis)
    _finish(fig, arms, heading, note)
    return fig


def setting_curves(
    panels: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]],
    *,
    heading: str,
    reference: tuple[str, float] | None = None,
    ylabel: str = "validation score, %",
    logarithmic: Sequence[str] = (),
    note: str = "line: mean over seeds; dots: single seeds",
) -> Figure:
    """A score over a setting: a panel a setting, a line a series, a dot a seed.

    Parameters
    ----------
    panels : mapping of x label to (mapping of series to (mapping of x to scores))
        Scores are fractions.
    reference : (name, score), optional
        Drawn as a horizontal line in every panel, and named in the legend.
    logarithmic : sequence of x labels
        The panels whose axis is logarithmic.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if not panels or not any(panels.values()):
        raise ValueError("setting_curves: nothing to draw; give setting -> series -> x -> scores")
    fig, axes = plt.subplots(
        1, len(panels), figsize=(max(5.6, 4.4 * len(panels)), 3.9), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    names = list(dict.fromkeys(name for series in panels.values() for name in series))
    for ax, (xlabel, series) in zip(axes[0], panels.items(), strict=True):
        if reference is not None:
            ax.axhline(reference[1], **REFERENCE)
        for name, found in series.items():
            look, at = _look(names.index(name)), sorted(found)
            ax.plot(at, [np.mean(found[x]) for x in at], ms=6, mec="white", mew=0.7, **look)
            for x in at:
                ax.plot([x] * len(found[x]), found[x], ".", color=look["color"], ms=3.5, alpha=0.6)
        if xlabel in logarithmic:
            _size_axis(ax, sorted({x for found in series.values() for x in found}))
        ax.set_xlabel(plain(xlabel))
    axes[0][0].set_ylabel(ylabel)
    percent_axis(axes[0][0].yaxis)
    _finish(fig, names, heading, note, reference=reference[0] if reference else "")
    return fig


def kind_plot(
    frame: pd.DataFrame,
    *,
    heading: str,
    chance: float | None = None,
    xlabel: str = "score, %",
    note: str = "line: 95 % interval over recipes; in brackets: queries",
) -> Figure:
    """The table of ``errors.by_kind`` drawn: a row a kind, a mark a model.

    Parameters
    ----------
    chance : float, optional
        What guessing scores: a dashed line.

    Raises
    ------
    ValueError
        If the table is empty.
    """
    if frame.empty:
        raise ValueError("kind_plot: the table has no row; no query was of any kind")
    kinds, models = list(dict.fromkeys(frame["kind"])), list(dict.fromkeys(frame["model"]))
    fig, ax = plt.subplots(
        figsize=(7.4, 1.5 + len(kinds) * (0.18 + 0.13 * len(models))), layout="constrained"
    )
    step = 0.7 / len(models)
    for row in frame.itertuples():
        i = models.index(row.model)
        y = kinds.index(row.kind) + (i - (len(models) - 1) / 2) * step
        color, marker = (_look(i)[what] for what in ("color", "marker"))
        if np.isfinite([row.low, row.high]).all():
            ax.plot([row.low, row.high], [y, y], color=color, lw=1.8, solid_capstyle="butt")
        ax.plot(row.value, y, marker, color=color, ms=6, mec="white", mew=0.7)
    if chance is not None:
        ax.axvline(chance, color=MUTED, ls=(0, (4, 3)), lw=1)
    counts = frame.drop_duplicates("kind").set_index("kind")["n"]
    ax.set_yticks(range(len(kinds)), [f"{plain(kind)} ({counts[kind]})" for kind in kinds])
    ax.set_ylim(len(kinds) - 0.4, -0.6)
    ax.set_xlabel(xlabel)
    ax.grid(axis="y", visible=False)
    percent_axis(ax.xaxis)
    _finish(fig, models, heading, note, lines=False)
    return fig


def _look(i: int) -> dict:
    """Color, marker and line of a series; two dozen series have different ones."""
    return {"color": COLORS[i % len(COLORS)], "marker": SIGNS[i % len(SIGNS)],
            "ls": LINES[i % len(LINES)], "lw": 1.7}  # fmt: skip


def _size_axis(ax: Axes, sizes: Sequence[float]) -> None:
    """A logarithmic axis that names the values that were used, as far as there is room."""
    shown: list[float] = []
    for size in sizes:
        if not shown or size >= 1.6 * shown[-1]:
            shown.append(size)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(shown))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,g}"))


def _finish(
    fig: Figure,
    names: Sequence[str],
    heading: str,
    note: str,
    *,
    lines: bool = True,
    reference: str = "",
) -> None:
    """The heading, and one legend under the panels."""
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    handles = []
    for i, name in enumerate(names):
        look = _look(i) | ({} if lines else {"ls": "-"})
        label = wrapped(name, width=34, lines=2)
        handles.append(plt.Line2D([], [], ms=6, label=label, **look))
    if reference:
        handles.append(plt.Line2D([], [], label=plain(reference), **REFERENCE))
    fig.legend(handles=handles, loc="outside lower left", ncols=min(3, len(handles)), title=note,
               title_fontsize=8.5, alignment="left", handlelength=3)  # fmt: skip
