"""The page of a lesson: folds stay whole, and links lead to pages of the same run."""

import pytest
from nbformat import v4

from helpers.first.runner.export import to_html


def page(text, **options) -> str:
    return to_html(v4.new_notebook(cells=[v4.new_markdown_cell(text)]), title="x", **options)


@pytest.mark.parametrize("image", ["", "<img src='data:image/png;base64,x' alt='a > b'>"])
def test_a_fold_holds_what_stands_in_it(image):
    fold = f"<details><summary>Q {image}</summary>\n\n*A*\n\n```python\nx = 1\n```\n\n</details>"
    inside = page(fold).split("<details>")[1].split("</details>")[0]
    assert "<em>A</em>" in inside
    assert "highlight" in inside
    assert inside.count("<img") == bool(image)


def test_a_link_to_a_lesson_leads_to_its_page_or_nowhere(tmp_path):
    (tmp_path / "03_b").mkdir()
    (tmp_path / "03_b" / "lesson.html").touch()
    found = page("[three](03_b.ipynb), [four](04_c.ipynb), [a](x.html)", run=tmp_path)
    assert '<a href="../03_b/lesson.html">three</a>, four (<code>04_c.ipynb</code>)' in found
    assert '<a href="x.html">a</a>' in found
