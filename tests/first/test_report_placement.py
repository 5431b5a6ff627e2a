"""Records, tables and figures of a placement study, on made-up rows."""

from dataclasses import replace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers.first.evaluation.comparison import compare_all
from helpers.first.evaluation.power import NeededSize
from helpers.first.report import placement as table
from helpers.first.report import placement_tables as shown
from helpers.first.report.placement_figures import (
    differences_from,
    forest_plot,
    pair_matrix,
    trend_plot,
)
from helpers.first.report.results import read_results, write_results
from helpers.first.report.style import set_style
from helpers.first.studies.placement import ORIGINAL
from helpers.first.studies.placement_claims import observed
from helpers.first.studies.placement_runs import RowRecord
from helpers.first.studies.seeds import two_way_interval

ABOUT = {"lesson": "05", "run": "made up", "data": "none"}
IDS = np.repeat(np.arange(30), 2).astype(str)
GROUPS = {"text_to_image": IDS, "image_to_text": IDS[::2]}
BOTH = np.concatenate(list(GROUPS.values()))


@pytest.fixture(autouse=True)
def _style():
    set_style()
    yield
    plt.close("all")


def made_up(row: str, seed: int, *, hits: float = 0.5, **costs: float) -> RowRecord:
    """A record whose queries hit at rank 1 with a chance of ``hits``, else lie at rank 50."""
    rng = np.random.default_rng([seed, sum(map(ord, row))])
    ranks = {way: np.where(rng.random(len(ids)) < hits, 1.0, 50.0).tolist()
             for way, ids in GROUPS.items()}  # fmt: skip
    costs = {"trainable_parameters": 100, "training_seconds": 2.0, "peak_memory_mb": 9.0} | costs
    return RowRecord(row, seed, "id", "m", "d", {}, {"learning_rate": 0.01}, 0.4, costs, ranks)


def study(rows=ORIGINAL, *, seeds=(42, 43, 44)):
    hits = dict(zip(rows, np.linspace(0.3, 0.7, len(rows)), strict=True))
    return {row: [made_up(row, seed, hits=hits[row]) for seed in seeds] for row in rows}


def all_records(done):
    values = table.mean_values(done)
    records = table.row_records(done, GROUPS, **ABOUT)
    records += table.pair_records(values, BOTH, **ABOUT)
    return records + table.observation_records(observed(values, BOTH), **ABOUT)


def texts(fig) -> str:
    fig.canvas.draw()
    return "\n".join(t.get_text() for t in fig.findobj(matplotlib.text.Text) if t.get_visible())


def test_a_row_has_its_score_its_seeds_its_metrics_and_its_costs():
    done = {"r8 v2": [made_up("r8 v2", s, training_seconds=t) for s, t in ((1, 2.0), (2, 4.0))]}
    found = {(r.metric, r.direction, r.seed): r for r in table.row_records(done, GROUPS, **ABOUT)}
    by_seed = np.stack([one.score_values() for one in done["r8 v2"]])
    both = two_way_interval(by_seed, BOTH)
    score = found["score", "", 42]
    assert (score.value, score.low, score.high) == (both.value, both.low, both.high)
    recipes = found["score, recipes alone", "", 42]
    assert recipes.value == score.value
    assert recipes.high - recipes.low < score.high - score.low
    for seed, values in zip((1, 2), by_seed, strict=True):
        assert found["score of one seed", "", seed].value == pytest.approx(values.mean())
    hits = [one.values("hit@10", "text_to_image").mean() for one in done["r8 v2"]]
    assert found["hit@10", "text_to_image", 42].value == pytest.approx(np.mean(hits))
    assert found["training_seconds", "", 42].value == 3
    assert found["learning rate", "", 42].value == 0.01
    assert found["validation score", "", 42].split == "validation"
    assert ("cuda_peak_mb", "", 42) not in found


def test_an_interval_does_not_leave_the_scores_range():
    done = {"r8 v2": [made_up("r8 v2", seed, hits=0.99) for seed in (1, 2)]}
    (score,) = [r for r in table.row_records(done, GROUPS, **ABOUT) if r.metric == "score"]
    assert score.value < 1
    assert score.high == 1


