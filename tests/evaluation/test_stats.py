"""Means and differences with both sources of chance, held against numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from helpers.evaluation.stats import Sample, contrast, estimate, holm

# Three seeds on eight items of one query, with every intermediate number known.
WORKED = np.array(
    [[0, 1, 1, 0, 1, 1, 0, 1], [1, 1, -1, -1, 0, 0, 0, 1], [1, 1, 0, 0, 0, 1, 1, 1]], float
)
ITEMS = list("abcdefgh")


def test_the_worked_example():
    found = estimate(Sample(WORKED, ITEMS))
    assert found.value == pytest.approx(0.4583, abs=1e-4)
    assert found.item_error == pytest.approx(0.1659, abs=1e-4)
    assert found.seed_error == pytest.approx(0.1667, abs=1e-4)
    assert found.error == pytest.approx(0.2352, abs=1e-4)
    assert found.df == pytest.approx(6.19, abs=0.01)
    assert (found.low, found.high) == pytest.approx((-0.113, 1.030), abs=1e-3)
    assert found.p == pytest.approx(0.098, abs=1e-3)
    assert found.detectable() == pytest.approx(0.784, abs=1e-3)


def test_items_alone_would_have_shown_it():
    found = estimate(Sample(WORKED.mean(axis=0)[None], ITEMS))
    assert (found.low, found.high) == pytest.approx((0.066, 0.851), abs=1e-3)
    assert found.p == pytest.approx(0.028, abs=1e-3)
    assert found.n_seeds == 1


def test_one_query_an_item_and_one_seed_is_students_t():
    values = np.array([0.1, 0.4, -0.2, 0.3, 0.0, 0.5])
    found = estimate(Sample(values[None], list("abcdef")))
    assert found.p == pytest.approx(scipy_stats.ttest_1samp(values, 0).pvalue)
    interval = scipy_stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_queries_of_one_item_are_one_witness():
    values = np.array([[1, 1, 1, 0, 0, 0, 1, 1.0]])
    apart = estimate(Sample(values, list("abcdefgh")))
    together = estimate(Sample(values, list("aaabbbcc")))
    assert together.value == apart.value
    assert together.error > apart.error


def test_both_directions_weigh_alike_whatever_their_number_of_queries():
    first = Sample(np.array([[1.0, 1.0, 1.0, 0.0]]), list("aabb"))
    second = Sample(np.array([[0.0, 1.0]]), list("ab"))
    found = estimate(first, second)
    assert found.value == pytest.approx((0.75 + 0.5) / 2)
    # By hand: u_a = mean of (2 - .75*2)/4 and (0 - .5)/2, u_b = minus that.
    u = (0.125 - 0.25) / 2
    assert found.item_error == pytest.approx(math.sqrt(2 * 2 * u**2))


@pytest.mark.parametrize(("n", "limit"), [(10, 1 - 0.025**0.1), (300, 1 - 0.025 ** (1 / 300))])
def test_where_no_query_differs_the_limit_is_that_of_zero_events(n, limit):
    found = estimate(Sample(np.zeros((3, n)), [str(i) for i in range(n)]))
    assert (found.value, found.p) == (0, 1)
    assert (found.low, found.high) == pytest.approx((-limit, limit))


def test_a_share_stays_within_its_bounds():
    found = estimate(Sample(np.array([[1, 1, 1, 1, 0.0]]), list("abcde")), bounds=(0, 1))
    assert found.high == 1
    assert found.low < 0.8


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (Sample(np.zeros((2, 3)), ["a", "b"]), "values"),
        (Sample(np.array([[np.nan, 1.0]]), ["a", "b"]), "not finite"),
        (Sample(np.zeros((2, 2)), ["a", "a"]), "at least two"),
    ],
)
def test_what_cannot_be_estimated_is_refused(sample, message):
    with pytest.raises(ValueError, match=message):
        estimate(sample)


def test_directions_with_other_seeds_are_refused():
    one, two = (Sample(np.zeros((s, 2)), ["a", "b"]) for s in (1, 2))
    with pytest.raises(ValueError, match="seeds"):
        estimate(one, two)


def test_an_arm_without_training_stands_beside_every_seed():
    trained = np.array([[1.0, 0.0], [1.0, 1.0]])
    untrained = np.array([[0.0, 0.0]])
    weights = {"trained": 1, "untrained": -1}
    found = contrast({"trained": trained, "untrained": untrained}, weights)
    assert np.array_equal(found, trained)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_textbook_procedure(p):
    naive = np.empty(len(p))
    worst = 0.0
    for step, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        worst = max(worst, min(1, p[index] * (len(p) - step)))
        naive[index] = worst
    assert np.allclose(holm(p), naive)


def test_a_bootstrap_of_items_agrees_with_the_formula():
    rng = np.random.default_rng(3)
    groups = np.repeat([f"r{i}" for i in range(200)], 3)
    values = (rng.random(600) < np.repeat(rng.beta(2, 2, 200), 3)).astype(float)
    found = estimate(Sample(values[None], groups))
    total, size = values.reshape(200, 3).sum(axis=1), np.full(200, 3.0)
    again = scipy_stats.bootstrap(
        (total, size), lambda t, n, axis=-1: t.sum(axis) / n.sum(axis), paired=True,
        vectorized=True, n_resamples=5000, method="percentile", rng=np.random.default_rng(42),
    )  # fmt: skip
    low, high = again.confidence_interval
    assert (low, high) == pytest.approx((found.low, found.high), abs=0.006)


def test_the_two_way_test_keeps_its_level_where_items_alone_do_not():
    """400 studies of two equal methods whose trainings differ: 5 % is meant."""
    rng = np.random.default_rng(11)
    both, alone = [], []
    items = [str(i) for i in range(150)]
    for _ in range(400):
        seeds = rng.normal(0, 0.05, (5, 1))
        values = seeds + rng.normal(0, 0.4, 150) + rng.normal(0, 0.2, (5, 150))
        both.append(estimate(Sample(values, items)).p <= 0.05)
        alone.append(estimate(Sample(values.mean(axis=0)[None], items)).p <= 0.05)
    assert np.mean(both) <= 0.08
    assert np.mean(alone) > np.mean(both)


@pytest.mark.parametrize("n", [8, 40, 1500])
@pytest.mark.parametrize("shift", [0.0, 0.002, 0.01, 0.2])
def test_p_and_interval_agree_where_no_query_differs(n, shift):
    found = estimate(Sample(np.zeros((1, n)), [str(i) for i in range(n)]), shift=shift)
    assert (found.low > 0) == (found.p < 0.05)
