"""Gap, alignment, uniformity and neighbors against loops and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.evaluation.alignment import alignment, modality_gap, neighbor_overlap, uniformity
from helpers.first.evaluation.embeddings import InvalidEmbeddings


def unit(n, d, seed):
    rows = np.random.default_rng(seed).normal(size=(n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def turned(rows, seed):
    return rows @ np.linalg.qr(np.random.default_rng(seed).normal(size=(rows.shape[1],) * 2))[0]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_alignment_is_the_mean_over_pairs_of_one_id(n, m, seed):
    rng = np.random.default_rng(seed)
    images, texts = unit(n, 4, seed), unit(m, 4, seed + 1)
    ids = [[f"r{v}" for v in rng.integers(0, 3, size)] for size in (n, m)]
    costs = [
        sum((a - b) ** 2 for a, b in zip(images[i], texts[j], strict=True))
        for i in range(n) for j in range(m) if ids[0][i] == ids[1][j]
    ]  # fmt: skip
    if not costs:
        with pytest.raises(ValueError, match="no id is on both sides"):
            alignment(images, ids[0], texts, ids[1])
        return
    assert alignment(images, ids[0], texts, ids[1]) == pytest.approx(np.mean(costs))


@given(st.integers(2, 9), st.integers(0, 99))
def test_uniformity_is_the_log_of_a_mean_over_pairs_of_two(n, seed):
    rows = unit(n, 3, seed)
    kernel = [
        math.exp(-2 * float(((rows[i] - rows[j]) ** 2).sum()))
        for i in range(n) for j in range(n) if i != j
    ]  # fmt: skip
    assert uniformity(rows) == pytest.approx(math.log(np.mean(kernel)), abs=1e-5)


def test_uniformity_crosses_blocks():
    rows = unit(1100, 3, 0)
    cosines = rows @ rows.T
    kernel = np.exp(-2 * (2 - 2 * cosines))[~np.eye(1100, dtype=bool)]
    assert uniformity(rows) == pytest.approx(math.log(kernel.mean()), abs=1e-5)
    tight = rows * 0.01 + np.array([1.0, 0, 0])
    tight /= np.linalg.norm(tight, axis=1, keepdims=True)
    assert uniformity(rows) < uniformity(tight) < 0


@given(st.integers(3, 12), st.integers(1, 4), st.integers(0, 99))
def test_overlap_counts_shared_neighbors(n, k, seed):
    if k >= n:
        k = n - 1
    before, after = unit(n, 4, seed), unit(n, 5, seed + 1)

    def neighbors(rows, i):
        others = sorted((j for j in range(n) if j != i), key=lambda j: -float(rows[i] @ rows[j]))
        return set(others[:k])

    expected = [len(neighbors(before, i) & neighbors(after, i)) / k for i in range(n)]
    np.testing.assert_allclose(neighbor_overlap(before, after, k=k), expected)


def test_a_rotation_changes_nothing_and_a_rotation_of_one_side_breaks_alignment_alone():
    images, texts = unit(50, 6, 0), unit(50, 6, 0) * 0.9 + 0.1
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    ids = [str(i) for i in range(50)]
    both = turned(images, 1), turned(texts, 1)
    assert modality_gap(*both) == pytest.approx(modality_gap(images, texts))
    assert alignment(both[0], ids, both[1], ids) == pytest.approx(
        alignment(images, ids, texts, ids)
    )
    assert alignment(both[0], ids, texts, ids) > 5 * alignment(images, ids, texts, ids)
    assert uniformity(both[0]) == pytest.approx(uniformity(images), abs=1e-6)
    assert neighbor_overlap(images, both[0], k=5).mean() == 1


def test_gap_by_hand():
    assert modality_gap([[1, 0], [0, 1]], [[-1, 0], [0, -1]]) == pytest.approx(math.sqrt(2))
    assert modality_gap([[1, 0], [0, 1]], [[0, 1], [1, 0]]) == 0


def test_what_cannot_be_measured_is_refused():
    rows = unit(4, 3, 0)
    with pytest.raises(ValueError, match="3 dimensions and texts 2"):
        modality_gap(rows, unit(4, 2, 0))
    with pytest.raises(InvalidEmbeddings, match="NaN"):
        uniformity(np.where(np.arange(12).reshape(4, 3) == 5, np.nan, rows))
    with pytest.raises(ValueError, match="at least two"):
        uniformity(rows[:1])
    with pytest.raises(ValueError, match="the same items"):
        neighbor_overlap(rows, rows[:3], k=1)
    for k in (0, 4):
        with pytest.raises(ValueError, match="give 1 to 3"):
            neighbor_overlap(rows, rows, k=k)
