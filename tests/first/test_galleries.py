"""Galleries and tables: frames, marks and ranks, texts that could break out, images of any size."""

import matplotlib

matplotlib.use("Agg")

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import Rectangle
from PIL import Image

from helpers.first.report.galleries import (
    GalleryRow,
    frame_to_html,
    image_grid,
    retrieval_gallery,
    show_frame,
    thumbnail,
)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def picture(size=(64, 64), mode="RGB"):
    return Image.new(mode, size, 128 if mode in ("L", "P") else (200, 30, 30, 255)[: len(mode)])


def texts(fig) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fig.canvas.draw()
    return [t.get_text() for t in fig.findobj(matplotlib.text.Text) if t.get_text()]


def frames(ax) -> list[str]:
    solid = ("-", "solid")
    found = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    return ["solid" if patch.get_linestyle() in solid else "dashed" for patch in found]


def test_a_row_of_images_marks_hits_by_frame_and_check_mark():
    row = GalleryRow("red soup", [picture()] * 3, [0.9, 0.8, 0.7], [False, True, False], rank=2)
    fig = retrieval_gallery([row])
    results = fig.axes[1:]
    assert [frames(ax) for ax in results] == [["dashed"], ["solid"], ["dashed"]]
    assert [ax.texts[0].get_text() for ax in results] == ["0.900", "✓ 0.800", "0.700"]
    said = texts(fig)
    assert "first hit at rank 2" in said
    assert "“red soup”" in said


def test_captions_found_by_an_image_are_listed_with_marks():
    row = GalleryRow(picture(), ["hot soup", "a pie"], [0.9, 0.8], [True, False], rank=1)
    fig = retrieval_gallery([row], heading="Image to text")
    said = texts(fig)
    assert said.index("hot soup") < said.index("a pie")
    assert said.count("✓") == 1
    assert frames(fig.axes[1]) == ["solid", "dashed"]
    assert "Image to text" in said


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (64, 64), (641, 427)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_images_of_any_size_and_mode_are_drawn(size, mode):
    square = thumbnail(picture(size, mode), px=96)
    assert square.shape == (96, 96, 3)
    assert square.dtype == np.uint8
    assert (square != 255).any()


def test_a_thumbnail_keeps_the_ratio_and_pads_with_white():
    square = thumbnail(picture((200, 100)), px=100)
    inked = (square != 255).any(axis=2)
    assert inked.any(axis=0).all()
    assert inked.any(axis=1).sum() == 50


@pytest.mark.parametrize(
    "text", ["$5 and $6", "x_i^2 \\frac{1}{", "<b>寿司</b> \x07", "soup " * 200, "$"]
)
def test_captions_are_drawn_as_text(text):
    row = GalleryRow(text, [text] * 9, [0.5] * 9, [False] * 9, rank=12.5)
    said = texts(retrieval_gallery([row], heading=text))
    assert "first hit at rank 12.5" in said
    texts(image_grid([picture()] * 2, [text, ""], heading=text))


def test_an_unknown_rank_is_left_out_and_rows_are_checked():
    row = GalleryRow("soup", ["a"], [0.5], [False])
    assert not any("rank" in text for text in texts(retrieval_gallery([row])))
    with pytest.raises(ValueError, match="no row"):
        retrieval_gallery([])
    with pytest.raises(ValueError, match="2 results, 1 scores and 2 marks"):
        GalleryRow("soup", ["a", "b"], [0.5], [True, False])
    with pytest.raises(ValueError, match="0 results"):
        GalleryRow("soup", [], [], [])


def test_a_grid_has_an_axes_an_image_inside_the_figure():
    fig = image_grid([picture()] * 7, [f"dish {i}" for i in range(7)], columns=3, heading="Dishes")
    assert len(fig.axes) == 7
    for ax in fig.axes:
        box = ax.get_position()
        assert min(box.x0, box.y0) >= 0
        assert max(box.x1, box.y1) <= 1
    assert {f"dish {i}" for i in range(7)} <= set(texts(fig))
    with pytest.raises(ValueError, match="2 images and 1 captions"):
        image_grid([picture()] * 2, ["one"])
    with pytest.raises(ValueError, match="0 images"):
        image_grid([])


HOSTILE = "<script>alert(1)</script> & \"quotes\" 'too'"


def test_a_table_escapes_names_cells_index_and_note():
    frame = pd.DataFrame({HOSTILE: [HOSTILE]}, index=pd.Index([HOSTILE], name="<i>"))
    table = frame_to_html(frame, index=True, note=HOSTILE)
    assert "<script" not in table
    assert "<i>" not in table
    assert table.count("&lt;script&gt;") == 4


def test_a_table_shows_numbers_missing_values_and_ids_as_they_are():
    frame = pd.DataFrame({"id": ["007", "NA"], "n": [12345, 2], "x": [0.123456, np.nan]})
    table = frame_to_html(frame)
    for cell in (">007<", ">NA<", ">12,345<", ">0.1235<", ">–<"):
        assert cell in table
    assert table.count("text-align: right") == 6  # two number columns, three rows with the head


def test_a_table_says_how_many_rows_it_leaves_out():
    table = frame_to_html(pd.DataFrame({"a": range(12)}), max_rows=5)
    assert table.count("<tr>") == 6
    assert "7 more rows of 12" in table
    assert "more rows" not in frame_to_html(pd.DataFrame({"a": range(5)}), max_rows=5)
    assert "<tbody></tbody>" in frame_to_html(pd.DataFrame({"a": []}))


@given(st.text(max_size=40))
def test_no_text_opens_a_tag(text):
    inside = frame_to_html(pd.DataFrame({"a": [text]})).split("<td", 1)[1].split(">", 1)[1]
    assert inside.index("</td>") == inside.index("<")


def test_show_frame_displays_html_and_plain_text(capsys):
    show_frame(pd.DataFrame({"dish": ["soup"]}))
    assert "soup" in capsys.readouterr().out
