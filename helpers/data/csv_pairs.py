"""The simplest source: a table ``image,caption``, with ``recipe_id`` where one has many images."""

import csv
import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from io import StringIO

from helpers.data.guard import is_whole
from helpers.data.records import Caption, Recipe, Reject
from helpers.data.texts import BOM, bounded, text_problem

COLUMNS = ("image", "caption", "recipe_id")
REQUIRED = COLUMNS[:2]
SEPARATORS = (",", ";", "\t")
ALIASES = {"file_name": "image", "text": "caption"}  # the names of an imagefolder
Row = tuple[int, dict[str, str]]  # the line, and values by the names of COLUMNS


@dataclass
class _Group:
    """The rows of one recipe, gathered in order."""

    line: int
    images: dict[str, None] = field(default_factory=dict)
    captions: list[Caption] = field(default_factory=list)


def read_pairs_csv(
    text: str, file: str, *, folder: str = "", key_of: Callable[[str], str] = str
) -> Iterator[Recipe | Reject]:
    """Rejected rows first, then the recipes in the order in which they first occur.

    Without a column ``recipe_id`` each image is a recipe, under its key; rows that repeat an image
    add captions to it. Every value is text: ``NA`` and ``007`` stay what they are. The columns may
    also be called ``file_name`` and ``text``, and be separated as ``separator_of`` finds.

    Parameters
    ----------
    text : str
        The file's text; bytes that are no UTF-8 come as surrogates (``errors="surrogateescape"``).
    file : str
        Its name, for the rejects.
    folder, key_of
        As in ``gather``.

    Raises
    ------
    ValueError
        If a column is missing or occurs twice; the message lists what there is.

    >>> next(read_pairs_csv("image;caption\\n007.jpg;NA\\n", "pairs.csv")).recipe_id
    '007.jpg'
    """
    lines = list(StringIO(text.removeprefix(BOM), newline=""))
    separator = separator_of(text)
    rows = _rows(lines, separator)
    _, header = next(rows, (1, []))
    columns = _columns(header if isinstance(header, list) else lines[:1], file)
    yield from gather(
        _good_rows(rows, columns, file, separator), file, folder=folder, key_of=key_of
    )


def separator_of(text: str) -> str:
    """What separates the columns: a comma, a semicolon or a tab, as the first line has it.

    >>> separator_of("image;caption\\n7.jpg;a soup, hot\\n")
    ';'
    """
    first = text.removeprefix(BOM).lstrip("\r\n")[:10_000].split("\n", 1)[0]
    read = {mark: _names(next(csv.reader([first], delimiter=mark), [])) for mark in SEPARATORS}
    return max(read, key=lambda mark: (set(REQUIRED) <= set(read[mark]), len(read[mark])))


def gather(
    rows: Iterable[Row | Reject], file: str, *, folder: str = "",
    key_of: Callable[[str], str] = str,
) -> Iterator[Recipe | Reject]:  # fmt: skip
    """Rows of one image and one caption as recipes; rejects first, and every row is counted.

    Parameters
    ----------
    rows : iterable
    file : str
        Its name, for the rejects.
    folder : str
        What stands before the image keys, where the file lies deeper than the keys' root.
    key_of : callable
        Makes a key of what is written (see ``guard.key_below``).
    """
    groups: dict[str, _Group] = {}
    for row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        line, values = row
        image = values["image"]
        alone = not folder or is_whole(image) or "://" in image
        image = key_of(image if alone else f"{folder}/{image}")
        group = groups.setdefault(values.get("recipe_id", image), _Group(line))
        group.images[image] = None
        if reason := text_problem(values["caption"]):
            yield Reject(file, line, f"caption of {bounded(image)}", reason, "caption")
        else:
            group.captions.append(Caption(values["caption"]))
    for recipe_id, group in groups.items():
        images, captions = tuple(group.images), tuple(group.captions)
        yield Recipe(recipe_id, "", images, captions, file=file, line=group.line)


def _good_rows(
    rows: Iterable[tuple[int, list[str] | str]], columns: list[str], file: str, separator: str
) -> Iterator[Row | Reject]:
    for name in columns:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name[:60], COLUMNS, n=1, cutoff=0.75)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield Reject(file, 1, bounded(name), f"unknown column, not read{hint}", "field")
    for line, row in rows:
        if problem := row if isinstance(row, str) else _problem(row, columns, separator):
            item = "" if isinstance(row, str) else bounded(separator.join(row), 60)
            yield Reject(file, line, item, problem)
        else:
            yield line, dict(zip(columns, row, strict=True))


def _names(header: list[str]) -> list[str]:
    names = [name.strip().lower() for name in header]
    return [ALIASES.get(name, name) for name in names]


def _columns(header: list[str], file: str) -> list[str]:
    columns = _names(header)
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        found = bounded(", ".join(map(repr, header))) if any(header) else "an empty first line"
        raise ValueError(
            f"{file} has no column {' and no '.join(map(repr, missing))}; it has {found}. The "
            f"first line has to be {','.join(REQUIRED)} (or with a semicolon or a tab between them)"
        )
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise ValueError(f"{file}: the column {twice[0]!r} occurs twice in its first line")
    return columns


def _rows(lines: list[str], separator: str) -> Iterator[tuple[int, list[str] | str]]:
    """The line on which a row starts, and its fields, or what is wrong with it; no blank lines.

    After a quote that nothing closes reading goes on with the next line.
    """
    start = 0
    while start < len(lines):
        following = (lines[i] for i in range(start, len(lines)))
        reader = csv.reader(following, delimiter=separator, strict=True)
        before, start = start, len(lines)
        while True:
            line = before + reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                yield line, _csv_problem(error)
                if before + reader.line_num > line:  # it ran over lines that are rows themselves
                    start = line
                    break
            else:
                if row:
                    yield line, row


def _csv_problem(error: csv.Error) -> str:
    if "unexpected end" in str(error):
        return "opens a quote that nothing closes"
    if "field limit" in str(error):
        return f"has a field of more than {csv.field_size_limit():,} characters, or an open quote"
    return f"not CSV: {error}"


def _problem(row: list[str], columns: list[str], separator: str) -> str:
    if len(row) != len(columns):
        reason = f"has {len(row)} fields, the first line names {len(columns)}"
        if len(row) > len(columns) and columns[-1] == "caption":
            last = separator.join(row[len(columns) - 1 :])
            stream = StringIO()
            writer = csv.writer(stream, delimiter=separator, lineterminator="")
            writer.writerow([*row[: len(columns) - 1], last])
            name = {",": "commas", ";": "semicolons", "\t": "tabs"}[separator]
            fixed = bounded(stream.getvalue(), 120)
            reason += f"; put a caption with {name} in quotes, such as {fixed}"
        return reason
    values = dict(zip(columns, row, strict=True))
    for name in ("image", "recipe_id"):
        if name in values and (reason := text_problem(values[name])):
            return f"{name} {reason}"
    return ""
