"""A learner runs, answers and saves lessons; the commands stay usable and nothing is lost."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.behaviour.conftest import copy_of_the_project, lessons, run_in

ANSWERED = next(path.stem for path in lessons() if "baseline" in path.stem)
NUMBER = ANSWERED[:2]
OUTPUT = {"name": "stdout", "output_type": "stream", "text": ["Nearly: ties take their mean.\n"]}
SOLUTION = "<summary>Solution</summary>\n\n```python\n"  # folded in the exercise's own cell
LONG = "\n".join(f"step_{i} = {i}" for i in range(80))


def notebook_of(checkout: Path, lesson: str = ANSWERED) -> Path:
    return checkout / "notebooks" / f"{lesson}.ipynb"


def changed(checkout: Path, change, lesson: str = ANSWERED) -> bytes:
    """Change a lesson as Jupyter saves it; what the file holds then."""
    path = notebook_of(checkout, lesson)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    change(notebook)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path.read_bytes()


def answer(notebook: dict) -> None:
    """Answer an exercise at length, leave another half written, run half, and add notes."""
    code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    for count, cell in enumerate(code[: len(code) // 2], start=1):
        cell |= {"execution_count": count, "outputs": [OUTPUT]}
    exercises = [c for c in code if "exercise" in c["metadata"].get("tags", ())]
    exercises[0]["source"] = f"{LONG}\nanswer = step_1"
    exercises[1]["source"] = "def mean(values):\n    return sum(values) /"
    own = {"cell_type": "code", "metadata": {}, "execution_count": 9, "outputs": [OUTPUT]}
    notebook["cells"][3:3] = [
        own | {"id": "0f3a9c1e", "source": f"{LONG}\nwhat is this"},
        own | {"id": "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", "source": "plain_words = 1"},
        {"cell_type": "markdown", "id": "1a2b3c4d", "metadata": {}, "source": "note " * 200},
    ]


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A copy of the course in which a learner has worked."""
    checkout = copy_of_the_project(tmp_path_factory.mktemp("answered") / "course")
    changed(checkout, answer)
    return checkout


def test_answers_do_not_fail_the_tests_of_lessons(answered):
    """Fault 3: what make test runs on notebooks, beside running them."""
    done = run_in(answered, "pytest -q -p no:cacheprovider tests/test_lessons.py")
    assert done.code == 0, done.text


def test_course_check_takes_answers_for_answers(answered):
    """Fault 3: exit 0, and the lesson is named as one with answers."""
    done = run_in(answered, "course check")
    assert done.code == 0, done.text
    assert f"ok    lesson {ANSWERED}, with answers or outputs of yours" in done.out
    assert done.out.count("of yours") == 1


def test_course_check_still_finds_defects_and_says_how_to_put_the_lesson_back(fresh_checkout):
    """Fault 3: beside answers."""

    def spoil(notebook):
        answer(notebook)
        notebook["metadata"]["course"].pop("question")
        notebook["cells"][0].pop("id")
        solutions = [c for c in notebook["cells"] if SOLUTION in "".join(c["source"])]
        head, _, rest = "".join(solutions[0]["source"]).partition(SOLUTION)
        solutions[0]["source"] = f"{head}{SOLUTION}never_defined(1)\n{rest}"

    changed(fresh_checkout, spoil)
    done = run_in(fresh_checkout, "course check")
    assert done.code == 1, done.text
    assert f"FAIL  lesson {ANSWERED}" in done.out
    for said in ("course.question", "a cell has no id", "'never_defined' is not defined"):
        assert said in done.out
    assert done.out.count("FAIL") == 2
    assert f"course reset {NUMBER}" in done.out
    assert "Traceback" not in done.text


@pytest.fixture
def repository(fresh_checkout):
    """A copy of the course as git has it."""
    user = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], [*user, "commit", "-qm", "The course"]):
        subprocess.run(["git", *command], cwd=fresh_checkout, check=True)
    return fresh_checkout


def test_one_command_puts_a_lesson_back_and_keeps_what_was_written(repository):
    """Fault 3: every version, however often; a lesson that is as it was is left alone."""
    path, kept = notebook_of(repository), repository / "answers"
    original = path.read_bytes()
    done = run_in(repository, f"course reset {NUMBER}")
    assert done.code == 0, done.text
    assert "nothing is changed" in done.out
    assert not kept.exists()
    first = changed(repository, answer)
    done = run_in(repository, f"course reset {NUMBER}")
    assert done.code == 0, done.text
    assert f"yours is kept in answers/{ANSWERED}.ipynb" in done.out
    path.write_text('{"cells": [', encoding="utf-8")  # saving was cut off
    done = run_in(repository, "course list")
    assert done.code == 2
    assert f"course reset {NUMBER}" in done.err
    done = run_in(repository, f"course reset {ANSWERED}")
    assert done.code == 0, done.text
    assert path.read_bytes() == original
    assert (kept / f"{ANSWERED}.ipynb").read_bytes() == first
    assert (kept / f"{ANSWERED}-2.ipynb").read_text(encoding="utf-8") == '{"cells": ['
    assert subprocess.run(["git", "status", "--porcelain"], cwd=repository, capture_output=True,
                          check=True).stdout == b""  # fmt: skip


def test_a_lesson_that_cannot_be_put_back_is_left_as_it_is(fresh_checkout):
    """Fault 3: an unknown name changes no other lesson; without git it says what to do."""
    mine = changed(fresh_checkout, answer)
    done = run_in(fresh_checkout, f"course reset {NUMBER} 77")
    assert done.code == 2
    assert done.err.startswith("course: no lesson is called '77'")
    done = run_in(
        fresh_checkout, f"course reset {NUMBER}", env={"GIT_CEILING_DIRECTORIES": "/"}
    )  # fmt: skip
    assert done.code == 2, done.text
    assert "download it again" in done.err
    assert notebook_of(fresh_checkout).read_bytes() == mine


def test_lint_is_for_developers_and_ci_runs_both(checkout):
    """Fault 3: the form of notebooks is no part of make test."""
    tested = run_in(checkout, "make -n test").out
    assert '-m "not journey" --nbmake' in tested
    assert "ruff" not in tested
    assert "nbstripout" not in tested
    linted = run_in(checkout, "make -n lint").out
    assert "nbstripout --keep-id --verify" in linted
    assert "ruff format --check" in linted
    script = (checkout / ".ci" / "run").read_text(encoding="utf-8")
    steps = [script.index(step) for step in ("make lint", "make test", "-m journey")]
    assert steps == sorted(steps)


def test_clean_removes_what_make_course_made_and_nothing_else(fresh_checkout):
    """Fault 3: runs of other names, their data and the prompt's history stay."""
    made = ["data/zones/tiny/a", "reports/tiny/index.html", "data/cache/corpus/x/rows"]
    kept = ["data/zones/mine/a", "reports/mine/index.html", "reports/interactive/b",
            "data/cache/search_history", "answers/03.ipynb"]  # fmt: skip
    for name in made + kept:
        (fresh_checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (fresh_checkout / name).write_text("x")
    before = {p for p in fresh_checkout.rglob("*") if p.is_file()}
    done = run_in(fresh_checkout, "make -n clean | sh -e")
    assert done.code == 0, done.text
    gone = before - {p for p in fresh_checkout.rglob("*") if p.is_file()}
    assert gone == {fresh_checkout / name for name in made}
