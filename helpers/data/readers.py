"""Texts of files as recipes: JSON records, tables of images and captions, folders of classes.

Each reader takes a text (bytes that are no UTF-8 stand in it as surrogates, see ``decode``) and the
file's relative posix path, and gives the recipes and rejects in it.
"""

import codecs
import csv
import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from io import StringIO
from typing import Any

from helpers.data.images import is_whole
from helpers.data.records import (
    BOM,
    SAID_ONCE,
    SAVE_AS,
    Caption,
    Recipe,
    RecordError,
    Reject,
    bounded,
    did_you_mean,
    printable,
    read_record,
    shown,
    text_problem,
)

Items = Iterator[Recipe | Reject]
Record = tuple[Any, str, int, str]  # a JSON value, its file, its line, how it starts


class NotJSON(RecordError):
    """A record after which a list cannot be read on."""


# The encoding of a file. Windows programs write UTF-16 with a mark, and tables in the code page of
# the country; for Western Europe that is CP1252. A code page has no mark: it is taken only where
# every character fits one Western language, because the same bytes are other letters elsewhere.
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark is the first half of it
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
# The letters beyond a to z of languages that CP1252 was made for.
ALPHABETS = tuple(map(frozenset, (
    "àâæçèéêëîïôœùûüñ", "äöüßéèàêç", "áéíóúüñçàèòï", "áâãàçéêíóôõúü", "åäöæøéüè", "àèéìíòóùú",
)))  # fmt: skip
_IN_WORDS = re.compile(r"[^\W\d_][^\w\s\x00-\x7f’´][^\W\d_]")
_SIGNS = frozenset("’‘“”„‚«»–—…•·°½¼¾×€£§®™¡¿´")


def decode(data: bytes, file: str, *, code_pages: bool = False) -> tuple[str, str]:
    """The text of a file, and a sentence on its encoding where that is not UTF-8.

    ``code_pages`` tries CP1252 where it is no UTF-8: for tables, which spreadsheets write so.
    Raises ``ValueError`` if the first bytes promise UTF-16 or UTF-32 and the rest is none.
    """
    if encoding := next((name for mark, name in MARKS.items() if data.startswith(mark)), ""):
        try:
            return data.decode(encoding), f"{file} is read as {encoding}"
        except UnicodeDecodeError as error:
            why = f"{file} begins as {encoding} and does not stay so (byte {error.start})"
            raise ValueError(f"{why}: {SAVE_AS}") from error
    with suppress(UnicodeDecodeError):
        return data.decode("utf-8"), ""
    if code_pages and (text := _western(data)):
        note = f"{file} is no UTF-8 and is read as Windows-1252; if letters are wrong, {SAVE_AS}"
        return text, note
    return data.decode("utf-8", errors="surrogateescape"), ""


def _western(data: bytes) -> str:
    """The text by CP1252; empty where that is not certain."""
    with suppress(UnicodeDecodeError):
        text = data.decode("cp1252")
        beyond = {c for c in text.lower() if ord(c) > 127} - _SIGNS
        if any(beyond <= alphabet for alphabet in ALPHABETS) and not _IN_WORDS.search(text):
            return text
    return ""


# JSON records: one object a line, or one list of objects.
_LIST = re.compile(r"\ufeff?\s*\[\s*(?:\{|\]|$|\n)")  # of objects: `[1]` on a line is a bad record
_SKIPPED = re.compile(r"[ \t\r\n,]*")


def read_recipes_jsonl(text: str, file: str) -> Items:
    """Each record's recipe or reject, in the order of the file; blank lines hold no record."""
    return _json_items(text, file, read_record)


def _json_items(text: str, file: str, read: Callable[..., Iterable[Any]]) -> Iterator[Any]:
    """What ``read`` makes of each record; an unknown field is named no second time."""
    said = set()
    for found in json_records(text, file):
        for item in [found] if isinstance(found, Reject) else read(*found):
            field = item.item if isinstance(item, Reject) and SAID_ONCE in item.reason else None
            if field is None or field not in said:
                yield item
            said.add(field)


def json_records(text: str, file: str) -> Iterator[Reject | Record]:
    """Each record as its JSON value, the file, its line and how it starts.

    Raises ``ValueError`` if the file is one JSON object over several lines.
    """
    body = text.removeprefix(BOM).strip()
    if body.startswith("{") and "\n" in body and _is_one_object(body):
        raise ValueError(
            f"{file} is one JSON object over several lines: write each record on a line of its "
            "own, or all of them in one list [...]"
        )
    listed = is_json_list(text)
    lines = [text] if listed else text.split("\n")  # no splitlines: a caption may hold U+2028
    for number, line in enumerate(lines, start=1):
        if line.startswith(BOM):
            yield byte_order_mark(file, number)
            line = line.removeprefix(BOM)
        if listed:
            yield from _list_items(line, line.index("[") + 1, file)
        elif line.strip():
            start = printable(line[:60])[:60]
            try:
                yield _strictly(_STRICT.decode, line), file, number, start
            except RecordError as error:
                cut = number == len(lines) and "not JSON" in str(error)
                before = "cut short, the file ends inside this record: " if cut else ""
                yield Reject(file, number, start, f"{before}{error}")


