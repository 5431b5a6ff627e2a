"""``course check``: environment, lessons, artefacts, reports, exercises; a line for each."""

import importlib.util
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import Requirement

from helpers import paths
from helpers.course import form, state
from helpers.course.index import read_results
from helpers.course.lessons import CourseError, Lesson, find_lessons
from helpers.store import artefacts, zones

# Another build of torch on top breaks transformers; the processors use Pillow.
UNWANTED = ("torchvision",)

Check = tuple[str, list[str]]  # what was looked at, and what is wrong with it


def pins() -> dict[str, str]:
    """The versions that ``constraints.txt`` pins, by the package's name as indexes compare it."""
    found = {}
    for line in (paths.root() / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if text := line.partition("#")[0].strip():
            requirement = Requirement(text)
            (exact,) = requirement.specifier
            found[re.sub(r"[-_.]+", "-", requirement.name).lower()] = exact.version
    return found


def version_problems(pinned: Mapping[str, str]) -> list[str]:
    """Installed packages whose version is not the pinned one; a package that is not there is none.

    A local part such as ``+cpu`` does not count: it names a build of the same version.
    """
    problems = []
    for name, wanted in pinned.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            continue  # a pin binds what is installed: some packages belong to one platform
        if found.partition("+")[0] != wanted:
            problems.append(f"{name} {found} is installed, constraints.txt has {wanted}")
    return problems


def check_environment() -> Iterator[Check]:
    """Installed versions against the constraints, and packages that must not be there."""
    yield "installed versions", version_problems(pins())
    present = [name for name in UNWANTED if importlib.util.find_spec(name) is not None]
    remedy = "it breaks transformers beside this torch; pip uninstall"
    yield "no torchvision", [f"{name}: {remedy} {name}" for name in present]


def check_lessons(lessons: tuple[Lesson, ...]) -> Iterator[Check]:
    """The form of every lesson, and profile files that belong to none."""
    for lesson in lessons:
        problems = form.problems(lesson.path)
        if problems:
            problems.append(f"if you changed it: 'course reset {lesson.number}' puts it back")
        used = ", with answers or outputs of yours" if form.is_used(lesson.notebook) else ""
        yield f"lesson {lesson.slug}{used}", problems
    known = {f"{lesson.slug}.yaml" for lesson in lessons}
    files = sorted((paths.notebooks() / "profiles").glob("*/*.y*ml"))
    strays = [f"{f.parent.name}/{f.name} fits no lesson" for f in files if f.name not in known]
    yield "profiles", strays


def check_artefacts() -> Iterator[Check]:
    """Every file of every artefact in the local zones against its manifest, and broken builds."""
    for place in sorted(paths.zones().glob("*/")):
        zone, manifests = zones.open_zone(str(place)), place / "manifests"
        for file in sorted((*manifests.rglob("*.json"), *manifests.rglob("*.building"))):
            name = file.relative_to(manifests).with_suffix("").as_posix()
            kind, look = "artefact", artefacts.verify
            if file.suffix == ".building":
                kind, look = "build", _unfinished
            try:
                problems = look(zone, name)
            except (artefacts.ArtefactError, ValueError) as error:  # a manifest, or a key in it
                problems = [str(error)]
            yield f"{kind} {place.name}/{name}", problems


def _unfinished(zone: zones.Zone, name: str) -> list[str]:
    """Why an artefact that is marked as being built is not; empty while somebody builds it."""
    try:
        with artefacts.held(zone.lock_path(name), what=f"checking {name!r}", wait=False):
            command = artefacts.command_of(zone, name) or "the command that was building it"
            return [f"its build was interrupted; give again: {command}"]
    except artefacts.Busy:
        return []


def check_reports() -> Iterator[Check]:
    """The records and the numbers of every finished report, of all runs."""
    for path in sorted(paths.reports().glob("*/[0-9][0-9]_*/run.json")):
        slug, name, problems = path.parent.name, path.parent.parent.name, []
        if state.read_record(name, slug) is None:
            problems.append(f"run.json cannot be read; course run --name {name} --only {slug}")
        try:
            read_results(path.parent / "results.json")
        except (OSError, ValueError) as error:
            problems.append(f"results.json: {error}")
        yield f"report {name}/{slug}", problems


def check_exercises(lessons: tuple[Lesson, ...]) -> Iterator[Check]:
    """Every solution against the check of its exercise."""
    for lesson in lessons:
        for name, problems in form.solution_problems(lesson.notebook).items():
            yield f"solution {lesson.slug}, {name}", problems


def checks() -> Iterator[Check]:
    """All checks; without readable lessons, the first of them alone."""
    yield from check_environment()
    try:
        lessons = find_lessons()
    except CourseError as error:
        yield "lessons", [str(error)]
        return
    yield from check_lessons(lessons)
    yield from check_artefacts()
    yield from check_reports()
    yield from check_exercises(lessons)


def run_checks() -> int:
    """Print all checks, a line each; returns 0 if all hold, else 1."""
    failed = 0
    for name, problems in checks():
        failed += bool(problems)
        print(f"FAIL  {name}" if problems else f"ok    {name}", flush=True)
        for problem in problems:
            print(f"      {problem}")
    print(f"{failed} checks failed" if failed else "all checks hold")
    return 1 if failed else 0
