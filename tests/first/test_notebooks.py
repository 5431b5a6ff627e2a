"""Every lesson has the form of a lesson, and every solution passes the check of its exercise."""

import pytest

from helpers import paths
from helpers.first.runner.checks import solution_problems
from helpers.first.runner.lessons import find_lessons, read_notebook, tags_of
from helpers.first.runner.plan import make_plans
from helpers.first.runner.settings import profiles
from helpers.first.runner.structure import lesson_problems

NOTEBOOKS = sorted(paths.notebooks().glob("*.ipynb"))
SOLUTIONS = [
    (path, number)
    for path in NOTEBOOKS
    for number, cell in enumerate(read_notebook(path)["cells"], start=1)
    if "solution" in tags_of(cell)
]


def test_the_course_has_its_first_lessons():
    numbers = {lesson.number for lesson in find_lessons()}
    assert {"01", "03"} <= numbers
    assert len(numbers) == len(NOTEBOOKS)  # every notebook is a numbered lesson


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_lesson_has_the_form_of_a_lesson(path):
    assert lesson_problems(path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_lesson_builds_on_lessons_that_exist(path):
    lessons = {lesson.path: lesson for lesson in find_lessons()}
    assert set(lessons[path].builds_on) <= {lesson.number for lesson in lessons.values()}


@pytest.mark.parametrize(
    ("path", "number"), SOLUTIONS, ids=[f"{path.stem}-{number}" for path, number in SOLUTIONS]
)
def test_a_solution_passes_its_check(path, number):
    assert solution_problems(read_notebook(path), number) == []


@pytest.mark.parametrize("profile", profiles())
def test_a_profile_fits_the_lessons(profile):
    lessons = find_lessons()
    plans = make_plans(lessons, lessons, [], profile=profile, name="check")
    assert len(plans) == len(lessons)
