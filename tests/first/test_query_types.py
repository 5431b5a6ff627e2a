"""Kinds of queries against a labeled list, half of which no rule was written on."""

import csv
from pathlib import Path

import numpy as np
import pytest

from helpers.first.prepare.query_types import (
    asks_for_absence,
    asks_for_color,
    asks_for_number,
    holds_any,
    query_kinds,
)

RULES = {"color": asks_for_color, "number": asks_for_number, "negation": asks_for_absence}
TABLE = Path(__file__).parent / "reference" / "query_types.csv"


def rows_of(half: str) -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as stream:
        return [row for row in csv.DictReader(stream) if row["half"] == half]


@pytest.mark.parametrize("kind", RULES)
def test_the_rules_hold_on_the_half_that_they_were_written_on(kind):
    wrong = [r["text"] for r in rows_of("tune") if RULES[kind](r["text"]) != (r[kind] == "1")]
    assert wrong == []


@pytest.mark.parametrize("kind", RULES)
def test_the_rules_hold_on_nine_in_ten_of_the_others(kind):
    rows = rows_of("held")
    right = [RULES[kind](row["text"]) == (row[kind] == "1") for row in rows]
    assert np.mean(right) >= 0.9
    assert len({row[kind] for row in rows}) == 2


def test_known_errors_stay_known():
    held = {kind: [r["text"] for r in rows_of("held") if RULES[kind](r["text"]) != (r[kind] == "1")]
            for kind in RULES}  # fmt: skip
    assert held == {
        "color": ["carrots and yellow squash"],
        "number": [],
        "negation": ["an unsweetened tea"],
    }


def test_phrases_are_whole_words():
    assert holds_any("A PIE on linen", ["pie"])
    assert not holds_any("piety", ["pie", ""])
    assert holds_any("two maki rolls", ["maki rolls"])


def test_thirds_by_length_cover_every_query_once():
    texts = [" ".join(["word"] * n) for n in (1, 1, 2, 3, 3, 4, 5, 6, 9)]
    kinds = query_kinds(texts, rare=["word"])
    thirds = [name for name in kinds if name.split()[0] in ("short", "middle", "long")]
    assert np.sum([kinds[name] for name in thirds], axis=0).tolist() == [1] * 9
    assert kinds["all"].all()
    assert kinds["rare words"].all()
    assert not kinds["color"].any()
    assert [name.split()[0] for name in thirds] == ["short", "middle", "long"]


def test_no_query_is_refused():
    with pytest.raises(ValueError, match="no query"):
        query_kinds([])
