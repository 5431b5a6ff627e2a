"""What all tests share: how many examples hypothesis draws, and fresh zones."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from helpers.models.encoder import weights_fingerprint
from helpers.store.zones import open_zone
from tests import small_models

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


@pytest.fixture(autouse=True)
def shared_models_stay_as_they_are():
    """Tests adapt copies of the small models: whoever trains a shared one fails, by name."""
    yield
    for (family, seed), encoder in small_models.SHARED.items():
        if weights_fingerprint(encoder.model) != encoder.fingerprint:
            del small_models.SHARED[family, seed]
            pytest.fail(
                f"this test changed the shared model small_encoder({family!r}, seed={seed})"
            )
