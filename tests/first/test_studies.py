"""Comparisons as records and back; the committed records of a study."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from helpers import paths
from helpers.first.evaluation.chance import Gallery, gallery_of
from helpers.first.evaluation.comparison import holm, paired_comparison
from helpers.first.report.results import Record, read_results, write_results
from helpers.first.report.studies import (
    FROZEN,
    against,
    beside_reported,
    comparison_records,
    comparison_table,
    comparisons_of,
    mean_table,
    study_records,
    value_records,
)

ABOUT = {"lesson": "04", "run": "study", "data": "kitchen"}
RNG = np.random.default_rng(0)
GROUPS = [f"r{i // 3}" for i in range(300)]
GALLERY = gallery_of(GROUPS, GROUPS)
BASE = (RNG.random(300) < 0.5).astype(float)
GOOD = np.maximum(BASE, RNG.random(300) < 0.3)
SAME = np.where(RNG.random(300) < 0.02, 1 - BASE, BASE)


def records_of(*models: str) -> list[Record]:
    values = {"good": GOOD, "same": SAME}
    return [
        record
        for way in ("text_to_image", "image_to_text")
        for model in models
        for record in comparison_records(
            paired_comparison(values[model], BASE, GROUPS),
            metric="hit@10", than="M0", model=model, direction=way, **ABOUT,
        )
    ]  # fmt: skip


def test_a_comparison_survives_the_file(tmp_path):
    records = read_results(write_results(tmp_path, records_of("good", "same")))
    found = comparisons_of(records)
    truth = paired_comparison(GOOD, BASE, GROUPS)
    good = found["text_to_image"]["good"]
    assert (good.difference, good.low, good.high) == (truth.difference, truth.low, truth.high)
    assert good.verdict == "better"
    assert found["image_to_text"]["same"].verdict == "not distinguishable"


def test_p_values_are_corrected_over_all_that_is_shown():
    records = records_of("good", "same")
    raw = [r.value for r in records if r.unit == "p"]
    shown = [c.p_value for by in comparisons_of(records).values() for c in by.values()]
    assert shown == pytest.approx(list(holm(raw)))
    assert max(shown) >= max(raw)


def test_a_difference_without_its_p_value_and_two_metrics_at_once_are_refused():
    records = records_of("good")
    with pytest.raises(ValueError, match="no p-value"):
        comparisons_of([r for r in records if r.unit != "p"])
    other = comparison_records(
        paired_comparison(GOOD, BASE, GROUPS),
        metric="hit@1", than="M0", model="good", direction="text_to_image", **ABOUT,
    )  # fmt: skip
    with pytest.raises(ValueError, match="several kinds"):
        comparisons_of(records + other)


def test_tables_say_points_and_verdicts():
    table = comparison_table(records_of("good"))
    assert table["verdict"].tolist() == ["better", "better"]
    points = 100 * float((GOOD - BASE).mean())
    assert table["difference, points"][0].startswith(f"{points:+.1f} [")
    assert comparison_table([]).empty
    record = Record(
        **ABOUT, model="M0", split="test", direction="text_to_image", metric="mrr", value=0.5
    )
    assert mean_table([record], "mrr").to_dict("records") == [
        {"model": "M0", "mrr, text to image": "0.500"}
    ]


def test_an_interval_that_bounds_nothing_is_left_out():
    c = paired_comparison(BASE, BASE, GROUPS)
    open_ended = type(c)(**{**vars(c), "low": math.nan, "high": math.nan})
    [difference, _] = comparison_records(
        open_ended, metric="hit@1", than="M0", model="m", direction="", **ABOUT
    )
    assert difference.low is None


def test_study_records_come_from_the_committed_folder(home):
    assert study_records("04_lora_finetune") == []
    records = records_of("good")
    write_results(home / "reports" / "study" / "04_lora_finetune", records)
    assert study_records("04_lora_finetune") == records


@pytest.mark.parametrize(
    ("data", "inputs", "said"),
    [
        ("world:kitchen, captions", {}, "first edition of world:kitchen,"),
        ("world:garage", {"model": "a"}, "first edition of world:garage,"),
        ("world:kitchen", {FROZEN: "a"}, ""),
        ("world:general", {}, ""),
        ("recipes.jsonl", {}, ""),
    ],
)
def test_records_made_before_captions_changed_say_so(home, capsys, data, inputs, said):
    folder = home / "reports" / "study" / "04_lora_finetune"
    write_results(folder, [replace(r, data=data) for r in records_of("good")])
    (folder / "run.json").write_text(json.dumps({"fingerprint": {"inputs": inputs}}))
    assert study_records("04_lora_finetune")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == bool(said)
    assert said in "".join(lines)


@pytest.mark.parametrize(
    "lesson", sorted(path.parent.name for path in (paths.reports() / "study").glob("*/run.json"))
)
def test_every_committed_study_says_at_most_one_thing_before_it_is_shown(lesson, capsys):
    assert study_records(lesson)
    assert len(capsys.readouterr().out.splitlines()) <= 1


def test_values_and_comparisons_of_several_models_at_once():
    values = {"M0": BASE, "good": GOOD, "same": SAME}
    about = {**ABOUT, "direction": "text_to_image"}
    means = value_records(values, "hit@10", GROUPS, gallery=GALLERY, **about)
    assert [(r.model, r.value) for r in means] == [(n, float(v.mean())) for n, v in values.items()]
    assert all(r.low < r.value < r.high and r.n == 300 for r in means)
    measured = against(values, "M0", "hit@10", GROUPS, gallery=GALLERY, **about)
    assert {r.model for r in measured} == {"good", "same"}
    one = paired_comparison(GOOD, BASE, GROUPS)
    by_hand = comparison_records(one, metric="hit@10", than="M0", model="good", **about)
    assert measured[:2] == by_hand
    assert against({"M0": BASE}, "M0", "hit@10", GROUPS, gallery=GALLERY, **about) == []


def test_a_gallery_that_fixes_the_metric_leaves_no_value_and_no_test(tmp_path):
    about = {**ABOUT, "direction": "text_to_image"}
    values = {"M0": BASE, "good": GOOD}
    asked = {"gallery": Gallery(10, np.ones(300, int)), **about}
    made = value_records(values, "hit@10", GROUPS, **asked)
    made += against(values, "M0", "hit@10", GROUPS, **asked)
    back = read_results(write_results(tmp_path, made))
    assert [(r.metric, r.value, r.flag) for r in back] == [
        ("hit@10", None, "n/a"), ("hit@10", None, "n/a"), ("hit@10 minus M0", None, "n/a"),
    ]  # fmt: skip
    assert {r.reason for r in back} == {"gallery has 10"}
    row = comparison_table(back).iloc[0]
    assert row["difference, points"] == row["verdict"] == "n/a (gallery has 10)"
    assert mean_table(back, "hit@10").iloc[0]["hit@10, text to image"] == "n/a (gallery has 10)"
    tested = value_records(values, "hit@5", GROUPS, **asked)
    assert [r.chance for r in tested] == [0.5, 0.5]


def test_reported_numbers_stand_beside_measured_ones():
    made = value_records(
        {"M0": BASE, "M1": GOOD}, "hit@1", GROUPS, gallery=GALLERY, direction="text_to_image",
        **ABOUT,
    )  # fmt: skip
    table = beside_reported(made, {"text_to_image": {"hit@1": (0.574, 0.593)}}, ("M0", "M1"))
    row = table.iloc[0]
    assert (row["M0, reported"], row["M1, reported"]) == ("0.574", "0.593")
    assert row["M1, here"].startswith(f"{GOOD.mean():.3f} [")
    assert row["chance, here"] == pytest.approx(3 / 300)
