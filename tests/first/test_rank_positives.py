"""Ranks of embeddings: as from the exact scores, however near the scores are to each other."""

import numpy as np
import pytest

from helpers.first.evaluation import ranks as module
from helpers.first.evaluation.blocks import on_grid, quick_error
from helpers.first.evaluation.positives import positives_from_lists
from helpers.first.evaluation.ranks import rank_positives, rank_positives_from_scores


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def drawn(n, d, seed, spread=1.0):
    """Unit rows around one direction; the smaller the spread the nearer the scores."""
    rng = np.random.default_rng(seed)
    return unit(rng.standard_normal(d) + spread * rng.standard_normal((n, d)))


def lists(q, g, most, seed=3):
    rng = np.random.default_rng(seed)
    return [rng.choice(g, int(rng.integers(1, most + 1)), replace=False).tolist() for _ in range(q)]


def assert_as_from_scores(queries, gallery, wanted, **options):
    positives = positives_from_lists(wanted, n_gallery=len(gallery))
    known = rank_positives_from_scores(on_grid(queries) @ on_grid(gallery).T, positives, **options)
    found = rank_positives(queries, gallery, positives, **options)
    for name in ("optimistic", "pessimistic", "ranks", "indptr"):
        assert np.array_equal(getattr(found, name), getattr(known, name)), name
    return found


@pytest.mark.parametrize("most", [3, 20])  # counted, and sorted
@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-3, 2e-4])
@pytest.mark.parametrize("d", [3, 96, 768])
def test_ranks_are_those_of_the_exact_scores(d, spread, most):
    queries, gallery = drawn(40, d, 0, spread), drawn(150, d, 1, spread)
    assert_as_from_scores(queries, gallery, lists(40, 150, most))


@pytest.mark.parametrize("tolerance", [0.0, 1e-6, 1e-2])
def test_equal_and_almost_equal_rows_tie_as_they_do_exactly(tolerance):
    gallery = drawn(60, 32, 0)
    almost = unit(gallery + 1e-7 * np.random.default_rng(1).standard_normal(gallery.shape))
    gallery = np.concatenate([gallery, gallery, almost])
    found = assert_as_from_scores(
        drawn(30, 32, 2), gallery, lists(30, 180, 2), tie_tolerance=tolerance
    )
    assert (found.pessimistic > found.optimistic).any()


def test_excluded_rows_leave_the_count():
    queries, gallery = drawn(30, 32, 0, 1e-3), drawn(80, 32, 1, 1e-3)
    wanted = [[i, 40 + i] for i in range(30)]
    assert_as_from_scores(queries, gallery, wanted, exclude=np.arange(30))


@pytest.mark.parametrize(("spread", "whole"), [(1.0, False), (1e-4, True)])
def test_the_exact_block_is_computed_only_where_many_scores_are_near(monkeypatch, spread, whole):
    asked = []
    original = module.on_grid

    def noted(rows):
        asked.append(len(rows))
        return original(rows)

    monkeypatch.setattr(module, "on_grid", noted)
    queries, gallery = drawn(50, 64, 0, spread), drawn(3000, 64, 1, spread)
    rank_positives(queries, gallery, positives_from_lists(lists(50, 3000, 2), n_gallery=3000))
    assert (3000 in asked) == whole


@pytest.mark.parametrize("d", [2, 64, 512, 2048])
def test_a_quick_score_is_never_further_off_than_it_says(d):
    queries, gallery = drawn(200, d, 0, 0.1), drawn(200, d, 1, 0.1)
    off = np.abs((queries @ gallery.T).astype(float) - on_grid(queries) @ on_grid(gallery).T)
    assert 0 < off.max() < quick_error(d)
