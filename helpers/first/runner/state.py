"""Is a lesson's report up to date? What a run records in ``run.json``, and the comparison with now.

A report answers to the notebook's source, the modules that it imports, the libraries, the
parameters, the files that parameters name, and the reports it builds on. The first of these that
differs is the reason that ``course list`` and ``course run`` give.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from helpers import paths, repro
from helpers.course.code import Modules, changed_module
from helpers.first.runner import staging
from helpers.first.runner.lessons import Lesson, notebook_hash, read_notebook, source_of
from helpers.first.runner.parameters import Value
from helpers.first.runner.places import BENCHMARKS
from helpers.models.checkpoints import cached_revision

SCHEMA = 1
NOT_INPUTS = ("zone", "report")
STUDY = "study"  # the run whose records lessons show beside their own
BESIDE = (".csv", ".jsonl")  # tables whose images lie beside them
OTHER_SOURCE = "its source was"
EXPECTED = ("lesson.ipynb", "lesson.html", "results.json", "run.json")


@dataclass(frozen=True)
class Fingerprint:
    """Everything that a report depends on, as text that can be compared."""

    notebook: str
    code: Mapping[str, str]
    libraries: Mapping[str, str]
    parameters: Mapping[str, Value]
    inputs: Mapping[str, str]
    builds_on: Mapping[str, str]

    @property
    def key(self) -> str:
        """One hash over all of it."""
        return repro.hash_of(asdict(self))


@dataclass(frozen=True)
class State:
    """``kind`` is "never run", "up to date", "stale" or "failed"; ``why`` says more."""

    kind: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.why}" if self.why else self.kind


def listing_hash(path: Path) -> str:
    """A cheap hash of a file or folder: names, sizes and times of change, no contents.

    For a table that names images, the images in the folder ``images`` beside it count as well.
    """
    roots = [path]
    if path.is_file() and path.suffix.lower() in BESIDE:
        roots.append(path.parent / "images")
    rows = []
    for one in roots:
        files = sorted(one.rglob("*")) if one.is_dir() else [one] if one.is_file() else []
        for file in files:
            if file.is_file() and not file.name.startswith("."):
                about = file.stat()
                name = file.relative_to(path.parent).as_posix()
                rows.append([name, about.st_size, about.st_mtime_ns])
    return repro.hash_of(rows)


def input_path(value: str) -> Path | None:
    """The file or folder that a parameter's text names: a path, or a tiny checkpoint; else None.

    A benchmark's folder stands between its name and a category, as in ``fashioniq:photos#dress``.
    """
    kind, colon, place = value.partition(":")
    if colon and kind in BENCHMARKS:
        value = place.partition("#")[0]
    if not value or "\0" in value or "\n" in value or len(value) > 1000:
        return None
    for path in (paths.root() / Path(value).expanduser(), paths.tiny() / value):
        if path.exists():
            return path
    return None


def _inputs(parameters: Mapping[str, Value]) -> dict[str, str]:
    """What parameters name: a hash of files, or the revision of a hub model in the cache."""
    found = {}
    for name, value in parameters.items():
        path = input_path(value) if isinstance(value, str) and name not in NOT_INPUTS else None
        if path is not None:
            found[name] = listing_hash(path)
        elif isinstance(value, str) and (revision := cached_revision(value)):
            found[name] = f"revision {revision}"
    return found


def _read_unasked(slug: str, name: str, code: Mapping[str, str]) -> dict[str, str]:
    """Files that a lesson reads although no parameter names them, by the modules behind it.

    The run ``study`` itself does not stand on the records that it makes.
    """
    settings = paths.notebooks() / "profiles" / "augmentation_config.yaml"
    frozen = paths.tiny() / "frozen.json"  # hashes of the world's captions
    records = paths.reports() / STUDY / slug / "results.json"
    read = {
        settings: "topics/augmentation/config.py" in code,
        frozen: "data/world/world.py" in code,
        records: "report/studies.py" in code and name != STUDY,
    }
    return {
        f"{path.parent.name}/{path.name}": repro.sha256_file(path)[:12]
        for path, is_read in read.items()
        if is_read and path.is_file()
    }


def _libraries() -> dict[str, str]:
    versions = repro.library_versions()
    return {name: version for name, version in versions.items() if name != "python"}


@dataclass(frozen=True)
class Shared:
    """What is the same for all lessons of one command, looked up once."""

    modules: Modules
    libraries: Mapping[str, str]
    lessons: tuple[Lesson, ...]

    @classmethod
    def now(cls, lessons: tuple[Lesson, ...]) -> "Shared":
        """The package and the libraries as they are."""
        return cls(Modules(), _libraries(), lessons)

    def slugs(self, lesson: Lesson) -> list[tuple[str, str]]:
        """Number and slug of the lessons that one builds on."""
        return [(x.number, x.slug) for x in self.lessons if x.number in lesson.builds_on]


def fingerprint(
    lesson: Lesson, parameters: Mapping[str, Value], *, name: str, shared: Shared
) -> Fingerprint:
    """What a report of a lesson made now, with these parameters, would depend on."""
    below = {number: recorded_key(name, slug) for number, slug in shared.slugs(lesson)}
    notebook = read_notebook(lesson.path)
    source = "\n".join(source_of(c) for c in notebook["cells"] if c["cell_type"] == "code")
    code = shared.modules.behind(source)
    return Fingerprint(
        notebook=notebook_hash(notebook),
        code=code,
        libraries=shared.libraries,
        parameters={k: v for k, v in parameters.items() if k != "report"},
        inputs=_inputs(parameters) | _read_unasked(lesson.slug, name, code),
        builds_on={number: key for number, key in below.items() if key},
    )


def read_record(name: str, slug: str) -> dict[str, Any] | None:
    """The ``run.json`` of a finished report, or None where there is none or it is damaged."""
    path = staging.target(name, slug) / "run.json"
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None  # judge() calls such a report stale, and it is made again
    return record if isinstance(record, dict) and record.get("schema") == SCHEMA else None


def recorded_key(name: str, slug: str) -> str:
    """The fingerprint key of a finished report; empty where there is none."""
    record = read_record(name, slug)
    return record["key"] if record else ""


def read_failure(name: str, slug: str) -> dict[str, Any] | None:
    """What the partial notebook of a failed lesson says about the failure, or None."""
    path = staging.failed_notebook(name, slug)
    if not path.is_file():
        return None
    return read_notebook(path).get("metadata", {}).get("course_failure", {})


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The first name whose value differs, with both values."""
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            return f"{name} was {old.get(name)!r}, is {new.get(name)!r}"
    return ""


