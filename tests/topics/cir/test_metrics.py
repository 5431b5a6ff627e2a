"""Metrics of composed retrieval: cases by hand, naive oracles, the server's file format."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.evaluation.metrics import chance
from helpers.evaluation.ranking import COMPOSED, InvalidEmbeddings, first_hit_ranks_of_scores
from helpers.topics.cir import metrics
from helpers.topics.cir.benchmarks import read_cirr, read_fashioniq
from helpers.topics.cir.triplets import Triplet, TripletSet
from tests.topics.cir.made_up import triplet_set


def oracle(triplets):
    scores = np.zeros((len(triplets.triplets), len(triplets.gallery)), dtype=np.float32)
    for query, rows in enumerate(triplets.positives()):
        scores[query, rows] = 1
    return scores


def naive_rank(scores, positives, excluded):
    """Walk down the list; of ties, the mean of the best and the worst place."""
    best = max(scores[row] for row in positives)
    others = [s for row, s in enumerate(scores) if row not in positives and row != excluded]
    above, level = sum(s > best for s in others), sum(s == best for s in others)
    return 1 + above + level / 2


@given(st.data())
def test_the_first_rank_is_that_of_the_definition(data):
    n = data.draw(st.integers(2, 9))
    scores = np.array(data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)), float)
    positives = sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=n - 1)))
    excluded = next(row for row in range(n) if row not in positives)
    for out in (-1, excluded):
        (found,) = metrics.ranks_of_positives([scores], [positives], [out])
        assert found[0] == naive_rank(scores.tolist(), positives, out)
        assert len(found) == len(positives)


def test_with_one_positive_each_the_ranks_are_those_of_the_course():
    scores = np.random.default_rng(0).normal(size=(6, 6)).round(1)
    items = list("abcdef")
    want = first_hit_ranks_of_scores(scores, items, items)
    found = metrics.ranks_of_positives(scores, [[i] for i in range(6)])
    assert np.concatenate(found).tolist() == want.tolist()


def test_scores_that_cannot_be_ranked_are_refused():
    with pytest.raises(InvalidEmbeddings, match="NaN"):
        metrics.ranks_of_positives([[np.nan, 1.0]], [[0]])
    with pytest.raises(ValueError, match="query 1 has no positive"):
        metrics.ranks_of_positives(np.eye(2), [[0], []])
    with pytest.raises(ValueError, match=r"shape \(2, 2\) for 1 queries"):
        metrics.ranks_of_positives(np.eye(2), [[0]])


def test_a_frame_of_ranks_holds_what_a_study_needs():
    """Two galleries: in each the reference scores highest and leaves, the target comes second."""
    sets = [triplet_set(3, prefix="a"), triplet_set(2, prefix="b", exclude_reference=False)]
    tables = []
    for one in sets:
        table, rows = oracle(one), one.rows()
        for query, triplet in enumerate(one.triplets):
            table[query, rows[triplet.reference]] = 2
        tables.append(table)
    frame = metrics.rank_frame(tables, sets)
    assert frame["rank"].tolist() == [1, 1, 1, 2, 2]
    assert frame["query"].tolist() == [0, 1, 2, 3, 4]
    assert frame["gallery"].tolist() == [0, 0, 0, 1, 1]
    assert frame["gallery_size"].tolist() == [8, 8, 8, 6, 6]
    assert frame["group"].tolist() == ["a0", "a1", "a2", "b0", "b1"]
    assert set(frame["direction"]) == {COMPOSED}
    assert metrics.hit10(frame) == 1.0


def test_fashioniq_means_weigh_categories_alike():
    ranks = {"dress": np.array([1, 11]), "shirt": np.array([5, 50, 51, 60])}
    assert metrics.fashioniq_metrics(ranks) == {
        "dress R@10": 0.5, "dress R@50": 1.0, "shirt R@10": 0.25, "shirt R@50": 0.5,
        "R@10": 0.375, "R@50": 0.75, "mean": 0.5625,
    }  # fmt: skip


def test_cirr_by_hand():
    whole, inside = np.array([1, 4, 6, 51]), np.array([1, 2, 3, 1])
    assert metrics.cirr_metrics(whole, inside) == {
        "R@1": 0.25, "R@5": 0.5, "R@10": 0.75, "R@50": 0.75,
        "R_subset@1": 0.5, "R_subset@2": 0.75, "R_subset@3": 1.0, "average": 0.5,
    }  # fmt: skip


def in_subset(target, subset):
    one = Triplet("7", "a", (target,), "more", subset=tuple(subset))
    return TripletSet("CIRR", "val", (one,), tuple("abcdefgh"), exclude_reference=True)


def test_a_subset_is_ranked_by_itself():
    scores = [[9, 8, 7, 6, 5, 4, 3, 2]]
    assert metrics.subset_ranks(scores, in_subset("d", "bcd")).tolist() == [3.0]
    assert metrics.subset_ranks(np.zeros((1, 8)), in_subset("d", "bcdef")).tolist() == [3.0]


def naive_average_precision(scores, rows, k):
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
    ranks = metrics.ranks_of_positives([scores], [sorted(rows)])
    want = naive_average_precision(scores, rows, k)
    assert metrics.average_precision(ranks, k) == pytest.approx([want])


def test_circo_divides_by_what_can_be_found():
    """Six positives, all of the first five of them: 1, not 5 / 6."""
    ranks = metrics.ranks_of_positives([-np.arange(60.0)], [[0, 1, 2, 3, 4, 59]])
    found = metrics.circo_metrics(ranks)
    assert found["mAP@5"] == 1.0
    assert found["mAP@50"] == pytest.approx(5 / 6)


def test_the_protocol_is_that_of_the_set():
    assert metrics.protocol([oracle(triplet_set(3))], [triplet_set(3)]) == {}
    circo = triplet_set(3, name="CIRCO", exclude_reference=False)
    assert set(metrics.protocol([oracle(circo)], [circo])) == {f"mAP@{k}" for k in (5, 10, 25, 50)}
    clothes = [triplet_set(3, name=f"FashionIQ {c}") for c in ("dress", "shirt")]
    found = metrics.protocol([oracle(one) for one in clothes], clothes)
    assert found["dress R@10"] == found["mean"] == 1.0


def test_a_query_whose_subset_lost_an_image_counts_in_no_metric_of_cirr():
    whole = in_subset("d", "bcdef").triplets[0]
    part = in_subset("d", "bcd").triplets[0]
    both = TripletSet("CIRR", "val", (whole, part), tuple("abcdefgh"), exclude_reference=True)
    scores = oracle(both)
    scores[1] = -scores[1]  # the second query ranks its target last
    assert metrics.protocol([scores], [both])["R@1"] == 1.0


def test_a_submission_leaves_the_reference_out():
    gallery = tuple(f"i{n}" for n in range(52))
    queries = (
        Triplet("7", "i51", (), "x", subset=gallery[46:51]),
        Triplet("8", "i0", (), "y", subset=gallery[1:6]),
    )
    asked = TripletSet("CIRR", "test1", queries, gallery, exclude_reference=True)
    scores = np.tile(np.arange(52.0), (2, 1))
    file = metrics.submission(scores, asked, "recall")
    assert (file["version"], file["metric"]) == ("rc2", "recall")
    assert file["7"] == list(gallery[1:51][::-1])
    assert file["8"] == list(gallery[2:52][::-1])
    inside = metrics.submission(scores, asked, "recall_subset")
    assert (inside["7"], inside["8"]) == (["i50", "i49", "i48"], ["i5", "i4", "i3"])


@pytest.mark.parametrize(
    ("scores", "metric", "message"),
    [
        (np.full((1, 8), np.nan), "recall", "not finite"),
        (np.zeros((1, 7)), "recall", r"shape \(1, 7\)"),
        (np.zeros((1, 8)), "recall", "pair 7: 7 images are left without the reference.*wants 50"),
    ],
)
def test_what_the_server_would_refuse_is_refused_here(scores, metric, message):
    with pytest.raises(ValueError, match=message):
        metrics.submission(scores, in_subset("d", "bcd"), metric)


def test_overlap_of_texts_by_hand():
    """Two of three words of the candidate are among four: 2 * 2/3 * 1/2 / (2/3 + 1/2)."""
    assert metrics.rouge_1("with tofu soup", ["with tofu on plate"]) == pytest.approx(4 / 7)
    assert metrics.rouge_1("no", ["tofu", "no"]) == 1.0
    assert metrics.meteor("with tofu", ["with tofu"]) > 0.9
    assert metrics.meteor("tofus", ["tofu"]) > 0  # stems count
    assert metrics.meteor("", ["tofu"]) == metrics.rouge_1("", ["tofu"]) == 0
    for overlap in metrics.OVERLAP.values():
        with pytest.raises(ValueError, match="list of at least one"):
            overlap("tofu", "tofu")


def test_perfect_random_and_tied_predictions_on_fashioniq(fashioniq):
    dress = read_fashioniq(fashioniq, category="dress")
    assert metrics.protocol([oracle(dress)], [dress])["mean"] == 1.0
    assert metrics.protocol([np.zeros_like(oracle(dress))], [dress])["mean"] == 0.0
    scores = np.random.default_rng(1).random(oracle(dress).shape)
    found = metrics.protocol([scores], [dress])
    for k in (10, 50):
        level = chance(f"hit@{k}", len(dress.gallery), 1).item()
        error = np.sqrt(level * (1 - level) / len(dress.triplets))
        assert abs(found[f"R@{k}"] - level) < 4 * error


def test_perfect_random_and_tied_predictions_on_cirr(cirr):
    val = read_cirr(cirr)
    assert set(metrics.protocol([oracle(val)], [val]).values()) == {1.0}
    tied = metrics.protocol([np.zeros_like(oracle(val))], [val])
    assert (tied["R@50"], tied["R_subset@2"], tied["R_subset@3"]) == (0.0, 0.0, 1.0)
    random = metrics.protocol([np.random.default_rng(2).random(oracle(val).shape)], [val])
    for k in (1, 2, 3):  # the target is one of five, the reference being out
        error = np.sqrt(k / 5 * (1 - k / 5) / len(val.triplets))
        assert abs(random[f"R_subset@{k}"] - k / 5) < 4 * error


def test_files_for_the_server_look_like_its_examples(cirr):
    asked = read_cirr(cirr, split="test1")
    scores = np.random.default_rng(0).random((len(asked.triplets), len(asked.gallery)))
    members = {t.pair_id: set(t.subset) for t in asked.triplets}
    for name in ("recall", "recall_subset"):
        written = json.loads(json.dumps(metrics.submission(scores, asked, name)))
        example = json.loads((cirr / f"test1_pred_ranks_{name}.json").read_text())
        assert {k: len(v) for k, v in written.items()} == {k: len(v) for k, v in example.items()}
        assert (written["version"], written["metric"]) == (example["version"], example["metric"])
    assert all(set(written[pair_id]) <= members[pair_id] for pair_id in members)
