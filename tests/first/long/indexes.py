"""Index files at length: 2,000 damaged ones, of every kind, and a database under fire."""

import tempfile
import time
from pathlib import Path

from helpers.first.retrieval.index import save_index
from helpers.first.retrieval.milvus import open_milvus
from tests.first.damage_indexes import refused
from tests.first.milvus_work import space_of, upserts_while_searching
from tests.first.test_vector_index import EXACT, filled

Row = tuple[str, int, int, float]


def main() -> list[Row]:
    """A row a test: its name, tried, passed, seconds."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folders = [save_index(filled(kind, 40), Path(name) / kind.name) for kind in EXACT]
        tried, passed = refused(folders, 2000)
    rows = [("damaged index files are refused", tried, passed, time.perf_counter() - begun)]
    return [*rows, upserts(20_000)]


def upserts(n: int, *, d: int = 64) -> Row:
    """``n`` rows written and replaced in a database while it is searched; passed: not lost."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        store = open_milvus(f"{name}/m.db", space=space_of(d))
        seen = upserts_while_searching(store, n, d=d, batch=1000)
        store.close()
    print(
        f"{seen.searches} searches while {2 * n:,} rows were written; {seen.errors or 'no error'}"
    )
    kept = 0 if seen.errors else n - len(seen.lost)
    return (f"{n:,} rows replaced in Milvus while searched", n, kept, time.perf_counter() - begun)
