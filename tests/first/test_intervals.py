"""Intervals: by hand, at their edges, and their coverage in a small simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.first.evaluation.intervals import (
    METHODS,
    bootstrap_interval,
    retrieval_intervals,
    wilson_interval,
)
from helpers.first.evaluation.metrics import retrieval_metrics
from helpers.first.evaluation.positives import positives_from_lists
from helpers.first.evaluation.ranks import rank_positives_from_scores
from tests.first.benchmarks.coverage import clustered_hits, interval_coverage


def sample(seed: int = 0, n_recipes: int = 40):
    (hits,), groups = clustered_hits(0.6, n_recipes, 1.5, np.random.default_rng(seed))
    return hits, groups


def test_value_counts_and_level():
    found = bootstrap_interval([1, 0, 1, 1], ["a", "a", "b", "c"], level=0.9)
    assert (found.value, found.n, found.n_groups, found.level) == (0.75, 4, 3, 0.9)
    assert found.low < 0.75 < found.high


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_repeats_the_limits_and_another_moves_them(method):
    values, groups = sample()
    settings_ = {"method": method, "n_resamples": 500}
    first = bootstrap_interval(values, groups, **settings_)
    assert first == bootstrap_interval(values, groups, **settings_)
    assert first != bootstrap_interval(values, groups, seed=1, **settings_)


def test_clusters_widen_the_interval():
    values, groups = sample()
    alone = bootstrap_interval(values, np.arange(len(values)))
    clustered = bootstrap_interval(values, groups)
    assert clustered.high - clustered.low > 1.3 * (alone.high - alone.low)


def test_copies_of_queries_are_no_new_evidence():
    values = np.random.default_rng(1).random(30)
    once = bootstrap_interval(values, np.arange(30))
    thrice = bootstrap_interval(np.repeat(values, 3), np.repeat(np.arange(30), 3))
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert thrice.n == 90


def test_order_and_names_of_groups_do_not_matter():
    values, groups = sample()
    order = np.random.default_rng(2).permutation(len(values))
    plain = bootstrap_interval(values, groups)
    shuffled = bootstrap_interval(values[order], [f"{g:03d}" for g in groups[order]])
    assert (shuffled.low, shuffled.high) == pytest.approx((plain.low, plain.high))


@pytest.mark.parametrize("n_groups", [1, 5, 20, 100])
def test_nothing_but_hits_takes_the_exact_bound(n_groups):
    groups = np.repeat(np.arange(n_groups), 3)
    exact = stats.binomtest(n_groups, n_groups).proportion_ci(0.95, method="exact")
    hits = bootstrap_interval(np.ones(3 * n_groups), groups)
    assert (hits.value, hits.low, hits.high) == (1, pytest.approx(exact.low), 1)
    misses = bootstrap_interval(np.zeros(3 * n_groups), groups)
    assert (misses.value, misses.low, misses.high) == (0, 0, pytest.approx(1 - exact.low))


def test_groups_that_agree_leave_no_width_of_zero():
    found = bootstrap_interval([0, 1, 1, 0], ["a", "a", "b", "b"])
    share = 1 - 0.025**0.5
    assert found.low == pytest.approx(0.5 - 0.5 * share)
    assert found.high == pytest.approx(0.5 + 0.5 * share)


def test_equal_ranks_need_bounds():
    free = bootstrap_interval([3, 3, 3], ["a", "b", "c"])
    assert math.isnan(free.low)
    assert math.isnan(free.high)
    found = bootstrap_interval([3, 3, 3], ["a", "b", "c"], bounds=(1, 101), statistic="median")
    share = 1 - 0.025 ** (1 / 3)
    assert (found.low, found.high) == pytest.approx((3 - 2 * share, 3 + 98 * share))


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=1, max_size=20),
    n_groups=st.integers(1, 6),
    statistic=st.sampled_from(["mean", "median"]),
)
def test_limits_enclose_the_value_and_stay_in_range(method, values, n_groups, statistic):
    groups = np.arange(len(values)) % n_groups
    found = bootstrap_interval(values, groups, statistic=statistic, method=method, n_resamples=200)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_median_of_ranks_lies_between_order_statistics():
    ranks = np.arange(1.0, 102)
    found = bootstrap_interval(ranks, np.arange(101), statistic="median")
    low, high = stats.binom.ppf([0.025, 0.975], 101, 0.5)  # the distribution-free interval
    assert found.value == 51
    assert (found.low, found.high) == pytest.approx((low, high + 1), abs=3)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"statistic": "mode"}, "statistic 'mode'"),
        ({"method": "normal"}, "method 'normal'"),
        ({"level": 1.0}, "level=1"),
        ({"n_resamples": 0}, "n_resamples=0"),
        ({"bounds": (0, 0.5)}, "outside bounds"),
    ],
)
def test_unusable_settings_are_refused(settings_, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval([0.0, 1.0], ["a", "b"], **settings_)


@pytest.mark.parametrize(("hits", "n"), [(0, 7), (7, 7), (31, 54), (32, 54), (1, 200)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_agrees_with_scipy(hits, n, level):
    theirs = stats.binomtest(hits, n).proportion_ci(level, method="wilson")
    found = wilson_interval(hits, n, level=level)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert (found.value, found.n, found.n_groups) == (hits / n, n, n)


@pytest.mark.parametrize(("hits", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_impossible_counts(hits, n):
    with pytest.raises(ValueError, match="successes in"):
        wilson_interval(hits, n)


def test_every_metric_gets_an_interval_around_its_value():
    generator = np.random.default_rng(0)
    relation = positives_from_lists([[i] for i in range(30)], n_gallery=30)
    ranking = rank_positives_from_scores(generator.random((30, 30)) + np.eye(30) / 2, relation)
    found = retrieval_intervals(ranking, np.arange(30) // 2, ks=(1, 10))
    values = retrieval_metrics(ranking, ks=(1, 10))
    assert list(found) == list(values)
    for name, interval in found.items():
        assert interval.value == pytest.approx(values[name])
        assert interval.low <= interval.value <= interval.high
        assert (interval.n, interval.n_groups) == (30, 15)


def test_a_perfect_ranking_has_finite_limits_for_every_metric():
    relation = positives_from_lists([[0], [1]], n_gallery=2)
    found = retrieval_intervals(rank_positives_from_scores(np.eye(2), relation), ["a", "b"])
    shown = {name: i for name, i in found.items() if not i.reason}
    assert sorted(set(found) - set(shown)) == ["hit@10", "hit@5", "recall@10"]  # of two rows
    assert all(math.isfinite(i.low) and math.isfinite(i.high) for i in shown.values())
    assert found["mean_rank"].high > 1


@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_coverage_at_100_recipes(rate):
    held, width = interval_coverage(rate, 100, spread=1.5, trials=300, method="bca", seed=11)
    assert 0.90 <= held <= 0.985
    assert width < 0.2


def test_ignoring_clusters_would_not_hold_what_it_says():
    generator = np.random.default_rng(11)
    held = 0
    for trial in range(200):
        (hits,), _ = clustered_hits(0.5, 100, 1.5, generator)
        found = bootstrap_interval(hits, np.arange(len(hits)), n_resamples=300, seed=trial)
        held += found.low <= 0.5 <= found.high
    assert held / 200 < 0.85
