"""Folders of a run: a report is replaced whole or not at all, whenever the process is killed."""

from pathlib import Path

import pytest

from helpers.course import staging, state
from helpers.course.lessons import CourseError


def content(folder: Path) -> str:
    return (folder / "run.json").read_text()


def fill(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(text)
    return folder


def test_a_new_report_takes_the_place_of_the_old_one(home):
    target = fill((state.run_folder("tiny") / "01_a"), "old")
    staged = staging.staging_folder("tiny", "01_a")
    fill(staged, "new")
    staging.swap(staged, target)
    assert content(target) == "new"
    assert [p.name for p in target.parent.iterdir()] == ["01_a"]


def test_design_ranks_and_trainings_of_a_study_stay_where_its_report_is_replaced(home):
    target = fill((state.run_folder("study") / "01_a"), "old")
    kept = ("design.yaml", "ranks.parquet", "runs.parquet", "runs/LoRA-1/info.json")
    for name in kept:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(name)
    staging.swap(fill(staging.staging_folder("study", "01_a"), "new"), target)
    assert content(target) == "new"
    assert [(target / name).read_text() for name in kept] == list(kept)


def test_a_staging_folder_is_empty_and_beside_the_target(home):
    staged = staging.staging_folder("tiny", "01_a")
    fill(staged, "left over")
    again = staging.staging_folder("tiny", "01_a")
    assert again.parent == state.run_folder("tiny")
    assert [p.name for p in again.iterdir()] == ["figures"]
    assert again.name.startswith(".01_a.")


class Killed(BaseException):
    """Stands for a kill signal: nothing catches it."""


@pytest.mark.parametrize(("step", "expected"), [(1, "old"), (2, "old"), (3, "new")])
def test_a_kill_at_any_step_of_the_swap_leaves_a_whole_report(home, monkeypatch, step, expected):
    target = fill((state.run_folder("tiny") / "01_a"), "old")
    staged = fill(staging.staging_folder("tiny", "01_a"), "new")
    steps = []

    def counted(real):
        def call(*args, **kwargs):
            steps.append(real)
            if len(steps) == step:
                raise Killed
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", counted(Path.rename))
        patched.setattr(staging.shutil, "rmtree", counted(staging.shutil.rmtree))
        with pytest.raises(Killed):
            staging.swap(staged, target)
    staging.recover("tiny")
    assert content(target) == expected
    assert [p.name for p in target.parent.iterdir()] == ["01_a"]


def test_recovery_says_what_it_did_and_touches_nothing_else(home):
    folder = state.run_folder("tiny")
    fill(folder / ".01_a.old", "old")
    fill(folder / ".03_b.4711", "half")
    fill(folder / "05_c", "whole")
    (folder / ".lock").write_text("")
    (folder / ".0123.part").write_text("half of a table")
    notes = staging.recover("tiny")
    assert any("01_a" in n and "it is back" in n for n in notes)
    assert any("4711" in n and "removed" in n for n in notes)
    assert sorted(p.name for p in folder.iterdir()) == [".lock", "01_a", "05_c"]
    assert staging.recover("tiny") == []


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b", "ä", "x" * 65, "-p", "a\0b"])
def test_a_name_that_is_no_folder_is_refused(home, name):
    with pytest.raises(CourseError, match="no folder name"):
        state.run_folder(name)


@pytest.mark.parametrize("name", ["interactive", "Gallery"])
def test_a_name_that_is_taken_is_refused(home, name):
    with pytest.raises(CourseError, match="kept for other things"):
        state.run_folder(name)
