"""A lesson's bookkeeping: what is shown is saved, what is found is listed, records are whole."""

import json
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from helpers.data.sets import RetrievalSet
from helpers.evaluation.stats import Estimate
from helpers.report import results, tables
from helpers.report.results import Lesson, record, save_experiment
from helpers.store.zones import open_zone
from helpers.study import Study


@pytest.fixture
def lesson(tmp_path) -> Lesson:
    return Lesson("03_baseline_eval", tmp_path, 42, "tiny-siglip")


def small_ranks(rank: float, gallery_size: int = 20) -> pd.DataFrame:
    parts = []
    for direction in ("text_to_image", "image_to_text"):
        known = {"direction": direction, "query": range(3), "group": ["a", "b", "c"]}
        sizes = {"gallery": 0, "gallery_size": gallery_size, "positives": 1}
        parts.append(pd.DataFrame(known | sizes | {"rank": [rank, 1.0, 12.0]}))
    return pd.concat(parts)


def small_set() -> RetrievalSet:
    items = np.array(["a", "b", "c"])
    return RetrievalSet([None] * 3, items, ["x", "y", "z"], items, "drawn")


def test_a_figure_and_a_table_are_saved_with_what_was_found(lesson, capsys):
    lesson.show("curve", plt.figure(), "The loss falls to 1.23.", "Look right.")
    lesson.show("numbers", pd.DataFrame({"a": [1, 2]}))
    assert (lesson.folder / "figures" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert (lesson.folder / "tables" / "numbers.csv").read_text().split() == ["a", "1", "2"]
    assert lesson.found == {"curve": "The loss falls to 1.23."}


@pytest.mark.parametrize("name", ["", "../up", "a b", "x.png"])
def test_a_name_that_is_no_file_name_is_refused(lesson, name):
    with pytest.raises(ValueError, match="no name of a figure"):
        lesson.show(name, pd.DataFrame({"a": [1]}))


def test_results_hold_every_metric_in_both_directions(lesson, capsys):
    study = Study.of({"zero-shot": small_ranks(2)}, test="test")
    cost = {"metric": "images embedded", "value": 3.0, "unit": "images/s", "n": 5}
    lesson.finish(study, data="drawn", run="tiny", costs=[cost])
    records = json.loads((lesson.folder / "results.json").read_text())
    assert len(records) == 2 * len(tables.METRICS) + 1
    hits = {(r["direction"], r["metric"]): r for r in records}
    assert hits["text_to_image", "hit@1"]["value"] == pytest.approx(1 / 3)
    assert hits["text_to_image", "hit@1"]["n"] == 3
    assert hits["", "images embedded"]["unit"] == "images/s"


def test_a_metric_without_meaning_is_null_with_the_reason(lesson, capsys):
    study = Study.of({"zero-shot": small_ranks(2, gallery_size=6)}, test="test")
    lesson.finish(study)
    records = json.loads((lesson.folder / "results.json").read_text())
    hit10 = next(r for r in records if r["metric"] == "hit@10")
    assert hit10["value"] is None
    assert (hit10["flag"], hit10["reason"]) == ("n/a", "gallery has 6")


def test_a_record_of_an_estimate_that_is_missing():
    about = dict.fromkeys(("lesson", "run", "model", "data", "split", "direction"), "")
    missing = Estimate(math.nan, math.nan, math.nan, missing="n/a (gallery has 3)")
    found = record(**about, metric="hit@10", estimate=missing)
    assert (found["value"], found["flag"], found["reason"]) == (None, "n/a", "gallery has 3")


def test_an_experiment_lies_in_the_zone(tmp_path):
    zone = open_zone(str(tmp_path / "zone"))
    live = Study.of({"zero-shot": small_ranks(1)}, test="test")
    scores = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.5, 0.4, 0.3]])
    save_experiment(
        zone, "baseline", live, small_set(), scores, about={"model": "m"}, more={"a.txt": "b"}
    )
    folder = "fine-tuning-zone/experiments/baseline"
    examples = json.loads(zone.read_text(f"{folder}/examples_top5.json"))
    assert examples[0]["images"][0] == {"image": "0", "item": "a", "similarity": 0.9}
    assert zone.read_text(f"{folder}/a.txt") == "b"
    assert (
        json.loads(zone.read_text(f"{folder}/results_baseline.json"))["results"][0]["model"] == "m"
    )


def values(tmp_path, **given):
    return {"source": "world:kitchen", "zone": "", "report": str(tmp_path), "model": "tiny-siglip",
            "max_recipes": 0, "seed": 42, "device": "cpu", "precision": "fp32", "batch_size": 8,
            "run_study": False} | given  # fmt: skip


def test_a_tiny_model_on_images_of_ones_own_is_said_with_the_command(tmp_path, capsys):
    table = tmp_path / "captions.csv"
    table.write_text("image,caption\n")
    results.begin("03_baseline_eval", values(tmp_path, source=str(table)))
    out = capsys.readouterr().out
    assert "These numbers mean nothing for photographs" in out
    assert "model=openai/clip-vit-base-patch32" in out


def test_a_drawn_source_gets_no_such_word_and_hears_the_finding(tmp_path, capsys):
    results.begin("03_baseline_eval", values(tmp_path))
    out = capsys.readouterr().out
    assert "mean nothing" not in out
    assert "Finding" in out


def test_a_lesson_without_a_design_has_no_finding_to_say(tmp_path, capsys):
    Lesson("01_data_prep", tmp_path, 42).answer()
    assert capsys.readouterr().out == ""


def test_values_are_brought_to_their_types(tmp_path, capsys):
    given = values(tmp_path, max_recipes="40", seed="7")
    lesson = results.begin("03_baseline_eval", given)
    assert (given["max_recipes"], lesson.seed) == (40, 7)


def test_a_prediction_is_answered_by_what_came_out():
    assert results.answered(..., 3) == ""
    assert results.answered("Yes", "yes") == " You predicted 'Yes': right."
    assert results.answered(2, 3) == " You predicted 2: it is 3."
    assert results.answered(0.52, 0.5, within=0.05) == " You predicted 0.52: right."
    assert results.answered(0.6, 0.5, within=0.05) == " You predicted 0.6: it is 0.5."
