"""Written texts beside their pictures and the true change, and the curves of a Q-Former."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from helpers.first.report.galleries import thumbnail
from helpers.first.report.style import (
    FAINT,
    HIT,
    INK,
    MARKERS,
    MISS,
    MUTED,
    PALETTE,
    plain,
    title,
    wrapped,
)
from helpers.topics.cir.rating_sheet import RatingItem, choose_samples
from helpers.world.domain import NONE
from helpers.world.mentions import true_changes

Loader = Callable[[str], Image.Image]
_DASHES = ("-", "--", ":", "-.")


def change_in_words(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """The true change, such as ``main: beef to tofu``; nothing: the same attributes.

    >>> change_in_words({"main": "beef"}, {"main": "tofu"})
    'main: beef to tofu'
    """
    changes = sorted(true_changes(dict(before), dict(after)))
    words = [f"{name}: {old} to {new}" for name, old, new in changes]
    return "; ".join(words).replace(f" {NONE}", " nothing") or "nothing changes"


def text_gallery(
    audit: pd.DataFrame,
    table: pd.DataFrame,
    load_image: Loader,
    shown: Mapping[str, object],
    *,
    n: int = 3,
    heading: str = "What the generator wrote",
) -> Figure:
    """Pairs with their text and the true change: complete ones on the left, wrong on the right.

    Parameters
    ----------
    audit, table : DataFrame
        Of ``audit_texts`` and what it was given, with the same index.
    n : int
        Rows a column at most.

    Raises
    ------
    ValueError
        If there is no text.
    """
    if audit.empty:
        raise ValueError("text_gallery: no text to show; were all pairs dropped?")
    wrong = audit["hallucinated"] | audit["wrong_side"]
    right = list(audit.index[audit["complete"]][:n])
    columns = [
        ("complete and true", right, HIT),
        ("names what neither has, or the wrong side", list(audit.index[wrong][:n]), MISS),
    ]
    if not right:  # then what comes nearest
        nearest = audit[~wrong].sort_values("missed").index[:n]
        columns[0] = ("true as far as it goes", list(nearest), HIT)
    lines = max(len(rows) for _, rows, _ in columns)
    fig, axes = plt.subplots(
        max(lines, 1), 6, figsize=(11.6, 0.8 + 1.6 * max(lines, 1)), squeeze=False,
        gridspec_kw={"width_ratios": [1, 1, 2.1] * 2, "wspace": 0.08, "hspace": 0.12},
    )  # fmt: skip
    for ax in axes.flat:
        ax.set_axis_off()
    for side, (name, rows, color) in enumerate(columns):
        axes[0][3 * side].set_title(
            f"{name} ({len(rows)} shown)", fontsize=9, fontweight="normal", loc="left", color=color
        )
        for i, row in enumerate(rows):
            pair = [table.loc[row, end] for end in ("reference", "target")]
            for ax, key in zip(axes[i][3 * side : 3 * side + 2], pair, strict=True):
                ax.imshow(thumbnail(load_image(key)))
            said = axes[i][3 * side + 2]
            said.set(xlim=(0, 1), ylim=(0, 1))
            text = wrapped(f"“{audit.loc[row, 'text']}”", width=27, lines=3)
            said.text(0.03, 0.97, text, va="top", fontsize=9, color=INK)
            truth = change_in_words(*(shown[key].attributes for key in pair))
            note = wrapped(f"true: {truth}", width=31, lines=4)
            said.text(0.03, 0.03, note, va="bottom", fontsize=8, color=MUTED)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    fig.subplots_adjust(left=0.01, right=0.99, top=1 - 0.66 / fig.get_figheight(), bottom=0.02)
    return fig


def rating_items(
    table: pd.DataFrame, load_image: Loader, *, size: int = 100, seed: int = 42
) -> list[RatingItem]:
    """A random sample for a rating sheet: nobody chose what is shown."""
    rows = table.iloc[choose_samples(len(table), size=size, seed=seed)]
    return [
        RatingItem(row.pair_id, load_image(row.reference), load_image(row.target), row.text)
        for row in rows.itertuples()
    ]


def audit_table(summaries: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a measure, a column a writer: the value with its interval, beside what is reported."""
    rows: dict[str, dict[str, str]] = {}
    for writer, summary in summaries.items():
        for one in summary.itertuples():
            row = rows.setdefault(one.measure, {"measure": one.measure.replace("_", " ")})
            row[writer] = f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
            if np.isfinite(one.reported):
                row["reported"] = f"{one.reported:.3f}"
    return pd.DataFrame(list(rows.values())).fillna("")


def spread_curves(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    limit: float,
    heading: str,
    note: str = "",
    metric: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> Figure:
    """How much the joint tokens of different queries differ, step by step, one line an arm.

    Parameters
    ----------
    lines : mapping of arm to (step, share of the squared length that differs)
    limit : float
        Below it the tokens count as collapsed.
    metric : mapping of arm to (step, fraction), optional
        A second panel beside it, such as validation's hit@10.
    """
    if not lines:
        raise ValueError("spread_curves: no line to draw")
    panels = [("share that differs between queries", lines)]
    panels += [("validation hit@10", metric)] if metric else []
    fig, axes = plt.subplots(
        1, len(panels), figsize=(4.6 * len(panels) + 0.4, 3.7), squeeze=False, layout="constrained"
    )
    for ax, (what, drawn) in zip(axes[0], panels, strict=True):
        for i, (name, line) in enumerate(drawn.items()):
            steps, values = zip(*line, strict=True)
            ax.plot(
                steps, values, _DASHES[i % 4], color=PALETTE[i % 4], lw=1.8, label=plain(name),
                marker=MARKERS[i % 5] if len(line) < 20 else None, ms=5, mec="white",
            )  # fmt: skip
        ax.set_xlabel("optimizer step")
        ax.set_ylabel(what)
        ax.set_ylim(bottom=0)
    axes[0][0].axhline(limit, color=INK, lw=1)
    axes[0][0].annotate("collapsed below", (0, limit), (4, 3), textcoords="offset points",
                        fontsize=8, color=MUTED)  # fmt: skip
    title(axes[0][0], heading, note=note or "joint tokens of one batch, or of validation")
    axes[0][-1].legend(loc="best", facecolor="white", edgecolor=FAINT, frameon=True)
    return fig
