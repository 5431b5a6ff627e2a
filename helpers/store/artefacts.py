"""Artefacts: named sets of files in a zone that are built once, checked at every use, never mixed.

A build writes ``manifests/<name>.building`` first, then the files, then ``manifests/<name>.json``,
and drops the marker last. Whatever a killed build leaves is therefore known as its own and rebuilt;
the marker says by which command. A build that ends in an error, or is stopped by its user, takes
back what it wrote. Files that nobody vouches for are refused, never overwritten.
"""

import hashlib
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from helpers import repro
from helpers.store.credentials import without_keys
from helpers.store.zones import PART, StoreError, Zone, check_key, write_file_atomically

SCHEMA = 1
REBUILT = ("missing", "stale", "interrupted")
LITTER = re.compile(r"(^|/)(\.|(Thumbs\.db|desktop\.ini)$)")  # desktops leave it everywhere
_REMEDY = "delete it to have it rebuilt, or use another zone"


class ArtefactError(RuntimeError):
    """An artefact that cannot be trusted; the message names file, difference and remedy."""


class Busy(RuntimeError):
    """Somebody else holds the lock; the message says who, since when and for what."""


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and SHA-256 of one file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a zone knows of one artefact; ``files`` maps keys to their records.

    ``code`` is the fingerprint of the source that built it, ``versions`` those of the libraries and
    ``created`` the time; none of the three enters ``fingerprint``.
    """

    name: str
    kind: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    code: str
    files: Mapping[str, FileRecord]
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    schema: int = SCHEMA

    @property
    def fingerprint(self) -> str:
        """A hash of kind, parameters, inputs and files: the input of what is built on it."""
        hashes = {key: record.sha256 for key, record in self.files.items()}
        about = [self.kind, dict(self.parameters), dict(self.inputs), hashes]
        return repro.hash_of(about, digits=16)


@dataclass
class Writer:
    """What ``build`` writes through: each file is put into the zone and recorded.

    ``prefixes`` are the folders and files that the artefact owns; nothing else may be written.
    """

    zone: Zone
    name: str
    prefixes: tuple[str, ...]
    files: dict[str, FileRecord] = field(default_factory=dict)

    def write_bytes(self, key: str, data: bytes) -> None:
        """Write a file of the artefact. Raises ``ArtefactError`` for a key that is not its own."""
        own = any(map(PurePosixPath(key).is_relative_to, self.prefixes))
        if not own or key in self.files:
            wrong = " twice in one build" if own else f", outside {', '.join(self.prefixes)}"
            raise ArtefactError(f"artefact {self.name!r} writes {key!r}{wrong}")
        self.zone.write_bytes(key, data)
        self.files[key] = FileRecord(len(data), hashlib.sha256(data).hexdigest())

    def write_text(self, key: str, text: str) -> None:
        """Write a UTF-8 file of the artefact."""
        self.write_bytes(key, text.encode("utf-8"))


def ensure(
    zone: Zone,
    name: str,
    *,
    kind: str,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, str],
    build: Callable[[Writer], None],
    prefixes: tuple[str, ...],
    code: str | None = None,
) -> Manifest:
    """The manifest of an artefact that is up to date, built now where it was not.

    ``parameters`` (JSON values) and ``inputs`` (fingerprints) decide the content. ``build`` gets a
    ``Writer`` and writes every file through it. ``prefixes`` are the folders or files that are this
    artefact's alone: other files there are foreign, and what an earlier build left there is removed
    after a new one. ``code`` is the fingerprint of the source that builds it (``code_of``), by
    default the whole package's. A process of this machine that builds the same is waited for. What
    is foreign or corrupt raises ``ArtefactError``.
    """
    parameters, inputs = (json.loads(repro.canonical_json(dict(v))) for v in (parameters, inputs))
    code = repro.code_fingerprint() if code is None else code
    wanted = {"parameters": parameters, "inputs": inputs, "code": code, "prefixes": prefixes}
    state, _, manifest = examine(zone, name, **wanted)
    if state == "fresh":
        return manifest
    with held(zone.lock_path(name), what=f"building {name!r} in {zone}"):
        state, detail, manifest = examine(zone, name, **wanted)  # built by the holder before?
        if state == "fresh":
            return manifest
        if state not in REBUILT:
            raise ArtefactError(f"{name!r} in zone {zone} is {state}: {detail}")
        note = {"prefixes": list(prefixes), "command": without_keys(repro.this_command())}
        zone.write_bytes(_place(name, "building"), repro.canonical_json(note).encode())
        writer, old = Writer(zone, name, prefixes), manifest.files if manifest else {}
        try:
            build(writer)
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            wrote = [*writer.files, *old, _place(name, "json")] if writer.files else []
            _remove(zone, [*wrote, _place(name, "building")], error)
            raise
        manifest = Manifest(
            name, kind, parameters, inputs, code, dict(sorted(writer.files.items())),
            repro.library_versions(), datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        _remove(zone, sorted({*old, *_present(zone, prefixes)} - {*manifest.files}))
        text = json.dumps(asdict(manifest), indent=1, sort_keys=True, ensure_ascii=False)
        zone.write_bytes(_place(name, "json"), f"{text}\n".encode())
        zone.remove(_place(name, "building"))
    return manifest


def examine(
    zone: Zone, name: str, *, parameters: Any, inputs: Any, code: str, prefixes: tuple[str, ...]
) -> tuple[str, str, Manifest | None]:
    """The state of an artefact, what is wrong, and the manifest: ``fresh``, ``missing``, ``stale``,
    ``interrupted``, ``foreign`` or ``corrupt``, by names and sizes (``verify`` reads the bytes).
    """
    try:
        manifest = read_manifest(zone, name)
    except FileNotFoundError:
        manifest = None
    except ArtefactError as error:
        return "corrupt", str(error), None
    if zone.exists(_place(name, "building")):
        return "interrupted", "a build did not reach its end", manifest
    present = _present(zone, prefixes)
    recorded = manifest.files if manifest else {}
    if stray := sorted(present.keys() - recorded):
        more = f" and {len(stray) - 1} more files there" if len(stray) > 1 else ""
        detail = f"{stray[0]!r}{more} came from elsewhere; move it away, or use another zone"
        return "foreign", detail, manifest
    if not manifest:
        return "missing", "", None
    for key, record in recorded.items():
        if present.get(key, record.size) != record.size:
            sizes = f"{key!r} has {present[key]} bytes, {record.size} were written"
            return "corrupt", f"{sizes}; {_REMEDY}", manifest
    if recorded.keys() - present:
        return "missing", "some files are gone", manifest
    same = (manifest.parameters, manifest.inputs, manifest.code) == (parameters, inputs, code)
    return ("fresh" if same else "stale"), "", manifest


def read_manifest(zone: Zone, name: str) -> Manifest:
    """The manifest of a finished artefact.

    Raises ``FileNotFoundError`` if there is none and ``ArtefactError`` if it cannot be read.
    """
    try:
        value = json.loads(zone.read_text(_place(name, "json")))
        if not isinstance(value, dict) or set(value) != {f.name for f in fields(Manifest)}:
            raise ValueError("it does not hold the fields of a manifest")
        if value["schema"] != SCHEMA:
            raise ValueError(f"it has schema {value['schema']!r}, and this code reads {SCHEMA}")
        files = {key: FileRecord(**record) for key, record in value["files"].items()}
    except (ValueError, TypeError, AttributeError) as error:
        wrong = "its list of files is not one of sizes and hashes"
        reason = error if isinstance(error, ValueError) else wrong
        place = f"{_place(name, 'json')} in zone {zone}"
        raise ArtefactError(f"{place} is corrupt ({reason}); {_REMEDY}") from error
    return Manifest(**{**value, "files": files})


def of_kind(zone: Zone, kind: str, *, prefix: str = "") -> list[Manifest]:
    """The manifests of all finished artefacts of a kind, in the order of their names.

    What an artefact is stands in its manifest; ``prefix`` only spares reading those of other names.
    """
    names = [key.removeprefix("manifests/") for key in zone.list("manifests")]
    names = [n for n in names if n.startswith(prefix) and n.endswith(".json")]
    found = [read_manifest(zone, name.removesuffix(".json")) for name in names]
    return [manifest for manifest in found if manifest.kind == kind]


def verify(zone: Zone, name: str) -> list[str]:
    """Read every file of an artefact and name those that differ; empty: all as it was written."""
    problems = []
    for key, record in read_manifest(zone, name).files.items():
        if not zone.exists(key):
            problems.append(f"{key}: missing; run the lesson that builds {name!r} again")
        elif hashlib.sha256(zone.read_bytes(key)).hexdigest() != record.sha256:
            problems.append(f"{key}: its bytes differ from the manifest; {_REMEDY}")
    return problems


def code_of(*modules: str) -> str:
    """A hash of the source of some modules, by their dotted names: the ``code`` of ``ensure``."""
    return repro.hash_of({name: repro.sha256_file(find_spec(name).origin) for name in modules})


@contextmanager
def held(path: Path | str, *, what: str, wait: bool = True) -> Iterator[None]:
    """Hold the lock at ``path`` among the processes of this machine while the block runs.

    The operating system holds it, so that a killed process frees it; the note beside it is for
    people. Who holds it now is waited for, which is said once on standard error, or else named in
    ``Busy``. ``what`` is what the holder does.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, note = FileLock(path), path.with_name(f"{path.name}.holder")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        holder = "another process"  # which has not yet written its note
        with suppress(FileNotFoundError):
            holder = note.read_text(encoding="utf-8")
        message = f"{what}: the lock {path} is held by {holder}"
        if not wait:
            raise Busy(f"{message}; wait until it ends, or end that process") from error
        print(f"waiting. {message}", file=sys.stderr, flush=True)
        lock.acquire()
    since = datetime.now(UTC).isoformat(timespec="seconds")
    me = f"process {os.getpid()} on {socket.gethostname()} since {since} ({what})"
    try:
        write_file_atomically(note, me.encode())
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def command_of(zone: Zone, name: str) -> str:
    """The command that was building an artefact that is marked as being built; empty: unknown."""
    with suppress(FileNotFoundError, ValueError, AttributeError):
        return str(json.loads(zone.read_text(_place(name, "building"))).get("command", ""))
    return ""


def _remove(zone: Zone, keys: list[str], error: BaseException | None = None) -> None:
    """Remove what is there of some files; after an error, what cannot be is noted on it."""
    try:
        for key in dict.fromkeys(keys):
            with suppress(FileNotFoundError):
                zone.remove(key)
    except (StoreError, OSError) as second:
        if error is None:
            raise
        error.add_note(f"what it had written to {zone} could not be removed either: {second}")


def _present(zone: Zone, prefixes: tuple[str, ...]) -> dict[str, int]:
    """Key to size of what lies there, one listing a folder, desktop litter left out."""
    found = ((key, size) for prefix in prefixes for key, size in zone.sizes(prefix).items())
    return {key: size for key, size in found if key.endswith(PART) or not LITTER.search(key)}


def _place(name: str, ends: str) -> str:
    return f"manifests/{check_key(name)}.{ends}"
