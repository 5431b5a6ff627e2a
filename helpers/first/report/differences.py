"""Figures that set two models side by side on the same queries: paired differences, ranks."""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from helpers.first.evaluation.comparison import Comparison
from helpers.first.report.results import DIRECTION_NAMES
from helpers.first.report.style import FAINT, INK, MUTED, PALETTE, figure_of, plain, title, wrapped

Comparisons = Mapping[str, Comparison]

# A verdict's marker, and whether it is filled; shape and filling say it without color.
_LOOKS = {
    "better": ("o", PALETTE[0], True),
    "worse": ("s", PALETTE[1], True),
    "not distinguishable": ("o", MUTED, False),
}
_RANK_LOOKS = {
    "better": ("o", PALETTE[0], True),
    "worse": ("^", PALETTE[1], True),
    "same": ("D", MUTED, False),
}
_TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)


def difference_plot(
    comparisons: Comparisons | Mapping[str, Comparisons],
    *,
    heading: str,
    note: str = "",
    unit: str = "points",
) -> Figure:
    """Paired differences with their intervals around zero: a row a name, a panel a direction.

    Parameters
    ----------
    comparisons : mapping of name to Comparison, or of direction to such a mapping
        A row that is missing, or not a number, in one direction is left empty there.
    note : str
        How to read the figure; by default what the difference is made of and what the marks mean.
    unit : str
        ``points``: differences of fractions, drawn in percentage points; any other unit, such as
        ``ranks``, is drawn as it comes.

    Raises
    ------
    ValueError
        If there is nothing to draw, or comparisons and mappings are mixed.

    Examples
    --------
    >>> difference_plot({"R@10": compared}, heading="M1 minus M0")  # doctest: +SKIP
    """
    panels = _panels(comparisons)
    names = list(dict.fromkeys(name for rows in panels.values() for name in rows))
    factor = 100.0 if unit == "points" else 1.0
    reach = factor * _reach(c for rows in panels.values() for c in rows.values())
    fig, axes = plt.subplots(
        1, len(panels), figsize=(1.4 + 4.3 * len(panels), 1.7 + 0.5 * len(names)),
        sharex=True, sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for ax, (direction, rows) in zip(axes[0], panels.items(), strict=True):
        for row, name in enumerate(names):
            if name in rows:
                _difference_row(ax, row, rows[name], factor)
        ax.axvline(0, color=INK, lw=1.1, zorder=1)
        ax.set_title(_panel_title(direction, rows), fontsize=9.5, fontweight="normal")
        ax.set_xlim(-reach, reach)
        ax.set_xlabel(f"difference, {plain(unit)}")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _signed(v, "g")))
        ax.grid(axis="y", visible=False)
    axes[0][0].set_yticks(
        range(len(names)), [wrapped(n.replace("+", " + "), width=24, lines=2) for n in names]
    )
    axes[0][0].set_ylim(len(names) - 0.5, -0.5)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    fig.legend(
        handles=_difference_legend(panels), loc="outside lower left", ncols=4, alignment="left",
        title=plain(note) or "on the same queries; line: 95 % interval over recipes",
        title_fontsize=8.5,
    )  # fmt: skip
    return fig


def _panels(comparisons) -> dict[str, Comparisons]:
    """Direction to rows; one panel without a name if the comparisons came without directions."""
    nested = [isinstance(value, Mapping) for value in comparisons.values()]
    if any(nested) and not all(nested):
        raise ValueError(
            "difference_plot: comparisons and mappings are mixed; give name -> Comparison, "
            "or direction -> name -> Comparison"
        )
    panels = dict(comparisons) if all(nested) else {"": comparisons}
    if not any(panels.values()):
        raise ValueError("difference_plot: no comparison to draw; compare two models first")
    return panels


def _reach(comparisons: Iterable[Comparison]) -> float:
    """Half the width of the axis: all that is finite, and a margin."""
    found = [
        abs(number)
        for c in comparisons
        for number in (c.difference, c.low, c.high, c.smallest_detectable)
        if np.isfinite(number)
    ]
    return 1.12 * (max(found, default=0.0) or 0.01)


def _difference_row(ax: Axes, row: int, c: Comparison, factor: float) -> None:
    """One difference: what could not have been seen as a band, interval, mark, and its numbers."""
    if not np.isfinite(c.difference):
        _beside(ax, row, c.verdict if c.reason else "no value")
        return
    marker, color, filled = _LOOKS[c.verdict]
    if np.isfinite(c.smallest_detectable):
        wide = factor * c.smallest_detectable
        ax.barh(row, 2 * wide, 0.62, left=-wide, color=FAINT, alpha=0.75, lw=0, zorder=0.5)
    value, low, high = (factor * v for v in (c.difference, c.low, c.high))
    text = _signed(value)
    if np.isfinite([low, high]).all():
        ax.plot([low, high], [row, row], color=color, lw=2, solid_capstyle="butt")
        ax.plot([low, high], [row, row], "|", color=color, ms=9, mew=1.4)
        text += f"  [{_signed(low)}, {_signed(high)}]"
    ax.plot(value, row, marker, ms=7.5, mec=color, mew=1.6, mfc=color if filled else "white")
    _beside(ax, row, f"{text}\n{c.verdict}")


def _beside(ax: Axes, row: int, text: str) -> None:
    ax.annotate(text, (1, row), (7, 0), xycoords=ax.get_yaxis_transform(), va="center", fontsize=8,
                linespacing=1.25, textcoords="offset points")  # fmt: skip


