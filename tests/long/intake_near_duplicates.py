"""The search for near-duplicates on drawn dishes and on photographs, and what other bounds give.

``main`` plants on seeds that took no part in the choice of the bounds; the table of other bounds is
printed before.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import paths
from helpers.data.duplicates import (
    MAX_BITS,
    MAX_COLOR_GAP,
    MIN_STRUCTURE,
    find_matches,
)
from helpers.data.images import encode_jpeg, load_image, normalise
from tests.data.planted import KINDS, drawn_pictures, with_planted

Row = tuple[str, int, int, float]
Pictures = tuple[list[Image.Image], list[str]]
PLANTED, SEEDS = 100, (101, 102, 103)
FOUND = 0.98  # of the planted, at least
BITS, STRUCTURE, GAPS = (6, 8, 10, 12), (0.8, 0.86, 0.9, 0.94), (0.02, 0.03, 0.04, 0.06, 0.1)


def photographs() -> Pictures:
    """The real recipes' pictures, 128 pixels a side; none where the data do not lie here."""
    given = os.environ.get("COURSE_REAL_DATA", "")
    base = Path(given) if given else paths.root().parent / "shared" / "real"
    files = sorted((base / "public-domain-recipes" / "static").rglob("*.webp"))
    images = [normalise(load_image(file.read_bytes()), image_px=128) for file in files]
    return [load_image(encode_jpeg(image)) for image in images], [file.stem for file in files]


def counts(pictures: Pictures, *, seed: int, **bounds: float) -> tuple[dict[str, int], int]:
    """How many planted pictures of each kind were found, and the pairs joined of two recipes."""
    images, ids = pictures
    small, rows = with_planted(images, count=PLANTED, seed=seed)
    found = find_matches(small, **bounds)
    recipes = np.array([*ids, *(ids[row] for row in rows)])
    got = set(zip(found.a.tolist(), found.b.tolist(), strict=True))
    n = dict.fromkeys(KINDS, 0)
    for i, row in enumerate(rows):
        n[KINDS[i % 4]] += (int(row), len(images) + i) in got
    return n, int((recipes[found.a] != recipes[found.b]).sum())


def trade_off(pictures: Pictures, name: str) -> None:
    """Print what other bounds would find and join, each changed alone."""
    print(f"\n{name}: {len(pictures[0])} pictures and {PLANTED} planted, seed {SEEDS[0]}")
    print(f"{'bound':<24} {'found':>6} {'false':>6}  {', '.join(KINDS)}")
    changes = [("max_bits", value) for value in BITS]
    changes += [("min_structure", value) for value in STRUCTURE]
    changes += [("max_color_gap", value) for value in GAPS]
    for bound, value in changes:
        found, false = counts(pictures, seed=SEEDS[0], **{bound: value})
        kinds = ", ".join(map(str, found.values()))
        print(f"{bound + ' = ' + str(value):<24} {sum(found.values()):>6} {false:>6}  {kinds}")


def main() -> list[Row]:
    """Plant in each set of pictures, for each seed; a line for found and one for falsely joined."""
    sets: dict[str, Callable[[], Pictures]] = {
        "drawn dishes": lambda: drawn_pictures(1500, seed=42),
        "drawn dishes of another seed": lambda: drawn_pictures(1500, seed=7),
        "photographs": photographs,
    }
    rows = []
    print(f"bounds: {MAX_BITS} bits, structure {MIN_STRUCTURE}, color gap {MAX_COLOR_GAP}")
    for name, load in sets.items():
        pictures = load()
        if not pictures[0]:
            print(f"{name}: none here; COURSE_REAL_DATA names another place")
            continue
        if name != "drawn dishes of another seed":
            trade_off(pictures, name)
        begun = time.perf_counter()
        results = [counts(pictures, seed=seed) for seed in SEEDS]
        seconds = time.perf_counter() - begun
        tried = PLANTED * len(SEEDS)
        found = sum(sum(kinds.values()) for kinds, _ in results)
        joined = sum(false for _, false in results)
        enough = found >= FOUND * tried
        print(f"{name}: {found} of {tried} planted found, {joined} pairs falsely joined")
        rows.append((f"{name}: planted found ({found}), 98 % wanted", 1, int(enough), seconds))
        rows.append((f"{name}: of two recipes joined ({joined})", 1, int(joined == 0), 0.0))
    return rows
