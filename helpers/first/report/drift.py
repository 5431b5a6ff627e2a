"""Figures of drift: the signals of a stream in each scenario, and how late each change was seen."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.first.report.style import INK, LINES, MARKERS, MUTED
from helpers.first.studies.drift import Thresholds, Watched
from helpers.first.studies.drift_signals import SIGNALS

TITLES = {
    "mmd": "MMD", "neighbors": "neighbors", "far": "far from all", "group": "new group",
    "queries": "queries (MMD)", "any": "any of them",
}  # fmt: skip


def drift_lines(watched: Mapping[str, Watched], thresholds: Thresholds) -> Figure:
    """Every signal over the steps of one stream a scenario; crosses stand above the threshold.

    Parameters
    ----------
    watched : mapping of scenario to Watched
    thresholds : Thresholds
        Dashed; the dotted line is the step of the change.
    """
    if not watched:
        raise ValueError("drift_lines: no stream to draw; give a mapping of scenario to Watched")
    fig, axes = plt.subplots(
        len(SIGNALS), len(watched), figsize=(2.5 * len(watched) + 0.8, 7.4), squeeze=False,
        sharex=True, sharey="row", layout="constrained",
    )  # fmt: skip
    for column, (scenario, one) in enumerate(watched.items()):
        frame = one.frame
        for row, signal in enumerate(SIGNALS):
            ax, height = axes[row][column], thresholds.heights[signal]
            above = frame[signal] > height
            ax.plot(frame.step, frame[signal], color=LINES[0], lw=1.4)
            ax.plot(frame.step[above], frame[signal][above], "X", color=LINES[1], ms=6)
            ax.axhline(height, color=INK, lw=1, ls=(0, (4, 3)))
            if one.stream.starts is not None:
                ax.axvline(one.stream.starts, color=MUTED, lw=1.2, ls=":")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
            if column == 0:
                ax.set_ylabel(f"{TITLES[signal]}\n(std. dev.)")
        axes[0][column].set_title(scenario, fontsize=10)
        axes[-1][column].set_xlabel("step")
    fig.suptitle(
        "Five signals: threshold dashed, change dotted, alarms crossed", x=0.01, ha="left",
        fontweight="bold",
    )  # fmt: skip
    return fig


def delay_plot(runs: pd.DataFrame) -> Figure:
    """The delay of every stream by scenario and detector; streams where nothing was seen apart.

    The medians count these as the latest, while ``drift_table`` has the median of those seen.

    Parameters
    ----------
    runs : DataFrame
        Of :func:`helpers.first.studies.drift_study.run_study`.
    """
    changed = runs[runs.scenario != "nothing"]
    if changed.empty:
        raise ValueError("delay_plot: no scenario with a change among the runs")
    scenarios, names = list(dict.fromkeys(changed.scenario)), list(dict.fromkeys(changed.detector))
    most = np.nanmax([*changed.delay_steps, 1.0])
    never = most + 2
    fig, axes = plt.subplots(
        1, len(scenarios), figsize=(3.1 * len(scenarios) + 0.8, 3.6), squeeze=False, sharey=True,
        layout="constrained",
    )  # fmt: skip
    for ax, scenario in zip(axes[0], scenarios, strict=True):
        for place, name in enumerate(names):
            group = changed[(changed.scenario == scenario) & (changed.detector == name)]
            values = group.delay_steps.fillna(never).to_numpy()
            aside = 0.3 * np.linspace(-1, 1, len(values)) if len(values) > 1 else np.zeros(1)
            ax.plot(
                place + aside, np.sort(values), MARKERS[place % len(MARKERS)],
                color=LINES[place % len(LINES)], ms=4, alpha=0.8,
            )  # fmt: skip
            ax.plot([place - 0.35, place + 0.35], [np.median(values)] * 2, color=INK, lw=2)
        ax.axhline((most + never) / 2, color=MUTED, lw=1, ls=":")
        ax.set_xticks(range(len(names)), [TITLES[n] for n in names], rotation=40, ha="right")
        ax.set_title(scenario, fontsize=10)
    ticks = [t for t in MaxNLocator(integer=True, nbins=6).tick_values(1, most) if 0 < t <= most]
    axes[0][0].set_yticks([*ticks, never], [*(f"{t:.0f}" for t in ticks), "never"])
    axes[0][0].set_ylabel("delay, steps from the change")
    fig.suptitle(
        "How late each change was seen; bars are medians, \"never\" counted as latest", x=0.01,
        ha="left",
        fontweight="bold",
    )  # fmt: skip
    return fig
