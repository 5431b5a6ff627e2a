"""Figures of two sets of pictures: the numbers that went in are the ones that are drawn."""

import matplotlib

matplotlib.use("Agg")

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.first.report.gap import embedding_panels, gap_by_layer_figure, statistic_histograms
from helpers.first.report.style import save_figure, set_style
from helpers.first.studies.pixels import compare_statistics

IDS = [str(i) for i in range(40)]
LABELS = ("photo $1", "drawn")


@pytest.fixture(autouse=True)
def _style():
    set_style()
    yield
    plt.close("all")


def texts(fig) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fig.canvas.draw()
    return "\n".join(t.get_text() for t in fig.findobj(matplotlib.text.Text) if t.get_visible())


def statistics(names=("brightness", "spectrum_slope"), shift=1.0):
    rng = np.random.default_rng(0)
    a, b = (pd.DataFrame({n: rng.normal(size=40) for n in names}) for _ in range(2))
    b[names[0]] += shift
    found = compare_statistics(
        a, b, groups_a=IDS, groups_b=IDS, paired=True, n_shuffles=99, n_resamples=99
    )
    return a, b, found


def test_histograms_show_every_picture_once_and_say_what_the_test_says():
    a, b, found = statistics()
    fig = statistic_histograms(
        a, b, found, labels=LABELS, heading="What?", units={"brightness": "levels"}
    )
    for ax, name in zip(fig.axes, a, strict=False):
        steps = [p for p in ax.patches if isinstance(p, matplotlib.patches.StepPatch)]
        assert [p.get_data().values.sum() for p in steps] == pytest.approx([100] * 4)
        means = [line.get_xdata()[0] for line in ax.lines]
        assert means == pytest.approx([b[name].mean(), a[name].mean()])
    said = texts(fig)
    first = found.iloc[0]
    assert f"{first['difference']:+.3g}".replace("-", "−") in said
    assert f"Cliff's delta {first['effect_size']:+.2f}".replace("-", "−") in said
    assert "photo \\$1 (n = 40)" in said
    assert "levels" in said
    assert "Spectrum slope" in said


def test_the_two_sides_differ_in_more_than_color():
    fig = statistic_histograms(*statistics(), labels=LABELS, heading="What?")
    steps = [p for p in fig.axes[0].patches if isinstance(p, matplotlib.patches.StepPatch)]
    assert len({p.get_linestyle() for p in steps if not p.get_fill()}) == 2
    assert len({p.get_hatch() for p in steps if p.get_fill()}) == 2


@pytest.mark.parametrize("n", [1, 3, 5])
def test_any_number_of_statistics_has_one_legend(n):
    names = tuple(f"s{i}" for i in range(n))
    fig = statistic_histograms(*statistics(names), labels=LABELS, heading="What?")
    legends = [*fig.legends, *(ax.get_legend() for ax in fig.axes)]
    assert len([legend for legend in legends if legend]) == 1


def test_equal_values_are_a_single_bar():
    a, b, _ = statistics(("x",))
    a["x"] = b["x"] = 5.0
    found = compare_statistics(a, b, groups_a=IDS, groups_b=IDS, n_shuffles=9, n_resamples=9)
    assert "p = 1.000" in texts(statistic_histograms(a, b, found, labels=LABELS, heading="?"))


def test_a_comparison_of_other_columns_is_refused():
    a, b, found = statistics()
    with pytest.raises(ValueError, match="'brightness', which is no column"):
        statistic_histograms(a.drop(columns="brightness"), b, found, labels=LABELS, heading="?")


def points(seed):
    return np.random.default_rng(seed).normal(size=(12, 2))


def test_panels_draw_both_sets_and_join_pairs():
    panels = {"perplexity 5": (points(0), points(1)), "perplexity 30": (points(2), points(3))}
    fig = embedding_panels(panels, labels=LABELS, heading="Maps", note="note $", pairs=[0, 7])
    for ax, sides in zip(fig.axes, panels.values(), strict=True):
        drawn = [np.asarray(c.get_offsets()) for c in ax.collections]
        assert drawn[0] == pytest.approx(sides[0])
        assert drawn[1] == pytest.approx(sides[1])
        assert ax.lines[1].get_xydata() == pytest.approx(np.stack([sides[0][7], sides[1][7]]))
        assert len(ax.lines) == 2
        assert not ax.get_xticks().size
    said = texts(fig)
    for part in ("perplexity 30", "drawn", "the same recipe", "note \\$"):
        assert part in said


def test_pca_has_axes_that_mean_something():
    fig = embedding_panels(
        {"output": (points(0), points(1))}, labels=LABELS, heading="PCA", axes_named=("one", "two")
    )
    assert fig.axes[0].get_xlabel() == "one"
    assert fig.axes[0].get_xticks().size
    assert "the same recipe" not in texts(fig)


def test_no_panel_is_refused():
    with pytest.raises(ValueError, match="no panel"):
        embedding_panels({}, labels=LABELS, heading="Maps")


def gaps():
    return pd.DataFrame(
        {
            "layer": ["patches", "layer 1", "output"],
            "auc": [0.7, 0.9, 0.8], "auc_low": [0.6, 0.85, 0.7], "auc_high": [0.8, 0.95, 0.9],
            "mmd": [0.001, 0.02, 0.01], "mmd_p": [0.4, 0.002, 0.002],
            "frechet": [0.2, 0.4, 0.3], "frechet_null": [0.1, 0.1, 0.05],
            "centroid_ratio": [0.3, 0.5, 0.4],
        }
    )  # fmt: skip


def test_the_gap_by_layer_shows_all_four_numbers():
    fig = gap_by_layer_figure(gaps(), heading="How far?", note="40 recipes")
    auc, mmd, frechet, ratio = fig.axes
    lines = [
        [line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 3] for ax in fig.axes
    ]
    for shown, name in zip(lines, ("auc", "mmd", "frechet", "centroid_ratio"), strict=True):
        assert any(np.allclose(y, gaps()[name]) for y in shown), name
    assert any(np.allclose(y, gaps()["frechet_null"]) for y in lines[2])
    bars = auc.collections[0].get_segments()
    assert [bar[:, 1].tolist() for bar in bars] == [[0.6, 0.8], [0.85, 0.95], [0.7, 0.9]]
    faces = [line.get_markerfacecolor() for line in mmd.lines if len(line.get_ydata()) == 1]
    assert [face == "white" for face in faces] == [True, False, False]
    assert frechet.get_ylim()[0] == ratio.get_ylim()[0] == 0
    said = texts(fig)
    assert "40 recipes   ·   MMD, open mark" in said
    assert "layer 1" in said


def test_open_marks_are_explained_only_where_there_are_any():
    fig = gap_by_layer_figure(gaps().assign(mmd_p=0.01), heading="How far?")
    assert "open mark" not in texts(fig)


def test_a_figure_is_not_empty_on_paper(tmp_path):
    fig = gap_by_layer_figure(gaps(), heading="How far?")
    with Image.open(save_figure(fig, tmp_path, "gap")) as image:
        levels = np.asarray(image.convert("L"))
    assert (levels < 90).mean() > 0.002
