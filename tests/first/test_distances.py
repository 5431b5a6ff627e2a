"""Distances between two sets of vectors, against double loops and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from helpers.first.studies.distances import (
    centroid_ratio,
    frechet_distance,
    rbf_kernel,
    unbiased_mmd,
)

shapes = st.tuples(st.integers(2, 6), st.integers(2, 6), st.integers(1, 4), st.integers(0, 99))


def clouds(n, m, d, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.5


def slow_mmd(kernel, is_a, codes):
    """The three means over pairs of rows of different groups, one pair at a time."""
    parts = {(True, True): [], (False, False): [], (True, False): []}
    for i in range(len(kernel)):
        for j in range(len(kernel)):
            if codes[i] != codes[j] and (is_a[i], is_a[j]) in parts:
                parts[is_a[i], is_a[j]].append(kernel[i, j])
    within_a, within_b, across = (np.mean(v) if v else np.nan for v in parts.values())
    return within_a + within_b - 2 * across


def test_the_kernel_is_gaussian_with_the_median_distance():
    rows = np.array([[0.0, 0], [3, 4], [6, 8]])  # distances 5, 5 and 10
    want = np.exp(-np.array([[0, 25, 100], [25, 0, 25], [100, 25, 0]]) / (2 * 25))
    assert rbf_kernel(rows) == pytest.approx(want)


def test_a_far_origin_does_not_disturb_the_kernel():
    rows = np.random.default_rng(0).normal(size=(6, 3))
    assert rbf_kernel(rows + 1e6) == pytest.approx(rbf_kernel(rows), abs=1e-6)


def test_equal_rows_are_all_alike():
    assert rbf_kernel(np.ones((4, 2))).tolist() == np.ones((4, 4)).tolist()


@given(shapes, st.lists(st.integers(0, 3), min_size=12, max_size=12))
@settings(max_examples=60)
def test_mmd_is_the_double_loop(shape, codes):
    a, b = clouds(*shape)
    kernel = rbf_kernel(np.concatenate([a, b]))
    codes = np.array(codes[: len(kernel)])
    sides = np.random.default_rng(1).random((3, len(kernel))) < 0.5
    sides[:, 0], sides[:, 1] = True, False
    found = unbiased_mmd(kernel, sides, codes)
    for value, side in zip(found, sides, strict=True):
        assert value == pytest.approx(slow_mmd(kernel, side, codes), nan_ok=True)


@given(shapes)
@settings(max_examples=30)
def test_with_a_group_a_row_it_is_the_estimate_of_gretton(shape):
    a, b = clouds(*shape)
    n, m = len(a), len(b)
    kernel = rbf_kernel(np.concatenate([a, b]))
    k_aa, k_bb, k_ab = kernel[:n, :n], kernel[n:, n:], kernel[:n, n:]
    want = (k_aa.sum() - n) / (n * (n - 1)) + (k_bb.sum() - m) / (m * (m - 1)) - 2 * k_ab.mean()
    found = unbiased_mmd(kernel, (np.arange(n + m) < n)[None], np.arange(n + m))
    assert found[0] == pytest.approx(want)


def test_the_estimate_is_right_on_average_without_a_gap():
    rng = np.random.default_rng(5)
    side, codes = (np.arange(20) < 10)[None], np.arange(20)
    found = [unbiased_mmd(rbf_kernel(rng.normal(size=(20, 3))), side, codes)[0] for _ in range(400)]
    assert abs(np.mean(found)) < 3 * np.std(found) / 20
    assert min(found) < 0 < max(found)


def test_pictures_of_one_recipe_do_not_pull_the_estimate():
    """Twins within a recipe look like a gap, unless their pairs are left out."""
    rng = np.random.default_rng(6)
    side, found, naive = (np.arange(24) < 12)[None], [], []
    codes = np.repeat(np.arange(4), 6)
    for _ in range(300):
        rows = np.repeat(rng.normal(size=(4, 2)), 6, axis=0) + 0.1 * rng.normal(size=(24, 2))
        kernel = rbf_kernel(rows)
        found.append(unbiased_mmd(kernel, side, codes)[0])
        naive.append(unbiased_mmd(kernel, side, np.arange(24))[0])
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(300)
    assert np.mean(naive) > 0.3


def gaussian(mean, spread, n=6):
    """Rows with exactly this mean and these standard deviations (n - 1), columns uncorrelated."""
    rows = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    rows = np.linalg.qr(np.column_stack([np.ones(n), rows]))[0][:, 1 : len(mean) + 1]
    return np.array(mean) + rows * np.sqrt(n - 1) * np.array(spread)


def test_frechet_of_gaussians_in_closed_form():
    # One dimension at a time: (difference of means)^2 + (difference of deviations)^2.
    a, b = gaussian([0, 1], [1, 2]), gaussian([3, 1], [4, 1.5])
    assert frechet_distance(a, b) == pytest.approx(9 + 9 + 0.25)


@given(shapes)
@settings(max_examples=40)
def test_frechet_is_the_formula_with_a_matrix_root(shape):
    n, m, d, seed = shape
    a, b = clouds(n + d, m + d, d, seed)
    cov = [np.atleast_2d(np.cov(x.T)) for x in (a, b)]
    shift = ((a.mean(0) - b.mean(0)) ** 2).sum()
    want = shift + np.trace(cov[0] + cov[1] - 2 * sqrtm(cov[0] @ cov[1]).real)
    assert frechet_distance(a, b) == pytest.approx(want, abs=1e-6)


@given(shapes)
@settings(max_examples=30)
def test_frechet_is_symmetric_and_zero_for_the_same_rows_even_with_few_of_them(shape):
    a, b = clouds(*shape)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 2) == pytest.approx(4 * a.shape[1])


def test_frechet_needs_two_rows():
    with pytest.raises(ValueError, match="b has 1 rows"):
        frechet_distance(np.zeros((3, 2)), np.zeros((1, 2)))


def test_the_ratio_of_centroids_by_hand():
    a, b = np.array([[0.0, 0], [0, 2]]), np.array([[6.0, 1], [6, 1]])
    assert centroid_ratio(a, b) == pytest.approx(6 / np.sqrt(0.5))
    with pytest.raises(ValueError, match="no spread"):
        centroid_ratio(np.ones((2, 2)), np.zeros((2, 2)))
