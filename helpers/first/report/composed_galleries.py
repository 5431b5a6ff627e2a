"""Galleries of composed retrieval: reference and text, what was found, and what was asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from helpers.first.report.galleries import thumbnail
from helpers.first.report.style import HIT, INK, MISS, MUTED, plain, wrapped
from helpers.first.training.composed_runs import ComposedRun
from helpers.topics.cir.triplets import Triplet, TripletSet

_ROW, _HEAD, _CELL = 1.62, 0.78, 1.42  # inches


@dataclass(frozen=True, slots=True)
class ComposedRow:
    """A query of composed retrieval and the best of its results, best first.

    ``correct`` and ``scores`` hold one value a result; ``rank`` is that of the first target;
    ``label`` stands above the text, such as the model that was asked.
    """

    reference: Image.Image
    text: str
    target: Image.Image
    results: Sequence[Image.Image]
    correct: Sequence[bool]
    scores: Sequence[float]
    rank: float
    label: str = ""

    def __post_init__(self) -> None:
        sizes = {len(self.results), len(self.scores), len(self.correct)}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(
                f"a row has {len(self.results)} results, {len(self.scores)} scores and "
                f"{len(self.correct)} marks; give one score and one mark a result"
            )


def composed_gallery(
    rows: Sequence[ComposedRow], *, heading: str = "What the queries found"
) -> Figure:
    """A line a query: reference, text, the results in order, and a target on the right.

    Raises
    ------
    ValueError
        If there is no row.
    """
    if not rows:
        raise ValueError("composed_gallery: no row to draw; choose some queries first")
    columns = max(len(row.results) for row in rows)
    height = _HEAD + _ROW * len(rows)
    fig = plt.figure(figsize=(_CELL * (columns + 2) + 2.0, height))
    grid = fig.add_gridspec(
        len(rows), columns + 3, width_ratios=[1, 1.35, *[1] * columns, 1], left=0.01, right=0.99,
        top=1 - _HEAD / height, bottom=0.16 / height, hspace=0.28, wspace=0.08,
    )  # fmt: skip
    for i, row in enumerate(rows):
        _picture(fig.add_subplot(grid[i, 0]), row.reference, "reference" if not i else "")
        _text(fig.add_subplot(grid[i, 1]), row)
        for j, (image, hit, score) in enumerate(
            zip(row.results, row.correct, row.scores, strict=True)
        ):
            ax = fig.add_subplot(grid[i, j + 2])
            _picture(ax, image, f"found {j + 1}" if not i else "")
            _frame(ax, bool(hit))
            ax.text(
                0.5, -0.05, f"{'✓ ' * bool(hit)}{score:.2f}", transform=ax.transAxes, va="top",
                ha="center", fontsize=8, color=HIT if hit else MUTED,
            )  # fmt: skip
        _picture(fig.add_subplot(grid[i, columns + 2]), row.target, "a target" if not i else "")
    inch = 1 / height
    fig.text(0.01, 1 - 0.07 * inch, plain(heading), va="top", fontsize=11, fontweight="bold")
    note = "✓ solid frame: a true target   ·   dashed: not   ·   number: score"
    fig.text(0.01, 1 - 0.31 * inch, note, va="top", fontsize=8.5, color=MUTED)
    return fig


def rows_of(
    run: ComposedRun,
    triplets: TripletSet,
    load_image: Callable[[str], Image.Image],
    queries: Sequence[int],
    *,
    label: str = "",
    test: str = "test",
) -> list[ComposedRow]:
    """The rows of some queries of a finished run, by their place in the set."""
    ranks, top, scores = run.ranks(test), run.top(test), run.top_scores(test)
    rows = []
    for query in queries:
        one: Triplet = triplets.triplets[query]
        names = [triplets.gallery[row] for row in top[query]]
        rows.append(
            ComposedRow(
                load_image(one.reference), one.caption, load_image(one.targets[0]),
                [load_image(name) for name in names], [name in one.targets for name in names],
                scores[query].tolist(), float(ranks[query]), label,
            )
        )  # fmt: skip
    return rows


def triplet_grid(
    triplets: Sequence[Triplet],
    load_image: Callable[[str], Image.Image],
    others: Sequence[str],
    *,
    heading: str,
) -> Figure:
    """Reference, target and a picture that only the text tells from it, a column a triplet.

    Raises
    ------
    ValueError
        If there is no triplet, or there are not as many other pictures.
    """
    if not triplets or len(triplets) != len(others):
        raise ValueError(f"{len(triplets)} triplets and {len(others)} other pictures: one for each")
    fig, axes = plt.subplots(3, len(triplets), figsize=(1.75 * len(triplets), 6.3), squeeze=False)
    for column, (one, other) in enumerate(zip(triplets, others, strict=True)):
        for ax, name in zip(axes[:, column], (one.reference, one.targets[0], other), strict=True):
            _picture(ax, load_image(name), "")
        text = wrapped(f"“{one.caption}”", width=23, lines=4)
        axes[0][column].set_title(text, fontsize=8.5, fontweight="normal")
    for ax, what in zip(axes[:, 0], ("reference", "target", "not asked for"), strict=True):
        ax.text(-0.08, 0.5, what, transform=ax.transAxes, rotation=90, va="center", ha="right",
                fontsize=9, color=MUTED)  # fmt: skip
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    fig.subplots_adjust(left=0.05, right=0.99, top=0.83, bottom=0.01, wspace=0.08, hspace=0.04)
    return fig


def _picture(ax: Axes, image: Image.Image, above: str) -> None:
    ax.imshow(thumbnail(image))
    ax.set_axis_off()
    if above:
        ax.set_title(above, fontsize=8.5, loc="center", fontweight="normal", pad=4, color=MUTED)


def _frame(ax: Axes, hit: bool) -> None:
    look = {"ec": HIT, "lw": 3, "ls": "-"} if hit else {"ec": MISS, "lw": 1.2, "ls": (0, (4, 3))}
    ax.add_patch(Rectangle((0, 0), 1, 1, transform=ax.transAxes, fill=False, clip_on=False, **look))


def _text(ax: Axes, row: ComposedRow) -> None:
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.set_axis_off()
    ax.text(0.03, 0.98, plain(row.label), va="top", fontsize=8.5, color=INK, fontweight="bold")
    text = wrapped(f"“{row.text}”", width=23, lines=5)
    ax.text(0.03, 0.80, text, va="top", fontsize=9, linespacing=1.25)
    said = f"first target at rank {row.rank:g}"
    ax.text(0.03, 0.02, said, va="bottom", fontsize=8, color=MUTED)
