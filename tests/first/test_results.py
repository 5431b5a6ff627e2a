"""Records: checked, written whole and in order, read back the same, tabulated readably."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.report.results import (
    _IDENTITY,
    COLUMNS,
    OPTIONAL,
    Record,
    read_results,
    results_table,
    write_results,
)

RECORD = Record(
    "03", "tiny", "tiny-clip", "kitchen", "test", "text_to_image", "hit@1", 0.5, 0.4, 0.6, 54
)


def test_columns_are_those_of_the_contract():
    contract = "lesson, run, model, data, split, direction, metric, value, low, high, n, seed, unit"
    added = "chance, flag, low_flag, high_flag, reason"
    assert (*contract.split(", "), *added.split(", ")) == COLUMNS


def test_a_round_trip_keeps_every_record(tmp_path):
    other = replace(RECORD, metric="median rank", value=3.0, low=None, high=None, unit="rank")
    path = write_results(tmp_path / "new", [RECORD, other])
    assert path == tmp_path / "new" / "results.json"
    assert read_results(path) == read_results(path.parent) == [RECORD, other]
    assert list(json.loads(path.read_text())[0]) == [c for c in COLUMNS if c not in OPTIONAL]


def test_no_record_is_an_empty_list(tmp_path):
    assert read_results(write_results(tmp_path, [])) == []


def test_records_keep_the_order_that_a_lesson_gives(tmp_path):
    records = [replace(RECORD, metric=m, seed=s) for m in ("MRR", "hit@1") for s in (10, 2)]
    assert read_results(write_results(tmp_path, records)) == records
    assert read_results(write_results(tmp_path, records[::-1])) == records[::-1]


def test_numpy_numbers_become_plain_ones(tmp_path):
    record = replace(RECORD, value=np.float32(0.5), n=np.int64(54), low=np.float64(0.4))
    [back] = read_results(write_results(tmp_path, [record]))
    assert back == RECORD
    assert type(back.n) is int


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"value": math.nan}, "value is nan"),
        ({"value": math.inf, "low": None, "high": None}, "value is inf"),
        ({"value": None, "low": None, "high": None}, "value is None"),
        ({"value": True}, "value is True"),
        ({"value": "0.5"}, "value is '0.5'"),
        ({"low": math.nan}, "low is nan"),
        ({"low": None}, "give both"),
        ({"low": 0.51}, "outside its interval"),
        ({"high": 0.49}, "outside its interval"),
        ({"direction": "text to image"}, "direction 'text to image'"),
        ({"n": 1.5}, "n is 1.5"),
        ({"n": -1}, "n is -1"),
        ({"seed": None}, "seed is None"),
        ({"metric": ""}, "no name"),
        ({"flag": "n/a"}, "beside 0.5"),
        ({"value": None, "flag": "lost"}, "flag is 'lost'"),
        ({"value": None, "flag": "n/a", "low": None, "high": None}, "has a reason"),
        ({"value": None, "flag": "n/a", "reason": "gallery has 6"}, "no interval"),
        ({"value": None, "flag": "above"}, "outside its interval"),
        ({"low": None, "low_flag": "above"}, "outside its interval"),
        ({"chance": math.nan}, "chance is nan"),
        ({"model": None}, "model is None"),
    ],
)
def test_a_bad_record_is_refused_and_the_former_file_stays(tmp_path, change, said):
    path = write_results(tmp_path, [RECORD])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=said) as raised:
        write_results(tmp_path, [replace(RECORD, metric="MRR"), replace(RECORD, **change)])
    assert "record 1" in str(raised.value)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_what_could_not_be_measured_is_a_record_without_a_value(tmp_path):
    nothing = replace(
        RECORD, value=None, low=None, high=None, flag="n/a", reason="gallery has 6", metric="hit@10"
    )
    below = replace(RECORD, value=None, flag="below", low=None, low_flag="below", metric="worth")
    path = write_results(tmp_path, [replace(RECORD, chance=0.1), nothing, below])
    back = read_results(path)
    assert [r.value for r in back] == [0.5, None, None]
    assert back[1:] == [nothing, below]
    table = results_table(back)["text to image"].tolist()
    assert table == [
        "0.500 [0.400, 0.600]; chance 0.100",
        "n/a (gallery has 6)",
        "below the measured range [below, 0.600]",
    ]


def test_the_same_number_twice_is_refused_and_two_seeds_are_not(tmp_path):
    with pytest.raises(ValueError, match="given twice"):
        write_results(tmp_path, [RECORD, replace(RECORD, value=0.55)])
    write_results(tmp_path, [RECORD, replace(RECORD, seed=43)])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[{", "not JSON"),
        ("{}", "a list of records"),
        ("[3]", "record 0: an object"),
        ('[{"lesson": "03", "mood": "fine"}]', r"missing fields .*unknown fields \['mood'\]"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_name(tmp_path, text, said):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as raised:
        read_results(path)
    assert str(path) in str(raised.value)


def test_nan_in_a_file_is_refused(tmp_path):
    path = write_results(tmp_path, [RECORD])
    path.write_text(path.read_text().replace("0.4", "NaN"))
    with pytest.raises(ValueError, match="low is nan"):
        read_results(path)


def test_the_table_has_a_row_a_metric_and_a_column_a_direction():
    back = replace(RECORD, direction="image_to_text", value=0.7, low=None, high=None)
    speed = replace(RECORD, direction="", metric="speed", value=1234.5, unit="images/s")
    speed = replace(speed, low=None, high=None)
    table = results_table([RECORD, back, speed])
    assert list(table.columns) == ["unit", "metric", "text to image", "image to text", "value"]
    assert table.iloc[0].tolist() == ["fraction", "hit@1", "0.500 [0.400, 0.600]", "0.700", ""]
    assert table.iloc[1].tolist() == ["images/s", "speed", "", "", "1,234"]


def test_the_table_shows_what_differs_and_leaves_the_rest_out():
    table = results_table([RECORD, replace(RECORD, model="tiny-siglip")])
    assert list(table.columns) == ["model", "metric", "text to image"]
    assert len(results_table([RECORD, replace(RECORD, seed=43)])) == 2
    assert results_table([]).empty


@given(
    st.lists(
        st.builds(
            Record,
            *[st.text(max_size=8)] * 5,
            st.sampled_from(["text_to_image", "image_to_text", ""]),
            st.text(min_size=1, max_size=8),
            st.floats(allow_nan=False, allow_infinity=False),
            seed=st.integers(0, 99),
            unit=st.text(max_size=5),
        ),
        max_size=5,
        unique_by=lambda r: tuple(getattr(r, name) for name in _IDENTITY),
    )
)
def test_any_text_and_number_survives_the_file(tmp_path_factory, records):
    back = read_results(write_results(tmp_path_factory.mktemp("any"), records))
    assert sorted(map(repr, back)) == sorted(map(repr, records))
    assert results_table(back).shape[0] <= len(records)


def test_reading_results_does_not_import_torch():
    code = "import sys, helpers.first.report.results; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
