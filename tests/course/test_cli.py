"""The command line with real kernels, and its exit codes."""

import subprocess
import sys
import types

import pytest

from helpers import __version__
from helpers.course import cli, state
from tests.course.small_lessons import edit, write_lesson


@pytest.mark.slow
def test_a_course_runs_fails_and_recovers(home, capsys):
    first = write_lesson("01_a", "rank + 1")
    write_lesson("03_b", "rank / (rank - 9)", builds_on=("01",))
    assert cli.main(["run", "--jobs", "2", "-p", "rank=9"]) == 1
    out = capsys.readouterr().out
    assert "failed: the lesson met something that it was not written for (division by zero)" in out
    assert (state.run_folder("tiny") / "01_a").is_dir()
    assert "ZeroDivisionError" in state.failed_notebook("tiny", "03_b").read_text()
    edit(first, "rank + 1", "import os; os._exit(1)")
    assert cli.main(["run", "-p", "rank=8"]) == 1
    assert "the kernel died" in capsys.readouterr().out
    assert (state.run_folder("tiny") / "01_a").is_dir()  # the first report still stands
    edit(first, "import os; os._exit(1)", "rank + 1")
    assert cli.main(["run", "-p", "rank=8"]) == 0
    assert "2 lessons finished in 0:" in capsys.readouterr().out
    assert list(state.run_folder("tiny").glob("*.failed.ipynb")) == []


@pytest.mark.slow
def test_the_time_limit_of_a_cell_is_an_option(home, capsys):
    write_lesson("01_a", "while True: pass")
    assert cli.main(["run", "--timeout", "5"]) == 1
    assert "took longer than 5 s" in capsys.readouterr().out


def test_pretrain_hands_its_arguments_on(monkeypatch):
    seen = []
    fake = types.SimpleNamespace(main=lambda argv: seen.append(argv))
    monkeypatch.setitem(sys.modules, "helpers.pretraining.command", fake)
    assert cli.main(["pretrain", "tiny-clip", "--steps", "3"]) == 0
    assert cli.main(["pretrain", "--help"]) == 0
    assert seen == [["tiny-clip", "--steps", "3"], ["--help"]]


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["walk"],
        ["run", "--jobs", "0"],
        ["run", "--jobs", "two"],
        ["run", "--timeout", "-1"],
        ["run", "--timeout", "nan"],
        ["run", "01"],
    ],
)
def test_a_malformed_command_exits_with_two(argv, capsys):
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("course: ")
    assert error.count("\n") == 1


class Refused(ValueError):
    """As a module of the package would raise it."""

    __module__ = "helpers.somewhere"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Refused("the thing\nis 3"), "course: the thing is 3\n"),
        (OSError(28, "No space left"), "course: no room to write: [Errno 28] No space left; free"),
        (ValueError("bad header"), "course: bad header; the same command with --debug shows where"),
        (KeyError("adapter"), "course: this command met something that it was not written for"),
        (Refused("x" * 5000), "course: xxx"),
    ],
)
def test_every_error_is_one_line_and_debug_shows_the_traceback(
    home, capsys, monkeypatch, error, line
):
    def fail(*_):
        raise error

    monkeypatch.setattr(cli, "find_lessons", fail)
    assert cli.main(["list"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.count("\n") == 1
    assert len(said) < 1200
    assert cli.main(["list", "--debug"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Traceback")
    assert said.splitlines()[-1].startswith(line.strip())


@pytest.mark.parametrize("command", [["run"], ["list"], ["search", "soup"]])
def test_an_empty_name_is_not_the_default_name(home, capsys, command):
    write_lesson("01_a")
    assert cli.main([*command, "--name", ""]) == 2
    assert "--name '' is no folder name" in capsys.readouterr().err


def test_no_lessons_is_an_error_not_a_traceback(home, capsys):
    assert cli.main(["list"]) == 2
    assert capsys.readouterr().err.startswith("course: no lesson")


def test_the_module_is_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "helpers.course.cli", "--version"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == f"course {__version__}\n"
