"""Chance levels, and the metrics that a gallery fixes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.evaluation.chance import Gallery, fixed_by, galleries_of, telling_k
from helpers.first.evaluation.intervals import retrieval_intervals
from helpers.first.evaluation.metrics import chance_hit_at_k, per_query
from helpers.first.evaluation.positives import positives_from_ids, positives_from_lists
from helpers.first.evaluation.ranks import rank_positives_from_scores


@given(st.integers(2, 12), st.integers(1, 14), st.integers(0, 99))
def test_a_metric_is_fixed_exactly_where_no_order_changes_it(size, k, seed):
    rng = np.random.default_rng(seed)
    relation = positives_from_lists([[0]] * 20, n_gallery=size)
    tried = [rank_positives_from_scores(rng.random((20, size)), relation) for _ in range(6)]
    worst = rank_positives_from_scores(np.tile(np.arange(size, 0.0, -1.0)[::-1], (20, 1)), relation)
    values = {float(per_query(one, f"hit@{k}").mean()) for one in (*tried, worst)}
    assert bool(fixed_by(f"hit@{k}", size)) == (values == {1.0})


@pytest.mark.parametrize(
    ("metric", "fixed"),
    [("hit@6", True), ("hit@5", False), ("recall@10", True), ("R@50", True), ("dress R@10", True),
     ("R_subset@3", False), ("hit@10 minus M0", True), ("mAP@50", False), ("map@10", False),
     ("mrr", False), ("median_rank", False)],
)  # fmt: skip
def test_which_metrics_a_gallery_of_six_fixes(metric, fixed):
    assert fixed_by(metric, 6) == ("gallery has 6" if fixed else "")


def test_fixed_metrics_have_no_value_no_interval_and_a_reason():
    ids = [str(i) for i in range(6)]
    ranking = rank_positives_from_scores(np.eye(6), positives_from_ids(ids, ids))
    found = retrieval_intervals(ranking, ids, n_resamples=50)
    for name in ("hit@10", "recall@10"):
        assert np.isnan([found[name].value, found[name].low, found[name].high]).all()
        assert found[name].text() == "n/a (gallery has 6)"
    assert found["hit@5"].value == 1
    assert found["hit@5"].text() == "1.000 [0.541, 1.000]"


def test_galleries_of_both_directions_are_each_other_s_queries():
    ids = {"text_to_image": ["a", "a", "b"], "image_to_text": ["a", "b"]}
    found = galleries_of(ids)
    for way, other in (tuple(ids), tuple(ids)[::-1]):
        relation = positives_from_ids(ids[way], ids[other])
        assert found[way].size == len(ids[other])
        assert found[way].chance("hit@1") == chance_hit_at_k(relation, 1)
    assert found["text_to_image"].chance("mrr") is None
    assert Gallery(6, np.ones(2, int)).said("hit@2", 0.5) == "hit@2 0.500 (chance 0.333)"


def test_the_largest_k_that_says_something():
    assert [telling_k(n) for n in (900, 11, 10, 6, 5, 2, 1)] == [10, 10, 5, 5, 1, 1, 1]
    assert telling_k(900, 4) == 1
