"""The course as a process of its own, and the faults that a lesson can meet there.

Whatever fails is printed with what was seen.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from helpers.course.lessons import find_lessons
from helpers.course.plan import recorded_plan
from tests.course.small_lessons import edit, write_lesson

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 1_000_000  # bytes that a file may have where a full disk is played
PATIENCE = 180  # seconds after which a course that hangs is a failure


@contextlib.contextmanager
def fresh_home() -> Iterator[Path]:
    """An empty course in a temporary folder, for this process and those that it starts."""
    before = os.environ.get("COURSE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COURSE_HOME"] = folder
        Path(folder, "notebooks").mkdir()
        try:
            yield Path(folder).resolve()
        finally:
            os.environ.pop("COURSE_HOME")
            if before is not None:
                os.environ["COURSE_HOME"] = before


def start(*argv: str, limit: int = 0, **variables: str) -> subprocess.Popen:
    """Start ``course run`` in a process group of its own; ``limit``: bytes that a file may have."""

    def limited() -> None:
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-m", "helpers.course.cli", "run", *argv],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", **variables}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        preexec_fn=limited if limit else None,
    )  # fmt: skip


def run(*argv: str, limit: int = 0, **variables: str) -> tuple[int, str]:
    """Run the course to its end: the exit code, and what it said with single spaces."""
    process = start(*argv, limit=limit, **variables)
    text, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, " ".join(text.split())


def digest(folder: Path) -> dict[str, str]:
    """File -> hash of everything below a folder, hidden files too."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def judged(number: str) -> str:
    """What ``course list`` would say about a lesson of the run ``tiny``."""
    lessons = find_lessons()
    lesson = next(x for x in lessons if x.number == number)
    return recorded_plan(lesson, name="tiny").judged(lessons)[0]


def complaint(what: str, seen: object) -> bool:
    """Print what was wrong; always False, so that a check can end in it."""
    print(f"{what}: {seen}")
    return False


# A fault: what the lesson's cell does, the options, the limit, and what has to be said.
CELL = "(cell 3 of the lesson)"
DIED = (CELL, "the kernel died", "the memory ran out")
LATE = (CELL, "took longer than 5 s", "--timeout")
FULL = ("Errno 27", "No room to write: free some space")
Fault = tuple[str, tuple[str, ...], int, tuple[str, ...]]
FAULTS: dict[str, Fault] = {
    "cell error": ("1 / 0", (), 0, (CELL, "was not written for (division by zero)")),
    "cell ends the kernel": ("import os; os._exit(0)", (), 0, DIED),
    "kernel killed": ("import os; os.kill(os.getpid(), 9)", (), 0, DIED),
    "sys.exit": ("raise SystemExit(0)", (), 0, (CELL, "ended the program with 0. A lesson")),
    "endless cell": ("while True: pass", ("--timeout", "5"), 0, LATE),
    "cell that ignores the interrupt": (
        "import time\nwhile True:\n    try:\n        time.sleep(9)\n"
        "    except KeyboardInterrupt:\n        pass",
        ("--timeout", "5"), 0, LATE,
    ),
    "disk full in a cell": ("open('big', 'wb').write(bytes(2_000_000))", (), LIMIT, (CELL, *FULL)),
    "disk full for its outputs": ("print('x\\n' * 800_000)", (), LIMIT, (CELL, *FULL)),
    "disk full for its page": (
        "print(('<' * 50 + '\\n') * 6_000)", (), LIMIT,
        ("after its last cell: its report could not be written", *FULL),
    ),
}  # fmt: skip


def survives(name: str) -> bool:
    """A fault after an earlier report: told with cell and remedy, and the report stands."""
    code, options, limit, texts = FAULTS[name]
    with fresh_home() as home:
        path = write_lesson("01_a", "rank + 1")
        run()
        report = home / "reports" / "tiny" / "01_a"
        before = digest(report)
        edit(path, "rank + 1", json.dumps(code)[1:-1])
        status, said = run(*options, limit=limit)
        left = [p.name for p in report.parent.glob(".01_a*")]
        missing = [text for text in (*texts, "01_a failed") if text not in said]
        missing += ["no traceback"] * ("Traceback (most" in said)
        if status != 1 or missing or left or judged("01") == "up to date":
            return complaint(name, (status, missing, left, judged("01"), said))
        return digest(report) == before != {} or complaint(name, "the earlier report changed")


def wrong_kernels() -> tuple[int, int]:
    """A notebook of another kernel runs in this Python; a kernel that cannot start is told."""
    with fresh_home() as home:
        path = write_lesson("01_a", "rank + 1")
        edit(path, '"name": "python3"', '"name": "ir"')
        edit(path, '"language": "python"', '"language": "R"')
        status, said = run()
        good = status == 0 or complaint("wrong kernel", said)
        (home / "broken").mkdir()
        (home / "broken" / "ipykernel_launcher.py").write_text("raise SystemExit(3)")
        status, said = run("--force", PYTHONPATH=str(home / "broken"))
        told = all(text in said for text in ("before its first cell", "ipykernel", "course check"))
        bad = (status == 1 and told) or complaint("kernel that cannot start", said)
        return 2, good + bad
