"""The reports of a run: where they lie, what they stand on, and whether they are up to date.

A report answers to the notebook's source, the modules that it imports, the libraries, the
parameters, the files that parameters name, the committed study that it shows, and the reports it
builds on. The first of these that differs is the reason that ``course list`` gives.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from helpers import paths, repro
from helpers.course.code import Modules, changed_module
from helpers.course.lessons import CourseError, Lesson, Value, read_lesson
from helpers.course.rules import path_in
from helpers.models.checkpoints import cached_revision

SCHEMA = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
TAKEN = ("interactive", "gallery")  # folders of reports/ that are no runs
BESIDE = (".csv", ".jsonl")  # tables whose images lie beside them
UP_TO_DATE, NEVER_RUN = "up to date", "never run"


def run_folder(name: str) -> Path:
    """``reports/<name>``, after a check that the name is a plain folder name."""
    if not NAME.fullmatch(name):
        raise CourseError(
            f"--name {name!r} is no folder name: use letters, digits, '.', '_' and '-', at most 64"
        )
    if name.lower() in TAKEN:
        raise CourseError(f"--name {name!r} is kept for other things; use another name")
    return paths.reports() / name


def runs() -> tuple[str, ...]:
    """The names of the runs that hold a report, or the partial notebook of one that failed."""
    found = {path.parent.name for path in paths.reports().glob("*/[0-9][0-9]_*")}
    return tuple(sorted(found - set(TAKEN)))


def failed_notebook(name: str, slug: str) -> Path:
    """Where the partial notebook of a lesson that failed is kept."""
    return run_folder(name) / f"{slug}.failed.ipynb"


def read_record(name: str, slug: str) -> dict[str, Any] | None:
    """The ``run.json`` of a finished report, or None where there is none or it is damaged."""
    try:
        record = json.loads((run_folder(name) / slug / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None  # such a report is stale, and it is made again
    return record if isinstance(record, dict) and record.get("schema") == SCHEMA else None


def listing_hash(path: Path) -> str:
    """A cheap hash of a file or folder: names, sizes and times of change, no contents.

    For a table that names images, the images in the folder ``images`` beside it count as well.
    """
    beside = path.is_file() and path.suffix.lower() in BESIDE
    rows = []
    for root in (path, path.parent / "images") if beside else (path,):
        for file in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if file.is_file() and not file.name.startswith("."):
                about, name = file.stat(), file.relative_to(path.parent).as_posix()
                rows.append([name, about.st_size, about.st_mtime_ns])
    return repro.hash_of(rows)


def input_path(value: str) -> Path | None:
    """The file or folder that a parameter's text names: a path, or a tiny checkpoint; else None."""
    value = path_in(value)[1]
    if not value or not value.isprintable() or len(value) > 1000:
        return None
    places = (paths.root() / Path(value).expanduser(), paths.tiny() / value)
    return next((path for path in places if path.exists()), None)


def _inputs(lesson: Lesson, values: Mapping[str, Value]) -> dict[str, str]:
    """What a lesson reads: a hash of files by parameter, or the revision of a hub model."""
    found = {}
    for name, value in values.items():
        if not isinstance(value, str) or name in ("zone", "report"):
            continue
        if name == "augmentation" and not value:
            value = "notebooks/profiles/augmentation_config.yaml"
        if (path := input_path(value)) is not None:
            found[name] = listing_hash(path)
        elif revision := cached_revision(value):
            found[name] = f"revision {revision}"
    studies = paths.study(lesson.slug).parent  # a lesson may show several
    study = sorted(studies.glob(f"{lesson.number}_*/*.parquet"))
    if study and not values.get("run_study"):
        found["its committed study"] = repro.hash_of([repro.sha256_file(file) for file in study])
    return found


@cache
def _modules() -> Modules:
    return Modules()


def fingerprint(
    lesson: Lesson, values: Mapping[str, Value], *, name: str, lessons: Sequence[Lesson]
) -> dict[str, Any]:
    """All that a report of a lesson made now, with these values, would depend on."""
    below = {x.number: read_record(name, x.slug) for x in lessons if x.number in lesson.builds_on}
    libraries = repro.library_versions()
    return {
        "notebook": lesson.hash,
        "code": _modules().behind(lesson.code),
        "libraries": {k: v for k, v in libraries.items() if k != "python"},
        "parameters": {k: v for k, v in values.items() if k != "report"},
        "inputs": _inputs(lesson, values),
        "builds_on": {number: record["key"] for number, record in below.items() if record},
    }


def why_stale(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The first thing that differs between a recorded fingerprint and today's; empty: nothing."""
    before, now = (one["parameters"].get("source") for one in (old, new))
    if before != now:
        return f"its source was {before!r}, is {now!r}"
    if old["notebook"] != new["notebook"]:
        return "the notebook changed"
    for part in ("parameters", "code", "libraries", "inputs"):
        if part == "code":
            if why := changed_module(old[part], new[part]):
                return why
            continue
        for key in sorted({*old[part], *new[part]}):
            before, now = (one[part].get(key) for one in (old, new))
            if before != now and part == "inputs":
                return f"{key} changed" if " " in key else f"the files that {key} names changed"
            if before != now:
                what = {"parameters": "parameter", "libraries": "library"}[part]
                return f"{what} {key} was {before!r}, is {now!r}"
    # A report made before the one it builds on stands on the same helpers: only changes count.
    for number, key in old["builds_on"].items():
        if new["builds_on"].get(number, key) != key:
            return f"lesson {number}, which it builds on, has run again with other results"
    return ""


def judge(lesson: Lesson, now: Mapping[str, Any], *, name: str) -> str:
    """``up to date``, ``never run``, ``stale: ...`` or ``failed: ...``: a lesson's report in a run.

    ``now`` is the fingerprint of what it would depend on now.
    """
    folder, kept = run_folder(name) / lesson.slug, failed_notebook(name, lesson.slug)
    record, failure = read_record(name, lesson.slug), None
    if kept.is_file():
        failure = read_lesson(kept).notebook.get("metadata", {}).get("course_failure", {})
    failed = f"failed: {failure.get('where', '')}" if failure is not None else ""
    if failed and (record is None or failure.get("key") == repro.hash_of(now)):
        return failed
    if record is None:
        there = folder.exists()
        return "stale: its run.json is missing or damaged" if there else NEVER_RUN
    reason = why_stale(record["fingerprint"], now)
    for file, size in record["files"].items():
        if not (folder / file).is_file():
            reason = reason or f"{file} is missing"
        elif (folder / file).stat().st_size != size:
            reason = reason or f"{file} was changed"
    return (failed or f"stale: {reason}") if reason else UP_TO_DATE
