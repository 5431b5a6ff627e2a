"""A rating sheet for people: two images, a text, a few questions; one HTML file, answers as CSV.

The file holds everything, the images too, and reaches for nothing outside it: answers stay in the
browser until they are saved with the button, and :func:`read_ratings` reads the CSV back and checks
it. Who rates sees neither the true change nor what a machine thinks of the text.
"""

import base64
import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np
import pandas as pd
from PIL import Image

from helpers.repro import hash_of
from helpers.store.zones import write_file_atomically
from helpers.topics.cir.triplets import Source, Triplet

PAGE = Path(__file__).with_name("rating_sheet.html")
TITLE = "Do these texts say what changed?"
SAMPLES = 100  # as in the audit that the literature reports
COLUMNS = ("sheet", "id", "question", "answer", "rater")
QUESTIONS = {
    "true": ("Does the text lead from the left image to the right one?", ("yes", "partly", "no")),
    "invented": ("Does it name something that is in neither image?", ("no", "yes")),
    "missing": ("Does it leave out a change that you see?", ("no", "yes")),
    "language": ("Is it good English for a wish?", ("yes", "no")),
}
SIDE = 160  # pixels


class RatingError(ValueError):
    """A CSV of ratings that does not fit its sheet."""


@dataclass(frozen=True)
class RatingItem:
    """One sample: an id, both images and the text."""

    id: str
    reference: Image.Image
    target: Image.Image
    text: str


@dataclass(frozen=True)
class Sheet:
    """A sheet that was written; ``id`` stands in every row of its CSV."""

    path: Path
    id: str
    ids: tuple[str, ...]  # of its texts


def choose_samples(n: int, *, size: int = SAMPLES, seed: int = 42) -> np.ndarray:
    """Rows of ``size`` of ``n`` texts, drawn without looking at any of them, in random order."""
    return np.random.default_rng([seed, 9]).permutation(n)[:size]


def write_for(
    path: Path, texts: Sequence[str], triplets: Sequence[Triplet], data: Source, *, seed: int = 42
) -> Sheet:
    """Write the sheet of some triplets' texts, in random order: nobody chose what is shown."""
    return write_rating_sheet(path, [
        RatingItem(triplets[i].pair_id, data.load_image(triplets[i].reference),
                   data.load_image(triplets[i].targets[0]), texts[i])
        for i in choose_samples(len(texts), seed=seed)
    ])  # fmt: skip


def write_rating_sheet(path: Path, items: Sequence[RatingItem]) -> Sheet:
    """Write a sheet; ``RatingError`` if there is no item or two have the same id."""
    ids = tuple(item.id for item in items)
    if not items or len(set(ids)) != len(ids):
        raise RatingError(f"{len(items)} items with {len(set(ids))} ids: give each one of its own")
    sheet = hash_of([TITLE, list(QUESTIONS.items()), [[item.id, item.text] for item in items]])
    known = json.dumps({"sheet": sheet, "questions": list(QUESTIONS)})
    page = Template(PAGE.read_text(encoding="utf-8")).substitute(
        title=html.escape(TITLE), n=len(items), known=known.replace("<", "\\u003c"),
        rows="\n".join(_row(i, item) for i, item in enumerate(items)),
    )  # fmt: skip
    write_file_atomically(Path(path), page.encode("utf-8"))
    return Sheet(Path(path), sheet, ids)


def read_ratings(path: Path, sheet: Sheet) -> pd.DataFrame:
    """Ratings that a sheet exported, a row an answer: columns ``COLUMNS``, all strings.

    Unanswered questions are not in the file. Raises ``RatingError`` that names the line if the file
    is of another sheet, or holds what the sheet does not ask.
    """
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ValueError as error:  # of pandas: no table, or lines of different lengths
        raise RatingError(f"{Path(path).name} is no CSV of ratings ({error})") from error
    if set(rows) != set(COLUMNS):
        raise RatingError(f"{Path(path).name}: columns are {sorted(rows)}, not {COLUMNS}")
    seen = set()
    for number, row in enumerate(rows[list(COLUMNS)].itertuples(index=False), start=2):
        where = f"{Path(path).name}, line {number}"
        if row.sheet != sheet.id:
            raise RatingError(f"{where}: of sheet {row.sheet!r}, expected {sheet.id!r}")
        if row.id not in sheet.ids:
            raise RatingError(f"{where}: the sheet has no text {row.id!r}")
        if row.answer not in QUESTIONS.get(row.question, ("", ()))[1]:
            raise RatingError(f"{where}: {row.answer!r} is no answer to {row.question!r}")
        if (key := (row.rater, row.id, row.question)) in seen:
            raise RatingError(f"{where}: {row.rater!r} answers {row.id} twice")
        seen.add(key)
    return rows[list(COLUMNS)]


def summary(ratings: pd.DataFrame) -> pd.DataFrame:
    """The share of each answer by question, and how many texts and raters answered."""
    rows = []
    for question, part in ratings.groupby("question", sort=False):
        shares = part["answer"].value_counts(normalize=True)
        told = ", ".join(f"{answer} {share:.0%}" for answer, share in shares.items())
        rows.append((question, told, part["id"].nunique(), part["rater"].nunique()))
    return pd.DataFrame(rows, columns=["question", "answers", "texts", "raters"])


def _row(number: int, item: RatingItem) -> str:
    images = "".join(
        f'<figure><img src="{_data_url(image)}" alt="{side} image" width="{SIDE}" '
        f'height="{SIDE}"><figcaption>{side}</figcaption></figure>'
        for side, image in (("left", item.reference), ("right", item.target))
    )
    asked = "".join(
        f'<fieldset data-question="{key}"><legend>{html.escape(text)}</legend>' + "".join(
            f'<label><input type="radio" name="{number}-{key}" value="{answer}"> {answer}</label>'
            for answer in answers) + "</fieldset>"
        for key, (text, answers) in QUESTIONS.items()
    )  # fmt: skip
    return (
        f'<section data-id="{html.escape(item.id, quote=True)}"><h2>{number + 1}</h2>{images}'
        f"<div><blockquote>{html.escape(item.text) or '(no text)'}</blockquote>{asked}</div>"
        "</section>"
    )


def _data_url(image: Image.Image) -> str:
    stream, small = io.BytesIO(), image.convert("RGB")
    small.thumbnail((2 * SIDE, 2 * SIDE))
    small.save(stream, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
