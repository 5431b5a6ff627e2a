"""The figure of lesson 10: what an index finds for how much work."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from helpers.report.style import INK, LINES, MARKERS, MUTED, percent_axis, plain


def work_curves(measured: pd.DataFrame, *, heading: str, recall: float) -> Figure:
    """Recall of the nearest over the rows compared: a panel for each index, a line for queries.

    ``measured`` has the columns ``index, queries, share, recall``; ``recall`` is the level wanted,
    a dashed line. A full scan stands at 100 percent of the rows.
    """
    names = list(dict.fromkeys(measured["index"]))
    queries = list(dict.fromkeys(measured["queries"]))
    fig, axes = plt.subplots(
        1, len(names), figsize=(4.1 * len(names), 3.5), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    ticks = [t for t in (0.001, 0.01, 0.1, 1) if t >= measured["share"].min() / 3]
    for ax, name in zip(axes[0], names, strict=True):
        for i, asked in enumerate(queries):
            rows = (measured["index"] == name) & (measured["queries"] == asked)
            part = measured[rows].sort_values("share")
            ax.plot(part["share"], part["recall"], color=LINES[i], marker=MARKERS[i], ms=5,
                    label=plain(asked))  # fmt: skip
        ax.plot([1], [1], "*", color=INK, ms=10, clip_on=False, label="full scan")
        ax.axhline(recall, color=MUTED, ls=(0, (4, 3)), lw=1)
        ax.set_xscale("log")
        ax.set_xticks(ticks)
        ax.xaxis.set_minor_locator(NullLocator())
        percent_axis(ax.xaxis)
        percent_axis(ax.yaxis)
        ax.set(xlabel="rows compared, percent of the gallery", ylim=(0, 1.04))
        ax.set_title(plain(name), fontsize=10, loc="left")
    axes[0][0].set_ylabel("recall of the ten nearest, percent")
    fig.legend(*axes[0][-1].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return fig
