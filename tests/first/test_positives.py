"""The relation of queries to their positives."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.evaluation.positives import Positives, positives_from_ids, positives_from_lists


def as_lists(positives: Positives) -> list[list[int]]:
    edges = positives.indptr
    return [positives.indices[a:b].tolist() for a, b in pairwise(edges)]


def test_ids_are_matched_as_text():
    relation = positives_from_ids(["007", "NA"], ["NA", "7", "007", "007"])
    assert as_lists(relation) == [[2, 3], [0]]
    assert relation.queries.tolist() == [0, 0, 1]


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=12), st.data())
def test_ids_agree_with_a_double_loop(gallery, data):
    queries = data.draw(st.lists(st.sampled_from(gallery), min_size=1, max_size=8))
    expected = [[j for j, g in enumerate(gallery) if g == q] for q in queries]
    assert as_lists(positives_from_ids(queries, gallery)) == expected


def test_query_without_positive_is_named():
    with pytest.raises(ValueError, match=r"1 of 2 queries .*'soup'; queries 1\)"):
        positives_from_ids(["pie", "soup"], ["pie"])
    with pytest.raises(ValueError, match=r"1 of 2 queries have no positive.*queries 1\)"):
        positives_from_lists([[0], []], n_gallery=2)


def test_numbers_are_no_ids():
    with pytest.raises(TypeError, match="gallery id 7 at place 1 is int"):
        positives_from_ids(["7"], ["7", 7])


def test_lists_are_sorted_and_made_distinct():
    assert as_lists(positives_from_lists([[2, 0, 2]], n_gallery=3)) == [[0, 2]]


@pytest.mark.parametrize("row", [-1, 3])
def test_rows_outside_the_gallery_are_refused(row):
    with pytest.raises(ValueError, match=f"gallery rows {row} do not exist"):
        positives_from_lists([[row]], n_gallery=3)


def test_no_query_and_broken_parts_are_refused():
    with pytest.raises(ValueError, match="no query"):
        positives_from_lists([], n_gallery=3)
    with pytest.raises(ValueError, match="sorted and distinct"):
        Positives(np.array([0, 2]), np.array([1, 0]), 3)
    with pytest.raises(ValueError, match="indptr"):
        Positives(np.array([0, 3]), np.array([1, 0]), 3)


def test_without_drops_the_excluded_row_only_for_its_query():
    relation = positives_from_lists([[0, 1], [0, 1], [0, 1]], n_gallery=2)
    assert as_lists(relation.without(np.array([0, -1, 1]))) == [[1], [0, 1], [0]]


def test_without_refuses_to_take_the_last_positive():
    with pytest.raises(ValueError, match=r"queries 0\)"):
        positives_from_lists([[1], [0]], n_gallery=2).without(np.array([1, -1]))
