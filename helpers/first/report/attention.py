"""Figures of attention: maps laid over pictures with the true regions drawn in, and shares."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from PIL import Image

from helpers.first.report.style import INK, MARKERS, MUTED, PALETTE, plain

REGION_LOOKS = {
    "watermark": {"color": "#ffffff", "ls": "-", "label": "watermark"},
    "dish": {"color": "#ffffff", "ls": (0, (1.5, 1.5)), "label": "dish"},
}
_LINES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))


def attention_overlays(
    images: Sequence[Image.Image],
    maps: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
    *,
    heading: str,
    under: Mapping[str, Sequence[Image.Image]] | None = None,
    captions: Sequence[str] = (),
) -> Figure:
    """A column a picture: as it is, and under each map (bright: attended) with the regions drawn.

    Parameters
    ----------
    images : n pictures, square
    maps : mapping of name to (n, h, w) float
        A row each, such as one a checkpoint; every map sums to 1.
    masks : mapping of name to (n, px, px) bool
        ``watermark`` (solid) and ``dish`` (dotted).
    heading : str
    under : mapping of name to n pictures, optional
        What lies under the maps of that name, where it is not ``images``.
    captions : sequence of str
        Over the pictures, one each.

    All maps share one scale, from 0 to their 99.5th percentile.

    Raises
    ------
    ValueError
        If there is nothing to draw, or numbers differ.
    """
    n = len(images)
    counts = {name: len(found) for name, found in {**maps, **masks}.items()}
    if not n or not maps or any(count != n for count in counts.values()):
        raise ValueError(
            f"attention_overlays: {n} pictures, and {counts}; give one of each a picture"
        )
    even = {name: found.shape[1] * found.shape[2] for name, found in maps.items()}
    every = np.concatenate([(found * even[name]).ravel() for name, found in maps.items()])
    top = float(np.quantile(every, 0.995))
    rows = 1 + len(maps)
    fig, axes = plt.subplots(
        rows, n, figsize=(1.42 * n + 1.5, 1.42 * rows + 0.75), layout="constrained", squeeze=False
    )
    for i, image in enumerate(images):
        axes[0, i].imshow(image)
        if captions:
            axes[0, i].set_title(plain(captions[i]), fontsize=7.5, fontweight="normal", pad=3)
        for ax, (name, found) in zip(axes[1:, i], maps.items(), strict=True):
            shown = _overlay(ax, (under or {}).get(name, images)[i], found[i] * even[name], top)
            _outline(ax, {region: mask[i] for region, mask in masks.items()}, image.width)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
        for spine in ax.spines.values():
            spine.set_visible(False)
    for ax, name in zip(axes[:, 0], ("picture", *maps), strict=True):
        ax.set_ylabel(plain(name), rotation=0, ha="right", va="center", fontsize=8.5)
    bar = fig.colorbar(shown, ax=axes[1:, :], shrink=0.9, pad=0.015, aspect=18, extend="max")
    bar.set_label("attention, times the even share", fontsize=8.5)
    bar.outline.set_visible(False)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    lines = "solid: the true watermark   ·   dotted: the true dish with its plate"
    fig.supxlabel(lines if set(masks) == set(REGION_LOOKS) else "", x=0.01, ha="left",
                  fontsize=8.5, color=MUTED)  # fmt: skip
    return fig


def _overlay(ax: Axes, image: Image.Image, heat: np.ndarray, top: float):
    """The picture in quiet gray under its map, which keeps its patches."""
    extent = (0, image.width, image.height, 0)
    ax.imshow(image.convert("L"), cmap="gray", extent=extent, vmin=-120, vmax=330)
    return ax.imshow(heat, cmap="inferno", alpha=0.72, extent=extent, vmin=0, vmax=top,
                     interpolation="nearest")  # fmt: skip


def _outline(ax: Axes, masks: Mapping[str, np.ndarray], width: int) -> None:
    """The border of each region, white on black, so that it shows on any ground."""
    for name, mask in masks.items():
        if not mask.any() or mask.all():
            continue
        look = REGION_LOOKS.get(name, REGION_LOOKS["watermark"])
        region = _box(mask) if name == "watermark" else mask
        scale = width / mask.shape[1]
        grid = (np.arange(mask.shape[1]) + 0.5) * scale, (np.arange(mask.shape[0]) + 0.5) * scale
        for color, lw in ((INK, 2.4), (look["color"], 1.1)):
            ax.contour(*grid, region.astype(float), levels=[0.5], colors=[color], linewidths=lw,
                       linestyles=["solid" if color == INK else look["ls"]])  # fmt: skip


def _box(mask: np.ndarray) -> np.ndarray:
    """The smallest box around a mask, grown by a pixel: letters alone make no readable outline."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.zeros_like(mask)
    box[max(rows[0] - 1, 1) : min(rows[-1] + 2, len(mask) - 1),
        max(columns[0] - 1, 1) : min(columns[-1] + 2, mask.shape[1] - 1)] = True  # fmt: skip
    return box


