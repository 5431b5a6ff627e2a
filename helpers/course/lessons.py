"""The lessons as files: which there are, what their metadata says, what their parameters are.

Notebooks are read as plain JSON, and parameters by one pattern: ``papermill.inspect_notebook``
passes over a line whose text holds a second ``=``, and takes its time to import.
"""

import ast
import difflib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from helpers import paths
from helpers.course import form
from helpers.repro import hash_of
from helpers.store.credentials import without_keys

Value = int | float | str | bool
# Errors of Python itself that no text of ours explains.
UNEXPECTED = (LookupError, AttributeError, TypeError, NameError, AssertionError, ArithmeticError)
TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


class CourseError(Exception):
    """A mistake that the user can mend; its text says what is wrong, where, and what to do.

    Addresses in it show no passwords.
    """

    def __str__(self) -> str:
        return without_keys(super().__str__())


def one_line(text: object, *, longest: int = 1000) -> str:
    """A text without line breaks, and not endlessly long."""
    line = " ".join(str(text).split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """``; did you mean 'alpha'?`` where an option is close to the name, else an empty text.

    Upper and lower case count as one, ``-`` and ``_`` too.
    """
    plain = {option.casefold().replace("-", "_"): option for option in sorted(options)}
    close = difflib.get_close_matches(name.casefold().replace("-", "_"), plain, n=1)
    return f"; did you mean {plain[close[0]]!r}?" if close else ""


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: ``name: type = default  # meaning``."""

    name: str
    type: str
    default: Value
    meaning: str


@dataclass(frozen=True)
class Lesson:
    """One numbered notebook and what the ``course`` entry of its metadata says.

    ``minutes`` are those on two cores with its own parameters, ``builds_on`` the numbers of the
    lessons whose results it takes.
    """

    path: Path
    slug: str
    number: str
    question: str
    minutes: float
    builds_on: tuple[str, ...]
    notebook: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def hash(self) -> str:
        """Of the cells' kinds, tags and sources: walking through it in Jupyter changes nothing."""
        cells = self.notebook["cells"]
        return hash_of([[c["cell_type"], form.tags(c), form.source(c)] for c in cells])

    @property
    def code(self) -> str:
        """The sources of its code cells."""
        cells = self.notebook["cells"]
        return "\n".join(form.source(c) for c in cells if c["cell_type"] == "code")

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """What its parameters cell declares, by name and in its order.

        Raises ``CourseError`` for a line of another form, a default of another type and a name
        that is there twice.
        """
        cells = [c for c in self.notebook["cells"] if "parameters" in form.tags(c)]
        found: dict[str, Parameter] = {}
        for number, line in enumerate("\n".join(map(form.source, cells)).splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            place = f"{self.slug}, parameters cell, line {number}"
            parameter = _parameter(line, place)
            if parameter.name in found:
                raise CourseError(f"{place}: {parameter.name} is declared twice")
            found[parameter.name] = parameter
        return found


def _parameter(line: str, place: str) -> Parameter:
    match = form.DECLARATION.fullmatch(line.rstrip())
    try:
        name, kind, text, meaning = match.groups()  # type: ignore[union-attr]
        default = ast.literal_eval(text)
    except (AttributeError, ValueError, SyntaxError) as error:
        remedy = "write `name: type = literal  # meaning`"
        raise CourseError(f"{place}: {line!r} is no parameter; {remedy}") from error
    default = float(default) if kind == "float" and type(default) is int else default
    if type(default) is not TYPES[kind]:
        found = type(default).__name__
        raise CourseError(f"{place}: {name} is declared {kind}, its default {default!r} is {found}")
    return Parameter(name, kind, default, meaning)


def read_lesson(path: Path) -> Lesson:
    """A lesson from its file; missing metadata leaves the fields empty.

    Raises ``CourseError``, with the file and what to do, if it is no notebook.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CourseError(
            f"{path} is not readable as a notebook ({error}): 'course reset {path.stem[:2]}' puts "
            "the lesson back, and keeps this file"
        ) from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise CourseError(f"{path} is not a notebook: it has no list of cells")
    about, slug = notebook.get("metadata", {}).get("course", {}), path.stem
    question, minutes = str(about.get("question") or slug), float(about.get("minutes", 0))
    below = tuple(map(str, about.get("builds_on", ())))
    return Lesson(path, slug, slug[:2], question, minutes, below, notebook)


def find_lessons() -> tuple[Lesson, ...]:
    """All notebooks named ``NN_slug.ipynb``, in the order of their numbers.

    Raises ``CourseError`` if there is none, or if two share a number.
    """
    folder = paths.notebooks()
    lessons = tuple(read_lesson(p) for p in sorted(folder.glob("[0-9][0-9]_*.ipynb")))
    if not lessons:
        raise CourseError(f"no lesson (NN_name.ipynb) in {folder}")
    for one, other in itertools.pairwise(lessons):
        if one.number == other.number:
            raise CourseError(f"two lessons have the number {one.number}: {one.slug}, {other.slug}")
    return lessons


def choose(lessons: Sequence[Lesson], only: str) -> tuple[Lesson, ...]:
    """The lessons that ``--only`` names, by number or by name, in their own order.

    Raises ``CourseError`` if there is no name, or a name fits no lesson.
    """
    if not only.strip():
        raise CourseError("--only is empty: name lessons, such as 01,03, or leave it out for all")
    names = {n: x for x in lessons for n in (x.number, x.slug, str(int(x.number)))}
    wanted = [name.strip() for name in only.split(",")]
    for name in wanted:
        if name not in names:
            there = [x.slug for x in lessons]
            hint = did_you_mean(name, there)
            raise CourseError(
                f"--only names no lesson {name!r}{hint} (there are: {', '.join(there)})"
            )
    return tuple(x for x in lessons if x in [names[name] for name in wanted])
