"""The flat index equals a plain product, survives its bytes, and refuses what does not fit."""

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.evaluation.ranking import InvalidEmbeddings
from helpers.topics.serving.index import FlatIndex, IndexRefused, Space, space_of
from tests.small_models import small_encoder

SPACE = Space("small", "0123456789abcdef", "fedcba", 16)


def unit(n, seed, d=16):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def made(n=30, seed=1):
    return FlatIndex.of(unit(n, seed), [f"{i:03d}" for i in range(n)], SPACE)


@given(st.integers(2, 40), st.integers(1, 50), st.integers(0, 10**6))
def test_search_is_a_sorted_product(n, k, seed):
    index, queries = made(n, seed), unit(4, seed + 1)
    scores, rows = index.search(queries, k)
    cosines = queries.astype(float) @ unit(n, seed).astype(float).T
    assert scores.shape == rows.shape == (4, min(k, n))
    assert np.allclose(np.take_along_axis(cosines, rows, 1), scores, atol=1e-5)
    assert np.allclose(-np.sort(-cosines, axis=1)[:, : min(k, n)], scores, atol=1e-5)


def test_a_search_among_some_rows_is_exact():
    index, queries, chosen = made(30), unit(3, 9), [2, 5, 7, 11, 29]
    _, rows = index.search(queries, 3, rows=chosen)
    order = np.argsort(-(queries @ unit(30, 1)[chosen].T), axis=1)[:, :3]
    assert rows.tolist() == np.array(chosen)[order].tolist()
    assert index.search(queries, 9, rows=chosen)[1].shape == (3, 5)
    assert index.search(queries, 9, rows=[])[1].shape == (3, 0)


def test_equal_rows_stand_in_their_order():
    rows = np.concatenate([unit(1, 3)] * 4 + [unit(4, 4)])
    index = FlatIndex.of(rows, list("hgfedcba"), SPACE)
    assert index.search(unit(1, 3), 4)[1].tolist() == [[0, 1, 2, 3]]


def test_its_bytes_are_the_same_index_and_plain_faiss_reads_them(tmp_path):
    index, queries = made(), unit(3, 5)
    again = FlatIndex.from_bytes(index.to_bytes(), index.ids.tolist(), SPACE)
    assert again.ids[7] == "007"
    for ours, theirs in zip(again.search(queries, 4), index.search(queries, 4), strict=True):
        assert np.array_equal(ours, theirs)
    (tmp_path / "index.faiss").write_bytes(index.to_bytes())
    plain = faiss.read_index(str(tmp_path / "index.faiss"))
    assert np.array_equal(plain.search(queries, 4)[1], index.search(queries, 4)[1])
    with pytest.raises(IndexRefused, match="30 rows of 16 dimensions for 29 ids"):
        FlatIndex.from_bytes(index.to_bytes(), index.ids.tolist()[1:], SPACE)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "a", "b"], "'a' is there twice"),
        (["a", "b"], r"shape \(3, 16\); there are 2 ids"),
        (["a", 7, "b"], "id 7 is no name"),
        (["a", "", "b"], "id '' is no name"),
    ],
)
def test_ids_name_one_row_each(ids, message):
    with pytest.raises(IndexRefused, match=message):
        FlatIndex.of(unit(3, 1), ids, SPACE)


def test_bad_rows_and_queries_are_refused():
    rows = unit(3, 1)
    rows[1] = np.nan
    with pytest.raises(InvalidEmbeddings, match="rows of the index"):
        FlatIndex.of(rows, list("abc"), SPACE)
    with pytest.raises(InvalidEmbeddings, match="queries"):
        made().search(2 * unit(1, 1), 1)
    with pytest.raises(IndexRefused, match="k is 0"):
        made().search(unit(1, 1), 0)
    with pytest.raises(IndexRefused, match="8 dimensions, the index of small has 16"):
        made().search(unit(1, 1, d=8), 1)


def test_the_space_of_an_encoder_changes_with_its_weights():
    one, other = small_encoder("siglip"), small_encoder("siglip", seed=1)
    assert space_of(one).fingerprint != space_of(other).fingerprint
    assert space_of(one).dimension == 24
