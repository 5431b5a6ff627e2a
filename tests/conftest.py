"""What all tests share: how hypothesis draws, and a course of its own for the runner's tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline: a busy machine is no defect. The same examples everywhere unless one asks for more.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty course: ``COURSE_HOME`` points at a folder with an empty ``notebooks/``."""
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    return tmp_path
