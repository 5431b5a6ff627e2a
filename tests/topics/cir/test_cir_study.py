"""The studies of lessons 07 and 12: a tiny made-up design, and what the committed ones say."""

import numpy as np
import pandas as pd
import pytest

from helpers.study import UNTRAINED, Design, Study, judge
from helpers.topics.cir import queries, study
from helpers.topics.cir.composers import BASELINES, TRAINED
from tests.house import ROOT
from tests.recompute import collapsed, contrast, overlap

STEPS = {"share": 50, "steps": 2, "rate": 0.001}
FIRST = {"pretraining": "pairs", "pretraining_steps": 2}
WHOLE = {**STEPS, "share": 100}
DESIGNS = ("07_cir_synthesis", "12_two_hop_alignment")
NUMBERS = ("value", "low", "high", "p")
TINY = {
    "lesson": "07", "version": 1, "date": "2026-01-01", "question": "?",
    "base": {"tiny-siglip": "", "tiny-clip": ""},
    "data": {
        "train": {"source": "world:kitchen", "first": 50, "n": 12},
        "pool": {"source": "world:kitchen", "first": 100, "n": 40},
        "validation": {"source": "world:kitchen", "first": 500, "n": 6, "unlike": ["train"]},
        "test": {"source": "world:kitchen", "first": 900, "n": 16, "gallery": 8,
                 "unlike": ["train", "pool"]},
        "cars": {"source": "world:garage", "first": 0, "n": 8, "gallery": 4},
    },
    "settings": {"blip2": "tiny-blip2", "generator": "tiny-instructblip", "pairs": 80,
                 "per image": 4},
    "seeds": {"default": 1, **dict.fromkeys((*BASELINES, "image only, tiny-clip"), 0)},
    "arms": {
        **{name: {"model": name} for name in BASELINES},
        "image only, tiny-clip": {"model": "image only", "encoder": "tiny-clip"},
        "combiner, 50": {"model": "combiner", **STEPS, "wordings": True, "cars": True},
        "combiner, 50, pretrained": {"model": "combiner", **STEPS, **FIRST},
        "combiner, 50, captions": {"model": "combiner", **STEPS, **FIRST,
                                   "pretraining": "captions"},
        "combiner, 50, true": {"model": "combiner", **STEPS, **FIRST, "pretraining": "true"},
        "combiner, 50, images": {"model": "combiner", **STEPS, **FIRST, "pretraining": "images"},
        "two hops, pretrained": {"model": "two hops", **WHOLE, **FIRST},
        "loose": {"model": "two hops", **WHOLE, "p2p": 50, "detach": False, "keep": "last"},
    },
    "hypotheses": [
        {"name": "a", "says": "?", "test": "kitchen", "a": "combiner, 50", "b": "image only",
         "kind": "higher", "margin": 2.0, "gate": "above: combiner, 50 > image only"},
        {"name": "c", "says": "?", "test": "garage", "a": "combiner, 50", "b": "image only",
         "kind": "higher", "margin": 2.0},
        {"name": "METEOR", "says": "?", "test": "kitchen", "kind": "higher", "margin": 2.0,
         "frame": "texts"},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def design():
    return Design(**TINY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def measured(design, folder):
    return study.run_study(design, folder)


@pytest.mark.slow
def test_every_arm_ranks_the_same_queries(design, measured):
    assert set(measured.arms) == set(design.arms)
    kitchen = measured.ranks[measured.ranks["test"] == "kitchen"]
    assert set(kitchen.groupby("arm").size()) == {16}
    assert set(kitchen["gallery"]) == {0, 1}
    cars = measured.ranks[measured.ranks["test"] == "garage"]
    assert set(cars["arm"]) == {*BASELINES, "combiner, 50"}
    runs = measured.runs.set_index("arm")
    assert runs.filter(like="wording ").loc["combiner, 50"].notna().all()
    assert runs["composition gap"].notna().all()
    assert runs.loc["loose", "spread"] >= 0


@pytest.mark.slow
def test_texts_are_written_once_and_weights_are_shared(folder, measured):
    texts = measured.frames["texts"]
    assert set(texts["writer"]) == {"pairs", "captions"}
    assert texts.groupby("writer")["pair_id"].nunique().tolist() == [16, 16]
    assert texts.loc[texts["writer"] == "pairs", "agree"].notna().all()
    assert len(list((folder / "shared").glob("pretrained-*.safetensors"))) == 5
    assert not list((folder / "shared").glob("*.partial"))


@pytest.mark.slow
def test_hypotheses_of_one_direction_and_of_frames_are_judged(design, measured):
    judged = judge(measured, design, study.other_estimates(measured)).set_index("name")
    for name, h in zip(judged.index, TINY["hypotheses"], strict=True):
        if "frame" in h:
            again = overlap(measured.frames["texts"], name)
        else:
            weights = {h["a"]: 1.0, h["b"]: -1.0}
            again = contrast(measured.ranks, weights, h | {"metric": "hit@10"})
        found = judged.loc[name, "estimate"]
        assert [again[k] for k in NUMBERS] == pytest.approx([getattr(found, k) for k in NUMBERS])


@pytest.mark.slow
def test_a_finished_study_goes_on_and_one_of_another_design_is_refused(
    design, folder, measured, monkeypatch
):
    monkeypatch.setattr(study.Training, "train", None)
    again = study.run_study(design, folder)
    assert np.array_equal(again.ranks["rank"], measured.ranks["rank"])
    other = Design(**TINY | {"version": 2})
    with pytest.raises(ValueError, match="holds texts and weights of another design"):
        study.run_study(other, folder)


@pytest.mark.slow
def test_what_a_query_needs_is_read_from_all_untrained_arms(measured):
    assert set(study.need_labels(measured)) <= set(queries.NEEDS)
    table, _ = study.by_need(measured, arms=["image only", "combiner, 50"])
    assert table["queries"].iloc[1:].sum() == table["queries"].iloc[0] == 16


def test_an_arm_collapsed_below_a_spread():
    runs = pd.DataFrame({"arm": ["a"] * 10 + ["b"] * 10, "seed": [*range(10)] * 2,
                         "spread": [0.6] * 10 + [0.01] * 6 + [0.05] * 4})  # fmt: skip
    found = study.other_estimates(Study(pd.DataFrame(), runs))
    assert found["collapse, a"].value == -0.5
    assert found["collapse, b"].value == pytest.approx(0.1)
    assert found["collapse, a"].high == pytest.approx(0.3085 - 0.5, abs=1e-4)
    assert found["collapse, a"].p == pytest.approx(2 / 2**10)
    for arm in "ab":
        again, one = collapsed(runs, arm), found[f"collapse, {arm}"]
        assert [again[k] for k in NUMBERS] == pytest.approx([getattr(one, k) for k in NUMBERS])


@pytest.mark.parametrize("name", DESIGNS)
def test_a_design_says_what_it_cannot_decide_and_stays_in_its_range(name):
    one = Design.load(ROOT / "reports/study" / name)
    assert one.data["test"]["first"] >= 100_000 * int(one.lesson)
    assert one.data["test"]["n"] % one.data["test"]["gallery"] == 0
    for h in one.hypotheses:
        reach = max(h.margin, abs(h.reported or 0))
        assert h.planned <= reach or f"cannot decide {h.name}" in one.notes, h.name
    for arm, factors in one.arms.items():
        assert factors["model"] in (*BASELINES, *TRAINED, "SPRC", "two hops"), arm
        untrained = one.seeds_of(arm) == [UNTRAINED]
        assert untrained == (factors["model"] in BASELINES), arm
    shown = [arm for arm in study.SHOWN if one.lesson == "07"]
    assert set(shown) <= set(one.arms)
