"""Recipes written as Markdown: front matter in YAML, images as links, a list of ingredients.

This is how static site generators keep recipes: pages below ``content/`` (or anywhere, where there
is no such folder), images beside them or below ``static/``.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator
from itertools import groupby, takewhile
from typing import Any
from urllib.parse import unquote

import yaml

from helpers.data.readers import Items, byte_order_mark
from helpers.data.records import BOM, Recipe, Reject, bounded, collapse, plain_text, read_record

PAGES = "content"
SERVED = "static"  # what a site serves at its root
FENCE = "---"
# Pages about a folder, not of it: repositories and data sets bring them along.
ABOUT = frozenset((
    "readme", "license", "licence", "copying", "notice", "contributing", "changelog",
    "changes", "authors", "history", "security", "citation", "code_of_conduct", "card",
    "data_card", "datacard", "dataset_card", "datasheet", "model_card",
))  # fmt: skip
PLAIN = {yaml.ScalarNode: "str", yaml.SequenceNode: "seq", yaml.MappingNode: "map"}
TAGGED = {
    "timestamp": "a date", "binary": "binary data", "set": "a set", "int": "a number",
    "float": "a number", "bool": "a boolean", "null": "null", "omap": "an ordered list",
    "pairs": "a list of pairs",
}  # fmt: skip
_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+(?:\[[ xX]\]\s+)?(\S.*)")
_IMAGE = re.compile(
    r"!\[[^\]]{0,500}\]\(\s*(?:<([^>]{0,500})>|([^\s)]{1,500}))[^)]{0,500}\)"
    r"|<img\b[^>]{0,500}?\bsrc\s*=\s*[\"']([^\"']{1,500})[\"']",
    re.I,
)
_NOT_PROSE = re.compile(r"\s*(?:#|[-*+]\s|\d+[.)]\s|>|\||<|\{\{|```|~~~|---|===)")


class _Texts(yaml.SafeLoader):
    """The safe loader without guesses at types: ``007``, ``no`` and dates stay text.

    An alias (``*name``) is refused: a few of them, each a list of others, unfold to gigabytes.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the loader's own class attribute

    def compose_node(self, parent: Any, index: Any) -> yaml.Node:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            problem = f"the alias *{event.anchor[:30]} is not followed; write the value out"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)


def pages_of(files: Iterable[str]) -> list[str]:
    """The files that hold a recipe: each ``.md`` below ``content/``, if any; never a README."""
    pages = []
    for file in files:
        stem, *ends = posixpath.basename(file).lower().split(".")
        if ends[-1:] == ["md"] and stem.replace("-", "_") not in ABOUT:
            pages.append(file)
    return [file for file in pages if file.startswith(f"{PAGES}/")] or pages


def has_front_matter(data: bytes) -> bool:
    """Whether a page begins as one with front matter does."""
    return data.removeprefix(BOM.encode()).startswith(FENCE.encode())


def read_page(text: str, file: str, files: frozenset[str]) -> Items:
    """The recipe of a page, or why it is none; its images are looked for among ``files``.

    The recipe's id is the path of the page without ``content/`` and ``.md``.

    >>> page = "---\\ntitle: Pie\\n---\\n![a pie](/pie.jpg)\\n"
    >>> next(read_page(page, "pie.md", frozenset(["static/pie.jpg"]))).images
    ('static/pie.jpg',)
    """
    if text.startswith(BOM):
        yield byte_order_mark(file, 1)
    lines = text.removeprefix(BOM).replace("\r\n", "\n").split("\n")
    name = file.removeprefix(f"{PAGES}/")[: -len(".md")]
    recipe_id = name.removesuffix("/index")
    if posixpath.basename(file).startswith("_"):
        yield Reject(file, 1, recipe_id, "a page of the site itself (its name begins with '_')")
        return
    try:
        front, start = _front_matter(lines)
    except _Broken as broken:
        line, reason = broken.args
        yield Reject(file, line, recipe_id, f"its front matter {reason}")
        return
    body = lines[start:]
    images = [_key_of(reference, file, files) for reference in _references(front, body)]
    record = {
        "recipe_id": recipe_id,
        "title": front.get("title", ""),
        "images": list(dict.fromkeys(images)),
        "description": _first_prose(body),
        "tags": _as_list(front.get("tags", [])),
        "ingredients": _ingredients(body),
    }
    for item in read_record(record, file, 1, recipe_id):
        bare = isinstance(item, Recipe) and not item.images
        yield Reject(file, 1, recipe_id, "names no image") if bare else item


