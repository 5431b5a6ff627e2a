"""Choosing an index: measured against the truth, the frontier by hand, sizes by formula."""

import itertools
from dataclasses import replace

import faiss
import numpy as np
import pytest

from helpers.first.report import indexes
from helpers.first.retrieval import chooser, sizing
from helpers.first.retrieval.chooser import Measured, choose, frontier, isotropic, measure_kinds
from helpers.first.retrieval.kinds import IndexKind, KindRefused

FLAT = IndexKind("flat")
ONE = Measured(FLAT, 0.9, 0.88, 0.92, 1.0, 10.0, 0.1, 100, 1.0)


def made(recall, looked_at, *, mb=10.0, low=None):
    low = recall - 0.02 if low is None else low
    return replace(ONE, recall=recall, low=low, high=recall, looked_at=looked_at, size_mb=mb)


def test_flat_finds_all_and_few_probes_do_not():
    rows = isotropic(400, 16, seed=1)
    clock = itertools.count().__next__
    kinds = [FLAT, IndexKind("ivfpq", lists=8, probes=1), IndexKind("hnsw", links=8, effort=20)]
    found = measure_kinds(rows, isotropic(30, 16, seed=2), kinds=kinds, k=10, clock=clock)
    assert [one.kind for one in found] == kinds
    assert (found[0].recall, found[0].low, found[0].high) == (1, 1, 1)
    assert found[1].recall < found[2].recall <= 1
    assert found[1].low < found[1].recall < found[1].high
    assert {one.latency_ms for one in found} == {1000}  # the clock ticks once a query
    assert found[0].looked_at == 400
    assert (
        8 + 400 / 8 / 4 < found[1].looked_at < 8 + 40 + 200
    )  # cells, one cell's codes, exact rows
    assert 20 < found[2].looked_at < 400
    again = measure_kinds(rows, isotropic(30, 16, seed=2), kinds=kinds, k=10)
    assert [(o.recall, o.looked_at) for o in again] == [(o.recall, o.looked_at) for o in found]
    assert found[0].size_mb == pytest.approx(400 * 16 * 4 / 2**20, rel=0.01)
    assert found[1].size_mb < found[0].size_mb < found[2].size_mb


def test_recall_is_the_share_of_the_true_nearest():
    rows, queries = isotropic(300, 16, seed=1), isotropic(12, 16, seed=2)
    kind = IndexKind("ivfpq", probes=2, rescored=0)
    (found,) = measure_kinds(rows, queries, kinds=[kind], k=5)
    truth = np.argsort(-(queries @ rows.T), axis=1)[:, :5]
    index, _ = chooser._built(kind, rows, chooser.Space("measured", "", "", 16))
    got = index.search(queries, 5)[1]
    shares = [len(set(a) & set(b)) / 5 for a, b in zip(got.tolist(), truth.tolist(), strict=True)]
    assert found.recall == pytest.approx(np.mean(shares))


def test_kinds_that_differ_in_search_alone_are_built_once(monkeypatch):
    built = []
    real = chooser._built
    monkeypatch.setattr(chooser, "_built", lambda k, *rest: built.append(k) or real(k, *rest))
    kinds = [IndexKind("hnsw", effort=effort) for effort in (10, 20, 40)]
    measure_kinds(isotropic(50, 8, seed=1), isotropic(3, 8, seed=2), kinds=kinds, k=3)
    assert [kind.name for kind in built] == ["flat", "hnsw"]


def test_the_frontier_is_what_nothing_beats():
    fast, good, bad, exact = made(0.5, 1), made(0.9, 2), made(0.8, 3), made(1.0, 4)
    assert frontier([exact, bad, good, fast]) == [fast, good, exact]
    assert frontier([made(0.9, 1), made(0.9, 2)]) == [made(0.9, 1)]
    table = chooser.measured_table([exact, bad, good, fast])
    assert table["on the frontier"].tolist() == [True, False, True, True]


def test_the_choice_is_the_least_work_that_is_surely_good_and_fits():
    sure, lucky, big = made(0.97, 3, low=0.95), made(0.98, 1, low=0.9), made(1.0, 2, mb=99, low=1.0)
    assert choose([sure, lucky, big], recall=0.95) == big
    assert choose([sure, lucky, big], recall=0.95, size_mb=50) == sure
    with pytest.raises(KindRefused, match=r"within 50 MiB surely finds 99.0%.*finds 97.0% \[95.0%"):
        choose([sure, lucky, big], size_mb=50)
    with pytest.raises(KindRefused, match=r"no index fits 5 MiB: the smallest, flat, has 10.0"):
        choose([sure], size_mb=5)
    with pytest.raises(KindRefused, match="no kind"):
        measure_kinds(np.eye(3), np.eye(3), kinds=[])


def test_sizes_by_formula_are_those_of_faiss_and_of_the_published_tool():
    rows = isotropic(3000, 32, seed=1)
    for kind, said in (
        (FLAT, sizing.raw_gb(3000, 32)),
        (IndexKind("hnsw", links=16), sizing.hnsw_gb(3000, 32, links=16)),
        (IndexKind("ivfpq"), sizing.ivfpq_gb(3000, 32)),
    ):
        index = chooser._built(kind, rows, chooser.Space("m", "", "", 32))[0]
        rest = (
            256 * 32 * 4 / 2**20 if kind.name == "ivfpq" else 0.0
        )  # code words, the same however many rows
        assert said * 1024 == pytest.approx(index.size_mb - rest, rel=0.08)
    tool = sizing.SIZING_TOOL
    assert sizing.raw_gb(tool["rows"], tool["dimension"]) == pytest.approx(tool["raw_gb"], abs=0.1)
    assert faiss.IndexFlatIP(8).d == 8


def test_units_follow_from_published_capacities():
    table = sizing.sizing_table(768)
    assert table.loc["10,000,000", "units, performance-optimized"] == 7  # 10 / 1.5
    assert table.loc["100,000,000", "units, capacity-optimized"] == 20
    assert table.loc["100,000,000", "units, tiered storage"] == 5
    assert sizing.sizing_table(96).loc["10,000,000", "units, performance-optimized"] == 1
    with pytest.raises(ValueError, match="dimension 1"):
        sizing.sizing_table(1)


def test_figures_show_every_index_and_the_choice():
    codes = replace(made(0.4, 0.5), kind=IndexKind("ivfpq", rescored=0))
    graph = replace(made(0.95, 0.7), kind=IndexKind("hnsw"))
    own = [made(1.0, 2), graph, codes]
    figure = indexes.frontier_plot({"own": own, "random": own[:1]}, chosen=graph)
    titles = [ax.get_title() or ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["own: 100 rows", "random: 100 rows"]
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == ["flat, exact", "HNSW", "IVF-PQ, codes alone", "chosen"]
    with pytest.raises(ValueError, match="nothing was measured"):
        indexes.frontier_plot({"own": []})
    near = indexes.nearness_plot({"own": np.random.default_rng(0).uniform(size=(5, 30))})
    assert len(near.axes[0].patches) == 4
    about = {"lesson": "10", "run": "tiny", "data": "d", "seed": 1, "model": "m"}
    records = indexes.index_records(own, queries=7, **about)
    assert len({(r.model, r.metric) for r in records}) == len(records) == 12
    assert records[0].n == 7
    assert [r.unit for r in records[:4]] == ["fraction", "rows", "ms", "MiB"]
