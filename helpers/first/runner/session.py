"""One ``course run``: the lock, the order of the lessons, what is skipped, and what is said."""

import os
import shlex
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from helpers.first.runner import run_source, staging, state
from helpers.first.runner.console import Console, clock
from helpers.first.runner.lessons import CourseError, Lesson
from helpers.first.runner.meaning import warning_of
from helpers.first.runner.plan import Plan
from helpers.first.runner.settings import DEFAULT_PROFILE
from helpers.store.artefacts import Busy, held

if TYPE_CHECKING:
    from helpers.first.runner.execution import Failure

TICK = 0.5  # seconds between two looks at what runs


@dataclass(frozen=True)
class Settings:
    """How a run goes about its lessons; ``again`` is its command, without the choice of them."""

    name: str
    force: bool = False
    jobs: int = 1
    timeout: float = 0
    again: str = "course run"


@dataclass
class Outcome:
    """What became of each lesson, by its number."""

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    unwritten: str = ""  # why the front page or the table could not be written

    @property
    def finished(self) -> set[str]:
        """Numbers of the lessons whose reports stand."""
        return {*self.done, *self.skipped}

    @property
    def unfinished(self) -> set[str]:
        """Numbers of the lessons that failed or could not start."""
        return {*self.failed, *self.blocked}


class Session:
    """Runs plans in their order, several at a time if asked, never one before what it builds on."""

    def __init__(self, plans: Sequence[Plan], lessons: Sequence[Lesson], settings: Settings):
        self.plans = {p.lesson.number: p for p in plans}
        self.lessons = tuple(lessons)
        self.settings = settings
        self.outcome = Outcome()
        self.console = Console({p.lesson.slug: _known_minutes(p) for p in plans})
        self.shared = state.Shared.now(self.lessons)
        self.stopping = threading.Event()
        self.waits: set[str] = set()  # lessons of which it was said what they wait for

    def run(self) -> Outcome:
        """All lessons; returns what became of each."""
        waiting = list(self.plans)
        running: dict[Future, str] = {}
        if self.settings.jobs > 1:
            threads = os.environ.get("OMP_NUM_THREADS", "all")
            self.console.line(f"{self.settings.jobs} lessons at a time, {threads} threads each")
        with ThreadPoolExecutor(max_workers=self.settings.jobs) as pool:
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
        return self.outcome

    def _start(self, waiting: list[str], running: dict, pool: ThreadPoolExecutor) -> None:
        """Start what can start; settle what is up to date or cannot run at all."""
        for number in list(waiting):
            below = [n for n in self.plans[number].lesson.builds_on if n in self.plans]
            missing = [n for n in below if n in self.outcome.unfinished]
            if missing:
                waiting.remove(number)
                self._block(number, missing)
            elif len(running) < self.settings.jobs and self.outcome.finished.issuperset(below):
                waiting.remove(number)
                self._submit(number, running, pool)
        if self.settings.jobs > 1:
            self._say_waiting(waiting)

    def _say_waiting(self, waiting: list[str]) -> None:
        """Say once of each lesson for which others it waits."""
        for number in waiting:
            plan = self.plans[number]
            below = [n for n in plan.lesson.builds_on if n in self.plans]
            open_ = [n for n in below if n not in self.outcome.finished]
            if open_ and number not in self.waits:
                self.waits.add(number)
                slugs = ", ".join(self.plans[n].lesson.slug for n in open_)
                self.console.line(f"{plan.lesson.slug:<24} waits for {slugs}, which it builds on")

    def _block(self, number: str, missing: list[str]) -> None:
        self.outcome.blocked.append(number)
        slug = self.plans[number].lesson.slug
        self.console.end(slug, f"not run: it builds on {', '.join(missing)}")

    def _submit(self, number: str, running: dict, pool: ThreadPoolExecutor) -> None:
        plan = self.plans[number]
        judged, now = plan.state(self.shared)
        if judged.kind == "up to date" and not self.settings.force:
            self.outcome.skipped.append(number)
            self.console.end(plan.lesson.slug, "up to date")
            self._write_index()
            return
        why = "--force" if judged.kind == "up to date" else str(judged)
        progress = self.console.start(plan.lesson.slug, why)
        from helpers.first.runner.produce import produce  # loads the notebook libraries

        task = partial(produce, plan, now, timeout=self.settings.timeout, progress=progress)
        running[pool.submit(task, stopping=self.stopping)] = number

    def _collect(self, number: str, future: Future) -> None:
        """Note how a lesson ended; a fault of the runner itself is raised."""
        from helpers.first.runner.execution import Failure

        slug = self.plans[number].lesson.slug
        try:
            seconds = future.result()
        except Failure as failure:
            self.outcome.failed.append(number)
            self.console.end(slug, str(failure).removeprefix(f"{slug} ") + self._see(failure))
        else:
            self.outcome.done.append(number)
            self.console.end(slug, f"done in {clock(seconds)}")
        self._write_index()

    def _see(self, failure: "Failure") -> str:
        """Where the partial notebook lies, and which cell of the lesson it was."""
        kept = staging.failed_notebook(self.settings.name, failure.lesson)
        if not kept.is_file():
            return ""
        cell = f" (cell {failure.cell} of the lesson)" if failure.cell else ""
        stop = "" if str(failure).endswith((".", "?", "!")) else "."
        return f"{stop} See {staging.relative(kept)}{cell}"

    def _write_index(self) -> None:
        from helpers.first.runner.index import write_index  # reads results, so it loads pandas

        try:
            write_index(self.settings.name, self.lessons, self.shared, self.plans)
            self.outcome.unwritten = ""
        except OSError as error:  # the reports themselves stand; the next one tries again
            self.outcome.unwritten = str(error)


