"""Figures of two sets of pictures: histograms of their statistics, maps of their embeddings, gaps.

Both sets keep the same look everywhere: the first dark with a solid line and filled circles, the
second light with a dashed line, hatching and open squares.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from helpers.first.report.style import FAINT, INK, MUTED, PALETTE, plain

LOOKS = (
    {"color": PALETTE[0], "ls": "-", "hatch": "", "marker": "o", "filled": True},
    {"color": PALETTE[3], "ls": (0, (4, 1.5)), "hatch": "////", "marker": "s", "filled": False},
)


def statistic_histograms(
    a: pd.DataFrame,
    b: pd.DataFrame,
    comparison: pd.DataFrame,
    *,
    labels: tuple[str, str],
    heading: str,
    units: Mapping[str, str] | None = None,
) -> Figure:
    """A panel a statistic: how its values are distributed on both sides, and what the test says.

    Parameters
    ----------
    a, b : DataFrame
        The statistics of each picture, one column each.
    comparison : DataFrame
        Of :func:`helpers.first.studies.pixels.compare_statistics`, over the same columns.
    labels : pair of str
        What the two sides are called.
    heading : str
    units : mapping of column to str
        What stands under an axis.

    Raises
    ------
    ValueError
        If the comparison is about other columns.

    Examples
    --------
    >>> statistic_histograms(a, b, found, labels=("photo", "drawn"), heading="?")  # doctest: +SKIP
    """
    names = list(comparison["statistic"])
    if missing := [name for name in names if name not in a or name not in b]:
        raise ValueError(f"the comparison speaks of {missing[0]!r}, which is no column of a and b")
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    fig, axes = plt.subplots(
        rows, columns, figsize=(3.35 * columns, 2.75 * rows + 0.5), layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for ax, found in zip(axes.flat, comparison.to_dict("records"), strict=False):
        name = found["statistic"]
        _both_histograms(ax, a[name].to_numpy(), b[name].to_numpy())
        ax.set_title(plain(name.replace("_", " ")).capitalize(), pad=32)
        ax.annotate(_said(found, labels), (0, 1), (0, 5), xycoords="axes fraction", fontsize=8,
                    textcoords="offset points", va="bottom", color=MUTED)  # fmt: skip
        ax.set_xlabel(plain((units or {}).get(name, name)))
    for ax in list(axes.flat)[len(names) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("share of pictures, %")
    sizes = (len(a), len(b))
    handles = [_patch(look, f"{plain(label)} (n = {n:,})")
               for look, label, n in zip(LOOKS, labels, sizes, strict=True)]  # fmt: skip
    spare = list(axes.flat)[len(names) :]
    place = {"loc": "center"} if spare else {"loc": "outside lower left", "ncols": 2}
    (spare[0] if spare else fig).legend(handles=handles, **place)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return fig


def _both_histograms(ax: Axes, a: np.ndarray, b: np.ndarray) -> None:
    low, high = min(a.min(), b.min()), max(a.max(), b.max())
    if high == low:
        low, high = low - 0.5, high + 0.5
    bins = int(np.clip(1.5 * np.sqrt(min(len(a), len(b))), 8, 30))
    edges = np.linspace(low, high, bins + 1)
    for values, look in ((b, LOOKS[1]), (a, LOOKS[0])):  # the dark one on top
        share = 100 * np.histogram(values, edges)[0] / len(values)
        ax.stairs(
            share, edges, fill=True, color=look["color"], alpha=0.3, hatch=look["hatch"], lw=0
        )
        ax.stairs(share, edges, color=look["color"], lw=1.7, ls=look["ls"])
        ax.plot([values.mean()] * 2, [0, 1], transform=ax.get_xaxis_transform(), lw=1.1,
                color=look["color"], ls=look["ls"])  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.grid(axis="x", visible=False)


def _said(found: Mapping[str, float], labels: tuple[str, str]) -> str:
    """Difference with interval, effect size and test, in two lines."""
    difference, low, high = (f"{found[name]:+.3g}" for name in ("difference", "low", "high"))
    p = found["p_value"]
    tested = f"p {'<' if p < 0.001 else '='} {max(p, 0.001):.3f}"
    numbers = (
        f": {difference} [{low}, {high}]\n"
        f"{tested}   KS {found['ks']:.2f}   Cliff's delta {found['effect_size']:+.2f}"
    )
    return " − ".join(plain(label) for label in labels) + numbers.replace("-", "−")


def _patch(look: Mapping, label: str) -> Patch:
    return Patch(fc=look["color"], ec=look["color"], alpha=0.6, hatch=look["hatch"], label=label)


def embedding_panels(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    labels: tuple[str, str],
    heading: str,
    note: str = "",
    pairs: Sequence[int] = (),
    axes_named: tuple[str, str] | None = None,
) -> Figure:
    """Two sets of points in the plane, a panel a map: PCA, or t-SNE at several perplexities.

    Parameters
    ----------
    panels : mapping of name to ((n, 2), (m, 2))
        The points of the first and of the second set.
    labels : pair of str
    heading, note : str
        The note stands over the legend.
    pairs : sequence of int
        Rows whose two points are joined by a thin line: the same recipe on both sides.
    axes_named : pair of str, optional
        Names of the axes; without them (t-SNE) they carry no numbers, which would mean nothing.

    Raises
    ------
    ValueError
        If there is no panel.
    """
    if not panels:
        raise ValueError("embedding_panels: no panel to draw; give a mapping of name to points")
    fig, axes = plt.subplots(
        1, len(panels), figsize=(max(3.3 * len(panels), 4.6), 3.9), layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for ax, (name, points) in zip(axes[0], panels.items(), strict=True):
        for i in pairs:
            ax.plot(
                *np.stack([points[0][i], points[1][i]]).T, color=MUTED, lw=0.6, alpha=0.6, zorder=1
            )
        for side, look in zip(points, LOOKS, strict=True):
            ax.scatter(
                *np.asarray(side).T, s=13, marker=look["marker"], lw=0.8, alpha=0.85,
                facecolor=look["color"] if look["filled"] else "none",
                edgecolor="white" if look["filled"] else _darker(look["color"]),
            )  # fmt: skip
        ax.set_title(plain(name), fontsize=9.5, fontweight="normal", pad=6)
        ax.grid(visible=False)
        ax.set_aspect("equal", adjustable="datalim")
        if axes_named:
            ax.set(xlabel=plain(axes_named[0]), ylabel=plain(axes_named[1]))
        else:
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set(visible=True, color=FAINT)
    _heading(fig, heading)
    handles = [
        Line2D([], [], ls="", marker=look["marker"], ms=6, mec=_darker(look["color"]),
               mfc=look["color"] if look["filled"] else "none", label=plain(label))
        for look, label in zip(LOOKS, labels, strict=True)
    ]  # fmt: skip
    if len(pairs):
        handles.append(Line2D([], [], color=MUTED, lw=0.8, label="the same recipe"))
    fig.legend(handles=handles, loc="outside lower left", ncols=3, title=plain(note) or None,
               title_fontsize=8.5, alignment="left")  # fmt: skip
    return fig


def gap_by_layer_figure(gaps: pd.DataFrame, *, heading: str, note: str = "") -> Figure:
    """The gap in each layer: AUC with its interval, MMD, Frechet with its null, distance of means.

    Parameters
    ----------
    gaps : DataFrame
        Of :func:`helpers.first.studies.embedding_gap.gap_by_layer`.
    """
    at = np.arange(len(gaps))
    fig, axes = plt.subplots(1, 4, figsize=(11.2, 3.5), layout="constrained")
    look = {"color": PALETTE[0], "marker": "o", "ms": 5.5, "lw": 1.5}
    auc, mmd, frechet, ratio = axes
    spread = [gaps["auc"] - gaps["auc_low"], gaps["auc_high"] - gaps["auc"]]
    auc.errorbar(at, gaps["auc"], yerr=spread, capsize=3, **look)
    auc.axhline(0.5, color=INK, lw=1, ls=(0, (4, 3)))
    auc.annotate("chance", (at[-1], 0.5), (0, 3), textcoords="offset points", ha="right",
                 fontsize=8)  # fmt: skip
    auc.set(ylim=(min(0.45, gaps["auc_low"].min() - 0.02), 1.02))
    mmd.plot(at, gaps["mmd"], **look)
    for x, value, p in zip(at, gaps["mmd"], gaps["mmd_p"], strict=True):
        mmd.plot(x, value, "o", ms=5.5, mec=PALETTE[0], mfc=PALETTE[0] if p <= 0.05 else "white")
    mmd.axhline(0, color=INK, lw=1, ls=(0, (4, 3)))
    frechet.plot(at, gaps["frechet"], **look)
    frechet.plot(at, gaps["frechet_null"], color=PALETTE[1], marker="s", ms=5, mfc="white", lw=1.2,
                 ls=(0, (4, 1.5)))  # fmt: skip
    frechet.annotate("sides shuffled", (at[0], gaps["frechet_null"].iloc[0]), (-3, 11),
                     textcoords="offset points", fontsize=8)  # fmt: skip
    frechet.set_ylim(bottom=0)
    ratio.plot(at, gaps["centroid_ratio"], **look)
    ratio.set_ylim(bottom=0)
    names = ("Linear probe", "MMD", "Frechet distance", "Distance of the means")
    units = ("AUC on unseen recipes", "squared, unbiased",
             "share of the total variance", "over the spread around them")  # fmt: skip
    for ax, name, unit in zip(axes, names, units, strict=True):
        ax.set_title(name, pad=6)
        ax.set_ylabel(unit)
        ax.set_xticks(at, [plain(layer) for layer in gaps["layer"]], rotation=60, ha="right")
        ax.grid(axis="x", visible=False)
    _heading(fig, heading)
    open_marks = "MMD, open mark: p > .05" if (gaps["mmd_p"] > 0.05).any() else ""
    below = "   ·   ".join(part for part in (plain(note), open_marks) if part)
    fig.supxlabel(below, x=0.01, ha="left", fontsize=8.5, color=MUTED)
    return fig


def _heading(fig: Figure, heading: str) -> None:
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")


def _darker(color: str) -> tuple[float, float, float]:
    """A color that a thin line can carry."""
    from matplotlib.colors import to_rgb

    return tuple(0.72 * part for part in to_rgb(color))
