"""Records of serving from the tables that they are read from."""

import pandas as pd
import pytest

from helpers.first.report.results import write_results
from helpers.first.report.serving_records import (
    drift_overview,
    drift_records,
    export_records,
    latency_records,
)

ABOUT = {"lesson": "10", "run": "tiny", "data": "d", "seed": 1}
TABLE = pd.DataFrame(
    [
        {"served by": name, "image_ms": ms, "text_ms": 1.0, "images_per_s": 50.0,
         "texts_per_s": 80.0, "size_mb": 4.0, "t2i n": 100, "i2t n": 80, "t2i gallery": 80,
         "i2t gallery": 100, "t2i chance": 0.1, "i2t chance": 0.2, "t2i hit@10": 0.5, "t2i lost": 0.01, "t2i low": -0.01,
         "t2i high": 0.03, "i2t hit@10": 0.7, "i2t lost": 0.0, "i2t low": -0.02, "i2t high": 0.02}
        for name, ms in (("torch", 9.0), ("ONNX int8", 3.0))
    ]
)  # fmt: skip
DELAYS = pd.DataFrame(
    [
        {"scenario": "broken camera", "detector": "mmd", "n": 20, "false_alarms": 0.05,
         "false_alarms_low": 0.01, "false_alarms_high": 0.24, "detected": 0.9,
         "detected_low": 0.7, "detected_high": 0.97, "delay_steps": 2.0, "delay_low": 1.0,
         "delay_high": 3.0, "right_cause": 0.75, "right_cause_low": 0.30, "right_cause_high": 0.95,
         "right_cause_n": 4},
        {"scenario": "nothing", "detector": "mmd", "n": 20, "false_alarms": 0.0,
         "false_alarms_low": 0.0, "false_alarms_high": 0.16},
    ]
)  # fmt: skip


def test_all_records_fit_one_file(tmp_path):
    records = [
        *latency_records({"search": (1.5, 20), "database": (2.5, 9)}, model="m", **ABOUT),
        *export_records(TABLE, model="m", **ABOUT),
        *drift_records(DELAYS, model="m", **ABOUT),
    ]
    write_results(tmp_path, records)  # refuses two of one name
    found = {(r.model, r.metric, r.direction): r for r in records}
    assert found["m", "latency: search", ""].value == 1.5
    assert found["m, ONNX int8", "image_ms", ""].value == 3
    lost = found["m, torch", "hit@10 lost", "text_to_image"]
    assert (lost.value, lost.low, lost.high, lost.n) == (0.01, -0.01, 0.03, 100)
    assert found["m", "broken camera, mmd: delay", ""].unit == "steps"
    right = found["m", "broken camera, mmd: right_cause", ""]
    assert (right.value, right.low, right.high, right.n) == (0.75, 0.30, 0.95, 4)
    assert found["m", "broken camera, mmd: detected", ""].n == 20
    assert ("m", "nothing, mmd: detected", "") not in found
    assert ("m", "broken camera, mmd: precision", "") not in found


def test_the_overview_has_a_row_for_each_scenario_and_detector():
    records = drift_records(DELAYS, model="m", **ABOUT)
    table = drift_overview([*records, *latency_records({"x": (1, 1)}, model="m", **ABOUT)])
    assert table["scenario, detector"].tolist() == ["broken camera, mmd", "nothing, mmd"]
    assert table["detected"].tolist() == ["0.90 [0.70, 0.97]", ""]
    assert table["delay"].tolist() == ["2.00 [1.00, 3.00]", ""]
    assert table["right_cause"].tolist() == ["0.75 [0.30, 0.95]", ""]
    assert table["streams"].tolist() == [20, 20]
    assert table["alarms judged"].tolist() == ["4", ""]


def test_a_speed_rests_on_its_repeats_and_a_size_on_none():
    timed = export_records(TABLE, model="m", repeats=7, **ABOUT)
    found = {r.metric: (r.n, r.unit) for r in timed if r.direction != "image_to_text"}
    assert {r.n for r in timed if r.direction == "image_to_text"} == {80}
    assert found == {
        "image_ms": (7, "ms"), "text_ms": (7, "ms"), "images_per_s": (7, "images/s"),
        "texts_per_s": (7, "texts/s"), "size_mb": (0, "MiB"),
        "hit@10": (100, "fraction"), "hit@10 lost": (100, "fraction"),
    }  # fmt: skip
    unknown = export_records(TABLE, model="m", **ABOUT)
    assert {r.n for r in unknown if r.metric == "image_ms"} == {0}


def test_a_table_without_its_columns_is_an_error():
    with pytest.raises(KeyError, match="served by"):
        export_records(TABLE.drop(columns="served by"), model="m", **ABOUT)
