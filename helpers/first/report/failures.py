"""Failures with a name: a picture, the text that a model prefers, and the true one under it."""

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from helpers.first.report.galleries import thumbnail
from helpers.first.report.style import HIT, INK, MUTED, plain, wrapped


def worst_of_kind(preferred: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """The question of each kind that a model gets most wrong; kinds without one are left out.

    Parameters
    ----------
    preferred : DataFrame
        As :func:`helpers.first.studies.head_effects.preferences` gives it.
    """
    ahead = preferred["foil_score"] - preferred["truth_score"]
    wrong = preferred.assign(ahead=ahead)[ahead > 0]
    rows = [
        part.loc[part["ahead"].idxmax()]
        for kind in kinds
        if not (part := wrong[wrong["kind"] == kind]).empty
    ]
    return pd.DataFrame(rows, columns=wrong.columns)


def failure_gallery(
    failures: Sequence[tuple[pd.Series, Callable[[str], Image.Image]]], *, heading: str
) -> Figure:
    """A tile a failure: its kind, the picture, what was preferred and what is true.

    Parameters
    ----------
    failures : sequence of (row of :func:`worst_of_kind`, key to picture)

    Raises
    ------
    ValueError
        If there is none.
    """
    if not failures:
        raise ValueError("failure_gallery: no failure to draw; every true text was preferred")
    columns = min(4, len(failures))
    lines = -(-len(failures) // columns)
    fig, axes = plt.subplots(
        lines, columns, figsize=(2.6 * columns, 3.5 * lines + 0.5), squeeze=False
    )
    fig.subplots_adjust(
        top=1 - 0.95 / (3.5 * lines + 0.5), bottom=0.26 / lines, hspace=0.75, left=0.01, right=0.99
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (row, load_image) in zip(axes.flat, failures, strict=False):
        ax.imshow(thumbnail(load_image(row["image_key"])))
        ax.set_title(plain(row["kind"]), fontsize=10)
        said = wrapped(f"✗ {row['foil_score']:.2f}  {row['foil']}", width=32, lines=2)
        true = wrapped(f"✓ {row['truth_score']:.2f}  {row['truth']}", width=32, lines=2)
        for text, y, look in (
            (said, -0.04, {"color": INK}),
            (true, -0.25, {"color": HIT, "weight": "bold"}),
        ):
            ax.text(0, y, text, transform=ax.transAxes, va="top", fontsize=8.5, **look)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    inch = 1 / fig.get_figheight()
    note = "✗: the text that the model prefers   ·   ✓: the true one   ·   number: cosine"
    fig.text(0.01, 1 - 0.32 * inch, note, va="top", fontsize=8.5, color=MUTED)
    return fig
