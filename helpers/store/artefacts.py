"""Artefacts: named sets of files in a zone that are built once, checked at every use, never mixed.

A build writes ``manifests/<name>.building`` first, then the files, then ``manifests/<name>.json``,
and drops the marker last. Whatever a killed build leaves is therefore known as its own and rebuilt;
the marker says by which command. A build that ends in an error, or is stopped by its user, takes
back what it wrote. Files that nobody vouches for are refused, never overwritten.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from helpers import repro
from helpers.store import locks
from helpers.store.atomic import PART, write_file_atomically
from helpers.store.commands import this_command
from helpers.store.manifests import FileRecord, Manifest, as_json_value, manifest_from_json
from helpers.store.zones import StoreError, Zone, check_key

__all__ = [
    "ArtefactError", "Manifest", "Writer", "code_of", "command_of", "ensure", "of_kind",
    "read_manifest", "state", "verify", "write_file_atomically",
]  # fmt: skip

REBUILT = ("missing", "stale", "interrupted")
LITTER = ("Thumbs.db", "desktop.ini")  # and hidden files: desktops leave them everywhere


class ArtefactError(RuntimeError):
    """An artefact that cannot be trusted; the message names file, difference and remedy."""


@dataclass(frozen=True)
class Finding:
    """The state of an artefact, what differs, and its manifest where one could be read."""

    state: str
    detail: str = ""
    manifest: Manifest | None = None


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
        if key in self.files:
            raise ArtefactError(f"artefact {self.name!r} writes {key!r} twice in one build")
        if not _below(key, self.prefixes):
            raise ArtefactError(
                f"artefact {self.name!r} writes {key!r}, outside {', '.join(self.prefixes)}"
            )
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

    Parameters
    ----------
    parameters, inputs : mapping
        JSON values that decide the content, and the fingerprints of what it is made from.
    build : callable
        Gets a ``Writer`` and writes every file of the artefact through it.
    prefixes : tuple of str
        The folders (or single files) that belong to this artefact alone: other files found there
        are foreign, and what an earlier build left there is removed after a new one.
    code : str, optional
        Fingerprint of the source that builds it (``code_of``); a change makes the artefact stale.
        Without one, a change anywhere in the package does.

    Raises
    ------
    ArtefactError
        If what lies there is foreign or corrupt.
    Busy
        If another machine builds it in the same object store (a process of this one is waited for).
    StoreError
        If an object store does not do what it is asked.
    """
    parameters, inputs = as_json_value(dict(parameters)), as_json_value(dict(inputs))
    code = repro.code_fingerprint() if code is None else code
    wanted = {"parameters": parameters, "inputs": inputs, "code": code, "prefixes": prefixes}
    found = _inspect(zone, name, **wanted)
    if found.state == "fresh":
        return found.manifest
    what = f"building {name!r} in {zone}"
    with locks.held(zone.lock_path(name), what=what), zone.claim(name, what=what):
        found = _inspect(zone, name, **wanted)  # the holder before may have built it
        if found.state == "fresh":
            return found.manifest
        if found.state not in REBUILT:
            raise ArtefactError(f"{name!r} in zone {zone} is {found.state}: {found.detail}")
        if found.state == "interrupted":
            for prefix in prefixes:
                zone.abort_uploads(prefix)
        note = {"prefixes": list(prefixes), "command": this_command()}
        zone.write_bytes(_marker(name), repro.canonical_json(note).encode())
        writer = Writer(zone, name, prefixes)
        try:
            build(writer)
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            _take_back(writer, found.manifest, error)
            raise
        manifest = Manifest(
            name, kind, parameters, inputs, code, dict(sorted(writer.files.items())),
            repro.library_versions(), datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        _remove_leftovers(zone, manifest, prefixes=prefixes, old=found.manifest)
        zone.write_bytes(_manifest(name), manifest.to_json().encode("utf-8"))
        zone.remove(_marker(name))
    return manifest


def command_of(zone: Zone, name: str) -> str:
    """The command that was building an artefact that is marked as being built; empty: unknown."""
    try:
        note = json.loads(zone.read_text(_marker(name)))
    except (FileNotFoundError, ValueError):
        return ""
    return str(note.get("command", "")) if isinstance(note, dict) else ""


def state(
    zone: Zone,
    name: str,
    *,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, str],
    prefixes: tuple[str, ...],
    code: str | None = None,
) -> str:
    """One of ``fresh``, ``missing``, ``stale``, ``interrupted``, ``foreign`` and ``corrupt``.

    Looks at names and sizes alone, in one listing a folder; ``verify`` reads the bytes.
    """
    code = repro.code_fingerprint() if code is None else code
    parameters, inputs = as_json_value(dict(parameters)), as_json_value(dict(inputs))
    return _inspect(
        zone, name, parameters=parameters, inputs=inputs, prefixes=prefixes, code=code
    ).state


