"""A rating sheet for people: two images, a text, a few questions; one HTML file, answers as CSV.

The file holds everything, the images too, and reaches for nothing outside it. Answers are kept in
the browser until they are saved with the button; :func:`read_ratings` reads the CSV back and checks
it. Who rates sees neither the true change nor what a machine thinks of the text.
"""

import base64
import csv
import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from helpers.repro import hash_of
from helpers.store.zones import write_file_atomically
from helpers.topics.cir.triplets import Source, Triplet

SAMPLES = 100  # as in the audit that the literature reports
COLUMNS = ("sheet", "id", "question", "answer", "rater")
_SIDE = 160


@dataclass(frozen=True)
class Question:
    """What is asked of every text, and the answers that there are."""

    key: str
    text: str
    answers: tuple[str, ...]


QUESTIONS = (
    Question("true", "Does the text lead from the left image to the right one?",
             ("yes", "partly", "no")),
    Question("invented", "Does it name something that is in neither image?", ("no", "yes")),
    Question("missing", "Does it leave out a change that you see?", ("no", "yes")),
    Question("language", "Is it good English for a wish?", ("yes", "no")),
)  # fmt: skip


@dataclass(frozen=True)
class RatingItem:
    """One sample: an id, both images and the text."""

    id: str
    reference: Image.Image
    target: Image.Image
    text: str


class RatingError(ValueError):
    """A CSV of ratings that does not fit its sheet."""


def choose_samples(n: int, *, size: int = SAMPLES, seed: int = 42) -> np.ndarray:
    """Rows of ``size`` of ``n`` texts, drawn without looking at any of them, in random order.

    >>> choose_samples(3, size=100).tolist() == sorted(choose_samples(3).tolist(), key=id)
    False
    """
    return np.random.default_rng([seed, 9]).permutation(n)[:size]


def write_rating_sheet(
    path: Path,
    items: Sequence[RatingItem],
    *,
    title: str = "Do these texts say what changed?",
    questions: Sequence[Question] = QUESTIONS,
) -> str:
    """Write the sheet; returns its id, which stands in every row of its CSV.

    Raises
    ------
    RatingError
        If there is no item or two have the same id.
    """
    ids = [item.id for item in items]
    if not items or len(set(ids)) != len(ids):
        raise RatingError(f"{len(items)} items with {len(set(ids))} ids: give each one of its own")
    sheet = hash_of([title, [[q.key, q.text, q.answers] for q in questions],
                     [[item.id, item.text] for item in items]])  # fmt: skip
    rows = "\n".join(_row(i, item, questions) for i, item in enumerate(items))
    known = json.dumps({"sheet": sheet, "questions": [q.key for q in questions]})
    page = _PAGE.format(
        title=html.escape(title), rows=rows, known=known.replace("<", "\\u003c"),
        script=_SCRIPT, style=_STYLE, n=len(items),
    )  # fmt: skip
    write_file_atomically(Path(path), page.encode("utf-8"))
    return sheet


@dataclass(frozen=True)
class Sheet:
    """A sheet that was written: its file, its id and the ids of its texts."""

    path: Path
    id: str
    ids: tuple[str, ...]


def write_for(
    path: Path, texts: Sequence[str], triplets: Sequence[Triplet], data: Source, *, seed: int = 42
) -> Sheet:
    """Write the sheet of some triplets' texts, in random order: nobody chose what is shown."""
    items = [
        RatingItem(triplets[i].pair_id, data.load_image(triplets[i].reference),
                   data.load_image(triplets[i].targets[0]), texts[i])
        for i in choose_samples(len(texts), seed=seed)
    ]  # fmt: skip
    return Sheet(path, write_rating_sheet(path, items), tuple(one.id for one in items))


def summary(ratings: pd.DataFrame) -> pd.DataFrame:
    """The share of each answer by question, and how many texts and raters answered."""
    rows = []
    for question, part in ratings.groupby("question", sort=False):
        shares = part["answer"].value_counts(normalize=True)
        told = ", ".join(f"{answer} {share:.0%}" for answer, share in shares.items())
        rows.append((question, told, part["id"].nunique(), part["rater"].nunique()))
    return pd.DataFrame(rows, columns=["question", "answers", "texts", "raters"])