def _known_minutes(plan: Plan) -> float | None:
    """What a lesson took when it last ran with this profile, or what its notebook says."""
    record = state.read_record(plan.name, plan.lesson.slug)
    if record and record["profile"] == plan.profile:
        return record["seconds"] / 60
    return plan.lesson.minutes if plan.profile == DEFAULT_PROFILE else None


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


def run(plans: Sequence[Plan], lessons: Sequence[Lesson], settings: Settings) -> int:
    """Run the planned lessons under the run's lock and say where the result lies.

    Returns
    -------
    int
        0 if every chosen lesson has a report and the front page is theirs, else 1.

    Raises
    ------
    CourseError
        If another process runs under the same name.
    """
    folder = staging.run_folder(settings.name)
    warning = warning_of(plans, lessons)
    if warning:
        print(warning, flush=True)
    try:
        with held(folder / ".lock", what=f"course run --name {settings.name}", wait=False):
            for note in staging.recover(settings.name):
                print(note)
            run_source.keep(settings.name, plans)
            began = time.perf_counter()
            outcome = Session(plans, lessons, settings).run()
    except Busy as error:
        raise CourseError(f"{error}; or give this run another --name") from error
    _summary(outcome, plans, settings, seconds=time.perf_counter() - began)
    if warning:
        print(warning)
    return 1 if outcome.unfinished or outcome.unwritten else 0


def _summary(
    outcome: Outcome, plans: Sequence[Plan], settings: Settings, *, seconds: float
) -> None:
    """What was made, where it lies, and the next command, whole."""
    n = len(outcome.done)
    parts = [f"{n} {'lesson' if n == 1 else 'lessons'} finished in {clock(seconds)}"] if n else []
    counts = {"up to date": outcome.skipped, "failed": outcome.failed, "not run": outcome.blocked}
    parts += [f"{len(numbers)} {what}" for what, numbers in counts.items() if numbers]
    print(", ".join(parts) + ".")
    folder = staging.run_folder(settings.name)
    if outcome.unwritten:
        print(f"index.html and results.csv are not those of this run: {outcome.unwritten}")
    else:
        print(f"All numbers are in {staging.relative(folder / 'results.csv')}.")
    print(f"Open {(folder / 'index.html').as_uri()}")
    if outcome.failed:
        again = ",".join(sorted(outcome.unfinished))
        print(f"To run again what did not finish: {settings.again} --only {again}")
    elif outcome.finished:
        print(f"To search its images: {_search(plans, settings.name)}")


def _search(plans: Sequence[Plan], name: str) -> str:
    """The command that asks the images of a run."""
    given = {key: value for plan in plans for key, value in plan.given.items()}
    options = [f"--{key}={given[key]}" for key in ("zone", "model", "adapter") if given.get(key)]
    return shlex.join(["course", "search", "--name", name, *options, "--build", "tomato soup"])
