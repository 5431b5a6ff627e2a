"""What a test set can show, checked by simulating tests."""

import math

import numpy as np
import pytest
from scipy import stats

from helpers.first.evaluation.comparison import paired_comparison
from helpers.first.evaluation.power import queries_needed, smallest_detectable_difference


def test_by_hand_for_one_query_a_recipe():
    differences = np.random.default_rng(0).normal(0, 0.2, 50)
    error = differences.std(ddof=1) / np.sqrt(50)
    reach = stats.t.ppf(0.975, 49) + stats.t.ppf(0.8, 49)
    found = smallest_detectable_difference(differences, np.arange(50))
    assert found == pytest.approx(reach * error)


def test_more_power_or_fewer_recipes_need_a_larger_difference():
    differences = np.random.default_rng(0).normal(0, 0.2, 60)
    groups = np.arange(60)
    found = smallest_detectable_difference(differences, groups)
    assert smallest_detectable_difference(differences, groups, power=0.95) > found
    assert smallest_detectable_difference(differences, groups, alpha=0.01) > found
    assert smallest_detectable_difference(differences, groups // 6) != found
    assert smallest_detectable_difference(differences[:20], groups[:20]) > found


def test_a_difference_of_that_size_is_found_four_times_in_five():
    generator = np.random.default_rng(3)
    groups, found = np.repeat(np.arange(60), 3), 0
    for trial in range(300):
        noise = np.repeat(generator.normal(0, 0.3, 60), 3) + generator.normal(0, 0.2, 180)
        size = smallest_detectable_difference(noise, groups, bounds=None)
        result = paired_comparison(
            noise + size, np.zeros(180), groups, n_resamples=10, n_flips=499, seed=trial
        )
        found += result.verdict == "better"
    # The noise's own mean moves the true difference about, 0.8 stays the centre.
    assert 0.72 <= found / 300 <= 0.88


def test_no_spread_leaves_what_unseen_recipes_could_hide():
    assert smallest_detectable_difference([0, 0, 0], ["a", "b", "c"]) == pytest.approx(
        1 - 0.025 ** (1 / 3)
    )
    assert math.isnan(smallest_detectable_difference([0, 0], ["a", "b"], bounds=None))
    assert smallest_detectable_difference([1, 0], ["a", "a"]) == pytest.approx(0.975)


def test_never_more_than_is_possible():
    assert smallest_detectable_difference([1, -1], ["a", "b"]) == 1


@pytest.mark.parametrize("goal", [0.02, -0.05, 0.3])
def test_the_needed_size_is_the_smallest_that_shows_the_goal(goal):
    pilot = np.random.default_rng(1).normal(0, 0.3, 40)
    groups = np.arange(40) // 2
    needed = queries_needed(goal, pilot, groups)
    sums = np.bincount(groups, pilot)
    residuals = sums - pilot.mean() * 2
    deviation = np.sqrt((residuals**2).sum() / 19) / 2

    def shows(n):
        reach = stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1)
        return reach * deviation / np.sqrt(n) <= abs(goal)

    assert shows(needed.groups)
    assert needed.groups == 2 or not shows(needed.groups - 1)
    assert needed.queries == 2 * needed.groups


def test_half_the_difference_needs_four_times_the_recipes():
    pilot, groups = np.random.default_rng(1).normal(0, 0.3, 40), np.arange(40)
    large = queries_needed(0.02, pilot, groups).groups
    assert queries_needed(0.01, pilot, groups).groups == pytest.approx(4 * large, rel=0.01)


@pytest.mark.parametrize("goal", [0, math.nan, math.inf])
def test_no_goal_is_refused(goal):
    with pytest.raises(ValueError, match="other than 0"):
        queries_needed(goal, [0, 1], ["a", "b"])


def test_a_pilot_without_spread_and_endless_sizes_are_refused():
    with pytest.raises(ValueError, match="larger pilot"):
        queries_needed(0.1, [0, 0], ["a", "b"])
    with pytest.raises(ValueError, match="over 1000000000 groups"):
        queries_needed(1e-9, [0, 1], ["a", "b"])
    with pytest.raises(ValueError, match="power=1"):
        smallest_detectable_difference([0, 1], ["a", "b"], power=1)
