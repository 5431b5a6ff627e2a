"""Damage to index files: flipped bits, cut ends, bytes that were not there."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.first.retrieval.index import load_index
from helpers.first.retrieval.space import IndexRefused


def damaged(content: bytes, trial: int, rng: np.random.Generator) -> bytes:
    """Other bytes than ``content``, by one of three faults."""
    wrong = bytearray(content)
    place = int(rng.integers(len(wrong)))
    if trial % 3 == 0:
        wrong[place] ^= 1 << int(rng.integers(8))
    elif trial % 3 == 1:
        wrong = wrong[:place]
    else:
        wrong[place:place] = bytes(255 - b for b in wrong[place : place + 1]) * 3
    assert bytes(wrong) != content
    return bytes(wrong)


def refused(folders: Sequence[Path], trials: int) -> tuple[int, int]:
    """How many files were damaged, one at a time, and how many of them were refused as damaged."""
    files = [path for folder in folders for path in sorted(folder.iterdir())]
    rng, count = np.random.default_rng(0), 0
    for trial in range(trials):
        path = files[trial % len(files)]
        content = path.read_bytes()
        path.write_bytes(damaged(content, trial, rng))
        try:
            load_index(path.parent)
        except IndexRefused as error:
            count += "is damaged" in str(error) or "is no sidecar" in str(error)
        path.write_bytes(content)
    return trials, count
