"""Finding lessons and naming them."""

import json

import pytest

from helpers.course.lessons import CourseError, Parameter, choose, find_lessons, read_lesson
from tests.course.small_lessons import write_lesson


def test_lessons_come_in_order_with_their_metadata(home):
    write_lesson("03_b", builds_on=("01",), question="How good?")
    write_lesson("01_a")
    first, second = find_lessons()
    assert (first.number, first.slug, second.number) == ("01", "01_a", "03")
    assert (second.question, second.minutes, second.builds_on) == ("How good?", 1.0, ("01",))


def test_a_folder_without_lessons_and_a_doubled_number_are_refused(home):
    with pytest.raises(CourseError, match="no lesson"):
        find_lessons()
    write_lesson("01_a")
    write_lesson("01_b")
    with pytest.raises(CourseError, match="two lessons have the number 01: 01_a, 01_b"):
        find_lessons()


@pytest.mark.parametrize("only", ["03", "3", "03_b", " 3 ", "3,03_b"])
def test_a_lesson_is_chosen_by_number_or_name(home, only):
    write_lesson("01_a")
    write_lesson("03_b")
    assert [x.slug for x in choose(find_lessons(), only)] == ["03_b"]


def test_chosen_lessons_keep_their_own_order(home):
    write_lesson("01_a")
    write_lesson("03_b")
    assert [x.number for x in choose(find_lessons(), "03,01")] == ["01", "03"]
    for empty in ("", " "):
        with pytest.raises(CourseError, match="--only is empty"):
            choose(find_lessons(), empty)


@pytest.mark.parametrize("only", ["04", "03_c", "1,,3", "*"])
def test_an_unknown_lesson_is_refused(home, only):
    write_lesson("03_b")
    write_lesson("01_a")
    with pytest.raises(CourseError, match=r"--only names no lesson .*there are: 01_a, 03_b"):
        choose(find_lessons(), only)


@pytest.mark.parametrize("text", ["{", "[]", '{"cells": 1}', "\xff"])
def test_a_file_that_is_no_notebook_is_named(tmp_path, text):
    path = tmp_path / "01_a.ipynb"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(CourseError, match=r"01_a\.ipynb"):
        read_lesson(path)


def changed(path, change):
    """The lesson with a change of its third cell."""
    notebook = json.loads(path.read_text())
    change(notebook["cells"][2])
    other = path.with_name("09_changed.ipynb")
    other.write_text(json.dumps(notebook))
    return read_lesson(other)


def test_the_hash_ignores_outputs_and_sees_source_kind_and_tags(home):
    path = write_lesson("01_a", "1 + 1")
    before = read_lesson(path).hash
    for same in (
        {"outputs": [{"x": 1}], "execution_count": 3, "id": "z"},
        {"source": ["1 +", " 1"]},
    ):
        assert changed(path, lambda c, same=same: c.update(same)).hash == before
    for other in ({"source": "1 + 2"}, {"cell_type": "markdown"},
                  {"metadata": {"tags": ["exercise"]}}):  # fmt: skip
        assert changed(path, lambda c, other=other: c.update(other)).hash != before


def test_a_lesson_without_metadata_still_lists(home):
    path = write_lesson("01_a")
    notebook = json.loads(path.read_text())
    del notebook["metadata"]["course"]
    path.write_text(json.dumps(notebook))
    lesson = read_lesson(path)
    assert (lesson.question, lesson.minutes, lesson.builds_on) == ("01_a", 0.0, ())


def declared(home, text):
    return read_lesson(write_lesson("05_study", parameters=text)).parameters


def test_a_parameters_cell_is_read_in_its_order(home):
    text = 'rank: int = -8  # LoRA rank\n\n# a note\nname: str = "a # b=c"  # a name, none\n'
    found = declared(home, text + "scale: float = 2  # of it")
    assert list(found.values()) == [
        Parameter("rank", "int", -8, "LoRA rank"),
        Parameter("name", "str", "a # b=c", "a name, none"),
        Parameter("scale", "float", 2.0, "of it"),
    ]
    assert type(found["scale"].default) is float


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rank = 8  # LoRA rank", "is no parameter"),
        ("rank: list = []  # ranks", "is no parameter"),
        ("rank: int = 2 ** 3  # LoRA rank", "is no parameter"),
        ("rank: int = = 8  # rank", "is no parameter"),
        ("rank: int = 8", "is no parameter"),
        ("rank: int = 8.0  # LoRA rank", "declared int, its default 8.0 is float"),
        ("rank: int = True  # LoRA rank", "declared int, its default True is bool"),
        ("seed: str = ''  # y", "seed is declared twice"),
    ],
)
def test_a_malformed_parameter_is_refused_with_its_place(home, line, message):
    with pytest.raises(CourseError, match=message) as caught:
        declared(home, f"seed: int = 1  # seed\n{line}")
    assert "05_study, parameters cell, line 2" in str(caught.value)
