"""An empty course, and one of four lessons with a stand-in for the kernel."""

from pathlib import Path

import pytest

from helpers.course import execute
from tests.course.small_lessons import FakeKernel, write_lesson


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty course: ``COURSE_HOME`` points at a folder with an empty ``notebooks/``."""
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    return tmp_path


@pytest.fixture
def kernel(home: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """Lessons 01, 03 (on 01), 04 (on 03) and 08, and a kernel that is none."""
    write_lesson("01_a")
    write_lesson("03_b", builds_on=("01",))
    write_lesson("04_c", builds_on=("03",))
    write_lesson("08_d", question="Why <b>this</b>?")
    fake = FakeKernel()
    monkeypatch.setattr(execute, "execute", fake)
    return fake
