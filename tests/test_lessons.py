"""The form of the lessons, and their solutions."""

import copy
import json

import pytest

from helpers.course import form
from tests.house import lessons

LESSONS = list(lessons().values())


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_has_its_form(path):
    assert form.problems(path) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_solution_is_correct(path):
    found = form.solution_problems(form.read(path))
    assert len(found) >= 2
    assert found == {name: [] for name in found}


@pytest.fixture
def lesson(tmp_path):
    """A copy of a lesson that a test may spoil, with its diagrams."""
    source = LESSONS[0]
    (tmp_path / "diagrams").symlink_to(source.parent / "diagrams")
    path = tmp_path / source.name
    notebook = form.read(source)

    def write(change):
        spoiled = copy.deepcopy(notebook)
        change(spoiled)
        path.write_text(json.dumps(spoiled))
        return form.problems(path)

    return write


def code_cell(notebook, tag=""):
    return next(
        c for c in notebook["cells"]
        if c["cell_type"] == "code" and (tag in form.tags(c) if tag else not form.tags(c))
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda n: n["cells"].extend([n["cells"][1]] * 30), "cells, at most 36"),
        (lambda n: code_cell(n).update(source=["x = 1\n"] * 31), "31 lines, at most 30"),
        (lambda n: code_cell(n, "parameters")["source"].append("\nunused: int = 1  # why"),
         "parameter unused is never read"),
        (lambda n: code_cell(n, "parameters")["source"].append("\nbad = 1"), "is no 'name: type"),
        (lambda n: code_cell(n).update(source=["for seed in (1, 2):\n    print(seed)"]),
         "parameter seed is bound again"),
        (lambda n: n["cells"][0].update(source=["# Another title"]), "title is not the question"),
        (lambda n: n["cells"][0].update(source=[
            "# How do I evaluate CLIP or SigLIP for image-text retrieval?\n", "word " * 130]),
         "words, at most 120"),
        (lambda n: n["metadata"]["course"].update(minutes=0), "minutes"),
        (lambda n: [c.update(source=["x"]) for c in n["cells"] if "exercise" in form.tags(c)
                    and c["cell_type"] == "markdown"], "no folded solution"),
    ],
)  # fmt: skip
def test_a_spoiled_form_is_found(lesson, change, said):
    assert any(said in problem for problem in lesson(change))


def test_what_a_learner_does_is_no_fault(lesson):
    def answered(notebook):
        cell = code_cell(notebook, "exercise")
        cell.update(source=["def hit_at_k(*a):\n", *["    x = 1\n"] * 40], execution_count=3)
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["hm\n"]}]
        extra = {"cell_type": "code", "id": "0a1b2c3d", "metadata": {}, "source": ["1 + 1"],
                 "outputs": [], "execution_count": 4}  # fmt: skip
        notebook["cells"].insert(5, extra)

    assert lesson(answered) == []
