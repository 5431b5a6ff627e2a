"""Embeddings of pictures and captions as two clouds in the plane, a panel a model."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from helpers.first.report.style import FAINT, MUTED, PALETTE, plain, wrapped

Rows = tuple[np.ndarray, np.ndarray]


def cloud_maps(
    models: Mapping[str, Rows],
    image_ids: Sequence[str],
    text_ids: Sequence[str],
    *,
    heading: str = "Pictures and captions on the sphere, seen from the side",
    n_links: int = 40,
    seed: int = 42,
) -> Figure:
    """Two clouds a panel, on the two directions in which both together vary most.

    Each panel has its own directions, so that shapes can be compared and places cannot; the scale
    is the same in all.

    Parameters
    ----------
    models : mapping of name to (images (n, d), texts (m, d))
    image_ids, text_ids : (n,), (m,) recipe ids
        Thin lines join some pictures with a caption of their recipe.

    Raises
    ------
    ValueError
        If there is no model.
    """
    if not models:
        raise ValueError("cloud_maps: no model to draw; give a mapping of name to (images, texts)")
    columns = min(3, len(models))
    lines = -(-len(models) // columns)
    fig, axes = plt.subplots(
        lines, columns, figsize=(3.3 * columns, 3.1 * lines + 0.7), sharex=True, sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    text_of = {recipe: row for row, recipe in enumerate(text_ids)}
    linked = rng.permutation(len(image_ids))[:n_links]
    for ax, (name, (images, texts)) in zip(axes.flat, models.items(), strict=False):
        flat = in_the_plane(np.concatenate([images, texts]))
        i, t = flat[: len(images)], flat[len(images) :]
        for row in linked:
            other = text_of.get(image_ids[row])
            if other is not None:
                ax.plot(*zip(i[row], t[other], strict=True), color=FAINT, lw=0.7, zorder=1)
        ax.scatter(*i.T, s=7, color=PALETTE[0], alpha=0.5, lw=0, label="pictures")
        ax.scatter(*t.T, s=12, color=PALETTE[3], alpha=0.6, marker="^", lw=0, label="captions")
        ax.set_title(wrapped(name, width=34, lines=2), fontsize=9.5, fontweight="normal")
        ax.set_aspect("equal")
    for ax in axes.flat[len(models) :]:
        ax.set_visible(False)
    fig.supxlabel("first principal direction (cosine units)", fontsize=9)
    fig.supylabel("second", fontsize=9)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    handles, labels = axes[0][0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower left", ncols=2, markerscale=2, alignment="left",
               title="a thin line joins a picture with a caption of its recipe",
               title_fontproperties={"size": 8.5}, labelcolor=MUTED)  # fmt: skip
    return fig


def in_the_plane(rows: np.ndarray) -> np.ndarray:
    """(n, d) rows on their first two principal directions, signs fixed: (n, 2) float64.

    >>> in_the_plane(np.array([[1.0, 0, 0], [-1.0, 0, 0]]))[:, 0].tolist()
    [1.0, -1.0]
    """
    centered = np.asarray(rows, dtype=np.float64) - np.mean(rows, axis=0, dtype=np.float64)
    directions = np.linalg.svd(centered, full_matrices=False)[2][:2]
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), largest])
    return centered @ (directions * signs[:, None]).T
