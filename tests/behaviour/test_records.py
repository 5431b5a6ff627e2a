"""Records say what they are: of how many queries, within which limits, or why there is none."""

import csv
import json
import re

import pytest

from tests.behaviour.conftest import ROOT

STUDIES = sorted((ROOT / "reports" / "study").glob("*/results.json"))
COUNTED = {"count", "pairs", "MiB"}  # units of what is counted and not estimated
OUTSIDE = {"below": float("-inf"), "above": float("inf")}


def read(path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))


def place(record: dict, name: str) -> float | None:
    """A number, or the end of the scale that its flag names; None: there is none."""
    flag = record.get("flag" if name == "value" else f"{name}_flag", "")
    return record[name] if record[name] is not None else OUTSIDE.get(flag)


def of_all_lessons() -> list[dict]:
    return [r for path in STUDIES for r in read(path)]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
def test_a_record_counts_what_is_behind_it(path):
    """Fault 33: what is estimated has an n."""
    without = [r for r in read(path) if r["n"] == 0 and r["unit"] not in COUNTED]
    assert without == []


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
def test_a_value_lies_within_its_interval_or_says_on_which_side_it_is(path):
    """Fault 33: a null has a flag, and what is flagged is null."""
    for r in read(path):
        low, value, high = (place(r, name) for name in ("low", "value", "high"))
        if r.get("flag") == "n/a":
            assert r["value"] is None
            assert r["reason"]
        else:
            assert value is not None, r
        if low is not None and value is not None:
            assert low <= value <= high, r


def test_every_lesson_counts_the_same_queries_in_a_direction():
    """Fault 33: the test set of the kitchen has one number of captions, and one of images."""
    counted = set()
    for r in of_all_lessons():
        whole = r["data"] == "world:kitchen" and r["split"] == "test" and r["direction"]
        alone = re.fullmatch(r"(hit@\d+|mrr)( lost)?", r["metric"])
        if whole and alone and r["lesson"] == "10":
            counted.add((r["direction"], r["n"]))
    assert counted == {("text_to_image", 900), ("image_to_text", 862)}


def test_a_share_of_queries_is_a_whole_number_of_them():
    """Fault 33: hit@10 of one model, times n, is a number of queries."""
    served = [r for r in of_all_lessons() if r["lesson"] == "10" and r["metric"] == "hit@10"]
    assert {r["direction"] for r in served} == {"text_to_image", "image_to_text"}
    for r in served:
        assert r["value"] * r["n"] == pytest.approx(round(r["value"] * r["n"]), abs=1e-6)


def test_a_model_loses_nothing_against_itself():
    """Fault 33: no interval around it."""
    mine = [r for r in of_all_lessons() if r["metric"] == "hit@10 lost" and "torch" in r["model"]]
    assert len(mine) == 2
    assert [(r["value"], r["low"], r["high"]) for r in mine] == [(0.0, None, None)] * 2


def test_the_table_of_all_studies_holds_the_same_records():
    """Fault 33: one line a record, with the same n and value."""
    records = of_all_lessons()
    lessons = {r["lesson"] for r in records}
    table = csv.DictReader((ROOT / "reports" / "study" / "results.csv").open(encoding="utf-8"))
    rows = [row for row in table if row["lesson"] in lessons]
    assert len(rows) == len(records)
    for row, r in zip(rows, records, strict=True):
        assert int(row["n"]) == r["n"]
        assert (float(row["value"]) if row["value"] else None) == r["value"]
        assert row["flag"] == r.get("flag", "")
