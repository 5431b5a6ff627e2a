"""Figures of a placement study: rows with intervals and seeds, all pairs, and two trends."""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from helpers.first.report.placement import BASE, ONE_SEED, RECIPES, SCORE
from helpers.first.report.placement_tables import pairs_of
from helpers.first.report.results import Record
from helpers.first.report.style import FAINT, INK, MUTED, PALETTE, plain, title
from helpers.first.studies.placement import ORIGINAL
from helpers.first.studies.placement_claims import TRENDS

OPEN = {"mfc": "white", "mec": MUTED, "ls": ""}


def forest_plot(
    records: Iterable[Record],
    *,
    heading: str,
    rows: Sequence[str] = (),
) -> Figure:
    """The score of each row with two intervals and its seeds; beside it what was reported.

    Parameters
    ----------
    records : iterable of Record
        As :func:`helpers.first.report.placement.row_records` gives them.
    rows : sequence of str
        Which rows, in this order; default: all. The base is a dashed line.

    Raises
    ------
    ValueError
        If a row has no score among the records, or there is none at all.

    Examples
    --------
    >>> forest_plot(records, heading="Where LoRA goes")  # doctest: +SKIP
    """
    records = list(records)
    found = {(r.model, r.metric): r for r in records if r.metric in (SCORE, RECIPES)}
    rows = list(rows) or list(dict.fromkeys(name for name, _ in found if name != BASE))
    if missing := [name for name in rows if (name, SCORE) not in found] or (not rows and ["any"]):
        raise ValueError(f"forest_plot: no score of {missing[0]!r} among the records")
    known = [name for name in rows if name in ORIGINAL]
    fig, axes = plt.subplots(
        1, 2 if known else 1, figsize=(9.6 if known else 7, 1.5 + 0.46 * len(rows)), sharey=True,
        width_ratios=(2.6, 1) if known else None, squeeze=False, layout="constrained",
    )  # fmt: skip
    ax = axes[0][0]
    for at, name in enumerate(rows):
        seeds = [r.value for r in records if r.model == name and r.metric == ONE_SEED]
        _forest_row(ax, at, found[name, SCORE], found[name, RECIPES], seeds)
    if base := found.get((BASE, SCORE)):
        ax.axvline(base.value, color=INK, lw=1, ls=(0, (4, 3)), zorder=1)
        ax.annotate(BASE, (base.value, 1), (3, 2), xycoords=("data", "axes fraction"),
                    textcoords="offset points", fontsize=8.5)  # fmt: skip
    ax.set_yticks(range(len(rows)), [plain(name) for name in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel("score: mean of hit@K both ways, %")
    ax.set_title("Measured here", fontsize=10)
    _points_axis(ax)
    if known:
        _reported_panel(axes[0][1], rows)
    for panel in axes[0]:
        panel.grid(axis="y", visible=False)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    fig.legend(handles=_forest_legend(), loc="outside lower left", ncols=3, alignment="left")
    return fig


def _forest_row(ax: Axes, at: int, both: Record, recipes: Record, seeds: Sequence[float]) -> None:
    ax.plot([both.low, both.high], [at, at], "-|", color=PALETTE[0], lw=1.1, ms=9)
    ax.plot([recipes.low, recipes.high], [at, at], color=PALETTE[2], lw=5, solid_capstyle="butt")
    ax.plot(seeds, np.full(len(seeds), at + 0.24), "o", ms=4, **OPEN)
    ax.plot(both.value, at, "s", color=PALETTE[0], mec="white", ms=7)
    text = f"{100 * both.value:.1f}  [{100 * both.low:.1f}, {100 * both.high:.1f}]"
    ax.annotate(text, (1, at), (6, 0), xycoords=ax.get_yaxis_transform(), va="center",
                textcoords="offset points", fontsize=8)  # fmt: skip


def _reported_panel(ax: Axes, rows: Sequence[str]) -> None:
    for at, name in enumerate(rows):
        if name in ORIGINAL:
            ax.plot(ORIGINAL[name].score, at, "D", ms=6, **OPEN)
            ax.annotate(
                f"{100 * ORIGINAL[name].score:.2f}",
                (1, at),
                (6, 0),
                va="center",
                xycoords=ax.get_yaxis_transform(),
                textcoords="offset points",
                fontsize=8,
            )
    ax.set_title("Reported on other data", fontsize=10)
    ax.set_xlabel("score, %")
    _points_axis(ax)


def _points_axis(ax: Axes) -> None:
    """Percent at round places, with the digits that they need: rows lie within a few points."""
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 6):g}"))


def _forest_legend() -> list[Line2D]:
    return [
        Line2D([], [], marker="s", color=PALETTE[0], lw=0, label="mean over seeds"),
        Line2D([], [], color=PALETTE[2], lw=5, label="95 %, recipes alone"),
        Line2D([], [], marker="|", ms=9, color=PALETTE[0], lw=1.1, label="95 %, recipes and seeds"),
        Line2D([], [], marker="o", ms=4, label="one seed", **OPEN),
        Line2D([], [], marker="D", ms=6, label="reported, one training each", **OPEN),
    ]


