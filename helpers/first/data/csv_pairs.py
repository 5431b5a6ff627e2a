"""The simplest source: a CSV ``image,caption``, with ``recipe_id`` where one has many images."""

import csv
import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import StringIO

from helpers.first.data.records import BOM, Caption, Recipe, Reject, printable, text_problem

COLUMNS = ("image", "caption", "recipe_id")
REQUIRED = COLUMNS[:2]
ALIASES = {"file_name": "image", "text": "caption"}  # the names of an imagefolder
Row = tuple[int, dict[str, str]]  # the line, and values by the names of COLUMNS


@dataclass
class _Group:
    """The rows of one recipe, gathered in order."""

    line: int
    images: dict[str, None] = field(default_factory=dict)
    captions: list[Caption] = field(default_factory=list)


def read_pairs_csv(text: str, file: str, *, folder: str = "") -> Iterator[Recipe | Reject]:
    """Rejected rows first, then the recipes in the order in which they first occur.

    Without a column ``recipe_id`` each image is a recipe, under its key; rows that repeat an image
    add captions to it. Every value is text: ``NA`` and ``007`` stay what they are. The columns may
    also be called ``file_name`` and ``text``.

    Parameters
    ----------
    text : str
        The file's text; bytes that are no UTF-8 come as surrogates (``errors="surrogateescape"``).
    file : str
        Its name, for the rejects.
    folder : str
        What stands before the image keys, where the file lies deeper than the keys' root.

    Raises
    ------
    ValueError
        If a column is missing or occurs twice; the message lists what there is.

    >>> next(read_pairs_csv("image,caption\\n007.jpg,NA\\n", "pairs.csv")).recipe_id
    '007.jpg'
    """
    reader = csv.reader(StringIO(text.removeprefix(BOM), newline=""), strict=True)
    columns = _columns(next(reader, []), file)
    yield from gather(_good_rows(reader, columns, file), file, folder=folder)


def gather(
    rows: Iterable[Row | Reject], file: str, *, folder: str = ""
) -> Iterator[Recipe | Reject]:
    """Rows of one image and one caption as recipes; rejects first, and every row is counted."""
    groups: dict[str, _Group] = {}
    for row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        line, values = row
        image = f"{folder}/{values['image']}" if folder else values["image"]
        group = groups.setdefault(values.get("recipe_id", image), _Group(line))
        group.images[image] = None
        if reason := text_problem(values["caption"]):
            yield Reject(file, line, f"caption of {image}", reason, "caption")
        else:
            group.captions.append(Caption(values["caption"]))
    for recipe_id, group in groups.items():
        images, captions = tuple(group.images), tuple(group.captions)
        yield Recipe(recipe_id, "", images, captions, file=file, line=group.line)


def _good_rows(
    reader: Iterator[list[str]], columns: list[str], file: str
) -> Iterator[Row | Reject]:
    for name in columns:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0.75)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield Reject(file, 1, printable(name), f"unknown column, not read{hint}", "field")
    for line, row in _rows(reader):
        if problem := row if isinstance(row, str) else _problem(row, columns):
            item = "" if isinstance(row, str) else printable(",".join(row))[:60]
            yield Reject(file, line, item, problem)
        else:
            yield line, dict(zip(columns, row, strict=True))


def _columns(header: list[str], file: str) -> list[str]:
    columns = [name.strip().lower() for name in header]
    columns = [ALIASES.get(name, name) for name in columns]
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        found = ", ".join(map(repr, header)) or "an empty first line"
        comma = "" if len(header) > 1 else "; columns are separated by commas"
        raise ValueError(
            f"{file} has no column {' and no '.join(map(repr, missing))}; it has {found}{comma}. "
            f"The first line names them: {','.join(REQUIRED)}"
        )
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise ValueError(f"{file}: the column {twice[0]!r} occurs twice in its first line")
    return columns


def _rows(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str] | str]]:
    """The line on which a row starts, and its fields, or what is wrong with it; no blank lines."""
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"not CSV: {error}"
        else:
            if row:
                yield line, row


def _problem(row: list[str], columns: list[str]) -> str:
    if len(row) != len(columns):
        return f"has {len(row)} fields, the first line names {len(columns)}"
    values = dict(zip(columns, row, strict=True))
    for name in ("image", "recipe_id"):
        if name in values and (reason := text_problem(values[name])):
            return f"{name} {reason}"
    return ""
