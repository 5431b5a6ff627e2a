"""A lesson's numbers as flat records: checked, written to ``results.json``, read back, tabulated.

One record is one number with its interval and all that is needed to know what it is the number of.
Fractions stay in [0, 1] here; percent belongs to figures.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.first.store.atomic import write_file_atomically

DIRECTIONS = ("text_to_image", "image_to_text", "")
DIRECTION_NAMES = {"text_to_image": "text to image", "image_to_text": "image to text", "": "value"}
_TEXT = ("lesson", "run", "model", "data", "split", "direction", "metric", "unit")


@dataclass(frozen=True, slots=True)
class Record:
    """One number of one lesson.

    ``direction`` is ``text_to_image``, ``image_to_text`` or empty; ``low`` and ``high`` are the
    ends of its 95 % interval or both None; ``n`` is the number of queries (or repeats) behind it;
    ``unit`` is such as ``fraction``, ``rank``, ``images/s`` or ``MiB``.
    """

    lesson: str
    run: str
    model: str
    data: str
    split: str
    direction: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    seed: int = 42
    unit: str = "fraction"


COLUMNS = tuple(field.name for field in fields(Record))
_IDENTITY = ("lesson", "run", "model", "data", "split", "direction", "metric", "seed")


def write_results(folder: Path | str, records: Iterable[Record]) -> Path:
    """Check the records and write ``folder/results.json``, in one step.

    The file is whole or it is not there: a run that dies leaves the former one. The records
    keep their order: what a lesson gives first is what an overview shows first.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    ValueError
        If a record has a number that is not finite, an unknown direction, an interval that its
        value lies outside, or is there twice; the message names the record and the field.

    Examples
    --------
    >>> record = Record("03", "tiny", "tiny-clip", "kitchen", "test", "", "hit@1", 0.5)
    >>> write_results(folder, [record])  # doctest: +SKIP
    """
    path = Path(folder) / "results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    checked = _checked(records, place=f"records for {path.name}")
    lines = [json.dumps(asdict(record), ensure_ascii=False, allow_nan=False) for record in checked]
    text = "[\n" + ",\n".join(f"  {line}" for line in lines) + "\n]\n" if lines else "[]\n"
    write_file_atomically(path, text.encode())
    return path


def read_results(path: Path | str) -> list[Record]:
    """Read and check a file that ``write_results`` wrote (or the folder that holds it).

    Raises
    ------
    ValueError
        If the file is no list of records, or a record lacks or adds a field or fails the checks.
    """
    path = Path(path)
    path = path / "results.json" if path.is_dir() else path
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error}); run the lesson again") from error
    if not isinstance(rows, list):
        raise ValueError(f"{path}: a list of records is expected, not {type(rows).__name__}")
    return _checked((_record(row, f"{path}, record {i}") for i, row in enumerate(rows)), str(path))


def results_table(records: Sequence[Record]) -> pd.DataFrame:
    """A readable table: a row a metric (and model and run), a column a direction.

    Cells are text such as ``0.574 [0.441, 0.699]``. Columns that are the same in all rows are left
    out, metric excepted, so that the table shows what differs. Rows keep the order of the records.
    The same number from several seeds stays apart, in one row a seed.
    """
    if not records:
        return pd.DataFrame(columns=["metric"])
    frame = pd.DataFrame([asdict(record) for record in records], columns=list(COLUMNS))
    frame["shown"] = [_cell(record) for record in records]
    keys = [key for key in ("lesson", "data", "split", "run", "model", "seed", "unit") if
            frame[key].nunique() > 1]  # fmt: skip
    keys.append("metric")
    rows: dict[tuple, dict[str, str]] = {}
    for record, shown in zip(records, frame["shown"], strict=True):
        row = rows.setdefault(tuple(getattr(record, key) for key in keys), {})
        row[DIRECTION_NAMES[record.direction]] = shown
    present = [
        name for name in DIRECTION_NAMES.values() if any(name in row for row in rows.values())
    ]
    table = pd.DataFrame(
        [
            dict(zip(keys, key, strict=True)) | {c: row.get(c, "") for c in present}
            for key, row in rows.items()
        ]
    )
    return table[[*keys, *present]]


def _cell(record: Record) -> str:
    """The value, with its interval where it has one, in digits that suit its unit."""

    def digits(number: float) -> str:
        return f"{number:.3f}" if record.unit == "fraction" else f"{number:,.4g}"

    if record.low is None or record.high is None:
        return digits(record.value)
    return f"{digits(record.value)} [{digits(record.low)}, {digits(record.high)}]"


def _record(row: Any, place: str) -> Record:
    if not isinstance(row, dict):
        raise ValueError(f"{place}: an object is expected, not {type(row).__name__}")
    missing, unknown = set(COLUMNS) - set(row), set(row) - set(COLUMNS)
    if missing or unknown:
        raise ValueError(
            f"{place}: missing fields {sorted(missing)}, unknown fields {sorted(unknown)}; "
            "the file is of another version, run its lesson again"
        )
    return Record(**row)


def _checked(records: Iterable[Record], place: str) -> list[Record]:
    """The records with plain numbers; or a ValueError that names the first bad one."""
    seen: dict[tuple, Record] = {}
    for index, record in enumerate(records):
        where = f"{place}: record {index} ({record.metric!r}, {record.direction!r})"
        record = _plain(record, where)
        key = tuple(getattr(record, name) for name in _IDENTITY)
        if key in seen:
            what = dict(zip(_IDENTITY, key, strict=True))
            raise ValueError(f"{where}: given twice for {what}; tell the two apart by run or seed")
        seen[key] = record
    return list(seen.values())


def _plain(record: Record, where: str) -> Record:
    values = asdict(record)
    for name in _TEXT:
        if not isinstance(values[name], str):
            raise ValueError(f"{where}: {name} is {values[name]!r}; text is expected")
    if record.direction not in DIRECTIONS:
        raise ValueError(f"{where}: direction {record.direction!r} is none of {DIRECTIONS}")
    if not record.metric:
        raise ValueError(f"{where}: the metric has no name")
    for name in ("n", "seed"):
        values[name] = _number(values[name], f"{where}: {name}", whole=True)
    if values["n"] < 0:
        raise ValueError(f"{where}: n is {values['n']}; a count is expected")
    values["value"] = _number(record.value, f"{where}: value")
    if (record.low is None) != (record.high is None):
        raise ValueError(f"{where}: low is {record.low!r} and high is {record.high!r}; give both")
    if record.low is not None:
        values["low"] = _number(record.low, f"{where}: low")
        values["high"] = _number(record.high, f"{where}: high")
        if not values["low"] <= values["value"] <= values["high"]:
            raise ValueError(
                f"{where}: value {values['value']} lies outside its interval "
                f"[{values['low']}, {values['high']}]"
            )
    return Record(**values)


def _number(value: Any, what: str, *, whole: bool = False) -> float | int:
    """A finite Python number; NumPy's scalars are turned into Python's, booleans are refused."""
    value = value.item() if hasattr(value, "item") else value
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise ValueError(f"{what} is {value!r}; a {'whole ' if whole else ''}number is expected")
    if not math.isfinite(value):
        raise ValueError(f"{what} is {value!r}; leave out what could not be measured")
    return value if whole else float(value)
