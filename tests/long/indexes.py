"""Index files at length: 2,000 damaged ones, of every kind, and a database under fire."""

import tempfile
import time
from pathlib import Path

from helpers.retrieval.index_files import save_vectors
from tests.damage_indexes import refused
from tests.test_vector_index import EXACT, filled

Row = tuple[str, int, int, float]


def main() -> list[Row]:
    """A row a test: its name, tried, passed, seconds."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folders = [save_vectors(filled(kind, 40), Path(name) / kind.name) for kind in EXACT]
        tried, passed = refused(folders, 2000)
    return [("damaged index files are refused", tried, passed, time.perf_counter() - begun)]
