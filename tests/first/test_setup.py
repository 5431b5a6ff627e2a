"""The set-up: one list of versions in three files, no package that breaks another, tools agree."""

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement

import helpers
from helpers.course.checks import pins

ROOT = Path(helpers.__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DIRECT = PROJECT["dependencies"]
DEV = PROJECT["optional-dependencies"]["dev"]
PINS = pins()
UNIX_ONLY = {"pexpect", "ptyprocess"}


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(requirements: Iterable[str], extras: Iterable[str] = ()) -> list[Requirement]:
    """The requirements that hold on this machine, for these extras."""
    environments = [{**default_environment(), "extra": extra} for extra in (*extras, "")]
    parsed = map(Requirement, requirements)
    return [
        r for r in parsed if r.marker is None or any(r.marker.evaluate(e) for e in environments)
    ]


def closure(requirements: Iterable[str]) -> set[str]:
    """The names of all installed packages that requirements lead to, themselves included."""
    todo, seen = wanted(requirements), set()
    while todo:
        requirement = todo.pop()
        key = (canonical(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            todo += wanted(requires(requirement.name) or (), requirement.extras)
    return {name for name, _ in seen}


def names(requirements: list[str]) -> set[str]:
    return {canonical(Requirement(text).name) for text in requirements}


@pytest.mark.parametrize("text", DIRECT + DEV)
def test_every_dependency_has_a_lower_bound_that_its_pin_meets(text):
    requirement = Requirement(text)
    assert any(s.operator in (">=", "==") for s in requirement.specifier)
    assert requirement.specifier.contains(PINS[canonical(requirement.name)])


def test_torch_is_pinned_and_s3fs_is_recent():
    bounds = {canonical(Requirement(t).name): str(Requirement(t).specifier) for t in DIRECT}
    assert bounds["torch"] == "==2.13.0"
    assert bounds["s3fs"] == ">=2026.1"


def test_the_constraints_pin_the_whole_closure_and_nothing_else():
    """What the dependencies lead to on this platform is pinned, at the installed version."""
    found = closure(DIRECT + DEV)
    assert found - set(PINS) == set()
    assert set(PINS) - found <= UNIX_ONLY
    installed = {name: version(name).partition("+")[0] for name in found}
    assert installed == {name: PINS[name] for name in found}


def test_packages_of_one_platform_are_marked():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    marked = {canonical(Requirement(x).name) for x in lines if ";" in x}
    assert marked == UNIX_ONLY


def test_conda_installs_the_same_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    options = [line for line in pip if line.startswith("-")]
    found = {r.name: r for r in map(Requirement, (x for x in pip if not x.startswith("-")))}
    assert options == ["--constraint constraints.txt", "--editable ."]
    assert set(map(canonical, found)) == names(DIRECT + DEV)
    for name, requirement in found.items():
        assert str(requirement.specifier) == f"=={PINS[canonical(name)]}"
    extras = {canonical(Requirement(t).name): Requirement(t).extras for t in DIRECT + DEV}
    assert {canonical(name): r.extras for name, r in found.items()} == extras


def test_torchvision_is_not_installed_and_not_asked_for():
    assert importlib.util.find_spec("torchvision") is None
    assert "torchvision" not in closure(DIRECT + DEV)
    assert "torchvision" not in PINS
    for file in ("pyproject.toml", "environment.yml", "constraints.txt"):
        text = (ROOT / file).read_text(encoding="utf-8").lower()
        assert "torchvision" not in text
        assert "nvidia" not in text


NOT_NEEDED = {"sentence_transformers"}  # a benchmark compares with it where it is installed


def third_party_imports(folder: Path) -> set[str]:
    """Top-level names that the sources below a folder import and Python does not bring."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"helpers", "tests"}


@pytest.mark.parametrize(
    ("folder", "allowed"), [("helpers", DIRECT), ("tests", DIRECT + DEV)], ids=["helpers", "tests"]
)
def test_what_is_imported_is_a_direct_dependency(folder, allowed):
    owners = packages_distributions()
    unknown = {
        module
        for module in third_party_imports(ROOT / folder)
        if not names(owners.get(module, [])) & names(allowed)
    }
    assert unknown - NOT_NEEDED == set()


def test_the_package_says_its_version_once():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == helpers.__version__
    assert PROJECT["dynamic"] == ["version"]
    assert citation["license"] == PROJECT["license"]


def test_hooks_need_no_network():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]
    tools = {hook["entry"].split()[0] for repo in hooks["repos"] for hook in repo["hooks"]}
    assert all(hook["language"] == "system" for hook in hooks["repos"][0]["hooks"])
    assert tools <= names(DEV)
