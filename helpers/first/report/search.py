"""Figures of a search: how it went, which choice mattered, and what its winner is worth."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.first.evaluation.comparison import Comparison
from helpers.first.evaluation.intervals import Interval
from helpers.first.report.search_records import (
    ShownSearch,
    search_of,
    search_records,
    share_interval,
    shown,
    winner_name,
)
from helpers.first.report.style import (
    FAINT,
    INK,
    MUTED,
    PALETTE,
    percent_axis,
    plain,
    title,
    wrapped,
)
from helpers.first.studies.search import Search
from helpers.first.studies.search_trials import STARTUP

__all__ = [
    "importance_plot", "search_against_rows", "search_history", "search_of", "search_records",
    "winner_name",
]  # fmt: skip

WORDS = {
    "alpha_over_rank": "alpha / rank",
    "vision_layers": "vision layers",
    "text_layers": "text layers",
    "learning_rate": "learning rate",
}


def search_history(search: Search | ShownSearch, *, heading: str = "How the search went") -> Figure:
    """The validation score of each trial in order, the best so far, and the untrained base.

    A trial that was pruned stands at the best score that it had reached; one that was never trained
    is a cross on the axis.

    Examples
    --------
    >>> search_history(search)  # doctest: +SKIP
    """
    search = shown(search) if isinstance(search, Search) else search
    trials = search.trials
    fig, ax = plt.subplots(figsize=(8.6, 3.9), layout="constrained")
    complete, pruned = (trials[trials["state"] == state] for state in ("complete", "pruned"))
    untrained = pruned[pruned["score"].isna()]
    pruned = pruned[pruned["score"].notna()]
    random = min(STARTUP, len(trials))
    ax.axvspan(-0.5, random - 0.5, color=FAINT, alpha=0.55, lw=0, zorder=0)
    ax.annotate("drawn at random", (random / 2 - 0.5, 1), (0, -4), ha="center", va="top",
                xycoords=ax.get_xaxis_transform(), textcoords="offset points", color=MUTED,
                fontsize=8.5)  # fmt: skip
    ax.axhline(search.untrained, color=INK, lw=1, ls=(0, (4, 3)), zorder=1,
               label="base, untrained")  # fmt: skip
    so_far = complete["score"].cummax()
    steps = np.append(complete["number"], len(trials)), np.append(so_far, so_far.iloc[-1])
    ax.step(*steps, where="post", color=PALETTE[0], lw=1.6, zorder=2, label="best so far")
    ax.plot(complete["number"], complete["score"], "o", color=PALETTE[0], ms=6.5, zorder=3,
            label=f"complete: {len(complete)}")  # fmt: skip
    ax.plot(pruned["number"], pruned["score"], "v", mfc="white", mec=PALETTE[1], mew=1.4, ms=6,
            zorder=3, label=f"pruned, best score until then: {len(pruned)}")  # fmt: skip
    if len(untrained):
        ax.plot(untrained["number"], np.zeros(len(untrained)), "x", color=MUTED, ms=6, mew=1.6,
                transform=ax.get_xaxis_transform(), clip_on=False, zorder=4,
                label=f"not trained: {len(untrained)}")  # fmt: skip
    best = complete.loc[complete["score"].idxmax()]
    ax.plot(best["number"], best["score"], "o", ms=14, mfc="none", mec=PALETTE[0], mew=1.6)
    ax.set(xlabel="trial", ylabel="validation score, %", xlim=(-0.5, len(trials)))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    percent_axis(ax.yaxis)
    ax.margins(y=0.16)
    ax.grid(axis="x", visible=False)
    note = f"ringed: the best trial, {search.winner}; {search.seconds / 60:.1f} minutes in all"
    title(ax, plain(heading), note=plain(note))
    fig.legend(loc="outside lower left", ncols=3)
    return fig


def importance_plot(
    importance: Mapping[str, Sequence[float] | Interval],
    *,
    heading: str = "Which choice mattered in the search",
    ax: Axes | None = None,
) -> Figure:
    """The share of the score's variance that each value explains: every repetition, and the median.

    Parameters
    ----------
    importance : mapping of name to shares, or to an interval
        As in :attr:`helpers.first.studies.search.Search.importance`, or as records keep it.

    Raises
    ------
    ValueError
        If there is none, as after few complete trials.

    Examples
    --------
    >>> importance_plot(search.importance)  # doctest: +SKIP
    """
    if not importance:
        raise ValueError(
            "importance_plot: no importance to draw; a search has one from eight complete trials on"
        )
    size = (7.4, 1.5 + 0.42 * len(importance))
    fig = ax.get_figure() if ax else plt.figure(figsize=size, layout="constrained")
    ax = ax or fig.subplots()
    for row, shares in enumerate(importance.values()):
        raw = () if isinstance(shares, Interval) else shares
        found = share_interval(shares) if len(raw) else shares
        spread = np.linspace(-0.16, 0.16, len(raw)) if len(raw) > 1 else np.zeros(len(raw))
        ax.plot(raw, row + spread, "o", ms=3.5, color=MUTED, alpha=0.45, mew=0)
        ax.plot([found.low, found.high], [row, row], color=PALETTE[0], lw=2, solid_capstyle="butt")
        ax.plot(found.value, row, "o", color=PALETTE[0], ms=7.5)
        ax.annotate(f"{found.value:.0%}  [{found.low:.0%}, {found.high:.0%}]", (1, row), (7, 0),
                    va="center", xycoords=ax.get_yaxis_transform(), textcoords="offset points",
                    fontsize=8.5)  # fmt: skip
    ax.set_yticks(range(len(importance)), [plain(WORDS.get(name, name)) for name in importance])
    ax.set_ylim(len(importance) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel("share of the variance of the validation score, %")
    percent_axis(ax.xaxis)
    ax.grid(axis="y", visible=False)
    note = (
        f"median of {found.n} forests, each on trials drawn with replacement; line: 95 % of them\n"
        "in the space that was searched, of the complete trials alone"
    )
    title(ax, plain(heading), note=note)
    ax.set_title(ax.get_title(loc="left"), loc="left", pad=37)
    return fig


def search_against_rows(
    validation: Mapping[str, float],
    test: Mapping[str, Interval],
    *,
    winner: str,
    comparison: Comparison | None = None,
    heading: str = "The search against the rows of the grid",
    metric: str = "score",
) -> Figure:
    """Validation and test score of the search's winner and of other rows, best validation first.

    What was chosen by its validation score loses some of its lead on the test recipes: the more
    trials it was chosen from, the more. The two panels have axes of their own, since a score
    depends on how many recipes it is searched among: compare orders and distances, not levels.

    Parameters
    ----------
    validation : mapping of row to float
        Mean over the seeds that the test score is of; the winner's from its own runs, not from the
        search, whose best trial is the luckiest one.
    test : mapping of row to Interval
    winner : str
        Which row the search found.
    comparison : Comparison, optional
        Winner minus the best other row on validation, on the test queries.
    metric : str
        What the scores are.

    Raises
    ------
    ValueError
        If the two mappings have other rows, or the winner is none of them.

    Examples
    --------
    >>> search_against_rows(validation, test, winner="search")  # doctest: +SKIP
    """
    if set(validation) != set(test) or winner not in test:
        raise ValueError(
            f"search_against_rows: rows {sorted(test)} of the test, {sorted(validation)} of the "
            f"validation, winner {winner!r}: give both scores of each row, the winner's too"
        )
    names = sorted(test, key=lambda name: -validation[name])
    fig, (left, right) = plt.subplots(
        1, 2, figsize=(9.4, 2.0 + 0.42 * len(names)), width_ratios=(1, 1.7), sharey=True,
        layout="constrained",
    )  # fmt: skip
    for row, name in enumerate(names):
        marker, color = ("s", PALETTE[1]) if name == winner else ("o", PALETTE[0])
        found = test[name]
        left.plot(validation[name], row, marker, color=color, ms=7.5)
        right.plot([found.low, found.high], [row, row], color=color, lw=2, solid_capstyle="butt")
        right.plot(found.value, row, marker, color=color, ms=7.5)
        right.annotate(
            f"{100 * found.value:.1f}  [{100 * found.low:.1f}, {100 * found.high:.1f}]", (1, row),
            (7, 0), xycoords=right.get_yaxis_transform(), va="center",
            textcoords="offset points", fontsize=8.5,
        )  # fmt: skip
    for ax, part in ((left, "Validation, mean of seeds"), (right, "Test, 95 % intervals")):
        place = names.index(winner)
        ax.axhspan(place - 0.5, place + 0.5, color=FAINT, alpha=0.6, lw=0, zorder=0)
        ax.set_title(part, fontsize=9.5, fontweight="normal")
        ax.set_xlabel(f"{plain(metric)}, %")
        ax.margins(x=0.12)
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))  # whole percents
        percent_axis(ax.xaxis)
        ax.grid(axis="y", visible=False)
    left.set_yticks(range(len(names)), [wrapped(name, width=30, lines=2) for name in names])
    left.set_ylim(len(names) - 0.5, -0.5)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    note = "square: found by the search; the galleries differ in size, and so do the levels"
    fig.supxlabel(note + _difference(comparison), x=0.01, ha="left", fontsize=8.5, color=MUTED)
    return fig


def _difference(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    low, value, high = (
        f"{100 * v:+.1f}".replace("-", "\N{MINUS SIGN}")
        for v in (comparison.low, comparison.difference, comparison.high)
    )
    return (
        "\nsquare minus the other row that is best on validation, on the test: "
        f"{value} [{low}, {high}] points, {comparison.verdict}"
    )
