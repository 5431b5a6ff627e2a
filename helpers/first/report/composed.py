"""Composed retrieval in records, tables and figures: models, parts of the test, amounts of data."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from helpers.first.report.results import Record
from helpers.first.report.studies import value_records
from helpers.first.report.style import FAINT, MARKERS, MUTED, PALETTE, percent_axis, plain
from helpers.first.studies.composed import KS, MODELS, Found, hits
from helpers.first.training.composed_features import ComposedFeatures

HELD_OUT, KNOWN = "held-out combinations", "known combinations"


def models_table(names: Sequence[str]) -> pd.DataFrame:
    """A row a model: the paper that it comes from, and what its query is."""
    return pd.DataFrame(
        [
            {"model": name, "from": MODELS[name][0], "what is compared": MODELS[name][1]}
            for name in names
        ]
    )


def parts_of(features: ComposedFeatures) -> dict[str, np.ndarray]:
    """The queries of a test set in parts: all, and known and held-out combinations where told."""
    held = np.array([one.held_out for one in features.triplets.triplets])
    parts = {"": np.ones(len(held), dtype=bool)}
    if held.any() and not held.all():
        parts |= {KNOWN: ~held, HELD_OUT: held}
    return parts


def model_records(
    runs: Mapping[str, Sequence[Found]],
    features: ComposedFeatures,
    *,
    data: str,
    test: str = "test",
    ks: Sequence[int] = KS,
    **about: str | int,
) -> list[Record]:
    """hit@K of every model with its interval, for all queries and for the parts of the test.

    A part's records name it in ``data``: ``world:kitchen, held-out combinations``.
    """
    records = []
    for part, chosen in parts_of(features).items():
        where = f"{data}, {part}" if part else data
        for k in ks:
            values = {name: hits(done, k, test=test)[chosen] for name, done in runs.items()}
            records += value_records(
                values, f"hit@{k}", features.groups[chosen], data=where, direction="",
                gallery=features.choices.part(chosen), **about,
            )  # fmt: skip
    return records


def hits_plot(records: Sequence[Record], *, heading: str, note: str = "") -> Figure:
    """hit@K of models: a row a model, a mark a K with its 95 % interval, a panel a part.

    Raises
    ------
    ValueError
        If there is no record, or one that is no fraction.
    """
    records = [
        r for r in records if r.metric.startswith("hit@") and " " not in r.metric and r.measured
    ]
    if not records or {r.unit for r in records} != {"fraction"}:
        raise ValueError("hits_plot: give records of hit@K, in fractions")
    panels = list(dict.fromkeys(r.data for r in records))
    models = list(dict.fromkeys(r.model for r in records))
    metrics = list(dict.fromkeys(r.metric for r in records))
    fig, axes = plt.subplots(
        1, len(panels), figsize=(1.9 + 3.1 * len(panels), 1.5 + 0.52 * len(models)),
        sharex=True, sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for ax, panel in zip(axes[0], panels, strict=True):
        for r in (r for r in records if r.data == panel):
            i = metrics.index(r.metric)
            y = models.index(r.model) + (i - (len(metrics) - 1) / 2) * 0.24
            _interval(ax, r, y, PALETTE[i % 4], MARKERS[i % 5])
        n = max(r.n for r in records if r.data == panel)
        ax.set_title(f"{plain(panel.partition(', ')[2] or panel)} ({n} queries)",
                     fontsize=9, fontweight="normal")  # fmt: skip
        ax.set_xlabel("hit@K, %")
        ax.grid(axis="y", visible=False)
        percent_axis(ax.xaxis)
        for row in range(1, len(models)):
            ax.axhline(row - 0.5, color=FAINT, lw=0.8)
    axes[0][0].set_yticks(range(len(models)), [plain(name) for name in models])
    axes[0][0].set_ylim(len(models) - 0.5, -0.5)
    axes[0][0].set_xlim(left=-0.01)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    marks = [
        Line2D([], [], marker=MARKERS[i % 5], color=PALETTE[i % 4], label=name)
        for i, name in enumerate(metrics)
    ]
    fig.legend(
        handles=marks, loc="outside lower left", ncols=len(marks), alignment="left",
        title=plain(note) or "line: 95 % interval over triplets", title_fontsize=8.5,
    )  # fmt: skip
    return fig


def amount_plot(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, Record]]]],
    *,
    heading: str,
    x: str,
    note: str = "",
    logarithmic: bool = True,
) -> Figure:
    """A metric over an amount: a panel a model, a line a way to train, whiskers for intervals.

    Parameters
    ----------
    panels : mapping of panel to (mapping of line to points)
        A point is the amount and the record measured there.
    x : str
        What the amount is, with its unit.

    Raises
    ------
    ValueError
        If there is no point.
    """
    points = [p for lines in panels.values() for line in lines.values() for p in line]
    if not points:
        raise ValueError("amount_plot: no point to draw; run something first")
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    fig, axes = plt.subplots(
        1, len(panels), figsize=(1.0 + 2.7 * len(panels), 3.6), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax, (panel, lines) in zip(axes[0], panels.items(), strict=True):
        for name, line in lines.items():
            i = names.index(name)
            _line(ax, line, shift=1 + 0.05 * (i - (len(names) - 1) / 2), i=i, scaled=logarithmic)
        if logarithmic:
            ax.set_xscale("log")
        amounts = sorted({amount for line in lines.values() for amount, _ in line})
        ax.set_xticks(amounts, [f"{amount:g}" for amount in amounts])
        ax.minorticks_off()
        ax.set_title(plain(panel), fontsize=9.5, fontweight="normal")
        ax.set_xlabel(plain(x))
        percent_axis(ax.yaxis)
    axes[0][0].set_ylabel(f"{points[0][1].metric}, %")
    axes[0][0].set_ylim(bottom=0)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    marks = [
        Line2D([], [], marker=MARKERS[i % 5], color=PALETTE[i % 4], ls=_DASHES[i % 4], label=name)
        for i, name in enumerate(names)
    ]
    fig.legend(
        handles=marks, loc="outside lower left", ncols=len(marks), alignment="left",
        title=plain(note) or "whisker: 95 % interval over triplets", title_fontsize=8.5,
    )  # fmt: skip
    return fig


_DASHES = ("-", "--", ":", "-.")


def _interval(ax: Axes, r: Record, y: float, color: str, marker: str) -> None:
    if r.low is not None:
        ax.plot([r.low, r.high], [y, y], color=color, lw=1.8, solid_capstyle="butt")
    ax.plot(r.value, y, marker, color=color, ms=6, mec="white", mew=0.7)
    ends = r.high if r.high is not None else r.value
    ax.annotate(
        f"{100 * r.value:.0f}", (ends, y), (4, 0), textcoords="offset points", va="center",
        fontsize=7.5, color=MUTED,
    )  # fmt: skip


def _line(
    ax: Axes, line: Sequence[tuple[float, Record]], *, shift: float, i: int, scaled: bool
) -> None:
    """One line; the lines of a panel are moved a little apart, so that whiskers can be told."""
    color = PALETTE[i % 4]
    reach = max((amount for amount, _ in line), default=1.0)
    at = [amount * shift if scaled else amount + (shift - 1) * reach for amount, _ in line]
    values = [r.value for _, r in line]
    ax.plot(at, values, _DASHES[i % 4], color=color, marker=MARKERS[i % 5], ms=6, mec="white")
    for place, (_, r) in zip(at, line, strict=True):
        if r.low is not None:
            ax.plot([place, place], [r.low, r.high], color=color, lw=1.2)
