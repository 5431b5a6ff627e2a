"""Living indexes against a dictionary and a plain product: nothing is lost, nothing is invented."""

import types

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.first.evaluation.embeddings import InvalidEmbeddings
from helpers.first.retrieval import kinds
from helpers.first.retrieval import vector_index as module
from helpers.first.retrieval.index import FILE, ROWS, SIDECAR, load_index, save_index
from helpers.first.retrieval.kinds import IndexKind, KindRefused
from helpers.first.retrieval.space import IndexRefused, Space
from helpers.first.retrieval.vector_index import VectorIndex
from tests.first import damage_indexes

D = 16
SPACE = Space("small", "0123456789abcdef", "fedcba", D)
EXACT = [
    IndexKind("flat"),
    IndexKind("hnsw", links=16, effort=400),
    IndexKind("ivfpq", lists=4, probes=4, rescored=100),
]


def unit(n, seed, d=D):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def names(n, start=0):
    return [f"{i:04d}" for i in range(start, start + n)]


def test_one_picture_several_times_may_come_later_and_not_first():
    index, same = VectorIndex(IndexKind("flat"), SPACE), np.repeat(unit(1, 7), 3, axis=0)
    for change in (index.add, index.upsert):
        with pytest.raises(InvalidEmbeddings, match="are identical"):
            change(["a", "b", "c"], same)
    index.add(["other"], unit(1, 1))
    index.add(["a", "b", "c"], same)
    index.upsert(["c", "d"], same[:2])
    assert sorted(index.nearest(same[:1], 4).ids[0].tolist()) == ["a", "b", "c", "d"]
    index.remove(["other", "a", "b", "c", "d"])
    with pytest.raises(InvalidEmbeddings, match="are identical"):
        index.add(["a", "b", "c"], same)


def filled(kind, n=60, seed=1):
    index = VectorIndex(kind, SPACE)
    index.add(names(n), unit(n, seed))
    return index


def best_of(known, queries, k):
    """The naive oracle: ids by cosine with every row, equal ones in any order."""
    ids = sorted(known)
    scores = queries @ np.stack([known[i] for i in ids]).T
    order = np.argsort(-scores, axis=1)[:, :k]
    return np.array(ids)[order], np.take_along_axis(scores, order, 1)


@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_any_sequence_of_changes_ends_in_what_a_dictionary_holds(kind, seed, k):
    rng = np.random.default_rng(seed)
    index, known = filled(kind), dict(zip(names(60), unit(60, 1), strict=True))
    for step in range(8):
        chosen = rng.choice(sorted(known), size=int(rng.integers(1, 12)), replace=False).tolist()
        if step % 3 == 0 and len(known) > 30:
            index.remove(chosen)
            for name in chosen:
                del known[name]
            continue
        new = [*chosen, *names(4, 1000 + 10 * step)]
        rows = unit(len(new), seed + step)
        index.upsert(new, rows)
        known |= dict(zip(new, rows, strict=True))
    queries = unit(5, seed + 99)
    found = index.nearest(queries, k)
    ids, scores = best_of(known, queries, k)
    assert len(index) == len(known)
    assert np.allclose(found.scores, scores, atol=1e-5)
    assert found.ids.tolist() == ids.tolist()


@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
def test_a_search_among_some_rows_is_exact_and_passes_over_the_dead(kind):
    index = filled(kind)
    index.remove(["0003"])
    scores, slots = index.search(unit(2, 7), 9, rows=[1, 3, 5, 8])
    assert slots.shape == (2, 3)
    assert set(slots.ravel().tolist()) == {1, 5, 8}
    assert np.allclose(scores, np.take_along_axis(unit(2, 7) @ unit(60, 1).T, slots, 1), atol=1e-5)
    assert index.search(unit(2, 7), 9, rows=[])[1].shape == (2, 0)


