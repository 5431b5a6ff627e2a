"""Figures of composed retrieval: triplets, what queries found, and texts beside their images."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from helpers.report.galleries import thumbnail
from helpers.report.style import HIT, INK, MISS, MUTED, plain, wrapped
from helpers.topics.cir.triplets import Source, Triplet, TripletSet

Load = Callable[[str], Image.Image]


def triplet_grid(source: Source, triplets: Sequence[Triplet], *, heading: str) -> Figure:
    """Reference, a target, and an image that is not asked for: a column for each triplet."""
    fig, axes = plt.subplots(3, len(triplets), figsize=(1.75 * len(triplets), 6.2), squeeze=False)
    for column, one in zip(axes.T, triplets, strict=True):
        names = (one.reference, one.targets[0], source.unlike(one))
        for ax, name in zip(column, names, strict=True):
            _show(ax, source.load_image(name))
        text = wrapped(f"“{one.caption}”", width=23, lines=4)
        column[0].set_title(text, fontsize=8.5, fontweight="normal")
    for ax, what in zip(axes[:, 0], ("reference", "target", "not asked for"), strict=True):
        ax.text(-0.08, 0.5, what, transform=ax.transAxes, rotation=90, va="center", ha="right",
                fontsize=9, color=MUTED)  # fmt: skip
    _finish(fig, heading, left=0.05, top=0.83, wspace=0.08, hspace=0.04)
    return fig


def composed_gallery(
    source: Source, one: TripletSet, scores: Mapping[str, np.ndarray], queries: Sequence[int], *,
    k: int = 5, heading: str,
) -> Figure:  # fmt: skip
    """Some queries of a gallery: reference and text, then the first ``k`` images of each model.

    ``scores`` are (q, g) by the name of a model: a line for each model and query.
    """
    lines = [(query, name) for query in queries for name in scores]
    fig, axes = plt.subplots(
        len(lines), k + 2, figsize=(1.35 * (k + 2) + 0.9, 1.6 * len(lines) + 0.6), squeeze=False,
        gridspec_kw={"width_ratios": [1, 1.3, *[1] * k]},
    )  # fmt: skip
    excluded = one.excluded()
    for row, (query, name) in zip(axes, lines, strict=True):
        triplet = one.triplets[query]
        _show(row[0], source.load_image(triplet.reference))
        _say(row[1], plain(name), f"“{triplet.caption}”")
        order = np.argsort(-scores[name][query], kind="stable")
        for ax, place in zip(row[2:], order[order != excluded[query]][:k], strict=True):
            found = one.gallery[place]
            _show(ax, source.load_image(found))
            hit = found in triplet.targets
            ax.add_patch(Rectangle(
                (0, 0), 1, 1, transform=ax.transAxes, fill=False, clip_on=False,
                ec=HIT if hit else MISS, lw=3 if hit else 1.2, ls="-" if hit else (0, (4, 3)),
            ))  # fmt: skip
            score = f"{'✓ ' * hit}{scores[name][query, place]:.2f}"
            ax.text(0.5, -0.05, score, transform=ax.transAxes, va="top", ha="center", fontsize=8,
                    color=HIT if hit else MUTED)  # fmt: skip
    note = "✓ solid frame: a target   ·   dashed: not   ·   number: score"
    _finish(fig, heading, note=note, left=0.01, wspace=0.1, hspace=0.22)
    return fig


def text_gallery(
    audit: pd.DataFrame, triplets: Sequence[Triplet], load: Load, *, n: int = 6,
    heading: str,
) -> Figure:  # fmt: skip
    """Reference, target, the generated text and the annotated one: the first ``n`` texts."""
    rows = list(zip(audit.to_dict("records"), triplets, strict=True))[:n]
    lines = -(-len(rows) // 2)
    fig, axes = plt.subplots(
        lines, 6, figsize=(11, 1.55 * lines + 0.5), squeeze=False,
        gridspec_kw={"width_ratios": [1, 1, 2] * 2},
    )  # fmt: skip
    for ax in axes.flat:
        ax.set_axis_off()
    for i, (told, one) in enumerate(rows):
        line, side = divmod(i, 2)
        before, after, words = axes[line][3 * side : 3 * side + 3]
        _show(before, load(one.reference))
        _show(after, load(one.targets[0]))
        judged = "" if "complete" not in told else "complete" if told["complete"] else (
            f"names {told['invented']}" if told["hallucinated"] else "not complete")  # fmt: skip
        annotated = f"annotated: “{one.caption}”" if one.caption else ""
        _say(words, judged, f"“{told['text']}”", annotated)
    _finish(fig, heading, left=0.01, wspace=0.08, hspace=0.12)
    return fig


def _show(ax: Axes, image: Image.Image) -> None:
    ax.imshow(thumbnail(image))
    ax.set_axis_off()


def _say(ax: Axes, label: str, text: str, below: str = "") -> None:
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.set_axis_off()
    ax.text(0.03, 0.99, plain(label), va="top", fontsize=8.5, color=INK, fontweight="bold")
    ax.text(0.03, 0.80, wrapped(text, width=22, lines=4), va="top", fontsize=8.5)
    ax.text(0.03, 0.02, wrapped(below, width=28, lines=3), va="bottom", fontsize=8, color=MUTED)


def _finish(
    fig: Figure, heading: str, *, note: str = "", left: float, top: float = 0.0, **space: float
) -> None:
    """The heading above the axes, at its size whatever the figure's."""
    height = fig.get_figheight()
    above = top or 1 - (0.75 if note else 0.45) / height
    fig.subplots_adjust(left=left, right=0.99, top=above, bottom=0.03, **space)
    fig.text(0.01, 1 - 0.06 / height, plain(heading), va="top", fontsize=11, fontweight="bold")
    fig.text(0.01, 1 - 0.32 / height, plain(note), va="top", fontsize=8.5, color=MUTED)
