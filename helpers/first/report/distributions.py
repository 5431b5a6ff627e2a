"""Figures of distributions: similarities of true and other pairs, ranks of the first hit."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import rankdata

from helpers.first.evaluation.chance import fixed_by
from helpers.first.report.style import INK, MUTED, PALETTE, figure_of, percent_axis, plain, title

RANK_EDGES = (0, 1, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000)


@dataclass(frozen=True, slots=True)
class Separation:
    """How far two samples of similarities lie apart.

    ``auc`` is the chance that a positive scores above a negative (ties count one half); ``overlap``
    is the area that the two densities share: 1 means the same, 0 apart.
    """

    auc: float
    overlap: float


def similarity_histograms(
    positive: Sequence[float],
    negative: Sequence[float],
    *,
    heading: str = "Do true pairs lie above the others?",
    labels: tuple[str, str] = ("pairs of one recipe", "pairs of two recipes"),
    xlabel: str = "cosine similarity",
    ax: Axes | None = None,
) -> Figure:
    """The densities of positive and negative similarities, with AUC and overlap written in.

    Raises
    ------
    ValueError
        If a sample is empty or holds a number that is not finite.
    """
    apart = separation(positive, negative)
    edges = _edges(positive, negative)
    fig, ax = figure_of(ax, size=(6.4, 3.4))
    # The larger sample goes behind; each has its own color, hatch and line.
    looks = (
        (negative, labels[1], PALETTE[3], "", "--"),
        (positive, labels[0], PALETTE[0], "////", "-"),
    )
    for sample, label, color, hatch, line in looks:
        density, _ = np.histogram(sample, edges, density=True)
        ax.stairs(density, edges, fill=True, color=color, alpha=0.32, hatch=hatch, lw=0)
        ax.stairs(
            density,
            edges,
            color=color,
            lw=1.8,
            ls=line,
            label=f"{plain(label)} (n = {len(sample):,})",
        )
    ax.set_xlabel(xlabel)
    ax.set_ylabel("density")
    ax.grid(axis="x", visible=False)
    ax.set_ylim(0, ax.get_ylim()[1] * 1.05)
    title(
        ax, heading,
        note=f"AUC {apart.auc:.3f}: the chance that a true pair scores above another one   ·   "
        f"overlap {100 * apart.overlap:.0f} %",
    )  # fmt: skip
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=2, borderaxespad=0)
    return fig


def separation(positive: Sequence[float], negative: Sequence[float]) -> Separation:
    """AUC (Mann and Whitney 1947, midranks for ties) and shared area of two samples.

    Examples
    --------
    >>> separation([0.8, 0.9], [0.1, 0.2])
    Separation(auc=1.0, overlap=0.0)
    """
    positive, negative = np.asarray(positive, float).ravel(), np.asarray(negative, float).ravel()
    for name, sample in (("positive", positive), ("negative", negative)):
        if not sample.size or not np.isfinite(sample).all():
            raise ValueError(f"{name} similarities: at least one number is expected, all finite")
    ranks = rankdata(np.concatenate([positive, negative]))
    n, m = positive.size, negative.size
    auc = (ranks[:n].sum() - n * (n + 1) / 2) / (n * m)
    edges = _edges(positive, negative)
    shares = [np.histogram(sample, edges)[0] / sample.size for sample in (positive, negative)]
    return Separation(float(auc), float(np.minimum(*shares).sum()))


def _edges(positive, negative) -> np.ndarray:
    """Bin edges over both samples, as many as the smaller one can fill (at most 40 bins)."""
    both = np.concatenate([np.ravel(positive), np.ravel(negative)])
    low, high = both.min(), both.max()
    if high == low:
        low, high = low - 0.5, high + 0.5
    bins = int(np.clip(np.sqrt(min(np.size(positive), np.size(negative))) * 1.5, 8, 40))
    return np.linspace(low, high, bins + 1)


def rank_histogram(
    ranks: Sequence[float],
    *,
    chance: Sequence[float] = (),
    hits: Sequence[int] = (1, 5, 10),
    n_gallery: int = 0,
    heading: str = "Where does the first hit stand?",
    ax: Axes | None = None,
) -> Figure:
    """How many queries find their first hit at rank 1, 2 to 5, 6 to 10, ...; hit@k marked.

    Parameters
    ----------
    ranks : (q,) numbers of at least 1
        Rank of the first hit of each query; ties may make it a half.
    chance : numbers of at least 1
        Ranks under a random order of the same gallery; their shares are drawn as open marks.
    hits : sequence of int
        The k of the hit@k lines, each an upper end of a bin (1, 5, 10, 20, 50, 100, ...).
    n_gallery : int
        Rows that are ranked: a hit@k that they fix at 1 has no line, and the note says so; 0: not
        known.

    Raises
    ------
    ValueError
        If there is no rank, one below 1 or not finite, or a k that ends no bin.
    """
    ranks = np.asarray(ranks, float)
    if not ranks.size or not np.isfinite(ranks).all() or ranks.min() < 1:
        raise ValueError("ranks: at least one number, all finite and at least 1, is expected")
    if unknown := [k for k in hits if k not in RANK_EDGES[1:]]:
        raise ValueError(f"hits {unknown}: choose from {RANK_EDGES[1:]}")
    fixed = [k for k in hits if n_gallery and fixed_by(f"hit@{k}", n_gallery)]
    hits = [k for k in hits if k not in fixed]
    top = max(ranks.max(), max(chance, default=1), max(hits, default=1))
    edges = [edge for i, edge in enumerate(RANK_EDGES) if not i or RANK_EDGES[i - 1] < top]
    edges[-1] = max(edges[-1], top)
    shares = _shares(ranks, edges)
    fig, ax = figure_of(ax, size=(6.4, 3.4))
    at = np.arange(len(shares))
    ax.bar(at, shares, 0.86, color=PALETTE[0], edgecolor="white")
    room = max(shares.max(), 0.05)
    if len(chance):
        guess = _shares(np.asarray(chance, float), edges)
        room = max(room, guess.max())
        ax.plot(at, guess, "D", mfc="white", mec=INK, ms=6, mew=1.2, label="a random order")
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.2), borderaxespad=0)
    for k in hits:
        x = edges.index(k) - 0.5
        ax.axvline(x, color=MUTED, ls=(0, (4, 3)), lw=1)
        ax.annotate(f"hit@{k}\n{100 * (ranks <= k).mean():.0f} %", (x, room * 1.28), (-4, 0),
                    va="top", ha="right", textcoords="offset points", fontsize=8.5)  # fmt: skip
    ax.set_ylim(0, room * 1.3)
    ax.set_xlim(-0.75, len(shares) - 0.4)
    ax.set_xticks(at, [_span(a, b) for a, b in pairwise(edges)])
    ax.set_xlabel("rank of the first hit (bins grow)")
    ax.set_ylabel("share of queries, %")
    ax.grid(axis="x", visible=False)
    percent_axis(ax.yaxis)
    absent = "".join(f"; hit@{k}: n/a ({fixed_by(f'hit@{k}', n_gallery)})" for k in fixed)
    title(ax, heading, note=f"{ranks.size:,} queries, median rank {np.median(ranks):g}, "
                            f"mean rank {ranks.mean():.1f}{absent}")  # fmt: skip
    return fig


def _shares(ranks: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Share of ranks in each bin (low, high]."""
    return np.array([((ranks > a) & (ranks <= b)).mean() for a, b in pairwise(edges)])


def _span(low: float, high: float) -> str:
    return f"{high:g}" if low + 1 >= high else f"{low + 1:g}\nto {high:g}"
