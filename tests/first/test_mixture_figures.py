"""Figures of mixtures and of paths show what they were given, and refuse what they cannot show."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from helpers.first.report import mixtures as figures
from helpers.first.report import trajectories as paths
from helpers.first.studies import mixtures, scores, style_gap
from helpers.first.studies.mixes import Mix
from helpers.first.studies.trajectories import gap_frame
from tests.first.test_mixtures import by_worth, made, swept
from tests.first.test_trajectories import walked


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def labels(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_shares_are_drawn_by_direction_with_the_untrained_model():
    table = made({Mix(): 0.6, Mix(0.5, 0.5): 0.55, Mix(0, 1): 0.5}, noise=0.3)
    frame = scores.score_frame(table, n_resamples=50)
    ax = figures.share_plot(frame, untrained={"": 0.35, "text_to_image": 0.4}).axes[0]
    both = "mean of both, before training"
    alone = "text to image, before training"
    assert {"mean of both", "text to image", "image to text", both, alone} == set(labels(ax))
    before = {line.get_label(): line for line in ax.lines if "before" in line.get_label()}
    assert np.allclose(before[both].get_ydata(), 0.35)
    assert np.allclose(before[alone].get_ydata(), 0.4)
    series = [c.lines[0] for c in ax.containers]
    styles = {str(line._dash_pattern) for line in (*before.values(), *series)}
    assert len(styles) == 5  # told apart in print too
    drawn = ax.containers[0].lines[0].get_ydata()
    assert drawn == pytest.approx([0.5, 0.55, 0.6], abs=0.05)


def test_an_arrow_leads_from_each_mixture_to_what_it_is_worth():
    table = made(by_worth(0.5))
    exchange = mixtures.exchange_rate(table, n_resamples=20)
    frame = scores.score_frame(table, n_resamples=20)
    ax = figures.exchange_plot(frame, exchange, n_pictures=1000).axes[0]
    arrows = {(round(a.xyann[0]), round(a.xy[0])) for a in ax.texts if a.arrow_patch}
    assert arrows == {(1000, 625), (1000, 750), (500, 375)}
    assert any("as 0.50 real ones" in text.get_text() for text in ax.texts)


def test_the_table_of_worths_says_what_lies_outside_the_curve():
    table = made(by_worth(0.5) | {Mix(0, 1): 0.1})
    exchange = mixtures.exchange_rate(table, n_resamples=20)
    shown = figures.worth_table(mixtures.worth_by_arm(table, n_resamples=20), exchange)
    rows = dict(zip(shown["arm"], zip(*shown.iloc[:, 1:].to_numpy().T, strict=True), strict=True))
    assert rows["25 % real + 75 % synthetic"] == ("0.50 [0.50, 0.50]", "62 % real")
    assert rows["100 % synthetic"] == ("outside the curve, below [below, below]", "–")
    assert rows["one worth fitted to all"] == ("0.50 [0.50, 0.50]", "–")


def test_other_gaps_and_watermarks_are_left_out_of_the_exchange():
    table = made(by_worth(0.5) | {Mix(0.25, 0.75, 0.5): 0.9, Mix(watermark=True): 0.1})
    exchange = mixtures.exchange_rate(table, n_resamples=20)
    frame = scores.score_frame(table, n_resamples=20)
    ax = figures.exchange_plot(frame, exchange, n_pictures=1000).axes[0]
    shown = np.concatenate([c.lines[0].get_ydata() for c in ax.containers])
    assert len(shown) == 6
    assert min(shown) > 0.1
    assert max(shown) < 0.9


def test_the_band_is_where_help_ends():
    table = swept({0: 0.1, 0.5: 0.05, 1: -0.05})
    curve = style_gap.gap_curve(table, 0.25, (0.5, 1), n_resamples=20)
    crossing = style_gap.stops_helping(table, 0.25, (0.5, 1), n_resamples=20)
    ax = figures.gap_curve_plot(curve, crossing, base=0.25).axes[0]
    assert ax.collections
    plain = figures.gap_curve_plot(curve, base=0.25).axes[0]
    assert not [text for text in plain.texts if "band" in text.get_text()]


@pytest.mark.parametrize(
    ("gain", "said"),
    [(0.025, "+2.5"), (0.075, "+7.5"), (-0.05, "-5"), (0.1, "+10"), (0.0, "0"), (1e-18, "0")],
)
def test_ticks_of_gains_are_exact(gain, said):
    table = swept({0: 0.1, 0.5: 0.05, 1: -0.05})
    curve = style_gap.gap_curve(table, 0.25, (0.5, 1), n_resamples=20)
    ax = figures.gap_curve_plot(curve, base=0.25).axes[0]
    assert ax.yaxis.get_major_formatter()(gain, 0) == said


def test_paths_show_every_arm_in_one_projection():
    fig = paths.path_plot({"real only": walked(2.0, 1.0), "synthetic only": walked(2.0, 2.5)})
    above, below = np.array(fig.axes).reshape(2, 2)
    assert [ax.get_title() for ax in above] == ["real only", "synthetic only"]
    assert above[0].get_xlim() == above[1].get_xlim()
    assert below[0].get_ylim() == below[1].get_ylim()
    with pytest.raises(ValueError, match="no path"):
        paths.path_plot({})


def test_the_gap_has_a_panel_a_measure_and_a_line_an_arm():
    frame = gap_frame({"real": [walked(1.0, 0.5)] * 2, "synthetic": [walked(1.0, 2.0)] * 2})
    fig = paths.gap_plot(frame, measures=("auc", "mmd"))
    assert [ax.get_title() for ax in fig.axes] == ["Linear probe", "Kernel"]
    means = frame[frame.arm == "real"].groupby("epoch")["mmd"].mean()
    assert any(np.allclose(line.get_ydata(), means) for line in fig.axes[1].lines)
    [legend] = fig.legends
    assert "which two samples' centroids never do" in legend.get_title().get_text()
    with pytest.raises(ValueError, match="no measure 'fid'"):
        paths.gap_plot(frame, measures=("fid",))
    with pytest.raises(ValueError, match="no row"):
        paths.gap_plot(pd.DataFrame())
