"""Figures of lesson 05: all pairs of some rows, and the trials of a search."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from helpers.report.plots import gain_against_loss, points_with_intervals
from helpers.report.style import FAINT, INK, LINES, MUTED, PALETTE, percent_axis, plain, title
from helpers.study import Design, Study
from helpers.topics.placement.study import TESTS, curves


def pair_matrix(study: Study, rows: Sequence[str], *, test: str, margin: float = 1.0) -> Figure:
    """The score of each row minus that of each column, in points.

    Dark: the 95 % interval excludes zero; tinted: it lies within ``margin`` points of zero. Only
    described, not tested: the hypotheses of the design are the family.
    """
    n = len(rows)
    fig, ax = plt.subplots(figsize=(2.6 + 0.72 * n, 1.9 + 0.46 * n), layout="constrained")
    for y, a in enumerate(rows):
        for x, b in enumerate(rows):
            if a == b:
                continue
            one = study.difference(a, b, test=test)
            away = one.low > 0 or one.high < 0
            near = max(abs(one.low), abs(one.high)) <= margin / 100
            face = PALETTE[0] if away else PALETTE[4] if near else "white"
            box = Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, fc=face, ec=FAINT, lw=0.8)
            ax.add_patch(box)
            value = round(100 * one.value, 1) + 0.0
            ax.text(x, y, f"{value:+.1f}", ha="center", va="center", fontsize=8.5,
                    color="white" if away else INK)  # fmt: skip
    ax.set_xlim(-0.5, n - 0.5)
    ax.set_ylim(n - 0.5, -0.5)
    ax.set_xticks(range(n), [plain(row) for row in rows], rotation=32, ha="right")
    ax.set_yticks(range(n), [plain(row) for row in rows])
    ax.grid(visible=False)
    title(ax, "All pairs of the reported rows", note="row minus column, points of hit@10")
    handles = [Patch(fc=PALETTE[0], label="interval excludes 0"),
               Patch(fc=PALETTE[4], label=f"interval within ±{margin:g} points"),
               Patch(fc="white", ec=MUTED, label="neither")]  # fmt: skip
    fig.legend(handles=handles, loc="outside lower left", ncols=3)
    return fig


def pairs_told(study: Study, rows: Sequence[str], *, test: str, margin: float = 1.0) -> str:
    """A sentence on all pairs: how many intervals exclude zero, and how many lie near it."""
    found = [study.difference(a, b, test=test) for a, b in combinations(rows, 2)]
    away = sum(one.low > 0 or one.high < 0 for one in found)
    near = sum(max(abs(one.low), abs(one.high)) <= margin / 100 for one in found)
    return (
        f"Of {len(found)} pairs {away} have an interval that excludes 0, and {near} one that lies "
        f"within ±{margin:g} points."
    )


def trials_plot(
    trials: pd.DataFrame, importance: Mapping[str, float], *, heading: str, reference: float
) -> Figure:
    """The score of each trial with the best so far; beside it how much each choice explains.

    Parameters
    ----------
    trials : DataFrame
        As :func:`helpers.topics.placement.search.trials_of` gives it.
    importance : mapping of choice to share
        Left out where it is empty.
    reference : float
        The zero-shot score, a line.
    """
    fig, axes = plt.subplots(
        1, 1 + bool(importance), figsize=(9.0 if importance else 6.4, 3.2), squeeze=False,
        width_ratios=(1.6, 1) if importance else None, layout="constrained",
    )  # fmt: skip
    ax = axes[0][0]
    depth = trials.get("text_layers", pd.Series(0, index=trials.index)).fillna(0)
    for i, (name, part) in enumerate(trials.groupby(np.where(depth > 0, "text layers", "none"))):
        label = f"adapts {name}" if name != "none" else "vision layers alone"
        ax.plot(part["number"] + 1, part["score"], "o^"[i], color=LINES[i], ms=6, label=label)
    ax.step(trials["number"] + 1, trials["score"].cummax().ffill(), where="post", color=MUTED,
            lw=1, label="best so far")  # fmt: skip
    ax.axhline(reference, color=MUTED, ls=(0, (4, 3)), lw=1)
    ax.annotate("zero-shot", (1, reference), (-2, 4), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", color=MUTED, fontsize=8.5)  # fmt: skip
    ax.set(xlabel="trial", ylabel="hit@10 on validation, percent")
    percent_axis(ax.yaxis)
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=3, borderaxespad=0.2)
    title(ax, heading, note=" " * bool(importance))
    if importance:
        names = sorted(importance, key=importance.get)
        beside = axes[0][1]
        beside.barh(range(len(names)), [importance[name] for name in names], color=PALETTE[2])
        beside.set_yticks(range(len(names)), [plain(name.replace("_", " ")) for name in names])
        beside.set(xlabel="share of the score's variance, percent")
        beside.grid(axis="y", visible=False)
        percent_axis(beside.xaxis)
        title(beside, "Which choice mattered", note=" ")
    return fig


def paths_plot(study: Study, design: Design) -> Figure:
    """Gain on the domain of the training against loss on the other, along paths from the base."""
    own, other = (design.data[test]["source"] for test in TESTS)
    fig = gain_against_loss(
        curves(study, design), heading="From the base to three adapted models",
        xlabel=f"hit@10 on {other}, change in points", ylabel=f"hit@10 on {own}, change in points",
    )  # fmt: skip
    fig.axes[0].legend(loc="lower left")  # above the axes it would cover the note
    return fig


def gains_plot(study: Study, rows: Sequence[str], *, tests: Sequence[str], heading: str) -> Figure:
    """What each row gains on its domain and loses on another, against zero-shot."""
    gains = {row: {row: 1, "zero-shot": -1} for row in rows}
    parts = [
        study.table(gains, test=test, directions=("both",)).assign(direction=test)
        for test in tests
    ]  # fmt: skip
    return points_with_intervals(pd.concat(parts), heading=heading, differences=True)
