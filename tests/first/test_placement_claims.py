"""The six observations: what they rest on, a turn, and how many queries they would need."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.first.evaluation.claims import judge_claims
from helpers.first.evaluation.comparison import Comparison, paired_comparison
from helpers.first.evaluation.power import queries_needed
from helpers.first.report.claims import claims_table
from helpers.first.studies.placement import ORIGINAL
from helpers.first.studies.placement_claims import (
    MARGIN,
    OBSERVATIONS,
    TRENDS,
    left_out,
    needed_to_show,
    observed,
    reported,
    turn,
)

GROUPS = np.repeat(np.arange(200), 2)


def model(mean: float, *, seed: int = 0, spread: float = 0.02) -> np.ndarray:
    """Values by query around a mean, small differences between models."""
    return mean + np.random.default_rng(seed).normal(0, spread, len(GROUPS))


def test_each_observation_holds_in_the_originals_own_numbers():
    for one in OBSERVATIONS:
        difference = reported(one)
        if one.claim.expects == "same":
            assert abs(difference) <= MARGIN
        else:
            assert difference > 0
    assert len({one.claim.name for one in OBSERVATIONS}) == 6
    assert {row for one in OBSERVATIONS for row in one.rows} == set(ORIGINAL)


def test_a_pair_of_rows_differs_in_one_thing():
    for one in OBSERVATIONS:
        if len(one.rows) == 2:
            a, b = (ORIGINAL[row].placement for row in one.rows)
            differing = [n for n in vars(a) if getattr(a, n) != getattr(b, n)]
            # Rank and alpha go together: so the original scaled them.
            assert differing == (["rank", "alpha"] if one.claim.name == "rank" else differing[:1])


def test_trends_vary_what_they_are_named_after():
    for what, rows in TRENDS.items():
        key = {"vision layers": "vision_layers", "rank": "rank"}[what]
        assert [getattr(ORIGINAL[r].placement, key) for r in rows.values()] == list(rows)


def test_reported_differences_by_hand():
    said = {one.claim.name: round(reported(one), 5) for one in OBSERVATIONS}
    assert said == {
        "heads": 0.00921, "modules": 0.01111, "text": -0.00059, "rank": 0.00141,
        "shallow": 0.00946, "turn": 0.00454,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("means", "verdict", "difference"),
    [
        ((0.2, 0.5, 0.3), "better", 0.2),  # up, down: the smaller step is the less certain one
        ((0.5, 0.2, 0.4), "better", 0.2),
        ((0.2, 0.3, 0.5), "worse", -0.1),
        ((0.5, 0.4, 0.2), "worse", -0.1),
        ((0.2, 0.5, 0.5), "not distinguishable", 0.0),
    ],
)
def test_a_turn_is_shown_where_both_steps_are_and_go_opposite_ways(means, verdict, difference):
    values = [model(mean, seed=i, spread=0.3) for i, mean in enumerate(means)]
    found = turn(*values, GROUPS)
    assert found.verdict == verdict
    assert found.difference == pytest.approx(difference, abs=0.06)
    assert found.low <= found.difference <= found.high
    steps = [paired_comparison(a, b, GROUPS) for a, b in ((values[1], values[0]), values[2:0:-1])]
    assert found.p_value == max(step.p_value for step in steps)
    weaker = max(steps, key=lambda step: (step.p_value, -abs(step.difference)))
    assert abs(found.difference) == pytest.approx(abs(weaker.difference))


def test_a_turn_upside_down_is_the_same_turn():
    values = [model(m, seed=i) for i, m in enumerate((0.2, 0.5, 0.3))]
    one, other = turn(*values, GROUPS), turn(*(-v for v in values), GROUPS)
    assert (one.difference, one.p_value, one.verdict) == pytest.approx(
        (other.difference, other.p_value, other.verdict)
    )


def test_equal_models_neither_turn_nor_go_one_way():
    same = model(0.5)
    found = turn(same, same, same, GROUPS)
    assert (found.difference, found.p_value, found.verdict) == (0, 1, "not distinguishable")


def test_the_six_are_judged_together_and_follow_what_was_planted():
    planted = {
        "r8 v2": 0.50, "r8 v2 heads": 0.45, "r16 v2 heads": 0.45, "r16 v2 t2 heads": 0.60,
        "r16 v4 heads": 0.50, "r16 v4 heads qkvo": 0.47, "r16 v6 heads": 0.40,
        "r32 a32 v2 heads": 0.55,
    }  # fmt: skip
    values = {name: model(mean, seed=i) for i, (name, mean) in enumerate(planted.items())}
    verdicts = {one.claim.name: one.verdict for one in observed(values, GROUPS)}
    assert verdicts == {
        "heads": "contradicted",
        "modules": "supported",
        "text": "contradicted",
        "rank": "not distinguishable",
        "shallow": "supported",
        "turn": "supported",
    }
    close = values | {"r16 v2 t2 heads": values["r16 v2 heads"] + model(0.001, seed=9)}
    judged = {one.claim.name: one.verdict for one in observed(close, GROUPS)}
    assert judged["text"] == "supported"


def test_what_cannot_be_judged_is_named_with_the_row_that_it_needs():
    rows = ["r8 v2", "r8 v2 heads"]
    values = {name: model(0.5, seed=i) for i, name in enumerate(rows)}
    assert [one.claim.name for one in observed(values, GROUPS)] == ["heads"]
    missing = left_out(rows)
    assert len(missing) == 5
    assert "text: needs 'r16 v2 heads', 'r16 v2 t2 heads'" in missing
    assert left_out(list(ORIGINAL)) == []
    assert observed({}, []) == []


def test_the_queries_that_a_difference_needs_are_those_of_the_courses_power():
    values = {name: model(0.5, seed=i, spread=0.3) for i, name in enumerate(ORIGINAL)}
    found = needed_to_show(values, GROUPS)
    wanted, size = found["text"]
    assert wanted == pytest.approx(0.00059)
    spread = values["r16 v2 t2 heads"] - values["r16 v2 heads"]
    assert size == queries_needed(0.00059, spread, GROUPS)
    assert found["text"][1].groups > 100 * found["modules"][1].groups
    assert found["turn"][0] == pytest.approx(0.00454)
    assert list(needed_to_show({n: values[n] for n in ("r8 v2", "r8 v2 heads")}, GROUPS)) == [
        "heads"
    ]


def test_rows_that_differ_alike_on_every_recipe_leave_nothing_to_plan_with():
    same = model(0.5)
    found = needed_to_show({"r8 v2": same, "r8 v2 heads": same}, GROUPS)
    assert found == {"heads": (pytest.approx(0.00921), None)}


def test_a_claim_of_no_difference_has_the_margin_that_the_lesson_states():
    (same,) = [one for one in OBSERVATIONS if one.claim.expects == "same"]
    assert same.claim.margin == 0.01
    (judged,) = judge_claims([(same.claim, Comparison(0, 0, 0, 1, 9, 9, 0.1, ""))])
    assert "(within ±1.0)" in claims_table([judged])["claim"][0]
    with pytest.raises(ValueError, match="margin"):
        replace(same.claim, margin=0)
