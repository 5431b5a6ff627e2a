"""Average precision to a cut, by hand and against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.first.evaluation.instances import (
    METRICS,
    cut_average_precisions,
    instance_values,
    summarized,
)
from helpers.first.evaluation.positives import positives_from_lists
from helpers.first.evaluation.ranks import rank_positives_from_scores


def naive(scores, positives, k):
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    hits, total = 0, 0.0
    for place, item in enumerate(order[:k], start=1):
        if item in positives:
            hits += 1
            total += hits / place
    return total / min(k, len(positives))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(1, 12))
def test_the_cut_is_that_of_plain_loops(seed, k):
    rng = np.random.default_rng(seed)
    scores = rng.permutation(40).reshape(4, 10).astype(float)
    positives = [sorted(rng.choice(10, rng.integers(1, 6), replace=False)) for _ in range(4)]
    ranking = rank_positives_from_scores(scores, positives_from_lists(positives, n_gallery=10))
    expected = [naive(row, own, k) for row, own in zip(scores, positives, strict=True)]
    assert cut_average_precisions(ranking, k) == pytest.approx(expected)
    if k >= 10:
        assert cut_average_precisions(ranking, k) == pytest.approx(instance_values(ranking)["map"])


def test_the_two_maps_differ():
    """Three relevant pictures at places 1, 2 and 10: cut at 2 the list is perfect."""
    relation = positives_from_lists([[0, 1, 9]], n_gallery=10)
    ranking = rank_positives_from_scores([list(range(10, 0, -1))], relation)
    values = instance_values(ranking, cut=2)
    assert values["map@2"].tolist() == [1.0]
    assert values["map"].tolist() == pytest.approx([(1 + 1 + 3 / 10) / 3])
    assert set(values) == {*METRICS, "map@2"}


def test_a_summary_has_an_interval_over_classes():
    found = summarized({"hit@1": np.array([1.0, 0.0, 1.0, 1.0])}, ["a", "a", "b", "b"])["hit@1"]
    assert found["value"] == 0.75
    assert found["low"] <= 0.75 <= found["high"]
    assert found["n"] == 4


def test_a_cut_below_one_is_refused():
    ranking = rank_positives_from_scores([[1.0]], positives_from_lists([[0]], n_gallery=1))
    with pytest.raises(ValueError, match="map@0"):
        cut_average_precisions(ranking, 0)
