"""Zones: a tree of files under one root, in a folder or in an object store, behind the same calls.

A key is a relative posix path such as ``trusted-zone/images/007/0.jpg``. Keys are checked before
anything is opened: nothing outside a zone is read or written. What differs between a folder and an
object store (renaming, links, where a lock lies) is said in ``LocalZone``; what a real store adds
(credentials, time-outs, retries) is in ``s3``.
"""

import hashlib
import os
import re
import unicodedata
import uuid
from dataclasses import dataclass
from pathlib import Path

from upath import UPath

from helpers import paths
from helpers.store.credentials import refuse_keys

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PART = ".part"  # what a killed write leaves behind ends so


class KeyRefused(ValueError):
    """A key that is not a plain relative path inside a zone."""


class StoreError(RuntimeError):
    """A store that did not do what it was asked; names store, operation, key and remedy."""


def write_file_atomically(path: Path | str, data: bytes) -> None:
    """Write a local file so that a reader sees the old bytes or the new ones, never a piece.

    The bytes are not forced to the disk: a manifest's sizes and hashes find what a power cut ruins.
    """
    path = Path(path)
    beside = path.with_name(f".{uuid.uuid4().hex}{PART}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def check_key(key: str) -> str:
    """Give the key back if it is a plain relative posix path.

    Raises ``KeyRefused`` for an empty key, ``..``, ``.`` or an empty part, a leading ``/``, a
    backslash, a drive, a control character, and text that is not in Unicode's form NFC.

    >>> check_key("trusted-zone/images/007/0.jpg")
    'trusted-zone/images/007/0.jpg'
    """
    first, *_ = parts = key.split("/")
    odd = any(unicodedata.category(c) in ("Cc", "Cs") for c in key)
    problems = {
        "is empty": not key,
        "holds a control character or half of a surrogate pair": odd,
        "holds a backslash": "\\" in key,
        "starts at the root of the file system": not first,
        "starts with a drive or a scheme": ":" in first,
        "holds an empty part, '.' or '..'": not {"", ".", ".."}.isdisjoint(parts),
        "is not in Unicode's form NFC": not unicodedata.is_normalized("NFC", key),
    }
    if problem := next((problem for problem, met in problems.items() if met), ""):
        raise KeyRefused(
            f"key {key!r} {problem}; a key is a relative path with '/', such as 'images/7.jpg'"
        )
    return key


@dataclass(frozen=True)
class Zone:
    """A root and the operations on keys below it, as any file system of fsspec has them."""

    root: UPath

    @property
    def name(self) -> str:
        """The last part of the root: the run's name, unless another zone was asked for."""
        return self.root.name or self.root.drive

    def path(self, key: str) -> UPath:
        """Where a key lies. Raises ``KeyRefused`` (see ``check_key``)."""
        return self.root.joinpath(*check_key(key).split("/"))

    def read_bytes(self, key: str) -> bytes:
        """The bytes of a file. Raises ``FileNotFoundError``."""
        return self.path(key).read_bytes()

    def read_text(self, key: str) -> str:
        """The text of a UTF-8 file, line ends as they are. Raises ``FileNotFoundError``."""
        return self.read_bytes(key).decode("utf-8")

    def write_bytes(self, key: str, data: bytes) -> None:
        """Write a file whole or not at all; what lay there before is replaced."""
        self.path(key).write_bytes(data)

    def exists(self, key: str) -> bool:
        """Whether a file lies at this key (a folder is no file)."""
        return self.path(key).is_file()

    def sizes(self, prefix: str) -> dict[str, int]:
        """The size in bytes of each file below a folder, or of the one file that ``prefix`` names.

        One listing, however many files; a folder that is missing is empty.
        """
        base = self.path(prefix.rstrip("/"))
        base.fs.invalidate_cache()  # another process may have written since
        found = base.fs.find(base.path, detail=True)
        start = len(self.root.path.rstrip("/")) + 1
        return {name[start:]: int(entry["size"]) for name, entry in found.items()}

    def list(self, prefix: str) -> list[str]:
        """The keys of ``sizes``, sorted."""
        return sorted(self.sizes(prefix))

    def remove(self, key: str) -> None:
        """Remove a file. Raises ``FileNotFoundError``."""
        self.path(key).unlink()

    def lock_path(self, name: str) -> Path:
        """The local file that stands for the right to build ``name`` here.

        Object stores have no locks: this one holds among the processes of one machine that share
        ``data/cache``. Nothing holds between machines: give each a zone of its own.
        """
        return paths.cache() / "locks" / hashlib.sha256(f"{self}/{name}".encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return str(self.root)


@dataclass(frozen=True)
class LocalZone(Zone):
    """A zone in a folder: links may not lead out of it, and files are renamed into their place."""

    def path(self, key: str) -> UPath:
        """Where a key lies. Raises ``KeyRefused``, also for a link that leads out of the zone."""
        place = super().path(key)
        real, root = os.path.realpath(place), os.path.realpath(self.root)
        if not real.startswith(root + os.sep):
            raise KeyRefused(f"key {key!r} leads out of the zone {root}, to {real}, through a link")
        return place

    def write_bytes(self, key: str, data: bytes) -> None:
        write_file_atomically(self.path(key), data)

    def sizes(self, prefix: str) -> dict[str, int]:
        prefix = prefix.rstrip("/")
        place = self.path(prefix)
        if place.is_file():
            return {prefix: place.stat().st_size}
        files = (p for p in Path(place).rglob("*") if p.is_symlink() or not p.is_dir())
        return {f"{prefix}/{p.relative_to(place).as_posix()}": p.lstat().st_size for p in files}

    def lock_path(self, name: str) -> Path:
        """The file that stands for the right to build ``name`` here, for all who share it."""
        return Path(self.path(f"manifests/{name}.lock"))


def open_zone(zone: str, *, name: str = "tiny") -> Zone:
    """Open a zone: a folder (see ``paths.find`` for a relative one) or ``s3://bucket/prefix``.

    Empty: ``data/zones/<name>``, by the run's name. Nothing is made before something is written.

    Raises ``ValueError`` for an unknown scheme, a name that is no plain folder name, a root that is
    a file, a bucket or prefix that is none, and where the address or keys of a store are missing.

    >>> open_zone("memory://doctest").list("trusted-zone")
    []
    """
    refuse_keys(zone, what="the zone", variable="MINIO_USER and MINIO_PASSWORD")
    if zone.startswith("s3://"):
        from helpers.store.s3 import open_s3_zone  # here: it takes a second to import

        return open_s3_zone(zone)
    if zone.startswith("memory://"):
        return Zone(UPath(zone))
    scheme, found, _ = zone.partition("://")
    if found:
        known = "s3://, memory://"
        raise ValueError(f"zone {zone!r}: unknown scheme {scheme!r}; use a folder or {known}")
    if not zone and check_key(name) and "/" in name:
        raise ValueError(f"zone name {name!r} holds a '/'; use a plain name such as 'tiny'")
    folder = paths.find(zone) if zone else paths.zones() / name
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"zone {zone!r}: {folder} is a file; a zone is a folder")
    return LocalZone(UPath(folder))
