"""A file that is either whole or not there: written beside its place, then renamed."""

import os
import uuid
from pathlib import Path

PART = ".part"  # what a killed write leaves behind ends so


def write_file_atomically(path: Path | str, data: bytes) -> None:
    """Write a local file so that a reader sees the old bytes or the new ones, never a piece.

    Missing folders are made. The bytes are not forced to the disk: a manifest's sizes and hashes
    find what a power cut destroys.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "a" / "b.txt"
    >>> write_file_atomically(place, b"whole"); place.read_bytes()
    b'whole'
    """
    path = Path(path)
    beside = path.with_name(f".{uuid.uuid4().hex}{PART}")
    try:
        stream = beside.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = beside.open("xb")
    try:
        with stream:
            stream.write(data)
        os.replace(beside, path)  # noqa: PTH105 (one call less for each of many images)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
