"""Finding lessons and naming them."""

import json

import pytest

from helpers.first.runner.lessons import (
    CourseError,
    choose,
    find_lessons,
    notebook_hash,
    parameters_cell,
    read_lesson,
    read_notebook,
)
from tests.first.small_lessons import write_lesson


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
        read_notebook(path)


def test_the_hash_ignores_outputs_and_sees_source_kind_and_tags(home):
    notebook = read_notebook(write_lesson("01_a", "1 + 1"))
    before = notebook_hash(notebook)

    def changed(change) -> str:
        copy = json.loads(json.dumps(notebook))
        change(copy["cells"][2])
        return notebook_hash(copy)

    assert changed(lambda c: c.update(outputs=[{"x": 1}], execution_count=3, id="z")) == before
    assert changed(lambda c: c.update(source=["1 +", " 1"])) == before
    assert changed(lambda c: c.update(source="1 + 2")) != before
    assert changed(lambda c: c.update(cell_type="markdown")) != before
    assert changed(lambda c: c["metadata"].update(tags=["exercise"])) != before


def test_two_parameters_cells_are_refused(home):
    notebook = read_notebook(write_lesson("01_a"))
    assert parameters_cell(notebook, where="01_a").startswith("source: str")
    notebook["cells"].append(notebook["cells"][1])
    with pytest.raises(CourseError, match="01_a: 2 cells are tagged 'parameters'"):
        parameters_cell(notebook, where="01_a")


def test_a_lesson_without_metadata_still_lists(home):
    path = write_lesson("01_a")
    notebook = json.loads(path.read_text())
    del notebook["metadata"]["course"]
    path.write_text(json.dumps(notebook))
    lesson = read_lesson(path)
    assert (lesson.question, lesson.minutes, lesson.builds_on) == ("", 0.0, ())
