import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.readers import read_recipes_jsonl
from helpers.data.records import (
    Caption,
    Recipe,
    RecordError,
    Reject,
    bounded,
    captions_of,
    recipe_from_json,
    recipe_to_json,
    shown,
)

GOOD = '{"recipe_id": "007", "title": "Soup", "images": ["a.jpg"]}'
SOUP = Recipe("007", "Soup", ("a.jpg",))
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(str.strip)


def _read(text):
    return list(read_recipes_jsonl(text, "recipes.jsonl"))


TEXTS = st.lists(TEXT, max_size=3).map(tuple)
CAPTIONS = st.lists(st.builds(Caption, TEXT, TEXT, st.sampled_from(["", "brief"]))).map(tuple)
PAIRS = st.dictionaries(TEXT, TEXT, max_size=3)
RECIPES = st.builds(Recipe, TEXT, TEXT, TEXTS, CAPTIONS, TEXT, TEXTS, TEXTS, PAIRS)


@given(RECIPES)
def test_a_recipe_survives_json_and_the_file(recipe):
    value = json.loads(json.dumps(recipe_to_json(recipe)))
    assert recipe_from_json(value) == recipe
    assert _read(json.dumps(value, ensure_ascii=False) + "\n") == [recipe]


def test_lines_are_counted_and_ids_stay_strings():
    found = _read(f"{GOOD}\n\n{GOOD.replace('007', 'NA')}\r\n")
    assert [(r.recipe_id, r.file, r.line) for r in found] == [
        ("007", "recipes.jsonl", 1), ("NA", "recipes.jsonl", 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (GOOD.replace('"007"', "7"), r"recipe_id is a number \(7\); write it as a string"),
        (GOOD.replace('"007"', '""'), "recipe_id is empty"),
        (GOOD.replace("recipe_id", "recipeid"), "recipe_id is missing; it has images, recipeid"),
        (GOOD.replace('["a.jpg"]', '"a.jpg"'), "images is a string; write it as a list"),
        (GOOD.replace('"Soup"', "null"), "title is null"),
        (GOOD.replace("}", ', "title": "b"}'), "the field 'title' occurs twice"),
        (GOOD.replace("}", ', "attributes": {"a": 1}}'), "attributes is not an object of strings"),
        (GOOD.replace('"Soup"', "NaN"), "NaN is no JSON value"),
        (GOOD.replace("Soup", "\\ud800"), "title is not valid UTF-8"),
        (GOOD.replace("Soup", "So\udcffup"), "title is not valid UTF-8"),
        (GOOD.replace("Soup", "\\u0000"), "title holds a control character"),
        ("[" * 100_000, "nested too deeply"),
        ("[1]", "a record is an object, this is a list"),
        ("{'a': 1}", "not JSON"),
    ],
)
def test_a_bad_line_is_rejected_alone(line, reason):
    first, bad, last = _read(f"{GOOD}\n{line}\n{GOOD}\n")
    assert first == last == SOUP
    assert isinstance(bad, Reject)
    assert (bad.file, bad.line, bad.kind) == ("recipes.jsonl", 2, "record")
    assert re.search(reason, bad.reason)
    bad.item.encode("utf-8")


def test_a_cut_last_line_is_told_from_a_bad_one():
    whole, cut = _read(f"{GOOD}\n{GOOD[:30]}")
    assert whole == SOUP
    assert (cut.line, cut.reason[:34]) == (2, "cut short, the file ends inside th")
    assert "cut short" not in _read(f"{GOOD[:30]}\n{GOOD}")[0].reason


def test_a_byte_order_mark_is_reported_and_the_record_kept():
    mark, recipe = _read("\ufeff" + GOOD)
    assert (mark.line, mark.kind, mark.item) == (1, "field", "byte order mark")
    assert recipe == SOUP