class _Broken(ValueError):
    """Front matter that cannot be read: the line in the file, and why."""


def _front_matter(lines: list[str]) -> tuple[dict[str, Any], int]:
    """The values between the two fences, and the index of the line after them."""
    if lines[0].rstrip() != FENCE:
        raise _Broken(1, f"is missing: the first line is not {FENCE!r}")
    end = next((i for i, line in enumerate(lines) if i and line.rstrip() == FENCE), 0)
    if not end:
        raise _Broken(1, f"has no end: no second line {FENCE!r}")
    text = "\n".join(lines[1:end])
    try:
        loader = _Texts(text)
        node = loader.get_single_node()
        _check(node)
        return loader.construct_document(node), end + 1
    except yaml.MarkedYAMLError as error:
        line = (error.problem_mark or error.context_mark).line + 2
        problem = bounded(collapse(error.problem or error.context), 120)
        raise _Broken(line, f"is not YAML: {problem}") from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 2
        raise _Broken(line, "holds a character that no text may hold") from error
    except _Broken:
        raise
    except (RecursionError, TypeError, ValueError) as error:
        raise _Broken(2, f"cannot be read ({bounded(str(error), 60)})") from error


def _check(front: yaml.Node | None) -> None:
    """Refuse front matter that is more than names, each once, with texts or lists of texts."""
    if not isinstance(front, yaml.MappingNode):
        raise _Broken(2, "holds no 'name: value' lines")
    seen = set()
    for key, value in front.value:
        line = key.start_mark.line + 2
        if not isinstance(key, yaml.ScalarNode):
            raise _Broken(line, "cannot be read (a name is a list)")
        name = bounded(key.value, 60)
        if key.value in seen:
            raise _Broken(line, f"names {name!r} twice")
        seen.add(key.value)
        if odd := _odd_tag(value):
            what = TAGGED.get(odd, f"a value with the tag {bounded(odd, 40)}")
            raise _Broken(line, f"cannot be read: {name} is {what}; write it as a string")


def _odd_tag(node: yaml.Node) -> str:
    """The first tag below a node that makes it something else than text, a list or an object."""
    tag = node.tag.removeprefix("tag:yaml.org,2002:")
    if tag != PLAIN[type(node)]:
        return tag
    parts = node.value if not isinstance(node, yaml.ScalarNode) else ()
    inner = (part for item in parts for part in (item if isinstance(item, tuple) else (item,)))
    return next(filter(None, map(_odd_tag, inner)), "")


def _references(front: dict[str, Any], body: list[str]) -> Iterator[str]:
    """What front matter (``image``, ``images``) and links name as images, in order."""
    for name in ("image", "images"):
        listed = _as_list(front.get(name, []))
        yield from (v for v in listed if isinstance(listed, list) and isinstance(v, str))
    for found in _IMAGE.finditer("\n".join(body)):
        yield next(filter(None, found.groups()))


def _key_of(reference: str, file: str, files: frozenset[str]) -> str:
    """The file that a reference means; where there is none, the place where it should lie."""
    path = unquote(re.split(r"[?#]", reference)[0])
    if "://" in path or not path.strip("/"):
        return reference
    from_root = path.lstrip("/")
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(file), path))
    places = [beside] * (path == from_root) + [f"{SERVED}/{from_root}", from_root]
    return next((place for place in places if place in files), places[0])


def _first_prose(body: list[str]) -> str:
    """The first paragraph before the first section that is no list, image, table or mark."""
    intro = takewhile(lambda line: not _HEADING.match(line), body)
    texts = [_IMAGE.sub("", line).strip() for line in intro]
    paragraphs = ("\n".join(part) for filled, part in groupby(texts, bool) if filled)
    return next((text for text in paragraphs if not _NOT_PROSE.match(text)), "")


def _ingredients(body: list[str]) -> list[str]:
    """The list items below a heading "Ingredients", up to the next of its level."""
    found: list[str] = []
    level = 0  # of the section of ingredients, while inside
    for line in body:
        if heading := _HEADING.match(line):
            depth = len(heading[1])
            if not level or depth <= level:
                level = depth if "ingredient" in plain_text(heading[2]).lower() else 0
        elif level and (item := _ITEM.match(line)):
            found.append(item[1].strip())
    return found


def _as_list(value: Any) -> Any:
    """A list as it is; a text as the list of its parts between commas."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]
