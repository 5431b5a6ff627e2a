"""Marks: what they change is known exactly; the labelled set's halves share nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.first.data.mark_shapes import FONTS, LOGOS, logo_ink, text_ink
from helpers.first.data.marked_sets import (
    HALVES,
    OPACITIES,
    STOCKS,
    kitchen_backgrounds,
    labelled_set,
    labelled_source,
    photo_backgrounds,
    sample_mark,
)
from helpers.first.data.marks import MARGIN, Mark, blend, draw_mark


def noise(size, seed=0):
    width, height = size
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


def test_blend_by_hand():
    alpha = np.array([[0.0, 0.5, 1.0]], np.float32)
    picture = Image.fromarray(np.full((1, 3, 3), 100, np.uint8))
    assert np.asarray(blend(picture, alpha, (200, 0, 255))).tolist() == [
        [[100, 100, 100], [150, 50, 178], [200, 0, 255]]
    ]


marks = st.builds(
    Mark,
    st.just("text"),
    st.sampled_from(["SAMPLE", "i", "a long line of text"]),
    font=st.sampled_from(FONTS),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    size=st.floats(0.05, 1),
    opacity=st.floats(0.05, 1),
    angle=st.floats(-90, 90),
    tiling=st.sampled_from(["", "straight", "staggered"]),
) | st.builds(Mark, st.just("logo"), st.sampled_from(sorted(LOGOS)), size=st.floats(0.05, 1))


@settings(max_examples=40, deadline=None)
@given(marks, st.sampled_from([(64, 64), (90, 50), (20, 70)]))
def test_nothing_changes_outside_the_mask_and_alpha_never_exceeds_opacity(mark, size):
    picture = noise(size)
    before = np.asarray(picture).copy()
    marked = draw_mark(picture, mark)
    assert marked.alpha.shape == size[::-1]
    assert marked.alpha.dtype == np.float32
    assert marked.mask.any()
    assert marked.alpha.max() <= mark.opacity + 1e-6
    after = np.asarray(marked.image)
    assert (after == before)[~marked.mask].all()
    assert (np.asarray(picture) == before).all()
    light = (1 - marked.alpha[..., None]) * before + marked.alpha[..., None] * mark.color
    assert np.abs(after - light).max() <= 0.5 + 1e-3


def test_a_mark_lies_where_it_was_put():
    for x, y in ((0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5)):
        mask = draw_mark(noise((100, 60)), Mark("logo", "ring", x=x, y=y, size=0.4)).mask
        rows, columns = np.nonzero(mask)
        middle = (columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2
        half, edge = 12, MARGIN * 60
        assert middle[0] == pytest.approx(edge + half + x * (100 - 24 - 2 * edge), abs=1.5)
        assert middle[1] == pytest.approx(edge + half + y * (60 - 24 - 2 * edge), abs=1.5)


def test_a_text_that_is_too_long_is_made_smaller_and_tiling_covers_all_quarters():
    wide = draw_mark(noise((64, 64)), Mark("text", "a text much too long for this", size=0.5))
    assert not wide.mask[:, [0, -1]].any()
    assert wide.mask.any()
    tiled = draw_mark(noise((128, 128)), Mark("text", "ab", size=0.1, tiling="straight")).mask
    assert all(q.any() for half in np.split(tiled, 2) for q in np.split(half, 2, axis=1))


def test_staggered_rows_are_shifted():
    straight, staggered = (
        draw_mark(noise((128, 128)), Mark("text", "ab", size=0.1, x=0, y=0, tiling=tiling)).mask
        for tiling in ("straight", "staggered")
    )
    assert straight.any()
    assert (straight != staggered).any()


def test_every_font_and_logo_draws_something_of_its_own():
    texts = {text_ink("SAMPLE", font, 20).tobytes() for font in FONTS}
    logos = {logo_ink(logo, 32).tobytes() for logo in LOGOS}
    assert len(texts) == len(FONTS)
    assert len(logos) == len(LOGOS)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"kind": "stamp"}, "kind='stamp'"),
        ({"content": " "}, "content=' '"),
        ({"kind": "logo", "content": "nothing"}, "content='nothing'"),
        ({"x": 1.5}, "x=1.5"),
        ({"opacity": 0.0}, "opacity=0.0"),
        ({"size": 0.0}, "size=0.0"),
        ({"color": (1, 2, 300)}, "color="),
        ({"tiling": "zigzag"}, "tiling='zigzag'"),
    ],
)
def test_a_mark_that_cannot_be_is_refused(wrong, named):
    with pytest.raises(ValueError, match=named):
        Mark(**{"kind": "text", "content": "SAMPLE", **wrong})


def test_unknown_fonts_logos_and_halves_are_named():
    with pytest.raises(ValueError, match="'Comic'"):
        text_ink("a", "Comic", 10)
    with pytest.raises(ValueError, match="'moon'"):
        logo_ink("moon", 10)
    with pytest.raises(ValueError, match="'test'"):
        sample_mark(np.random.default_rng(0), "test", opacity=0.5)


def test_the_halves_share_no_font_text_logo_place_tiling_or_picture():
    develop, held_out = (STOCKS[half] for half in HALVES)
    for part in ("fonts", "texts", "logos", "places"):
        assert not set(getattr(develop, part)) & set(getattr(held_out, part)), part
    assert develop.tiling != held_out.tiling
    assert set(develop.fonts + held_out.fonts) == set(FONTS)
    assert set(develop.logos + held_out.logos) == set(LOGOS)
    keys = [{key for key, _ in kitchen_backgrounds(half, 5, px=16)} for half in HALVES]
    assert not keys[0] & keys[1]
    assert len(keys[0]) == 5


def test_the_labelled_set_repeats_one_mark_in_every_opacity_and_the_clean_picture():
    rows = labelled_set("develop", kitchen_backgrounds("develop", 3, px=32))
    assert len(rows) == 3 * (1 + len(OPACITIES))
    first = rows[: 1 + len(OPACITIES)]
    assert first[0].mark is None
    assert not first[0].mask.any()
    assert first[0].image is first[0].clean
    assert [row.mark.opacity for row in first[1:]] == list(OPACITIES)
    assert len({(row.mark.content, row.mark.x, row.mark.color) for row in first[1:]}) == 1
    change = [
        np.abs(np.asarray(r.image, float) - np.asarray(r.clean, float))[r.mask].mean()
        for r in first[1:]
    ]
    assert change == sorted(change)


def test_a_source_signs_most_of_its_pictures_with_one_mark_in_one_place():
    pictures = kitchen_backgrounds("develop", 30, px=32)
    rows = labelled_source("develop", pictures, opacity=0.4, marked=0.7, seed=3)
    signed = [row for row in rows if row.mark]
    assert 12 <= len(signed) < 30
    assert len({row.mark for row in signed}) == len({row.mask.tobytes() for row in signed}) == 1
    assert not any(row.mask.any() for row in rows if row.mark is None)
    assert all(
        row.mark is None for row in labelled_source("develop", pictures[:3], opacity=0.4, marked=0)
    )


def test_the_same_seed_gives_the_same_marks_and_another_gives_others():
    def drawn(seed):
        rng = np.random.default_rng(seed)
        return [sample_mark(rng, "held-out", opacity=(0.3, 0.9)) for _ in range(40)]

    assert drawn(1) == drawn(1) != drawn(2)
    stock = STOCKS["held-out"]
    assert {m.kind for m in drawn(1)} == {"text", "logo"}
    assert all(m.font in stock.fonts and 0.3 <= m.opacity <= 0.9 for m in drawn(1))
    assert {m.tiling for m in drawn(1)} <= {"", stock.tiling}


def test_photos_take_turns_between_the_halves(tmp_path):
    for name in "abcd":
        noise((30, 20), ord(name)).save(tmp_path / f"{name}.png")
    keys = [[k for k, _ in photo_backgrounds(half, tmp_path, 9, px=16)] for half in HALVES]
    assert keys == [["a", "c"], ["b", "d"]]
    assert photo_backgrounds("develop", tmp_path, 1, px=16)[0][1].size == (16, 16)
    with pytest.raises(ValueError, match="no photo"):
        photo_backgrounds("develop", tmp_path / "none", 1, px=16)
