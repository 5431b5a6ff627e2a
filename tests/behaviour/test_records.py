"""Records say what they are: of how many queries, within which limits, or why there is none."""

import csv
import json

import pytest

pytestmark = pytest.mark.journey
COUNTED = {"count", "pairs", "MiB"}  # units of what is counted and not estimated
OUTSIDE = {"below": float("-inf"), "above": float("inf")}


@pytest.fixture(scope="module")
def report(finished_course):
    return finished_course / "reports" / "tiny"


@pytest.fixture(scope="module")
def records(report) -> list[dict]:
    """The records of all lessons, in their order."""
    files = sorted(report.glob("*/results.json"))
    assert len(files) >= 13
    return [one for file in files for one in json.loads(file.read_text(encoding="utf-8"))]


def place(record: dict, name: str) -> float | None:
    """A number, or the end of the scale that its flag names; None: there is none."""
    flag = record.get("flag" if name == "value" else f"{name}_flag", "")
    return record[name] if record[name] is not None else OUTSIDE.get(flag)


def test_a_record_counts_what_is_behind_it(records):
    """Fault 33: what is estimated has an n."""
    estimated = [r for r in records if r["unit"] not in COUNTED and r["low"] is not None]
    assert len(estimated) > 100
    assert [r for r in estimated if r["n"] == 0] == []


def test_a_value_lies_within_its_interval_or_says_on_which_side_it_is(records):
    """Fault 33: a null has a flag, and what is flagged is null."""
    for r in records:
        low, value, high = (place(r, name) for name in ("low", "value", "high"))
        if r.get("flag") == "n/a":
            assert r["value"] is None
            assert r["reason"]
        else:
            assert value is not None, r
        if low is not None and value is not None:
            assert low <= value <= high, r


def test_the_table_of_a_run_holds_the_same_records(report, records):
    """Fault 33: one line a record, with the same n and value."""
    rows = list(csv.DictReader((report / "results.csv").open(encoding="utf-8")))
    assert len(rows) == len(records)
    for row, r in zip(rows, records, strict=True):
        assert (row["lesson"], row["metric"]) == (r["lesson"], r["metric"])
        assert int(row["n"]) == r["n"]
        assert (float(row["value"]) if row["value"] else None) == r["value"]
        assert row["flag"] == r.get("flag", "")
