"""The bootstrap's parts: sums per group, errors of a ratio, resampled means and medians."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.first.evaluation import resampling
from helpers.first.evaluation.resampling import (
    bca_limits,
    bootstrap_t_limits,
    expanded_tail,
    group_sums,
    percentile_limits,
    ratio_and_error,
    resampled_means,
    resampled_medians,
)


def test_sums_and_sizes_by_group():
    data = group_sums(np.array([1.0, 2.0, 4.0]), ["b", "a", "b"])
    assert data.sums.tolist() == [2, 5]
    assert data.sizes.tolist() == [1, 2]
    assert data.n_groups == 2
    assert not data.agree
    assert group_sums(np.array([0.0, 1.0, 1.0, 0.0]), [1, 1, 2, 2]).agree


@pytest.mark.parametrize(
    ("values", "groups", "message"),
    [
        ([], [], "no values"),
        ([1.0, np.nan], [1, 2], "nan at place 1"),
        ([1.0, 2.0], [1], "one length"),
        ([[1.0]], [[1]], "one length"),
    ],
)
def test_unusable_values_are_refused(values, groups, message):
    with pytest.raises(ValueError, match=message):
        group_sums(np.array(values, dtype=float), groups)


def test_error_of_single_queries_is_the_textbook_error():
    values = np.random.default_rng(0).random(50)
    mean, error = ratio_and_error(values, np.ones(50))
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(values.std(ddof=1) / np.sqrt(50))


def test_error_grows_with_the_likeness_within_groups():
    values = np.random.default_rng(0).random(50)
    single = ratio_and_error(values, np.ones(50))[1]
    tripled = ratio_and_error(3 * values, np.full(50, 3.0))[1]
    assert tripled == pytest.approx(single)  # copies of a query are no new evidence


@pytest.mark.parametrize("cells", [1, 50, 4_000_000])
def test_resampled_statistics_agree_with_plain_loops(cells, monkeypatch):
    monkeypatch.setattr(resampling, "_CELLS", cells)
    generator = np.random.default_rng(3)
    values, groups = generator.random(17), generator.permutation(np.arange(17) % 6)
    data = group_sums(values, groups)
    counts = np.random.default_rng(9).multinomial(6, np.full(6, 1 / 6), size=25)
    drawn = [np.concatenate([np.tile(values[groups == g], c[g]) for g in range(6)]) for c in counts]
    means, errors = resampled_means(data, 25, 9)
    assert means == pytest.approx([d.mean() for d in drawn])
    again = [ratio_and_error(*_drawn_sums(data, c)) for c in counts]
    assert errors == pytest.approx([error for _, error in again])
    medians = resampled_medians(data, values, 25, 9)
    assert medians == pytest.approx([np.median(d) for d in drawn])


def _drawn_sums(data, counts):
    return np.repeat(data.sums, counts), np.repeat(data.sizes, counts)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.integers(0, 99))
def test_medians_of_ties_agree_with_a_plain_loop(values, seed):
    values = np.array(values, dtype=float)
    groups = np.arange(len(values)) % 4
    data = group_sums(values, groups)
    n = data.n_groups
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=8)
    expected = [np.median(np.repeat(values, c[groups])) for c in counts]
    assert resampled_medians(data, values, 8, seed).tolist() == expected


def test_expanded_tail_is_wider_and_closes_in_on_the_nominal_one():
    tails = [expanded_tail(n, 0.95) for n in (2, 5, 20, 200, 100_000)]
    assert tails == sorted(tails)
    assert 0 < tails[0] < 1e-9
    assert tails[-1] == pytest.approx(0.025, abs=1e-5)


def test_limits_of_a_symmetric_sample_agree():
    values = np.concatenate([np.arange(1, 101), -np.arange(1, 101)]) / 100
    data = group_sums(values, np.arange(200))
    means, errors = resampled_means(data, 20_000, 1)
    percentile = percentile_limits(means, 0.025)
    half = 1.96 * ratio_and_error(data.sums, data.sizes)[1]
    assert percentile == pytest.approx((-half, half), abs=0.05 * half)
    assert bca_limits(data, means, 0.025) == pytest.approx(percentile, abs=0.05 * half)
    limits = bootstrap_t_limits(data, means, errors, 0.025)
    assert limits == pytest.approx(percentile, abs=0.05 * half)


def test_bca_leans_towards_the_long_tail():
    values = np.exp(np.random.default_rng(4).standard_normal(30))
    data = group_sums(values, np.arange(30))
    means, _ = resampled_means(data, 4000, 1)
    plain, leaning = percentile_limits(means, 0.025), bca_limits(data, means, 0.025)
    assert leaning[0] > plain[0]
    assert leaning[1] > plain[1]
