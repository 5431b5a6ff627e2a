"""Watermarks: their masks are the truth, their seeds repeat, the halves share nothing."""

import numpy as np
import pytest
from PIL import Image

from helpers.topics.watermarks.marks import (
    HALVES,
    LOGOS,
    Watermark,
    draw,
    marked,
    sample,
)

GRAY = (90, 90, 90)


def plate(size=(64, 64)):
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 200, (*size[::-1], 3), dtype=np.uint8))


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("size", [(64, 64), (200, 90), (24, 31)])
def test_only_the_pixels_of_the_mask_change(half, size):
    for seed in range(12):
        image = plate(size)
        before = np.asarray(image).copy()
        drawn, mask = marked(image, seed=seed, half=half)
        changed = (np.asarray(drawn) != before).any(axis=2)
        assert drawn.size == size
        assert (mask.shape, mask.dtype) == (size[::-1], bool)
        assert not (changed & ~mask).any()
        assert changed[mask].mean() > 0.8
        assert 0 < mask.mean() < 0.5
        assert np.array_equal(np.asarray(image), before)


def test_full_ink_is_mixed_by_its_opacity():
    drawn, mask = draw(Image.new("RGB", (100, 100), GRAY), Watermark("camera", font="", size=0.5))
    values = np.asarray(drawn)[mask]
    assert values.max() == round(0.4 * 90 + 0.6 * 255)
    assert (np.asarray(drawn)[~mask] == 90).all()


def test_a_seed_repeats_and_opacity_changes_nothing_else():
    assert sample([42, "a/0.jpg"]) == sample([42, "a/0.jpg"])
    assert sample([42, "a/0.jpg"]) != sample([42, "b/0.jpg"])
    faint, strong = (vars(sample(3, opacity=o)) for o in (0.2, (0.8, 0.9)))
    assert faint.pop("opacity") == pytest.approx(0.2)
    assert 0.8 <= strong.pop("opacity") <= 0.9
    assert faint == strong


def test_the_halves_share_nothing():
    develop, held_out = (vars(stock) for stock in HALVES.values())
    for what, own in develop.items():
        assert not set(own) & set(held_out[what])
    assert {name for stock in HALVES.values() for name in stock.logos} == set(LOGOS)


def test_texts_and_logos_of_every_kind_are_drawn():
    drawn = [sample(seed, half=half) for half in HALVES for seed in range(150)]
    contents = {c for stock in HALVES.values() for c in (*stock.texts, *stock.logos)}
    assert {one.content for one in drawn} == contents
    for one in drawn:
        assert draw(plate(), one)[1].any()


def test_an_opacity_that_cannot_be_drawn_is_refused():
    for wrong in ((0.9, 0.5), 0.0, 1.5):
        with pytest.raises(ValueError, match="use a number above 0, to 1"):
            sample(1, opacity=wrong)