def test_the_records_of_a_study_are_valid_and_survive_the_file(tmp_path):
    records = all_records(study())
    assert read_results(write_results(tmp_path, records)) == records
    again = shown.observations_of(read_results(tmp_path))
    judged = observed(table.mean_values(study()), BOTH)
    for one, other in zip(again, judged, strict=True):
        assert (one.claim, one.verdict) == (other.claim, other.verdict)
        assert one.p_value == pytest.approx(other.p_value)
        for part in ("difference", "low", "high", "smallest_detectable"):
            assert getattr(one.comparison, part) == pytest.approx(getattr(other.comparison, part))


def test_pairs_are_those_of_the_course_and_may_be_chosen():
    values = table.mean_values(study())
    records = table.pair_records(values, BOTH, **ABOUT)
    found, wanted = shown.pairs_of(records), compare_all(values, BOTH)
    assert len(found) == 28
    for name in ("difference", "low", "high", "p_holm"):
        assert found[name].tolist() == pytest.approx(wanted[name].tolist())
    assert found["verdict"].tolist() == wanted["verdict"].tolist()
    assert found["detectable"].tolist() == pytest.approx(wanted["smallest_detectable"].tolist())
    three = list(ORIGINAL)[:3]
    few = shown.pairs_of(records, three)
    assert len(few) == 3
    chosen = compare_all({name: values[name] for name in three}, BOTH)
    assert few["p_holm"].tolist() == pytest.approx(chosen["p_holm"].tolist())
    assert shown.pairs_of([]).empty


def test_known_pairs_are_left_out_whichever_way_round():
    values = dict(list(table.mean_values(study()).items())[:3])
    a, b, c = values
    first = table.pair_records({a: values[a], b: values[b]}, BOTH, **ABOUT)
    rest = table.pair_records(
        {b: values[b], a: values[a], c: values[c]}, BOTH, known=first, **ABOUT
    )
    pairs = {(p.a, p.b) for p in shown.pairs_of(rest).itertuples()}
    assert pairs == {(b, c), (a, c)}
    against = table.pair_records(values, BOTH, than=b, **ABOUT)
    assert {(p.a, p.b) for p in shown.pairs_of(against).itertuples()} == {(a, b), (c, b)}


def test_rows_that_agree_on_every_query_can_be_recorded():
    same = made_up("r8 v2", 1).score_values()
    records = table.pair_records({"r8 v2": same, "r8 v2 dora": same}, BOTH, **ABOUT)
    (pair,) = shown.pairs_of(records).itertuples()
    assert (pair.difference, pair.p_holm, pair.verdict) == (0, 1, "not distinguishable")


def test_the_table_has_a_line_a_row_and_claims_are_no_rows():
    done = study()
    frame = shown.placement_table(all_records(done))
    assert frame["row"].tolist() == list(ORIGINAL)
    assert set(frame["seeds"]) == {3}
    assert frame["the original's score"][0] == "0.44042"
    assert frame["trained numbers"][0] == "100"
    hit = np.mean([one.values("hit@1", "text_to_image").mean() for one in done["r8 v2 heads"]])
    assert frame["hit@1 / 5 / 10, text to image"][0].startswith(f"{hit:.3f} / ")


def test_a_row_without_some_cost_has_a_dash_there():
    done = {"r8 v2": [made_up("r8 v2", 1, cuda_peak_mb=5.0)], "r9 v2": [made_up("r9 v2", 1)]}
    frame = shown.placement_table(table.row_records(done, GROUPS, **ABOUT))
    assert frame["peak memory of the GPU, MB"].tolist() == ["5", "–"]
    assert frame["the original's score"].tolist() == ["0.43121", "–"]


def test_pairs_are_shown_in_points_the_surest_first():
    frame = shown.pair_table(shown.pairs_of(all_records(study())))
    assert frame["p (Holm)"].is_monotonic_increasing
    assert frame.iloc[0]["verdict"] in ("better", "worse")
    assert "[" in frame["difference, points"][0]
    assert shown._points(-0.0004) == "0.0"
    assert shown._points(-0.0006) == "-0.1"


