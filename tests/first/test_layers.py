"""Imports point one way: a module may import its own layer and those below it."""

import ast
from pathlib import Path

import pytest

from helpers import first

PACKAGE = Path(first.__file__).parent
# From the bottom to the top; paths and repro are modules, course is the command line.
ORDER = (
    ("paths", "repro"),
    ("evaluation", "store"),
    ("data",),
    ("prepare",),
    ("models",),
    ("training",),
    ("retrieval",),
    ("studies",),
    ("report",),
    ("runner",),
    ("course",),
)
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
MODULES = sorted(p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py"))


def layer_of(module: str) -> str:
    """The layer of a file such as ``data/world/scenes.py`` or ``paths.py``."""
    return module.split("/")[0].removesuffix(".py")


def imported_layers(source: str) -> set[str]:
    """The layers of this package that a source imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute in this package"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names]
    return {p[2] for p in parts if p[:2] == ["helpers", "first"] and len(p) > 2 and p[2] in LEVEL}


def wrong_imports(module: str, source: str) -> set[str]:
    """The layers above its own, or beside it, that a module imports."""
    own = layer_of(module)
    return {
        other
        for other in imported_layers(source)
        if other != own and (LEVEL[other] > LEVEL[own] or (LEVEL[other] == LEVEL[own] > 0))
    }


@pytest.mark.parametrize("module", [m for m in MODULES if m != "__init__.py"])
def test_imports_point_backwards(module):
    source = (PACKAGE / module).read_text(encoding="utf-8")
    assert layer_of(module) in LEVEL, f"{module} lies in no layer; name it in ORDER"
    assert wrong_imports(module, source) == set()


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("data/a.py", "from helpers import paths", set()),
        ("data/a.py", "from helpers.first.data.b import x", set()),
        ("data/a.py", "from helpers.first.report import results", {"report"}),
        ("data/a.py", "def f():\n    import helpers.first.models.tiny_blip2", {"models"}),
        ("store/a.py", "from helpers.first import course, repro", {"course"}),
        ("course.py", "from helpers.first.runner import session", set()),
    ],
)
def test_a_wrong_import_is_found(module, source, wrong):
    assert wrong_imports(module, source) == wrong


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_short(module):
    lines = len((PACKAGE / module).read_text(encoding="utf-8").splitlines())
    assert lines <= 330, f"{module} has {lines} lines; divide it"
