"""The front page of a run: which numbers come first, and that text from outside stays text."""

import pytest

from helpers.course import index, state
from helpers.course.lessons import read_lesson
from helpers.course.plan import recorded_plan
from tests.course.small_lessons import write_lesson


def record(metric: str, **changes) -> dict:
    about = {"lesson": "03", "run": "r", "model": "m", "data": "d", "split": "test"}
    numbers = {"value": 0.5, "low": None, "high": None, "n": 0, "seed": 42, "unit": "fraction"}
    return {**about, "direction": "text_to_image", "metric": metric, **numbers, **changes}


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"low": 0.25, "high": 0.75, "n": 54}, ("0.500 [0.250, 0.750]", "", "54")),
        ({"value": 1234.0, "unit": "images/s"}, ("1,234 images/s", "", "")),
        ({"value": None, "flag": "n/a", "reason": "has 6"}, ("n/a (has 6)", "", "")),
        ({"value": None, "flag": "above", "low": 0.1, "high_flag": "above"},
         ("above the measured range [0.100, above]", "", "")),
        ({"chance": 0.2}, ("0.500", "0.200", "")),
    ],
)  # fmt: skip
def test_a_number_shows_with_interval_unit_and_chance(changes, shown):
    (row,) = index.rows_of([record("hit@1", **changes)])
    assert row == ("hit@1", "text to image", "m", "d test", *shown)


def test_numbers_with_an_interval_come_first():
    records = [record("plain 1"), record("plain 2"), record("headline", low=0.1, high=0.9)]
    assert [row[0] for row in index.rows_of(records)] == ["headline", "plain 1", "plain 2"]


def page(question="What is it?", judged="never run", records=(), warning="") -> str:
    """The front page of one lesson."""
    lesson = read_lesson(write_lesson("01_a", question=question))
    one = index.article(recorded_plan(lesson, name="tiny"), judged, records, warning)
    return index.render("index.html.j2", title="x", lessons=[one], heads=index.HEADS, shown=2)


def test_many_numbers_are_folded(home):
    shown, folded = page(records=[record(f"plain {i}") for i in range(3)]).split("<details>")
    assert "plain 1" in shown
    assert "plain 2" not in shown
    assert "plain 2" in folded
    assert "1 more numbers" in folded


def test_text_from_outside_stays_text(home):
    evil = "<script>alert(1)</script>"
    found = page("<i>Is it?</i>", f"failed: {evil}", [record(evil, model=evil)], evil)
    assert "<script" not in found
    assert found.count("&lt;script&gt;") == 4
    assert "&lt;i&gt;Is it?&lt;/i&gt;" in found


def test_the_first_figures_are_shown_with_quoted_names(home):
    folder = state.run_folder("tiny") / "01_a" / "figures"
    folder.mkdir(parents=True)
    for name in ("a b.png", "b'x.png", "c.png", "d.png", "e.txt"):
        (folder / name).write_bytes(b"")
    found = page()
    assert found.count("<img") == index.THUMBNAILS
    assert 'src="01_a/figures/a%20b.png"' in found
    assert 'src="01_a/figures/b%27x.png"' in found


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"lesson": "03"}]'])
def test_what_is_no_list_of_records_is_refused(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"results\.json|Expecting"):
        index.read_results(path)
