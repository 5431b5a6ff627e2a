"""Ranks of the first positive, held against the plainest way to count; and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.sets import RetrievalSet
from helpers.evaluation import ranking
from helpers.evaluation.ranking import (
    InvalidEmbeddings,
    check_embeddings,
    disjoint_galleries,
    first_hit_ranks,
    first_hit_ranks_of_scores,
    rank_both_directions,
)


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, float)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def naive(scores: np.ndarray, query_items, gallery_items) -> list[float]:
    """One query after the other: 1 + negatives above + half of those that tie."""
    ranks = []
    for row, item in zip(scores, query_items, strict=True):
        positive = np.asarray(gallery_items) == item
        best, negatives = row[positive].max(), row[~positive]
        tied = np.abs(negatives - best) <= 1e-6
        ranks.append(1 + ((negatives > best) & ~tied).sum() + tied.sum() / 2)
    return ranks


@pytest.mark.parametrize("block", [1, 40, 2**22])
def test_ranks_are_those_of_the_plain_count(block, monkeypatch):
    monkeypatch.setattr(ranking, "_BLOCK", block)
    rng = np.random.default_rng(0)
    queries, gallery = unit(rng.normal(size=(40, 5))), unit(rng.normal(size=(60, 5)))
    gallery[10:20] = gallery[30:40]  # equal images, some of them of other items
    query_items = np.array([f"r{i % 15}" for i in range(40)])
    gallery_items = np.array([f"r{i % 15}" for i in range(60)])
    found = first_hit_ranks(queries, gallery, query_items, gallery_items)
    assert found.tolist() == naive(queries @ gallery.T, query_items, gallery_items)


@given(st.integers(0, 10_000))
def test_scores_with_many_ties(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (6, 9)) / 2
    items = np.array([f"r{i % 3}" for i in range(9)])
    found = first_hit_ranks_of_scores(scores, items[:6], items)
    assert found.tolist() == naive(scores, items[:6], items)


def test_equal_scores_rank_in_the_middle():
    items = ["a", "b", "c", "d", "e"]
    assert first_hit_ranks_of_scores(np.zeros((5, 5)), items, items).tolist() == [3.0] * 5


def test_a_query_without_a_positive_is_named():
    with pytest.raises(ValueError, match="1 of 2 queries have no positive"):
        first_hit_ranks_of_scores(np.zeros((2, 2)), ["a", "x"], ["a", "b"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([1.0, 0.0], "2-D"),
        (np.empty((0, 3)), "empty"),
        ([["a", "b"]], "no real numbers"),
        ([[np.nan, 1.0], [1.0, 0.0]], "1 of 2 rows have NaN"),
        ([[0.0, 0.0], [1.0, 0.0]], "only zeros"),
        ([[2.0, 0.0], [1.0, 0.0]], "length other than 1"),
        ([[0.5**0.5, 0.5**0.5], [1.0, 0.0]], "all entries equal"),
        ([[0.6, 0.8]] * 3, "all 3 rows"),
    ],
)
def test_embeddings_that_nothing_can_be_ranked_by_are_refused(rows, message):
    with pytest.raises(InvalidEmbeddings, match=message):
        check_embeddings(rows, name="gallery")


def test_queries_may_be_alike_and_nothing_else_is_let_through():
    assert check_embeddings([[0.6, 0.8]] * 3, name="queries", alike=True).shape == (3, 2)
    with pytest.raises(InvalidEmbeddings, match="NaN"):
        check_embeddings([[0.6, np.nan]] * 2, name="queries", alike=True)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_unit_rows_pass_unchanged(dtype):
    rows = np.eye(3, 4).astype(dtype)
    assert check_embeddings(rows, name="gallery") is rows


def test_length_within_a_thousandth_passes_and_many_bad_rows_are_counted():
    rows = unit(np.random.default_rng(0).normal(size=(9, 4)))
    check_embeddings(rows * 1.0009, name="gallery")
    with pytest.raises(InvalidEmbeddings, match=r"9 of 9 rows .* \(rows 0, 1, 2, 3, 4, \.\.\.\)"):
        check_embeddings(rows * 1.0011, name="gallery")


def test_collapsed_up_to_the_last_bit_is_still_collapsed():
    rows = np.tile(np.float32([0.6, 0.8]), (5, 1))
    rows[2, 0] = np.nextafter(rows[2, 0], np.float32(1))
    with pytest.raises(InvalidEmbeddings, match="identical"):
        check_embeddings(rows, name="gallery")


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(InvalidEmbeddings, match="rank first"):
        first_hit_ranks_of_scores([[np.nan, 0.0]], ["a"], ["a", "b"])


def test_two_models_are_not_mixed():
    with pytest.raises(ValueError, match="one model"):
        first_hit_ranks(np.eye(3), np.eye(4), ["a"] * 3, ["a"] * 4)


@pytest.mark.parametrize(("queries", "gallery"), [(2, 3), (3, 2), (4, 3), (3, 4)])
def test_every_row_has_an_item(queries, gallery):
    items = ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"shape \(.* 3 items; give one item a row"):
        first_hit_ranks(np.eye(5)[:queries], np.eye(5)[:gallery], items, items)
    with pytest.raises(ValueError, match=r"shape \(.*give one item a row"):
        first_hit_ranks_of_scores(np.zeros((queries, gallery)), items, items)


def small_set(galleries=None) -> RetrievalSet:
    items = np.array(["a", "a", "b", "c", "d"])
    return RetrievalSet([None] * 5, items, ["x"] * 4, np.array(["a", "b", "c", "d"]), "", galleries)


def test_both_directions_within_galleries():
    rng = np.random.default_rng(1)
    images, texts = unit(rng.normal(size=(5, 4))), unit(rng.normal(size=(4, 4)))
    data = small_set({"a": 0, "b": 0, "c": 1, "d": 1})
    found = rank_both_directions(images, texts, data)
    assert len(found) == 9
    assert found.groupby("direction")["rank"].max().le(3).all()
    first = found[(found.direction == "text_to_image") & (found.gallery == 0)]
    assert first["gallery_size"].tolist() == [3, 3]
    assert first["positives"].tolist() == [2, 1]
    wanted = naive(texts[:2] @ images[:3].T, ["a", "b"], ["a", "a", "b"])
    assert first["rank"].tolist() == wanted


def test_a_score_of_ones_own():
    rng = np.random.default_rng(1)
    images, texts = unit(rng.normal(size=(5, 4))), unit(rng.normal(size=(4, 4)))
    plain = rank_both_directions(images, texts, small_set())
    asked = []

    def score(direction, queries, gallery):
        asked.append(direction)
        return 7 * queries @ gallery.T

    again = rank_both_directions(images, texts, small_set(), score)
    assert asked == ["text_to_image", "image_to_text"]
    assert again["rank"].tolist() == plain["rank"].tolist()


def test_galleries_of_one_size():
    assert disjoint_galleries(["a", "a", "b", "c", "d"], 2) == {"a": 0, "b": 0, "c": 1, "d": 1}
    with pytest.raises(ValueError, match="take 2 items"):
        disjoint_galleries(["a", "b", "c"], 2)
