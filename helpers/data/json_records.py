"""JSON as records: one object a line, or one list of objects; each broken one is named alone."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from helpers.data.records import Recipe, RecordError, Reject, parse_recipe
from helpers.data.texts import BOM, printable, shown

_LIST = re.compile(r"\ufeff?\s*\[\s*(?:\{|\]|$|\n)")  # of objects: `[1]` on a line is a bad record
_SKIPPED = re.compile(r"[ \t\r\n,]*")


def read_recipes_jsonl(text: str, file: str) -> Iterator[Recipe | Reject]:
    """Each record's recipe or reject, in the order of the file; blank lines hold no record.

    Parameters
    ----------
    text : str
        The file's text; bytes that are no UTF-8 come as surrogates (``errors="surrogateescape"``).
        One object a line, or one JSON list of objects.
    file : str
        Its name, for the rejects.
    """
    unknown: set[str] = set()
    for number, value, start in json_records(text, file):
        if isinstance(value, Reject):
            yield value
            continue
        try:
            recipe, problems = parse_recipe(value)
        except RecordError as error:
            yield Reject(file, number, start, str(error))
            continue
        for kind, item, reason in problems:
            if kind == "field" and item in unknown:
                continue
            unknown.update([item] if kind == "field" else [])
            yield Reject(file, number, printable(item), reason, kind)
        yield replace(recipe, file=file, line=number)


def json_records(text: str, file: str) -> Iterator[tuple[int, Any, str]]:
    """Of each record its line, its JSON value and how it starts; a ``Reject`` for a broken one.

    A file is one object a line, or one JSON list. A mark of the byte order is a reject of kind
    ``field``.

    Raises
    ------
    ValueError
        If the file is one JSON object over several lines.
    """
    listed = is_json_list(text)
    lines = [text] if listed else text.split("\n")  # no splitlines: a caption may hold U+2028
    body = text.removeprefix(BOM).strip()
    if body.startswith("{") and "\n" in body and _is_one_object(body):
        raise ValueError(
            f"{file} is one JSON object over several lines: write each record on a line of its "
            "own, or all of them in one list [...]"
        )
    for number, line in enumerate(lines, start=1):
        if line.startswith(BOM):
            reason = "removed; save as plain UTF-8"
            yield number, Reject(file, number, "byte order mark", reason, "field"), ""
            line = line.removeprefix(BOM)
        if listed:
            yield from _list_items(line, line.index("[") + 1, file)
        elif line.strip():
            start = printable(line[:60])[:60]
            try:
                yield number, decode_line(line), start
            except RecordError as error:
                cut = number == len(lines) and "not JSON" in str(error)
                why = f"cut short, the file ends inside this record: {error}" if cut else str(error)
                yield number, Reject(file, number, start, why), start


def is_json_list(text: str) -> bool:
    """Whether a file is one JSON list, not one object a line."""
    return bool(_LIST.match(text))


def decode_line(line: str) -> Any:
    """The JSON value of a line; strict where ``json`` is lenient. Raises ``RecordError``."""
    try:
        return json.loads(line, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecordError:
        raise
    except RecursionError as error:
        raise RecordError("nested too deeply") from error
    except ValueError as error:
        raise RecordError(f"not JSON: {error}") from error


def _list_items(text: str, at: int, file: str) -> Iterator[tuple[int, Any, str]]:
    """The items of a JSON list whose first character is before ``at``, as ``json_records``."""
    strict = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
    line, seen = 1, 0
    while True:
        at = _SKIPPED.match(text, at).end()
        line, seen = line + text.count("\n", seen, at), at
        start = printable(text[at : at + 60])[:60]
        if at == len(text):
            yield line, Reject(file, line, start, "cut short, the list has no end"), start
        if text[at : at + 1] in ("]", ""):
            return
        problem = ""
        try:
            value, at = strict.raw_decode(text, at)
        except RecordError as error:  # well formed, but not what a record may hold
            value = Reject(file, line, start, str(error))
            at = json.JSONDecoder().raw_decode(text, at)[1]
        except RecursionError:
            problem = "nested too deeply"
        except ValueError as error:
            problem = f"not JSON: {error}"
        if problem:
            reason = f"{problem}; what follows in the list is not read"
            yield line, Reject(file, line, start, reason), start
            return
        yield line, value, start


def _is_one_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise RecordError(f"the field {shown(key)} occurs twice")
        found[key] = value
    return found


def _no_constant(name: str) -> None:
    raise RecordError(f"{name} is no JSON value")
