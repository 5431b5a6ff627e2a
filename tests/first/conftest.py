"""Fixtures that several test modules share."""

from pathlib import Path

import pytest

from tests.data.conftest import (  # noqa: F401 - fixtures, used by their names
    folder_source,
    picture,
    real_recipes,
    write_jsonl,
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty course: ``COURSE_HOME`` points at a folder with an empty ``notebooks/``."""
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    return tmp_path
