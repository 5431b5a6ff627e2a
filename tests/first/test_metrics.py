"""Metrics by hand, against a naive oracle, and against torchmetrics."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from helpers.first.evaluation import metrics
from helpers.first.evaluation.positives import positives_from_lists
from helpers.first.evaluation.ranks import rank_positives_from_scores
from tests.first.test_embeddings import unit_rows


def ranking_of(scores, wanted):
    return rank_positives_from_scores(
        scores, positives_from_lists(wanted, n_gallery=len(scores[0]))
    )


@pytest.fixture
def by_hand():
    """First hits at ranks 1, 2 and 1.5 (a tie); the positives of query 1 at 2 and 3."""
    scores = [[0.9, 0.5, 0.1], [0.8, 0.3, 0.1], [0.7, 0.7, 0.2]]
    return ranking_of(scores, [[0], [1, 2], [1]])


def test_by_hand(by_hand):
    found = metrics.retrieval_metrics(by_hand, ks=(1, 2))
    assert found == pytest.approx(
        {
            "hit@1": 1 / 3,
            "hit@2": 1,
            "recall@2": (1 + 1 / 2 + 1) / 3,
            "mrr": (1 + 1 / 2 + 2 / 3) / 3,
            "map": (1 + (1 / 2 + 2 / 3) / 2 + 2 / 3) / 3,
            "median_rank": 1.5,
            "mean_rank": 1.5,
            "tied": 1 / 3,
        }
    )


def test_names_of_the_default(by_hand):
    names = "hit@1 hit@5 hit@10 recall@10 mrr map median_rank mean_rank tied"
    assert " ".join(metrics.retrieval_metrics(by_hand)) == names


def test_hits_and_recall_differ_with_several_positives(by_hand):
    assert metrics.per_query(by_hand, "hit@2").tolist() == [1, 1, 1]
    assert metrics.per_query(by_hand, "recall@2").tolist() == [1, 0.5, 1]
    assert metrics.hit_at_k(by_hand, 2) == 1
    assert metrics.recall_at_k(by_hand, 2) == pytest.approx(5 / 6)


def test_means_of_per_query_values_are_the_metrics(by_hand):
    for name, value in metrics.retrieval_metrics(by_hand).items():
        values = metrics.per_query(by_hand, name)
        assert values.dtype == np.float64
        assert (np.median if name == "median_rank" else np.mean)(values) == pytest.approx(value)


@pytest.mark.parametrize("name", ["hit", "hit@", "hit@0", "hit@-1", "recall@x", "ndcg", ""])
def test_unknown_metrics_are_refused(by_hand, name):
    with pytest.raises(ValueError, match=r"metric"):
        metrics.per_query(by_hand, name)


def test_no_cut_off_is_refused(by_hand):
    with pytest.raises(ValueError, match="ks is empty"):
        metrics.retrieval_metrics(by_hand, ks=())


def naive(scores, wanted, k):
    """hit@k, recall@k, MRR and MAP in fractions; a tie puts half of its negatives above."""
    totals = [Fraction(0)] * 4
    for row, own in zip(scores, wanted, strict=True):
        ranks = []
        for place, j in enumerate(sorted(own, key=lambda j: -row[j]), start=1):
            others = [g for g in range(len(row)) if g not in own]
            above = sum(row[g] > row[j] for g in others)
            level = sum(row[g] == row[j] for g in others)
            ranks.append(Fraction(place + above) + Fraction(level, 2))
        totals[0] += ranks[0] <= k
        totals[1] += Fraction(sum(r <= k for r in ranks), len(ranks))
        totals[2] += 1 / ranks[0]
        totals[3] += sum(place / r for place, r in enumerate(ranks, start=1)) / len(ranks)
    return [float(total / len(scores)) for total in totals]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 6), st.integers(1, 9), st.integers(1, 10), st.data())
def test_metrics_agree_with_a_naive_oracle_on_ties(n_queries, n_gallery, k, data):
    row = st.lists(st.integers(0, 2), min_size=n_gallery, max_size=n_gallery)
    scores = data.draw(st.lists(row, min_size=n_queries, max_size=n_queries))
    wanted = [data.draw(st.sets(st.integers(0, n_gallery - 1), min_size=1)) for _ in scores]
    found = metrics.retrieval_metrics(ranking_of(scores, wanted), ks=(k,))
    expected = naive(scores, wanted, k)
    assert [found[f"hit@{k}"], found[f"recall@{k}"], found["mrr"], found["map"]] == pytest.approx(
        expected, abs=1e-12
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5), st.integers(2, 8), st.data())
def test_metrics_keep_their_ranges_and_order(n_queries, n_gallery, data):
    row = st.lists(st.integers(0, 3), min_size=n_gallery, max_size=n_gallery)
    scores = data.draw(st.lists(row, min_size=n_queries, max_size=n_queries))
    wanted = [data.draw(st.sets(st.integers(0, n_gallery - 1), min_size=1)) for _ in scores]
    found = metrics.retrieval_metrics(ranking_of(scores, wanted), ks=(1, 2, n_gallery))
    assert found["hit@1"] <= found["hit@2"] <= found[f"hit@{n_gallery}"]
    assert found[f"hit@{n_gallery}"] == 1
    assert found["hit@1"] <= found["mrr"] <= 1
    assert 0 < found["map"] <= 1
    assert 1 <= found["mean_rank"] <= n_gallery


def test_all_scores_equal_is_no_success():
    found = metrics.retrieval_metrics(ranking_of(np.zeros((4, 11)), [[i] for i in range(4)]))
    assert found["tied"] == 1
    assert found["median_rank"] == 6
    assert found["hit@5"] == 0


def test_torchmetrics_agrees_where_nothing_ties():
    import torch
    from torchmetrics.retrieval import (
        RetrievalHitRate,
        RetrievalMAP,
        RetrievalMRR,
        RetrievalRecall,
    )

    generator = np.random.default_rng(5)
    # No ties, and no score of 0 or less: torchmetrics takes such a positive for not found.
    scores = generator.permuted(np.tile(np.arange(1, 61) / 60, (40, 1)), axis=1)
    target = generator.random((40, 60)) < 0.06
    target[np.arange(40), generator.integers(0, 60, 40)] = True
    found = metrics.retrieval_metrics(
        ranking_of(scores, [np.flatnonzero(row) for row in target]), ks=(1, 5, 10)
    )
    theirs = {
        **{f"hit@{k}": RetrievalHitRate(top_k=k) for k in (1, 5, 10)},
        "recall@10": RetrievalRecall(top_k=10),
        "mrr": RetrievalMRR(),
        "map": RetrievalMAP(),
    }
    indexes = torch.arange(40).repeat_interleave(60)
    for name, metric in theirs.items():
        value = metric(torch.tensor(scores.ravel()), torch.tensor(target.ravel()), indexes=indexes)
        assert found[name] == pytest.approx(value.item(), abs=1e-6), name
    assert found["tied"] == 0
    assert target.sum(axis=1).max() > 1


def test_scikit_learn_agrees_on_average_precision_of_any_sign():
    generator = np.random.default_rng(6)
    scores = generator.standard_normal((30, 40))
    target = generator.random((30, 40)) < 0.1
    target[:, 0] = True
    ranking = ranking_of(scores, [np.flatnonzero(row) for row in target])
    theirs = [average_precision_score(t, s) for t, s in zip(target, scores, strict=True)]
    assert metrics.per_query(ranking, "map") == pytest.approx(theirs)


def test_both_directions_relate_by_id():
    images, texts = np.eye(3)[[0, 0, 1]], np.eye(3)[[0, 1, 1, 2]]
    found = metrics.both_directions(images, ["a", "a", "b"], texts, ["a", "b", "b", "a"])
    to_image, to_text = found["text_to_image"], found["image_to_text"]
    assert (to_image.n_queries, to_image.n_gallery) == (4, 3)
    assert (to_text.n_queries, to_text.n_gallery) == (3, 4)
    # The last text is like no image: its two positives tie with the one negative.
    assert to_image.first.tolist() == [1, 1, 1, 1.5]
    assert to_image.ranks[-2:].tolist() == [1.5, 2.5]
    assert metrics.hit_at_k(to_text, 1) == 1


def test_both_directions_name_an_id_that_one_side_lacks():
    rows = unit_rows(2, 3)
    with pytest.raises(ValueError, match="'pie'"):
        metrics.both_directions(rows, ["soup", "pie"], rows, ["soup", "soup"])


@pytest.mark.parametrize("k", [1, 3, 5, 9])
def test_chance_agrees_with_counting_all_orders(k):
    wanted = [[0], [1, 2], [0, 1, 2, 3, 4]]
    orders = list(permutations(range(5)))
    shares = [np.mean([bool(set(order[:k]) & set(w)) for order in orders]) for w in wanted]
    found = metrics.chance_hit_at_k(positives_from_lists(wanted, n_gallery=5), k)
    assert found == pytest.approx(np.mean(shares))
