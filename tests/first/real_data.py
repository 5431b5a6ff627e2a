"""Where real data that is no part of the project lies, if it does; tests skip without it."""

from pathlib import Path

import pytest

import helpers

REAL = Path(helpers.__file__).resolve().parents[2] / "shared" / "real"
CIRR, FASHIONIQ = REAL / "cirr", REAL / "fashioniq"


def _needs(folder: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not folder.is_dir(), reason=f"{folder.name} is not on this machine")


real_cirr, real_fashioniq = _needs(CIRR), _needs(FASHIONIQ)