def is_json_list(text: str) -> bool:
    """Whether a file is one JSON list, not one object a line."""
    return bool(_LIST.match(text))


def byte_order_mark(file: str, line: int) -> Reject:
    """The note on a byte order mark that was removed."""
    return Reject(file, line, "byte order mark", "removed; save as plain UTF-8", "field")


def _strictly(read: Callable[..., Any], *given: Any) -> Any:
    """What a method of the strict decoder reads. Raises ``RecordError``."""
    try:
        return read(*given)
    except RecordError:
        raise
    except RecursionError as error:
        raise NotJSON("nested too deeply") from error
    except ValueError as error:
        raise NotJSON(f"not JSON: {error}") from error


def _list_items(text: str, at: int, file: str) -> Iterator[Reject | Record]:
    """The items of a JSON list whose first character is before ``at``, as ``json_records``."""
    line, seen = 1, 0
    while True:
        at = _SKIPPED.match(text, at).end()
        line, seen = line + text.count("\n", seen, at), at
        start = printable(text[at : at + 60])[:60]
        if at == len(text):
            yield Reject(file, line, start, "cut short, the list has no end")
        if text[at : at + 1] in ("]", ""):
            return
        try:
            value, at = _strictly(_STRICT.raw_decode, text, at)
            yield value, file, line, start
        except NotJSON as error:
            yield Reject(file, line, start, f"{error}; what follows in the list is not read")
            return
        except RecordError as error:  # well formed, but not what a record may hold
            yield Reject(file, line, start, str(error))
            _, at = json.JSONDecoder().raw_decode(text, at)


def _is_one_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise RecordError(f"the field {shown(name)} occurs twice")
        found[name] = value
    return found


def _no_constant(name: str) -> None:
    raise RecordError(f"{name} is no JSON value")


_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


# Tables: rows of one image and one caption, as CSV or as JSON lines (Hugging Face's imagefolder).
COLUMNS = ("image", "caption", "recipe_id")
REQUIRED = COLUMNS[:2]
ALIASES = {"file_name": "image", "text": "caption"}  # the names of an imagefolder
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
Row = tuple[int, dict[str, str]]  # the line, and values by the names of COLUMNS


def read_table(text: str, file: str, *, key_of: Callable[[str], str] = str) -> Items:
    """Rejected rows first, then the recipes in the order in which they first occur.

    Without a ``recipe_id`` each image is a recipe, under its key; rows that repeat an image add
    captions to it. Every value is text: ``NA`` and ``007`` stay what they are. A ``.jsonl`` has
    objects with ``file_name`` and ``text``, anything else columns with these names or ``image`` and
    ``caption``. ``key_of`` makes a key of what is written and of the folder that ``file`` lies in.

    Raises ``ValueError`` if a column is missing or occurs twice; the message lists what there is.

    >>> next(read_table("image;caption\\n007.jpg;NA\\n", "pairs.csv")).recipe_id
    '007.jpg'
    """
    is_json = file.lower().endswith(".jsonl")
    rows = _json_items(text, file, _json_row) if is_json else _csv_rows(text, file)
    folder = posixpath.dirname(file)
    gathered: dict[str, list[tuple[int, str, str]]] = {}  # line, image, caption of a recipe's rows
    for row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        line, values = row
        image, caption = values["image"], values["caption"]
        alone = not folder or is_whole(image) or "://" in image
        image = key_of(image if alone else f"{folder}/{image}")
        if reason := text_problem(caption):
            yield Reject(file, line, f"caption of {bounded(image)}", reason, "caption")
            caption = ""
        gathered.setdefault(values.get("recipe_id", image), []).append((line, image, caption))
    for recipe_id, own in gathered.items():
        images = tuple(dict.fromkeys(image for _, image, _ in own))
        captions = tuple(Caption(caption) for _, _, caption in own if caption)
        yield Recipe(recipe_id, "", images, captions, file=file, line=own[0][0])


