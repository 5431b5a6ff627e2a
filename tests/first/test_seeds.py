"""Intervals over recipes and seeds: by hand, in the limits, and how often they hold."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.first.studies.seeds import two_way_interval


def test_both_errors_by_hand():
    """Two seeds, four recipes of one query each."""
    values = np.array([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
    found = two_way_interval(values, ["a", "b", "c", "d"])
    means = np.array([1.0, 0.5, 1.0, 0.0])  # of the recipes
    by_recipe = means.std(ddof=1) / 2
    by_seed = np.std([0.5, 0.75], ddof=1) / math.sqrt(2)
    error = math.sqrt(by_recipe**2 + by_seed**2)
    freedom = error**4 / (by_recipe**4 / 3 + by_seed**4 / 1)
    assert found.value == pytest.approx(0.625)
    assert (found.recipe_error, found.seed_error) == pytest.approx((by_recipe, by_seed))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, freedom) * error)
    assert found.value - found.low == pytest.approx(found.high - found.value)
    assert (found.n_seeds, found.n_groups) == (2, 4)


def test_queries_of_one_recipe_are_no_new_evidence():
    values = np.array([[1.0, 0.0, 1.0]])
    once = two_way_interval(values, ["a", "b", "c"])
    thrice = two_way_interval(np.repeat(values, 3, axis=1), np.repeat(["a", "b", "c"], 3))
    assert thrice.high == pytest.approx(once.high)


def test_one_seed_speaks_of_recipes_alone_and_equal_seeds_add_nothing():
    values = np.array([[1.0, 0.0, 0.5, 0.25]])
    one = two_way_interval(values, list("abcd"))
    same = two_way_interval(np.repeat(values, 5, axis=0), list("abcd"))
    assert math.isnan(one.seed_error)
    assert same.seed_error == 0
    assert (same.low, same.high) == pytest.approx((one.low, one.high))


@given(st.integers(2, 5), st.integers(2, 12), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_the_interval_is_never_narrower_than_that_of_either_source(n_seeds, n_groups, seed):
    values = np.random.default_rng(seed).random((n_seeds, n_groups))
    both = two_way_interval(values, np.arange(n_groups))
    error = math.hypot(both.recipe_error, both.seed_error)
    assert (both.high - both.low) / 2 >= 1.9599 * error - 1e-12
    assert error >= max(both.recipe_error, both.seed_error)


def test_nothing_that_varies_gives_no_width():
    found = two_way_interval(np.ones((3, 4)), list("aabb"))
    assert (found.low, found.value, found.high) == (1, 1, 1)


@pytest.mark.parametrize(
    ("values", "groups", "said"),
    [
        (np.ones(3), list("abc"), "seeds, queries"),
        (np.ones((0, 3)), list("abc"), "at least a seed"),
        (np.ones((2, 3)), list("ab"), "groups of shape"),
        (np.ones((2, 3)), list("aaa"), "one recipe alone"),
        (np.array([[1.0, np.nan]]), list("ab"), "finite"),
    ],
)
def test_unusable_values_are_refused(values, groups, said):
    with pytest.raises(ValueError, match=said):
        two_way_interval(values, groups)


def test_the_interval_holds_what_it_says_where_recipes_and_seeds_vary():
    """5 seeds, 40 recipes: it has to cover 95 % or a little more, one over recipes far less."""
    rng, both, alone = np.random.default_rng(1), 0, 0
    for _ in range(400):
        seeds, recipes = rng.normal(0, 0.05, (5, 1)), rng.normal(0, 0.2, (1, 40))
        values = seeds + recipes + rng.normal(0, 0.1, (5, 40))
        found = two_way_interval(values, np.arange(40))
        both += found.low <= 0 <= found.high
        only = two_way_interval(values.mean(axis=0, keepdims=True), np.arange(40))
        alone += only.low <= 0 <= only.high
    assert 0.93 <= both / 400 <= 0.99
    assert alone < both
