"""Makes one lesson's report: executes it with papermill, checks it, puts it in its place.

papermill alone can leave an output that looks complete after a killed kernel, and takes whatever
kernel is registered under the notebook's kernel name. Here the kernel is always this Python, and an
execution counts only if every code cell ran, in order, without an error output. This module loads
the notebook libraries: import it only when a lesson is about to run.
"""

import builtins
import errno
import json
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillException, PapermillExecutionError
from papermill.execute import execute_notebook  # its optional stores announce themselves on import

from helpers import paths, repro
from helpers.course import form, staging, state
from helpers.course.index import read_results
from helpers.course.lesson_page import to_html
from helpers.course.lessons import UNEXPECTED, Lesson, Value, one_line
from helpers.course.plan import Plan
from helpers.store.zones import write_file_atomically

AFTER = "after its last cell"
FULL = tuple(getattr(errno, n) for n in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, n))
FULL_TEXT = re.compile("|".join([*(rf"\[Errno {n}\]" for n in FULL), "No space left on device"]))
MAKE_ROOM = (
    "No room to write: free some space (data/cache may be deleted at any time), then run it again"
)
Progress = Callable[[int, int], None]


class ThisPython(AsyncKernelManager):
    """Starts the kernel of the running environment, whatever is registered as "python3"."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """A specification that names this interpreter."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        # Notes on its transport, or on being stopped in mid-cell, are no news to a learner.
        command.append("--log-level=CRITICAL")
        return KernelSpec(argv=command, display_name="Python 3", language="python")


@dataclass(eq=False)
class Failure(Exception):
    """A lesson that did not run to its end: the cell (from 1), what happened, and the remedy.

    ``cell`` may also say where it was instead. ``kind`` is the name of the error's class, for
    whoever reads the partial notebook.
    """

    lesson: str
    cell: int | str
    error: str
    remedy: str
    kind: str = ""

    def __str__(self) -> str:
        where = f" {self.cell}" if isinstance(self.cell, str) else ""
        stop = "" if self.error.endswith((".", "?", "!")) else "."
        return f"{self.lesson} failed{where}: {self.error}{stop} {self.remedy}".rstrip()


def sentence(kind: str, text: str) -> str:
    """What an error in the kernel says; of one of Python's own, that it was not foreseen."""
    known = getattr(builtins, kind, None)
    text = one_line(text, longest=500)
    if kind == "SystemExit":
        return f"a cell ended the program with {text or 'nothing'}"
    if text and not (isinstance(known, type) and issubclass(known, UNEXPECTED)):
        return text
    return f"the lesson met something that it was not written for ({text or 'no text'})"


def _explain(error: Exception, timeout: float) -> tuple[str, str]:
    """What happened, in a sentence, and what to do about it."""
    if isinstance(error, DeadKernelError):
        return "the kernel died", (
            "Most often the memory ran out: try fewer recipes (-p max_recipes=...), smaller "
            "batches or a smaller model"
        )
    if isinstance(error, CellTimeoutError):
        return f"the cell took longer than {timeout:g} s", (
            "Give it more time (--timeout SECONDS, 0 for no limit) or less to do"
        )
    inside = isinstance(error, PapermillExecutionError)
    text = sentence(error.ename, error.evalue) if inside else one_line(error)
    if FULL_TEXT.search(text):
        return text, MAKE_ROOM
    return text, "" if inside else "Check that ipykernel is installed (course check)"


def execute(
    lesson: Lesson, output: Path, *, parameters: Mapping[str, Value], timeout: float = 0,
    progress: Progress | None = None,
) -> NotebookNode:  # fmt: skip
    """Run a notebook from the root of the course and return it with its outputs.

    papermill saves to ``output`` after every cell, each of which may take ``timeout`` seconds (0:
    no limit); ``progress`` is called with the number of the cell that starts and that of all cells.
    Raises ``Failure`` if a cell raised or ended the program, was stopped by the time-out, or did
    not run in its turn, or the kernel died or never started.
    """
    ids = [cell.get("id") for cell in lesson.notebook["cells"]]
    at: dict[str, Any] = {}  # the cell that runs

    def start(cell: NotebookNode, cell_index: int) -> None:
        at.update(cell)
        if progress is not None and cell.get("id") in ids:
            progress(ids.index(cell["id"]) + 1, len(ids))

    def failure(text: str, remedy: str, kind: str) -> Failure:
        cell = ids.index(at["id"]) + 1 if at.get("id") in ids else "before its first cell"
        return Failure(lesson.slug, cell, text, remedy, kind)

    try:
        notebook = execute_notebook(
            lesson.path, output, parameters=dict(parameters), kernel_name="python3",
            language="python", progress_bar=False, execution_timeout=timeout or None,
            kernel_manager_class=ThisPython, coalesce_streams=True, on_cell_start=start,
            resources={"metadata": {"path": str(paths.root())}},
        )  # fmt: skip
    except (PapermillException, DeadKernelError, CellTimeoutError, RuntimeError, OSError) as error:
        kind = getattr(error, "ename", type(error).__name__)
        raise failure(*_explain(error, timeout), kind) from error
    last = next(cell for cell in notebook.cells if cell.get("id") == at.get("id"))
    for error in (o for o in last.get("outputs", ()) if o["output_type"] == "error"):
        remedy = "A lesson runs to its last cell: leave out what ends it (exit, quit, sys.exit)"
        raise failure(sentence(error["ename"], error["evalue"]), remedy, error["ename"])
    if fault := incomplete(notebook):
        raise Failure(lesson.slug, AFTER, fault, "Run it again; if it recurs, report it")
    return notebook


