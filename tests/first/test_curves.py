"""Learning curves and cost bars: what is drawn and written, checked against what went in."""

import math
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.report.curves import cost_bars, learning_curves, running_mean
from helpers.first.report.style import set_style


@pytest.fixture(autouse=True)
def _style():
    set_style()
    yield
    plt.close("all")


def texts(fig) -> str:
    fig.canvas.draw()
    return "\n".join(t.get_text() for t in fig.findobj(matplotlib.text.Text) if t.get_visible())


def run(losses=(0.7, 0.5, 0.4), scores=(0.5, 0.7, 0.6), kept=1) -> dict:
    return {
        "steps": [{"step": i + 1, "loss": loss} for i, loss in enumerate(losses)],
        "epochs": [{"epoch": i, "score": score} for i, score in enumerate(scores)],
        "kept_epoch": kept,
    }


def drawn(ax) -> list[tuple[list, list]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines]


def test_losses_scores_and_the_kept_epoch_are_drawn_where_they_are():
    fig = learning_curves({"M1": run()}, heading="How it went")
    left, right = fig.axes
    assert drawn(left) == [([1, 2, 3], [0.7, 0.5, 0.4])]
    curve, ring = drawn(right)
    assert curve == ([0, 1, 2], [0.5, 0.7, 0.6])
    assert ring == ([1], [0.7])
    assert right.lines[1].get_markerfacecolor() == "none"
    said = texts(fig)
    for text in ("How it went", "optimizer step", "training loss, nats", "validation score, %"):
        assert text in said
    assert "70" in [t.get_text() for t in right.get_yticklabels()]


def test_objects_and_dicts_give_the_same_figure():
    as_dict, as_object = (
        [drawn(ax) for ax in learning_curves({"a": item}, heading="h").axes]
        for item in (run(), SimpleNamespace(**run()))
    )
    assert as_dict == as_object


def test_many_steps_get_a_smoothed_line_and_the_note_says_over_how_many():
    losses = np.random.default_rng(0).random(150)
    fig = learning_curves({"M1": run(losses)}, heading="h")
    raw, smooth = fig.axes[0].lines
    assert list(raw.get_ydata()) == list(losses)
    assert smooth.get_ydata()[75] == pytest.approx(losses[70:81].mean())
    assert smooth.get_linewidth() > raw.get_linewidth()
    assert "mean of 11 steps" in texts(fig)


def test_references_are_dashed_lines_with_their_names():
    fig = learning_curves({"M1": run()}, heading="h", references={"log 2": math.log(2)})
    line = fig.axes[0].lines[-1]
    assert list(line.get_ydata()) == [math.log(2)] * 2
    assert line.get_linestyle() == "--"
    assert "log 2" in texts(fig)


def test_runs_differ_by_line_and_marker_and_are_named():
    fig = learning_curves({f"run {i}": run() for i in range(5)}, heading="h")
    curves = [line for line in fig.axes[1].lines if len(line.get_xdata()) > 1]
    assert len({line.get_marker() for line in curves}) == 5
    assert len({str(line._dash_pattern) for line in curves}) == 5
    assert [t.get_text() for t in fig.legends[0].get_texts()] == [f"run {i}" for i in range(5)]


def test_runs_without_validation_or_with_a_broken_step_are_drawn():
    bare = run(losses=[0.5, math.nan, 0.4]) | {"epochs": [{"epoch": 1, "loss": 0.4}]}
    alone = learning_curves({"bare": bare}, heading="h")
    assert len(alone.axes) == 1
    assert "ring" not in texts(alone)
    both = learning_curves({"bare": bare, "M1": run(kept=7)}, heading="h")
    assert len(both.axes[1].lines) == 1  # epoch 7 has no score, so there is nothing to ring


def test_runs_are_checked():
    with pytest.raises(ValueError, match="no run"):
        learning_curves({}, heading="h")
    with pytest.raises(ValueError, match="'M1' has no steps"):
        learning_curves({"M1": run(losses=())}, heading="h")


@given(
    st.lists(st.one_of(st.just(math.nan), st.integers(-9, 9).map(float)), min_size=1),
    st.integers(0, 6).map(lambda half: 2 * half + 1),
)
def test_the_running_mean_is_the_mean_of_what_is_near(values, width):
    values, half = np.array(values), width // 2
    for i, got in enumerate(running_mean(values, width)):
        near = values[max(0, i - half) : i + half + 1]
        near = near[~np.isnan(near)]
        want = near.mean() if near.size else math.nan
        assert got == pytest.approx(want, nan_ok=True)


COSTS = {
    "training": {"M0": 0.0, "M1": 429.94},
    "images": {"M0": 45.06, "M1": math.nan},
    "trainable parameters": {"M1": 983_041},
}
UNITS = {"training": "s", "images": "images/s", "trainable parameters": "parameters"}


def bars(ax) -> list[float]:
    return [bar.get_width() for group in ax.containers for bar in group]


def test_each_cost_has_its_panel_unit_bars_and_numbers():
    fig = cost_bars(COSTS, units=UNITS)
    assert [bars(ax) for ax in fig.axes] == [[0, 429.94], [45.06], [983_041]]
    assert [ax.get_xlabel() for ax in fig.axes] == ["s", "images/s", "parameters"]
    assert [[t.get_text() for t in ax.texts] for ax in fig.axes] == [
        ["0", "430"], ["45.1", "not measured"], ["not measured", "983,041"],
    ]  # fmt: skip
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["M0", "M1"]
    assert len({ax.get_xlim() for ax in fig.axes}) == 3


def test_a_variant_has_one_hatch_in_all_panels():
    fig = cost_bars(COSTS, units=UNITS)
    m0, m1 = (group.patches[0].get_hatch() for group in fig.axes[0].containers)
    assert m0 != m1
    assert fig.axes[2].containers[0].patches[0].get_hatch() == m1


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0031, "0.0031"), (3.456, "3.46"), (12.0, "12"), (99.96, "100"), (1234.5, "1,234")],
)
def test_values_are_written_with_three_digits(value, said):
    assert said in texts(cost_bars({"c": {"v": value}}, units={"c": "s"})).split("\n")


def test_more_than_four_costs_go_on_in_a_second_row():
    costs = {f"cost {i}": {"v": 1.0} for i in range(5)}
    fig = cost_bars(costs, units=dict.fromkeys(costs, "s"))
    assert sum(ax.get_visible() for ax in fig.axes) == 5


def test_costs_are_checked():
    with pytest.raises(ValueError, match="no cost"):
        cost_bars({"a": {}}, units={"a": "s"})
    with pytest.raises(ValueError, match=r"no unit for \['a'\]"):
        cost_bars({"a": {"v": 1}}, units={})
    for bad in (-1.0, math.inf):
        with pytest.raises(ValueError, match="0 or more"):
            cost_bars({"a": {"v": bad}}, units={"a": "s"})