def share_curves(
    intervals: pd.DataFrame,
    *,
    heading: str,
    note: str = "",
    xlabel: str = "checkpoint",
    series: str = "pictures",
) -> Figure:
    """The share of attention on each region over the checkpoints, with intervals and its area.

    Parameters
    ----------
    intervals : DataFrame
        Of :func:`helpers.first.studies.attention.share_intervals`, one ``kind``; other columns may tell
        series apart.
    heading, note, xlabel : str
    series : str
        The column whose values are lines of their own.

    Raises
    ------
    ValueError
        If there is no row, or several kinds of map.
    """
    if intervals.empty or intervals["kind"].nunique() > 1:
        raise ValueError(
            f"share_curves: {len(intervals)} rows of the kinds "
            f"{sorted(intervals['kind'].unique())}; give the rows of one kind"
        )
    regions = list(dict.fromkeys(intervals["region"]))
    checkpoints = list(dict.fromkeys(intervals["checkpoint"]))
    fig, axes = plt.subplots(
        1,
        len(regions),
        figsize=(4.4 * len(regions) + 0.4, 3.7),
        layout="constrained",
        squeeze=False,
    )
    lines = list(dict.fromkeys(intervals[series]))
    for ax, region in zip(axes[0], regions, strict=True):
        mine = intervals[intervals["region"] == region]
        ax.axhline(mine["area"].mean(), color=INK, lw=1, ls=(0, (4, 3)))
        ax.annotate("its\narea", (1, mine["area"].mean()), (3, 0), fontsize=8, va="center",
                    xycoords=ax.get_yaxis_transform(), textcoords="offset points")  # fmt: skip
        for i, line in enumerate(lines):
            rows = mine[mine[series] == line]
            at = np.array([checkpoints.index(c) for c in rows["checkpoint"]], float)
            at += 0.06 * (i - (len(lines) - 1) / 2)
            spread = [rows["share"] - rows["low"], rows["high"] - rows["share"]]
            ax.errorbar(at, rows["share"], yerr=spread, capsize=3, lw=1.5, ms=6,
                        color=PALETTE[i % 4], marker=MARKERS[i % len(MARKERS)],
                        mfc="white" if i % 2 else PALETTE[i % 4], ls=_LINES[i % 4])  # fmt: skip
        ax.set_title(f"On the {plain(region)}", pad=6)
        ax.set_xticks(range(len(checkpoints)), [plain(str(c)) for c in checkpoints])
        ax.set_xlabel(plain(xlabel))
        ax.set_ylabel("share of the attention, %")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}"))
        ax.grid(axis="x", visible=False)
        ax.margins(x=0.12, y=0.2)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    handles = [
        Line2D([], [], color=PALETTE[i % 4], marker=MARKERS[i % len(MARKERS)], ls=_LINES[i % 4],
               mfc="white" if i % 2 else PALETTE[i % 4], label=plain(str(line)))
        for i, line in enumerate(lines)
    ]  # fmt: skip
    fig.legend(handles=handles, loc="outside lower left", ncols=4, title=plain(note) or None,
               title_fontsize=8.5, alignment="left")  # fmt: skip
    return fig
