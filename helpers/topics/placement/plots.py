"""Figures of lesson 05: all pairs of some rows, and the trials of a search."""

from collections.abc import Sequence
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from helpers.report.plots import legend, points_with_intervals
from helpers.report.style import FAINT, INK, LINES, MUTED, PALETTE, percent_axis, plain, title
from helpers.study import Study


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


def trials_plot(trials: pd.DataFrame, *, heading: str, reference: float) -> Figure:
    """The score of each trial with the best so far, and the zero-shot score, ``reference``.

    ``trials`` are as :func:`helpers.topics.placement.search.trials_of` gives them.
    """
    fig, ax = plt.subplots(figsize=(6.8, 3.2), layout="constrained")
    depth = trials.get("text_layers", pd.Series(0, index=trials.index)).fillna(0)
    kinds = np.where(depth > 0, "adapts text layers", "vision layers alone")
    for i, (name, part) in enumerate(trials.groupby(kinds)):
        ax.plot(part["number"] + 1, part["score"], "^o"[i], color=LINES[i], ms=6, label=name)
    ax.step(trials["number"] + 1, trials["score"].cummax().ffill(), where="post", color=MUTED,
            lw=1, label="best so far")  # fmt: skip
    ax.axhline(reference, color=MUTED, ls=(0, (4, 3)), lw=1)
    ax.annotate("zero-shot", (1, reference), (-2, 4), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", color=MUTED, fontsize=8.5)  # fmt: skip
    ax.set(xlabel="trial", ylabel="hit@10 on validation, percent")
    ax.xaxis.get_major_locator().set_params(integer=True)
    percent_axis(ax.yaxis)
    legend(ax, wanted=True)
    title(ax, heading, note=" ")
    return fig


def gains_plot(study: Study, rows: Sequence[str], *, tests: Sequence[str], heading: str) -> Figure:
    """What each row gains on its domain and loses on another, against zero-shot."""
    gains = {row: {row: 1, "zero-shot": -1} for row in rows}
    parts = [
        study.table(gains, test=test, directions=("both",)).assign(direction=test)
        for test in tests
    ]  # fmt: skip
    return points_with_intervals(pd.concat(parts), heading=heading, differences=True)
