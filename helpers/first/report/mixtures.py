"""Figures of mixtures: scores by the share of real pictures, the exchange rate, the style gap."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from helpers.first.report.results import DIRECTION_NAMES
from helpers.first.report.style import INK, MUTED, PALETTE, percent_axis, plain, title
from helpers.first.studies.mixtures import Exchange
from helpers.first.studies.style_gap import Crossing

# The mean of both directions first; what the lines are called, and how they look.
LOOKS = {
    "": ("mean of both", PALETTE[0], "o", "-"),
    "text_to_image": (DIRECTION_NAMES["text_to_image"], PALETTE[2], "^", (0, (5, 1.5))),
    "image_to_text": (DIRECTION_NAMES["image_to_text"], PALETTE[1], "s", (0, (1, 1.2))),
}

# Before training: the mean of both, and one direction; neither like a line of LOOKS.
UNTRAINED = ({"lw": 1.6, "ls": (0, (7, 2, 1, 2))}, {"lw": 0.9, "ls": (0, (1, 4))})


def share_plot(
    frame: pd.DataFrame,
    *,
    untrained: Mapping[str, float] | None = None,
    heading: str = "Real pictures replaced by synthetic ones",
    metric: str = "hit@10",
) -> Figure:
    """The score of arms of equal count by their share of real pictures, with intervals.

    Parameters
    ----------
    frame : DataFrame
        ``real, direction, value, low, high``: of :func:`helpers.first.studies.scores.score_frame`, the
        arms of equal count alone.
    untrained : mapping of direction to score, optional
        Of the model before training: horizontal lines; the direction ``""`` is the mean of both.
    """
    fig, ax = plt.subplots(figsize=(6.6, 3.9), layout="constrained")
    _lines(ax, frame, "real", offset=0.006)
    for direction, value in (untrained or {}).items():
        name, color = LOOKS[direction][:2]
        ax.axhline(value, color=color, zorder=1, label=f"{name}, before training",
                   **UNTRAINED[bool(direction)])  # fmt: skip
    ax.set_xlabel("share of real pictures, %; the others are synthetic")
    ax.set_ylabel(f"{plain(metric)} on real test pictures, %")
    ax.set_xticks(sorted(frame["real"].unique()))
    percent_axis(ax.xaxis)
    percent_axis(ax.yaxis)
    _finish(ax, heading, "equal numbers of pictures and steps; whiskers: 95 % over recipes, seeds")
    return fig


def gap_curve_plot(
    curve: pd.DataFrame,
    crossing: Crossing | None = None,
    *,
    base: float,
    heading: str = "What synthetic pictures add, by their gap",
    metric: str = "hit@10",
) -> Figure:
    """The gain of adding pictures of each gap to a fixed number of real ones, with intervals.

    Parameters
    ----------
    curve : DataFrame
        Of :func:`helpers.first.studies.style_gap.gap_curve`.
    crossing : Crossing, optional
        Drawn as a band on the line of no gain.
    base : float
        Share of the recipes whose real pictures every arm has.
    """
    fig, ax = plt.subplots(figsize=(6.6, 3.9), layout="constrained")
    ax.axhline(0, color=INK, lw=1.1, zorder=1)
    _lines(ax, curve, "gap", offset=0.008)
    banded = crossing is not None and np.isfinite(crossing.low)
    if banded:
        right = ax.get_xlim()[1]
        low, high = (min(gap, right) for gap in (crossing.low, crossing.high))
        ax.fill_betweenx([0, 1], low, high, transform=ax.get_xaxis_transform(), color=MUTED,
                         alpha=0.13, lw=0, zorder=0)  # fmt: skip
        ax.set_xlim(right=right)
    ax.set_xlabel("style gap of what is added (0: real pictures)")
    ax.set_ylabel(f"gain in {plain(metric)}, points")
    ax.yaxis.set_major_formatter(FuncFormatter(_points))
    note = f"{100 * base:g} % of the real pictures, and the others added; whiskers: 95 %"
    band = "\ngray: where the mean of both stops helping, 95 %" if banded else ""
    _finish(ax, heading, note + band)
    return fig


def exchange_plot(
    frame: pd.DataFrame,
    exchange: Exchange,
    *,
    n_pictures: int,
    direction: str = "",
    style_gap: float = 1.0,
    heading: str = "What a synthetic picture is worth",
    metric: str = "hit@10",
) -> Figure:
    """Scores over effective pictures: real ones count 1, synthetic ones what they are worth.

    Filled: real pictures alone, and the line through them. Open: with synthetic ones, drawn at
    their number of pictures; an arrow leads to the number of real ones that they are worth.

    Parameters
    ----------
    frame : DataFrame
        Of :func:`helpers.first.studies.scores.score_frame`; arms that the exchange does not rest on are
        left out.
    exchange : Exchange
    n_pictures : int
        In the whole training set: shares become numbers.
    """
    counted = (frame["synthetic"] == 0) | (frame["style_gap"] == style_gap)
    counted &= (frame["direction"] == direction) & (frame["real"] > 0) & ~frame["watermark"]
    part = frame[counted]
    total = n_pictures * (part["real"] + part["synthetic"])
    effective = n_pictures * (part["real"] + exchange.worth * part["synthetic"])
    fig, ax = plt.subplots(figsize=(6.6, 3.9), layout="constrained")
    at = np.log2(effective)
    line = part["value"].mean() + exchange.slope * (at - at.mean())
    order = np.argsort(effective.to_numpy())
    ax.plot(effective.iloc[order], line.iloc[order], color=INK, lw=1.2, ls=(0, (4, 3)), zorder=1,
            label="fitted line")  # fmt: skip
    alone = part["synthetic"] == 0
    ends = np.abs(part[["low", "high"]].sub(part["value"], axis=0)).to_numpy().T
    for chosen, where, mark in ((alone, effective, "o"), (~alone, total, "s")):
        if not chosen.any():
            continue
        color, name = (PALETTE[0], "real alone") if mark == "o" else (PALETTE[1], "with synthetic")
        beside = where[chosen] * (0.985 if mark == "o" else 1.015)
        ax.errorbar(beside, part["value"][chosen], yerr=ends[:, chosen.to_numpy()],
                    fmt=mark, color=color, mfc=color if mark == "o" else "white", ms=7, mew=1.5,
                    capsize=3, lw=1.2, label=name)  # fmt: skip
    for x, goal, y in zip(total[~alone], effective[~alone], part["value"][~alone], strict=True):
        ax.annotate("", (goal, y), (x, y), zorder=2,
                    arrowprops={"arrowstyle": "->", "color": PALETTE[1], "lw": 1.3})  # fmt: skip
    ax.set_xscale("log", base=2)
    halves = n_pictures / 2.0 ** np.arange(8)
    ax.xaxis.set_major_locator(FixedLocator(halves[halves > 0.95 * effective.min()]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
    ax.set_xlabel("training pictures (arrow: to as many real ones as they are worth)")
    ax.set_ylabel(f"{plain(metric)} on real test pictures, %")
    percent_axis(ax.yaxis)
    low, high = exchange.worth_low, exchange.worth_high
    note = f"one synthetic picture counts as {exchange.worth:.2f} real ones [{low:.2f}, {high:.2f}]"
    _finish(ax, heading, note)
    return fig


def worth_table(worths: pd.DataFrame, exchange: Exchange | None = None) -> pd.DataFrame:
    """The worth of a synthetic picture in each arm by itself, and the one worth fitted to all.

    Parameters
    ----------
    worths : DataFrame
        Of :func:`helpers.first.studies.mixtures.worth_by_arm`.
    exchange : Exchange, optional
        The pooled worth: a last row.
    """
    rows = [
        {"arm": row.label, "worth of a synthetic picture": _worth(row.worth, row.low, row.high),
         "scores like": "–" if np.isinf(row.worth)
         else f"{100 * (row.real + row.worth * row.synthetic):.0f} % real"}
        for row in worths.itertuples()
    ]  # fmt: skip
    if exchange:
        found = _worth(exchange.worth, exchange.worth_low, exchange.worth_high)
        rows.append(
            {"arm": "one worth fitted to all", "worth of a synthetic picture": found,
             "scores like": "–"}
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["arm", "worth of a synthetic picture", "scores like"])


def _worth(value: float, low: float, high: float) -> str:
    ends = [f"{v:.2f}" if np.isfinite(v) else "above" if v > 0 else "below" for v in (low, high)]
    side = "above" if value > 0 else "below"
    said = f"{value:.2f}" if np.isfinite(value) else f"outside the curve, {side}"
    return f"{said} [{ends[0]}, {ends[1]}]"


def _points(value: float, _: int | None = None) -> str:
    """A gain in points as a tick says it, with its sign and no digit lost: 0.025 is ``+2.5``."""
    points = round(100 * value, 6)
    return f"{points:+g}" if points else "0"


def _lines(ax: Axes, frame: pd.DataFrame, x: str, *, offset: float) -> None:
    """A line a direction with whiskers, a little beside one another."""
    for i, (direction, (name, color, marker, line)) in enumerate(LOOKS.items()):
        part = frame[frame["direction"] == direction].sort_values(x)
        if part.empty:
            continue
        ends = np.abs(part[["low", "high"]].sub(part["value"], axis=0)).to_numpy().T
        ax.errorbar(part[x] + (i - 1) * offset, part["value"], yerr=ends, color=color, ls=line,
                    marker=marker, ms=6, lw=1.8, elinewidth=1.1, capsize=3, label=name)  # fmt: skip


def _finish(ax: Axes, heading: str, note: str) -> None:
    title(ax, plain(heading), note=note)
    if "\n" in note:
        ax.set_title(plain(heading), loc="left", pad=36)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, handlelength=3)