def test_needed_sizes_are_set_against_this_test_set():
    needed = {"text": (0.00059, NeededSize(600, 3600)), "rank": (0.00141, None)}
    frame = shown.needed_table(needed, 30)
    assert frame.iloc[0].tolist() == ["text", "0.06", "600", "3,600", "20.0"]
    assert frame.iloc[1].tolist() == ["rank", "0.14", "–", "–", "–"]
    (record,) = table.needed_records(needed, 90, **ABOUT)
    assert (record.value, record.unit, record.model) == (3600, "queries", "claim: text")


def test_the_forest_shows_intervals_seeds_the_base_and_what_was_reported():
    records = all_records(study())
    base = next(r for r in records if r.metric == "score")
    records.append(replace(base, model="M0"))
    fig = forest_plot(records, heading="Eight rows")
    left, right = fig.axes
    assert [t.get_text() for t in left.get_yticklabels()] == list(ORIGINAL)
    seeds = [line for line in left.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in seeds] == [3] * 8
    dashed = [
        line for line in left.lines if line.get_xdata()[0] == line.get_xdata()[-1] == base.value
    ]
    assert dashed
    said = texts(fig)
    assert "M0" in said
    assert "44.50" in said
    assert "one seed" in said
    reported = [line.get_xdata()[0] for line in right.lines]
    assert reported == [row.score for row in ORIGINAL.values()]
    for ax in (left, right):  # a tick says where it is
        fig.canvas.draw()
        for place, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True):
            assert float(label.get_text()) == pytest.approx(100 * place)


def test_a_forest_of_other_rows_has_no_panel_of_reports():
    records = table.row_records({"r9 v2": [made_up("r9 v2", 1)]}, GROUPS, **ABOUT)
    assert len(forest_plot(records, heading="one").axes) == 1
    with pytest.raises(ValueError, match="no score of 'r1 v1'"):
        forest_plot(records, heading="one", rows=["r9 v2", "r1 v1"])
    with pytest.raises(ValueError, match="no score"):
        forest_plot([], heading="none")


def test_the_matrix_is_antisymmetric_and_dark_where_a_pair_is_told_apart():
    records, rows = all_records(study()), list(ORIGINAL)
    fig = pair_matrix(records, rows, heading="All pairs")
    ax = fig.axes[0]
    cells = {
        tuple(t.get_position()): t for t in ax.texts if t.get_text() and t.get_ha() == "center"
    }
    assert len(cells) == 56
    pairs = {(p.a, p.b): p for p in shown.pairs_of(records, rows).itertuples()}
    for (a, b), pair in pairs.items():
        cell = cells[rows.index(b), rows.index(a)]
        mirrored = cells[rows.index(a), rows.index(b)]
        number, other = (float(t.get_text().replace("−", "-")) for t in (cell, mirrored))
        assert number == pytest.approx(100 * pair.difference, abs=0.051)
        assert number == -other
        assert (cell.get_color() == "white") == (pair.verdict != "not distinguishable")
    with pytest.raises(ValueError, match="was not compared with"):
        pair_matrix(records, [*rows, "r9 v9"], heading="more")


def test_trends_are_differences_from_the_first_whichever_way_they_were_compared():
    records = all_records(study())
    found = differences_from(records, "r16 v2 heads")
    scores = {r.model: r.value for r in records if r.metric == "score"}
    for row, (value, low, high) in found.items():
        assert value == pytest.approx(scores[row] - scores["r16 v2 heads"])
        assert low <= value <= high
    fig = trend_plot(records, heading="Trends")
    assert len(fig.axes) == 2
    drawn = fig.axes[0].lines[0].get_ydata()
    wanted = [0, scores["r16 v4 heads"] - scores["r16 v2 heads"],
              scores["r16 v6 heads"] - scores["r16 v2 heads"]]  # fmt: skip
    assert drawn == pytest.approx(100 * np.array(wanted))


def test_a_trend_that_lacks_a_row_is_left_out():
    depth = ["r16 v2 heads", "r16 v4 heads", "r16 v6 heads"]
    assert len(trend_plot(all_records(study(depth)), heading="one").axes) == 1
    with pytest.raises(ValueError, match="no trend"):
        trend_plot(all_records(study(depth[:2])), heading="none")
    uncompared = table.row_records(study(depth), GROUPS, **ABOUT)
    with pytest.raises(ValueError, match="was not compared"):
        trend_plot(uncompared, heading="none")
