"""The HTML of a lesson: nothing runs, nothing is fetched, and what matters survives."""

import re

import pytest
from nbformat import v4

from helpers.course.lesson_page import WIDGET, sanitize, to_html

PIXEL = "R0lGODdhAQABAIAAAP7//wAAACwAAAAAAQABAAACAkQBADs="  # any bytes do


def output(**data: str):
    """A display output with data by mime type, its slash written as two underscores."""
    return v4.new_output("display_data", data={k.replace("__", "/"): v for k, v in data.items()})


def page(*cells) -> str:
    return to_html(v4.new_notebook(cells=list(cells)), title="A & B")


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<img src='https://example.org/track.png'>",
        "<a href='javascript:alert(1)'>x</a>",
        "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
        "<svg onload=alert(1)><script>alert(1)</script></svg>",
        "<iframe src='https://example.org'></iframe>",
        "<a href=' DATA:text/html,x'>x</a>",
        "<a href='java\tscript:alert(1)'>x</a>",
        "<style>@import 'https://example.org/x.css'</style>",
        "<p style='background: url(https://example.org/x)'>x</p>",
        "<math><mtext><script>alert(1)</script></mtext></math>",
        "<img src='data:image/svg+xml;base64,x' onload='alert(1)'>",
    ],
)
def test_what_could_run_or_fetch_is_gone(attack):
    for safe in (sanitize(attack), page(v4.new_markdown_cell(attack + " soup")),
                 page(v4.new_code_cell("1", outputs=[output(text__html=attack)]))):  # fmt: skip
        body = safe.split("<body>")[-1].lower()
        assert not re.search(
            r"<(script|style|iframe|svg)|\son\w+=|javascript:|example\.org|data:text", body
        )


@pytest.mark.parametrize(
    "link", ["https://arxiv.org/abs/1", "mailto:a@b.c", "#top", "03_b.ipynb", "../a?b=c:d", ""]
)
def test_an_ordinary_link_stays(link):
    assert sanitize(f'<a href="{link}">x</a>') == f'<a href="{link}">x</a>'


def test_a_stream_with_markup_is_text():
    stream = v4.new_output("stream", text="<b>bold</b>")
    assert "&lt;b&gt;bold&lt;/b&gt;" in page(v4.new_code_cell("1", outputs=[stream]))


def test_headings_tables_images_and_folds_survive():
    fold = "<details>\n<summary>Q</summary>\n\nA\n\n</details>"
    text = f"# Soup?\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n{fold}"
    table = "<table class='dataframe'><thead><tr><th>x</th></tr></thead></table>"
    image = f"<img src='data:image/png;base64,{PIXEL}' alt='dish'>"
    outputs = [output(image__png=PIXEL), output(text__html=table + image)]
    found = page(v4.new_markdown_cell(text), v4.new_code_cell("1", outputs=outputs))
    for part in ('<h1 id="Soup?">Soup?', "<td>2</td>", "<th>x</th>", 'alt="dish"'):
        assert part in found
    assert found.count(f"data:image/png;base64,{PIXEL}") == 2


def test_formulas_are_drawn_without_a_script():
    found = page(v4.new_markdown_cell("With $x_1$:\n\n$$\\frac{a}{b}$$"))
    assert "<msub><mi>x</mi><mn>1</mn></msub>" in found
    assert '<math display="block"' in found
    assert "<mfrac>" in found


def test_the_title_is_escaped_and_nothing_is_fetched():
    found = page(v4.new_markdown_cell("soup"), v4.new_code_cell("1 + 1"))
    assert "<title>A &amp; B</title>" in found
    assert not re.search(r"(src|href)=\"?https?:", found)
    assert "<script" not in found


def test_bookkeeping_is_folded_and_other_code_is_not():
    begin = v4.new_code_cell("import os\n\nlesson = results.begin('01_a', globals())")
    folded, open_ = page(begin, v4.new_code_cell("shown = 1")).split("</details>")
    assert "import" in folded.split("<details>")[1]
    assert "shown" in open_


def test_a_progress_bar_is_left_out_and_the_notebook_left_alone():
    shown = v4.new_output("display_data", data={WIDGET: {"model_id": "box"}, "text/plain": "0%|"})
    cell = v4.new_code_cell("1", outputs=[shown, output(image__png=PIXEL)])
    found = page(cell)
    assert "0%|" not in found
    assert PIXEL in found
    assert len(cell.outputs) == 2


@pytest.mark.parametrize("image", ["", "<img src='data:image/png;base64,x' alt='a > b'>"])
def test_a_fold_holds_what_stands_in_it(image):
    fold = f"<details><summary>Q {image}</summary>\n\n*A*\n\n```python\nx = 1\n```\n\n</details>"
    inside = page(v4.new_markdown_cell(fold)).split("<details>")[1].split("</details>")[0]
    assert "<em>A</em>" in inside
    assert "highlight" in inside
    assert inside.count("<img") == bool(image)


def test_a_page_links_to_its_sections_and_to_the_pages_beside_it(tmp_path):
    for name in ("01_a", "03_b", "08_d"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lesson.html").touch()
    cells = [v4.new_markdown_cell("# Soup?\n\n## How *hot*?"), v4.new_markdown_cell("## Why?")]
    notebook = v4.new_notebook(cells=cells)
    found = to_html(notebook, title="x", slug="03_b", run=tmp_path)
    assert 'href="../index.html">All lessons' in found
    assert 'href="../01_a/lesson.html">Previous: lesson 01' in found
    assert 'href="../08_d/lesson.html">Next: lesson 08' in found
    links = re.findall(r'<li><a href="#([^"]+)">([^<]+)</a>', found)
    assert [text for _, text in links] == ["How hot?", "Why?"]
    for target, _ in links:
        assert f'id="{target}"' in found


def test_a_link_to_a_lesson_leads_to_its_page_or_nowhere(tmp_path):
    (tmp_path / "03_b").mkdir()
    (tmp_path / "03_b" / "lesson.html").touch()
    text = "[three](03_b.ipynb), [four](04_c.ipynb), [a](x.html)"
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell(text)])
    found = to_html(notebook, title="x", run=tmp_path)
    assert '<a href="../03_b/lesson.html">three</a>, four (<code>04_c.ipynb</code>)' in found
    assert '<a href="x.html">a</a>' in found
