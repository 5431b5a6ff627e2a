"""Exact indexes: equal to a plain product, opened by plain FAISS, refused when damaged."""

import json
from types import SimpleNamespace

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import paths
from helpers.first.evaluation.embeddings import InvalidEmbeddings
from helpers.first.retrieval import index as index_module
from helpers.first.retrieval.index import (
    FILE,
    SIDECAR,
    IndexRefused,
    Space,
    build_index,
    load_index,
    save_index,
    space_of,
)
from helpers.first.retrieval.kinds import IndexKind
from helpers.first.retrieval.vector_index import VectorIndex
from helpers.first.runner.lessons import read_notebook, source_of
from helpers.repro import canonical_json, hash_of
from tests.first.small_training import small_encoder

SPACE = Space("small", "0123456789abcdef", "fedcba", 16)


def unit(n, seed, d=16):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def made(n=30, seed=1):
    return build_index(unit(n, seed), [f"{i:03d}" for i in range(n)], space=SPACE)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 40), st.integers(1, 50), st.integers(0, 10**6))
def test_search_is_a_sorted_product(n, k, seed):
    index, queries = made(n, seed), unit(4, seed + 1)
    scores, rows = index.search(queries, k)
    cosines = queries.astype(float) @ unit(n, seed).astype(float).T
    assert scores.shape == rows.shape == (4, min(k, n))
    assert (np.diff(scores, axis=1) <= 0).all()
    assert np.allclose(np.take_along_axis(cosines, rows, 1), scores, atol=1e-5)
    best = -np.sort(-cosines, axis=1)[:, : min(k, n)]
    assert np.allclose(best, scores, atol=1e-5)


def test_a_search_among_some_rows_is_exact():
    index, queries = made(30), unit(3, 9)
    chosen = [2, 5, 7, 11, 29]
    _, rows = index.search(queries, 3, rows=chosen)
    cosines = queries @ unit(30, 1)[chosen].T
    order = np.argsort(-cosines, axis=1)[:, :3]
    assert rows.tolist() == np.array(chosen)[order].tolist()
    assert index.search(queries, 9, rows=chosen)[1].shape == (3, 5)
    assert index.search(queries, 9, rows=[])[1].shape == (3, 0)


def test_equal_rows_stand_in_their_order():
    rows = np.concatenate([unit(1, 3)] * 4 + [unit(4, 4)])
    index = build_index(rows, list("hgfedcba"), space=SPACE)
    assert index.search(unit(1, 3), 4)[1].tolist() == [[0, 1, 2, 3]]


def test_a_saved_index_is_the_same_and_plain_faiss_opens_it(tmp_path):
    index = made()
    save_index(index, tmp_path / "kept")
    again = load_index(tmp_path / "kept", space=SPACE)
    assert again.ids.tolist() == index.ids.tolist()
    assert again.ids[7] == "007"
    queries = unit(3, 5)
    for a, b in zip(again.search(queries, 4), index.search(queries, 4), strict=True):
        assert np.array_equal(a, b)
    plain = faiss.read_index(str(tmp_path / "kept" / FILE))
    assert np.array_equal(plain.search(queries, 4)[1], index.search(queries, 4)[1])


def test_another_model_is_refused(tmp_path):
    folder = save_index(made(), tmp_path / "kept")
    other = Space("small", "another", "fedcba", 16)
    with pytest.raises(IndexRefused, match=r"made by small \(0123456789ab\).*fingerprint differ"):
        load_index(folder, space=other)
    with pytest.raises(IndexRefused, match="8 dimensions, the index of small has 16"):
        made().search(unit(1, 1, d=8), 1)


def test_every_damaged_file_is_refused(tmp_path):
    folder = save_index(made(), tmp_path / "kept")
    whole = (folder / FILE).read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(200):
        damaged = bytearray(whole)
        if trial % 2:
            damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        else:
            damaged = damaged[: rng.integers(len(whole))]
        (folder / FILE).write_bytes(bytes(damaged))
        with pytest.raises(IndexRefused, match="is damaged"):
            load_index(folder)
    (folder / FILE).unlink()
    with pytest.raises(IndexRefused, match="missing beside its sidecar"):
        load_index(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 3}', '{"schema": 3, "space": {}, "ids": [], "sha256": ""}']
)
def test_a_sidecar_of_another_form_is_refused(tmp_path, text):
    folder = save_index(made(), tmp_path / "kept")
    (folder / SIDECAR).write_text(text)
    with pytest.raises(IndexRefused, match=SIDECAR):
        load_index(folder)


def test_a_sidecar_that_does_not_fit_is_refused(tmp_path):
    folder = save_index(made(), tmp_path / "kept")
    record = json.loads((folder / SIDECAR).read_text())
    fewer = {**record, "ids": record["ids"][:-1]}
    (folder / SIDECAR).write_text(canonical_json(fewer) + "\n")
    with pytest.raises(IndexRefused, match="damaged or of an unknown form"):
        load_index(folder)
    del fewer["self"]
    signed = {**fewer, "self": hash_of(fewer, digits=64)}
    (folder / SIDECAR).write_text(canonical_json(signed) + "\n")
    with pytest.raises(IndexRefused, match="30 rows of 16 dimensions, its sidecar names 29 ids"):
        load_index(folder)
    (folder / SIDECAR).unlink()
    with pytest.raises(IndexRefused, match="nobody knows what the rows are"):
        load_index(folder)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "a", "b"], "'a' is there twice"),
        (["a", "b"], r"shape \(3, 16\); there are 2 ids"),
        (["a", 7, "b"], "id 7 is no string"),
    ],
)
def test_ids_name_one_row_each(ids, message):
    with pytest.raises(IndexRefused, match=message):
        build_index(unit(3, 1), ids, space=SPACE)


def test_bad_rows_and_queries_are_refused():
    rows = unit(3, 1)
    rows[1] = np.nan
    with pytest.raises(InvalidEmbeddings, match="embeddings"):
        build_index(rows, list("abc"), space=SPACE)
    with pytest.raises(InvalidEmbeddings, match="queries"):
        made().search(2 * unit(1, 1), 1)
    with pytest.raises(IndexRefused, match="k is 0"):
        made().search(unit(1, 1), 0)


def test_the_space_of_an_encoder_changes_with_its_weights():
    one, other = small_encoder("siglip"), small_encoder("siglip", seed=1)
    assert space_of(one) == space_of(small_encoder("siglip"))
    assert space_of(one).fingerprint != space_of(other).fingerprint
    assert space_of(one).dimension == 24


def test_the_lesson_mends_the_index_that_it_damages(tmp_path, capsys):
    cells = read_notebook(paths.notebooks() / "10_serving.ipynb")["cells"]
    (source,) = [s for s in map(source_of, cells) if "# one bit" in s]
    kept = SimpleNamespace(ids=np.array([f"{i:03d}" for i in range(60)]), space=SPACE)
    known = {
        "kept": kept, "rows": unit(60, 1), "questions": unit(4, 2), "report_folder": tmp_path,
        "index": index_module, "VectorIndex": VectorIndex, "IndexKind": IndexKind,
    }  # fmt: skip
    exec(source, known)
    assert "is damaged" in capsys.readouterr().out
    assert len(load_index(tmp_path / "index", space=SPACE)) == len(known["living"]) == 59
