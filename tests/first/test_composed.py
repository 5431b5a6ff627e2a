"""Metrics of composed retrieval: cases by hand, naive oracles, the server's file format."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.evaluation.composed import (
    average_precision_at,
    circo_metrics,
    cirr_metrics,
    cirr_submission,
    fashioniq_metrics,
    rank_subsets,
)
from helpers.first.evaluation.positives import positives_from_lists
from helpers.first.evaluation.ranks import rank_positives_from_scores
from tests.first.real_data import CIRR, real_cirr


def ranking(scores, rows, **options):
    scores = np.asarray(scores, dtype=float)
    relation = positives_from_lists(rows, n_gallery=scores.shape[1])
    return rank_positives_from_scores(scores, relation, **options)


def first_at(*ranks, n=100):
    """A ranking of queries whose only positive stands at the given ranks."""
    scores = np.tile(-np.arange(n, dtype=float), (len(ranks), 1))
    return ranking(scores, [[rank - 1] for rank in ranks])


def test_fashioniq_means_weigh_categories_alike():
    found = fashioniq_metrics({"dress": first_at(1, 11), "shirt": first_at(5, 50, 51, 60)})
    assert found == {
        "dress R@10": 0.5,
        "dress R@50": 1.0,
        "shirt R@10": 0.25,
        "shirt R@50": 0.5,
        "R@10": 0.375,
        "R@50": 0.75,
        "mean": 0.5625,
    }
    with pytest.raises(ValueError, match="no ranking"):
        fashioniq_metrics({})


def test_cirr_by_hand():
    whole, inside = first_at(1, 4, 6, 51), first_at(1, 2, 3, 1, n=5)
    assert cirr_metrics(whole, inside) == {
        "R@1": 0.25,
        "R@5": 0.5,
        "R@10": 0.75,
        "R@50": 0.75,
        "R_subset@1": 0.5,
        "R_subset@2": 0.75,
        "R_subset@3": 1.0,
        "average": 0.5,
    }
    with pytest.raises(ValueError, match="4 queries and that of the subsets 1"):
        cirr_metrics(whole, first_at(1, n=5))


def test_the_reference_holds_no_rank():
    scores = [[9.0, 8.0, 7.0]]
    assert ranking(scores, [[1]]).first == [2.0]
    assert ranking(scores, [[1]], exclude=[0]).first == [1.0]


def test_a_subset_is_ranked_by_itself():
    scores = [[9, 8, 7, 6, 5], [1, 2, 3, 4, 5]]
    found = rank_subsets(scores, [[2, 3, 4], [0, 1, 2]], [[3], [2]])
    assert found.first.tolist() == [2.0, 1.0]
    tied = rank_subsets(np.zeros((1, 6)), [[1, 2, 3, 4, 5]], [[3]])
    assert tied.first.tolist() == [3.0]  # the middle of five, not the first


@pytest.mark.parametrize(
    ("subsets", "rows", "message"),
    [
        ([[0, 1], [0]], [[0], [0]], "one length"),
        ([[0, 0], [0, 1]], [[0], [0]], "repeat no row"),
        ([[0, 1], [0, 1]], [[0], [2]], "query 1: positive 2 is not in its subset"),
    ],
)
def test_wrong_subsets_are_refused(subsets, rows, message):
    with pytest.raises(ValueError, match=message):
        rank_subsets(np.eye(3)[:2], subsets, rows)


def naive_average_precision(scores, rows, k):
    """Walk down the list, as the definition says."""
    order = np.argsort(-np.asarray(scores), kind="stable")[:k]
    hits, total = 0, 0.0
    for rank, row in enumerate(order, start=1):
        if row in rows:
            hits += 1
            total += hits / rank
    return total / min(len(rows), k)


@given(st.data())
def test_average_precision_is_that_of_the_definition(data):
    n = data.draw(st.integers(1, 12))
    scores = np.array(data.draw(st.permutations(range(n))), dtype=float)
    rows = data.draw(st.sets(st.integers(0, n - 1), min_size=1))
    k = data.draw(st.integers(1, n + 2))
    found = average_precision_at(ranking([scores], [sorted(rows)]), k)
    assert found == pytest.approx([naive_average_precision(scores, rows, k)])


def test_circo_divides_by_what_can_be_found():
    """Six positives, all of the first five of them: 1, not 5 / 6."""
    found = circo_metrics(ranking([-np.arange(60.0)], [[0, 1, 2, 3, 4, 59]]))
    assert found["mAP@5"] == 1.0
    assert found["mAP@50"] == pytest.approx(5 / 6)
    with pytest.raises(ValueError, match="k is 0"):
        average_precision_at(first_at(1), 0)


def test_a_submission_leaves_the_reference_out():
    gallery = [f"i{n}" for n in range(52)]
    scores = np.tile(np.arange(52.0), (2, 1))
    file = cirr_submission(scores, gallery, ["7", "8"], ["i51", "i0"])
    assert (file["version"], file["metric"]) == ("rc2", "recall")
    assert file["7"] == gallery[1:51][::-1]
    assert file["8"] == gallery[2:52][::-1]
    inside = cirr_submission(
        scores, gallery, ["7", "8"], ["i51", "i0"], subsets=[gallery[46:52], gallery[0:6]]
    )
    assert inside["metric"] == "recall_subset"
    assert (inside["7"], inside["8"]) == (["i50", "i49", "i48"], ["i5", "i4", "i3"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pair_ids": ["7", "7"]}, "there twice"),
        ({"references": ["x", "b"]}, r"pair 7: image 'x' is not in the gallery"),
        ({"references": ["a"]}, "1 references"),
        ({"subsets": ["abc", "abcd"]}, "pair 7: 2 images are left"),
        ({"subsets": ["abcd", "abcx"]}, "pair 8: image 'x'"),
        ({"scores": np.full((2, 4), np.nan)}, "not finite"),
        ({"scores": np.zeros((2, 3))}, r"shape \(2, 3\)"),
        ({}, "pair 7: 3 images are left without the reference, the server wants 50"),
    ],
)
def test_what_the_server_would_refuse_is_refused_here(changes, message):
    given = {"scores": np.zeros((2, 4)), "pair_ids": ["7", "8"], "references": ["a", "b"]}
    given |= changes
    with pytest.raises(ValueError, match=message):
        cirr_submission(given.pop("scores"), "abcd", **given)


@real_cirr
def test_files_for_the_server_look_like_its_examples():
    from helpers.first.data.composed_benchmarks import read_cirr

    cirr = read_cirr(CIRR, split="test1")
    scores = np.random.default_rng(0).random((len(cirr.triplets), len(cirr.gallery)))
    about = [t.pair_id for t in cirr.triplets], [t.reference for t in cirr.triplets]
    subsets = [t.subset for t in cirr.triplets]
    for name, options in (("recall", {}), ("recall_subset", {"subsets": subsets})):
        written = json.loads(json.dumps(cirr_submission(scores, cirr.gallery, *about, **options)))
        example = json.loads((CIRR / f"test1_pred_ranks_{name}.json").read_text())
        assert set(written) == set(example)
        assert {k: len(v) for k, v in written.items()} == {k: len(v) for k, v in example.items()}
        assert (written["version"], written["metric"]) == (example["version"], example["metric"])
    members = {t.pair_id: set(t.subset) for t in cirr.triplets}
    assert all(set(written[pair_id]) <= members[pair_id] for pair_id in members)
