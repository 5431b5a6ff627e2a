"""Figures of drift: what is drawn, against what went in."""

from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from helpers.first.report.drift import TITLES, delay_plot, drift_lines
from helpers.first.report.style import set_style
from helpers.first.studies.drift import Thresholds
from helpers.first.studies.drift_signals import SIGNALS
from helpers.first.studies.drift_study import ANY


@pytest.fixture(autouse=True)
def _style():
    set_style()
    yield
    plt.close("all")


def watched(starts):
    """Signals that grow by one a step."""
    frame = pd.DataFrame({"step": range(7, 12), **{n: np.arange(5.0) for n in SIGNALS}})
    return SimpleNamespace(frame=frame, stream=SimpleNamespace(starts=starts))


def test_alarms_are_crossed_and_changes_dotted():
    limits = Thresholds(dict.fromkeys(SIGNALS, 2.5), pd.DataFrame(), 0.05)
    fig = drift_lines({"broken camera": watched(8), "nothing": watched(None)}, limits)
    assert len(fig.axes) == 2 * len(SIGNALS)
    changed, calm = fig.axes[0], fig.axes[1]
    assert changed.get_title(loc="left") == "broken camera"
    assert changed.lines[1].get_xdata().tolist() == [10, 11]
    assert list(changed.lines[2].get_ydata()) == [2.5, 2.5]
    assert (len(changed.lines), len(calm.lines)) == (4, 3)
    with pytest.raises(ValueError, match="no stream to draw"):
        drift_lines({}, limits)


def test_delays_stand_where_they_are_and_what_was_not_seen_apart():
    names = (*SIGNALS, ANY)
    rows = [("unseen dish", n, d) for n in names for d in (3.0, 1.0, np.nan)]
    rows += [("nothing", n, np.nan) for n in names]
    runs = pd.DataFrame(rows, columns=["scenario", "detector", "delay_steps"])
    fig = delay_plot(runs)
    (ax,) = fig.axes
    assert ax.lines[0].get_ydata().tolist() == [1, 3, 5]  # the last: never
    assert list(ax.lines[1].get_ydata()) == [3, 3]
    assert [t.get_text() for t in ax.get_xticklabels()] == [TITLES[n] for n in names]
    assert ax.get_yticklabels()[-1].get_text() == "never"
    with pytest.raises(ValueError, match="no scenario with a change"):
        delay_plot(runs[runs.scenario == "nothing"])
