"""``course reset``: a lesson as the course made it; the learner's own version is kept."""

import argparse
import contextlib
import itertools
import subprocess
from itertools import count
from pathlib import Path

from helpers import paths
from helpers.course.lessons import CourseError, did_you_mean
from helpers.store.zones import write_file_atomically

ANSWERS = "answers"  # below the course's root; git ignores it, and no test runs what lies there


def add_reset(commands: argparse._SubParsersAction) -> None:
    """The grammar of the command."""
    reset = commands.add_parser(
        "reset", help="put a lesson's notebook back; yours is kept",
        description="Put the notebooks of lessons back to what the course made. What you wrote is "
        f"kept in {ANSWERS}/.",
        epilog="example: course reset 03",
    )  # fmt: skip
    reset.add_argument("lessons", nargs="+", metavar="LESSON", help="its number or its name")
    reset.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Put every named lesson back; the exit code."""
    chosen = [_notebook(name) for name in dict.fromkeys(arguments.lessons)]
    originals = [(path, _original(path)) for path in chosen]  # all are there before one is changed
    for path, original in originals:
        now = path.read_bytes()
        if now == original:
            print(f"{path.stem} is as the course made it; nothing is changed")
            continue
        kept = _free(path)
        write_file_atomically(kept, now)
        write_file_atomically(path, original)
        print(
            f"{path.stem} is as the course made it again; yours is kept in "
            f"{kept.relative_to(paths.root()).as_posix()}"
        )
    return 0


def _notebook(name: str) -> Path:
    """The file of a lesson, which may not be readable as a notebook any more."""
    files = sorted(paths.notebooks().glob("[0-9][0-9]_*.ipynb"))
    named = {n: p for p in files for n in (p.name, p.stem, p.stem[:2], str(int(p.stem[:2])))}
    if name not in named:
        there = [path.stem for path in files]
        raise CourseError(
            f"no lesson is called {name!r}{did_you_mean(name, there)} (there are: "
            f"{', '.join(there)})"
        )
    return named[name]


def _original(path: Path) -> bytes:
    """What git has of a notebook."""
    place = f"HEAD:./{path.relative_to(paths.root()).as_posix()}"
    with contextlib.suppress(FileNotFoundError):  # no git on this machine
        command = ["git", "show", place]
        done = subprocess.run(command, cwd=paths.root(), capture_output=True, check=False)
        if not done.returncode:
            return done.stdout
    raise CourseError(
        f"{paths.root()} is no git repository that holds {path.name}, so its original is not here: "
        "download it again from where the course came from and put it in its place (nothing is "
        "changed)"
    )


def _free(path: Path) -> Path:
    """A name in ``answers/`` that no earlier version has."""
    folder = paths.root() / ANSWERS
    folder.mkdir(exist_ok=True)
    names = itertools.chain([path.name], (f"{path.stem}-{n}{path.suffix}" for n in count(2)))
    return next(folder / name for name in names if not (folder / name).exists())
