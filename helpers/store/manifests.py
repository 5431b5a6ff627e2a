"""The manifest of an artefact: what was built, from what, by which code, and each file's hash."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from helpers.repro import canonical_json, hash_of

SCHEMA = 1


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
        return hash_of([self.kind, dict(self.parameters), dict(self.inputs), hashes], digits=16)

    def to_json(self) -> str:
        """The text of the manifest file, for people to read too."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def manifest_from_json(text: str) -> Manifest:
    """Read a manifest.

    Raises
    ------
    ValueError
        If the text is no manifest, or one of another schema.
    """
    value = json.loads(text)
    if not isinstance(value, dict) or set(value) != {f.name for f in fields(Manifest)}:
        raise ValueError("it does not hold the fields of a manifest")
    if value["schema"] != SCHEMA:
        raise ValueError(f"it has schema {value['schema']!r}, and this code reads {SCHEMA}")
    try:
        files = {key: FileRecord(**record) for key, record in value["files"].items()}
    except (TypeError, AttributeError) as error:
        raise ValueError("its list of files is not one of sizes and hashes") from error
    return Manifest(**{**value, "files": files})


def as_json_value(value: Any) -> Any:
    """The value as it comes back from a JSON file: tuples are lists, keys are strings."""
    return json.loads(canonical_json(value))
