"""Figures of indexes: recall against work, on real vectors and on random ones."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from helpers.first.report.results import Record
from helpers.first.report.style import FAINT, INK, MARKERS, MUTED, PALETTE, percent_axis, plain
from helpers.first.retrieval.chooser import Measured, frontier

FAMILIES = {"flat": "flat, exact", "hnsw": "HNSW", "ivfpq": "IVF-PQ, rescored",
            "codes": "IVF-PQ, codes alone"}  # fmt: skip


def family(one: Measured) -> str:
    """The key of ``FAMILIES`` that a measured index belongs to."""
    if one.kind.name == "ivfpq" and not one.kind.rescored:
        return "codes"
    return one.kind.name


def frontier_plot(
    found: Mapping[str, Sequence[Measured]],
    *,
    chosen: Measured | None = None,
    heading: str = "Recall against work",
    note: str = "line: what nothing beats; whiskers: 95 % interval; numbers: effort, or probes",
) -> Figure:
    """A panel for each set of vectors; up and to the left is better.

    Parameters
    ----------
    found : mapping of str to sequence of Measured
        Title of a panel to what was measured on those vectors.
    chosen : Measured, optional
        Ringed.

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> frontier_plot({"own vectors": measured})  # doctest: +SKIP
    """
    if not found or not all(found.values()):
        raise ValueError("frontier_plot: nothing was measured; call measure_kinds first")
    fig, panels = plt.subplots(
        1, len(found), figsize=(4.5 * len(found), 4), sharey=True, sharex=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    names = list(FAMILIES)
    for ax, (title, measured) in zip(panels[0], found.items(), strict=True):
        best = frontier(measured)
        ax.plot([m.looked_at for m in best], [m.recall for m in best], color=FAINT, lw=5,
                zorder=1, solid_capstyle="round")  # fmt: skip
        for one in measured:
            _point(ax, one, names.index(family(one)))
        if chosen is not None and chosen in measured:
            ax.plot(chosen.looked_at, chosen.recall, "o", ms=15, mfc="none", mec=INK, mew=1.6)
        ax.set_title(plain(f"{title}: {measured[0].n:,} rows"), fontsize=10)
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.margins(x=0.12)
        ax.set_xlabel("rows and codes that one query is compared with")
    low = min(m.low for measured in found.values() for m in measured)
    panels[0][0].set_ylim(max(-0.02, low - 0.06), 1.06)
    panels[0][0].set_ylabel("of the ten nearest found, %")
    percent_axis(panels[0][0].yaxis)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    here = {family(m) for measured in found.values() for m in measured}
    handles = [_sign(i) for i, name in enumerate(names) if name in here]
    if chosen is not None:
        ring = Line2D([], [], ls="", marker="o", ms=11, mfc="none", mec=INK, label="chosen")
        handles.append(ring)
    fig.legend(handles=handles, loc="outside lower left", ncols=len(handles), title=note,
               title_fontsize=8.5, alignment="left")  # fmt: skip
    return fig


def _point(ax: Axes, one: Measured, i: int) -> None:
    ends = [[max(0, one.recall - one.low)], [max(0, one.high - one.recall)]]
    ax.errorbar(one.looked_at, one.recall, yerr=ends, fmt=MARKERS[i], color=PALETTE[i], ms=7,
                mec=INK, mew=0.6, capsize=2, elinewidth=1, zorder=3)  # fmt: skip
    setting = one.kind.effort if one.kind.name == "hnsw" else one.kind.probes
    if one.kind.name != "flat":
        below = one.kind.name == "hnsw"
        ax.annotate(f"{setting}", (one.looked_at, one.recall), (6, -11 if below else 5),
                    textcoords="offset points", fontsize=7, color=MUTED)  # fmt: skip


def _sign(i: int) -> Line2D:
    return Line2D([], [], ls="", marker=MARKERS[i], color=PALETTE[i], mec=INK, mew=0.6, ms=7,
                  label=list(FAMILIES.values())[i])  # fmt: skip


def index_records(
    measured: Sequence[Measured], *, queries: int, lesson: str, run: str, data: str, seed: int,
    model: str, split: str = "all",
) -> list[Record]:  # fmt: skip
    """Recall, work, latency and size of every index as records; ``model`` is that of the rows."""
    records = []
    for one in measured:
        common = {"lesson": lesson, "run": run, "model": f"{model}, {one.kind.label}",
                  "data": data, "split": split, "direction": "", "seed": seed}  # fmt: skip
        values = (("recall@10 of the nearest", one.recall, one.low, one.high, queries, "fraction"),
                  ("rows looked at", one.looked_at, None, None, queries, "rows"),
                  ("latency", one.latency_ms, None, None, queries, "ms"),
                  ("size", one.size_mb, None, None, one.n, "MiB"))  # fmt: skip
        for metric, value, low, high, n, unit in values:
            records.append(
                Record(metric=metric, value=value, low=low, high=high, n=n, unit=unit, **common)
            )
    return records


def nearness_plot(near: Mapping[str, np.ndarray], *, heading: str = "How near is near?") -> Figure:
    """Cosines of queries with their nearest rows and with all, a panel a set of vectors.

    Parameters
    ----------
    near : mapping of str to (q, n) float
        Title to the cosines of every query with every row.
    """
    fig, panels = plt.subplots(
        1, len(near), figsize=(4.5 * len(near), 2.9), sharex=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax, (title, cosines) in zip(panels[0], near.items(), strict=True):
        ranked = -np.sort(-np.asarray(cosines), axis=1)
        places = {"nearest": 0, "rank 10": 9, "rank 100": 99}
        parts = {"all rows": ranked.ravel()}
        parts |= {k: ranked[:, min(v, ranked.shape[1] - 1)] for k, v in places.items()}
        for i, (label, values) in enumerate(parts.items()):
            ax.hist(values, bins=np.linspace(-1, 1, 81), density=True, histtype="step", lw=1.8,
                    color=PALETTE[3 - i], ls=("-", "--", "-.", ":")[i], label=label)  # fmt: skip
        ax.set_title(plain(title), fontsize=10)
        ax.set_xlabel("cosine with the query")
        ax.set_yticks([])
        ax.grid(axis="y", visible=False)
    least = min(float(np.min(cosines)) for cosines in near.values())
    panels[0][0].set_xlim(min(-0.5, least - 0.05), 1)  # of all panels: they share the axis
    panels[0][0].set_ylabel("density")
    panels[0][-1].legend()
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return fig