def read_ratings(
    path: Path, *, sheet: str, ids: Sequence[str], questions: Sequence[Question] = QUESTIONS
) -> pd.DataFrame:
    """Ratings that a sheet exported, a row an answer: columns ``COLUMNS``, all strings.

    Unanswered questions are not in the file; an id, question or answer that the sheet does not have
    is refused.

    Raises
    ------
    RatingError
        If the file is of another sheet, or holds what the sheet does not ask.
    """
    text = Path(path).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    answers, known, seen = {q.key: q.answers for q in questions}, set(ids), set()
    for number, row in enumerate(rows, start=2):
        where = f"{Path(path).name}, line {number}"
        if set(row) != set(COLUMNS):
            raise RatingError(f"{where}: columns are {sorted(map(str, row))}, not {COLUMNS}")
        if row["sheet"] != sheet:
            raise RatingError(f"{where}: of sheet {row['sheet']!r}, expected {sheet!r}")
        if row["id"] not in known:
            raise RatingError(f"{where}: the sheet has no text {row['id']!r}")
        if row["answer"] not in answers.get(row["question"], ()):
            raise RatingError(f"{where}: {row['answer']!r} is no answer to {row['question']!r}")
        key = (row["rater"], row["id"], row["question"])
        if key in seen:
            raise RatingError(f"{where}: {row['rater']!r} answers {row['id']} twice")
        seen.add(key)
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=str)


def _row(number: int, item: RatingItem, questions: Sequence[Question]) -> str:
    images = "".join(
        f'<figure><img src="{_data_url(image)}" alt="{side} image" width="{_SIDE}" '
        f'height="{_SIDE}"><figcaption>{side}</figcaption></figure>'
        for side, image in (("left", item.reference), ("right", item.target))
    )
    asked = "".join(_asked(number, question) for question in questions)
    return (
        f'<section data-id="{html.escape(item.id, quote=True)}"><h2>{number + 1}</h2>{images}'
        f"<div><blockquote>{html.escape(item.text) or '(no text)'}</blockquote>{asked}</div>"
        "</section>"
    )


def _asked(number: int, question: Question) -> str:
    choices = "".join(
        f'<label><input type="radio" name="{number}-{html.escape(question.key, quote=True)}" '
        f'value="{html.escape(answer, quote=True)}"> {html.escape(answer)}</label>'
        for answer in question.answers
    )
    return (
        f'<fieldset data-question="{html.escape(question.key, quote=True)}">'
        f"<legend>{html.escape(question.text)}</legend>{choices}</fieldset>"
    )


def _data_url(image: Image.Image) -> str:
    stream = io.BytesIO()
    small = image.convert("RGB")
    small.thumbnail((2 * _SIDE, 2 * _SIDE))
    small.save(stream, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


_STYLE = """
body{font:16px/1.5 sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
section{display:flex;gap:1rem;border-top:1px solid #bbb;padding:1rem 0;align-items:flex-start}
figure{margin:0;text-align:center}img{image-rendering:pixelated;object-fit:contain}
blockquote{margin:0 0 .5rem;padding:.4rem .8rem;border-left:4px solid #444;font-size:1.15rem}
fieldset{border:0;padding:0;margin:.3rem 0}label{margin-right:1.2rem}h2{margin:0;min-width:2rem}
header{position:sticky;top:0;background:#fff;padding:.5rem 0;border-bottom:2px solid #444}
button{font:inherit;padding:.3rem 1rem}
"""
_SCRIPT = """
const known = JSON.parse(document.getElementById('known').textContent);
const rater = document.getElementById('rater');
function answers() {
  const rows = [];
  for (const section of document.querySelectorAll('section'))
    for (const field of section.querySelectorAll('fieldset')) {
      const chosen = field.querySelector('input:checked');
      if (chosen) rows.push([known.sheet, section.dataset.id, field.dataset.question,
                             chosen.value, rater.value.trim()]);
    }
  return rows;
}
function show() {
  const all = document.querySelectorAll('fieldset').length;
  document.getElementById('done').textContent = answers().length + ' of ' + all + ' answered';
}
function quoted(text) { return '"' + String(text).replaceAll('"', '""') + '"'; }
document.getElementById('save').addEventListener('click', () => {
  const rows = [['sheet', 'id', 'question', 'answer', 'rater'], ...answers()];
  const csv = rows.map(row => row.map(quoted).join(',')).join('\\r\\n') + '\\r\\n';
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([csv], {type: 'text/csv'}));
  link.download = 'ratings-' + known.sheet + '.csv';
  link.click();
});
document.addEventListener('change', show);
show();
"""
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>{style}</style></head><body>
<header><h1>{title}</h1>
<p>{n} texts. The left image is what someone has, the right one what they want; the text is the
wish. Judge by the images alone. <label>Your name or number: <input id="rater"></label>
<button id="save" type="button">Save as CSV</button> <span id="done"></span></p></header>
{rows}
<script type="application/json" id="known">{known}</script>
<script>{script}</script>
</body></html>
"""
