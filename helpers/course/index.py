"""The front page of a run, ``index.html``, and all its numbers in one table, ``results.csv``."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from helpers.course import state
from helpers.course.lessons import Lesson
from helpers.course.plan import Plan, recorded_plan, warning_of
from helpers.store.zones import write_file_atomically

SHOWN = 12  # rows of a lesson's table before the fold
THUMBNAILS = 3
REQUIRED = (
    "lesson", "run", "model", "data", "split", "direction", "metric", "value", "low", "high", "n",
    "seed", "unit",
)  # fmt: skip
COLUMNS = (*REQUIRED, "chance", "flag", "low_flag", "high_flag", "reason")
HEADS = ("metric", "direction", "model", "data", "value [95 % interval]", "chance", "n")
TEMPLATES = Path(__file__).parent / "templates"

Record = Mapping[str, Any]


def render(template: str, *, style: str = "", **values: Any) -> str:
    """A page from a template; ``style`` is added to the style sheet of all pages.

    Every value is text, but for the body of a lesson: markup, which ``lesson_page`` makes safe.
    """
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    sheet = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(style=sheet + style, **values)


def read_results(path: Path) -> list[dict[str, Any]]:
    """The records of a ``results.json``: one number each.

    Raises ``ValueError`` if it is no list of records, and ``OSError`` if it cannot be read.
    """
    rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list):
        raise ValueError(f"{path}: a list of records is expected, not {type(rows).__name__}")
    for place, row in enumerate(rows):
        fields = set(row) if isinstance(row, dict) else set()
        if not set(REQUIRED) <= fields <= set(COLUMNS):
            missing, unknown = set(REQUIRED) - fields, fields - set(COLUMNS)
            raise ValueError(
                f"{path}, record {place}: missing fields {sorted(missing)}, unknown fields "
                f"{sorted(unknown)}; run its lesson again"
            )
    return rows


def shown_value(record: Record) -> str:
    """The value, with its interval where it has one, in digits that suit its unit.

    >>> shown_value({"value": 0.5, "low": 0.4, "high": 0.6, "unit": "fraction"})
    '0.500 [0.400, 0.600]'
    >>> shown_value({"value": None, "flag": "n/a", "reason": "gallery has 6"})
    'n/a (gallery has 6)'
    """
    if record.get("flag") == "n/a":
        return f"n/a ({record.get('reason')})"
    fraction = record["unit"] == "fraction"

    def digits(name: str, flag: str) -> str:
        number = record[name]
        if number is None:
            return str(record.get(flag, ""))
        return f"{number:.3f}" if fraction else f"{number:,.4g}"

    flag, ends = record.get("flag"), (digits("low", "low_flag"), digits("high", "high_flag"))
    value = f"{flag} the measured range" if flag else digits("value", "flag")
    value += f" [{', '.join(ends)}]" if any(ends) else ""
    return value if fraction else f"{value} {record['unit']}".strip()


def _row(record: Record) -> tuple[str, ...]:
    """What a table shows of a number, in the order of ``HEADS``."""
    data = f"{record['data']} {record['split']}".strip()
    chance = "" if record.get("chance") is None else f"{record['chance']:.3f}"
    direction, n = record["direction"].replace("_", " "), str(record["n"] or "")
    return record["metric"], direction, record["model"], data, shown_value(record), chance, n


def rows_of(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """The rows of a lesson: numbers that have an interval, or would have one, come first."""
    plain = [one["low"] is None and one.get("flag") != "n/a" for one in records]
    return [_row(records[i]) for i in sorted(range(len(records)), key=plain.__getitem__)]


def article(plan: Plan, judged: str, records: Sequence[Record], warning: str = "") -> dict:
    """What the page shows of one lesson, by the names that its template has."""
    lesson, folder = plan.lesson, state.run_folder(plan.name) / plan.lesson.slug
    record, failed = state.read_record(plan.name, lesson.slug), f"{lesson.slug}.failed.ipynb"
    facts = []
    if record:
        facts = [f"{record['seconds'] / 60:.1f} min, {record['started'][:16]} UTC"]
        facts += [f"{n}={v}" for n, v in record["given"].items()]
    links = {
        f"{lesson.slug}/lesson.html": "read", f"{lesson.slug}/lesson.ipynb": "notebook",
        f"{lesson.slug}/results.json": "numbers", failed: "partial notebook of the failed run",
    }  # fmt: skip
    figures = (folder / "figures").glob("*.png")
    first = sorted(figures, key=lambda p: (p.stat().st_mtime_ns, p.name))[:THUMBNAILS]
    return {
        "number": lesson.number, "question": lesson.question, "state": judged,
        "kind": judged.partition(":")[0].replace(" ", "-"), "facts": facts, "warning": warning,
        "finding": (record or {}).get("finding", ""), "rows": rows_of(records),
        "links": [(place, text) for place, text in links.items()
                  if (folder.parent / place).is_file()],
        "figures": [(f"{lesson.slug}/figures/{path.name}", path.stem.replace("_", " "))
                    for path in first],
    }  # fmt: skip


def _records(plan: Plan) -> list[dict[str, Any]]:
    """The numbers of a report, if it stands on the run's source: others are not shown beside it."""
    record = state.read_record(plan.name, plan.lesson.slug)
    before = record["fingerprint"]["parameters"] if record else plan.values
    path = state.run_folder(plan.name) / plan.lesson.slug / "results.json"
    same = before.get("source") == plan.values.get("source")
    return read_results(path) if same and path.is_file() else []


def write_index(name: str, lessons: Sequence[Lesson], plans: Mapping[str, Plan]) -> None:
    """Write the page and the table of a run from the reports that lie in its folder.

    ``plans`` are those of the present command by the lesson's number; other lessons are judged by
    what they recorded.
    """
    articles, rows, warned = [], [], []
    for lesson in lessons:
        plan = plans.get(lesson.number) or recorded_plan(lesson, name=name)
        records = _records(plan)
        rows += records
        warning = warning_of([plan], lessons) if records else ""
        warned += [plan] if warning else []
        articles.append(article(plan, plan.judged(lessons)[0], records, warning))
    page = render(
        "index.html.j2", title=f"Adapting vision-language models: run {name}", lessons=articles,
        warning=warning_of(warned, lessons), heads=HEADS, shown=SHOWN,
    )  # fmt: skip
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    folder = state.run_folder(name)
    write_file_atomically(folder / "results.csv", table.getvalue().encode())
    write_file_atomically(folder / "index.html", page.encode())
