"""One ``course run``: the lock, the order of the lessons, what is skipped, and what is said."""

import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial

from helpers import paths
from helpers.course import staging, state
from helpers.course.index import write_index
from helpers.course.lessons import CourseError, Lesson
from helpers.course.parameters import DEFAULT_PROFILE
from helpers.course.plan import Plan, keep_source, warning_of
from helpers.store.artefacts import Busy, held

TICK = 0.5  # seconds between two looks at what runs
EVERY = 60.0  # seconds between two lines on one lesson, where there is no live line


def clock(seconds: float) -> str:
    """Minutes and seconds, such as ``1:05``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Console:
    """Lines for people: when a lesson starts and ends, and while it runs.

    On a terminal a live line follows the cells; elsewhere a line a minute does. ``minutes`` says
    what each lesson is known to take, or None.
    """

    def __init__(self, minutes: Mapping[str, float | None]) -> None:
        self.live = sys.stdout.isatty()
        self.minutes = dict(minutes)  # of lessons that have not ended
        self.places = {slug: f"lesson {n} of {len(minutes)}: {slug}"
                       for n, slug in enumerate(minutes, start=1)}  # fmt: skip
        self.cells: dict[str, str] = {}  # of lessons that run
        self.started: dict[str, float] = {}
        self.told: dict[str, float] = {}

    def line(self, text: str) -> None:
        """Print a line in the place of the live one."""
        print(("\r\033[K" if self.live else "") + text, flush=True)

    def start(self, slug: str, why: str) -> Callable[[int, int], None]:
        """Announce a lesson; returns the callback that follows its cells."""
        self.started[slug] = self.told[slug] = time.perf_counter()
        self.cells[slug] = "starting"
        if not self.live:
            self.line(f"{self.places[slug]} starts ({why}){self._left()}")

        def progress(cell: int, total: int) -> None:
            self.cells[slug] = f"cell {cell} of {total}"

        return progress

    def tick(self) -> None:
        """Refresh the live line, or write one where the last is a minute old."""
        now, lines = time.perf_counter(), []
        for slug, cell in self.cells.items():
            lines.append(f"{self.places[slug]}, {cell}, {clock(now - self.started[slug])}")
            if not self.live and now - self.told[slug] >= EVERY:
                self.told[slug] = now
                self.line(lines[-1] + self._left())
        if self.live and lines:
            print("\r\033[K" + "   ".join(lines) + self._left(), end="", flush=True)

    def end(self, slug: str, text: str) -> None:
        """Say how a lesson ended."""
        self.cells.pop(slug, None)
        self.minutes.pop(slug, None)
        self.line(f"{slug:<24} {text}")

    def _left(self) -> str:
        """What the lessons that have not ended still take, where that is known of all of them."""
        if not self.minutes or None in self.minutes.values():
            return ""
        now = time.perf_counter()
        spent = {slug: (now - self.started[slug]) / 60 for slug in self.cells}
        left = sum(max(0.0, m - spent.get(slug, 0)) for slug, m in self.minutes.items())
        return f"; about {max(1, round(left))} min left in all"


def _known_minutes(plan: Plan) -> float | None:
    """What a lesson took when it last ran with this profile, or what its notebook says."""
    record = state.read_record(plan.name, plan.lesson.slug)
    if record and record["profile"] == plan.profile:
        return record["seconds"] / 60
    return plan.lesson.minutes if plan.profile == DEFAULT_PROFILE else None


class Session:
    """Runs plans in their order, several at a time if asked, never one before what it builds on."""

    def __init__(
        self, plans: Sequence[Plan], lessons: Sequence[Lesson], *, force: bool, jobs: int,
        timeout: float,
    ) -> None:  # fmt: skip
        self.plans = {p.lesson.number: p for p in plans}
        self.lessons, self.name = lessons, plans[0].name
        self.force, self.jobs, self.timeout = force, jobs, timeout
        self.ends: dict[str, str] = {}  # number -> done, up to date, failed or not run
        self.console = Console({p.lesson.slug: _known_minutes(p) for p in plans})
        self.stopping = threading.Event()

    def numbers(self, *ends: str) -> list[str]:
        """The numbers of the lessons that ended so."""
        return [number for number, end in self.ends.items() if end in ends]

    def run(self) -> None:
        """Run all lessons; ``ends`` then says what became of each."""
        waiting, running = list(self.plans), {}
        if self.jobs > 1:
            threads = os.environ.get("OMP_NUM_THREADS", "all")
            self.console.line(f"{self.jobs} lessons at a time, {threads} threads each")
        with ThreadPoolExecutor(max_workers=self.jobs) as pool:
            try:
                while waiting or running:
                    self._start(waiting, running, pool)
                    finished, _ = wait(running, timeout=TICK, return_when=FIRST_COMPLETED)
                    self.console.tick()
                    for future in finished:
                        self._collect(running.pop(future), future)
            except KeyboardInterrupt:
                self.console.line("stopping: earlier reports stay as they were")
                self.stopping.set()
                _end_kernels()
                raise

    def _start(self, waiting: list[str], running: dict, pool: ThreadPoolExecutor) -> None:
        """Start what can start; settle what is up to date or cannot run at all."""
        for number in list(waiting):
            plan = self.plans[number]
            below = [n for n in plan.lesson.builds_on if n in self.plans]
            missing = [n for n in below if n in self.numbers("failed", "not run")]
            ready = set(below) <= set(self.numbers("done", state.UP_TO_DATE))
            if missing:
                self._end(number, "not run", f"not run: it builds on {', '.join(missing)}")
            elif ready and len(running) < self.jobs:
                judged, now = plan.judged(self.lessons)
                if judged == state.UP_TO_DATE and not self.force:
                    self._end(number, judged, judged)
                else:
                    why = "--force" if judged == state.UP_TO_DATE else judged
                    progress = self.console.start(plan.lesson.slug, why)
                    from helpers.course.execute import produce  # loads the notebook libraries

                    task = partial(produce, plan, now, timeout=self.timeout, progress=progress)
                    running[pool.submit(task, stopping=self.stopping)] = number
            else:
                continue
            waiting.remove(number)

    def _collect(self, number: str, future: Future) -> None:
        """Note how a lesson ended; a fault of the runner itself is raised."""
        from helpers.course.execute import Failure

        slug = self.plans[number].lesson.slug
        try:
            self._end(number, "done", f"done in {clock(future.result())}")
        except Failure as failure:
            said = str(failure).removeprefix(f"{slug} ")
            kept = state.failed_notebook(self.name, slug)
            if kept.is_file():
                stop = "" if said.endswith((".", "?", "!")) else "."
                told = isinstance(failure.cell, int)
                cell = f" (cell {failure.cell} of the lesson)" if told else ""
                said += f"{stop} See {_relative(kept)}{cell}"
            self._end(number, "failed", said)

    def _end(self, number: str, end: str, said: str) -> None:
        self.ends[number] = end
        self.console.end(self.plans[number].lesson.slug, said)
        if end in ("done", "failed"):
            write_index(self.name, self.lessons, self.plans)


def _relative(path: os.PathLike) -> str:
    return os.path.relpath(path, paths.root()).replace(os.sep, "/")


def _end_kernels() -> None:
    """End the kernels that this process started; their lessons then end as failed."""
    import psutil

    for child in psutil.Process().children():
        try:
            if "ipykernel_launcher" in child.cmdline():
                for process in (*child.children(recursive=True), child):
                    process.kill()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue  # it has ended by itself, which is what is wanted


def run(
    plans: Sequence[Plan], lessons: Sequence[Lesson], *, force: bool = False, jobs: int = 1,
    timeout: float = 0, again: str = "course run",
) -> int:  # fmt: skip
    """Run the planned lessons under the run's lock and say where the result lies.

    ``again`` is the command without the choice of lessons. Returns 0 if every lesson has a report,
    else 1; raises ``CourseError`` if another process runs under the same name.
    """
    name = plans[0].name
    folder = state.run_folder(name)
    warning = warning_of(plans, lessons)
    if warning:
        print(warning, flush=True)
    try:
        with held(folder / ".lock", what=f"course run --name {name}", wait=False):
            for note in staging.recover(name):
                print(note)
            keep_source(name, plans)
            began = time.perf_counter()
            session = Session(plans, lessons, force=force, jobs=jobs, timeout=timeout)
            session.run()
            write_index(name, lessons, session.plans)  # also where nothing had to run
    except Busy as error:
        raise CourseError(f"{error}; or give this run another --name") from error
    n, seconds = len(session.numbers("done")), time.perf_counter() - began
    parts = [f"{n} {'lesson' if n == 1 else 'lessons'} finished in {clock(seconds)}"] if n else []
    ends = ("up to date", "failed", "not run")
    parts += [f"{len(found)} {end}" for end in ends if (found := session.numbers(end))]
    print(", ".join(parts) + ".")
    print(f"All numbers are in {_relative(folder / 'results.csv')}.")
    print(f"Open {(folder / 'index.html').as_uri()}")
    if unfinished := sorted(session.numbers("failed", "not run")):
        print(f"To run again what did not finish: {again} --only {','.join(unfinished)}")
    else:
        given = {key: value for plan in plans for key, value in plan.given.items()}
        options = [f"--{key}={given[key]}" for key in ("zone", "model", "adapter")
                   if given.get(key)]  # fmt: skip
        search = ["course", "search", "--name", name, *options, "--build", "tomato soup"]
        print(f"To search its images: {shlex.join(search)}")
    if warning:
        print(warning)
    return 1 if unfinished else 0
