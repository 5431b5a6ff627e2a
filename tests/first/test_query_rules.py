"""The writer of rules: what each edit does, on record, and the same again by seed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.prepare.query_facts import distance, words_of
from helpers.first.prepare.query_rules import EDITS, PHRASES, RuleWriter
from tests.first.test_query_facts import car

LEAF = car()
PLAINLY = RuleWriter(0, 0, 0, 0, 0, 0)


def drafts(writer, facts=LEAF, count=60):
    return [writer.draft(facts, number=i, attempt=0, seed=3) for i in range(count)]


def test_without_edits_every_fact_is_said():
    (draft,) = drafts(PLAINLY, count=1)
    assert draft.text == "2012 Nissan Leaf Hatchback"
    assert (draft.edits, draft.mentions) == ((), ("make", "model", "body", "year"))
    assert drafts(PLAINLY, car(body=""), 1)[0].text == "2012 Nissan Leaf"


@pytest.mark.parametrize("edit", EDITS)
def test_each_edit_alone_is_on_record_and_changes_the_text(edit):
    plain = drafts(PLAINLY, count=1)[0].text
    made = drafts(replace(PLAINLY, **{edit: 1}))
    assert any(draft.edits for draft in made)
    for draft in made:
        assert {name.split(":")[0] for name in draft.edits} <= {edit}
        assert bool(draft.edits) == (draft.text != plain)


def test_omissions_leave_what_was_not_named():
    for draft in drafts(replace(PLAINLY, omission=1)):
        gone = {edit.removeprefix("omission:") for edit in draft.edits}
        left = [value for name, value in LEAF.metadata.items() if name not in gone]
        assert sorted(draft.text.split()) == sorted(left)
        assert {"make", "model"} & set(draft.mentions)


def test_a_short_model_is_not_left_alone():
    for draft in drafts(replace(PLAINLY, omission=1), car("Elkins", "E1", "sedan", "2014")):
        assert "make" in draft.mentions


def test_order_keeps_the_words_and_typos_stay_near():
    for draft in drafts(replace(PLAINLY, order=1)):
        assert sorted(draft.text.split()) == sorted(["2012", "Nissan", "Leaf", "Hatchback"])
    for draft in drafts(replace(PLAINLY, typo=1)):
        for edit in draft.edits:
            right, wrong = edit.removeprefix("typo:").split(">")
            assert wrong in draft.text.split()
            assert distance(right.lower(), wrong.lower()) == 1
            assert right in ("Nissan", "Hatchback")  # "Leaf" is too short


def test_short_forms_replace_what_they_stand_for():
    texts = {draft.text for draft in drafts(replace(PLAINLY, abbreviation=1))}
    assert "'12 Nissan Leaf Hatchback" in texts
    assert "2012 Nissan Leaf hatch" in texts


@given(st.integers(0, 10_000), st.integers(0, 9), st.integers(0, 3))
def test_the_same_seed_writes_the_same(seed, number, attempt):
    asked = {"number": number, "attempt": attempt, "seed": seed}
    assert RuleWriter().draft(LEAF, **asked) == RuleWriter().draft(LEAF, **asked)


def test_number_attempt_seed_and_car_draw_anew():
    base = {"number": 0, "attempt": 0, "seed": 0}
    others = [{**base, name: value} for name in base for value in range(1, 12)]
    assert len({RuleWriter().draft(LEAF, **asked).text for asked in others}) > 5
    assert RuleWriter().fingerprint != PLAINLY.fingerprint


def test_phrases_hold_one_query():
    assert all(phrase.count("{}") == 1 and words_of(phrase) for phrase in PHRASES)
