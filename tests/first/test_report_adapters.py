"""Claims at every size, records and tables of lesson 08, and what its figures say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.first.evaluation.chance import Gallery
from helpers.first.evaluation.comparison import paired_comparison
from helpers.first.report import adapter_claims, adapter_records, clouds, failures
from helpers.first.report import adapters as show
from helpers.first.report.results import Record, write_results
from helpers.first.training.head_runs import HeadArm, HeadRun

ABOUT = {"lesson": "08", "run": "tiny", "data": "world:kitchen", "seed": 42}
GROUPS = {"text_to_image": np.array([f"r{i // 2}" for i in range(80)])}
RNG = np.random.default_rng(0)
ZERO = {"text_to_image": np.where(RNG.random(80) < 0.5, 1, 30)}


def run_with(hit_rate: float, *, seed: int) -> HeadRun:
    rng = np.random.default_rng(seed)
    ends = {
        kept: {"validation": 0.5, "first_hit_ranks": {
            "text_to_image": np.where(rng.random(80) < rate, 2, 40).tolist()}}
        for kept, rate in (("best", hit_rate), ("last", hit_rate / 2))
    }  # fmt: skip
    return HeadRun(HeadArm(), ends)


RUNS = {
    n: {"tower, margin": [run_with(low, seed=n)], "residual, InfoNCE": [run_with(0.95, seed=n + 1)]}
    for n, low in ((50, 0.05), (1000, 0.5))
}


SEARCHED = {"text_to_image": Gallery(80, np.ones(80, int))}


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def records(**options) -> list[Record]:
    return adapter_claims.size_records(RUNS, ZERO, GROUPS, galleries=SEARCHED, **ABOUT, **options)


def test_labels_go_both_ways():
    assert show.arm_and_size(show.labeled("tower, margin, fixed steps", 50)) == (
        "tower, margin, fixed steps", 50
    )  # fmt: skip
    for wrong in ("M0", "tower, margin", "tower, many recipes"):
        with pytest.raises(ValueError, match="names no size"):
            show.arm_and_size(wrong)


def test_records_hold_values_and_paired_differences(tmp_path):
    found = records()
    write_results(tmp_path, found)  # well formed, none twice
    hits = (np.array(RUNS[50]["tower, margin"][0].ranks("text_to_image")) <= 10).astype(float)
    by_key = {(r.model, r.metric): r for r in found}
    assert by_key["tower, margin, 50 recipes", "hit@10"].value == hits.mean()
    expected = paired_comparison(hits, (ZERO["text_to_image"] <= 10) * 1.0, GROUPS["text_to_image"])
    difference = by_key["tower, margin, 50 recipes", "hit@10 minus M0"]
    assert (difference.value, difference.low) == (expected.difference, expected.low)
    late = records(kept="last")
    assert {r.model.split(", ")[2] for r in late} == {"fixed steps"}
    write_results(tmp_path, found + late)


def test_claims_are_judged_where_they_hold_and_as_one_family():
    judged = adapter_claims.judge_sizes(records())
    assert [one.claim.name for one in judged] == [
        "C2, 50, text_to_image", "C2, 1000, text_to_image",
        "C3, 50, text_to_image", "C3, 1000, text_to_image",
    ]  # fmt: skip
    verdicts = [one.verdict for one in judged]
    assert verdicts == ["supported", "not distinguishable", "supported", "supported"]
    raw = [r.value for r in records() if r.unit == "p"]
    assert max(one.p_value for one in judged) >= max(raw)
    table = adapter_claims.claims_by_size(judged)
    assert table.columns.tolist() == ["claim", "direction", "50 recipes", "1000 recipes"]
    assert table.loc[0, "50 recipes"].endswith("supported")
    assert adapter_claims.judge_sizes([]) == []
    with pytest.raises(ValueError, match="no p-value"):
        adapter_claims.judge_sizes([r for r in records() if r.unit != "p"])


def test_other_arms_and_plain_values_are_passed_over():
    with_others = records() + records(kept="last")
    assert len(adapter_claims.judge_sizes(with_others)) == 4


def difference(arm, n, value, p) -> list[Record]:
    about = {**ABOUT, "split": "test", "direction": "text_to_image", "n": 9}
    of = {"model": f"{arm}, {n} recipes", **about}
    metric = "hit@10 minus M0"
    return [
        Record(metric=metric, value=value, low=value - 0.1, high=value + 0.1, **of),
        Record(metric=f"p of {metric}", value=p, unit="p", **of),
    ]


def test_labels_without_their_size_are_of_one_size():
    made = difference("InfoNCE, no ceiling", 100, -0.1, 0.001)
    found = show.without_size(made)["text_to_image"]
    assert list(found) == ["InfoNCE, no ceiling"]
    assert found["InfoNCE, no ceiling"].difference == -0.1
    with pytest.raises(ValueError, match="several sizes"):
        show.without_size(made + difference("InfoNCE", 200, 0.1, 0.5))


def test_crossings_say_what_points_show_and_what_the_test_tells():
    made = [
        *difference("tower", 100, -0.1, 0.001), *difference("tower", 1000, 0.1, 0.9),
        *difference("residual", 100, 0.01, 0.9), *difference("residual", 1000, 0.1, 0.001),
        *difference("flat", 100, -0.1, 0.9), *difference("falls", 100, 0.1, 0.9),
        *difference("falls", 1000, -0.1, 0.04),
    ]  # fmt: skip
    table = adapter_records.crossings_table(made).set_index("arm")
    assert table.loc["tower"].tolist() == ["text to image", "rises at about 316", "–", "100"]
    # A point above 0 that the test cannot tell from 0 is not "better".
    assert table.loc["residual"].tolist() == ["text to image", "no point below 0", "1000", "–"]
    assert table.loc["flat"].tolist()[1:] == ["no point above 0", "–", "–"]
    # Holm over the table: .04 alone would have been told apart.
    assert table.loc["falls"].tolist()[1:] == ["does not rise", "–", "–"]


def test_effects_and_settings_and_space_become_records_and_tables(tmp_path):
    c = paired_comparison([1, 0, 1, 1], [0, 0, 1, 0], list("aabb"))
    effects = adapter_records.effect_records({"loss": c}, 50, direction="text_to_image", **ABOUT)
    table = adapter_records.effects_table(effects)
    assert table.loc[0, "50 recipes"].startswith("+50.0 [")
    panels = {"alpha": {"50 recipes": {0.1: [0.2, 0.4], 0.5: [0.5]}}}
    curves = adapter_records.score_records(panels, **ABOUT)
    assert [(r.value, r.n, r.split) for r in curves] == [
        (pytest.approx(0.3), 2, "validation"), (0.5, 1, "validation")
    ]  # fmt: skip
    table = adapter_records.settings_table(curves)
    assert table.to_numpy().tolist() == [["alpha 0.1", 0.3], ["alpha 0.5", 0.5]]
    assert adapter_records.settings_table([]).empty
    space = {"M0": {"gap": 0.123, "hit@10, home": 0.5}, "tower": {"gap": 0.5, "hit@10, home": 0.1}}
    measures = adapter_records.space_records(space, home=30, away=20, **ABOUT)
    assert {r.unit for r in measures} == {"cosine", "fraction"}
    assert adapter_records.space_table(space)["gap"].tolist() == [0.12, 0.5]
    kinds = pd.DataFrame(
        [("color", "M0", 0.5, 0.4, 0.6, 9, 3), ("shape", "M0", 1.0, np.nan, np.nan, 2, 1)],
        columns=["kind", "model", "value", "low", "high", "n", "n_groups"],
    )
    rows = adapter_records.kind_records([kinds, kinds], **ABOUT)
    assert [r.metric for r in rows][::2] == ["hit@10, color", "true text preferred, color"]
    rate = adapter_records.rate_record("pictures, frozen", 10.0, n=7, **ABOUT)
    write_results(tmp_path, [*effects, *curves, *measures, *rows, rate])


def test_costs_are_tabled_at_measured_rates():
    table = adapter_records.cost_table(
        {"pictures, frozen": 100.0, "queries, answered": 50.0},
        {"pictures": 1_000_000, "queries": 1000}, hourly_price=3.6,
    )  # fmt: skip
    assert table["items"].tolist() == ["1,000,000", "1,000"]
    assert table["price"].tolist() == ["10", "0.02"]


def test_data_curves_draw_a_line_an_arm_and_a_bar_a_size():
    fig = show.data_curves(records())
    (ax,) = fig.axes
    assert [text.get_text() for text in fig.legends[0].get_texts()] == [
        "tower, margin", "residual, InfoNCE"
    ]  # fmt: skip
    drawn = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_marker() != ""]
    values = {r.model: r.value for r in records() if r.metric == "hit@10 minus M0"}
    lines = [line.get_ydata().tolist() for line in drawn if line.get_marker() in "os"]
    assert [values[f"tower, margin, {n} recipes"] for n in (50, 1000)] in lines
    assert ax.get_xscale() == "log"
    with pytest.raises(ValueError, match="several kinds"):
        show.data_curves(records(metrics=("hit@1", "hit@10")))
    with pytest.raises(ValueError, match="no difference to draw"):
        show.data_curves([r for r in records() if r.metric == "hit@10"])


def test_setting_curves_draw_means_and_single_seeds():
    panels = {"alpha": {"few": {0.1: [0.2, 0.4]}}, "width": {"few": {8: [0.5], 64: [0.6]}}}
    fig = show.setting_curves(
        panels, heading="x", reference=("zero-shot", 0.3), logarithmic=["width"]
    )
    left, right = fig.axes
    named = [text.get_text() for text in fig.legends[0].get_texts()]
    assert named == ["few", "zero-shot"]  # in the legend, where no line crosses it
    assert not left.texts
    assert right.get_xscale() == "log"
    assert left.get_xscale() == "linear"
    means = [line.get_ydata() for line in left.lines if line.get_marker() == "o"]
    assert np.allclose(means, [[0.3]])
    dots = [line.get_ydata() for line in left.lines if line.get_marker() == "."]
    assert np.allclose(dots, [[0.2, 0.4]])
    with pytest.raises(ValueError, match="nothing to draw"):
        show.setting_curves({}, heading="x")


def test_no_two_of_eight_series_look_alike():
    panels = {"alpha": {f"series {i}": {0.1: [0.1 * i]} for i in range(8)}}
    handles = show.setting_curves(panels, heading="x").legends[0].legend_handles
    assert len({(h.get_color(), h.get_marker()) for h in handles}) == 8
    assert len({h.get_marker() for h in handles}) == 8  # in greyscale, too
    assert len({h.get_color() for h in handles[:6]}) == 6


def test_kinds_are_drawn_with_their_numbers_of_queries():
    frame = pd.DataFrame(
        [("color", "M0", 0.5, 0.4, 0.6, 9, 3), ("shape", "M0", 1.0, np.nan, np.nan, 2, 1)],
        columns=["kind", "model", "value", "low", "high", "n", "n_groups"],
    )
    fig = show.kind_plot(frame, heading="x", chance=0.5)
    labels = [t.get_text() for t in fig.axes[0].get_yticklabels()]
    assert labels == ["color (9)", "shape (2)"]
    with pytest.raises(ValueError, match="no row"):
        show.kind_plot(frame[:0], heading="x")


def test_clouds_lie_in_the_plane_of_most_variance():
    rng = np.random.default_rng(0)
    rows = np.column_stack(
        [5 * rng.normal(size=50), rng.normal(size=50), 0.1 * rng.normal(size=50)]
    )
    flat = clouds.in_the_plane(rows)
    assert np.corrcoef(flat[:, 0], rows[:, 0])[0, 1] > 0.99
    assert np.corrcoef(flat[:, 1], rows[:, 1])[0, 1] > 0.99
    ids = [str(i) for i in range(50)]
    fig = clouds.cloud_maps({"M0": (rows, rows + 1), "M1": (rows, rows)}, ids, ids)
    shown = [ax for ax in fig.axes if ax.get_visible()]
    assert [ax.get_title() or ax.get_title(loc="left") for ax in shown] == ["M0", "M1"]
    assert len(shown[0].collections) == 2
    with pytest.raises(ValueError, match="no model"):
        clouds.cloud_maps({}, [], [])


def test_the_worst_failure_of_each_kind_is_shown_with_both_texts():
    asked = pd.DataFrame(
        [("color", "a", "a.jpg", "true a", "foil a", 0.5, 0.6),
         ("color", "b", "b.jpg", "true b", "foil b", 0.1, 0.6),
         ("shape", "c", "c.jpg", "true c", "foil c", 0.9, 0.6)],
        columns=["kind", "recipe_id", "image_key", "truth", "foil", "truth_score", "foil_score"],
    )  # fmt: skip
    worst = failures.worst_of_kind(asked, ("shape", "color", "number"))
    assert worst["recipe_id"].tolist() == ["b"]
    pictures = {"b.jpg": Image.new("RGB", (8, 8), "red")}
    fig = failures.failure_gallery([(worst.iloc[0], pictures.__getitem__)], heading="x")
    said = [text.get_text() for text in fig.axes[0].texts]
    assert said == ["✗ 0.60 foil b", "✓ 0.10 true b"]
    assert failures.worst_of_kind(asked[2:], ("shape",)).empty
    with pytest.raises(ValueError, match="no failure"):
        failures.failure_gallery([], heading="x")