def pair_matrix(records: Iterable[Record], rows: Sequence[str], *, heading: str) -> Figure:
    """All pairs: the row's score minus the column's, in points; dark where it can be told from 0.

    Raises
    ------
    ValueError
        If a pair of rows is not among the records.
    """
    pairs = pairs_of(records, rows)
    cells = {}
    for pair in pairs.itertuples():
        cells[pair.a, pair.b] = (pair.difference, pair.verdict)
        cells[pair.b, pair.a] = (-pair.difference, pair.verdict)
    wanted = {(a, b) for a in rows for b in rows if a != b}
    if missing := sorted(wanted - set(cells)):
        raise ValueError(f"pair_matrix: {missing[0][0]!r} was not compared with {missing[0][1]!r}")
    side = 0.62 * len(rows)
    fig, ax = plt.subplots(figsize=(3.4 + side * 1.25, 2.0 + side * 0.72), layout="constrained")
    for (a, b), (difference, verdict) in cells.items():
        _cell(ax, rows.index(b), rows.index(a), difference, shown=verdict != "not distinguishable")
    ax.set_xlim(-0.5, len(rows) - 0.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xticks(range(len(rows)), [plain(r) for r in rows], rotation=32, ha="right")
    ax.set_yticks(range(len(rows)), [plain(r) for r in rows])
    ax.grid(visible=False)
    title(ax, plain(heading), note="row minus column, points; p after Holm over all pairs")
    handles = [Patch(fc=PALETTE[0], label="told apart (p ≤ 0.05)"),
               Patch(fc="white", ec=MUTED, label="not distinguishable")]  # fmt: skip
    fig.legend(handles=handles, loc="outside lower left", ncols=2)
    return fig


def _cell(ax: Axes, x: int, y: int, difference: float, *, shown: bool) -> None:
    face = PALETTE[0] if shown else "white"
    ax.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, fc=face, ec=FAINT, lw=0.8))
    text = f"{100 * difference:+.1f}".replace("-", "−")
    text = "0.0" if text in ("+0.0", "−0.0") else text
    ax.text(x, y, text, ha="center", va="center", fontsize=8.5,
            color="white" if shown else MUTED, weight="bold" if shown else "normal")  # fmt: skip


def trend_plot(records: Iterable[Record], *, heading: str) -> Figure:
    """The score against depth and against rank, as differences from the smallest, with intervals.

    The line is the mean over seeds with its paired interval over recipes, small marks are seeds,
    diamonds the differences that the original reports. A trend that lacks a row is left out.

    Raises
    ------
    ValueError
        If no trend has all of its rows among the records.
    """
    records = list(records)
    known = {r.model for r in records if r.metric == SCORE}
    trends = {what: rows for what, rows in TRENDS.items() if set(rows.values()) <= known}
    if not trends:
        raise ValueError("trend_plot: no trend has all of its rows; run the original's eight")
    fig, axes = plt.subplots(
        1, len(trends), figsize=(0.8 + 4.3 * len(trends), 3.9), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax, (what, rows) in zip(axes[0], trends.items(), strict=True):
        _trend(ax, records, what, rows)
    axes[0][0].set_ylabel("difference from the first, points")
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    handles = [
        Line2D([], [], marker="s", color=PALETTE[0], label="measured, 95 % over recipes"),
        Line2D([], [], marker="o", ms=4, label="one seed", **OPEN),
        Line2D([], [], marker="D", color=PALETTE[1], ls=(0, (3, 2)), mfc="white", label="reported"),
    ]
    fig.legend(handles=handles, loc="outside lower left", ncols=3)
    return fig


def _trend(ax: Axes, records: Sequence[Record], what: str, rows: Mapping[int, str]) -> None:
    first = next(iter(rows.values()))
    found = differences_from(records, first)
    seeds = {(r.model, r.seed): r.value for r in records if r.metric == ONE_SEED}
    at = list(rows)
    if missing := [name for name in rows.values() if name not in found]:
        raise ValueError(f"trend_plot: {missing[0]!r} was not compared with {first!r}")
    value, low, high = (
        100 * np.array([found[name][i] for name in rows.values()]) for i in range(3)
    )
    ax.errorbar(at, value, yerr=[value - low, high - value], fmt="-s", color=PALETTE[0], capsize=4)
    reported = [100 * (ORIGINAL[r].score - ORIGINAL[first].score) for r in rows.values()]
    ax.plot(at, reported, marker="D", color=PALETTE[1], ls=(0, (3, 2)), mfc="white", lw=1.2)
    step = 0.02 * (at[-1] - at[0])
    for place, name in zip(at[1:], list(rows.values())[1:], strict=True):
        one = [100 * (v - seeds[first, s]) for (row, s), v in seeds.items()
               if row == name and (first, s) in seeds]  # fmt: skip
        ax.plot(np.full(len(one), place + step), one, "o", ms=4, **OPEN)
    ax.axhline(0, color=INK, lw=0.9, zorder=1)
    ax.set_xticks(at)
    ax.set_xlabel(plain(what))
    ax.set_title(plain(f"{what.capitalize()}: {', '.join(rows.values())}"), fontsize=9)


def differences_from(
    records: Iterable[Record], first: str
) -> dict[str, tuple[float, float, float]]:
    """Row to its difference from ``first`` with its interval, whichever way it was compared."""
    found = {first: (0.0, 0.0, 0.0)}
    for pair in pairs_of(records).itertuples():
        if pair.b == first:
            found[pair.a] = (pair.difference, pair.low, pair.high)
        elif pair.a == first:
            found[pair.b] = (-pair.difference, -pair.high, -pair.low)
    return found