def test_bad_parts_are_rejected_and_the_recipe_kept():
    record = {
        "recipe_id": "7", "title": "Pie", "images": ["a.jpg", 5, ""], "caption": "x",
        "captions": ["ok", "", {"text": "fr", "language": "fr"}, {"txt": 1}, {"text": 3}, None],
        "tags": ["t", 1],
    }  # fmt: skip
    *rejects, recipe = _read(json.dumps(record))
    assert [(r.kind, r.item) for r in rejects] == [
        ("field", "caption"), ("image", "images[1] of 7"), ("image", "images[2] of 7"),
        ("caption", "captions[1] of 7"), ("caption", "captions[3] of 7"),
        ("caption", "captions[4] of 7"), ("caption", "captions[5] of 7"),
        ("field", "tags[1] of 7"),
    ]  # fmt: skip
    assert "did you mean 'captions'?" in rejects[0].reason
    assert recipe.images == ("a.jpg",)
    assert recipe.captions == (Caption("ok"), Caption("fr", "fr"))
    with pytest.raises(RecordError, match="unknown field"):
        recipe_from_json(record)


def test_an_unknown_field_is_said_once_for_a_file():
    line = GOOD.replace("}", ', "url": "x"}')
    assert [type(item) for item in _read(f"{line}\n{line}")] == [Reject, Recipe, Recipe]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_list_is_read_item_by_item(indent):
    items = [json.loads(GOOD), {"recipe_id": 7}, {**json.loads(GOOD), "recipe_id": "NA"}]
    first, bad, last = _read(json.dumps(items, indent=indent))
    assert (first.recipe_id, last.recipe_id) == ("007", "NA")
    assert bad.reason == "recipe_id is a number (7); write it as a string"
    assert [item.line for item in (first, bad, last)] == ([1, 1, 1] if not indent else [2, 9, 12])
    whole, twice, other = _read(f'[{GOOD},\n{{"title": "a", "title": "b"}},\n{GOOD}\n]')
    assert whole == other == SOUP
    assert (twice.line, twice.reason) == (2, "the field 'title' occurs twice")
    whole, cut = _read(f"[{GOOD},\n{GOOD[:30]}")
    assert whole == SOUP
    assert (cut.line, "not JSON" in cut.reason) == (2, True)
    assert "has no end" in _read(f"[{GOOD},\n")[1].reason
    assert _read("[]") == []


def test_one_object_over_several_lines_is_named():
    with pytest.raises(ValueError, match=r"recipes.jsonl is one JSON object over several lines"):
        _read(json.dumps(json.loads(GOOD), indent=1))
    assert _read(f"{GOOD}\n") == [SOUP]


def test_texts_that_are_too_long_are_left_out_alone():
    long = "word " * 30_000
    record = {**json.loads(GOOD), "captions": ["ok", long], "description": long}
    *rejects, recipe = _read(json.dumps(record))
    assert recipe.captions == (Caption("ok"),)
    assert recipe.description == ""
    assert [(r.kind, r.item) for r in rejects] == [
        ("caption", "captions[1] of 007"), ("field", "description of 007"),
    ]  # fmt: skip
    assert rejects[0].reason == "has 150,000 characters; at most 20,000 are kept"


def test_what_a_message_shows_of_a_value_is_bounded():
    bomb = ["ha"] * 10
    for _ in range(30):  # written out it has 10 ** 31 parts
        bomb = [bomb] * 10
    assert len(shown(bomb)) <= 40
    assert len(bounded("x" * 10**6)) == 300


@given(st.lists(st.one_of(st.just(GOOD), st.text().filter(lambda t: "[" not in t)), max_size=6))
def test_every_line_is_a_record_or_blank(lines):
    text = "\n".join(lines)
    found = _read(text)
    records = [f for f in found if isinstance(f, Recipe) or f.kind == "record"]
    assert len(records) == sum(bool(x.removeprefix("\ufeff").strip()) for x in text.split("\n"))


def test_captions_of():
    given_captions = (Caption("a"), Caption("b"))
    recipe = Recipe("1", " Old  pie ", (), given_captions, "Best. Ever.", (), ("2 eggs", "milk"))
    assert captions_of(recipe) == given_captions
    bare = Recipe("1", " Old  pie ", (), (), "Best. Ever.", (), ("2 eggs", "milk"))
    assert captions_of(bare) == (
        Caption("Old pie", kind="title"), Caption("Best.", kind="sentence"),
        Caption("Old pie with eggs and milk", kind="ingredients"),
    )  # fmt: skip
    assert captions_of(Recipe("1", "", ())) == ()