def read_manifest(zone: Zone, name: str) -> Manifest:
    """The manifest of a finished artefact.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ArtefactError
        If it cannot be read.
    """
    try:
        return manifest_from_json(zone.read_text(_manifest(name)))
    except ValueError as error:
        raise ArtefactError(
            f"{_manifest(name)} in zone {zone} is corrupt ({error}); {_REMEDY}"
        ) from error


def of_kind(zone: Zone, kind: str, *, prefix: str = "") -> list[Manifest]:
    """The manifests of all finished artefacts of a kind, in the order of their names.

    What an artefact is stands in its manifest; ``prefix`` only spares reading those of other names.

    Raises
    ------
    ArtefactError
        If one of them cannot be read.
    """
    keys = [k for k in zone.list("manifests") if k.startswith(f"manifests/{prefix}")]
    names = [k.removeprefix("manifests/")[: -len(".json")] for k in keys if k.endswith(".json")]
    found = (read_manifest(zone, name) for name in names)
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
    """A hash of the source of some modules, by their dotted names, for the ``code`` of ``ensure``.

    >>> code_of("helpers.paths") == code_of("helpers.repro")
    False
    """
    files = {name: Path(find_spec(name).origin) for name in modules}
    return repro.hash_of({name: repro.sha256_file(path) for name, path in files.items()})


_REMEDY = "delete it to have it rebuilt, or use another zone"


def _inspect(
    zone: Zone, name: str, *, parameters: Any, inputs: Any, code: str, prefixes: tuple[str, ...]
) -> Finding:
    try:
        manifest = read_manifest(zone, name)
    except FileNotFoundError:
        manifest = None
    except ArtefactError as error:
        return Finding("corrupt", str(error))
    if zone.exists(_marker(name)):
        return Finding("interrupted", "a build did not reach its end", manifest)
    present = _present(zone, (*prefixes, *(_roots(manifest.files) if manifest else ())))
    recorded = manifest.files if manifest else {}
    stray = sorted(k for k in set(present) - set(recorded) if _below(k, prefixes))
    if stray:
        more = f" and {len(stray) - 1} more files there" if len(stray) > 1 else ""
        detail = f"{stray[0]!r}{more} came from elsewhere; move it away, or use another zone"
        return Finding("foreign", detail, manifest)
    if not manifest:
        return Finding("missing")
    for key, record in recorded.items():
        if present.get(key, record.size) != record.size:
            sizes = f"{key!r} has {present[key]} bytes, {record.size} were written"
            return Finding("corrupt", f"{sizes}; {_REMEDY}", manifest)
    if not set(recorded) <= set(present):
        return Finding("missing", "some files are gone", manifest)
    same = (manifest.parameters, manifest.inputs, manifest.code) == (parameters, inputs, code)
    return Finding("fresh" if same else "stale", "", manifest)


def _take_back(writer: Writer, old: Manifest | None, error: BaseException) -> None:
    """Remove what an ended build wrote, the artefact that it wrote over, and its marker."""
    zone = writer.zone
    keys = [*dict.fromkeys((*writer.files, *(old.files if old else ())))] if writer.files else []
    keys += [_manifest(writer.name)] if keys and old else []
    try:
        for key in (*keys, _marker(writer.name)):
            if zone.exists(key):
                zone.remove(key)
    except (StoreError, OSError) as second:
        error.add_note(f"what it had written to {zone} could not be removed either: {second}")


def _remove_leftovers(
    zone: Zone, manifest: Manifest, *, prefixes: tuple[str, ...], old: Manifest | None
) -> None:
    before = set(old.files) if old else set()
    present = _present(zone, (*prefixes, *_roots(before)))
    for key in sorted(set(present) - set(manifest.files)):
        if key in before or _below(key, prefixes):
            zone.remove(key)


def _present(zone: Zone, prefixes: tuple[str, ...]) -> dict[str, int]:
    """Key to size of what lies there, one listing a folder, desktop litter left out."""
    sizes: dict[str, int] = {}
    for prefix in sorted(set(prefixes)):
        if not any(_below(prefix, (other,)) for other in set(prefixes) - {prefix}):
            sizes.update(zone.sizes(prefix))
    return {key: size for key, size in sizes.items() if not _litter(key)}


def _roots(keys: Iterable[str]) -> set[str]:
    """The folders to list for some keys: two levels deep, or the file itself."""
    return {"/".join(key.split("/")[:2]) for key in keys}


def _litter(key: str) -> bool:
    parts = key.split("/")
    hidden = any(part.startswith(".") for part in parts) and not key.endswith(PART)
    return hidden or parts[-1] in LITTER


def _below(key: str, prefixes: tuple[str, ...]) -> bool:
    return any(key == p.rstrip("/") or key.startswith(p.rstrip("/") + "/") for p in prefixes)


def _manifest(name: str) -> str:
    return f"manifests/{check_key(name)}.json"


def _marker(name: str) -> str:
    return f"manifests/{check_key(name)}.building"
