"""Tables that a lesson shows: every cell escaped, long text wrapped.

Captions come from users' files: a cell that holds a tag must show the tag, not run it.
"""

import html
import re
from numbers import Integral, Real

import pandas as pd

_TABLE = "border-collapse: collapse; font-size: 0.92em"
_CELL = (
    "padding: 3px 10px; vertical-align: top; white-space: pre-wrap; overflow-wrap: anywhere; "
    "max-width: {width}em; text-align: {align}"
)


def frame_to_html(
    frame: pd.DataFrame, *, max_rows: int = 50, width: int = 42, index: bool = False, note: str = ""
) -> str:
    """An HTML table of a frame: names and cells escaped, numbers on the right, long text wrapped.

    Parameters
    ----------
    frame : DataFrame
    max_rows : int
        Rows beyond are left out and counted under the table.
    width : int
        Widest column, in ems.
    index : bool
        Show the frame's index as first column.
    note : str
        A line under the table, escaped too.
    """
    if index:
        # Not reset_index: the index may have a column's name.
        names = ["" if name is None else str(name) for name in frame.index.names]
        left = [list(key) if isinstance(key, tuple) else [key] for key in frame.index]
    else:
        names, left = [], [[] for _ in range(len(frame))]
    names += [str(name) for name in frame.columns]
    numeric = [False] * (len(names) - frame.shape[1])
    numeric += [_is_numeric(frame.iloc[:, i]) for i in range(frame.shape[1])]
    styles = [_CELL.format(width=width, align="right" if right else "left") for right in numeric]
    head = "".join(
        f'<th style="{style}; border-bottom: 1px solid currentColor">{html.escape(name)}</th>'
        for name, style in zip(names, styles, strict=True)
    )
    body = []
    for i in range(min(len(frame), max_rows)):
        cells = left[i] + [frame.iloc[i, j] for j in range(frame.shape[1])]
        row = "".join(
            f'<td style="{style}">{html.escape(_cell(cell))}</td>'
            for cell, style in zip(cells, styles, strict=True)
        )
        body.append(f"<tr>{row}</tr>")
    more = f"{len(frame) - max_rows:,} more rows of {len(frame):,}" if len(frame) > max_rows else ""
    foot = " · ".join(html.escape(text) for text in (note, more) if text)
    return (
        f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
        + (f'<p style="font-size: 0.88em">{foot}</p>' if foot else "")
    )


def show_frame(frame: pd.DataFrame, **options) -> None:
    """Display a frame through ``frame_to_html``; outside of Jupyter, as plain text."""
    from IPython.display import display

    display(
        {"text/html": frame_to_html(frame, **options), "text/plain": frame.to_string()}, raw=True
    )


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _cell(value) -> str:
    """A cell's text: four digits, a dash for what is missing, boxes for control characters."""
    if isinstance(value, str):
        return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "\ufffd", value)
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    return f"{value:,}" if isinstance(value, Integral) else f"{value:,.4g}"
