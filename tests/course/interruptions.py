"""The runner under every mistake and interruption it was built for: real processes and kernels.

``main`` tries all of it; ``test_interruptions.py`` tries a few cases. Whatever fails is printed
with what was seen.
"""

import contextlib
import json
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from helpers.course.index import read_results
from helpers.course.lessons import find_lessons
from helpers.course.state import run_folder
from helpers.store import artefacts, zones
from tests.course.faults import (
    FAULTS,
    PATIENCE,
    complaint,
    digest,
    fresh_home,
    judged,
    run,
    start,
    survives,
    wrong_kernels,
)
from tests.course.small_lessons import BUILD, write_course, write_lesson

Row = tuple[str, int, int, float]


def _whole(name: str, slug: str) -> bool:
    """Whether a finished report of a lesson lies in its place, or aside in the middle of a swap."""
    folder = run_folder(name) / slug
    for place in (folder, folder.with_name(f".{slug}.old")):
        if (place / "run.json").is_file():
            record = json.loads((place / "run.json").read_text(encoding="utf-8"))
            sizes = {file: (place / file).stat().st_size for file in record["files"]}
            return sizes == record["files"] and len(read_results(place / "results.json")) == 1
    return False


def _outcome(home: Path) -> dict[str, bytes]:
    """The numbers of a run and the files of its zone."""
    files = [*home.glob("reports/tiny/*/results.json"), home / "reports" / "tiny" / "results.csv"]
    files += [p for p in (home / "data").rglob("*.txt") if p.is_file()]
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in files}


def _kill(process: subprocess.Popen) -> list[str]:
    """Kill a run as a power cut would; gives the kernels that outlived it for long."""
    with contextlib.suppress(psutil.NoSuchProcess):
        kernels = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate()
        _, alive = psutil.wait_procs(kernels, timeout=20)
        for kernel in alive:
            kernel.kill()
        return [f"kernel {kernel.pid} outlived its run" for kernel in alive]
    return []


def _problems_after(process: subprocess.Popen, expected: dict[str, bytes]) -> list[str]:
    """Kill a run and run again: what is unreadable, lost or other than without the kill."""
    problems = _kill(process)
    slugs = [lesson.slug for lesson in find_lessons()]
    problems += [f"{slug} is lost" for slug in slugs if not _whole("tiny", slug)]
    status, said = run("-p", "rank=9")
    found = _outcome(run_folder("tiny").parents[1])
    problems += [
        f"{key} differs" for key in {*expected, *found} if found.get(key) != expected.get(key)
    ]
    problems += artefacts.verify(zones.open_zone("", name="tiny"), "squares")
    problems += [path.name for path in run_folder("tiny").glob(".*[0-9t]") if path.is_dir()]
    return problems if status == 0 else [*problems, said]


def killed_runs(moments: int, *, seed: int = 7) -> tuple[int, int]:
    """Kill a second run of a course at random moments; what was there stands, and it recovers."""
    draw = random.Random(seed)
    with fresh_home() as home:
        write_course()
        run("-p", "rank=8")
        first = Path(shutil.copytree(home, home / "first", ignore=shutil.ignore_patterns("first")))
        begun = time.perf_counter()
        run("-p", "rank=9")
        duration = time.perf_counter() - begun
        expected = _outcome(home)
        passed = 0
        for number in range(moments):
            moment = draw.uniform(0.1, 1.05) * duration
            with fresh_home() as again:
                shutil.copytree(first, again, dirs_exist_ok=True)
                process = start("-p", "rank=9", "--jobs", str(1 + number % 2))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(moment)
                problems = _problems_after(process, expected)
                passed += not problems or complaint(f"kill {number} at {moment:.2f} s", problems)
    return moments, passed


WAIT = """\
import pathlib, time
end = time.monotonic() + 120
while not pathlib.Path("go").exists() and time.monotonic() < end:
    time.sleep(0.02)"""


