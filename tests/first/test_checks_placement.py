"""The checks of lesson 05 agree with what the course itself computes."""

import numpy as np
import pytest

from helpers.first.evaluation import comparison
from helpers.first.evaluation.power import smallest_detectable_difference
from helpers.first.report import checks_placement
from helpers.first.report.exercises import check
from tests.first.exercise_answers_placement import holm_right


@pytest.mark.parametrize("p_values", checks_placement._P_CASES)
def test_the_correction_of_the_exercise_is_that_of_the_course(p_values):
    assert checks_placement._holm(p_values) == pytest.approx(comparison.holm(p_values), abs=1e-12)


def test_each_mistake_of_the_correction_differs_from_the_right_answer_somewhere():
    for mistake, text in checks_placement._HOLM_MISTAKES:
        cases = checks_placement._P_CASES
        assert any(not np.allclose(mistake(p), checks_placement._holm(p)) for p in cases), text


@pytest.mark.parametrize(
    ("cases", "right", "mistakes"),
    [
        (
            checks_placement._RANK_CASES,
            checks_placement._rank,
            checks_placement._RANK_MISTAKES,
        ),
        (
            checks_placement._SIZE_CASES,
            checks_placement._needed,
            checks_placement._SIZE_MISTAKES,
        ),
    ],
)
def test_each_mistake_differs_from_the_right_answer_somewhere(cases, right, mistakes):
    for mistake, text in mistakes:
        assert max(abs(mistake(**case) - right(**case)) for case in cases) > 1e-3, text


def test_the_correction_may_come_as_an_array_and_the_learners_list_is_a_copy():
    def destructive(p_values):
        found = np.array(holm_right(p_values))
        p_values.clear()
        return found

    assert check("05.holm", destructive).status == "correct"
    assert check("05.holm", holm_right).status == "correct"


def test_the_rule_of_the_square_is_that_of_the_courses_power():
    """Four times the recipes halve what can be shown, but for the few degrees of freedom."""
    rng = np.random.default_rng(0)
    differences = rng.choice([-1.0, 0.0, 1.0], 4000)
    groups = np.arange(4000)
    whole = smallest_detectable_difference(differences, groups)
    quarter = smallest_detectable_difference(differences[:1000], groups[:1000])
    assert quarter / whole == pytest.approx(2, rel=0.05)
    assert checks_placement._needed(1000, quarter, whole) == pytest.approx(4000, rel=0.1)
