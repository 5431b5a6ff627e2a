"""Executes one notebook with papermill and says whether it truly ran to its end.

papermill alone can leave an output that looks complete after a killed kernel, and takes whatever
kernel is registered under the notebook's kernel name. Here the kernel is always this Python, and an
execution counts only if every code cell ran, in order, without an error output.
"""

import builtins
import errno
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

# papermill's optional stores announce themselves on import; only its engine is used.
from papermill.exceptions import PapermillException, PapermillExecutionError
from papermill.execute import execute_notebook

from helpers import paths
from helpers.first.runner.lessons import UNEXPECTED, one_line, read_notebook, source_of
from helpers.first.runner.parameters import Value

INJECTED = "injected-parameters"
AFTER = "after its last cell"
FULL = tuple(getattr(errno, n) for n in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, n))
FULL_TEXT = re.compile("|".join([*(rf"\[Errno {n}\]" for n in FULL), "No space left on device"]))
MAKE_ROOM = (
    "No room to write: free some space (data/cache may be deleted at any time), then run it again"
)


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

    Cell 0 is none of them: ``line`` says where it was instead, if not before the first. ``kind`` is
    the name of the error's class, for whoever reads the partial notebook.
    """

    lesson: str
    cell: int
    line: str
    error: str
    remedy: str
    kind: str = ""

    def __str__(self) -> str:
        where = "" if self.cell else f" {self.line or 'before its first cell'}"
        stop = "" if self.error.endswith((".", "?", "!")) else "."
        return f"{self.lesson} failed{where}: {self.error}{stop} {self.remedy}".rstrip()


Progress = Callable[[int, int], None]


class _Tracker:
    """Follows which cell runs, for progress lines and error messages."""

    def __init__(self, source: Path, progress: Progress | None):
        self.cells = read_notebook(source)["cells"]
        self.numbers = {c.get("id"): n for n, c in enumerate(self.cells, start=1)}
        self.progress = progress
        self.current: Mapping[str, Any] = {}

    def cell_start(self, cell: NotebookNode, cell_index: int) -> None:
        self.current = cell
        if self.progress is not None and self.number:
            self.progress(self.number, len(self.cells))

    def error_in(self, notebook: NotebookNode) -> tuple[str, str]:
        """Class and text of the error that the cell that started last put out; else nothing."""
        last = [c for c in notebook.cells if c.get("id") == self.current.get("id")]
        outputs = [o for cell in last for o in cell.get("outputs", ())]
        errors = [o for o in outputs if o["output_type"] == "error"]
        return (
            (errors[0].ename, sentence(errors[0].ename, errors[0].evalue)) if errors else ("", "")
        )

    @property
    def number(self) -> int:
        """The current cell's place in the lesson as it is in ``notebooks/``."""
        return self.numbers.get(self.current.get("id"), 0)

    @property
    def line(self) -> str:
        """The first line of the current cell that is code."""
        lines = [x.strip() for x in source_of(self.current).splitlines()]
        first = next((x for x in lines if x and not x.startswith("#")), "")
        return first if len(first) <= 80 else first[:77] + "..."


def is_full(error: BaseException) -> bool:
    """Whether an error says that there is no room: a full disk, a quota, a limit on file sizes."""
    return isinstance(error, OSError) and error.errno in FULL


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
    if isinstance(error, PapermillExecutionError):
        text = sentence(error.ename, error.evalue)
        return text, MAKE_ROOM if FULL_TEXT.search(text) else ""
    if is_full(error):
        return one_line(error), MAKE_ROOM
    if isinstance(error, DeadKernelError):
        return "the kernel died", (
            "Most often the memory ran out: try fewer recipes (-p max_recipes=...), smaller "
            "batches or a smaller model"
        )
    if isinstance(error, CellTimeoutError):
        return f"the cell took longer than {timeout:g} s", (
            "Give it more time (--timeout SECONDS, 0 for no limit) or less to do"
        )
    return one_line(error), "Check that ipykernel is installed (course check)"


def execute(
    source: Path,
    output: Path,
    *,
    parameters: Mapping[str, Value],
    timeout: float = 0,
    progress: Progress | None = None,
) -> NotebookNode:
    """Run a notebook from the root of the course and return it with its outputs.

    Parameters
    ----------
    source, output : Path
        The lesson, and the file that papermill saves to after every cell.
    parameters : mapping
        Values for the cell that papermill adds after the parameters cell.
    timeout : float
        Seconds that one cell may take; 0 for no limit.
    progress : callable, optional
        Called with the number of the cell that starts and the number of cells.

    Raises
    ------
    Failure
        If a cell raised, was stopped by the time-out, or the kernel died or never started.
    """
    tracker = _Tracker(source, progress)
    try:
        notebook = execute_notebook(
            source,
            output,
            parameters=dict(parameters),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            execution_timeout=timeout or None,
            kernel_manager_class=ThisPython,
            coalesce_streams=True,
            on_cell_start=tracker.cell_start,
            resources={"metadata": {"path": str(paths.root())}},
        )
    except (PapermillException, DeadKernelError, CellTimeoutError, RuntimeError, OSError) as error:
        text, remedy = _explain(error, timeout)
        kind = getattr(error, "ename", type(error).__name__)
        raise Failure(source.stem, tracker.number, tracker.line, text, remedy, kind) from error
    kind, stop = tracker.error_in(notebook)
    if kind:  # papermill takes exit() for an end like any other
        remedy = "A lesson runs to its last cell: leave out what ends it (exit, quit, sys.exit)"
        raise Failure(source.stem, tracker.number, tracker.line, stop, remedy, kind)
    if fault := incomplete(notebook):
        raise Failure(source.stem, 0, AFTER, fault, "Run it again; if it recurs, report it")
    return notebook


def incomplete(notebook: Mapping[str, Any]) -> str:
    """Why an executed notebook is not complete; empty where it is.

    Complete means that the code cells were counted 1, 2, 3 ... in their order and that none of them
    has an error among its outputs.
    """
    expected = 0
    for number, cell in enumerate(notebook["cells"], start=1):
        if cell["cell_type"] != "code" or not source_of(cell).strip():
            continue
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
