"""A table that sorts by a click and filters as one types: HTML and script, nothing fetched."""

import html
from pathlib import Path

import pandas as pd
from IPython.display import display

from helpers.report.results import Lesson, say
from helpers.store.zones import write_file_atomically

STYLE = """
.sortable input { margin: 0 0 .5rem; padding: .3rem .5rem; width: 18rem; font: inherit }
.sortable table { border-collapse: collapse; font-size: .92em }
.sortable th, .sortable td { padding: .25rem .6rem; text-align: left; white-space: nowrap }
.sortable tr { border-bottom: 1px solid #d5dae0 }
.sortable th button { all: unset; cursor: pointer; font-weight: bold }
.sortable th button:focus-visible { outline: 2px solid #16324f }
.sortable th[aria-sort=ascending] button::after { content: " \\25B2" }
.sortable th[aria-sort=descending] button::after { content: " \\25BC" }
"""
# Cells are compared by data-value, numbers as numbers; a filter keeps rows that hold every word.
SCRIPT = """
for (const box of document.querySelectorAll(".sortable:not([data-ready])")) {
  box.dataset.ready = "1";
  const body = box.querySelector("tbody"), heads = [...box.querySelectorAll("th")];
  const count = box.querySelector("output"), rows = [...body.rows];
  const value = (row, i) => row.cells[i].dataset.value;
  heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
    const numbers = head.dataset.kind === "number", before = head.getAttribute("aria-sort");
    const up = before ? before === "descending" : !numbers;  // numbers begin with the highest
    heads.forEach(one => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const sign = up ? 1 : -1;
    const order = (a, b) => numbers ? a - b : a.localeCompare(b);
    body.append(...rows.sort((a, b) => sign * order(value(a, i), value(b, i))));
  }));
  const filter = box.querySelector("input");
  const apply = () => {
    const words = filter.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} rows`;
  };
  filter.addEventListener("input", apply);
  apply();
}
"""


def table_html(frame: pd.DataFrame, *, label: str) -> str:
    """A frame as a table that can be sorted and filtered; every cell is escaped.

    Without scripts it is a plain table. Text such as ``+1.2 [0.3, 2.1]`` sorts by its first number.
    """
    kinds = {name: "number" if _numbers(frame[name]) is not None else "text" for name in frame}
    keys = {
        name: _numbers(frame[name]) if kinds[name] == "number" else frame[name].astype(str)
        for name in frame
    }
    head = "".join(
        f'<th scope="col" data-kind="{kinds[name]}"><button>{html.escape(str(name))}</button></th>'
        for name in frame
    )
    body = "".join(
        "<tr>" + "".join(
            f'<td data-value="{html.escape(str(keys[name].iloc[i]))}">'
            f"{html.escape(_shown(frame[name].iloc[i]))}</td>" for name in frame
        ) + "</tr>\n"
        for i in range(len(frame))
    )  # fmt: skip
    return (
        f'<div class="sortable" style="overflow-x: auto"><style>{STYLE}</style>'
        f'<input type="search" placeholder="filter by words" '
        f'aria-label="filter {html.escape(label)}"> <output></output>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<script>{SCRIPT}</script></div>"
    )


def page_html(frame: pd.DataFrame, *, title: str) -> str:
    """The table as a page of its own, which opens from a disk."""
    name = html.escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
        "<style>body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem }</style></head>"
        f"<body><h1>{name}</h1>\n{table_html(frame, label=title)}</body></html>\n"
    )


def show(
    lesson: Lesson, name: str, frame: pd.DataFrame, *, title: str, found: str, read: str
) -> Path:
    """Display the table, and write it as a CSV and as a page beside the lesson's report.

    In Jupyter it sorts and filters where it stands. The report of a run holds no scripts: there the
    table is plain, and the page beside it sorts. Returns the page's path.
    """
    page = lesson.folder / f"{name}.html"
    write_file_atomically(page, page_html(frame, title=title).encode())
    write_file_atomically(
        lesson.folder / "tables" / f"{name}.csv", frame.to_csv(index=False).encode()
    )
    plain = frame.to_string(index=False)
    display({"text/html": table_html(frame, label=title), "text/plain": plain}, raw=True)
    lesson.found[name] = found
    say(f"**Found:** {found}")
    say(f"**How to read it:** {read} [A page beside the report]({page.name}) sorts and filters.")
    return page


def _numbers(column: pd.Series) -> pd.Series | None:
    """What a column sorts by as numbers: its values, or the first number of its texts."""
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(float)
    first = column.astype(str).str.extract(r"^([+-]?\d+(?:\.\d+)?)(?=\s|$)")[0]
    return None if first.isna().any() or column.empty else first.astype(float)


def _shown(value: object) -> str:
    if isinstance(value, int) or (hasattr(value, "dtype") and value.dtype.kind == "i"):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