def incomplete(notebook: Mapping[str, Any]) -> str:
    """Why an executed notebook is not complete; empty where it is.

    Complete means that the code cells were counted 1, 2, 3 ... in their order and that none of them
    has an error among its outputs.
    """
    expected = 0
    for number, cell in enumerate(notebook["cells"], start=1):
        if cell["cell_type"] == "code" and form.source(cell).strip():
            expected += 1
            if cell.get("execution_count") != expected:
                return f"cell {number} did not run in its turn"
            if any(output["output_type"] == "error" for output in cell["outputs"]):
                return f"cell {number} holds an error"
    return ""


def tidy(notebook: NotebookNode, *, replace: Mapping[str, str]) -> NotebookNode:
    """The executed notebook as it is kept: no staging folder's name, no path of this machine."""
    text = nbformat.writes(notebook)
    for old, new in replace.items():
        text = text.replace(old, new)
    tidied = nbformat.reads(text, as_version=4)
    for name in ("input_path", "output_path"):
        tidied.metadata.get("papermill", {}).pop(name, None)
    return tidied


def finding(notebook: Mapping[str, Any]) -> str:
    """The first sentence on what was found, of the committed study or else of this run, as text."""
    outputs = (o for cell in notebook["cells"] for o in cell.get("outputs", ()))
    texts = [o["data"].get("text/markdown", "") for o in outputs if "data" in o]
    for start in ("**Finding**", "**Found:**"):
        for text in texts:
            if text.startswith(start):
                return text.replace("**", "")
    return ""


def _stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _keep_failed(plan: Plan, partial: Path, failure: Failure, key: str) -> None:
    """Keep the partial notebook of a failed lesson, with what went wrong in its metadata.

    Where there is no room for it, there is none: one of an earlier failure would mislead.
    """
    kept = state.failed_notebook(plan.name, plan.lesson.slug)
    try:
        notebook = nbformat.read(partial, as_version=4)
    except (FileNotFoundError, ValueError):  # not yet written, or cut off by a full disk
        notebook = nbformat.read(plan.lesson.path, as_version=4)
    notebook.metadata["course_failure"] = {
        "key": key,
        "where": failure.error if isinstance(failure.cell, str) else f"cell {failure.cell}",
        "error": f"{failure.kind}: {failure.error}" if failure.kind else failure.error,
        "at": _stamp(),
    }
    try:
        write_file_atomically(kept, nbformat.writes(notebook).encode())
    except OSError as error:
        kept.unlink(missing_ok=True)
        if error.errno not in FULL:
            raise


def _finish(plan: Plan, notebook: NotebookNode, folder: Path, record: dict[str, Any]) -> None:
    """Complete a staged report and put it in the place of the one before."""
    slug = plan.lesson.slug
    try:
        read_results(folder / "results.json")
    except (OSError, ValueError) as error:
        text = f"its results.json is not valid: {error}".replace(folder.name, slug)
        raise Failure(slug, AFTER, text, "Its last cell has to call finish") from error
    notebook = tidy(notebook, replace={folder.name: slug, str(paths.root()): "."})
    record["finding"] = finding(notebook)
    page = to_html(notebook, title=plan.lesson.question, slug=slug, run=folder.parent)
    try:
        (folder / "lesson.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
        (folder / "lesson.html").write_text(page, encoding="utf-8")
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        record["files"] = {p.relative_to(folder).as_posix(): p.stat().st_size for p in files}
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        write_file_atomically(folder / "run.json", text.encode())
        staging.swap(folder, state.run_folder(plan.name) / slug)
    except OSError as error:
        remedy = MAKE_ROOM if error.errno in FULL else "Run it again"
        text = f"its report could not be written: {error}"
        raise Failure(slug, AFTER, text, remedy) from error
    state.failed_notebook(plan.name, slug).unlink(missing_ok=True)


def produce(
    plan: Plan, now: Mapping[str, Any], *, timeout: float = 0, progress: Progress | None = None,
    stopping: threading.Event | None = None,
) -> float:  # fmt: skip
    """Run a lesson and keep its report; an earlier one stays until the new one is whole.

    ``now`` is the fingerprint of what the report will depend on, taken before the run; ``stopping``
    is set when the user stops the run: what fails then is no news and is not kept. Returns the
    seconds that the lesson took. Raises ``Failure`` if it did not run to its end or left no valid
    results; its partial notebook is kept.
    """
    folder, key = staging.staging_folder(plan.name, plan.lesson.slug), repro.hash_of(now)
    values = plan.passed | {"report": folder.relative_to(paths.root()).as_posix()}
    partial, started, start = folder / "lesson.ipynb", _stamp(), time.perf_counter()
    try:
        notebook = execute(
            plan.lesson, partial, parameters=values, timeout=timeout, progress=progress
        )
        seconds = time.perf_counter() - start
        record = {
            "schema": state.SCHEMA, "lesson": plan.lesson.slug, "run": plan.name,
            "profile": plan.profile, "given": dict(plan.given), "key": key,
            "fingerprint": dict(now), "started": started, "seconds": round(seconds, 2),
            "environment": repro.library_versions(),
        }  # fmt: skip
        _finish(plan, notebook, folder, record)
    except Failure as failure:
        if stopping is None or not stopping.is_set():
            _keep_failed(plan, partial, failure, key)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return seconds
