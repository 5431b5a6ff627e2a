"""The front page of a run, ``index.html``, and all its numbers in one table, ``results.csv``."""

import csv
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

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
HEAD = "".join(f"<th>{text}</th>" for text in HEADS)
STYLE = """
:root { --ink: #1c2330; --soft: #5d6779; --line: #e1e5ec; --accent: #2f6f9f; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem; color: var(--ink);
  background: #f7f8fa; font: 16px/1.55 system-ui, sans-serif; }
h1 { margin: 0 0 .25rem; font-size: 1.7rem; } a { color: var(--accent); }
.about { color: var(--soft); margin: 0 0 1.75rem; }
article { background: #fff; border: 1px solid var(--line); border-radius: 10px;
  padding: 1.1rem 1.4rem 1.2rem; margin: 0 0 1.1rem; }
article h2 { margin: 0; font-size: 1.15rem; } .number { color: var(--soft); font-weight: 400; }
.facts { color: var(--soft); font-size: .9rem; margin: .2rem 0 .7rem; }
.state { border-radius: 99px; padding: .1rem .6rem; border: 1px solid; font-size: .82rem; }
.up-to-date { color: #1f6b45; } .stale { color: #8a5a00; } .failed { color: #a3262a; }
.never-run { color: var(--soft); }
.warning { border: 3px solid #a3262a; border-radius: 6px; padding: .5rem .8rem; margin: .6rem 0;
  font-weight: 600; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: .9rem; margin: .4rem 0; width: 100%; }
th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); }
td.value { font-variant-numeric: tabular-nums; white-space: nowrap; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; margin: .8rem 0 .2rem; }
.figures img { height: 150px; max-width: 100%; border: 1px solid var(--line); border-radius: 6px; }
summary { cursor: pointer; color: var(--accent); font-size: .9rem; }
"""

Record = Mapping[str, Any]


def page(title: str, style: str, body: str) -> str:
    """A whole page; ``title`` is text, the rest is markup."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{style}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


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


def _row(record: Record) -> str:
    """One line of a table: what, for which model and data, the value and its interval, chance."""
    data = f"{record['data']} {record['split']}".strip()
    texts = (record["metric"], record["direction"].replace("_", " "), record["model"], data)
    cells = "".join(f"<td>{html.escape(text)}</td>" for text in texts)
    chance = "" if record.get("chance") is None else f"{record['chance']:.3f}"
    return (
        f'<tr>{cells}<td class="value">{html.escape(shown_value(record))}</td>'
        f'<td class="value">{chance}</td><td>{record["n"] or ""}</td></tr>'
    )


def _table(records: Sequence[Record]) -> str:
    """The numbers of a lesson: those that have an interval, or would have one, come first."""
    plain = [one["low"] is None and one.get("flag") != "n/a" for one in records]
    order = sorted(range(len(records)), key=plain.__getitem__)
    rows = [_row(records[place]) for place in order]
    if not rows:
        return ""
    table = f"<table><thead><tr>{HEAD}</tr></thead><tbody>{''.join(rows[:SHOWN])}</tbody></table>"
    if len(rows) > SHOWN:
        table += (
            f"<details><summary>{len(rows) - SHOWN} more numbers</summary><table><tbody>"
            f"{''.join(rows[SHOWN:])}</tbody></table></details>"
        )
    return table


def _figures(folder: Path) -> str:
    """The first figures of a lesson, each a link to itself."""
    drawn = (folder / "figures").glob("*.png")
    images = []
    for path in sorted(drawn, key=lambda p: (p.stat().st_mtime_ns, p.name))[:THUMBNAILS]:
        place, name = quote(f"{folder.name}/figures/{path.name}"), path.stem.replace("_", " ")
        about = f'alt="{html.escape(name)}" title="{html.escape(name)}"'
        images.append(f'<a href="{place}"><img src="{place}" {about} loading="lazy"></a>')
    return f'<div class="figures">{"".join(images)}</div>' if images else ""


def article(plan: Plan, judged: str, records: Sequence[Record], warning: str = "") -> str:
    """The part of the page on one lesson: question, state, links, numbers, figures."""
    lesson, folder = plan.lesson, state.run_folder(plan.name) / plan.lesson.slug
    failed = state.failed_notebook(plan.name, lesson.slug)
    kind = judged.partition(":")[0].replace(" ", "-")
    facts = [f'<span class="state {kind}">{html.escape(judged)}</span>']
    if record := state.read_record(plan.name, lesson.slug):
        facts.append(f"{record['seconds'] / 60:.1f} min, {html.escape(record['started'][:16])} UTC")
        facts += [html.escape(f"{n}={v}") for n, v in record["given"].items()]
    files = {"lesson.html": "read", "lesson.ipynb": "notebook", "results.json": "numbers"}
    links = [(f"{folder.name}/{file}", text) for file, text in files.items()
             if (folder / file).is_file()]  # fmt: skip
    links += [(failed.name, "partial notebook of the failed run")] if failed.is_file() else []
    facts += [f'<a href="{quote(place)}">{text}</a>' for place, text in links]
    return (
        f'<article><h2><span class="number">{lesson.number}</span> {html.escape(lesson.question)}'
        f'</h2><p class="facts">{" · ".join(facts)}</p>'
        f"{_warning(warning)}{_table(records)}{_figures(folder)}</article>"
    )


def _warning(said: str) -> str:
    return f'<p class="warning">{html.escape(said)}</p>' if said else ""


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
    title = f"Adapting vision-language models: run {name}"
    body = (
        f"<h1>{html.escape(title)}</h1>\n"
        '<p class="about">Every number with its 95 % interval, where it has one; all of them in '
        f'<a href="results.csv">results.csv</a>.</p>\n{_warning(warning_of(warned, lessons))}'
        f"{''.join(articles)}"
    )
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    folder = state.run_folder(name)
    write_file_atomically(folder / "results.csv", table.getvalue().encode())
    write_file_atomically(folder / "index.html", page(title, STYLE, body).encode())
