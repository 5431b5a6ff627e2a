"""Lesson 10: codes against plain counts, nested lengths, exported towers, work, a tiny study."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from helpers.data.sets import RetrievalSet
from helpers.evaluation.ranking import rank_both_directions
from helpers.store.credentials import AccessError
from helpers.study import Design, Study
from helpers.topics.serving import codes, effects, matryoshka, onnx, study
from tests.small_models import small_encoder


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def embedded(n_items: int = 30, *, d: int = 24, seed: int = 0, gap: float = 0.0):
    """Two images and two captions an item; ``gap`` moves images and captions apart."""
    rng = np.random.default_rng(seed)
    center = rng.normal(size=(n_items, d))
    shift = gap * rng.normal(size=d)
    images, texts = (
        unit(np.repeat(center, 2, 0) + 0.5 * rng.normal(size=(2 * n_items, d)) + sign * shift)
        for sign in (1, -1)
    )
    items = np.repeat([f"r{i:03d}" for i in range(n_items)], 2)
    data = RetrievalSet([None] * 2 * n_items, items, ["c"] * 2 * n_items, items, "made up")
    return matryoshka.Embedded(data, images, texts)


def test_signs_agree_as_packed_bits_do():
    rng = np.random.default_rng(1)
    queries, gallery = rng.normal(size=(5, 19)), rng.normal(size=(7, 19))
    apart = np.bitwise_count(codes.bits(queries)[:, None] ^ codes.bits(gallery)).sum(axis=2)
    assert np.array_equal(codes.agreement(queries, gallery), 19 - 2 * apart.astype(float))


def test_int8_is_near_and_one_byte_is_enough():
    data = embedded()
    fitted = codes.Codes.fit(data.images, data.texts, dimensions=8)
    whole = np.round(data.images / fitted.step)
    assert np.abs(whole).max() <= 127
    exact = data.texts @ data.images.T
    found = fitted.int8("text_to_image", data.texts, data.images)
    assert found == pytest.approx(exact, abs=0.02)
    assert not np.array_equal(found, exact)


def test_centering_takes_the_mean_of_each_modality():
    data = embedded(gap=3.0)
    fitted = codes.Codes.fit(data.images, data.texts, dimensions=8)
    q, g = fitted.centered("image_to_text", data.images, data.texts)
    assert q.mean(axis=0) == pytest.approx(0, abs=1e-5)
    assert g.mean(axis=0) == pytest.approx(0, abs=1e-5)
    rank = {
        name: rank_both_directions(data.images, data.texts, data.data, score)["rank"].mean()
        for name, score in {"zero": codes.binary_at_zero, "own": fitted.binary}.items()
    }
    assert rank["own"] < rank["zero"] / 2  # beyond the gap a sign says little


def test_pca_with_all_directions_is_the_centered_cosine():
    data = embedded()
    fitted = codes.Codes.fit(data.images, data.texts, dimensions=24)
    for way, sides in {
        "text_to_image": (data.texts, data.images),
        "image_to_text": (data.images, data.texts),
    }.items():
        whole = fitted.centered_cosine(way, *sides)
        assert fitted.pca(way, *sides) == pytest.approx(whole, abs=1e-5)
    few = codes.Codes.fit(data.images, data.texts, dimensions=3)
    assert few.axes.shape == (24, 3)


def test_rescored_candidates_stand_first_in_exact_order():
    rng = np.random.default_rng(2)
    queries, gallery = unit(rng.normal(size=(4, 8))), unit(rng.normal(size=(30, 8)))
    rough = rng.normal(size=(4, 30)) * 5
    found = codes.rescored(lambda *_: rough, 6)("text_to_image", queries, gallery)
    for row, scores, exact in zip(found, rough, queries @ gallery.T, strict=True):
        best = np.argsort(-scores)[:6]
        assert set(np.argsort(-row)[:6]) == set(best)
        assert row[best] == pytest.approx(exact[best])
        rest = np.argsort(-scores)[6:]
        assert np.array_equal(np.argsort(-row)[6:], rest)
    logits = 20 * rng.normal(size=(4, 30))
    found = codes.rescored(codes.cosine, 6, lambda *_: logits)("", queries, gallery)
    for row, first, second in zip(found, queries @ gallery.T, logits, strict=True):
        best = np.argsort(-first)[:6]
        assert np.argsort(-row)[:6].tolist() == best[np.argsort(-second[best])].tolist()
    whole = codes.rescored(lambda *_: rough, 99)("text_to_image", queries, gallery)
    assert whole == pytest.approx(queries @ gallery.T, abs=1e-6)


def test_rabitq_estimates_the_cosine_without_bias():
    rng = np.random.default_rng(3)
    gallery, queries = unit(rng.normal(size=(500, 64))), unit(rng.normal(size=(6, 64)))
    found, exact = codes.rabitq("text_to_image", queries, gallery), queries @ gallery.T
    assert found.shape == exact.shape
    assert (found - exact).mean() == pytest.approx(0, abs=0.01)
    assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.7


def test_what_a_row_takes():
    stored = codes.bytes_per_row(96, kept=32)
    assert stored["float32"] == 32 * stored["binary"] == 384
    assert (stored["int8"], stored["first 32"], stored["RaBitQ, rescored"]) == (96, 128, 20)


def test_a_mixed_gallery_leaves_captions_of_the_own_item_out():
    items = np.array(["a", "b"])
    data = RetrievalSet([None] * 2, items, ["x", "y", "z"], np.array(["a", "b", "a"]))
    #                  images     captions
    scores = np.array([[0.5, 0.6, 0.9, 0.4, 0.8], [0.1, 0.7, 0.2, 0.9, 0.1], [0.3, 0, 0.9, 0.2, 1]])
    found = codes.mixed_ranks(scores, data)
    assert found["rank"].tolist() == [2, 1, 1]
    assert found["gallery_size"].tolist() == [3, 4, 3]
    assert found["positives"].tolist() == [1, 1, 1]
    assert scores[0, 2] == 0.9  # the scores are not changed


def test_the_nested_loss_is_the_mean_of_the_lengths():
    data = embedded(8)
    maps, rng = matryoshka.Maps(24, 10.0), np.random.default_rng
    parts = [matryoshka.nested_loss(maps, data, 8, rng(0), dims=[n]) for n in (4, 24)]
    both = matryoshka.nested_loss(maps, data, 8, rng(0), dims=[4, 24])
    assert both.item() == pytest.approx(torch.stack(parts).mean().item())


def test_untrained_maps_are_the_first_numbers():
    data = embedded()
    by_map = matryoshka.ranks_of(matryoshka.Maps(24, 10.0), data, 6)
    plain = rank_both_directions(data.images, data.texts, data.data, codes.first(6))
    assert by_map["rank"].tolist() == plain["rank"].tolist()
    assert data.chance == pytest.approx(1 - 50 * 49 / (60 * 59))  # two of sixty, ten drawn


def test_training_for_nested_lengths_helps_the_first_numbers():
    data, held = embedded(60, seed=1), embedded(60, seed=2)
    options = {"shown": 4, "logit_scale": 10.0, "steps": 40, "learning_rate": 0.02, "seed": 1,
               "batch_size": 32}  # fmt: skip
    found = {name: matryoshka.train(data, held, dims=dims, **options)[1].evaluations["score"]
             for name, dims in {"nested": [4, 24], "plain": [24]}.items()}  # fmt: skip
    again = matryoshka.train(data, held, dims=[4, 24], **options)[1].evaluations["score"]
    assert found["nested"].iloc[-1] > found["plain"].iloc[-1]
    assert found["nested"].tolist() == again.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_an_exported_tower_is_the_encoder_and_its_int8_version_is_near(kind):
    encoder = small_encoder(kind)
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (20, 16, 3), dtype=np.uint8)) for _ in range(5)]
    graph = onnx.vision_graph(encoder)
    assert b"/helpers/" not in graph  # no path of this machine
    wanted = encoder.images(images)
    exact = onnx.embed(onnx.session(graph, threads=1), encoder, images, batch_size=2)
    assert exact == pytest.approx(wanted, abs=1e-5)
    near = onnx.embed(onnx.session(onnx.quantized(graph), threads=1), encoder, images)
    assert (near * wanted).sum(axis=1).min() > 0.98
    assert not np.array_equal(near, wanted)


def test_work_is_counted_and_all_cells_are_exact():
    rng = np.random.default_rng(0)
    rows = unit(rng.normal(size=(300, 8)))
    found = effects.measure(
        {"rows": (rows, rows[:20])},
        {"IVF10,Flat": ("nprobe", (1, 10)), "HNSW8,Flat": ("efSearch", (10, 200))},
    )
    assert (found[["index", "share", "recall"]].iloc[0] == [effects.EXACT, 1, 1]).all()
    ivf, hnsw = (found[found["index"] == name] for name in ("IVF10", "HNSW8"))
    assert ivf["share"].iloc[1] == pytest.approx((300 + 10) / 300)
    assert ivf["recall"].iloc[1] == 1
    assert ivf["recall"].iloc[0] < 1
    assert hnsw["share"].iloc[0] < hnsw["share"].iloc[1]
    figure, table, said, easiest = effects.work(found, recall=0.9, heading="How much?")
    assert len(figure.axes) == 2
    assert easiest == "rows"
    assert "IVF10, rows: " in said
    _, none, said, easiest = effects.work(found.assign(recall=0.1), recall=0.9, heading="")
    assert (easiest, none["setting"].tolist()) == (effects.NEVER, [effects.NEVER] * 3)
    assert len(table) == 3


def test_the_table_of_probes_counts_centers():
    rows = unit(np.random.default_rng(0).normal(size=(40, 4)))

    def everything(query, probes):
        return np.argsort(-(rows @ query))[:10], 40

    table, said = effects.probes_table(everything, rows[:5], rows, 3)
    assert set(table["rows and centers compared"]) == {"43"}
    assert said.endswith("finds 100.0% of the ten nearest.")


def test_a_lost_row_is_counted_while_others_change():
    rows = unit(np.random.default_rng(0).normal(size=(6, 4)))

    def search(row):
        return 0.5 if np.array_equal(row, rows[:1]) else 1.0

    searches, missed = effects.search_meanwhile(search, rows, lambda: None)
    assert searches >= 1
    assert missed >= 1  # the first row is searched first
    _, missed = effects.search_meanwhile(lambda row: 1.0, rows, lambda: None)
    assert missed == 0
    with pytest.raises(RuntimeError, match="no room"):
        effects.search_meanwhile(lambda row: 1.0, rows, lambda: (_ for _ in ()).throw(
            RuntimeError("no room")))  # fmt: skip


def test_a_token_goes_to_an_address_alone(monkeypatch):
    """Fault 8: an address holds no password, and a file gets no token."""
    monkeypatch.setenv("MILVUS_TOKEN", "root:topsecret")
    assert effects.token("") == effects.token("here.db") == {}
    assert str(effects.token("http://127.0.0.1:9")["token"]) == "root:topsecret"
    with pytest.raises(AccessError, match="MILVUS_TOKEN") as seen:
        effects.token("http://root:topsecret@127.0.0.1:9")
    assert "topsecret" not in str(seen.value)


def test_codes_in_words():
    data = embedded(40)
    live = Study.of({
        "float32": rank_both_directions(data.images, data.texts, data.data),
        "first 2": rank_both_directions(data.images, data.texts, data.data, codes.first(2)),
    }, test="t")  # fmt: skip
    table = effects.codes_table(live, {"float32": 96, "first 2": 8, "other": 1}, test="t")
    assert table["arm"].tolist() == ["first 2, 8 bytes (1/12)"]
    said, worst = effects.codes_sentence(table, live, test="t")
    assert worst == "first 2"
    assert "by chance" in said
    few = embedded(3)
    live = Study.of({n: rank_both_directions(few.images, few.texts, few.data)
                     for n in ("float32", "first 2")}, test="t")  # fmt: skip
    table = effects.codes_table(live, {"float32": 96, "first 2": 8}, test="t")
    assert effects.codes_sentence(table, live, test="t") == ("hit@10 is n/a (gallery has 6).", "")


def test_a_reranking_in_words(monkeypatch):
    data = embedded(40)
    arms = ("first stage", "second alone", "reranked by both")
    scores = dict(zip(arms, (codes.first(1), codes.cosine, codes.cosine), strict=True))
    live = Study.of({name: rank_both_directions(data.images, data.texts, data.data, score)
                     for name, score in scores.items()}, test="t")  # fmt: skip
    seconds = {"first": np.array([0.002, 0.004, 0.003]), "second": np.array([0.001])}
    monkeypatch.setattr(effects, "seconds_in_turns", lambda works, rounds: works)
    table, said, best = effects.reranking(live, seconds, top=9)
    assert table["ms a query, text"].tolist() == ["3.0", "not measured", "4.0"]
    assert best == "second alone"
    assert said.startswith("Reranking the best 9 by both models changes hit@10 by +")
    few = embedded(3)
    live = Study.of({name: rank_both_directions(few.images, few.texts, few.data, score)
                     for name, score in scores.items()}, test="t")  # fmt: skip
    assert "(n/a (gallery has 6))" in effects.reranking(live, seconds, top=9)[1]
    assert "(a gain), for 1.0 ms a query beside 3.0 ms" in said


DESIGN = {
    "lesson": "10", "version": 1, "date": "2026-01-01", "question": "Does it run?",
    "base": {"tiny-siglip": ""},
    "data": {
        "kitchen": {"source": "world:kitchen", "first": 1000000, "n": 8, "gallery": 4},
        "training": {"source": "world:kitchen", "first": 0, "n": 8},
        "validation": {"source": "world:kitchen", "first": 5000, "n": 8, "gallery": 4},
    },
    "settings": {"kept": 32, "steps": 4, "rate": 0.003, "batch size": 8},
    "seeds": {"default": 0, "Matryoshka": 2},
    "arms": {
        "float32": {}, "int8": {"code": "int8"}, "RaBitQ": {"code": "RaBitQ", "rescored": 2},
        "ONNX int8": {"tower": "onnx int8"}, "Matryoshka": {"dims": [32, 96], "kept": 32},
    },
    "hypotheses": [{"name": "h", "says": "s", "test": "kitchen", "a": "int8", "b": "float32",
                    "kind": "same", "margin": 1, "metric": "mrr"}],
}  # fmt: skip


@pytest.mark.slow
def test_a_tiny_design_runs_and_goes_on_from_what_is_done(tmp_path, monkeypatch):
    found = study.run_study(Design(**DESIGN), tmp_path)
    assert found.arms == list(DESIGN["arms"])
    assert found.seeds("Matryoshka") == [1, 2]
    assert found.seeds("int8") == []
    assert set(found.frames) == {"evaluations"}
    runs = found.runs.set_index("arm")
    assert runs.loc["ONNX int8", "lowest cosine"] > 0.999
    assert found.estimate({"ONNX int8": 1, "float32": -1}, metric="mrr", test="kitchen").n > 20
    monkeypatch.setattr(study.Serving, "train", lambda *_, **__: pytest.fail("measured again"))
    again = study.run_study(Design(**DESIGN), tmp_path)
    pd.testing.assert_frame_equal(again.ranks, found.ranks)
