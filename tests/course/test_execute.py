"""Real kernels: what counts as an execution, and how each way to fail is told."""

import json
import sys

import nbformat
import pytest

from helpers.course.execute import AFTER, Failure, execute, incomplete, tidy
from helpers.course.lessons import read_lesson
from tests.course.small_lessons import edit, write_lesson


def run(home, *code: str, timeout: float = 60, **parameters):
    """Execute a lesson of the given cells; its output lies in ``out.ipynb``."""
    (home / "report").mkdir(exist_ok=True)
    path = write_lesson("01_a", *code)
    edit(path, '"name": "python3"', '"name": "registered-elsewhere"')
    values, lesson = {"report": "report", **parameters}, read_lesson(path)
    return execute(lesson, home / "out.ipynb", parameters=values, timeout=timeout)


@pytest.mark.slow
def test_a_lesson_runs_at_the_root_in_this_python_with_its_parameters(home):
    notebook = run(home, "import sys, os", "print(sys.executable, os.getcwd(), rank)", rank=9)
    printed = [o.text for c in notebook.cells for o in c.get("outputs", []) if "text" in o]
    assert printed == [f"{sys.executable} {home} 9\n"]
    assert json.loads((home / "report" / "results.json").read_text())[0]["value"] == 9.0
    assert incomplete(notebook) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "error", "remedy", "timeout"),
    [
        ("# half\n1 / 0", "not written for (division by zero)", "", 60),
        ("import os; os.kill(os.getpid(), 9)", "the kernel died", "the memory ran out", 60),
        ("while True: pass", "took longer than 5 s", "--timeout", 5),
        ("raise SystemExit(0)", "a cell ended the program with 0", "runs to its last cell", 60),
        ("raise OSError(28, 'full')", "[Errno 28] full", "free some space", 60),
    ],
)
def test_a_failure_names_cell_line_error_and_remedy(home, code, error, remedy, timeout):
    with pytest.raises(Failure) as caught:
        run(home, code, timeout=timeout)
    failure = caught.value
    assert failure.cell == 3  # title, parameters, then this one: the injected cell does not count
    assert error in failure.error
    assert remedy in failure.remedy
    assert str(failure).startswith(f"01_a failed: {failure.error}")
    assert not (home / "report" / "results.json").exists()


@pytest.mark.slow
def test_a_kernel_that_cannot_start_is_told_as_such(home, monkeypatch):
    (home / "ipykernel_launcher.py").write_text("raise SystemExit(3)")
    monkeypatch.setenv("PYTHONPATH", str(home))
    with pytest.raises(Failure) as caught:
        run(home, "1")
    assert str(caught.value).startswith("01_a failed before its first cell: ")
    assert "Check that ipykernel is installed (course check)" in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "error", "text"),
    [
        (3, "it is 0", "01_a failed: it is 0. Mend it"),
        (3, "did you mean 'g'?", "01_a failed: did you mean 'g'? Mend it"),
        (
            "before its first cell",
            "no kernel",
            "01_a failed before its first cell: no kernel. Mend it",
        ),
        (AFTER, "no results", "01_a failed after its last cell: no results. Mend it"),
    ],
)
def test_a_failure_reads_as_a_sentence(cell, error, text):
    assert str(Failure("01_a", cell, error, "Mend it")) == text


@pytest.fixture
def executed(home) -> dict:
    """A notebook as a whole execution leaves it: three code cells, counted 1 to 3."""
    notebook = json.loads(write_lesson("01_a", "2").read_text())
    for number, cell in enumerate(notebook["cells"][1:], start=1):
        cell["execution_count"] = number
    assert incomplete(notebook) == ""
    return notebook


def test_cells_that_did_not_run_in_their_turn_are_found(executed):
    executed["cells"][2]["execution_count"] = None
    assert incomplete(executed) == "cell 3 did not run in its turn"
    executed["cells"][2]["execution_count"] = 3
    executed["cells"][3]["execution_count"] = 2
    assert incomplete(executed) == "cell 3 did not run in its turn"


def test_a_lesson_cut_off_at_its_end_is_found(executed):
    executed["cells"][3]["execution_count"] = None
    assert incomplete(executed) == "cell 4 did not run in its turn"


def test_an_error_among_the_outputs_is_found_and_an_empty_cell_is_none(executed):
    executed["cells"][2]["outputs"] = [{"output_type": "error"}]
    assert incomplete(executed) == "cell 3 holds an error"
    executed["cells"][2].update(source=" \n", outputs=[], execution_count=None)
    executed["cells"][3]["execution_count"] = 2
    assert incomplete(executed) == ""


def test_a_kept_notebook_holds_no_path_of_this_machine(home):
    notebook = nbformat.read(write_lesson("01_a", "2"), as_version=4)
    notebook.metadata["papermill"] = {"input_path": "/x", "output_path": "/y", "duration": 1}
    notebook.cells[2].source = "open('.01_a.77/b')"
    tidied = tidy(notebook, replace={".01_a.77": "01_a"})
    assert tidied.metadata.papermill == {"duration": 1}
    assert tidied.cells[2].source == "open('01_a/b')"