def separator_of(text: str) -> str:
    """What separates the columns: a comma, a semicolon or a tab, as the first line has it."""
    first = text.removeprefix(BOM).lstrip("\r\n")[:10_000].split("\n", 1)[0]
    read = {mark: _names(next(csv.reader([first], delimiter=mark), [])) for mark in SEPARATORS}
    return max(read, key=lambda mark: (set(REQUIRED) <= set(read[mark]), len(read[mark])))


def _csv_rows(text: str, file: str) -> Iterator[Row | Reject]:
    lines = list(StringIO(text.removeprefix(BOM), newline=""))
    separator = separator_of(text)
    rows = _csv_lines(lines, separator)
    _, header = next(rows, (1, []))
    columns = _columns(header if isinstance(header, list) else lines[:1], file)
    for name in [name for name in columns if name not in COLUMNS]:
        reason = f"unknown column, not read{did_you_mean(name, COLUMNS)}"
        yield Reject(file, 1, bounded(name), reason, "field")
    for line, row in rows:
        if isinstance(row, str):
            yield Reject(file, line, "", row)
        elif problem := _row_problem(row, columns, separator):
            yield Reject(file, line, bounded(separator.join(row), 60), problem)
        else:
            yield line, dict(zip(columns, row, strict=True))


def _json_row(value: Any, file: str, line: int, start: str) -> Iterator[Row | Reject]:
    reason = f"unknown field, not read {SAID_ONCE}"
    try:
        values = _json_values(value)
    except RecordError as error:
        yield Reject(file, line, start, str(error))
    else:
        unknown = (bounded(name) for name in values if name not in COLUMNS)
        yield from (Reject(file, line, name, reason, "field") for name in unknown)
        yield line, values


def _json_values(line: object) -> dict[str, str]:
    """A line's values by the names of ``COLUMNS``. Raises ``RecordError``."""
    if not isinstance(line, dict):
        raise RecordError('a line is an object such as {"file_name": ..., "text": ...}')
    values: dict[str, str] = {}
    for name, value in line.items():
        known = ALIASES.get(name, name)
        if known in values:
            raise RecordError(f"{name} says again what another field says; keep one of them")
        if known in COLUMNS and not isinstance(value, str):
            raise RecordError(f"{name} is no string ({shown(value)}); write it as one")
        values[known] = value
    for name, known in ALIASES.items():
        if known not in values:
            has = bounded(", ".join(line)) or "nothing"
            raise RecordError(f"{name} is missing; it has {has}")
    if problem := _name_problem(values):
        raise RecordError(problem)
    return values


def _name_problem(values: dict[str, str]) -> str:
    named = {name: text_problem(values.get(name, "fine")) for name in ("image", "recipe_id")}
    return next((f"{name} {reason}" for name, reason in named.items() if reason), "")


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


def _csv_lines(lines: list[str], separator: str) -> Iterator[tuple[int, list[str] | str]]:
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


def _row_problem(row: list[str], columns: list[str], separator: str) -> str:
    n = len(columns)
    if len(row) == n:
        return _name_problem(dict(zip(columns, row, strict=True)))
    reason = f"has {len(row)} fields, the first line names {n}"
    if len(row) > n and columns[-1] == "caption":
        stream = StringIO()
        writer = csv.writer(stream, delimiter=separator, lineterminator="")
        writer.writerow([*row[: n - 1], separator.join(row[n - 1 :])])
        fixed = bounded(stream.getvalue(), 120)
        reason += f"; put a caption with {SEPARATORS[separator]} in quotes, such as {fixed}"
    return reason


# Folders of images whose names say what they show: ``soup/1.jpg``, or ``train/soup/1.jpg``.
USES = frozenset((  # names that say what a folder is for, not what its images show
    "train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval",
    "image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "data",
    "dataset", "static", "content", "media", "assets", "upload", "uploads", "files",
))  # fmt: skip


def class_of(file: str) -> str:
    """The name of a file's folder in words; empty where it lies in none, or in one for a use.

    >>> class_of("train/apple_pie/7.jpg"), class_of("photos/7.jpg"), class_of("7.jpg")
    ('apple pie', '', '')
    """
    folder = posixpath.basename(posixpath.dirname(file))
    words = " ".join(re.sub(r"[_+]|(?<=\w)-(?=\w)", " ", folder).split())
    return "" if words.lower() in USES or text_problem(words) else words


def read_class_folders(images: Iterable[str]) -> Iterator[Recipe]:
    """A recipe for each class, with all its images; images outside of a class give none.

    Not one for each image: a caption that several recipes have would have several right answers of
    which one counts.
    """
    classes: dict[str, list[str]] = {}
    for file in images:
        if name := class_of(file):
            classes.setdefault(name, []).append(file)
    for name, files in classes.items():
        yield Recipe(name, "", tuple(files), (Caption(name),), file=posixpath.dirname(files[0]))
