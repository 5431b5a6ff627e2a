"""Milvus Lite against FAISS flat: the same answers, nothing lost, another model refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from milvus_lite.server_manager import server_manager_instance
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from helpers.first.evaluation.embeddings import InvalidEmbeddings
from helpers.first.retrieval.index import build_index
from helpers.first.retrieval.milvus import MilvusError, MilvusIndex, open_milvus
from helpers.first.retrieval.space import IndexRefused, Space
from helpers.store.credentials import AccessError
from tests.first.milvus_work import space_of, unit, upserts_while_searching

D = 16
SPACE = space_of(D)


@pytest.fixture
def store(tmp_path):
    opened = open_milvus(str(tmp_path / "db" / "m.db"), space=SPACE)
    yield opened
    opened.close()


def test_it_answers_as_faiss_flat_does_through_every_change(store):
    names = [f"{i:03d}" for i in range(120)]
    rows = unit(120, 1, D)
    store.add(names, rows)
    assert len(store) == 120
    store.flush()
    rows[5:9] = unit(4, 2, D)
    store.upsert([*names[5:9], "new é"], np.concatenate([rows[5:9], unit(1, 3, D)]))
    store.remove(names[20:30])
    kept = [i for i in range(120) if not 20 <= i < 30]
    flat = build_index(
        np.concatenate([rows[kept], unit(1, 3, D)]), [*(names[i] for i in kept), "new é"],
        space=SPACE,
    )  # fmt: skip
    queries = unit(25, 4, D)
    scores, found = flat.search(queries, 10)
    answer = store.nearest(queries, 10)
    assert answer.ids.tolist() == flat.ids[found].tolist()
    assert np.allclose(answer.scores, scores, atol=1e-5)
    assert len(store) == len(flat) == 111
    assert np.allclose(store.rows_of(["new é", "005"]), [unit(1, 3, D)[0], rows[5]], atol=1e-6)
    assert store.nearest(queries[:2], 500).ids.shape == (2, 111)


def test_one_picture_several_times_may_come_later_and_not_first(store):
    same = np.repeat(unit(1, 7, D), 3, axis=0)
    for change in (store.add, store.upsert):
        with pytest.raises(InvalidEmbeddings, match="are identical"):
            change(["a", "b", "c"], same)
    assert len(store) == 0
    store.add(["other"], unit(1, 1, D))
    store.add(["a", "b", "c"], same)
    store.upsert(["c", "d"], same[:2])
    assert sorted(store.nearest(same[:1], 4).ids[0].tolist()) == ["a", "b", "c", "d"]


def test_what_cannot_be_is_refused_and_nothing_is_written(store):
    store.add(["a", "b"], unit(2, 1, D))
    bad = unit(2, 3, D)
    bad[1] = np.nan
    for change, error, text in (
        (lambda: store.add(["b", "c"], unit(2, 2, D)), IndexRefused, "'b' is in 'pictures'"),
        (lambda: store.upsert(["c", "d"], bad), InvalidEmbeddings, "NaN"),
        (lambda: store.upsert(["c", "c"], unit(2, 2, D)), IndexRefused, "there twice"),
        (lambda: store.upsert(["é" * 300], unit(1, 2, D)), IndexRefused, "more than 512 bytes"),
        (lambda: store.remove(["a", "zz"]), IndexRefused, "'zz' is not in 'pictures'"),
        (lambda: store.rows_of(["zz"]), IndexRefused, "'zz' is not in"),
        (lambda: store.nearest(unit(1, 2, 8), 1), IndexRefused, "8 dimensions"),
        (lambda: store.nearest(unit(1, 2, D), 0), IndexRefused, "k is 0"),
    ):
        with pytest.raises(error, match=text):
            change()
    assert len(store) == 2


ODD = (
    "it's", 'a "quoted" id', "back\\slash", "ends in \\", "two\nlines\r\n", "tab\t", "\x00\x07",
    "x'] or id not in ['", 'x"] or id not in ["', "100 % {brace}", "{ids}", "ümlaut 汉字 🍲", " ",
    "\u2028", "é" * 256,
)  # fmt: skip


@pytest.fixture(scope="module", params=["Milvus", "FAISS"])
def either(request, tmp_path_factory):
    """A store with one row, of both kinds."""
    names, rows = ["one"], unit(1, 1, D)
    if request.param == "FAISS":
        yield build_index(rows, names, space=SPACE)
        return
    opened = open_milvus(str(tmp_path_factory.mktemp("odd") / "m.db"), space=SPACE)
    opened.add(names, rows)
    yield opened
    opened.close()


def comes_and_goes(store, odd):
    """One id more is added, replaced, found and removed, and nothing else with it."""
    before, rows = len(store), unit(2, 2, D)
    store.add([odd], rows[:1])
    with pytest.raises(IndexRefused, match="upsert replaces it"):
        store.add([odd], rows[:1])
    store.upsert([odd], rows[1:])
    assert store.nearest(rows[1:], 1).ids.tolist() == [[odd]]
    assert len(store) == before + 1
    store.remove([odd])
    assert len(store) == before
    with pytest.raises(IndexRefused, match="is not in"):
        store.remove([odd])


@pytest.mark.parametrize("odd", ODD)
def test_any_text_is_an_id(either, odd):
    """Fault 7: quotes, brackets, line breaks and filters in an id are letters like all others."""
    comes_and_goes(either, odd)
    if isinstance(either, MilvusIndex):
        either.upsert([odd], unit(1, 2, D))
        assert np.allclose(either.rows_of([odd, "one"])[0], unit(1, 2, D), atol=1e-6)
        either.remove([odd])


@given(st.text(min_size=1, max_size=60).filter(lambda name: name != "one"))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_texts_that_nobody_thought_of_are_ids(either, odd):
    comes_and_goes(either, odd)


def test_bytes_that_are_no_text_are_no_id(store):
    with pytest.raises(IndexRefused, match="no readable text"):
        store.upsert(["caf\udce9"], unit(1, 1, D))


def test_rows_outlive_the_process_and_another_model_is_refused(tmp_path):
    uri = str(tmp_path / "m.db")
    store = open_milvus(uri, space=SPACE)
    store.add(["007"], unit(1, 1, D))
    store.close()
    again = open_milvus(uri, space=SPACE)
    assert again.nearest(unit(1, 1, D), 3).ids.tolist() == [["007"]]
    again.client.create_collection("foreign", dimension=D)
    again.close()
    with pytest.raises(IndexRefused, match=r"made by small \(0123456789ab\), not by other"):
        open_milvus(uri, space=Space("other", "x", "y", D))
    with pytest.raises(IndexRefused, match=r"'foreign' .* was not made here"):
        open_milvus(uri, space=SPACE, collection="foreign")


def served(uri):
    return str(Path(uri).absolute()) in server_manager_instance._servers


def test_a_refusal_leaves_no_server_behind_and_ends_nobody_elses(tmp_path, monkeypatch):
    uri, other = str(tmp_path / "m.db"), Space("other", "x", "y", D)
    closed, close = [], MilvusClient.close
    monkeypatch.setattr(MilvusClient, "close", lambda self: (closed.append(1), close(self)))
    store = open_milvus(uri, space=SPACE)
    store.add(["a"], unit(1, 1, D))
    with pytest.raises(IndexRefused, match="not by other"):
        open_milvus(uri, space=other)
    assert (closed, served(uri), len(store)) == ([1], True, 1)
    store.close()
    assert not served(uri)
    with pytest.raises(IndexRefused, match="not by other"):
        open_milvus(uri, space=other)
    assert (closed, served(uri)) == ([1, 1, 1], False)


class Lossy:
    """A client of five rows, whose narrow search of the second query loses all but ``narrow``."""

    def __init__(self, kind, narrow, wide):
        self.kind, self.lengths, self.asked = kind, {False: narrow, True: wide}, []

    def search(self, collection, *, data, limit, output_fields, search_params):
        self.asked.append((len(data), search_params["params"]))
        wide = bool(search_params["params"])
        hits = [{"id": f"{i}", "distance": 0.9 - i / 10} for i in range(5)][:limit]
        return [hits[: self.lengths[wide]] if query[0] < 0.5 else hits for query in data]

    def query(self, collection, *, filter, output_fields):
        return [{"count(*)": 5}]

    def describe_index(self, collection, *, index_name):
        return {"index_type": self.kind}


@pytest.mark.parametrize(("kind", "wide"), [("IVF_PQ", {"nprobe": 1024}), ("HNSW", {"ef": 32768})])
def test_a_query_with_fewer_answers_is_asked_again_and_cuts_no_other(kind, wide):
    client = Lossy(kind, narrow=1, wide=9)
    found = MilvusIndex(client, "u", "c", SPACE).nearest(np.eye(D)[:2], 4)
    assert found.ids.tolist() == [["0", "1", "2", "3"]] * 2
    assert np.allclose(found.scores, [[0.9, 0.8, 0.7, 0.6]] * 2)
    assert client.asked == [(2, {}), (1, wide)]
    client.asked.clear()
    assert MilvusIndex(client, "u", "c", SPACE).nearest(np.eye(D)[:2], 50).ids.shape == (2, 5)
    lossy = MilvusIndex(Lossy(kind, narrow=1, wide=3), "u", "c", SPACE)
    with pytest.raises(MilvusError, match="one query has 3 rows, another 4 of k = 4"):
        lossy.nearest(np.eye(D)[:2], 4)


def test_an_address_without_a_server_is_named():
    with pytest.raises(MilvusError, match=r"no Milvus at http://127.0.0.1:9 .*start it"):
        open_milvus("http://127.0.0.1:9", space=SPACE, token="root:secret", timeout=0.5)
    with pytest.raises(AccessError, match=r"give http://127.0.0.1:9, and set MILVUS_TOKEN") as seen:
        open_milvus("http://root:topsecret@127.0.0.1:9", space=SPACE, timeout=0.5)
    assert "topsecret" not in repr(seen.value)
    with pytest.raises(AccessError, match=r"give 127.0.0.1:9, ") as seen:
        open_milvus("root:topsecret@127.0.0.1:9", space=SPACE, timeout=0.5)
    assert "topsecret" not in repr(seen.value)
    with pytest.raises(MilvusError, match="neither an address"):
        open_milvus("somewhere", space=SPACE)
    with pytest.raises(MilvusError, match="unknown kind of index 'TREE'"):
        open_milvus("x.db", space=SPACE, kind="TREE")


def test_the_token_of_a_server_comes_from_the_environment(monkeypatch, tmp_path):
    """Fault 8: a file gets none, an address the one that is set, a given token goes first."""
    asked = []

    def refuse(uri, token, timeout):
        asked.append((uri, str(token)))
        raise MilvusException(message="stop here")

    monkeypatch.setattr("pymilvus.MilvusClient", refuse)
    monkeypatch.setenv("MILVUS_TOKEN", "root:topsecret")
    for uri, given_token in (
        ("http://h:1", ""),
        ("http://h:1", "own:one"),
        (str(tmp_path / "m.db"), ""),
    ):
        with pytest.raises(MilvusError) as seen:
            open_milvus(uri, space=SPACE, token=given_token)
        assert "secret" not in str(seen.value)
    assert [token for _, token in asked] == ["root:topsecret", "own:one", ""]


def test_nothing_is_lost_while_rows_are_replaced(store):
    seen = upserts_while_searching(store, 400, d=D, batch=100)
    assert (seen.errors, seen.lost) == ([], [])
    assert seen.searches > 0
