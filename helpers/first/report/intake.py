"""Figures of what came in: what was kept and rejected, how long captions are, how large images."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from helpers.first.report.style import INK, MUTED, PALETTE, figure_of, percent_axis, plain, title

_LEFT_OUT = ("rejected", "removed", "duplicates", "lost", "missing")


def count_flow(
    rows: Mapping[str, Mapping[str, int]],
    *,
    heading: str = "What came in, and where it went",
    ax: Axes | None = None,
) -> Figure:
    """Horizontal bars that split each row's total: what was kept, what was rejected, which split.

    Parameters
    ----------
    rows : mapping of row to mapping of part to count
        Such as ``{"records": {"kept": 161, "rejected": 9}, "pairs": {"train": 400, "test": 100}}``.
        Parts named rejected, removed, duplicates, lost or missing are drawn pale and hatched.

    Raises
    ------
    ValueError
        If there is no row, or a count is negative.
    """
    if not rows:
        raise ValueError("count_flow: no row to draw")
    fig, ax = figure_of(ax, size=(7.2, 1.1 + 0.62 * len(rows)))
    for y, (row, parts) in enumerate(rows.items()):
        if bad := {part: count for part, count in parts.items() if count < 0}:
            raise ValueError(f"count_flow: row {row!r} has negative counts {bad}")
        _stack(ax, y, parts)
    names = [f"{plain(row)}\n{sum(parts.values()):,}" for row, parts in rows.items()]
    ax.set_yticks(range(len(rows)), names)
    ax.set_ylim(len(rows) - 0.4, -0.55)
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of the row's total, %")
    ax.grid(visible=False)
    ax.spines["left"].set_visible(False)
    percent_axis(ax.xaxis)
    title(ax, heading)
    return fig


def _stack(ax: Axes, y: int, parts: Mapping[str, int]) -> None:
    """One row: a segment a part, named and counted inside it, or below where it is too narrow."""
    total, left, kept = sum(parts.values()), 0.0, 0
    below: dict[str, float] = {}
    for part, count in parts.items():
        share = count / total if total else 0.0
        out = any(word in part.lower() for word in _LEFT_OUT)
        color = "#eceff1" if out else PALETTE[(0, 2, 3, 1)[kept % 4]]
        kept += not out
        ax.barh(y, share, left=left, height=0.5, color=color, edgecolor="white", lw=1)
        if out and share:
            ax.barh(y, share, left=left, height=0.5, color="none", edgecolor=MUTED, hatch="////",
                    lw=0.6)  # fmt: skip
        label = f"{plain(part)} {count:,}"
        if share * 72 > len(label):  # 72 letters or so fit in the whole row
            box = {"fc": "#eceff1", "ec": "none", "pad": 1.2} if out else None
            ax.text(left + share / 2, y, label, ha="center", va="center", fontsize=8.5,
                    color=_readable(color), bbox=box)  # fmt: skip
        elif count:
            below[label] = left + share / 2
        left += share
    if below:
        text = "   ".join(below)
        half = len(text) / 180  # of the row's width, at this size of letters
        x = min(max(sum(below.values()) / len(below), half), 1 - half)
        ax.text(x, y + 0.37, text, fontsize=8, ha="center", va="center")


def _readable(color: str) -> str:
    """White on dark, ink on light."""
    r, g, b = to_rgb(color)
    return "white" if 0.30 * r + 0.59 * g + 0.11 * b < 0.55 else INK


def caption_lengths(
    captions: Mapping[str, Sequence[str]] | Sequence[str],
    *,
    limit: int = 0,
    heading: str = "How long are the captions?",
    ax: Axes | None = None,
) -> Figure:
    """Histogram of words per caption, an outline a group, with an optional limit as a dashed line.

    Parameters
    ----------
    captions : sequence of str, or mapping of group (split, language) to sequence of str
    limit : int
        Words beyond which a model cuts, 0 for none. Token limits are not word limits: 64 or 77
        tokens hold some 45 to 60 English words.
    """
    groups = captions if isinstance(captions, Mapping) else {"captions": captions}
    words = {name: [len(text.split()) for text in texts] for name, texts in groups.items()}
    longest = max((max(counts) for counts in words.values() if counts), default=0)
    if not longest:
        raise ValueError("caption_lengths: no caption with a word in it")
    step = max(1, int(np.ceil(longest / 40)))
    shortest = min(min(counts) for counts in words.values() if counts)
    edges = np.arange(shortest - 0.5, longest + step, step)
    fig, ax = figure_of(ax, size=(6.4, 3.2))
    for i, (name, counts) in enumerate(words.items()):
        shares = np.histogram(counts, edges)[0] / max(len(counts), 1)
        if len(words) == 1:
            ax.stairs(shares, edges, fill=True, color=PALETTE[0], alpha=0.18, lw=0)
        ax.stairs(shares, edges, color=PALETTE[i % 5], lw=1.8, ls=("-", "--", ":", "-.")[i % 4],
                  label=f"{plain(name)} (n = {len(counts):,})")  # fmt: skip
    if limit:
        ax.axvline(limit + 0.5, color=MUTED, ls=(0, (4, 3)), lw=1)
    every = [count for counts in words.values() for count in counts]
    note = f"{len(every):,} captions, median {np.median(every):g} words, longest {longest}"
    if limit:
        note += f"; {sum(count > limit for count in every):,} longer than {limit} (dashed)"
    ax.set_xlabel("words in a caption")
    ax.set_ylabel("share of captions, %")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="x", visible=False)
    percent_axis(ax.yaxis)
    title(ax, heading, note=note)
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.22), ncols=3, borderaxespad=0)
    return fig


def image_sizes(
    sizes: Sequence[tuple[int, int]],
    *,
    image_px: int = 0,
    heading: str = "How large are the images?",
    ax: Axes | None = None,
) -> Figure:
    """Width against height on doubling scales; the larger the dot, the more images have that size.

    Parameters
    ----------
    sizes : sequence of (width, height), pixels
    image_px : int
        Side of the square that images are normalized to; smaller ones are counted. 0 for none.
    """
    if not sizes:
        raise ValueError("image_sizes: no image to draw")
    counts = Counter((int(w), int(h)) for w, h in sizes)
    places = np.array(list(counts), float)
    often = np.array(list(counts.values()), float)
    fig, ax = figure_of(ax, size=(4.8, 4.4))
    low, high = places.min() * 0.7, places.max() * 1.4
    if image_px:
        low, high = min(low, image_px * 0.7), max(high, image_px * 1.4)
    line = np.array([low, high])
    for ratio in (1, 4 / 3, 3 / 4):
        ax.plot(line, line / ratio, color=MUTED, lw=0.9, ls="-" if ratio == 1 else ":", zorder=1)
    look = {"textcoords": "offset points", "fontsize": 8, "color": MUTED, "va": "center"}
    ax.annotate("square", (high, high), (4, 0), **look)
    ax.annotate("4:3", (high, high * 3 / 4), (4, 0), **look)
    ax.annotate("3:4", (low, low * 4 / 3), (4, 16), **look)
    ax.scatter(*places.T, s=22 + 240 * often / often.sum(), color=PALETTE[0], alpha=0.55,
               edgecolor="white", lw=0.7, zorder=3)  # fmt: skip
    ends = ["s" * (many > 1) for many in (len(sizes), len(counts))]
    note = f"{len(sizes):,} image{ends[0]}, {len(counts):,} size{ends[1]}"
    if image_px:
        small = sum(min(w, h) < image_px for w, h in sizes)
        corner = ([image_px, image_px, high], [high, image_px, image_px])
        ax.plot(*corner, color=PALETTE[1], lw=1.4, ls="--")
        note += f"; {small:,} with a side under {image_px} px (dashed)"
    ticks = [t for t in 2.0 ** np.arange(3, 16) if low <= t <= high]
    for axis, setter in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        setter("log", base=2)
        axis.set_ticks(ticks)
        axis.set_major_formatter(ScalarFormatter())
    ax.set(
        xlim=(low, high), ylim=(low, high), aspect="equal", xlabel="width, px", ylabel="height, px"
    )
    title(ax, heading, note=note)
    return fig
