"""The form of a lesson of the second edition, read from its file without running it."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

EDITION = 2
MAX_CELLS = 36
MAX_LINES, MAX_MEDIAN = 30, 8
STUB = 3  # lines that an exercise counts with, whatever was answered
OWN_NAMES = (
    ast.FunctionDef, ast.Lambda, ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp,
    ast.GeneratorExp,
)  # fmt: skip
BY_BEGIN = {"report", "seed"}  # parameters that ``results.begin`` reads
MAX_WORDS = 120
MAX_PARAMETERS = 20
MIN_EXERCISES = 3
DECLARATION = re.compile(r"(\w+): (str|int|float|bool) = (.+?)  # (.+)")
SOLUTION = re.compile(r"<details><summary>Solution</summary>\n\n```python\n(.*?)\n```", re.DOTALL)
JUPYTER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}")
IMAGE = re.compile(r"!\[(.*?)\]\((?!https?:)(.*?)\)")

Cell = Mapping[str, Any]


def read(path: Path) -> dict[str, Any]:
    """The notebook of a file."""
    return json.loads(path.read_text(encoding="utf-8"))


def is_second_edition(path: Path) -> bool:
    """Whether a notebook says that it follows this form."""
    return read(path)["metadata"].get("course", {}).get("edition") == EDITION


def source(cell: Cell) -> str:
    """The text of a cell, which the format stores as one string or as a list of lines."""
    return "".join(cell.get("source", ""))


def tags(cell: Cell) -> list[str]:
    """The tags of a cell."""
    return cell.get("metadata", {}).get("tags", [])


def code_lines(cell: Cell) -> int:
    """Lines of a cell that are not blank."""
    return sum(bool(line.strip()) for line in source(cell).splitlines())


def parameters(notebook: Mapping[str, Any]) -> list[str]:
    """The names that the parameters cell declares, one ``name: type = value  # meaning`` a line."""
    cell = next(c for c in notebook["cells"] if "parameters" in tags(c))
    return [line.partition(":")[0] for line in source(cell).splitlines() if line.strip()]


def solutions(notebook: Mapping[str, Any]) -> dict[str, str]:
    """The code of each folded solution, by the id of its cell."""
    found = {c.get("id", ""): SOLUTION.search(source(c)) for c in notebook["cells"]}
    return {name: match.group(1) for name, match in found.items() if match}


def visible_words(markdown: str) -> int:
    """Words of prose that a reader meets: formulas, links' targets and folds apart."""
    text = re.sub(r"<details>.*?</details>", "", markdown, flags=re.DOTALL)
    text = re.sub(r"\$.*?\$", "x", text, flags=re.DOTALL)
    text = re.sub(r"!?\[(.*?)\]\(.*?\)", r"\1", text)
    return len(text.split())


def problems(path: Path) -> list[str]:
    """Everything that is wrong with a lesson as the course made it; empty where nothing is.

    A learner's answers, outputs and cells are no fault: the source of an exercise counts as empty,
    and cells with ids that Jupyter gives are passed over. ``make lint`` looks for outputs.
    """
    notebook = read(path)
    notebook = {**notebook, "cells": own_cells(notebook)}
    if broken := list(_syntax(notebook)):
        return broken
    return [
        *_metadata(notebook, path.stem), *_sizes(notebook), *_parameters(notebook),
        *_exercises(notebook), *_images(notebook, path.parent),
    ]  # fmt: skip


def own_cells(notebook: Mapping[str, Any]) -> list[Cell]:
    """The cells that the course made: its ids are words, Jupyter's are not."""
    return [c for c in notebook["cells"] if not JUPYTER_ID.fullmatch(str(c.get("id", "")))]


def is_used(notebook: Mapping[str, Any]) -> bool:
    """Whether a learner has run cells of a lesson or added some."""
    cells = notebook["cells"]
    ran = any(c.get("outputs") or c.get("execution_count") is not None for c in cells)
    return ran or len(own_cells(notebook)) < len(cells)


def solution_problems(notebook: Mapping[str, Any]) -> dict[str, list[str]]:
    """What the checks say about each folded solution, run after the lesson's definitions alone.

    An empty list where every verdict is *correct*.
    """
    from helpers.topics.exercises import engine

    notebook, found = {**notebook, "cells": own_cells(notebook)}, {}
    for name, code in solutions(notebook).items():
        verdicts: list[Any] = []

        def recorded(exercise: str, answer: Any, verdicts: list[Any] = verdicts) -> Any:
            verdicts.append(engine.check(exercise, answer))
            return verdicts[-1]

        namespace: dict[str, Any] = {"__name__": "solution"}
        try:
            exec(_definitions(notebook), namespace)  # the lesson's own code
            namespace["check"] = recorded
            exec(code, namespace)
        except Exception as error:  # noqa: BLE001 (whatever it raises is the finding)
            found[name] = [f"{name} raises {type(error).__name__}: {error}"]
            continue
        wrong = [f"{v.status}, {v.message}" for v in verdicts if v.status != "correct"]
        found[name] = wrong if verdicts else [f"{name} calls no check"]
    return found


