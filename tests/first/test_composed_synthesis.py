"""Pretraining on written triplets: equal steps, shared starts, pools, parts, signatures."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from helpers.first.data.composed_sources import ComposedSource, open_composed
from helpers.first.studies import composed_synthesis as synthesis
from helpers.first.studies.composed import ComposedStudy
from helpers.first.studies.composed_texts import (
    Written,
    open_pool,
    part_of,
    texts_for,
    with_way_back,
    written,
)
from helpers.first.training.composed_features import ComposedFeatures
from helpers.first.training.composed_qformer import QformerTraining
from helpers.store.zones import open_zone
from tests.first.small_blip2 import small_blip2, small_states, small_triplets
from tests.first.small_composed import unit

TRAIN, VALIDATION, TEST, MADE = (
    small_triplets(n, prefix=p) for n, p in ((24, "a"), (20, "v"), (20, "e"), (16, "s"))
)


def features_of(triplets):
    """Random rows for every picture and text of a set."""
    rng = np.random.default_rng(len(triplets.gallery))
    images = unit(rng.normal(size=(len(triplets.gallery), 8)))
    texts = unit(rng.normal(size=(len(triplets.triplets), 8)))
    return ComposedFeatures(triplets, images, texts, triplets.triplets[0].pair_id)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    study = ComposedStudy(
        open_zone(str(tmp_path_factory.mktemp("lab"))), features_of(TRAIN),
        features_of(VALIDATION), {"test": features_of(TEST)}, seeds=(1,), rates=(1e-3,), steps=6,
        batch_size=8,
    )  # fmt: skip
    return synthesis.Lab(
        study, small_blip2(), small_states(TRAIN, VALIDATION, TEST, MADE), {"test": TEST}, 2,
        QformerTraining(steps=5, batch_size=6, looks=1), 2,
    )  # fmt: skip


MACHINE = Written("texts from pairs", MADE.triplets, features_of(MADE))


def test_pretraining_takes_steps_from_the_same_sum(lab):
    none = synthesis.run_any(lab, "TIRG")[0].arm
    after = synthesis.run_any(lab, "TIRG", synthetic=MACHINE)[0].arm
    assert none.pretraining is None
    assert after.training.steps + after.pretraining.steps == none.training.steps == 6


def test_a_qformer_starts_from_its_pretraining(lab, monkeypatch):
    seen = []

    def noted(zone, blip2, arm, *, train, start=None, **rest):
        seen.append((len(train), arm.training.steps, start))
        return f"run {len(seen)}"

    monkeypatch.setattr(synthesis, "ensure_qformer_run", noted)
    synthesis.run_any(lab, "SPRC")
    synthesis.run_any(lab, "SPRC", synthetic=MACHINE)
    assert seen == [(24, 5, None), (16, 2, None), (24, 3, "run 2")]


def test_one_hop_and_two_have_the_same_parameters(lab):
    one, two = (synthesis.run_any(lab, name)[0] for name in ("SPRC", "two-hop"))
    assert one.record["n_parameters"] == two.record["n_parameters"]
    assert (one.arm.hops, two.arm.hops) == (1, 2)
    assert two.arm.p2p_weight == 0.5
    swept = synthesis.run_qformer(lab, 2, p2p_weight=0.5)[0]
    assert swept.fingerprint == two.fingerprint  # the sweep does not train it again


def test_the_grid_has_both_ways_for_every_model_and_share(lab):
    shares = {"50 %": 12, "100 %": 24}
    grid = synthesis.pretraining_grid(lab, ["TIRG", "SPRC"], shares, MACHINE)
    assert set(grid) == {(m, s) for m in ("TIRG", "SPRC") for s in shares}
    for ways in grid.values():
        assert list(ways) == ["none", "pretrained"]
        assert all(run.ranks("test").shape == (20,) for runs in ways.values() for run in runs)
    assert grid["TIRG", "50 %"]["none"][0].arm.n_triplets == 12
    assert grid["TIRG", "100 %"]["none"][0].arm.n_triplets == 0  # all: the run that was there


def test_signatures_are_looked_for_in_texts_queries_and_hits(lab):
    hopped = {"two-hop": synthesis.run_any(lab, "two-hop")}
    grid = synthesis.pretraining_grid(lab, ["TIRG"], {"100 %": 24}, MACHINE)
    audit = pd.DataFrame({"text": ["on a red plate"] * 30, "hallucinated": [True] * 30})
    table = synthesis.signatures(lab, grid, hopped, {"generator": audit})
    assert table["signature"].tolist() == [
        "collapse of texts", "hallucination", "collapse of embeddings", "harmful pretraining",
    ]  # fmt: skip
    assert table["found"].tolist()[:2] == [True, True]
    assert table["of"].tolist()[2:] == ["two-hop", "TIRG, 100 %"]
    best = hopped["two-hop"][0].record["best_step"]
    assert f"kept: step {best} of 5; at the last step: not collapsed" in table["says"][2]
    unknown = synthesis.signatures(lab, {}, {}, {"generator": audit[["text"]]})
    assert unknown["signature"].tolist() == ["collapse of texts"]


def test_lines_follow_the_first_seed(lab):
    runs = {"a": synthesis.run_any(lab, "two-hop")}
    assert [step for step, _ in synthesis.spread_lines(runs)["a"]] == [1, 2, 3, 4, 5]
    assert [step for step, _ in synthesis.look_lines(runs)["a"]] == [0, 5]


def test_unknown_models_and_impossible_steps_are_refused(lab):
    with pytest.raises(ValueError, match="unknown model 'sum'"):
        synthesis.run_any(lab, "sum")
    for field, value in (("pretraining_steps", 6), ("qformer_pretraining_steps", 0)):
        with pytest.raises(ValueError, match="steps of pretraining out of"):
            replace(lab, **{field: value})


def test_shares_are_counted_in_triplets():
    assert synthesis.shares_of("1, 10,100", 50) == {"1 %": 2, "10 %": 5, "100 %": 50}
    with pytest.raises(ValueError, match="120 %"):
        synthesis.shares_of("120", 50)


def test_a_part_keeps_triplets_and_features_together():
    few, more = (part_of(MACHINE, n, seed=3) for n in (4, 9))
    assert {t.pair_id for t in few.triplets} < {t.pair_id for t in more.triplets}
    for i, triplet in enumerate(few.triplets):
        row = MACHINE.triplets.index(triplet)
        assert np.array_equal(few.features.texts[i], MACHINE.features.texts[row])


def test_a_pool_of_drawn_pictures_keeps_what_was_drawn():
    source = open_composed("world:kitchen", counts={"train": 3, "validation": 1, "test": 1})
    pool = open_pool(source, source.sets["train"].triplets[:2])
    assert len(pool.names) == 6
    assert pool.load_image(pool.names[0]) is source.load_image(pool.names[0])
    assert set(pool.categories) <= {
        source.truth.shown[name].attributes["dish"] for name in pool.names
    }


def test_a_pool_of_photographs_says_of_a_picture_what_leads_to_it():
    source = ComposedSource("clothes", {"train": TRAIN}, lambda name: None, lambda name: name)
    one = TRAIN.triplets[0]
    pool = open_pool(source, [one])
    assert pool.captions == {one.reference: ("a picture",), one.targets[0]: (one.caption,)}
    assert set(pool.categories) == {"clothes"}
    assert pool.fingerprint != open_pool(source, TRAIN.triplets[:2]).fingerprint


def speaking(write):
    """A writer whose generator sees a picture's place and says ``write`` of two of them."""
    return SimpleNamespace(
        generator=SimpleNamespace(
            see=lambda pictures: np.array([pictures]).T,
            write=lambda a, b: [write(i, j) for i, j in zip(a[:, 0], b[:, 0], strict=True)],
        )
    )


