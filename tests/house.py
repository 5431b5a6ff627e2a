"""Modules of the package, what each imports, and how much lies under a lesson."""

import ast
import json
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BACK_ROOM = ("helpers.world", "helpers.pretraining", "helpers.course")


def modules() -> dict[str, Path]:
    """Every module of ``helpers`` by its dotted name."""
    found = {}
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = path
    return found


MODULES = modules()


def imports_of(source: str) -> set[str]:
    """The modules of the package that a source imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in MODULES}


def lines(names: Iterable[str]) -> int:
    """Lines of some modules together."""
    return sum(MODULES[name].read_text(encoding="utf-8").count("\n") for name in names)


def is_back_room(name: str) -> bool:
    """What makes the world and its checkpoints, and what executes notebooks."""
    return name.startswith(BACK_ROOM)


def closure(names: Iterable[str]) -> set[str]:
    """Some modules and all that they import, directly or through others; back room apart."""
    seen: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in seen and not is_back_room(name):
            seen.add(name)
            todo += imports_of(MODULES[name].read_text(encoding="utf-8"))
    return {name for name in seen if MODULES[name].read_text(encoding="utf-8").strip()}


def lesson_imports(path: Path) -> set[str]:
    """The modules of the package that a notebook imports."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    found = set().union(*map(imports_of, sources))
    return {name for name in found if MODULES[name].name != "__init__.py"}


def lessons() -> dict[str, Path]:
    """The numbered notebooks by their numbers."""
    return {p.name[:2]: p for p in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
