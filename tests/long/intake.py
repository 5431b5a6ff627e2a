"""Bad input at length: damaged images and lines, hostile keys, fuzzed lines.

``tests/test_intake_damage.py`` tries a tenth of it in the ordinary tests.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from helpers.store.zones import open_zone
from tests.data.damage import IMAGES, LARGE
from tests.data.damage_records import HOSTILE, LINES
from tests.data.intake_checks import (
    damaged_images,
    damaged_lines,
    fuzzed,
    hostile_image_keys,
    hostile_zone_keys,
    memory_of_large_headers,
    survives_pairs,
)

Row = tuple[str, int, int, float]
VARIANTS, FUZZED = 25, 1000
MEMORY_MB = 100


def _kinds(names: list[str], check: Callable[[str, int, Path], list[str]]) -> tuple[int, list[str]]:
    failures = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            failures += check(name, VARIANTS, Path(folder))
    return len(names) * VARIANTS, failures


def _large() -> tuple[int, list[str]]:
    refused, grown = memory_of_large_headers(VARIANTS)
    tried = len(LARGE) * VARIANTS
    failures = [f"{tried - refused} were not refused"] * (tried - refused)
    return tried, failures or [f"{grown:.0f} MB"] * (grown >= MEMORY_MB)


def _keys(place: str) -> tuple[int, list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        if place == "source":
            return len(HOSTILE), hostile_image_keys(base)
        zone = open_zone(str(base / "zone") if place == "folder" else f"memory://{base.name}")
        return len(HOSTILE), hostile_zone_keys(zone, base)


def _survival() -> tuple[int, list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        return 1, [] if survives_pairs(Path(folder)) else ["007 or NA changed"]


def main() -> list[Row]:
    """Try all of it; what fails is printed."""
    n_images, n_lines = len(IMAGES), len(LINES)
    tests: dict[str, Callable[[], tuple[int, list[str]]]] = {
        f"{n_images} kinds of image come out right or with a reason": lambda: _kinds(
            list(IMAGES), damaged_images
        ),
        f"{n_lines} kinds of bad line are named, counts reconcile": lambda: _kinds(
            list(LINES), damaged_lines
        ),
        f"over 50 megapixels refused within {MEMORY_MB} MB": _large,
        "hostile keys stay in a zone in a folder": lambda: _keys("folder"),
        "hostile keys stay in a zone in memory": lambda: _keys("memory"),
        "hostile keys stay in a source's folder": lambda: _keys("source"),
        "fuzzed lines are recipes or named by number": lambda: fuzzed(FUZZED),
        "007 and NA survive the way to the pairs": _survival,
    }
    rows = []
    for name, test in tests.items():
        begun = time.perf_counter()
        tried, failures = test()
        for failure in failures[:5]:
            print(f"{name}: {failure[:300]}", file=sys.stderr)
        passed = max(0, tried - len(failures))
        rows.append((name, tried, passed, time.perf_counter() - begun))
    return rows


if __name__ == "__main__":
    from tests.long.__main__ import main as table

    sys.exit(table(["intake"]))