def one_name(runs: int = 8) -> tuple[int, int]:
    """Several runs of one name at once: one goes on, the others say who holds the name."""
    with fresh_home() as home:
        write_lesson("01_a", WAIT)
        processes = [start() for _ in range(runs)]
        begun = time.monotonic()
        while sum(p.poll() is None for p in processes) > 1 and time.monotonic() - begun < PATIENCE:
            time.sleep(0.02)
        (home / "go").write_text("")
        ended = [(p.communicate(timeout=PATIENCE)[0], p.returncode) for p in processes]
        refused = [text for text, status in ended if status == 2]
        why = ("held by", "wait until it ends", "give this run another --name")
        told = sum(all(part in text for part in why) for text in refused)
        done = [status for _, status in ended].count(0) == 1 and judged("01") == "up to date"
        good = done and told == runs - 1
        return runs, told + done if good else complaint("one name", ended)


def _spoil(home: Path, how: str) -> None:
    """Do something to the artefact of the run ``tiny`` in a home."""
    zone = home / "data" / "zones" / "tiny"
    file = zone / "fine-tuning-zone" / "squares" / "3.txt"
    if how == "missing":
        file.unlink()
    elif how == "interrupted":
        (zone / "manifests" / "squares.building").write_text("[]")
        file.write_text("half of it")
    elif how == "foreign":
        file.with_name("mine.txt").write_text("a learner's own")
    elif how == "corrupt":
        file.write_text("9 with a tail")
    elif how == "corrupt manifest":
        (zone / "manifests" / "squares.json").write_text("{")


REFUSED = {
    "foreign": "squares/mine.txt' came from elsewhere; move it away, or use another zone",
    "corrupt": "squares/3.txt' has 13 bytes",
    "corrupt manifest": "squares.json in zone",
}
INPUTS = ("stale", "missing", "interrupted", *REFUSED)


def input_is_handled(how: str) -> bool:
    """An input that can be made again is; one that nobody vouches for stops the lesson by name."""
    with fresh_home() as home:
        write_lesson("01_a", BUILD.format(files=10), value="total")
        run("-p", "rank=2")
        _spoil(home, how)
        spoilt = digest(home / "data")
        status, said = run("--force", "-p", "rank=3" if how == "stale" else "rank=2")
        if how in REFUSED:
            same = digest(home / "data") == spoilt
            told = REFUSED[how] in said and "(cell 3 of the lesson)" in said
            return (status == 1 and told and same) or complaint(how, (status, same, said))
        value = read_results(run_folder("tiny") / "01_a" / "results.json")[0]["value"]
        expected = 285 * (3 if how == "stale" else 2)
        return (status == 0 and value == expected) or complaint(how, (status, value, said))


def jobs(numbers: Sequence[int] = (2, 3)) -> tuple[int, int]:
    """The same numbers from several lessons at a time."""
    with fresh_home() as home:
        write_course()
        run("--name", "alone")
        passed = 0
        for number in numbers:
            status, said = run("--name", f"jobs{number}", "--jobs", str(number))
            tables = [
                (home / "reports" / name / "results.csv").read_bytes()
                for name in ("alone", f"jobs{number}")
            ]
            told = f"{number} lessons at a time" in said
            good = status == 0 and told and tables[0] == tables[1]
            passed += good or complaint(f"--jobs {number}", (status, said, tables))
        return len(numbers), passed


def _each(check: Callable[[str], bool], cases: Sequence[str]) -> Callable[[], tuple[int, int]]:
    return lambda: (len(cases), sum(check(case) for case in cases))


LINES: dict[str, Callable[[], tuple[int, int]]] = {
    "runner: cell error, kernel killed, time-out, disk full": _each(survives, tuple(FAULTS)),
    "runner: wrong kernel, kernel that cannot start": wrong_kernels,
    "runner: kill -9 at random moments": lambda: killed_runs(30),
    "runner: 8 runs of one name": one_name,
    "runner: stale inputs rebuilt, foreign and corrupt refused": _each(input_is_handled, INPUTS),
    "runner: several jobs, equal results": jobs,
}


def main() -> list[Row]:
    """Try every line; returns (name, tried, passed, seconds) for each, and prints it as it ends."""
    rows = []
    for name, attempt in LINES.items():
        begun = time.perf_counter()
        tried, passed = attempt()
        rows.append((name, tried, passed, time.perf_counter() - begun))
        print("{:<60} {:>5} {:>5} {:>8.1f}".format(*rows[-1]), flush=True)
    return rows


if __name__ == "__main__":
    main()