def test_too_many_dead_rows_are_cleared_away():
    index = filled(IndexKind("hnsw"))
    index.remove(names(18))
    assert (index.rebuilt, index.faiss.ntotal, len(index)) == (0, 60, 42)
    index.remove(["0018"])
    assert (index.rebuilt, index.faiss.ntotal, len(index)) == (1, 41, 41)
    assert index.nearest(unit(60, 1)[20:21], 1).ids.tolist() == [["0020"]]
    index.remove(names(41, 19))
    assert len(index) == 0
    assert index.nearest(unit(1, 1), 3).ids.shape == (1, 0)
    index.add(["again"], unit(1, 4))
    assert index.nearest(unit(1, 4), 3).ids.tolist() == [["again"]]


def test_too_few_rows_to_learn_codes_from_stay_in_the_old_codes():
    index, rows = filled(IndexKind("ivfpq"), 20), unit(20, 1)
    index.remove(names(7))
    assert (index.rebuilt, index.faiss.ntotal, len(index)) == (0, 20, 13)
    assert index.nearest(rows[7:], 1).ids[:, 0].tolist() == names(13, 7)
    index.add(names(5), rows[:5])
    assert (index.rebuilt, index.faiss.ntotal, len(index)) == (0, 25, 18)
    index.remove(["0000"])
    assert (index.rebuilt, index.faiss.ntotal, len(index)) == (1, 17, 17)
    assert index.nearest(rows[7:], 1).ids[:, 0].tolist() == names(13, 7)


def test_codes_are_learned_anew_when_the_corpus_has_outgrown_them():
    index = VectorIndex(IndexKind("ivfpq"), SPACE)
    index.add(names(20), unit(20, 1))
    index.add(names(60, 20), unit(60, 2))
    assert index.rebuilt == 0
    index.add(["one more"], unit(1, 3))
    assert (index.rebuilt, len(index)) == (1, 81)
    assert index.nearest(unit(60, 2)[3:4], 1).ids.tolist() == [["0023"]]


def test_an_index_that_was_kept_remembers_on_how_many_rows_its_codes_were_learned(tmp_path):
    index = VectorIndex(IndexKind("ivfpq"), SPACE)
    index.add(names(20), unit(20, 1))
    index.add(names(60, 20), unit(60, 2))  # four times as many: not yet outgrown
    again = load_index(save_index(index, tmp_path / "kept"))
    assert (again.trained_on, again.rebuilt) == (20, 0)
    again.add(["one more"], unit(1, 3))
    assert (again.trained_on, again.rebuilt, len(again)) == (81, 1, 81)


def test_what_few_probes_miss_is_found_exactly():
    index = filled(IndexKind("ivfpq", lists=30, probes=1, rescored=2))
    found = index.nearest(unit(4, 5), 25)
    assert found.ids.shape == (4, 25)
    assert (found.ids != "").all()
    assert all(len(set(row)) == 25 for row in found.ids.tolist())


def test_rescoring_gives_cosines_and_without_it_they_are_estimates():
    queries = unit(6, 5)
    with_it = filled(IndexKind("ivfpq", lists=2, probes=2, rescored=4)).search(queries, 3)
    without = filled(IndexKind("ivfpq", lists=2, probes=2, rescored=0)).search(queries, 3)
    cosines = queries @ unit(60, 1).T
    assert np.allclose(with_it[0], np.take_along_axis(cosines, with_it[1], 1), atol=1e-5)
    assert not np.allclose(without[0], np.take_along_axis(cosines, without[1], 1), atol=1e-3)


def test_a_refused_change_changes_nothing():
    index = filled(IndexKind("flat"))
    before = index.ids.tolist()
    bad = unit(2, 3)
    bad[1] = np.nan
    for change, error, text in (
        (lambda: index.add(["0007"], unit(1, 3)), IndexRefused, "'0007' is in the index: upsert"),
        (lambda: index.add(["a", "a"], unit(2, 3)), IndexRefused, "'a' is there twice"),
        (lambda: index.add(["a", ""], unit(2, 3)), IndexRefused, "in place 1 is empty"),
        (lambda: index.upsert(["a", "b"], bad), InvalidEmbeddings, "NaN"),
        (lambda: index.upsert(["a"], unit(1, 3, d=8)), IndexRefused, r"shape \(1, 8\)"),
        (lambda: index.remove(["0001", "zz"]), IndexRefused, "'zz' is not in the index of 60"),
        (lambda: index.search(unit(1, 3), 0), IndexRefused, "k is 0"),
    ):
        with pytest.raises(error, match=text):
            change()
    assert index.ids.tolist() == before


