"""Figures of training on two looks: paths of fixed pictures, and the gap epoch by epoch."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from helpers.first.report.style import INK, MARKERS, PALETTE, plain, wrapped
from helpers.first.studies.trajectories import Trajectory

LINES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
SIDES = {"real": (PALETTE[0], "o"), "synthetic": ("#a1782a", "s")}  # as in report.gap
# Column of a gap: its panel's title, what the axis is called, and the value without any gap. A
# probe at chance and a kernel at 0 are what samples of one look come to on average; the centroids
# of two samples never meet, and twins at 0 are the very same embedding.
MEASURES = {
    "auc": ("Linear probe", "AUC on unseen recipes", 0.5),
    "centroid_ratio": ("Centroids", "distance over spread", 0.0),
    "mmd": ("Kernel", "squared MMD", 0.0),
    "twin_distance": ("Twins", "distance; 1: two strangers", 0.0),
}


def path_plot(
    paths: Mapping[str, Trajectory],
    *,
    heading: str = "Where the same pictures go",
    n_single: int = 12,
) -> Figure:
    """Fixed pictures before and after training, and the way of the two centroids, a panel an arm.

    All panels show one projection, fitted before training. Above: faint points are the pictures
    before, thin lines the ways of a few. Below, enlarged: the two centroids, a mark an epoch, and
    the gap between them before and after.

    Parameters
    ----------
    paths : mapping of arm to Trajectory
        One seed each.
    n_single : int
        How many pictures of each look have their own way drawn.

    Raises
    ------
    ValueError
        If there is no path.

    Examples
    --------
    >>> path_plot({"real only": path})  # doctest: +SKIP
    """
    if not paths:
        raise ValueError("path_plot: no path to draw; walk a run first")
    fig, axes = plt.subplots(
        2, len(paths), figsize=(1.0 + 3.4 * len(paths), 6.6), sharex="row", sharey="row",
        squeeze=False, layout="constrained", height_ratios=(1, 0.9),
    )  # fmt: skip
    for (above, below), (arm, path) in zip(axes.T, paths.items(), strict=True):
        for side, (color, marker) in SIDES.items():
            _pictures(above, getattr(path, side), color, marker, n_single)
            _centroids(below, getattr(path, side), color, marker)
        for epoch, line in ((0, (0, (1, 1.5))), (-1, "-")):
            ends = np.stack([getattr(path, side)[epoch].mean(axis=0) for side in SIDES])
            below.plot(*ends.T, color=INK, lw=1.2, ls=line, zorder=2)
        above.set_title(wrapped(arm, width=34, lines=2), fontsize=10)
        below.set_xlabel("first component")
        below.margins(0.2)
        below.xaxis.set_major_locator(MaxNLocator(4))
    axes[0][0].set_ylabel("second component: pictures")
    axes[1][0].set_ylabel("second component: centroids")
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    handles = [
        Line2D([], [], color=color, marker=marker, mec="white", ms=7, lw=2.4, label=side)
        for side, (color, marker) in SIDES.items()
    ]
    note = (
        "above: faint before, thin: the ways of a few   ·   below, enlarged: centroids, a mark "
        "an epoch, ring before;\nblack: the gap before (dotted) and after (solid)"
    )
    fig.legend(handles=handles, loc="outside lower left", ncols=2, title=note,
               title_fontsize=8.5, alignment="left", handlelength=3)  # fmt: skip
    return fig


def _pictures(ax: Axes, points: np.ndarray, color: str, marker: str, n_single: int) -> None:
    """One look of one arm, (E, n, 2): all pictures before, and the ways of a few."""
    ax.plot(*points[0].T, marker, color=color, ms=3, alpha=0.22, mew=0, zorder=1)
    chosen = np.linspace(0, points.shape[1] - 1, min(n_single, points.shape[1])).astype(int)
    for i in chosen:
        ax.plot(*points[:, i].T, color=color, lw=0.9, alpha=0.7, zorder=2)
        ax.plot(*points[-1, i], marker, color=color, ms=3.6, mew=0, zorder=2)


def _centroids(ax: Axes, points: np.ndarray, color: str, marker: str) -> None:
    middle = points.mean(axis=1)  # (E, 2)
    ax.plot(*middle.T, color=color, lw=2.2, marker=marker, ms=7, mec="white", mew=0.9, zorder=4)
    ax.plot(*middle[0], "o", ms=14, mfc="none", mec=INK, mew=1.2, zorder=5)


def gap_plot(
    frame: pd.DataFrame,
    *,
    measures: Sequence[str] = ("auc", "mmd", "centroid_ratio", "twin_distance"),
    heading: str = "Does the gap close?",
) -> Figure:
    """The gap between both looks by epoch, a panel a measure, a line an arm (mean over its runs).

    Parameters
    ----------
    frame : DataFrame
        As :func:`helpers.first.studies.trajectories.gap_frame` gives it. Where arms have several runs,
        thin lines show each.
    measures : sequence of str
        Keys of ``MEASURES``.

    Raises
    ------
    ValueError
        If a measure is unknown or the frame is empty.
    """
    if frame.empty:
        raise ValueError("gap_plot: no row to draw; walk some runs first")
    if unknown := [name for name in measures if name not in MEASURES]:
        raise ValueError(f"gap_plot: no measure {unknown[0]!r}; use {', '.join(MEASURES)}")
    arms = list(dict.fromkeys(frame["arm"]))
    fig, axes = plt.subplots(
        1, len(measures), figsize=(0.6 + 2.7 * len(measures), 3.6), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax, measure in zip(axes[0], measures, strict=True):
        name, unit, nothing = MEASURES[measure]
        for i, arm in enumerate(arms):
            part = frame[frame["arm"] == arm]
            look = {"color": PALETTE[i % 4], "ls": LINES[i % 4]}
            if part["run"].nunique() > 1:
                for _, one in part.groupby("run"):
                    ax.plot(one["epoch"], one[measure], lw=0.7, alpha=0.45, **look)
            mean = part.groupby("epoch")[measure].mean()
            ax.plot(mean.index, mean, lw=2, marker=MARKERS[i % 5], ms=6, mec="white", **look)
        ax.axhline(nothing, color=INK, lw=1, ls=(0, (4, 3)), zorder=1)
        top, bottom = ax.get_ylim()[1], nothing
        ax.set_ylim(bottom - 0.06 * (top - bottom), top + 0.04 * (top - bottom))
        ax.set_title(name, fontsize=10)
        ax.set(xlabel="epoch (0: before)", ylabel=unit)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    handles = [
        Line2D([], [], color=PALETTE[i % 4], ls=LINES[i % 4], marker=MARKERS[i % 5], lw=2,
               label=plain(arm))
        for i, arm in enumerate(arms)
    ]  # fmt: skip
    note = (
        "dashed: a probe at chance; a kernel's mean without a gap; centroids and twins that "
        "coincide,\nwhich two samples' centroids never do, not even of one look"
    )
    fig.legend(handles=handles, loc="outside lower left", ncols=min(3, len(arms)), title=note,
               title_fontsize=8.5, alignment="left", handlelength=3)  # fmt: skip
    return fig
