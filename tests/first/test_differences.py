"""Differences and rank changes: what is drawn and written, checked against what went in."""

import math

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.first.evaluation.comparison import Comparison
from helpers.first.report.differences import difference_plot, rank_changes
from helpers.first.report.style import set_style


@pytest.fixture(autouse=True)
def _style():
    set_style()
    yield
    plt.close("all")


def texts(fig) -> str:
    fig.canvas.draw()
    return "\n".join(t.get_text() for t in fig.findobj(matplotlib.text.Text) if t.get_visible())


def compared(difference=0.06, low=0.02, high=0.1, verdict="better", *, detectable=0.05, n=54):
    return Comparison(difference, low, high, 0.01, n, 30, detectable, verdict)


def marks(ax) -> list[tuple[float, str, str]]:
    """x, marker and filling of the marks of a panel."""
    return [
        (float(line.get_xdata()[0]), line.get_marker(), line.get_markerfacecolor())
        for line in ax.lines
        if line.get_marker() in ("o", "s")
    ]


def test_differences_are_drawn_in_points_and_written_with_signs_and_verdict():
    fig = difference_plot(
        {"R@1": compared(), "R@5": compared(-0.031, -0.052, -0.01, "worse")}, heading="M1 - M0"
    )
    ax = fig.axes[0]
    assert [m[0] for m in marks(ax)] == pytest.approx([6, -3.1])
    assert [2, 10] in [pytest.approx(list(line.get_xdata())) for line in ax.lines]
    said = texts(fig)
    assert "+6.0  [+2.0, +10.0]\nbetter" in said
    assert "−3.1  [−5.2, −1.0]\nworse" in said
    assert "difference, points" in said
    assert "54 queries, 30 recipes" in said


def test_only_a_distinguishable_difference_is_filled_and_shapes_differ():
    kinds = ("better", "worse", "not distinguishable")
    fig = difference_plot({kind: compared(verdict=kind) for kind in kinds}, heading="h")
    (_, up, up_fill), (_, down, down_fill), (_, _, open_fill) = marks(fig.axes[0])
    assert open_fill == "white"
    assert "white" not in (up_fill, down_fill)
    assert up != down
    assert {t.get_text() for t in fig.legends[0].get_texts()} > set(kinds)


def test_zero_is_in_the_middle_and_everything_is_on_the_axis():
    fig = difference_plot({"a": compared(0.3, 0.1, 0.5), "b": compared(-0.02)}, heading="h")
    low, high = fig.axes[0].get_xlim()
    assert low == -high
    assert high > 50


def test_the_band_is_as_wide_as_the_smallest_detectable_difference_on_both_sides():
    fig = difference_plot({"a": compared(detectable=0.07)}, heading="h")
    (band,) = fig.axes[0].patches
    assert (band.get_x(), band.get_width()) == pytest.approx((-7, 14))


def test_directions_are_panels_that_share_rows_and_axis():
    fig = difference_plot(
        {"text_to_image": {"a": compared()}, "image_to_text": {"b": compared(n=60)}}, heading="h"
    )
    left, right = fig.axes
    assert left.get_title(loc="left").startswith("Text to image")
    assert "60 queries" in right.get_title(loc="left")
    assert [t.get_text() for t in left.get_yticklabels()] == ["a", "b"]
    assert left.get_xlim() == right.get_xlim()
    assert (len(marks(left)), len(marks(right))) == (1, 1)


def test_what_is_not_a_number_is_said_and_not_drawn():
    nan = math.nan
    rows = {
        "none": compared(nan, nan, nan, "not distinguishable", detectable=nan),
        "no interval": compared(0.02, nan, nan, "better", detectable=nan),
    }
    fig = difference_plot(rows, heading="h")
    said = texts(fig)
    assert "no value" in said
    assert "+2.0\nbetter" in said
    assert "nan" not in said
    assert len(marks(fig.axes[0])) == 1
    assert not fig.axes[0].patches
    only = difference_plot({"none": rows["none"]}, heading="h")
    assert np.isfinite(only.axes[0].get_xlim()).all()


def test_other_units_are_drawn_as_they_come_and_zero_has_no_sign():
    fig = difference_plot(
        {"mean rank": compared(-0.3, -1.2, -0.01)}, heading="h", unit="ranks", note="lower wins"
    )
    assert marks(fig.axes[0])[0][0] == pytest.approx(-0.3)
    said = texts(fig)
    assert "−0.3  [−1.2, 0.0]" in said
    assert "difference, ranks" in said
    assert "lower wins" in said


def test_nothing_to_draw_and_mixtures_are_refused():
    for empty in ({}, {"text_to_image": {}}):
        with pytest.raises(ValueError, match="no comparison"):
            difference_plot(empty, heading="h")
    with pytest.raises(ValueError, match="mixed"):
        difference_plot({"a": compared(), "b": {"c": compared()}}, heading="h")


def drawn_counts(fig) -> list[int]:
    """Queries in each of the three groups of marks, from the areas of the marks."""
    areas = [points.get_sizes() for points in fig.axes[0].collections]
    smallest = min(a.min() for a in areas if a.size)
    return [round(float(a.sum() / smallest)) for a in areas]


def test_ranks_below_the_diagonal_are_better_and_half_ranks_stay_halves():
    fig = rank_changes([5, 12, 1, 2.5, 2.5], [2, 30, 1, 1.5, 1.5], heading="Who moved?")
    better, worse, same = fig.axes[0].collections
    assert better.get_offsets().tolist() == [[2.5, 1.5], [5, 2]]
    assert worse.get_offsets().tolist() == [[12, 30]]
    assert same.get_offsets().tolist() == [[1, 1]]
    assert drawn_counts(fig) == [3, 1, 1]
    assert "5 queries: 3 better, 1 worse, 1 same" in texts(fig)
    assert (fig.axes[0].get_xscale(), fig.axes[0].get_yscale()) == ("log", "log")


def test_who_entered_and_who_left_the_first_k_is_counted():
    fig = rank_changes([11, 10, 10.5, 3], [10, 10.5, 12, 4], heading="h", labels=("M0", "M1"))
    said = texts(fig)
    assert "entered the first 10: 1, left them: 1" in said
    assert "rank of the first hit, M0" in said
    assert "rank of the first hit, M1" in said
    assert "entered" not in texts(rank_changes([1, 2], [2, 1], heading="h", k=0))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(*[st.integers(2, 4000).map(lambda r: r / 2)] * 2), min_size=1))
def test_every_query_is_counted_once_and_lies_on_the_axes(pairs):
    before, after = np.array(pairs).T
    fig = rank_changes(before, after, heading="h")
    ax = fig.axes[0]
    counts = [(after < before).sum(), (after > before).sum(), (after == before).sum()]
    note = "{:,} better, {:,} worse, {:,} same".format(*counts)
    assert any(note in t.get_text() for t in ax.texts)
    places = np.concatenate([points.get_offsets() for points in ax.collections])
    assert len(places) == len(set(pairs))
    assert places.max() < ax.get_xlim()[1] == ax.get_ylim()[1]
    plt.close(fig)


def test_ranks_are_checked():
    with pytest.raises(ValueError, match="1 ranks before, 2 after"):
        rank_changes([1], [1, 2], heading="h")
    for bad in ([], [0.5], [math.nan], [math.inf]):
        with pytest.raises(ValueError, match="at least one query"):
            rank_changes(bad, bad, heading="h")
