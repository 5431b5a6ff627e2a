"""What all tests share: how many examples hypothesis draws, and fresh zones."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from helpers.store.zones import open_zone

# No deadline: a busy machine is no defect. The same examples everywhere unless one asks for more.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture(params=["folder", "object store"])
def zone(request: pytest.FixtureRequest, tmp_path: Path):
    """A fresh zone: a folder, and a memory file system in the place of an object store."""
    if request.param == "folder":
        yield open_zone(str(tmp_path / "zone"))
        return
    opened = open_zone(f"memory://{tmp_path.name}")
    yield opened
    opened.root.fs.rm("/", recursive=True)


@pytest.fixture
def local_zone(tmp_path: Path):
    """A fresh zone in a folder."""
    return open_zone(str(tmp_path / "zone"))
