"""The study of lesson 11 on a tiny made-up design: forms of one test, gates, what is recorded."""

import numpy as np
import pytest

from helpers.study import Design, judge
from helpers.topics.captions.cleaning import CrawledTexts
from helpers.topics.captions.glossary import Glossary
from helpers.topics.watermarks import study
from tests.house import ROOT

TINY = {
    "lesson": "11", "version": 1, "date": "2026-01-01", "question": "?",
    "base": {"tiny-siglip": ""},
    "data": {
        "kitchen": {"source": "world:kitchen", "first": 900, "n": 24, "gallery": 12,
                    "unlike": ["training"]},
        "training": {"source": "world:kitchen", "first": 0, "n": 16},
        "validation": {"source": "world:kitchen", "first": 500, "n": 8},
    },
    "settings": {
        "placement": {"rank": 2, "alpha": 4.0, "vision_layers": 1, "text_layers": 1,
                      "modules": "q_proj"},
        "batch_size": 16, "looks": [0, 0.5, 1], "watermarks": {"opacity": [0.5, 0.9]},
        "detector": {"recipes": 8},
    },
    "seeds": {"default": 1, "crawled": 0, "cleaned": 0, "clean": 0, "watermarked": 0,
              "repaired": 0},
    "arms": {
        "clean": {}, "crawled": {"captions": "crawled"}, "cleaned": {"captions": "cleaned"},
        "watermarked": {"images": "watermarked"}, "repaired": {"images": "repaired"},
        "trained": {"captions": "crawled", "images": "repaired", "steps": 2, "rate": 0.002},
    },
    "hypotheses": [
        {"name": "h", "says": "?", "test": "kitchen", "a": "cleaned", "b": "crawled",
         "kind": "higher", "margin": 2.0, "direction": "text_to_image"},
        {"name": "t", "says": "?", "test": "kitchen", "a": "trained", "b": "clean",
         "kind": "higher", "margin": 2.0, "gate": "above: trained > clean"},
    ],
}  # fmt: skip


@pytest.mark.slow
def test_the_study_runs_and_goes_on_from_what_it_has(tmp_path, monkeypatch):
    design, texts = Design(**TINY), CrawledTexts(Glossary())
    found = study.run_study(design, tmp_path / "runs", texts=texts)
    assert found.arms == list(TINY["arms"])
    wide = found.ranks.groupby(["arm", "direction"]).size().unstack()
    assert (wide.nunique() == 1).all()  # each form has the same queries
    judged = judge(found, design).set_index("name")
    crawled, cleaned = (found.estimate(a, test="kitchen").value for a in ("crawled", "cleaned"))
    assert cleaned > crawled
    assert judged.loc["t", "verdict"] == "not asked"
    assert set(found.frames["captions"]["outcome"]) <= {"clean", "flagged", "wrong"}
    masks = found.frames["masks"]
    assert len(masks) == wide["image_to_text"].iloc[0]
    assert masks["opacity"].between(0.5, 0.9).all()
    assert (masks["psnr, repaired, true masks"] > 0).all()
    assert study.outcomes_sentence(found).startswith("Captions of writer 0")
    assert set(found.frames["evaluations"]["arm"]) == {"clean", "trained"}
    monkeypatch.setattr(study.CleaningExperiment, "train", None)
    again = study.run_study(design, tmp_path / "runs", texts=texts)
    assert np.array_equal(again.ranks["rank"], found.ranks["rank"])


def test_the_design_names_what_its_arms_are_and_stays_in_its_range():
    design = Design.load(ROOT / "reports/study/11_cleaning")
    assert len(design.hypotheses) == 9
    data = design.data["kitchen"]
    assert data["first"] >= 1_100_000
    assert data["n"] % data["gallery"] == 0
    for factors in design.arms.values():
        assert factors.get("captions", "clean") in ("crawled", "cleaned", "clean")
        assert factors.get("images", "clean") in (
            study.WATERMARKED, study.REPAIRED, study.TRUE_MASKS, study.CLEAN,
        )  # fmt: skip
    trained = {arm for arm, factors in design.arms.items() if factors.get("steps")}
    assert all(design.seeds_of(arm) == [1, 2, 3, 4, 5] for arm in trained)
    assert all(design.seeds_of(arm) == [-1] for arm in set(design.arms) - trained)
    for h in design.hypotheses:
        reach = h.margin if h.kind == "same" else max(h.margin, abs(h.reported or 0))
        assert h.planned <= reach or f"cannot decide {h.name}" in design.notes.replace("\n", " ")
