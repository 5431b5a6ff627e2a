"""Shuffles, resamples and folds that keep recipes whole, and the rank statistics under them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers.first.studies.two_samples import (
    BOTH,
    ONLY_A,
    ONLY_B,
    check_rows,
    cliffs_delta,
    folds_of,
    kolmogorov_smirnov,
    resampled_weights,
    shuffle_p_value,
    shuffled_sides,
    two_samples,
)

labels = st.lists(st.sampled_from("pqrstuvw"), min_size=1, max_size=12)


def test_groups_are_numbered_and_their_sides_known():
    samples = two_samples(["x", "x", "y"], ["y", "z"])
    assert samples.is_a.tolist() == [True, True, True, False, False]
    assert samples.codes.tolist() == [0, 0, 1, 1, 2]
    assert samples.kinds.tolist() == [ONLY_A, BOTH, ONLY_B]
    assert (samples.n_groups, samples.n_effective) == (3, 2)


def test_a_side_without_rows_is_refused():
    with pytest.raises(ValueError, match="2 rows in a, 0 in b"):
        two_samples(["x", "y"], [])


@given(labels, labels)
def test_a_shuffle_moves_whole_recipes_and_empties_no_side(a, b):
    samples = two_samples(a, b)
    for side in shuffled_sides(samples, 6, seed=1):
        assert 0 < side.sum() < len(side)
        for group in range(samples.n_groups):
            mine = samples.codes == group
            # Together with its own side, or all of it against it.
            assert len(set((side ^ samples.is_a)[mine])) == 1
        alone = [
            side[np.flatnonzero(samples.codes == g)[0]]
            for g in np.flatnonzero(samples.kinds != BOTH)
        ]
        assert sum(alone) == (samples.kinds == ONLY_A).sum()


def test_shuffles_reach_every_assignment():
    pairs = shuffled_sides(two_samples("xy", "xy"), 200, seed=0)
    assert len({tuple(side) for side in pairs}) == 4
    alone = shuffled_sides(two_samples("wx", "yz"), 200, seed=0)
    assert len({tuple(side) for side in alone}) == 6


@given(labels, labels)
def test_a_resample_draws_whole_recipes_and_as_many_as_there_are(a, b):
    samples = two_samples(a, b)
    for weights in resampled_weights(samples, 4, seed=2):
        drawn = np.array([weights[samples.codes == g] for g in range(samples.n_groups)], object)
        assert all(len(set(w)) == 1 for w in drawn)
        for members in samples.strata():
            assert sum(drawn[g][0] for g in members) == len(members)
        assert weights[samples.is_a].sum() > 0
        assert weights[~samples.is_a].sum() > 0


@given(
    st.lists(st.sampled_from("pqrs"), min_size=2, max_size=9),
    st.lists(st.sampled_from("pqtu"), min_size=2, max_size=9),
    st.integers(2, 5),
)
def test_no_recipe_is_in_two_folds_and_every_fold_has_both_sides(a, b, n_folds):
    samples = two_samples(a, b)
    if samples.n_effective < 2:
        with pytest.raises(ValueError, match="at least two on"):
            folds_of(samples, n_folds, seed=0)
        return
    fold = folds_of(samples, n_folds, seed=0)
    assert all(len(set(fold[samples.codes == g])) == 1 for g in range(samples.n_groups))
    for number in range(fold.max() + 1):
        assert samples.is_a[fold == number].any()
        assert (~samples.is_a)[fold == number].any()


def test_the_same_seed_gives_the_same_draws_and_another_one_others():
    samples = two_samples("abcdef", "abcdef")
    for draw in (shuffled_sides, resampled_weights):
        assert np.array_equal(draw(samples, 5, seed=1), draw(samples, 5, seed=1))
        assert not np.array_equal(draw(samples, 5, seed=1), draw(samples, 5, seed=2))
    assert not np.array_equal(folds_of(samples, 3, seed=1), folds_of(samples, 3, seed=4))


def test_a_p_value_is_never_zero_and_ties_reach_the_observed():
    assert shuffle_p_value(2.0, np.array([1.0, 1.0, 1.0])) == 0.25
    assert shuffle_p_value(2.0, np.array([2.0, 1.0, 3.0])) == 0.75


def test_the_test_keeps_its_level_where_recipes_agree_within():
    """Pictures of a recipe are alike; shuffling single pictures would reject far too often."""
    rng = np.random.default_rng(0)
    p_values = []
    for trial in range(200):
        a, b = np.repeat(rng.normal(size=(2, 8)), 5, axis=1)
        codes = np.repeat(np.arange(16), 5)
        samples = two_samples(codes[:40], codes[40:])
        sides = shuffled_sides(samples, 99, seed=trial)
        values = np.concatenate([a, b])
        shuffled = [abs(values[s].mean() - values[~s].mean()) for s in sides]
        p_values.append(shuffle_p_value(abs(a.mean() - b.mean()), np.array(shuffled)))
    assert np.mean(np.array(p_values) <= 0.1) < 0.17


@pytest.mark.parametrize(
    ("rows", "groups", "said"),
    [
        (np.zeros(3), "abc", "a has shape"),
        (np.zeros((3, 2)), "ab", "2 groups"),
        (np.array([[0.0, 1.0], [0.0, np.nan]]), "ab", "nan in row 1, column 1"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows, groups, said):
    with pytest.raises(ValueError, match=said):
        check_rows("a", rows, groups)


numbers = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)


@given(numbers, numbers)
def test_cliffs_delta_counts_pairs(a, b):
    slow = np.mean([(x > y) - (x < y) for x in a for y in b])
    assert cliffs_delta(a, b) == pytest.approx(slow)
    assert cliffs_delta(b, a) == pytest.approx(-slow)


@given(numbers, numbers)
def test_kolmogorov_smirnov_is_the_largest_gap_of_the_distribution_functions(a, b):
    gaps = [np.mean(np.array(a) <= v) - np.mean(np.array(b) <= v) for v in a + b]
    is_a = np.arange(len(a) + len(b)) < len(a)
    found = kolmogorov_smirnov(np.array(a + b), np.stack([is_a, ~is_a]))
    assert found[0] == pytest.approx(max(np.abs(gaps)))
    assert kolmogorov_smirnov(np.array(b + a), ~is_a[None, ::-1]) == pytest.approx(found[:1])


def test_kolmogorov_smirnov_is_that_of_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=30), rng.normal(size=25) + 0.7
    is_a = np.arange(55) < 30
    found = kolmogorov_smirnov(np.concatenate([a, b]), is_a[None])[0]
    assert found == pytest.approx(stats.ks_2samp(a, b).statistic)
