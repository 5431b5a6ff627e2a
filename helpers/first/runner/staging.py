"""The folders of a run, and how a finished lesson takes the place of an earlier one.

A lesson is executed into a staging folder beside its target, ``.<slug>.<pid>``. Only a complete one
is swapped in: the earlier result is renamed to ``.<slug>.old``, the new one takes its name, and the
old one is deleted. At every moment either the target or ``.old`` holds a whole result, so that
``recover`` can mend a swap that was killed half way.
"""

import os
import re
import shutil
from pathlib import Path

from helpers import paths
from helpers.first.runner.lessons import CourseError
from helpers.store.zones import PART

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
OF_A_STUDY = ("design.yaml", "*.parquet", "runs")  # of no run: they stay where a report is replaced
TAKEN = ("interactive", "gallery")  # folders of reports/ that are no runs


def run_folder(name: str) -> Path:
    """``reports/<name>``, after a check that the name is a plain folder name."""
    if not NAME.fullmatch(name):
        raise CourseError(
            f"--name {name!r} is no folder name: use letters, digits, '.', '_' and '-', at most 64"
        )
    if name.lower() in TAKEN:
        raise CourseError(f"--name {name!r} is kept for other things; use another name")
    return paths.reports() / name


def runs() -> tuple[str, ...]:
    """The names of the runs that hold a report, or the partial notebook of one that failed."""
    found = {path.parent.name for path in paths.reports().glob("*/[0-9][0-9]_*")}
    return tuple(sorted(found - set(TAKEN)))


def target(name: str, slug: str) -> Path:
    """The folder of a lesson's finished report."""
    return run_folder(name) / slug


def failed_notebook(name: str, slug: str) -> Path:
    """Where the partial notebook of a lesson that failed is kept."""
    return run_folder(name) / f"{slug}.failed.ipynb"


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def staging_folder(name: str, slug: str) -> Path:
    """A new, empty staging folder for a lesson."""
    folder = run_folder(name) / f".{slug}.{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "figures").mkdir(parents=True)
    return folder


def relative(path: Path) -> str:
    """A path as lessons are given it: relative to the root, with forward slashes."""
    return path.relative_to(paths.root()).as_posix()


def swap(staging: Path, folder: Path) -> None:
    """Put a staged report in the place of an earlier one, which is deleted last.

    The design, ranks and trainings of a study lie in the same folder and are carried over.
    """
    aside = _aside(folder)
    for path in [path for pattern in OF_A_STUDY for path in folder.glob(pattern)]:
        copy = shutil.copytree if path.is_dir() else shutil.copy2
        copy(path, staging / path.name)
    if folder.exists():
        folder.rename(aside)
    staging.rename(folder)
    if aside.exists():
        shutil.rmtree(aside)


def recover(name: str) -> list[str]:
    """Mend what a killed run left in ``reports/<name>``, and say what was done.

    The caller holds the lock of the run, so that no staging folder can be in use.
    """
    folder = run_folder(name)
    notes = []
    for aside in sorted(folder.glob(".*.old")):
        whole = folder / aside.name[1 : -len(".old")]
        if whole.exists():
            shutil.rmtree(aside)
            continue
        aside.rename(whole)
        notes.append(f"{whole.name}: an interrupted run had set its report aside; it is back")
    for left in sorted(folder.glob(".*.*")):
        if left.is_dir() and re.fullmatch(r"\.\d\d_.+\.\d+", left.name):
            shutil.rmtree(left)
            notes.append(f"{left.name}: left by an interrupted run, removed")
    for piece in folder.glob(f".*{PART}"):  # of the front page, the table or a record
        piece.unlink()
    return notes
