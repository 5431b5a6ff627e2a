"""One builder at a time: a lock file that says who holds it and since when.

The operating system holds the lock (through ``filelock``), so that a killed process frees it; the
note beside it is for people only.
"""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from helpers.store.atomic import write_file_atomically


class Busy(RuntimeError):
    """Somebody else holds the lock; the message says who, since when and for what."""


@contextmanager
def held(path: Path | str, *, what: str, wait: bool = True) -> Iterator[None]:
    """Hold the lock at ``path`` while the block runs.

    Parameters
    ----------
    path : Path
        The lock file; it and its folder are made, and the empty file stays.
    what : str
        What the holder does, for the message that others get ("building 'pairs'").
    wait : bool
        Wait for the holder, saying so once on standard error; otherwise refuse at once.

    Raises
    ------
    Busy
        If the lock is held and ``wait`` is false.

    >>> import tempfile
    >>> with held(Path(tempfile.mkdtemp()) / "a.lock", what="a doctest"): pass
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        message = f"{what}: {holder(path)}"
        if not wait:
            raise Busy(f"{message}; wait until it ends, or end that process") from error
        print(f"waiting. {message}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        write_file_atomically(_note(path), json.dumps(_self(what)).encode())
        yield
    finally:
        _note(path).unlink(missing_ok=True)
        lock.release()


def holder(path: Path | str) -> str:
    """Who holds the lock, in words, as far as the note beside it tells."""
    try:
        note = json.loads(_note(Path(path)).read_text(encoding="utf-8"))
    except FileNotFoundError:  # taken, and its note not yet written
        return f"the lock {path} is held by another process"
    return (
        f"the lock {path} is held by process {note['pid']} on {note['host']} "
        f"since {note['since']} ({note['what']})"
    )


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".holder")


def _self(what: str) -> dict[str, str | int]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "what": what}
