"""Annotations of benchmarks that are no part of the project, where they lie on this machine."""

import os
from pathlib import Path

import pytest

from helpers import paths


def real(name: str) -> Path:
    """The folder of a benchmark; the test is skipped where there is none."""
    given = os.environ.get("COURSE_REAL_DATA", "")
    base = Path(given) if given else paths.root().parent / "shared" / "real"
    if not (base / name).is_dir():
        pytest.skip(f"no {name} at {base}; COURSE_REAL_DATA names another place")
    return base / name


@pytest.fixture
def cirr() -> Path:
    """CIRR's annotations, and examples of files for its test server."""
    return real("cirr")


@pytest.fixture
def fashioniq() -> Path:
    """FashionIQ's annotations of the validation split."""
    return real("fashioniq")
