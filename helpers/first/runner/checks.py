"""``course check``: environment, lessons, artefacts, reports, exercises; a line for each."""

import ast
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from helpers import paths
from helpers.course import form
from helpers.first.runner import environment, state
from helpers.first.runner.lessons import CourseError, Lesson, find_lessons, read_notebook, tags_of
from helpers.first.runner.settings import profiles
from helpers.first.runner.structure import is_used, lesson_problems, own_cells, tree_of
from helpers.store.artefacts import Busy, held
from helpers.store.zones import Zone


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and what is wrong with it."""

    name: str
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.problems:
            return f"ok    {self.name}"
        return "\n".join((f"FAIL  {self.name}", *(f"      {p}" for p in self.problems)))


def check_environment() -> Iterator[Check]:
    """Installed versions against the constraints, and packages that must not be there."""
    yield Check(
        "installed versions", tuple(environment.version_problems(environment.constraints()))
    )
    present = environment.unwanted_packages()
    remedy = "it breaks transformers beside this torch; pip uninstall"
    yield Check("no torchvision", tuple(f"{name}: {remedy} {name}" for name in present))


def check_lessons(lessons: tuple[Lesson, ...]) -> Iterator[Check]:
    """The form of every lesson, and profile files that belong to none."""
    for lesson in lessons:
        used = is_used(read_notebook(lesson.path)["cells"])
        problems = lesson_problems(lesson.path)
        if problems:
            problems.append(f"if you changed it: 'course reset {lesson.number}' puts it back")
        name = f"lesson {lesson.slug}"
        yield Check(name + ", with answers or outputs of yours" * used, tuple(problems))
    slugs = {lesson.slug for lesson in lessons}
    folders = [paths.notebooks() / "profiles" / name for name in profiles()]
    files = [path for folder in folders for path in sorted(folder.glob("*.y*ml"))]
    strays = [f for f in files if f.stem not in slugs or f.suffix != ".yaml"]
    yield Check("profiles", tuple(f"{f.parent.name}/{f.name} fits no lesson" for f in strays))


def check_artefacts() -> Iterator[Check]:
    """Every file of every artefact in the local zones against its manifest, and broken builds."""
    from helpers.store import artefacts, zones

    folder = paths.zones()
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        zone = zones.open_zone(str(place))
        for manifest in sorted(place.glob("manifests/**/*.json")):
            name = manifest.relative_to(place / "manifests").with_suffix("").as_posix()
            try:
                problems = artefacts.verify(zone, name)
            except (artefacts.ArtefactError, ValueError) as error:  # a manifest, or a key in it
                problems = [str(error)]
            yield Check(f"artefact {place.name}/{name}", tuple(problems))
        for marker in sorted(place.glob("manifests/**/*.building")):
            name = marker.relative_to(place / "manifests").with_suffix("").as_posix()
            yield Check(f"build {place.name}/{name}", tuple(_unfinished(zone, name)))


def _unfinished(zone: Zone, name: str) -> list[str]:
    """Why an artefact that is marked as being built is not; empty while somebody builds it."""
    from helpers.store import artefacts

    try:
        with held(zone.lock_path(name), what=f"checking {name!r}", wait=False):
            command = artefacts.command_of(zone, name) or "the command that was building it"
            return [f"its build was interrupted; give again: {command}"]
    except Busy:
        return []


def check_reports() -> Iterator[Check]:
    """The records and the numbers of every finished report, of all runs."""
    from helpers.first.report.results import read_results

    for path in sorted(paths.reports().glob("*/[0-9][0-9]_*/run.json")):
        slug, name = path.parent.name, path.parent.parent.name
        problems = []
        if state.read_record(name, slug) is None:
            problems.append(f"run.json cannot be read; course run --name {name} --only {slug}")
        try:
            read_results(path.parent / "results.json")
        except (OSError, ValueError, TypeError) as error:
            problems.append(f"results.json: {error}")
        yield Check(f"report {name}/{slug}", tuple(problems))


DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)


def _definitions(cells: list[dict[str, Any]]) -> str:
    """The imports, functions and classes of code cells: what a solution may build on.

    Stubs, answers and other solutions are left out, so that no solution leans on another.
    """
    nodes = [
        node
        for cell in own_cells(cells)
        if cell["cell_type"] == "code" and not {"exercise", "solution"} & set(tags_of(cell))
        for node in tree_of(cell).body
        if isinstance(node, DEFINITIONS)
    ]
    return "\n".join(ast.unparse(node) for node in nodes)


def solution_problems(notebook: dict[str, Any], number: int) -> list[str]:
    """What the checks say about a solution, run after the definitions above it alone.

    Parameters
    ----------
    notebook : dict
    number : int
        The solution's cell, from 1.

    Returns
    -------
    list of str
        Empty where every verdict is *correct*.
    """
    from helpers.first.report import exercises

    cells = notebook["cells"]
    verdicts = []

    def recorded(name: str, answer: Any) -> Any:
        verdicts.append((name, exercises.check(name, answer)))
        return verdicts[-1][1]

    namespace: dict[str, Any] = {"__name__": "solution"}
    try:
        exec(_definitions(cells[: number - 1]), namespace)  # the lesson's own code
        namespace["check"] = recorded
        exec(compile(tree_of(cells[number - 1]), f"cell {number}", "exec"), namespace)
    except Exception as error:  # noqa: BLE001 (whatever it raises is the finding)
        return [f"cell {number} raises {type(error).__name__}: {error}"]
    if not verdicts:
        return [f"cell {number} calls no check"]
    return [f"{name}: {v.status}, {v.message}" for name, v in verdicts if v.status != "correct"]


def check_exercises(lessons: tuple[Lesson, ...]) -> Iterator[Check]:
    """Every solution against the check of its exercise."""
    for lesson in lessons:
        notebook = read_notebook(lesson.path)
        if form.is_second_edition(lesson.path):
            for name, problems in form.solution_problems(notebook).items():
                yield Check(f"solution {lesson.slug}, {name}", tuple(problems))
            continue
        for number, cell in enumerate(notebook["cells"], start=1):
            if "solution" in tags_of(cell):
                name = f"solution {lesson.slug}, cell {number}"
                yield Check(name, tuple(solution_problems(notebook, number)))


def run_checks(say: Callable[[str], None] = print) -> int:
    """Run all checks, a line each; returns 0 if all hold, else 1."""
    failed = 0
    for check in check_environment():
        say(str(check))
        failed += bool(check.problems)
    try:
        lessons = find_lessons()
    except CourseError as error:
        say(str(Check("lessons", (str(error),))))
        return 1
    groups = (
        check_lessons(lessons), check_artefacts(), check_reports(), check_exercises(lessons)
    )  # fmt: skip
    for check in itertools.chain(*groups):
        say(str(check))
        failed += bool(check.problems)
    say(f"{failed} checks failed" if failed else "all checks hold")
    return 1 if failed else 0
