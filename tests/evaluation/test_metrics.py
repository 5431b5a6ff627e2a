"""Metrics by query, chance by simulation, and K against the gallery's size."""

import numpy as np
import pytest

from helpers.evaluation.metrics import chance, k_of, not_applicable, summary, values_of


def test_values_by_query():
    ranks = np.array([1, 1.5, 3, 10])
    assert values_of(ranks, "hit@1").tolist() == [1, 0, 0, 0]  # a tie at the top is no hit at 1
    assert values_of(ranks, "mrr").tolist() == [1, 1 / 1.5, 1 / 3, 0.1]
    assert summary(ranks, "median rank") == 2.25
    assert summary(ranks, "mean rank") == 3.875


@pytest.mark.parametrize("metric", ["hit@0", "hit@", "recall@5", "map", "hit@x"])
def test_unknown_metrics_are_refused(metric):
    with pytest.raises(ValueError, match="unknown metric"):
        k_of(metric)


def test_k_against_the_gallery():
    assert not_applicable("hit@10", 10) == "n/a (gallery has 10)"
    assert not_applicable("hit@10", 11) == ""
    assert not_applicable("mrr", 1) == ""


@pytest.mark.parametrize(("n", "positives"), [(4, 1), (30, 3), (48, 12)])
@pytest.mark.parametrize("metric", ["hit@1", "hit@5", "mrr", "mean rank"])
def test_chance_is_that_of_random_orders(n, positives, metric):
    rng = np.random.default_rng(0)
    first = np.array([np.sort(rng.permutation(n)[:positives])[0] + 1 for _ in range(40_000)])
    wanted = values_of(first.astype(float), metric).mean()
    assert float(chance(metric, n, positives)) == pytest.approx(wanted, rel=0.03, abs=0.006)


def test_known_levels_of_a_gallery_of_300_recipes():
    assert float(chance("hit@10", 862, 3)) == pytest.approx(0.0344, abs=1e-4)
    assert float(chance("mrr", 900, 3)) == pytest.approx(0.020, abs=1e-3)


def test_chance_by_query():
    found = chance("hit@1", np.array([10, 10]), np.array([1, 5]))
    assert found.tolist() == pytest.approx([0.1, 0.5])
