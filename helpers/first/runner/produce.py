"""Makes one lesson's report: executes it into a staging folder, checks it, puts it in its place.

This module loads the notebook libraries; import it only when a lesson is about to run.
"""

import json
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from helpers import paths, repro
from helpers.first.report.results import read_results
from helpers.first.runner import staging, state
from helpers.first.runner.execution import (
    AFTER,
    MAKE_ROOM,
    Failure,
    Progress,
    execute,
    is_full,
    tidy,
)
from helpers.first.runner.export import to_html
from helpers.first.runner.plan import Plan
from helpers.store.zones import write_file_atomically


def _stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _check_results(folder: Path, lesson: str) -> None:
    """Refuse a lesson that ran to its end and left no valid results."""
    path = folder / "results.json"
    remedy = "Its report cell has to call write_results with the folder of `report`"
    if not path.is_file():
        raise Failure(lesson, 0, AFTER, "it wrote no results.json", remedy)
    try:
        read_results(path)
    except (ValueError, TypeError) as error:
        text = str(error).replace(folder.name, lesson)
        raise Failure(lesson, 0, AFTER, f"its results.json is not valid: {text}", remedy) from error


def _files(folder: Path) -> dict[str, int]:
    """Every file of a report with its size."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.stat().st_size for p in files}


def _record(plan: Plan, now: state.Fingerprint, started: str, seconds: float) -> dict[str, Any]:
    return {
        "schema": state.SCHEMA,
        "lesson": plan.lesson.slug,
        "run": plan.name,
        "profile": plan.profile,
        "given": dict(plan.given),
        "key": now.key,
        "fingerprint": asdict(now),
        "started": started,
        "seconds": round(seconds, 2),
        "environment": repro.library_versions(),
    }


def _keep_failed(plan: Plan, partial: Path, failure: Failure, key: str) -> None:
    """Keep the partial notebook of a failed lesson, with what went wrong in its metadata.

    Where there is no room for it, there is none: one of an earlier failure would mislead.
    """
    kept = staging.failed_notebook(plan.name, plan.lesson.slug)
    try:
        notebook = nbformat.read(partial, as_version=4)
    except (FileNotFoundError, ValueError):  # not yet written, or cut off by a full disk
        notebook = nbformat.read(plan.lesson.path, as_version=4)
    notebook.metadata["course_failure"] = {
        "key": key,
        "where": f"cell {failure.cell}" if failure.cell else failure.error,
        "line": failure.line,
        "error": f"{failure.kind}: {failure.error}" if failure.kind else failure.error,
        "at": _stamp(),
    }
    try:
        write_file_atomically(kept, nbformat.writes(notebook).encode())
    except OSError as error:
        if not is_full(error):
            raise
        kept.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    write_file_atomically(path, text.encode())


def _finish(plan: Plan, notebook: NotebookNode, folder: Path, record: Mapping[str, Any]) -> None:
    """Complete a staged report and put it in the place of the one before."""
    slug = plan.lesson.slug
    _check_results(folder, slug)
    names = {folder.name: slug, str(paths.root()): "."}
    notebook = tidy(notebook, replace=names)
    page = to_html(notebook, title=plan.lesson.question or slug, run=folder.parent)
    try:
        (folder / "lesson.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
        (folder / "lesson.html").write_text(page, encoding="utf-8")
        write_json(folder / "run.json", {**record, "files": _files(folder)})
        staging.swap(folder, staging.target(plan.name, slug))
    except OSError as error:
        remedy = MAKE_ROOM if is_full(error) else "Run it again"
        text = f"its report could not be written: {error}"
        raise Failure(slug, 0, AFTER, text, remedy) from error
    staging.failed_notebook(plan.name, slug).unlink(missing_ok=True)


def produce(
    plan: Plan,
    now: state.Fingerprint,
    *,
    timeout: float = 0,
    progress: Progress | None = None,
    stopping: threading.Event | None = None,
) -> float:
    """Run a lesson and keep its report; an earlier one stays until the new one is whole.

    Parameters
    ----------
    plan : Plan
    now : Fingerprint
        What the report will depend on, taken before the run.
    timeout : float
        Seconds that one cell may take; 0 for no limit.
    progress : callable, optional
        Called with the number of the cell that starts and the number of cells.
    stopping : threading.Event, optional
        Set when the user stops the run: what fails then is no news and is not kept.

    Returns
    -------
    float
        The seconds that the lesson took.

    Raises
    ------
    Failure
        If it did not run to its end or left no valid results; its partial notebook is kept.
    """
    slug = plan.lesson.slug
    folder = staging.staging_folder(plan.name, slug)
    values = plan.passed | {"report": staging.relative(folder)}
    partial, started, start = folder / "lesson.ipynb", _stamp(), time.perf_counter()
    try:
        notebook = execute(
            plan.lesson.path, partial, parameters=values, timeout=timeout, progress=progress
        )
        seconds = time.perf_counter() - start
        _finish(plan, notebook, folder, _record(plan, now, started, seconds))
    except Failure as failure:
        if stopping is None or not stopping.is_set():
            _keep_failed(plan, partial, failure, now.key)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return seconds
