"""Fixed images followed through training: one projection, and how far apart the domains are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from helpers.report.style import LINES, MARKERS, MUTED, plain

DOMAINS = ("real", "synthetic")
NAMES = ("100 real", "25 real", "25 real + 75 synthetic", "100 synthetic")
COLORS = dict(zip(NAMES, LINES, strict=False))


@dataclass(frozen=True)
class Projection:
    """Two principal axes that were fitted once: ``mean`` (d,), ``axes`` (2, d)."""

    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray) -> "Projection":
        """The two directions of largest variance; the largest part of each is positive."""
        mean = rows.mean(axis=0)
        axes = np.linalg.svd(rows - mean, full_matrices=False)[2][:2]
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        return cls(mean, axes * np.sign(largest))

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Rows (..., d) in these coordinates: (..., 2)."""
        return (rows - self.mean) @ self.axes.T


def domain_distances(real: np.ndarray, synthetic: np.ndarray, *, paired: bool = True) -> np.ndarray:
    """How far the domains are apart, in units of the distance between two different real images.

    Paired rows: (n,), the distance of each pair. Otherwise (1,), the distance of the two means. The
    unit is the root mean square distance of the real rows, so that embeddings that shrink as a
    whole do not look like a gap that closes.

    >>> domain_distances(np.array([[0.0], [4.0]]), np.array([[1.0], [4.0]])).tolist()
    [0.25, 0.0]
    """
    real, synthetic = np.asarray(real, float), np.asarray(synthetic, float)
    unit = np.sqrt(2 * ((real - real.mean(axis=0)) ** 2).sum() / (len(real) - 1))
    if not unit > 0:
        raise ValueError("all real images have one embedding: there is no distance to compare with")
    if paired:
        return np.linalg.norm(real - synthetic, axis=1) / unit
    return np.linalg.norm(real.mean(0) - synthetic.mean(0), keepdims=True) / unit


def distance_frame(
    seen: Mapping[str, np.ndarray], steps: Sequence[int], items: Sequence[str], *, paired: bool
) -> pd.DataFrame:
    """``step``, ``item``, ``distance`` of what was seen, (evaluations, n, d) for each domain."""
    parts = []
    for i, step in enumerate(steps):
        found = domain_distances(seen["real"][i], seen["synthetic"][i], paired=paired)
        named = items if paired else ["all"]
        parts.append(pd.DataFrame({"step": step, "item": list(named), "distance": found}))
    return pd.concat(parts, ignore_index=True).astype({"distance": "float32"})


def paths_plot(
    seen: Mapping[str, Mapping[str, np.ndarray]], projection: Projection, *, heading: str
) -> Figure:
    """For each condition the means of both domains at each evaluation, over the images at the end.

    ``seen`` maps a condition to its embeddings, (evaluations, n, d) for each domain.
    """
    fig, axes = plt.subplots(1, len(seen), figsize=(3.9 * len(seen), 3.7), layout="constrained",
                             sharex=True, sharey=True, squeeze=False)  # fmt: skip
    for ax, (name, rows) in zip(axes[0], seen.items(), strict=True):
        means = []
        for color, marker, domain in zip(LINES, MARKERS, DOMAINS, strict=False):
            points = projection.apply(rows[domain])  # (evaluations, n, 2)
            ax.plot(*points[-1].T, marker, color=color, ms=3, alpha=0.3, mec="none")
            path = points.mean(axis=1)
            ax.plot(*path.T, color=color, lw=1.4)
            ax.plot(*path[0], marker, color="white", mec=color, ms=8)
            ax.plot(*path[-1], marker, color=color, ms=8, label=domain)
            means.append(path)
        for when, width in ((0, 0.8), (-1, 2.4)):
            ax.plot(*np.stack([path[when] for path in means]).T, color=MUTED, lw=width, zorder=0)
        ax.set_title(plain(name), fontsize=10)
        ax.set(xlabel="first axis", ylabel="second axis")
    axes[0, 0].legend(loc="best")
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return fig


def by_step(
    frame: pd.DataFrame, column: str, *, heading: str, ylabel: str, change: bool = False
) -> Figure:
    """A column over the steps, a line for each ``condition``, with its 95 % interval over items.

    With ``change`` each item counts from its own value at the first step.
    """
    means = frame.groupby(["condition", "step", "item"], sort=False, as_index=False)[column].mean()
    if change:
        starts = means.groupby(["condition", "item"], sort=False)[column].transform("first")
        means[column] -= starts
    names = means["condition"].unique()
    plot = sns.relplot(
        means, x="step", y=column, hue="condition", style="condition", kind="line", markers=True,
        dashes=False, height=3.4, aspect=1.5,
        palette={name: COLORS.get(name, LINES[-1 - i % 2]) for i, name in enumerate(names)},
        err_style="bars", err_kws={"capsize": 3, "lw": 1},
    )  # fmt: skip
    plot.set_axis_labels("optimizer step", ylabel)
    plot.ax.axhline(0, color=MUTED, lw=0.9, zorder=0)
    plot.figure.suptitle(plain(heading), x=0.01, y=1.04, ha="left", fontsize=11, weight="bold")
    return plot.figure


def distances_told(distances: pd.DataFrame) -> str:
    """A sentence: the mean distance before and after, by condition."""
    means = distances.groupby(["condition", "step"], sort=False)["distance"].mean()
    told = [f"{name} {part.iloc[0]:.3f} to {part.iloc[-1]:.3f}"
            for name, part in means.groupby("condition", sort=False)]  # fmt: skip
    return f"Distance before and after: {', '.join(told)}."
