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
    folder = Path(report) if report else reports() / "interactive" / lesson
    folder = folder if folder.is_absolute() else root() / folder
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    return folder


def study(lesson: str) -> Path:
    """The committed study of a lesson: its design, ranks and runs."""
    return reports() / "study" / lesson
