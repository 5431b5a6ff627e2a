"""Text of numbers, tables for reading, and figures that hold what they were given."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.data.sets import RetrievalSet
from helpers.evaluation.stats import Estimate
from helpers.report import galleries, plots, tables
from helpers.topics import adaptation, zero_shot


def of(value: float, low: float, high: float, **more) -> Estimate:
    return Estimate(value, low, high, **more)


def table(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["arm", "metric", "direction", "estimate"])


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.parametrize(
    ("metric", "text"),
    [("hit@10", "44.7 % [41.0, 48.4]"), ("mrr", "0.447 [0.410, 0.484]")],
)
def test_a_value_with_its_interval(metric, text):
    assert tables.value_text(of(0.447, 0.41, 0.484), metric) == text


def test_a_value_without_interval_and_one_that_is_missing():
    assert tables.value_text(of(12.0, math.nan, math.nan), "median rank") == "12.0"
    assert tables.value_text(of(math.nan, 0, 0, missing="n/a (gallery has 6)")) == (
        "n/a (gallery has 6)"
    )


def test_differences_in_points():
    assert tables.difference_text(of(0.0962, 0.083, -0.001)) == "+9.6 [+8.3, -0.1]"


@pytest.mark.parametrize(("p", "text"), [(0.0004, "< 0.001"), (0.81234, "0.81"), (math.nan, "–")])
def test_p_values(p, text):
    assert tables.p_text(p) == text


def test_a_wide_table_has_a_row_an_arm_and_chance():
    frame = tables.wide_table(
        table(
            ("zero-shot", "hit@10", "text_to_image", of(0.4, 0.3, 0.5)),
            ("LoRA", "hit@10", "text_to_image", of(0.5, 0.4, 0.6)),
        ),
        chance={("hit@10", "text_to_image"): 0.034},
    )
    assert frame[""].tolist() == ["zero-shot", "LoRA", "chance"]
    assert frame["text to image [95 %]"].tolist()[2] == "3.4 %"


def test_cells_are_escaped():
    html = tables.frame_html(pd.DataFrame({"caption": ["<script>alert(1)</script>"]}))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_points_lie_where_the_numbers_are():
    rows = [
        ("a", "hit@10", "text_to_image", of(0.4, 0.3, 0.5)),
        ("b", "hit@10", "text_to_image", of(math.nan, 0, 0, missing="n/a (gallery has 6)")),
    ]
    figure = plots.points_with_intervals(table(*rows), heading="x", chance={"text_to_image": 0.1})
    (ax,) = figure.axes
    xs = [line.get_xdata() for line in ax.lines if line.get_marker() == "o"]
    assert np.concatenate(xs).tolist() == [0.4]  # what is missing is not drawn
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]


def test_lines_take_estimates_and_plain_values():
    frame = pd.DataFrame({"x": [1, 2], "s": ["a", "a"], "estimate": [of(0.1, 0, 0.2)] * 2})
    figure = plots.lines_with_intervals(frame, x="x", series="s", heading="h", xlabel="x")
    assert figure.axes[0].lines[0].get_ydata().tolist() == [0.1, 0.1]
    assert len(figure.axes[0].collections) == 1  # the band of the interval
    plain = pd.DataFrame({"x": [1, 100], "s": ["a", "a"], "value": [0.1, 0.2]})
    figure = plots.lines_with_intervals(plain, x="x", series="s", heading="h", xlabel="x")
    assert figure.axes[0].get_xscale() == "log"
    assert not figure.axes[0].collections


def test_the_path_shows_every_factor():
    path = pd.DataFrame(
        {"method": "LoRA", "factor": [0.5, 1.0], "gain": [7.0, 9.0], "loss": [-2.0, -7.0]}
    )
    figure = plots.gain_against_loss(path, heading="h", xlabel="x", ylabel="y")
    assert {"0.5", "1"} <= {t.get_text() for t in figure.axes[0].texts}


def test_other_plots_draw():
    losses = pd.DataFrame({"step": [1, 2, 3], "loss": [3.0, 2.0, 1.0]})
    scores = pd.DataFrame({"step": [0, 3], "score": [0.2, 0.4]})
    assert len(adaptation.learning_curves(losses, scores, heading="h", guessing=3.5).axes) == 2
    values = {"a": [1.0] * 4 + [2.0], "b": [1.0, 2.0]}
    shapes = zero_shot.histograms(values, heading="h", xlabel="x").axes[0].patches
    assert [one.get_xy()[:, 1].max() for one in shapes] == pytest.approx([0.8, 0.8, 0.5, 0.5])
    rng = np.random.default_rng(0)
    plane = zero_shot.modality_plane(
        rng.normal(size=(9, 4)) + 2, rng.normal(size=(7, 4)), heading="h"
    )
    images, texts = (line.get_xdata() for line in plane.axes[0].lines)
    assert images.mean() > texts.mean()
    cells = zero_shot.heat_map(np.eye(2), columns=["a", "b"], heading="h").axes[0].texts
    assert [t.get_text() for t in cells] == ["1.00", "0.00", "0.00", "1.00"]


def test_a_search_gallery_marks_what_is_right():
    image = Image.new("RGB", (8, 8))
    items = np.array(["a", "b"])
    data = RetrievalSet([image, image], items, ["red", "blue"], items)
    scores = np.array([[0.9, 0.1], [0.8, 0.2]])
    figure = galleries.search_gallery([0, 1], data, scores, k=2)
    texts = [t.get_text() for ax in figure.axes for t in ax.texts]
    assert "first hit at rank 1" in texts
    assert "first hit at rank 2" in texts
    assert "✓ 0.900" in texts


def test_two_models_have_a_line_each():
    image = Image.new("RGB", (8, 8))
    items = np.array(["a", "b"])
    data = RetrievalSet([image, image], items, ["red", "blue"], items)
    both = {"before": np.eye(2), "after": np.eye(2)[::-1]}
    figure = galleries.search_gallery([0], data, both, k=1)
    texts = " ".join(t.get_text() for ax in figure.axes for t in ax.texts)
    assert texts.count("“red”") == 2
    assert "before: first hit at rank 1" in texts
    assert "after: first hit at rank 2" in texts
