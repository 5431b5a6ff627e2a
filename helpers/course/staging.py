"""How a finished lesson takes the place of an earlier one, whenever the process is killed.

A lesson is executed into a staging folder beside its target, ``.<slug>.<pid>``. Only a complete one
is swapped in: the earlier result is renamed to ``.<slug>.old``, the new one takes its name, and the
old one is deleted. At every moment either the target or ``.old`` holds a whole result, so that
``recover`` can mend a swap that was killed half way.
"""

import os
import re
import shutil
from pathlib import Path

from helpers.course.state import run_folder
from helpers.store.zones import PART

OF_A_STUDY = ("design.yaml", "*.parquet", "runs")  # of no run: they stay where a report is replaced


def staging_folder(name: str, slug: str) -> Path:
    """A new, empty staging folder for a lesson."""
    folder = run_folder(name) / f".{slug}.{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "figures").mkdir(parents=True)
    return folder


def swap(staging: Path, folder: Path) -> None:
    """Put a staged report in the place of an earlier one, which is deleted last.

    The design, ranks and trainings of a study lie in the same folder and are carried over.
    """
    aside = folder.with_name(f".{folder.name}.old")
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
    folder, notes = run_folder(name), []
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
