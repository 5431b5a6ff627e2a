"""The front page of a run, ``index.html``, and all its numbers in one table, ``results.csv``."""

import csv
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from helpers.first.report.results import COLUMNS, Record, read_results, shown_value
from helpers.first.runner import staging, state
from helpers.first.runner.lessons import Lesson
from helpers.first.runner.meaning import warning_of
from helpers.first.runner.plan import Plan, recorded_plan
from helpers.store.zones import write_file_atomically

SHOWN = 12  # rows of a lesson's table before the fold
THUMBNAILS = 3

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


def _row(record: Record) -> str:
    """One line of a table: what, for which model and data, the value and its interval, chance."""
    value = shown_value(record)
    chance = "" if record.chance is None else f"{record.chance:.3f}"
    unit = "" if record.unit == "fraction" or not record.measured else record.unit
    direction = record.direction.replace("_", " ")
    texts = (record.metric, direction, record.model, f"{record.data} {record.split}".strip())
    cells = "".join(f"<td>{html.escape(text)}</td>" for text in texts)
    shown = html.escape(f"{value} {unit}".strip())
    return (
        f'<tr>{cells}<td class="value">{shown}</td><td class="value">{chance}</td>'
        f"<td>{record.n or ''}</td></tr>"
    )


HEAD = "".join(
    f"<th>{text}</th>"
    for text in ("metric", "direction", "model", "data", "value [95 % interval]", "chance", "n")
)


def _headline_first(records: Sequence[Record]) -> list[Record]:
    """Numbers that have an interval come first, or would have one: a lesson's headline numbers."""
    return sorted(records, key=lambda record: record.low is None and record.measured)


def _table(records: Sequence[Record]) -> str:
    if not records:
        return ""
    rows = [_row(record) for record in _headline_first(records)]
    table = f"<table><thead><tr>{HEAD}</tr></thead><tbody>{''.join(rows[:SHOWN])}</tbody></table>"
    if len(rows) > SHOWN:
        table += (
            f"<details><summary>{len(rows) - SHOWN} more numbers</summary><table><tbody>"
            f"{''.join(rows[SHOWN:])}</tbody></table></details>"
        )
    return table


def _figures(folder: Path) -> str:
    drawn = (folder / "figures").glob("*.png")
    found = sorted(drawn, key=lambda path: (path.stat().st_mtime_ns, path.name))[:THUMBNAILS]
    images = []
    for path in found:
        place = quote(f"{folder.name}/figures/{path.name}")
        name = html.escape(path.stem.replace("_", " "))
        images.append(
            f'<a href="{place}"><img src="{place}" alt="{name}" title="{name}" loading="lazy"></a>'
        )
    return f'<div class="figures">{"".join(images)}</div>' if images else ""


def _links(folder: Path, failed: Path) -> str:
    names = {"lesson.html": "read", "lesson.ipynb": "notebook", "results.json": "numbers"}
    links = [
        f'<a href="{quote(f"{folder.name}/{file}")}">{text}</a>'
        for file, text in names.items()
        if (folder / file).is_file()
    ]
    if failed.is_file():
        links.append(f'<a href="{quote(failed.name)}">partial notebook of the failed run</a>')
    return " · ".join(links)


def _article(
    lesson: Lesson, judged: state.State, name: str, records: Sequence[Record], said: str = ""
) -> str:
    folder = staging.target(name, lesson.slug)
    record = state.read_record(name, lesson.slug)
    facts = [
        f'<span class="state {judged.kind.replace(" ", "-")}">{html.escape(str(judged))}</span>'
    ]
    if record:
        facts.append(f"{record['seconds'] / 60:.1f} min, {html.escape(record['started'][:16])} UTC")
        changed = record["given"].items()
        facts += [html.escape(f"{n}={v}") for n, v in changed]
    links = _links(folder, staging.failed_notebook(name, lesson.slug))
    title = html.escape(lesson.question or lesson.slug)
    return (
        f'<article><h2><span class="number">{lesson.number}</span> {title}</h2>'
        f'<p class="facts">{" · ".join([*facts, links] if links else facts)}</p>'
        f"{_warning(said)}{_table(records)}{_figures(folder)}</article>"
    )


def _warning(said: str) -> str:
    return f'<p class="warning">{html.escape(said)}</p>' if said else ""


def _records(name: str, lesson: Lesson) -> list[Record]:
    path = staging.target(name, lesson.slug) / "results.json"
    return read_results(path) if path.is_file() else []


def _on_its_source(plan: Plan) -> bool:
    """Whether a report stands on the run's source: numbers of another are not shown beside it."""
    record = state.read_record(plan.name, plan.lesson.slug)
    before = record["fingerprint"]["parameters"] if record else plan.values
    return before.get("source") == plan.values.get("source")


def _csv(records: Sequence[Record]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(record) for record in records)
    return stream.getvalue()


def write_index(
    name: str, lessons: Sequence[Lesson], shared: state.Shared, plans: Mapping[str, Plan]
) -> Path:
    """Write the page and the table of a run from the reports that lie in its folder.

    Parameters
    ----------
    name : str
        The run.
    lessons : sequence of Lesson
        All lessons; those that never ran in this run show as such.
    shared : Shared
        The state of the code and the libraries.
    plans : mapping
        Lesson number -> plan of the present command; others are judged by what they recorded.
    """
    articles, rows, warned = [], [], []
    for lesson in lessons:
        plan = plans.get(lesson.number) or recorded_plan(lesson, name=name)
        judged, _ = plan.state(shared)
        records = _records(name, lesson) if _on_its_source(plan) else []
        rows += records
        said = warning_of([plan], lessons) if records else ""
        warned += [plan] if said else []
        articles.append(_article(lesson, judged, name, records, said))
    title = html.escape(f"Adapting vision-language models: run {name}")
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n"
        '<p class="about">Every number with its 95 % interval, where it has one; all of them in '
        f'<a href="results.csv">results.csv</a>.</p>\n{_warning(warning_of(warned, lessons))}'
        f"{''.join(articles)}\n</body></html>\n"
    )
    folder = staging.run_folder(name)
    write_file_atomically(folder / "results.csv", _csv(rows).encode())
    write_file_atomically(folder / "index.html", page.encode())
    return folder / "index.html"
