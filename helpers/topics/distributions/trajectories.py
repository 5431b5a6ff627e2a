"""Fixed images followed through training: one projection, and how far apart the domains are."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from helpers.evaluation.stats import Estimate, Sample, estimate
from helpers.report.style import LINES, MARKERS, MUTED, plain

NAMES = ("100 real", "25 real", "25 real + 75 synthetic", "100 synthetic")
COLORS = dict(zip(NAMES, LINES, strict=False))


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
    named, parts = list(items) if paired else ["all"], []
    for step, *both in zip(steps, seen["real"], seen["synthetic"], strict=True):
        found = domain_distances(*both, paired=paired)
        parts.append(pd.DataFrame({"step": step, "item": named, "distance": found}))
    return pd.concat(parts, ignore_index=True).astype({"distance": "float32"})


def paths_plot(seen: Mapping[str, Mapping[str, np.ndarray]], plane: PCA, *, heading: str) -> Figure:
    """For each condition the means of both domains at each evaluation, over the images at the end.

    ``seen`` maps a condition to its embeddings, (evaluations, n, d) for each domain. ``plane`` was
    fitted once, so that points move only where embeddings do.
    """
    fig, axes = plt.subplots(1, len(seen), figsize=(3.9 * len(seen), 3.7), layout="constrained",
                             sharex=True, sharey=True, squeeze=False)  # fmt: skip
    for ax, (name, rows) in zip(axes[0], seen.items(), strict=True):
        means = []
        for color, marker, domain in zip(LINES, MARKERS, ("real", "synthetic"), strict=False):
            points = np.stack([plane.transform(one) for one in rows[domain]])  # (evaluations, n, 2)
            ax.plot(*points[-1].T, marker, color=color, ms=3, alpha=0.3, mec="none")
            path = points.mean(axis=1)
            ax.plot(*path.T, color=color, lw=1.4)
            ax.plot(*path[0], marker, color="white", mec=color, ms=8)
            ax.plot(*path[-1], marker, color=color, ms=8, label=domain)
            means.append(path)
        for when, width in ((0, 0.8), (-1, 2.4)):
            ax.plot(*np.stack([path[when] for path in means]).T, color=MUTED, lw=width, zorder=0)
        ax.set_title(plain(name), fontsize=10)
        ax.set(xlabel="first principal component", ylabel="second principal component")
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


def paired(a: pd.DataFrame, b: pd.DataFrame, column: str) -> Estimate:
    """The mean of a column in one frame minus that in another, item by item and seed by seed."""
    minuend, subtrahend = (
        one.astype({column: float}).assign(seed=one.get("seed", 0))
        .pivot_table(column, "seed", "item") for one in (a, b)
    )  # fmt: skip
    difference = (minuend - subtrahend).dropna(how="all")  # seeds of both
    return estimate(Sample(difference.to_numpy(), list(difference.columns)))


def last_step(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last step."""
    return frame[frame["step"] == frame["step"].max()]


def after_before(frame: pd.DataFrame) -> Estimate:
    """The distance after the last step minus that before the first."""
    return paired(last_step(frame), frame[frame["step"] == frame["step"].min()], "distance")


def signed(found: Estimate, *, scale: float = 1, digits: int = 2) -> str:
    """A difference with its interval: ``-0.16 [-0.32, +0.01]``."""
    value, low, high = (f"{scale * x:+.{digits}f}" for x in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def distances_told(distances: pd.DataFrame) -> str:
    """A sentence: how far the distance of the domains changed, by condition."""
    told = []
    for name, part in distances.groupby("condition", sort=False):
        first, last = part.groupby("step")["distance"].mean().iloc[[0, -1]]
        alone = part["item"].nunique() == 1
        change = f"{last - first:+.3f}" if alone else signed(after_before(part), digits=3)
        told.append(f"{name} {change}")
    return f"Change of the distance from {first:.3f}: {'; '.join(told)}."
