"""Figures: what is drawn and written in them, checked against the numbers that went in."""

import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from PIL import Image

from helpers.first.report import figures
from helpers.first.report.figures import Reference
from helpers.first.report.results import Record
from helpers.first.report.style import PALETTE, plain, wrapped


@pytest.fixture(autouse=True)
def _style():
    figures.set_style()
    yield
    plt.close("all")


def texts(fig) -> str:
    fig.canvas.draw()
    return "\n".join(t.get_text() for t in fig.findobj(matplotlib.text.Text) if t.get_visible())


def record(metric="hit@1", direction="text_to_image", value=0.5, low=0.4, high=0.6, model="m"):
    return Record("03", "r", model, "d", "test", direction, metric, value, low, high, 54)


def luminance(color) -> float:
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(color)]
    return 116 * (np.dot(linear, (0.2126, 0.7152, 0.0722))) ** (1 / 3) - 16


def test_the_palette_keeps_its_order_in_grey():
    steps = np.diff([luminance(color) for color in PALETTE])
    assert (steps > 10).all()


def test_the_style_uses_a_font_that_ships_with_matplotlib_and_titles_on_the_left():
    path = matplotlib.font_manager.findfont(
        plt.rcParams["font.family"][0], fallback_to_default=False
    )
    assert path.startswith(matplotlib.get_data_path())
    assert plt.rcParams["axes.titlelocation"] == "left"


def test_save_figure_writes_a_png_of_120_dpi(tmp_path):
    fig = plt.figure()
    path = figures.save_figure(fig, tmp_path, "a_figure")
    assert path == tmp_path / "figures" / "a_figure.png"
    with Image.open(path) as image:
        assert round(image.info["dpi"][0]) == 120