def test_a_way_back_is_written_where_there_is_none():
    source = ComposedSource("clothes", {"train": TRAIN}, lambda name: name, lambda name: name)
    there, *silent = TRAIN.triplets[:3]
    silent = [replace(one, reverse=" ") for one in silent]
    last = silent[-1].reference
    writer = speaking(lambda a, b: "" if b == last else f"{a} to {b}")
    full, says = with_way_back(writer, source, [there, *silent])
    assert full[0] == there
    assert full[1].reverse == f"{silent[0].targets[0]} to {silent[0].reference}"
    assert full[2].reverse == f"undo: {silent[1].caption}"
    assert [replace(one, reverse=" ") for one in full[1:]] == silent
    assert "for 2 of 3 triplets" in says
    assert with_way_back(None, source, [there]) == ((there,), "")


def test_a_lab_takes_the_same_triplets_with_their_way_back(lab):
    silent = [replace(one, reverse="back") for one in TRAIN.triplets]
    taught = synthesis.taught_by(lab, silent)
    assert taught.study.train.triplets.triplets == tuple(silent)
    assert np.array_equal(taught.study.train.texts, lab.study.train.texts)
    with pytest.raises(ValueError, match="in their order"):
        synthesis.taught_by(lab, silent[::-1])


def test_both_writers_describe_the_same_pairs():
    source = open_composed("world:kitchen", counts={"train": 1, "validation": 6, "test": 1})
    held = source.sets["validation"].triplets
    by_rule = texts_for(None, source, held)
    silent = SimpleNamespace(
        generator=SimpleNamespace(
            see=lambda pictures: np.arange(len(pictures))[:, None],
            write=lambda a, b: [f"from {i} to {j}" for i, j in zip(a[:, 0], b[:, 0], strict=True)],
        )
    )
    by_machine = texts_for(silent, source, held)
    assert by_rule["pair_id"].tolist() == by_machine["pair_id"].tolist()
    names = list(dict.fromkeys(n for t in held for n in (t.reference, t.targets[0])))
    first = held[0]
    wanted = f"from {names.index(first.reference)} to {names.index(first.targets[0])}"
    assert by_machine.loc[0, "text"] == wanted


def test_nothing_to_pretrain_on_is_refused():
    with pytest.raises(ValueError, match="1 triplets with texts are left"):
        written("texts", MADE.triplets[:1], None, None, None)
