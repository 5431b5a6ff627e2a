"""The rating sheet: one file that reaches for nothing, and a CSV that is read back and checked."""

import csv
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from helpers.topics.cir.rating_sheet import (
    COLUMNS,
    QUESTIONS,
    SAMPLES,
    RatingError,
    RatingItem,
    choose_samples,
    read_ratings,
    summary,
    write_rating_sheet,
)

RED, BLUE = (Image.new("RGB", (64, 48), color) for color in ("red", "blue"))
ITEMS = [
    RatingItem("a-1", RED, BLUE, "make it blue"),
    RatingItem('b"<2', BLUE, RED, "<script>alert(1)</script> & co"),
    RatingItem("c", BLUE, RED, ""),
]


class Page(HTMLParser):
    """Collects tags with their attributes and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def sheet(tmp_path):
    return write_rating_sheet(tmp_path / "sheet.html", ITEMS)


def ratings(tmp_path, rows, columns=COLUMNS):
    path = tmp_path / "ratings.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
        writer.writerows([columns, *rows])
    return path


def test_every_text_is_asked_every_question(sheet):
    page = Page(sheet.path.read_text())
    sections = [a["data-id"] for tag, a in page.tags if tag == "section"]
    assert sections == [item.id for item in ITEMS]
    asked = [a["data-question"] for tag, a in page.tags if tag == "fieldset"]
    assert asked == list(QUESTIONS) * len(ITEMS)
    radios = [a for tag, a in page.tags if tag == "input" and a.get("type") == "radio"]
    assert len(radios) == len(ITEMS) * sum(len(answers) for _, answers in QUESTIONS.values())
    assert len({a["name"] for a in radios}) == len(ITEMS) * len(QUESTIONS)
    assert sum(tag == "img" for tag, _ in page.tags) == 2 * len(ITEMS)


def test_the_file_reaches_for_nothing(sheet):
    text = sheet.path.read_text()
    assert not re.findall(r"https?://|//cdn|@import|fetch\(|XMLHttp", text)
    for tag, attributes in Page(text).tags:
        assert attributes.get("src", "data:image/jpeg;").startswith("data:image/jpeg;"), tag
        assert "href" not in attributes
    assert "default-src 'none'" in text


def test_a_text_is_shown_and_never_run(sheet):
    text = sheet.path.read_text()
    assert "<script>alert(1)" not in text
    assert "<script>alert(1)</script> & co" in Page(text).words
    assert sum(tag == "script" for tag, _ in Page(text).tags) == 2


def test_ratings_come_back_as_they_were_given(sheet, tmp_path):
    rows = [
        (sheet.id, "a-1", "true", "yes", "7"),
        (sheet.id, 'b"<2', "true", "no", "NA"),
        (sheet.id, "a-1", "true", "partly", "007"),
    ]
    found = read_ratings(ratings(tmp_path, rows), sheet)
    assert list(found.itertuples(index=False, name=None)) == rows
    assert read_ratings(ratings(tmp_path, []), sheet).empty
    shares = summary(found).set_index("question")
    assert shares.loc["true", ["texts", "raters"]].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("other", "a-1", "true", "yes", ""), "of sheet 'other'"),
        (("", "z", "true", "yes", ""), "no text 'z'"),
        (("", "a-1", "true", "perhaps", ""), "'perhaps' is no answer to 'true'"),
        (("", "a-1", "mood", "yes", ""), "no answer to 'mood'"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_line(sheet, tmp_path, row, message):
    good = (sheet.id, "a-1", "true", "yes", "")
    bad = (row[0] or sheet.id, *row[1:])
    path = ratings(tmp_path, [good, bad])
    with pytest.raises(RatingError, match=f"line 3.*{message}"):
        read_ratings(path, sheet)


def test_two_answers_and_other_columns_are_refused(sheet, tmp_path):
    row = (sheet.id, "a-1", "true", "yes", "")
    with pytest.raises(RatingError, match="twice"):
        read_ratings(ratings(tmp_path, [row, row]), sheet)
    with pytest.raises(RatingError, match="columns are"):
        read_ratings(ratings(tmp_path, [row], (*COLUMNS[::-1][:4], "x")), sheet)
    with pytest.raises(RatingError, match="is no CSV of ratings"):
        read_ratings(ratings(tmp_path, [row, (*row, *row)]), sheet)


def test_another_sheet_has_another_id(tmp_path, sheet):
    assert write_rating_sheet(tmp_path / "b.html", ITEMS).id == sheet.id
    assert write_rating_sheet(tmp_path / "b.html", ITEMS[:2]).id != sheet.id
    with pytest.raises(RatingError, match="1 ids"):
        write_rating_sheet(tmp_path / "b.html", [ITEMS[0]] * 2)
    with pytest.raises(RatingError, match="0 items"):
        write_rating_sheet(tmp_path / "b.html", [])


def test_samples_are_drawn_blindly_and_the_same_again():
    chosen = choose_samples(1000)
    assert len(set(chosen.tolist())) == len(chosen) == SAMPLES == 100
    assert chosen.tolist() == choose_samples(1000).tolist() != sorted(chosen.tolist())
    assert sorted(choose_samples(7).tolist()) == list(range(7))
