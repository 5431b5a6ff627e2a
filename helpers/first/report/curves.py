"""Figures of training: how the loss fell, which epoch was kept, and what it all cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from helpers.first.report.style import (
    HATCHES,
    INK,
    MARKERS,
    MUTED,
    PALETTE,
    percent_axis,
    plain,
    wrapped,
)

_LINES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
_TOO_LIGHT = 4  # lines are drawn in the first colors alone: the last is for areas


def learning_curves(
    runs: Mapping[str, Any],
    *,
    heading: str,
    references: Mapping[str, float] | None = None,
    score: str = "score",
    ylabel: str = "validation score, %",
) -> Figure:
    """The loss of each step, and the validation score of each epoch with the kept one ringed.

    Runs that were never validated have one panel.

    Parameters
    ----------
    runs : mapping of name to run
        A run has ``steps`` (dicts with ``step`` and ``loss``), ``epochs`` (dicts with ``epoch`` and
        ``score``, a fraction) and ``kept_epoch``: attributes, as of ``Trained``, or keys, as in
        ``training_logs.json``. Epochs without a score are left out.
    references : mapping of name to float, optional
        Losses worth comparing with, such as ``{"log 2": 0.693}``: dashed, horizontal.
    score, ylabel : str
        Which key of an epoch the right panel shows, and what it is called.

    Raises
    ------
    ValueError
        If there is no run, or one without steps.

    Examples
    --------
    >>> learning_curves({"M1": trained}, heading="How it went")  # doctest: +SKIP
    """
    if not runs:
        raise ValueError("learning_curves: no run to draw; give a mapping of name to run")
    scored = any(score in record for run in runs.values() for record in _part(run, "epochs"))
    fig, axes = plt.subplots(
        1, 1 + scored, figsize=(9.4 if scored else 6.2, 3.7), squeeze=False, layout="constrained",
        width_ratios=(1.25, 1)[: 1 + scored],
    )  # fmt: skip
    left, widths = axes[0][0], []
    for i, (name, run) in enumerate(runs.items()):
        look = {"color": PALETTE[i % _TOO_LIGHT], "ls": _LINES[i % len(_LINES)]}
        widths.append(_losses(left, name, _part(run, "steps"), look))
        if scored:
            _scores(axes[0][1], run, score, look | {"marker": MARKERS[i % len(MARKERS)]})
    for name, value in (references or {}).items():
        left.axhline(value, color=INK, lw=1, ls=(0, (4, 3)), zorder=1)
        left.annotate(plain(name), (1, value), (4, 0), xycoords=left.get_yaxis_transform(),
                      textcoords="offset points", va="center", fontsize=8.5)  # fmt: skip
    left.set(xlabel="optimizer step", ylabel="training loss, nats")
    left.set_ylim(bottom=min(0, left.get_ylim()[0]))
    left.set_title("Training loss", fontsize=10)
    if scored:
        _finish_scores(axes[0][1], plain(ylabel))
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    _legend(fig, list(runs), max(widths), scored=scored)
    return fig


def _losses(ax: Axes, name: str, steps: Sequence[Mapping], look: dict) -> int:
    """Draw the raw and the smoothed loss of one run; the number of steps in a mean."""
    if not steps:
        raise ValueError(f"learning_curves: run {name!r} has no steps; train it first")
    at = np.array([record["step"] for record in steps], float)
    loss = np.array([record["loss"] for record in steps], float)
    width = max(1, 2 * (len(loss) // 30) + 1)
    ax.plot(at, loss, color=look["color"], lw=0.7, alpha=0.45 if width > 1 else 1)
    if width > 1:
        ax.plot(at, running_mean(loss, width), lw=2, **look)
    return width


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """The mean of the ``width`` values around each, of fewer at the ends; NaN is left out.

    >>> running_mean(np.array([0.0, 3.0, 6.0]), 3).tolist()
    [1.5, 3.0, 4.5]
    """
    known = np.isfinite(values)
    ones = np.ones(width)
    start = (width - 1) // 2
    span = slice(start, start + len(values))
    total = np.convolve(np.where(known, values, 0.0), ones)[span]
    count = np.convolve(known.astype(float), ones)[span]
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan)


def _scores(ax: Axes, run: Any, score: str, look: dict) -> None:
    """The score of each epoch, and a ring around the epoch whose weights were kept."""
    found = {record["epoch"]: record[score] for record in _part(run, "epochs") if score in record}
    if not found:
        return
    ax.plot(list(found), list(found.values()), lw=1.6, ms=5.5, **look)
    kept = _part(run, "kept_epoch")
    if kept in found:
        ax.plot(kept, found[kept], "o", ms=14, mfc="none", mec=look["color"], mew=1.6)


def _finish_scores(ax: Axes, ylabel: str) -> None:
    ax.set(xlabel="epoch (0: before training)", ylabel=ylabel)
    ax.set_title("Validation", fontsize=10)
    percent_axis(ax.yaxis)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.margins(x=0.08, y=0.14)


def _legend(fig: Figure, names: list[str], width: int, *, scored: bool) -> None:
    loss = f"thin: each step, thick: mean of {width} steps" if width > 1 else "each step"
    right = "   ·   right: a ring marks the epoch that was kept"
    note = f"left: {loss}{right}" if scored else loss
    handles = [
        Line2D([], [], color=PALETTE[i % _TOO_LIGHT], ls=_LINES[i % len(_LINES)], lw=2, ms=5.5,
               marker=MARKERS[i % len(MARKERS)], label=wrapped(name, width=32, lines=2))
        for i, name in enumerate(names)
    ]  # fmt: skip
    if len(names) > 1:
        fig.legend(handles=handles, loc="outside lower left", ncols=min(4, len(names)), title=note,
                   title_fontsize=8.5, alignment="left", handlelength=3)  # fmt: skip
    else:
        fig.supxlabel(note, x=0.01, ha="left", fontsize=8.5, color=MUTED)


def _part(run: Any, name: str) -> Any:
    return run.get(name) if isinstance(run, Mapping) else getattr(run, name, None)


def cost_bars(
    costs: Mapping[str, Mapping[str, float]],
    *,
    units: Mapping[str, str],
    heading: str = "What it costs",
    note: str = "each panel has its own axis",
) -> Figure:
    """A panel a cost, a bar a variant, the value at its end.

    Parameters
    ----------
    costs : mapping of cost to (mapping of variant to value)
        Such as ``{"training": {"M0": 0, "M1, merged": 430}}``. A variant that is missing or not a
        number in one panel has no bar there and is marked *not measured*.
    units : mapping of cost to unit
        Of every cost: ``s``, ``MB``, ``images/s``, ``parameters``.

    Raises
    ------
    ValueError
        If there is no cost, one without a unit, or a value below 0 or infinite.

    Examples
    --------
    >>> cost_bars({"training": {"M1": 430.0}}, units={"training": "s"})  # doctest: +SKIP
    """
    variants = list(dict.fromkeys(name for values in costs.values() for name in values))
    if not variants:
        raise ValueError("cost_bars: no cost to draw; give cost -> variant -> value")
    if unknown := [cost for cost in costs if cost not in units]:
        raise ValueError(f"cost_bars: no unit for {unknown}; name one in units")
    columns = min(4, len(costs))
    rows = -(-len(costs) // columns)
    fig, axes = plt.subplots(
        rows, columns, figsize=(1.1 + 2.5 * columns, 0.75 + rows * (0.95 + 0.34 * len(variants))),
        sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for ax, cost in zip(axes.flat, costs, strict=False):
        values = np.array([costs[cost].get(name, np.nan) for name in variants], float)
        if np.isinf(values).any() or (values < 0).any():
            raise ValueError(f"cost_bars: {cost!r} holds {values.tolist()}; give 0 or more, finite")
        _cost_panel(ax, values)
        ax.set_title(plain(cost[:1].upper() + cost[1:]), fontsize=10)
        ax.set_xlabel(plain(units[cost]))
    for ax in axes.flat[len(costs) :]:
        ax.set_visible(False)
    axes[0][0].set_yticks(range(len(variants)), [wrapped(v, width=20, lines=2) for v in variants])
    axes[0][0].set_ylim(len(variants) - 0.4, -0.6)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    fig.supxlabel(plain(note), x=0.01, ha="left", fontsize=8.5, color=MUTED)
    return fig


def _cost_panel(ax: Axes, values: np.ndarray) -> None:
    top = np.nanmax(values, initial=0) or 1.0
    for row, value in enumerate(values):
        known = np.isfinite(value)
        if known:
            ax.barh(row, value, 0.66, color=PALETTE[row % 5], hatch=HATCHES[row % 5],
                    edgecolor="white", linewidth=0.8)  # fmt: skip
        ax.annotate(_amount(value) if known else "not measured", (value if known else 0, row),
                    (4, 0), textcoords="offset points", va="center", fontsize=8.5,
                    color=INK if known else MUTED)  # fmt: skip
    ax.set_xlim(0, top * 1.45)
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _short(v)))
    ax.grid(axis="y", visible=False)


def _amount(value: float) -> str:
    """A value as one says it: three digits, and every digit of a whole number.

    >>> _amount(983041.0), _amount(429.94), _amount(3.456), _amount(0.0)
    ('983,041', '430', '3.46', '0')
    """
    if value == 0 or value >= 100 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _short(value: float) -> str:
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {sign}"
    return f"{value:g}"
