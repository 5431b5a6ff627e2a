"""The lessons as files: which there are, what their metadata says, and how one is named.

Notebooks are read as plain JSON: listing them must not wait for the notebook libraries.
"""

import difflib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers import paths
from helpers.repro import hash_of
from helpers.store.credentials import without_keys

TAG = "parameters"


class CourseError(Exception):
    """A mistake that the user can mend; its text says what is wrong, where, and what to do.

    Addresses in it show no passwords.
    """

    def __str__(self) -> str:
        return without_keys(super().__str__())


# Errors of Python itself that no text of ours explains.
UNEXPECTED = (LookupError, AttributeError, TypeError, NameError, AssertionError, ArithmeticError)


def one_line(text: object, *, longest: int = 1000) -> str:
    """A text without line breaks, and not endlessly long."""
    line = " ".join(str(text).split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


@dataclass(frozen=True)
class Lesson:
    """One numbered notebook and what the ``course`` entry of its metadata says."""

    number: str
    slug: str
    path: Path
    question: str
    minutes: float
    builds_on: tuple[str, ...]


def read_notebook(path: Path) -> dict[str, Any]:
    """The JSON of a notebook.

    Raises
    ------
    CourseError
        If the file is no notebook; the text names the file and the place.
    """
    try:
        notebook = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CourseError(
            f"{path} is not readable as a notebook ({error}): 'course reset {path.stem[:2]}' puts "
            "the lesson back, and keeps this file"
        ) from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise CourseError(f"{path} is not a notebook: it has no list of cells")
    return notebook


def source_of(cell: Mapping[str, Any]) -> str:
    """The text of a cell, which the format stores as one string or as a list of lines."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def tags_of(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """The tags of a cell."""
    return tuple(cell.get("metadata", {}).get("tags", ()))


def parameters_cell(notebook: Mapping[str, Any], *, where: str) -> str:
    """The source of the one cell tagged ``parameters``, or "" where a lesson has none."""
    cells = [c for c in notebook["cells"] if TAG in tags_of(c)]
    if len(cells) > 1:
        raise CourseError(f"{where}: {len(cells)} cells are tagged {TAG!r}; there can be one")
    return source_of(cells[0]) if cells else ""


def notebook_hash(notebook: Mapping[str, Any]) -> str:
    """A hash of the cells' kinds, tags and sources.

    Outputs, execution counts and cell ids do not count, so that walking through a lesson in
    Jupyter does not make its report stale.
    """
    rows = [[c["cell_type"], list(tags_of(c)), source_of(c)] for c in notebook["cells"]]
    return hash_of(rows)


def read_lesson(path: Path) -> Lesson:
    """A lesson from its file; missing metadata leaves the fields empty."""
    about = read_notebook(path).get("metadata", {}).get("course", {})
    return Lesson(
        number=path.stem.split("_")[0],
        slug=path.stem,
        path=path,
        question=str(about.get("question", "")),
        minutes=float(about.get("minutes", 0)),
        builds_on=tuple(str(number) for number in about.get("builds_on", ())),
    )


def find_lessons(folder: Path | None = None) -> tuple[Lesson, ...]:
    """All notebooks named ``NN_slug.ipynb`` in a folder, in the order of their numbers.

    Raises
    ------
    CourseError
        If there is none, or if two share a number.
    """
    folder = paths.notebooks() if folder is None else folder
    lessons = tuple(read_lesson(p) for p in sorted(folder.glob("[0-9][0-9]_*.ipynb")))
    if not lessons:
        raise CourseError(f"no lesson (NN_name.ipynb) in {folder}")
    for one, other in itertools.pairwise(lessons):
        if one.number == other.number:
            raise CourseError(f"two lessons have the number {one.number}: {one.slug}, {other.slug}")
    return lessons


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """``; did you mean 'alpha'?`` where an option is close to the name, else an empty text.

    Upper and lower case count as one, ``-`` and ``_`` too.
    """
    plain = {option.casefold().replace("-", "_"): option for option in sorted(options)}
    close = difflib.get_close_matches(name.casefold().replace("-", "_"), plain, n=1)
    return f"; did you mean {plain[close[0]]!r}?" if close else ""


def choose(lessons: Sequence[Lesson], only: str) -> tuple[Lesson, ...]:
    """The lessons that ``--only`` names, by number or by name, in their own order.

    Raises
    ------
    CourseError
        If there is no name, or a name fits no lesson.
    """
    if not only.strip():
        raise CourseError("--only is empty: name lessons, such as 01,03, or leave it out for all")
    names = {n: x for x in lessons for n in (x.number, x.slug, x.number.lstrip("0") or "0")}
    wanted = [name.strip() for name in only.split(",")]
    for name in wanted:
        if name not in names:
            there = ", ".join(x.slug for x in lessons)
            hint = did_you_mean(name, (x.slug for x in lessons))
            raise CourseError(f"--only names no lesson {name!r}{hint} (there are: {there})")
    chosen = {names[name].slug for name in wanted}
    return tuple(x for x in lessons if x.slug in chosen)
