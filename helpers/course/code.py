"""Which modules of the package a lesson or a run stands on, and a hash of each.

A result goes stale when one of them changes, and only then: the runner, the command line and the
helpers of other lessons decide none of its numbers. The modules are found by following ``import``
lines, those inside functions too; nothing is imported. A name that only looks like an import (in a
docstring, say) can add a module, and never hides one: imports here are absolute and written out.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from helpers import repro

PACKAGE = Path(__file__).resolve().parents[1]
NAME = PACKAGE.name
IMPORT = re.compile(
    rf"^[ \t]*(?:from[ \t]+({NAME}(?:\.\w+)*)[ \t]+import[ \t]+(\([^)]*\)|.*)"
    rf"|import[ \t]+(.*\b{NAME}\b.*))$",
    re.MULTILINE,
)


def imported_names(source: str) -> set[str]:
    """Dotted names that a source may import from the package; not all of them are modules.

    >>> sorted(imported_names("from helpers.store import zones, locks"))
    ['helpers.store', 'helpers.store.locks', 'helpers.store.zones']
    """
    found = set()
    for module, names, plain in IMPORT.findall(source):
        found |= {module, *(f"{module}.{name}" for name in re.findall(r"\w+", names))}
        found |= set(re.findall(rf"\b{NAME}(?:\.\w+)*", plain))
    return found - {""}


class Modules:
    """The package's source; files are read once, when a lesson first leads to them.

    ``through_packages=False`` leaves out what a package's own ``__init__`` brings, for a part of a
    package that does not stand on its neighbors.
    """

    def __init__(self, package: Path = PACKAGE, *, through_packages: bool = True):
        self.package = package
        self.through_packages = through_packages
        self._seen: dict[str, tuple[str, set[str]]] = {}  # file -> its hash, the files it imports

    def behind(self, source: str) -> dict[str, str]:
        """File -> hash of all modules that a source imports, directly or through others."""
        todo = self._files(imported_names(source))
        found: dict[str, str] = {}
        while todo:
            file = todo.pop()
            if file not in found:
                found[file], further = self._read(file)
                todo |= further
        return dict(sorted(found.items()))

    def named(self, module: str, *, packages: Collection[str]) -> tuple[str, ...]:
        """The dotted names of a module and of those behind it, within some of the packages.

        >>> Modules().named("helpers.paths", packages=("paths",))
        ('helpers.paths',)
        """
        files = self.behind(f"import {module}")
        names = (file.removesuffix(".py").split("/") for file in files)
        return tuple(
            ".".join((NAME, *parts))
            for parts in names
            if parts[parts[0] == "first"] in packages and parts[-1] != "__init__"
        )

    def _read(self, file: str) -> tuple[str, set[str]]:
        if file not in self._seen:
            text = (self.package / file).read_text(encoding="utf-8")
            self._seen[file] = repro.hash_of(text), self._files(imported_names(text))
        return self._seen[file]

    def _files(self, names: set[str]) -> set[str]:
        """The files of the names that are modules, with the packages that lead to them."""
        files = set()
        for name in names:
            parts = name.split(".")[1:]
            folders = ["/".join([*parts[:n], "__init__.py"]) for n in range(len(parts) + 1)]
            names_of = [*(folders if self.through_packages else ()), "/".join(parts) + ".py"]
            there = (f for f in names_of if f in self._seen or (self.package / f).is_file())
            files.update(there)
        return files


def changed_module(old: Mapping[str, str] | str, new: Mapping[str, str]) -> str:
    """What differs between the modules behind a report and today's; empty: nothing.

    Reports of earlier versions recorded one hash of the whole package: of these, nothing is known.
    """
    if isinstance(old, str):
        return f"the code in {NAME}/ changed"
    for file in sorted({*old, *new}):
        if old.get(file) != new.get(file):
            verb = "is new" if file not in old else "is gone" if file not in new else "changed"
            return f"{NAME}/{file} {verb}"
    return ""
