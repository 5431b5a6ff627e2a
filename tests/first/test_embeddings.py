"""Embeddings that cannot be ranked are refused by name."""

import numpy as np
import pytest

from helpers.first.evaluation.embeddings import InvalidEmbeddings, check_embeddings


def unit_rows(n: int, d: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def spoiled(row: int, value) -> np.ndarray:
    rows = unit_rows(6, 4)
    rows[row] = value
    return rows


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_unit_rows_pass_unchanged(dtype):
    rows = unit_rows(6, 4).astype(dtype)
    assert check_embeddings(rows, name="gallery") is rows


def test_one_dimension_may_have_equal_entries():
    assert check_embeddings([[1.0], [-1.0]], name="gallery").shape == (2, 1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones(3), r"expected a 2-D array .* \(3,\)"),
        (np.ones((0, 4)), r"empty, shape \(0, 4\)"),
        (np.ones((4, 0)), r"empty, shape \(4, 0\)"),
        (np.array([["a"]]), "no real numbers"),
        (spoiled(2, np.nan), r"1 of 6 rows have NaN or infinite entries \(rows 2\)"),
        (spoiled(5, [0, np.inf, 0, 0]), r"NaN or infinite entries \(rows 5\)"),
        (spoiled(0, 0), r"1 of 6 rows have only zeros \(rows 0\)"),
        (spoiled(3, [2, 0, 0, 0]), r"a length other than 1 \(rows 3 \(length 2\)\); divide"),
        (spoiled(1, 0.5), r"1 of 6 rows have all entries equal \(rows 1\)"),
        (np.repeat(unit_rows(1, 4), 3, axis=0), r"all 3 rows \(0 to 2\) are identical"),
    ],
)
def test_refused(rows, message):
    with pytest.raises(
        InvalidEmbeddings, match=f"text queries: .*{message}|text queries: {message}"
    ):
        check_embeddings(rows, name="text queries")


def test_long_lists_of_rows_are_cut_but_counted():
    rows = unit_rows(9, 4) * 3
    with pytest.raises(InvalidEmbeddings, match=r"9 of 9 rows .* 4 \(length 3\), \.\.\.\)"):
        check_embeddings(rows, name="gallery")


def test_length_within_a_thousandth_passes_and_beyond_fails():
    rows = unit_rows(3, 8).astype(np.float64)
    check_embeddings(rows * 1.0009, name="gallery")
    with pytest.raises(InvalidEmbeddings, match="3 of 3 rows"):
        check_embeddings(rows * 1.0011, name="gallery")


def test_collapsed_up_to_the_last_bit_is_still_collapsed():
    rows = np.repeat(unit_rows(1, 16), 5, axis=0)
    rows[2, 3] = np.nextafter(rows[2, 3], np.float32(1))
    with pytest.raises(InvalidEmbeddings, match="identical"):
        check_embeddings(rows, name="gallery")


def test_queries_may_be_alike_and_nothing_else_is_let_through():
    same = np.array([[0.6, 0.8], [0.6, 0.8]])
    assert check_embeddings(same, name="queries", alike=True) is same
    with pytest.raises(InvalidEmbeddings, match="identical"):
        check_embeddings(same, name="gallery")
    with pytest.raises(InvalidEmbeddings, match="NaN"):
        check_embeddings(np.array([[0.6, np.nan]] * 2), name="queries", alike=True)