def _definitions(notebook: Mapping[str, Any]) -> str:
    """The imports, functions and parameters of a lesson: what a solution may build on."""
    kept = []
    for cell in _code(notebook):
        if "exercise" in tags(cell):
            continue
        wanted = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
        wanted += (ast.AnnAssign,) if "parameters" in tags(cell) else ()
        kept += [node for node in ast.parse(source(cell)).body if isinstance(node, wanted)]
    return "\n".join(ast.unparse(node) for node in kept)


def _code(notebook: Mapping[str, Any]) -> list[Cell]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _syntax(notebook: Mapping[str, Any]) -> Iterator[str]:
    for cell in _code(notebook):
        try:
            ast.parse("" if "exercise" in tags(cell) else source(cell))
        except SyntaxError as error:
            yield f"cell {cell.get('id')}, line {error.lineno}: {error.msg}"


def _metadata(notebook: Mapping[str, Any], stem: str) -> Iterator[str]:
    about = notebook["metadata"].get("course", {})
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3":
        yield "metadata kernelspec.name is not 'python3'"
    if not str(about.get("question", "")).endswith("?"):
        yield "metadata course.question is no question"
    if not isinstance(about.get("minutes"), int | float) or about["minutes"] <= 0:
        yield "metadata course.minutes is not a number above 0"
    below = about.get("builds_on")
    if not isinstance(below, list) or not all(str(n) < stem[:2] for n in below):
        yield f"metadata course.builds_on is {below!r}, no list of earlier lessons"
    if about.get("slug") != stem:
        yield f"metadata course.slug is {about.get('slug')!r}, the file is {stem!r}"
    if source(notebook["cells"][0]).splitlines()[0] != f"# {about.get('question')}":
        yield "the title is not the question of the metadata"
    if any("id" not in cell for cell in notebook["cells"]):
        yield "a cell has no id (nbformat 4.5)"


def _sizes(notebook: Mapping[str, Any]) -> Iterator[str]:
    cells, code = notebook["cells"], _code(notebook)
    if len(cells) > MAX_CELLS:
        yield f"{len(cells)} cells, at most {MAX_CELLS}"
    sizes = sorted(min(code_lines(c), STUB if "exercise" in tags(c) else 1000) for c in code)
    if sizes[len(sizes) // 2] > MAX_MEDIAN:
        yield f"the median code cell has {sizes[len(sizes) // 2]} lines, at most {MAX_MEDIAN}"
    for cell in code:
        if code_lines(cell) > MAX_LINES and "exercise" not in tags(cell):
            yield f"cell {cell['id']} has {code_lines(cell)} lines, at most {MAX_LINES}"
    for cell in cells:
        words = visible_words(source(cell))
        if cell["cell_type"] == "markdown" and words > MAX_WORDS:
            yield f"cell {cell['id']} has {words} words, at most {MAX_WORDS}"


def _parameters(notebook: Mapping[str, Any]) -> Iterator[str]:
    cell = next((c for c in notebook["cells"] if "parameters" in tags(c)), None)
    if cell is None:
        yield "no cell is tagged 'parameters'"
        return
    lines = [line for line in source(cell).splitlines() if line.strip()]
    for line in lines:
        if not DECLARATION.fullmatch(line):
            yield f"parameters: {line!r} is no 'name: type = value  # meaning'"
    if len(lines) > MAX_PARAMETERS:
        yield f"{len(lines)} parameters, at most {MAX_PARAMETERS}"
    later = _code(notebook)[_code(notebook).index(cell) + 1 :]
    trees = [ast.parse(source(c)) for c in later if "exercise" not in tags(c)]
    used = {n.id for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Name)}
    for name in parameters(notebook):
        if name not in used | BY_BEGIN:
            yield f"parameter {name} is never read"
        if name in {bound for tree in trees for bound in _bound(tree)}:
            yield f"parameter {name} is bound again: cells below would read another value"
    if "report" not in parameters(notebook):
        yield "no parameter `report`: the runner cannot say where to write"


def _bound(tree: ast.AST) -> Iterator[str]:
    """The names that a cell binds for those below; functions and comprehensions keep their own."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if not isinstance(node, OWN_NAMES):
            yield from _bound(node)


def _exercises(notebook: Mapping[str, Any]) -> Iterator[str]:
    answers = [c for c in _code(notebook) if "exercise" in tags(c)]
    if len(answers) < MIN_EXERCISES:
        yield f"{len(answers)} exercises, at least {MIN_EXERCISES}"
    asked = [c for c in notebook["cells"] if "exercise" in tags(c) and c not in answers]
    for cell in asked:
        if cell.get("id", "") not in solutions(notebook):
            yield f"exercise {cell.get('id')} has no folded solution"


def _images(notebook: Mapping[str, Any], folder: Path) -> Iterator[str]:
    found = [m for c in notebook["cells"] for m in IMAGE.finditer(source(c))]
    if not found:
        yield "no diagram"
    for match in found:
        if len(match.group(1)) < 20:
            yield f"diagram {match.group(2)} has no text that says what it shows"
        if not (folder / match.group(2)).is_file():
            yield f"diagram {match.group(2)} is not there"
