"""Parameters that are paths, or may be: files, folders, sources of records, models.

A relative path is looked for where the command was given, then below the course's root.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from helpers import paths
from helpers.first.runner.lessons import did_you_mean
from helpers.first.runner.texts import Text

BENCHMARKS = ("fashioniq", "cirr", "circo")  # before a colon and a folder: sources of triplets
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*")  # of a store, a database, a service
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
CHECKPOINT = ("config.json", "model_index.json")  # one of them makes a folder a model


@dataclass(frozen=True)
class Place(Text):
    """A path: of a file, of a folder, or, with ``new``, of something that is yet to be made."""

    kind: str = "folder"
    new: bool = False

    def settled(self, text: str) -> str:
        """The path from the root, or whole where it lies elsewhere."""
        if not text or ADDRESS.fullmatch(text):
            return text
        found = paths.fresh(text) if self.new else paths.find(text)
        return paths.portable(found) if self.new or found.exists() else text

    def missing(self, text: str) -> str:
        """That nothing is there, with both places; or that it is something else."""
        if not text or ADDRESS.fullmatch(text):
            return ""
        found = paths.find(text)
        if not found.exists():
            return "" if self.new else nothing_at(text)
        if found.is_dir() != (self.kind == "folder"):
            other = "a file" if found.is_file() else "a folder"
            return f"{found} is {other}; a {self.kind} is wanted"
        return ""


def nothing_at(text: str) -> str:
    """That nothing is at a path, in each place that it was looked for in."""
    return f"nothing is at {' or '.join(map(str, paths.places(text)))}"


@dataclass(frozen=True)
class SourceText(Text):
    """A source of recipes, cars or triplets: a drawn world, a benchmark's folder, a path."""

    def settled(self, text: str) -> str:
        """The same with its path settled."""
        kind, place, rest = self._split(text)
        found = paths.find(place) if place else None
        return f"{kind}{paths.portable(found)}{rest}" if found and found.exists() else text

    def missing(self, text: str) -> str:
        """What ``open_source`` would say of it, before it reads any record."""
        kind, place, _ = self._split(text)
        if place and not paths.find(place).exists():
            return nothing_at(place) + _nearest(place)
        if kind:
            return ""
        from helpers.data.sources import check_source

        try:
            if not text or text.startswith("world:") or not _is_cars(text):
                check_source(text)
        except ValueError as error:
            return str(error).removeprefix(f"source {text!r}: ")
        return ""

    def _split(self, text: str) -> tuple[str, str, str]:
        """What stands before a path, the path, and what stands after it."""
        kind, colon, place = text.partition(":")
        if colon and kind in BENCHMARKS:
            place, mark, rest = place.partition("#")
            return kind + colon, place, mark + rest
        return ("", "", "") if text.startswith("world:") else ("", text, "")


@dataclass(frozen=True)
class DomainText(SourceText):
    """A source of captioned images, the folder of a pipeline that generates them, or nothing."""

    def missing(self, text: str) -> str:
        """What a source lacks; nothing where a pipeline lies in the folder."""
        given = bool(text) and not (paths.find(text) / "model_index.json").is_file()
        return super().missing(text) if given else ""


def _nearest(place: str) -> str:
    for path in paths.places(place):
        names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        if hint := did_you_mean(path.name, names):
            return hint
    return "; give a file or folder that is there, or world:kitchen"


def _is_cars(text: str) -> bool:
    """A folder of Stanford Cars, which lesson 09 reads itself."""
    folder = paths.find(text)
    return any((place / "cars_meta.mat").is_file() for place in (folder, folder / "devkit"))


@dataclass(frozen=True)
class Model(Text):
    """A model: a word of its own, a tiny checkpoint, a folder, or an id of the hub."""

    words: tuple[str, ...] = ()
    address: bool = False  # whether it may lie behind an address of the web

    def settled(self, text: str) -> str:
        """A folder's path settled; names stay."""
        if self.address and ADDRESS.fullmatch(text):
            return text
        known = text in self.words or not text or (paths.tiny() / text).is_dir()
        found = None if known else paths.find(text)
        return paths.portable(found) if found and found.is_dir() else text

    def missing(self, text: str) -> str:
        """That no model is there, or that the folder is none."""
        if text in self.words or ((paths.tiny() / text).is_dir() and text):
            return ""
        if self.address and ADDRESS.fullmatch(text):
            return ""
        found = paths.find(text) if text else Path()
        if text and found.is_dir():
            if any((found / name).is_file() for name in CHECKPOINT):
                return ""
            return f"the folder {found} holds no model: it has no {CHECKPOINT[0]}"
        if HUB_ID.fullmatch(text):
            return ""
        tiny = sorted(p.name for p in paths.tiny().glob("tiny-*"))
        names = (*self.words, *tiny)
        hint = did_you_mean(text, names) if text else ""
        where = nothing_at(text) if "/" in text else f"there is no model {text!r}"
        return f"{where}; use {', '.join(names)}, a folder, or a hub id as owner/name{hint}"
