"""The form of a lesson: a good one passes, and each single fault is found."""

import copy

import pytest

from helpers.first.runner.lessons import read_notebook
from helpers.first.runner.structure import is_used, lesson_problems

GOOD_PARAMETERS = 'report: str = ""  # folder\nrank: int = 8  # LoRA rank'


def code(source: str, *tags: str, hidden: bool = False) -> dict:
    metadata = {"tags": list(tags), **({"jupyter": {"source_hidden": True}} if hidden else {})}
    return {"cell_type": "code", "id": "x", "metadata": metadata, "source": source,
            "outputs": [], "execution_count": None}  # fmt: skip


def text(source: str) -> dict:
    return {"cell_type": "markdown", "id": "x", "metadata": {}, "source": source}


GOOD = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {
        "kernelspec": {"name": "python3"},
        "course": {"question": "Why?", "minutes": 2.5, "builds_on": ["01"], "slug": "03_x"},
    },
    "cells": [
        text("# Why?"),
        code(GOOD_PARAMETERS, "parameters"),
        code('check_parameters("03_x", globals())\n%matplotlib inline\nprint(f"{rank}")'),
        code("answer = None", "exercise"),
        code("solve = 1", "solution", hidden=True),
        code("write_results(report, [])"),
        *[text("soup") for _ in range(19)],
    ],
}


def problems(tmp_path, change=lambda notebook: None) -> list[str]:
    import json

    notebook = copy.deepcopy(GOOD)
    change(notebook)
    path = tmp_path / "03_x.ipynb"
    path.write_text(json.dumps(notebook))
    assert read_notebook(path)
    return lesson_problems(path)


def test_a_good_lesson_has_no_problem(tmp_path):
    assert problems(tmp_path) == []


def work(notebook) -> None:
    """What a learner does: run, answer at length and half, and add cells."""
    put(3, outputs=[{"x": 1}], execution_count=1)(notebook)
    put(4, source="x = 1\n" * 80 + "def half(")(notebook)
    for number, name in enumerate(("0f3a9c1e", "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d") * 12):
        notebook["cells"].insert(2 + number, code("no python") | {"id": name})


def test_answers_are_no_fault_of_a_lesson(tmp_path):
    assert problems(tmp_path, work) == []
    notebook = copy.deepcopy(GOOD)
    assert not is_used(notebook["cells"])
    work(notebook)
    assert is_used(notebook["cells"])


def put(cell: int, **changes):
    """A change of the fields of a cell (numbered from 1)."""
    return lambda notebook: notebook["cells"][cell - 1].update(changes)


def about(**changes):
    """A change of the course metadata."""
    return lambda notebook: notebook["metadata"]["course"].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(3, source="x = 1"), "parameter rank is never read"),
        (put(3, source="rank = 1"), "parameter rank is never read"),
        (put(3, source="\n" * 36 + "rank"), "cell 3 has 37 lines of code, at most 36"),
        (put(7, source="soup " * 120), "cell 7 has 120 words, fewer than 120"),
        (put(2, source="rank = 8"), "not a parameter"),
        (put(2, metadata={}), "no cell is tagged 'parameters'"),
        (put(2, source="rank: int = 8  # LoRA rank"), "no parameter `report`"),
        (put(3, source="1 +"), "cell 3, line 1"),
        (put(5, metadata={}), "cell 4 is an exercise; the next cell is no solution"),
        (put(4, metadata={}), "cell 5 is a solution; the cell before is no exercise"),
        (put(5, metadata={"tags": ["solution"]}), "set jupyter.source_hidden to true"),
        (put(6, source="print(report)"), "no cell calls write_results"),
        (lambda n: n["cells"].pop(), "24 cells; a lesson has 25 to 46"),
        (lambda n: n["cells"].extend([text("a")] * 22), "47 cells; a lesson has 25 to 46"),
        (lambda n: n["cells"][6].pop("id"), "a cell has no id"),
        (lambda n: n["metadata"].pop("course"), "course.question is no question"),
        (lambda n: n["metadata"]["kernelspec"].update(name="mine"), "kernelspec.name"),
        (about(question="Because."), "course.question is no question"),
        (about(minutes=0), "course.minutes is not a number above 0"),
        (about(minutes="2"), "course.minutes is not a number above 0"),
        (about(slug="03_y"), "course.slug is '03_y', the file is '03_x'"),
        (about(builds_on="01"), "course.builds_on is no list"),
        (about(builds_on=["03"]), "'03' is no earlier lesson"),
        (about(builds_on=["1"]), "'1' is no earlier lesson"),
    ],
)
def test_each_fault_is_found(tmp_path, change, message):
    assert any(message in problem for problem in problems(tmp_path, change))


def test_the_words_behind_a_fold_do_not_count(tmp_path):
    fold = "<details><summary>Why?</summary>\n\n" + "soup " * 200 + "\n</details>\n"
    assert problems(tmp_path, put(7, source=fold * 2)) == []
    wordy = put(7, source=fold + "soup " * 119)
    assert problems(tmp_path, wordy) == ["cell 7 has 120 words, fewer than 120 are wanted"]


def test_an_exercise_at_the_very_end_lacks_its_solution(tmp_path):
    def change(notebook):
        notebook["cells"][-1] = code("answer = None", "exercise")

    assert problems(tmp_path, change) == ["cell 25 is an exercise; the next cell is no solution"]
