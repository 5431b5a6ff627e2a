"""The environment against ``constraints.txt``: which packages belong to the course, which versions.

Read from the metadata of the installed packages; nothing is imported or fetched.
"""

import importlib.util
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.markers import default_environment
from packaging.requirements import Requirement

from helpers import paths

# Another build of torch on top breaks transformers; the processors use Pillow.
UNWANTED = ("torchvision",)


def canonical(name: str) -> str:
    """A package's name as indexes compare it: lower case, one kind of dash.

    >>> canonical("Pre_Commit")
    'pre-commit'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Name -> version of the lines ``name==version`` of a constraints file.

    Raises
    ------
    ValueError
        If a line has another form, or a name is there twice.

    Examples
    --------
    >>> pins("torch==2.13.0  # comment")
    {'torch': '2.13.0'}
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        requirement = Requirement(line)
        name = canonical(requirement.name)
        exact = [s.version for s in requirement.specifier if s.operator == "=="]
        if len(exact) != 1 or len(requirement.specifier) != 1:
            raise ValueError(f"line {number}: {line!r} is no pin `name==version`")
        if name in found:
            raise ValueError(f"line {number}: {name} is pinned twice")
        found[name] = exact[0]
    return found


def constraints() -> dict[str, str]:
    """The pins of the course's ``constraints.txt``."""
    return pins(paths.root().joinpath("constraints.txt").read_text(encoding="utf-8"))


def _wanted(requirements: Iterable[str], extras: Iterable[str]) -> list[Requirement]:
    """The requirements that hold on this machine, for these extras."""
    environments = [{**default_environment(), "extra": extra} for extra in (*extras, "")]
    parsed = [Requirement(text) for text in requirements]
    return [
        r for r in parsed if r.marker is None or any(r.marker.evaluate(e) for e in environments)
    ]


def closure(requirements: Iterable[str]) -> set[str]:
    """The names of all installed packages that requirements lead to, themselves included.

    Raises
    ------
    PackageNotFoundError
        If one of them is not installed.
    """
    todo = _wanted(requirements, ())
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        requirement = todo.pop()
        key = (canonical(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            todo += _wanted(requires(requirement.name) or (), requirement.extras)
    return {name for name, _ in seen}


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


def unwanted_packages() -> list[str]:
    """Packages that can be imported here and must not be."""
    return [name for name in UNWANTED if importlib.util.find_spec(name) is not None]
