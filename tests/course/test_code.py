"""The modules behind a lesson: found by reading, and the same as reading them as Python finds."""

import ast

import pytest

from helpers import paths
from helpers.course.code import PACKAGE, Modules, changed_module, imported_names
from helpers.course.lessons import read_lesson

LESSONS = sorted(paths.notebooks().glob("*.ipynb"))


def names_by_syntax(source: str) -> set[str]:
    """Oracle: every dotted name of the package in an import statement, by the syntax tree."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.split(".")[0] == "helpers"}


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_reading_lines_finds_every_import_of_a_lesson(path):
    source = read_lesson(path).code
    assert names_by_syntax(source)
    assert names_by_syntax(source) <= imported_names(source)


def test_reading_lines_finds_every_import_of_the_package():
    for file in PACKAGE.rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        assert names_by_syntax(source) <= imported_names(source), file


def test_nothing_of_the_package_is_imported_by_a_name_made_at_run_time():
    """But for what the layers ask for by name: the world, the runner's check, the exercises."""
    calls = ("import_module(", "__import__(", "exec_module(")
    found = [f for f in PACKAGE.rglob("*.py") if any(c in f.read_text("utf-8") for c in calls)]
    named = ["data/sets.py", "data/sources.py", "report/results.py", "topics/cir/triplets.py",
             "topics/exercises/engine.py"]  # fmt: skip
    assert sorted(f.relative_to(PACKAGE).as_posix() for f in found) == named


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_stands_on_its_helpers_and_not_on_the_runner(path):
    behind = Modules().behind(read_lesson(path).code)
    assert {"__init__.py", "paths.py"} <= set(behind)
    assert {"report/results.py", "first/report/results.py"} & set(behind)
    runner = ("first/course.py", "course/cli.py")
    assert not [file for file in behind if file in runner]


@pytest.fixture
def package(tmp_path):
    """Modules a (imports b.c inside a function) and d; b is a package."""
    files = {
        "__init__.py": "",
        "a.py": "def f():\n    from helpers.b import (\n        c as see,\n    )\n",
        "b/__init__.py": "",
        "b/c.py": "import helpers.a\n",  # a circle
        "d.py": "x = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_imports_are_followed_through_modules_and_circles(package):
    assert list(Modules(package).behind("import os, helpers.a\nprint(1)")) == [
        "__init__.py",
        "a.py",
        "b/__init__.py",
        "b/c.py",
    ]
    assert Modules(package).behind("import json") == {}
    assert list(Modules(package).behind("if 1:\n  from helpers import d")) == [
        "__init__.py",
        "d.py",
    ]


def test_a_change_is_named_and_one_elsewhere_is_none(package):
    before = Modules(package).behind("import helpers.a")
    (package / "d.py").write_text("x = 2\n")
    assert changed_module(before, Modules(package).behind("import helpers.a")) == ""
    (package / "b" / "c.py").write_text("import helpers.d\n")
    after = Modules(package).behind("import helpers.a")
    assert changed_module(before, after) == "helpers/b/c.py changed"
    assert changed_module({**after, "z.py": "1"}, after) == "helpers/z.py is gone"
    assert changed_module({k: v for k, v in after.items() if k != "d.py"}, after) == (
        "helpers/d.py is new"
    )
    assert changed_module("0123", after) == "the code in helpers/ changed"