def _signed(value: float, form: str = ".1f") -> str:
    """A number with its sign, the minus as long as the plus; no sign before a zero."""
    text = f"{value:+{form}}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def _panel_title(direction: str, rows: Comparisons) -> str:
    name = DIRECTION_NAMES.get(direction, direction) if direction else ""
    queries, recipes = ({getattr(c, part) for c in rows.values()} for part in ("n", "n_groups"))
    size = f"{max(queries):,} queries" if len(queries) == 1 else ""
    if size and len(recipes) == 1 and max(recipes):  # records do not say how many recipes
        size += f", {max(recipes):,} recipes"
    return "  ·  ".join(part for part in (plain(name[:1].upper() + name[1:]), size) if part)


def _difference_legend(panels: Mapping[str, Comparisons]) -> list:
    every = [c for rows in panels.values() for c in rows.values()]
    handles: list = [
        Line2D([], [], marker=marker, color=color, mfc=color if filled else "white", mew=1.6, ms=7,
               label=verdict)
        for verdict, (marker, color, filled) in _LOOKS.items()
        if any(c.verdict == verdict for c in every)
    ]  # fmt: skip
    if any(np.isfinite(c.smallest_detectable) for c in every):
        handles.append(Patch(fc=FAINT, label="too small for this test set to show reliably"))
    return handles


def rank_changes(
    before: Sequence[float],
    after: Sequence[float],
    *,
    heading: str,
    labels: tuple[str, str] = ("before", "after"),
    k: int = 10,
    ax: Axes | None = None,
) -> Figure:
    """Rank of the first hit of each query before against after, on log axes; lower is better.

    Equal pairs of ranks share a mark, whose area is their number.

    Parameters
    ----------
    before, after : (q,) numbers of at least 1
        The same queries in the same order; ties may make a rank a half.
    labels : pair of str
        What the axes are called, such as ``("M0", "M1")``.
    k : int
        Thin lines at this rank: who entered and who left the first k is counted; 0: none.

    Raises
    ------
    ValueError
        If the lengths differ, there is no query, or a rank is below 1 or not finite.

    Examples
    --------
    >>> rank_changes(m0.ranks, m1.ranks, heading="Who moved?")  # doctest: +SKIP
    """
    before, after = (np.asarray(ranks, float).ravel() for ranks in (before, after))
    if before.shape != after.shape:
        raise ValueError(f"rank_changes: {before.size} ranks before, {after.size} after; "
                         "give both for the same queries")  # fmt: skip
    both = np.column_stack([before, after])  # (q, 2)
    if not both.size or not np.isfinite(both).all() or both.min() < 1:
        raise ValueError(
            "rank_changes: at least one query, all ranks finite and at least 1, is due"
        )
    fig, ax = figure_of(ax, size=(5.2, 5.4))
    low, high = 0.7, max(both.max(), k, 2) * 1.5
    ax.plot([low, high], [low, high], color=INK, lw=1, zorder=1)
    places, counts = np.unique(both, axis=0, return_counts=True)
    area = min(30.0, 600 / counts.max())
    kinds = np.select(
        [places[:, 1] < places[:, 0], places[:, 1] > places[:, 0]], ["better", "worse"], "same"
    )
    for kind, (marker, color, filled) in _RANK_LOOKS.items():
        mine = kinds == kind
        ax.scatter(
            *places[mine].T, s=area * counts[mine], marker=marker, lw=1, alpha=0.8,
            facecolor=color if filled else "white", edgecolor="white" if filled else color,
            label=f"{kind}: {counts[mine].sum():,}", zorder=2 if filled else 1.5,
        )  # fmt: skip
    moved = ", ".join(f"{counts[kinds == kind].sum():,} {kind}" for kind in _RANK_LOOKS)
    notes = [f"{len(both):,} queries: {moved}"]
    if k:
        entered, left = ((a <= k) & (b > k) for a, b in ((after, before), (before, after)))
        notes.append(f"entered the first {k}: {entered.sum():,}, left them: {left.sum():,}")
        for line in (ax.axvline, ax.axhline):
            line(k, color=MUTED, ls=(0, (4, 3)), lw=0.9, zorder=1)
    _rank_axes(ax, low, high, labels)
    title(ax, plain(heading), note="\n".join(notes))
    ax.set_title(ax.get_title(loc="left"), loc="left", pad=12 + 13 * len(notes))
    handles = [
        Line2D([], [], ls="", marker=m, ms=6.5, mec=c, mfc=c if filled else "white", label=kind)
        for kind, (m, c, filled) in _RANK_LOOKS.items()
    ]
    many = "; area: number of queries" if counts.max() > 1 else ""
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(-0.02, -0.13), ncols=3,
              title=f"rank {plain(labels[1])}, compared with {plain(labels[0])}{many}",
              title_fontsize=8.5, alignment="left", borderaxespad=0)  # fmt: skip
    return fig


def _rank_axes(ax: Axes, low: float, high: float, labels: tuple[str, str]) -> None:
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    ticks = [tick for tick in _TICKS if tick < high]
    step = -(-len(ticks) // 9)  # 1, 2, 5, ... while there is room for all
    for axis, label in ((ax.xaxis, labels[0]), (ax.yaxis, labels[1])):
        axis.set_major_locator(FixedLocator(ticks[::step]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,g}"))
        axis.set_label_text(f"rank of the first hit, {plain(label)}")
