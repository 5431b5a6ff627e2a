"""One builder at a time between machines, as far as an object store can hold that.

A store has no locks. A claim is an object that is put only where there is none (If-None-Match), and
removed after the build. What holds, and what does not:

- Two machines cannot both put it, so that one of them is refused by name. This rests on the store:
  MinIO, S3 and most others do it; one that does not know the condition replaces the object, and of
  two machines that start within the same moment both may then build.
- A killed process leaves its claim. The machine it ran on sees that it is gone and takes over; any
  other machine cannot see that, refuses, and says which object to delete.
- A claim does not stop whoever does not ask for it (a console, a copy by hand). Manifests and their
  hashes find that, after the fact.

Among the processes of one machine the operating system's lock (``locks``) comes first.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psutil

from helpers.store.locks import Busy
from helpers.store.zones import StoreError, Zone


@contextmanager
def held(zone: Zone, key: str, *, what: str) -> Iterator[None]:
    """Hold the claim at ``key`` while the block runs.

    Parameters
    ----------
    zone : S3Zone
        Where the claim is put; it needs ``write_new``.
    what : str
        What the holder does, for the message that others get.

    Raises
    ------
    Busy
        If another machine, or a living process of this one, holds it.
    StoreError
        If the store does not answer.
    """
    _take(zone, key, what)
    try:
        yield
    except BaseException as error:
        try:
            zone.remove(key)
        except (StoreError, FileNotFoundError) as second:
            error.add_note(f"the claim {zone}/{key} could not be removed either: {second}")
        raise
    zone.remove(key)


def _take(zone: Zone, key: str, what: str) -> None:
    data = json.dumps(_claim(what)).encode()
    while not zone.write_new(key, data):
        try:
            other = json.loads(zone.read_bytes(key))
        except FileNotFoundError:
            continue  # released since
        if not _is_left_behind(other):
            raise Busy(
                f"{what}: claimed by process {other['pid']} on {other['host']} since "
                f"{other['since']} ({other['what']}); wait until it ends or, if that process is "
                f"gone, delete {zone}/{key}"
            )
        zone.write_bytes(key, data)
        return


def _claim(what: str) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": psutil.Process().create_time(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": what,
    }


def _is_left_behind(claim: dict[str, Any]) -> bool:
    """Whether the holder ran on this machine and runs no more; its number may be in use again.

    A claim of this very process is one that it could not remove, or put by an attempt whose answer
    was lost: it holds the local lock by now.
    """
    if claim["host"] != socket.gethostname():
        return False
    if claim["pid"] == os.getpid():
        return True
    try:
        return abs(psutil.Process(claim["pid"]).create_time() - claim["started"]) > 1
    except psutil.NoSuchProcess:
        return True
