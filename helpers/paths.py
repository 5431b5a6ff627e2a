"""Where things lie: the repository's root and the folders that the course reads and writes.

Notebooks run from the root (papermill) or from ``notebooks/`` (Jupyter, nbmake); everything here is
absolute, so that neither matters.
"""

import os
from pathlib import Path


def root() -> Path:
    """The course's root: ``COURSE_HOME`` where it is set, else the repository of this package."""
    home = os.environ.get("COURSE_HOME", "")
    return Path(home).expanduser().resolve() if home else Path(__file__).resolve().parents[1]


def notebooks() -> Path:
    """The numbered lessons."""
    return root() / "notebooks"


def here() -> Path:
    """Where a command was given; the root for a notebook that Jupyter runs in its own folder."""
    now = Path.cwd()
    return root() if now == notebooks().resolve() else now


def places(text: str | Path) -> tuple[Path, ...]:
    """Where a path that a user wrote is looked for: where the command was given, below the root."""
    given = Path(text).expanduser()
    return tuple(dict.fromkeys(Path(os.path.normpath(base / given)) for base in (here(), root())))


def find(text: str | Path) -> Path:
    """The first of ``places`` that exists; where none does, the one below the root."""
    found = places(text)
    return next((place for place in found if place.exists()), found[-1])


def fresh(text: str | Path) -> Path:
    """As ``find``, for what a command is to make: where nothing is yet, where it was given."""
    found = find(text)
    return found if found.exists() else places(text)[0]


def portable(path: Path) -> str:
    """A path that means the same in a later command: from the root where it lies below it.

    >>> portable(root() / "data" / "zones")
    'data/zones'
    """
    short = path.relative_to(root()).as_posix() if path.is_relative_to(root()) else str(path)
    return short if find(short) == path else str(path)


def tiny() -> Path:
    """The committed tiny checkpoints, one folder a model."""
    return root() / "data" / "tiny"


def zones() -> Path:
    """The default parent of local zones, one folder a run's name."""
    return root() / "data" / "zones"


def cache() -> Path:
    """Whatever may be deleted at any time."""
    return root() / "data" / "cache"


def reports() -> Path:
    """Executed lessons, figures and results, one folder a run's name."""
    return root() / "reports"


def report_folder(report: str, lesson: str) -> Path:
    """The folder that a lesson writes its figures and results to, made if it is missing.

    ``report`` is the lesson's parameter; empty, as when a learner runs the notebook by hand, means
    ``reports/interactive/<lesson>``, so that a walk through a lesson never touches a finished run.
    """
    folder = fresh(report) if report else reports() / "interactive" / lesson
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    return folder


def study(lesson: str) -> Path:
    """The committed study of a lesson: its design, ranks and runs."""
    return reports() / "study" / lesson
