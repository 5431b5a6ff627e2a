"""The front page of a run: which numbers come first, and that text from outside stays text."""

from helpers.first.report.results import Record
from helpers.first.runner import index, staging
from helpers.first.runner.lessons import read_lesson
from helpers.first.runner.state import State
from tests.first.small_lessons import write_lesson


def record(metric: str, **changes) -> Record:
    about = {"lesson": "03", "run": "r", "model": "m", "data": "d", "split": "test"}
    return Record(
        **{**about, "direction": "text_to_image", "metric": metric, "value": 0.5, **changes}
    )


def test_a_number_shows_with_interval_and_unit():
    row = index._row(record("hit@1", low=0.25, high=0.75, n=54))
    assert "<td>hit@1</td><td>text to image</td>" in row
    assert '<td class="value">0.500 [0.250, 0.750]</td><td class="value"></td><td>54</td>' in row
    row = index._row(record("speed", value=1234.5, unit="images/s"))
    end = '</td><td class="value"></td><td></td>'
    assert f">1,234 images/s{end}" in row or f">1,235 images/s{end}" in row
    row = index._row(record("hit@10", value=None, flag="n/a", reason="gallery has 6", n=6))
    assert ">n/a (gallery has 6)<" in row
    assert ">0.200<" in index._row(record("hit@1", chance=0.2))


def test_numbers_with_an_interval_come_first_and_many_are_folded():
    records = [record(f"plain{i}") for i in range(index.SHOWN)]
    table = index._table([*records, record("headline", low=0.1, high=0.9)])
    assert table.index("headline") < table.index("plain0")
    shown, folded = table.split("<details>")
    assert f"plain{index.SHOWN - 1}" not in shown
    assert f"plain{index.SHOWN - 1}" in folded
    assert "1 more numbers" in folded
    assert index._table([]) == ""


def test_text_from_outside_stays_text(home):
    lesson = read_lesson(write_lesson("01_a", question="<i>Is it?</i>"))
    evil = "<script>alert(1)</script>"
    article = index._article(lesson, State("failed", evil), "tiny", [record(evil, model=evil)])
    assert "<script" not in article
    assert article.count("&lt;script&gt;") == 3
    assert "&lt;i&gt;Is it?&lt;/i&gt;" in article


def test_the_first_figures_are_shown_with_quoted_names(home):
    lesson = read_lesson(write_lesson("01_a"))
    folder = staging.target("tiny", "01_a") / "figures"
    folder.mkdir(parents=True)
    for name in ("a b.png", "b'x.png", "c.png", "d.png", "e.txt"):
        (folder / name).write_bytes(b"")
    article = index._article(lesson, State("never run"), "tiny", [])
    assert article.count("<img") == index.THUMBNAILS
    assert 'src="01_a/figures/a%20b.png"' in article
    assert 'src="01_a/figures/b%27x.png"' in article


def test_numbers_that_are_missing_are_empty_cells_in_the_table():
    lines = index._csv([record("hit@1", unit="fraction", data="a,b")]).splitlines()
    columns = "lesson,run,model,data,split,direction,metric,value,low,high,n,seed,unit"
    assert lines[0] == f"{columns},chance,flag,low_flag,high_flag,reason"
    assert lines[1] == '03,r,m,"a,b",test,text_to_image,hit@1,0.5,,,0,42,fraction,,,,,'