@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
def test_a_saved_index_is_the_same_and_plain_faiss_opens_it(tmp_path, kind):
    index = filled(kind)
    index.remove(["0005"])
    save_index(index, tmp_path / "kept")
    again = load_index(tmp_path / "kept", space=SPACE)
    queries = unit(3, 8)
    assert again.kind == kind
    assert again.nearest(queries, 5).ids.tolist() == index.nearest(queries, 5).ids.tolist()
    assert faiss.read_index(str(tmp_path / "kept" / FILE)).ntotal == 60
    again.upsert(["0005"], unit(1, 9))
    assert len(again) == 60
    with pytest.raises(IndexRefused, match="fingerprint differ"):
        load_index(tmp_path / "kept", space=Space("small", "other", "fedcba", D))
    with pytest.raises(IndexRefused, match="holds no row"):
        save_index(VectorIndex(kind, SPACE), tmp_path / "none")


def test_corrupted_files_are_refused_before_they_are_parsed(tmp_path, monkeypatch):
    folders = [save_index(filled(kind, 40), tmp_path / kind.name) for kind in EXACT]

    def parsed(*_):
        raise AssertionError("FAISS was given a damaged file")

    monkeypatch.setattr(faiss, "deserialize_index", parsed)
    assert {p.name for folder in folders for p in folder.iterdir()} == {FILE, ROWS, SIDECAR}
    assert damage_indexes.refused(folders, 150) == (150, 150)
    for path in [p for folder in folders for p in folder.iterdir()]:
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(IndexRefused, match="is missing"):
            load_index(path.parent)
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "tree"}, "unknown kind of index 'tree': use flat"),
        ({"name": "hnsw", "links": 0}, "links is 0"),
        ({"name": "ivfpq", "rescored": -1}, "rescored is -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, text):
    with pytest.raises(KindRefused, match=text):
        IndexKind(**options)


def test_codes_need_rows_to_learn_from_and_divide_the_dimensions():
    with pytest.raises(KindRefused, match="15 are too few"):
        filled(IndexKind("ivfpq"), 15)
    with pytest.raises(KindRefused, match="code_bytes is 5: it has to divide the 16"):
        filled(IndexKind("ivfpq", code_bytes=5))


def test_a_gpu_is_used_where_there_is_one_and_never_required():
    index, flat, cells = types.SimpleNamespace(), IndexKind("flat"), IndexKind("ivfpq", probes=5)
    assert kinds.on_gpu(index, flat, types.SimpleNamespace())[1].startswith("cpu: this build")
    build = types.SimpleNamespace(
        StandardGpuResources=lambda: "resources",
        get_num_gpus=lambda: 0,
        index_cpu_to_gpu=lambda resources, gpu, index: types.SimpleNamespace(of=index),
    )
    assert kinds.on_gpu(index, flat, build)[1] == "cpu: faiss-gpu is installed and sees no GPU"
    build.get_num_gpus = lambda: 1
    copy, where = kinds.on_gpu(index, cells, build)
    assert (copy.of, copy.nprobe, where) == (index, 5, "gpu 0")
    assert kinds.on_gpu(index, IndexKind("hnsw"), build)[0] is None
    assert kinds.on_gpu(None, flat, build) == (None, "cpu: the index is empty")


def test_a_copy_answers_until_rows_change(monkeypatch):
    index, rows, asked = filled(IndexKind("flat"), 40), unit(40, 1), []

    class Copy:
        def search(self, queries, k):
            asked.append(len(queries))
            return index.faiss.search(queries, k)

    monkeypatch.setattr(module, "on_gpu", lambda held, kind: (Copy(), "gpu 0"))
    known = index.nearest(rows[:3], 4).ids
    assert index.to_gpu() == "gpu 0"
    assert np.array_equal(index.nearest(rows[:3], 4).ids, known)
    assert asked == [3]
    index.remove([known[0, 1]])
    assert known[0, 1] not in index.nearest(rows[:1], 4).ids
    assert asked == [3]