@pytest.mark.parametrize("name", ["", "../up", "a b", ".hidden", "a/b"])
def test_save_figure_refuses_a_name_that_is_a_path(tmp_path, name):
    with pytest.raises(ValueError, match="figure name"):
        figures.save_figure(plt.figure(), tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_interval_plot_draws_values_intervals_and_references_where_they_are():
    fig = figures.interval_plot(
        [record(), record(direction="image_to_text", value=0.7, low=0.65, high=0.8)],
        references=[Reference("chance", "text_to_image", "hit@1", 0.02)],
    )
    left, right = fig.axes
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["Text to image", "Image to text"]
    drawn = [list(line.get_xdata()) for line in left.lines]
    assert [0.4, 0.6] in drawn
    assert [0.5] in drawn
    open_marks = [line for line in left.lines if line.get_markerfacecolor() == "white"]
    assert [list(line.get_xdata()) for line in open_marks] == [[0.02]]
    assert [0.65, 0.8] in [list(line.get_xdata()) for line in right.lines]
    said = texts(fig)
    assert "50.0  [40, 60]" in said
    assert "70.0  [65, 80]" in said
    assert "score, %" in said
    assert "chance" in said


def test_interval_plot_names_series_and_does_without_intervals():
    fig = figures.interval_plot([record(low=None, high=None), record(model="with $5")])
    said = texts(fig)
    assert "50.0\n" in said
    assert "with \\$5" in said


@pytest.mark.parametrize("draw", [figures.interval_plot, figures.bars_with_intervals])
def test_only_fractions_share_an_axis(draw):
    with pytest.raises(ValueError, match="no record"):
        draw([])
    rank = Record("03", "r", "m", "d", "test", "", "median rank", 7.0, unit="rank")
    with pytest.raises(ValueError, match="units \\['rank'\\]"):
        draw([record(), rank])


def test_bars_have_the_heights_and_whiskers_of_the_records():
    fig = figures.bars_with_intervals(
        [record(), record(model="b", value=0.7, low=0.6, high=0.9), record(metric="MRR", model="b")]
    )
    ax = fig.axes[0]
    heights = [
        [bar.get_height() for bar in bars] for bars in ax.containers if hasattr(bars, "patches")
    ]
    assert heights[0][0] == 0.5
    assert np.isnan(heights[0][1])  # no record of this model and metric: no bar
    assert heights[1] == [0.7, 0.5]
    ends = [
        seg[:, 1].tolist() for coll in ax.collections for seg in coll.get_segments() if len(seg)
    ]
    assert any(np.allclose(end, [0.6, 0.9]) for end in ends)
    assert (
        len({bars.patches[0].get_hatch() for bars in ax.containers if hasattr(bars, "patches")})
        == 2
    )


def test_two_records_for_one_bar_are_refused():
    with pytest.raises(ValueError, match="several records for one bar"):
        figures.bars_with_intervals([record(), record(direction="image_to_text")])


def naive_auc(positive, negative) -> float:
    return np.mean([(p > n) + (p == n) / 2 for p in positive for n in negative])


@given(*[st.lists(st.integers(-5, 5).map(lambda v: v / 5), min_size=1, max_size=12)] * 2)
def test_auc_is_the_share_of_pairs_in_order(positive, negative):
    apart = figures.separation(positive, negative)
    assert apart.auc == pytest.approx(naive_auc(positive, negative))
    assert figures.separation(negative, positive).auc == pytest.approx(1 - apart.auc)
    assert -1e-9 <= apart.overlap <= 1 + 1e-9


def test_overlap_is_one_for_equal_samples_and_zero_for_samples_apart():
    assert figures.separation([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]).overlap == pytest.approx(1)
    assert figures.separation([0.8, 0.9], [0.1, 0.2]) == figures.Separation(1.0, 0.0)
    assert figures.separation([0.5, 0.5], [0.5]) == figures.Separation(0.5, 1.0)


def test_similarity_histograms_say_auc_and_overlap():
    said = texts(figures.similarity_histograms([0.8, 0.9], [0.1, 0.2, 0.3]))
    assert "AUC 1.000" in said
    assert "overlap 0 %" in said
    assert "n = 3" in said


@pytest.mark.parametrize("bad", [[], [np.nan], [np.inf, 1]])
def test_similarities_must_be_finite(bad):
    with pytest.raises(ValueError, match="negative similarities"):
        figures.similarity_histograms([0.5], bad)


def test_rank_histogram_shares_add_up_and_hits_are_marked():
    ranks = [1, 1, 1.5, 5, 6, 10.5, 200]
    fig = figures.rank_histogram(ranks, chance=[1, 100])
    ax = fig.axes[0]
    shares = [bar.get_height() for bar in ax.containers[0].patches]
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert sum(shares) == pytest.approx(1)
    by_label = dict(zip(labels, np.round(np.array(shares) * 7).astype(int), strict=True))
    assert by_label == {"1": 2, "2\nto 5": 2, "6\nto 10": 1, "11\nto 20": 1, "21\nto 50": 0,
                        "51\nto 100": 0, "101\nto 200": 1}  # fmt: skip
    said = texts(fig)
    assert "hit@1\n29 %" in said
    assert "hit@5\n57 %" in said
    assert "hit@10\n71 %" in said
    assert "median rank 5" in said


@given(st.lists(st.floats(1, 3e5), min_size=1, max_size=30))
def test_no_rank_falls_outside_the_bins(ranks):
    fig = figures.rank_histogram(ranks)
    assert sum(bar.get_height() for bar in fig.axes[0].patches) == pytest.approx(1)
    plt.close(fig)


def test_ranks_and_hits_are_checked():
    for bad in ([], [0], [np.nan]):
        with pytest.raises(ValueError, match="ranks"):
            figures.rank_histogram(bad)
    with pytest.raises(ValueError, match=r"hits \[7\]"):
        figures.rank_histogram([1], hits=(7,))


@given(st.text(max_size=60))
def test_any_text_is_drawn_as_it_stands(text):
    shown = plain(text)
    assert shown.replace(r"\$", "").count("$") == 0
    assert "\n" not in shown
    fig = plt.figure()
    fig.text(0, 0, shown)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a glyph that its font lacks
        fig.canvas.draw()
    plt.close(fig)


def test_long_text_is_cut_with_an_ellipsis():
    lines = wrapped("soup with " * 30, width=20, lines=3).split("\n")
    assert len(lines) == 3
    assert max(map(len, lines)) <= 20
    assert lines[-1].endswith("…")
    assert wrapped("x" * 50, width=20, lines=2).startswith("x" * 18)
    assert wrapped("costs $5 and $6", width=40, lines=1) == r"costs \$5 and \$6"
