"""A lesson's numbers as flat records: checked, written to ``results.json``, read back, tabulated.

One record is one number with its interval and all that is needed to know what it is the number of.
What could not be measured is a record too: without a value, with a flag and the reason. Fractions
stay in [0, 1] here; percent belongs to figures.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.store.zones import write_file_atomically

DIRECTIONS = ("text_to_image", "image_to_text", "image_and_text_to_image", "")
DIRECTION_NAMES = {one: one.replace("_", " ") or "value" for one in DIRECTIONS}
NOT_MEASURED, BELOW, ABOVE = "n/a", "below", "above"
_TEXT = ("lesson", "run", "model", "data", "split", "direction", "metric", "unit", "reason")


@dataclass(frozen=True, slots=True)
class Record:
    """One number of one lesson, or why there is none.

    ``direction`` is one of ``DIRECTIONS``; ``low`` and ``high`` are the
    ends of its 95 % interval or both None; ``n`` is the number of queries (or repeats) behind it,
    0 for what is counted and not estimated, such as a size or a number of pairs; ``unit`` is such
    as ``fraction``, ``rank``, ``images/s`` or ``MiB``; ``chance`` is what a random order of the
    same gallery scores.

    A ``value`` of None has a ``flag``: ``n/a``, with the ``reason``, where the metric says nothing
    on these data; ``below`` or ``above`` where the value lies outside what could be measured. An
    end of the interval that lies outside is None too, with ``low_flag`` or ``high_flag``.
    """

    lesson: str
    run: str
    model: str
    data: str
    split: str
    direction: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    seed: int = 42
    unit: str = "fraction"
    chance: float | None = None
    flag: str = ""
    low_flag: str = ""
    high_flag: str = ""
    reason: str = ""

    @property
    def measured(self) -> bool:
        """Whether there is a value, or at least a side of the scale on which it lies."""
        return self.flag != NOT_MEASURED


COLUMNS = tuple(field.name for field in fields(Record))
# Left out of the file where they say nothing: most records have a value and no more.
OPTIONAL = {"chance": None, "flag": "", "low_flag": "", "high_flag": "", "reason": ""}
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
    lines = [json.dumps(_kept(one), ensure_ascii=False, allow_nan=False) for one in checked]
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


def shown_value(record: Record, *, scale: float = 1.0, form: str = "") -> str:
    """The value, with its interval where it has one, in digits that suit its unit.

    >>> shown_value(Record("03", "r", "m", "d", "test", "", "hit@1", 0.5, 0.4, 0.6))
    '0.500 [0.400, 0.600]'
    >>> shown_value(Record("03", "r", "m", "d", "test", "", "hit@9", None, flag="n/a", reason="why"))
    'n/a (why)'
    """
    if not record.measured:
        return f"{NOT_MEASURED} ({record.reason})"

    def digits(number: float | None, flag: str) -> str:
        if number is None:
            return flag
        number = scale * number
        if form:
            return f"{number:{form}}"
        return f"{number:.3f}" if record.unit == "fraction" else f"{number:,.4g}"

    value = f"{record.flag} the measured range" if record.flag else digits(record.value, "")
    if record.low is None and record.high is None and not (record.low_flag or record.high_flag):
        return value
    ends = (digits(record.low, record.low_flag), digits(record.high, record.high_flag))
    return f"{value} [{', '.join(ends)}]"


def within(
    value: float, low: float, high: float, *, least: float = -math.inf, most: float = math.inf
) -> dict[str, Any]:
    """The fields of a number and its interval; what lies outside the measured range is a flag.

    Parameters
    ----------
    least, most : float
        The ends of the range, if a number at an end means one beyond it; infinite numbers are
        outside any range.

    >>> within(math.inf, 0.5, math.inf)
    {'value': None, 'flag': 'above', 'low': 0.5, 'high': None, 'high_flag': 'above'}
    """
    fields_of: dict[str, Any] = {}
    for name, number in (("value", value), ("low", low), ("high", high)):
        side = BELOW if number <= least else ABOVE if number >= most else ""
        fields_of[name] = None if side else float(number)
        if side:
            fields_of["flag" if name == "value" else f"{name}_flag"] = side
    return fields_of


def placed(record: Record) -> tuple[float, float, float]:
    """Value, low and high of a record, infinite where they were flagged: the way back."""
    low, value, high = (
        _place(getattr(record, name), getattr(record, flag))
        for name, flag in (("low", "low_flag"), ("value", "flag"), ("high", "high_flag"))
    )
    return value, low, high


def _cell(record: Record) -> str:
    """:func:`shown_value`, with the chance level beside it where there is one."""
    chance = "" if record.chance is None else f"; chance {record.chance:.3f}"
    return shown_value(record) + chance


def _kept(record: Record) -> dict[str, Any]:
    """The fields of a record that its line in the file holds."""
    return {k: v for k, v in asdict(record).items() if k not in OPTIONAL or v != OPTIONAL[k]}


def _record(row: Any, place: str) -> Record:
    if not isinstance(row, dict):
        raise ValueError(f"{place}: an object is expected, not {type(row).__name__}")
    missing, unknown = set(COLUMNS) - set(OPTIONAL) - set(row), set(row) - set(COLUMNS)
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
    for name in ("value", "low", "high", "chance"):
        if getattr(record, name) is not None:
            values[name] = _number(getattr(record, name), f"{where}: {name}")
    _check_flags(record, where)
    low, value, high = (
        _place(values[name], values[flag])
        for name, flag in (("low", "low_flag"), ("value", "flag"), ("high", "high_flag"))
    )
    if (low is None) != (high is None):
        raise ValueError(f"{where}: low is {record.low!r} and high is {record.high!r}; give both")
    if low is not None and not low <= value <= high:
        raise ValueError(
            f"{where}: value {values['value']} lies outside its interval "
            f"[{values['low']}, {values['high']}]"
        )
    return Record(**values)


def _check_flags(record: Record, where: str) -> None:
    """A number or a flag, never both and never neither."""
    for name in ("", "low_", "high_"):
        number, flag = getattr(record, name[:-1] or "value"), getattr(record, f"{name}flag")
        known = (BELOW, ABOVE) if name else (NOT_MEASURED, BELOW, ABOVE)
        if flag and flag not in known:
            raise ValueError(f"{where}: {name}flag is {flag!r}; use one of {', '.join(known)}")
        if flag and number is not None:
            raise ValueError(f"{where}: {name}flag is {flag!r} beside {number!r}; give one of both")
    if record.value is None and not record.flag:
        raise ValueError(
            f"{where}: value is None without a flag; say n/a with the reason, below or above"
        )
    ends = (record.low, record.high, record.low_flag or None, record.high_flag or None)
    if not record.measured and (not record.reason or any(end is not None for end in ends)):
        raise ValueError(f"{where}: what was not measured has a reason and no interval")


def _place(number: float | None, flag: str) -> float | None:
    """Where a number or its flag stands on the scale; None: nowhere."""
    return number if number is not None else {BELOW: -math.inf, ABOVE: math.inf}.get(flag)


def _number(value: Any, what: str, *, whole: bool = False) -> float | int:
    """A finite Python number; NumPy's scalars are turned into Python's, booleans are refused."""
    value = value.item() if hasattr(value, "item") else value
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise ValueError(f"{what} is {value!r}; a {'whole ' if whole else ''}number is expected")
    if not math.isfinite(value):
        raise ValueError(f"{what} is {value!r}; leave out what could not be measured")
    return value if whole else float(value)