def why_stale(old: Mapping[str, Any], new: Fingerprint) -> str:
    """The first thing that differs between a recorded fingerprint and today's; empty: nothing."""
    before, now = (parameters.get("source") for parameters in (old["parameters"], new.parameters))
    if before != now:
        return f"{OTHER_SOURCE} {before!r}, is {now!r}"
    if old["notebook"] != new.notebook:
        return "the notebook changed"
    if difference := _difference(old["parameters"], new.parameters):
        return f"parameter {difference}"
    if difference := changed_module(old["code"], new.code):
        return difference
    if difference := _difference(old["libraries"], new.libraries):
        return f"library {difference}"
    if changed := [
        n
        for n in sorted({*old["inputs"], *new.inputs})
        if old["inputs"].get(n) != new.inputs.get(n)
    ]:
        return f"the files that {changed[0]} names changed"
    # A report made before the one it builds on stands on the same helpers: only changes count.
    for number, key in old["builds_on"].items():
        if new.builds_on.get(number, key) != key:
            return f"lesson {number}, which it builds on, has run again with other results"
    return ""


def _damage(folder: Path, record: Mapping[str, Any]) -> str:
    """The first file of a report that is missing or has another size; empty: none."""
    for file, size in record["files"].items():
        path = folder / file
        if not path.is_file():
            return f"{file} is missing"
        if path.stat().st_size != size:
            return f"{file} was changed"
    return ""


def judge(lesson: Lesson, now: Fingerprint, *, name: str) -> State:
    """The state of a lesson's report in a run, against what it would depend on now."""
    failure = read_failure(name, lesson.slug)
    record = read_record(name, lesson.slug)
    folder = staging.target(name, lesson.slug)
    if failure is not None and failure.get("key") == now.key:
        return State("failed", failure.get("where", ""))
    if record is None and failure is not None:
        return State("failed", failure.get("where", ""))
    if record is None and folder.exists():
        return State("stale", "its run.json is missing or damaged")
    if record is None:
        return State("never run")
    reason = why_stale(record["fingerprint"], now) or _damage(folder, record)
    if not reason:
        return State("up to date")
    return (
        State("failed", failure.get("where", "")) if failure is not None else State("stale", reason)
    )
