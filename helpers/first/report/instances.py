"""Figures of instance retrieval: batch sizes, reliability, and errors beside their look-alikes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from helpers.first.evaluation.calibration import Calibration
from helpers.first.evaluation.intervals import Interval
from helpers.first.prepare.query_facts import CarFacts
from helpers.first.report.galleries import thumbnail
from helpers.first.report.style import (
    HIT,
    INK,
    MARKERS,
    MISS,
    MUTED,
    PALETTE,
    percent_axis,
    plain,
    title,
    wrapped,
)
from helpers.first.training.instance_runs import Bench, Measured

_LINES = ("-", (0, (5, 1.5)), (0, (1, 1.2)))
_LEAST = 1e-6  # probabilities below it are drawn at it
PARTS = ("make", "model", "body", "year")


@dataclass(frozen=True)
class Lookalike:
    """A query whose first picture is wrong, with that picture and the best right one.

    Attributes
    ----------
    query : str
    wanted, found : CarFacts
        Of the class that was asked for, and of the class that came first.
    right, wrong : Image
    right_score, wrong_score : float
        Cosine similarities.
    rank : int
        Of the best right picture.
    """

    query: str
    wanted: CarFacts
    found: CarFacts
    right: Image.Image
    wrong: Image.Image
    right_score: float
    wrong_score: float
    rank: int

    @property
    def shared(self) -> tuple[str, ...]:
        """The facts that both classes have alike."""
        return tuple(n for n in PARTS if getattr(self.wanted, n) == getattr(self.found, n))


def lookalikes(
    measured: Measured, bench: Bench, facts: Sequence[CarFacts], *, side: str = "test"
) -> list[Lookalike]:
    """Every query whose first picture is of another class, the narrowest miss first."""
    known = {car.id: car for car in facts}
    pictures, data = bench.pictures[side], measured.data
    scores, matches = measured.texts @ measured.images.T, measured.matches
    found = []
    for query, (row, right) in enumerate(zip(scores, matches, strict=True)):
        first = int(row.argmax())
        if right[first]:
            continue
        best = int(np.where(right, row, -np.inf).argmax())
        asked, got = (
            str(ids[i]) for ids, i in ((data.caption_ids, query), (data.image_ids, first))
        )
        found.append(
            Lookalike(
                data.captions[query], known[asked], known[got], pictures[best], pictures[first],
                float(row[best]), float(row[first]), int((row > row[best]).sum()) + 1,
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: one.wrong_score - one.right_score)


def lookalike_gallery(found: Sequence[Lookalike], *, heading: str) -> Figure:
    """A row an error: the query, the picture that came first, and the best one of the right class.

    Raises
    ------
    ValueError
        If there is no error to draw.
    """
    if not found:
        raise ValueError("lookalike_gallery: no error to draw; every first picture is right")
    fig, axes = plt.subplots(
        len(found), 3, figsize=(6.4, 0.7 + 1.75 * len(found)), squeeze=False,
        width_ratios=(1.15, 1, 1), layout="constrained",
    )  # fmt: skip
    for (text, wrong, right), one in zip(axes, found, strict=True):
        text.set_axis_off()
        text.text(0, 0.95, wrapped(f"“{one.query}”", width=24, lines=4), va="top", fontsize=9.5)
        alike = ", ".join(one.shared) or "nothing"
        text.text(0, 0.08, wrapped(f"alike: {alike}", width=26, lines=2), fontsize=8.5, color=MUTED)
        _picture(wrong, one.wrong, f"first, {one.wrong_score:.3f}", one.found, MISS, (0, (4, 3)))
        head = f"✓ rank {one.rank}, {one.right_score:.3f}"
        _picture(right, one.right, head, one.wanted, HIT, "-")
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return fig


def _picture(
    ax: Axes, image: Image.Image, head: str, car: CarFacts, color: str, line: str | tuple
) -> None:
    ax.imshow(thumbnail(image), interpolation="antialiased")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color=color, linewidth=2, linestyle=line)
    name = " ".join(filter(None, (car.make, car.model, car.body, car.year)))
    ax.set_title(plain(head), fontsize=8.5, fontweight="normal", pad=3)
    ax.set_xlabel(wrapped(name, width=28, lines=2), fontsize=8)


Curves = Mapping[str, Mapping[int, Interval]]


def batch_curves(
    panels: Mapping[str, Curves],
    *,
    heading: str,
    metric: str,
    note: str = "text to image; bar: 95 % interval over classes",
) -> Figure:
    """A metric over batch sizes: a panel a budget, a line a loss, bars for 95 % intervals.

    Parameters
    ----------
    panels : mapping of panel title to (loss to (batch size to Interval))
    note : str
        The direction and what a bar is, as the legend's title.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if not any(curves for curves in panels.values()):
        raise ValueError("batch_curves: no curve to draw; run an arm first")
    fig, axes = plt.subplots(
        1, len(panels), figsize=(1.2 + 4.2 * len(panels), 3.7), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax, (name, curves) in zip(axes[0], panels.items(), strict=True):
        for i, (loss, by_size) in enumerate(curves.items()):
            sizes = np.array(sorted(by_size))
            found = [by_size[size] for size in sizes]
            value = np.array([f.value for f in found])
            error = np.abs(np.array([[f.low, f.high] for f in found]).T - value)
            ax.errorbar(
                sizes * (1 + 0.05 * i), value, error, color=PALETTE[i], marker=MARKERS[i],
                ls=_LINES[i], capsize=3, lw=1.7, label=loss,
            )  # fmt: skip
        ax.set_xscale("log", base=2)
        ticks = sorted({size for by_size in curves.values() for size in by_size})
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        ax.set_xlabel("batch, pairs")
        ax.set_title(plain(name), fontsize=9.5, fontweight="normal")
        percent_axis(ax.yaxis)
    axes[0][0].set_ylim(bottom=0)
    axes[0][0].set_ylabel(f"{metric}, %")
    handles, labels = axes[0][0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower left", ncols=len(labels), handlelength=3,
               title=note, title_fontsize=8.5, alignment="left")  # fmt: skip
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return fig


def reliability_plot(found: Mapping[str, Calibration], *, heading: str) -> Figure:
    """Predicted probability against the share of matches, both on logarithmic axes.

    On the diagonal a probability is what it says; below it the model promises too much. The small
    triangles at the bottom are the means of all pairs. Both axes start at the power of ten below
    all that is drawn.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if not found:
        raise ValueError("reliability_plot: no calibration to draw")
    fig, ax = plt.subplots(figsize=(5.8, 4.6), layout="constrained")
    drawn = [
        x for c in found.values() for x in (*c.bins[["predicted", "observed"]].min(), c.predicted)
    ]
    least = max(_LEAST, 10 ** np.floor(np.log10(max(min(drawn), _LEAST))))
    ax.plot([least, 1], [least, 1], color=INK, lw=1, ls=(0, (4, 3)), zorder=1)
    for i, (name, one) in enumerate(found.items()):
        bins = one.bins.clip(lower=least)
        error = f"error {one.error.value:.4f} [{one.error.low:.4f}, {one.error.high:.4f}]"
        ax.plot(
            bins["predicted"], bins["observed"], color=PALETTE[i], marker=MARKERS[i],
            ls=_LINES[i % 3], lw=1.5, ms=5, label=f"{plain(name)}: {error}",
        )  # fmt: skip
        ax.plot(max(one.predicted, least), least, "^", color=PALETTE[i], ms=8, clip_on=False)
    share = next(iter(found.values())).observed
    ax.axhline(share, color=MUTED, lw=0.8, ls=(0, (1, 2)))
    ax.annotate("share of matches", (least, share), (2, 3), textcoords="offset points",
                fontsize=8, color=MUTED)  # fmt: skip
    ax.set(xscale="log", yscale="log", xlim=(least, 1), ylim=(least, 1))
    ax.set(xlabel="mean probability of the bin", ylabel="share of matches in the bin")
    title(ax, plain(heading), note="dashed: a probability is what it says; triangles: the mean")
    fig.legend(loc="outside lower left", fontsize=8.5)
    return fig
