"""What every lesson has to look like, read from its file without running it.

A learner's answers, outputs and own cells are not looked at: `make lint` says what is left in a
notebook that is to be committed.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.course import form
from helpers.first.runner.lessons import (
    CourseError,
    parameters_cell,
    read_notebook,
    source_of,
    tags_of,
)
from helpers.first.runner.parameters import Parameter, declared_parameters

CELLS = range(25, 47)
MAX_LINES = 36  # import lines grew by a folder name
MAX_WORDS = 120
JUPYTER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}")
MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)

Cell = Mapping[str, Any]


def _code(cells: Sequence[Cell]) -> Iterator[tuple[int, Cell]]:
    """Number (from 1) and cell of the code cells."""
    return ((n, c) for n, c in enumerate(cells, start=1) if c["cell_type"] == "code")


def tree_of(cell: Cell) -> ast.Module:
    """The syntax tree of a code cell; lines of IPython magic count as ``pass``.

    Raises
    ------
    SyntaxError
        If it is no Python.
    """
    return ast.parse(MAGIC.sub(r"\1pass", source_of(cell)))


def syntax_problems(cells: Sequence[Cell]) -> list[str]:
    """Code cells that are no Python."""
    problems = []
    for number, cell in _code(cells):
        try:
            tree_of(cell)
        except SyntaxError as error:
            problems.append(f"cell {number}, line {error.lineno}: {error.msg}")
    return problems


def own_cells(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that the course made, as far as it made them: what its form is checked on.

    A learner's answer is none of the course's: the source of an exercise counts as empty. Nor are
    cells that a learner added: their ids are those that Jupyter gives, the course's are words.
    """
    return [
        {**cell, "source": ""} if "exercise" in tags_of(cell) else cell
        for cell in cells
        if not JUPYTER_ID.fullmatch(str(cell.get("id", "")))
    ]


def is_used(cells: Sequence[Cell]) -> bool:
    """Whether a learner has run cells here or added some."""
    ran = any(c.get("outputs") or c.get("execution_count") is not None for c in cells)
    return ran or len(own_cells(cells)) < len(cells)


def visible(markdown: str) -> str:
    """The prose that a reader meets: no tags, and of a fold its summary alone.

    >>> visible("a <details><summary>b</summary>c</details>")
    'a b'
    """
    unfolded = re.sub(r"</summary>.*?</details>", "", markdown, flags=re.DOTALL)
    return re.sub(r"</?[a-zA-Z][^>]*>", "", unfolded)


def size_problems(cells: Sequence[Cell]) -> list[str]:
    """Too many or too few cells, code that is too long, prose that is too wordy."""
    problems = []
    if len(cells) not in CELLS:
        problems.append(f"{len(cells)} cells; a lesson has {CELLS.start} to {CELLS.stop - 1}")
    for number, cell in enumerate(cells, start=1):
        source = source_of(cell)
        lines, words = len(source.splitlines()), len(visible(source).split())
        short = cell["cell_type"] == "code" and "parameters" not in tags_of(cell)
        if short and lines > MAX_LINES:
            problems.append(f"cell {number} has {lines} lines of code, at most {MAX_LINES}")
        if cell["cell_type"] == "markdown" and words >= MAX_WORDS:
            problems.append(f"cell {number} has {words} words, fewer than {MAX_WORDS} are wanted")
    return problems


def names_read(cells: Sequence[Cell]) -> set[str]:
    """The names that code cells load, those inside f-strings included."""
    return {
        node.id
        for _, cell in _code(cells)
        for node in ast.walk(tree_of(cell))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def parameter_problems(cells: Sequence[Cell], declared: Mapping[str, Parameter]) -> list[str]:
    """Parameters that no later cell reads, and a lesson that the runner cannot direct."""
    place = next((n for n, c in _code(cells) if "parameters" in tags_of(c)), 0)
    if not place:
        return ["no cell is tagged 'parameters'"]
    read = names_read(cells[place:])
    problems = [f"parameter {name} is never read" for name in declared if name not in read]
    if "report" not in declared:
        problems.append("no parameter `report`: the runner cannot say where to write")
    return problems


def check_problems(cells: Sequence[Cell], stem: str) -> list[str]:
    """A lesson whose second cell of code does not check its parameters, under its own name."""
    call = f'check_parameters("{stem}", globals())'
    second = [source_of(cell) for _, cell in _code(cells)][1:2]
    return [] if second and call in second[0] else [f"the second cell of code does not {call}"]


def exercise_problems(cells: Sequence[Cell]) -> list[str]:
    """Exercises without a folded solution in the next cell, and solutions without an exercise."""
    problems = []
    for number, cell in enumerate(cells, start=1):
        follower = cells[number] if number < len(cells) else {}
        leader = cells[number - 2] if number > 1 else {}
        if "exercise" in tags_of(cell) and "solution" not in tags_of(follower):
            problems.append(f"cell {number} is an exercise; the next cell is no solution")
        if "solution" not in tags_of(cell):
            continue
        if "exercise" not in tags_of(leader):
            problems.append(f"cell {number} is a solution; the cell before is no exercise")
        if not cell["metadata"].get("jupyter", {}).get("source_hidden"):
            problems.append(f"cell {number} is a solution; set jupyter.source_hidden to true")
    return problems


def result_problems(cells: Sequence[Cell]) -> list[str]:
    """A lesson that nowhere calls ``write_results``."""
    return [] if "write_results" in names_read(cells) else ["no cell calls write_results"]


def metadata_problems(notebook: Mapping[str, Any], stem: str) -> list[str]:
    """What the notebook's metadata lacks: the entry ``course`` and a kernel named python3."""
    metadata = notebook.get("metadata", {})
    about = metadata.get("course", {})
    problems = []
    if metadata.get("kernelspec", {}).get("name") != "python3":
        problems.append("metadata kernelspec.name is not 'python3'")
    if not str(about.get("question", "")).strip().endswith("?"):
        problems.append("metadata course.question is no question")
    if not isinstance(about.get("minutes"), int | float) or about["minutes"] <= 0:
        problems.append("metadata course.minutes is not a number above 0")
    if about.get("slug") != stem:
        problems.append(f"metadata course.slug is {about.get('slug')!r}, the file is {stem!r}")
    below = about.get("builds_on")
    if not isinstance(below, list):
        problems.append("metadata course.builds_on is no list")
    else:
        late = [n for n in below if not re.fullmatch(r"\d\d", str(n)) or str(n) >= stem[:2]]
        problems += [f"metadata course.builds_on: {n!r} is no earlier lesson" for n in late]
    if any("id" not in cell for cell in notebook["cells"]):
        problems.append("a cell has no id (nbformat 4.5)")
    return problems


def lesson_problems(path: Path) -> list[str]:
    """Everything that is wrong with the form of a lesson as the course made it; empty: nothing.

    Parameters
    ----------
    path : Path
        The notebook.

    Returns
    -------
    list of str
        One sentence a problem, with the number of the cell.
    """
    if form.is_second_edition(path):
        return form.problems(path)
    try:
        notebook = read_notebook(path)
        cells = own_cells(notebook["cells"])
        if broken := syntax_problems(cells):
            return broken
        declared = declared_parameters(parameters_cell(notebook, where=path.stem), where=path.stem)
    except CourseError as error:
        return [str(error)]
    return [
        *metadata_problems(notebook, path.stem),
        *check_problems(cells, path.stem),
        *size_problems(cells),
        *parameter_problems(cells, declared),
        *exercise_problems(cells),
        *result_problems(cells),
    ]
