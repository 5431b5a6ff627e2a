"""A folder of images with ``metadata.jsonl`` or ``metadata.csv``: Hugging Face's ``imagefolder``.

Each line names a file beside it and describes it: ``file_name``, ``text`` (or ``caption``), and
``recipe_id`` where several files belong together. Several lines of one file are several captions.
"""

import posixpath
from collections.abc import Callable, Iterator

from helpers.data.csv_pairs import ALIASES, COLUMNS, Row, gather, read_pairs_csv
from helpers.data.json_records import json_records
from helpers.data.records import Recipe, RecordError, Reject
from helpers.data.texts import bounded, shown, text_problem

METADATA = ("metadata.jsonl", "metadata.csv")


def read_metadata(
    text: str, file: str, *, key_of: Callable[[str], str] = str
) -> Iterator[Recipe | Reject]:
    """Rejected lines first, then the recipes; image keys are relative to the whole folder.

    Parameters
    ----------
    text : str
        The file's text; bytes that are no UTF-8 come as surrogates (``errors="surrogateescape"``).
    file : str
        Its relative posix path, ``train/metadata.jsonl``: it ends in ``.csv`` or ``.jsonl``.
    key_of : callable
        As in ``csv_pairs.gather``.

    Raises
    ------
    ValueError
        If a CSV lacks a column.

    >>> line = '{"file_name": "007.jpg", "text": "NA"}'
    >>> next(read_metadata(line, "train/metadata.jsonl")).images
    ('train/007.jpg',)
    """
    folder = posixpath.dirname(file)
    if file.endswith(".csv"):
        yield from read_pairs_csv(text, file, folder=folder, key_of=key_of)
    else:
        yield from gather(_rows(text, file), file, folder=folder, key_of=key_of)


def _rows(text: str, file: str) -> Iterator[Row | Reject]:
    told: set[str] = set()
    for number, value, start in json_records(text, file):
        if isinstance(value, Reject):
            yield value
            continue
        try:
            values = _values(value)
        except RecordError as error:
            yield Reject(file, number, start, str(error))
            continue
        for name in [name for name in values if name not in COLUMNS]:
            del values[name]
            if name not in told:
                told.add(name)
                reason = "unknown field, not read (said once for a file)"
                yield Reject(file, number, bounded(name), reason, "field")
        yield number, values


def _values(line: object) -> dict[str, str]:
    """A line's values by the names of ``csv_pairs``. Raises ``RecordError``."""
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
    if missing := [name for name in COLUMNS[:2] if name not in values]:
        names = {"image": "file_name", "caption": "text"}
        has = bounded(", ".join(line)) or "nothing"
        raise RecordError(f"{names[missing[0]]} is missing; it has {has}")
    for name in ("image", "recipe_id"):
        if name in values and (reason := text_problem(values[name])):
            raise RecordError(f"{name} {reason}")
    return values
