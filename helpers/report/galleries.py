"""Galleries: queries with their first results, and grids of images.

A hit has a solid green frame and a check mark, a miss a dashed gray frame: mark and line say it
without color too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from helpers.evaluation.ranking import first_hit_ranks_of_scores
from helpers.report.style import HIT, INK, MISS, MUTED, plain, wrapped


@dataclass(frozen=True, slots=True)
class GalleryRow:
    """A query and the best of its results, best first.

    ``query`` is a text or a PIL image, ``results`` are PIL images, ``scores`` and ``correct`` one
    value a result; ``rank`` is that of the first hit in the whole gallery (None: unknown);
    ``label`` names what searched, such as a model.
    """

    query: str | Image.Image
    results: Sequence[Image.Image]
    scores: Sequence[float]
    correct: Sequence[bool]
    rank: float | None = None
    label: str = ""

    def __post_init__(self) -> None:
        sizes = {len(self.results), len(self.scores), len(self.correct)}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(
                f"a gallery row has {len(self.results)} results, {len(self.scores)} scores and "
                f"{len(self.correct)} marks; give one score and one mark a result"
            )


def retrieval_gallery(
    rows: Sequence[GalleryRow], *, heading: str = "First results", note: str = ""
) -> Figure:
    """One line a query: the query on the left, its results with scores to the right of it.

    The rank of the first hit stands under the query. At most eight results are drawn. Raises
    ``ValueError`` if there is no row.
    """
    if not rows:
        raise ValueError("retrieval_gallery: no row to draw; choose some queries first")
    columns = max(min(len(row.results), 8) for row in rows)
    fig = plt.figure(figsize=(2.2 + 1.42 * max(columns, 3), 0.62 + 1.72 * len(rows)))
    top = 1 - 0.62 / fig.get_figheight()
    grid = fig.add_gridspec(
        len(rows), columns + 1, width_ratios=[1.35] + [1] * columns, top=top, bottom=0.01,
        left=0.01, right=0.99, hspace=0.24, wspace=0.07,
    )  # fmt: skip
    for i, row in enumerate(rows):
        _draw_query(fig.add_subplot(grid[i, 0]), row)
        for j in range(min(len(row.results), columns)):
            ax = fig.add_subplot(grid[i, j + 1])
            _draw_image(ax, row.results[j], score=row.scores[j], hit=bool(row.correct[j]))
    inch = 1 / fig.get_figheight()
    fig.text(0.01, 1 - 0.08 * inch, plain(heading), va="top", fontsize=11, fontweight="bold")
    legend = "✓ solid frame: same item   ·   dashed: another   ·   number: similarity"
    fig.text(0.01, 1 - 0.31 * inch, plain(note or legend), va="top", fontsize=8.5, color=MUTED)
    return fig


def image_grid(
    images: Sequence[Image.Image],
    captions: Sequence[str] = (),
    *,
    columns: int = 6,
    heading: str = "",
) -> Figure:
    """Thumbnails of images of any size, each above its caption (wrapped, at most three lines).

    Raises ``ValueError`` if there is no image, or captions are given but not one an image.
    """
    if not images or (captions and len(captions) != len(images)):
        raise ValueError(
            f"image_grid: {len(images)} images and {len(captions)} captions; give at least one "
            "image, and a caption for each or for none"
        )
    columns = max(1, min(columns, len(images)))
    lines = -(-len(images) // columns)
    texts = [wrapped(caption, width=22, lines=3) for caption in captions]
    words = 0.06 + 0.145 * max((text.count("\n") + 1 for text in texts), default=0)
    height = lines * (1.4 + words) + 0.4 * bool(heading)
    fig = plt.figure(figsize=(1.45 * columns, height))
    for i, image in enumerate(images):
        line, column = divmod(i, columns)
        top = height - 0.4 * bool(heading) - line * (1.4 + words)  # inches from below
        box = ((column + 0.03) / columns, (top - 1.4) / height, 0.94 / columns, 1.37 / height)
        ax = fig.add_axes(box)
        _show(ax, image)
        if texts:
            ax.text(0, -0.03, texts[i], transform=ax.transAxes, va="top", fontsize=7.5)
    if heading:
        fig.text(0.005, 1 - 0.06 / height, plain(heading), va="top", fontsize=11, fontweight="bold")
    return fig


def thumbnail(image: Image.Image, *, px: int = 192) -> np.ndarray:
    """The image on a white square of ``px`` pixels, ratio kept: (px, px, 3) uint8.

    Small images are enlarged by whole pixels, so that drawn ones stay sharp.
    """
    scale = px / max(image.size)
    size = tuple(max(1, round(side * scale)) for side in image.size)
    how = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    square = Image.new("RGB", (px, px), "white")
    small = image.convert("RGBA").resize(size, how)
    square.paste(small, ((px - size[0]) // 2, (px - size[1]) // 2), small)
    return np.asarray(square)


def _show(ax: Axes, image: Image.Image) -> None:
    ax.imshow(thumbnail(image), aspect="equal", interpolation="antialiased")
    ax.set_axis_off()


def _draw_query(ax: Axes, row: GalleryRow) -> None:
    ax.set_axis_off()
    rank = "" if row.rank is None else f"first hit at rank {row.rank:g}"
    rank = ": ".join(filter(None, (plain(row.label), rank)))
    if isinstance(row.query, str):
        ax.set(xlim=(0, 1), ylim=(0, 1))
        ax.add_patch(Rectangle((0, 0.02), 0.025, 0.96, color=INK, lw=0))
        text = wrapped(f"“{row.query}”", width=21, lines=6)
        ax.text(0.08, 0.97, text, va="top", fontsize=9, linespacing=1.25)
        ax.text(0.08, 0.03, rank, va="bottom", fontsize=8, color=MUTED)
    else:
        _show(ax, row.query)
        ax.text(0.5, -0.03, rank, transform=ax.transAxes, ha="center", va="top", fontsize=8,
                color=MUTED)  # fmt: skip


def _draw_image(ax: Axes, image: Image.Image, *, score: float, hit: bool) -> None:
    """A result's thumbnail in its frame, its score (and check mark) under it."""
    _show(ax, image)
    look = {"ec": HIT, "lw": 3, "ls": "-"} if hit else {"ec": MISS, "lw": 1.2, "ls": (0, (4, 3))}
    frame = Rectangle((0, 0), 1, 1, transform=ax.transAxes, fill=False, clip_on=False, **look)
    ax.add_patch(frame)
    ax.text(0.5, -0.05, f"{'✓ ' * hit}{score:.3f}", transform=ax.transAxes, va="top", ha="center",
            fontsize=8.5, fontweight="bold" if hit else "normal",
            color=HIT if hit else MUTED)  # fmt: skip


def search_gallery(
    queries: Sequence[int], data, scores: np.ndarray | Mapping[str, np.ndarray], *, k: int = 5,
    heading: str = "",
) -> Figure:  # fmt: skip
    """The first ``k`` images of some captions of a ``RetrievalSet``, by their numbers.

    ``scores`` are (captions, images) float, or a mapping of model to such: with several models each
    caption has a line for each.
    """
    named = scores if isinstance(scores, Mapping) else {"": scores}
    rows = []
    for query in queries:
        item, images = data.caption_items[[query]], np.asarray(data.image_items)
        for name, table in named.items():
            row = np.asarray(table[query])
            best = np.argsort(-row, kind="stable")[:k]
            (rank,) = first_hit_ranks_of_scores([row], item, images)
            found, right = [data.images[i] for i in best], images[best] == item
            rows.append(GalleryRow(data.captions[query], found, row[best], right, rank, name))
    return retrieval_gallery(rows, heading=heading or f"The first {k} images")
