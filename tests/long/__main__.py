"""``python -m tests.long [MODULE ...]``: run the long tests and print one table.

Ends with 1 if a case failed or a module did not run, with 0 if all passed.
"""

import importlib
import pkgutil
import sys
import time
import traceback
from collections.abc import Sequence

from tests import long

Row = tuple[str, int, int, float]
LINE = "{:<66} {:>6} {:>6} {:>8}"


def modules() -> list[str]:
    """The names of the modules in this folder that hold long tests."""
    return sorted(m.name for m in pkgutil.iter_modules(long.__path__) if m.name != "__main__")


def rows_of(name: str) -> list[Row]:
    """The rows of a module; one failed row where it raises, whose traceback is printed."""
    begun = time.perf_counter()
    try:
        return importlib.import_module(f"tests.long.{name}").main()
    except Exception:  # noqa: BLE001 (whatever it raises is the finding; the others still run)
        traceback.print_exc()
        return [(f"{name}: did not run to its end", 1, 0, time.perf_counter() - begun)]


def failed(row: Row) -> bool:
    """Whether a line is no success: a case failed, or none was tried."""
    _, tried, passed, _ = row
    return tried < 1 or passed != tried


def main(chosen: Sequence[str]) -> int:
    """Run the chosen modules, all of them where none is named."""
    unknown = sorted(set(chosen) - set(modules()))
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are: {', '.join(modules())}", file=sys.stderr)
        return 2
    rows = []
    for name in chosen or modules():
        print(f"running {name} ...", file=sys.stderr, flush=True)
        rows += rows_of(name)
    print(LINE.format("test", "tried", "passed", "seconds"))
    for row in rows:
        name, tried, passed, seconds = row
        mark = "   FAILED" if failed(row) else ""
        print(LINE.format(name, tried, passed, f"{seconds:.1f}") + mark)
    bad = sum(map(failed, rows))
    print(f"{bad} of {len(rows)} lines failed" if bad else f"all {len(rows)} lines passed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
