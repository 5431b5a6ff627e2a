"""Detectors without fitting: what repeats is found, what does not is left alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw

from helpers.first.data.marked_sets import kitchen_backgrounds, labelled_source
from helpers.first.data.marks import Mark, draw_mark
from helpers.first.evaluation.masks import mask_scores
from helpers.first.prepare.watermarks import (
    FEWEST,
    RepeatedMarkDetector,
    StrokeDetector,
    gradients,
    integrated,
    luminance,
    strokes_inside,
)

small = hnp.arrays(
    np.float64, st.tuples(st.integers(2, 9), st.integers(2, 9)), elements=st.floats(-255, 255)
)


@settings(max_examples=40, deadline=None)
@given(small)
def test_integrating_the_gradients_of_a_picture_gives_it_back_but_for_its_mean(picture):
    back = integrated(gradients(picture[..., None])[..., 0])
    assert np.allclose(back, picture - picture.mean(), atol=1e-8)


def test_gradients_by_hand():
    found = gradients(np.array([[1.0, 4.0], [2.0, 8.0]])[..., None])[..., 0]
    assert found.tolist() == [[[3, 0], [6, 0]], [[1, 4], [0, 0]]]


def noise(n, px=32, seed=0):
    rng = np.random.default_rng(seed)
    rough = rng.integers(60, 180, (n, px, px, 3), dtype=np.uint8)
    return [Image.fromarray(one) for one in rough]


def test_a_repeated_mark_is_found_and_pictures_without_it_are_let_go():
    rows = labelled_source("develop", kitchen_backgrounds("develop", 60, px=48), opacity=0.6,
                           marked=0.7, seed=0)  # fmt: skip
    masks = RepeatedMarkDetector().find([row.image for row in rows])
    marked = [mask_scores(m, r.mask).iou for m, r in zip(masks, rows, strict=True) if r.mark]
    alarms = [m.any() for m, r in zip(masks, rows, strict=True) if not r.mark]
    assert np.mean(marked) > 0.5
    assert np.mean(alarms) < 0.3


def test_nothing_repeats_in_noise_and_too_few_pictures_show_nothing():
    assert not any(mask.any() for mask in RepeatedMarkDetector().find(noise(40)))
    mark = Mark("logo", "ring", size=0.5, opacity=0.9)
    same = [draw_mark(image, mark).image for image in noise(FEWEST)]
    assert any(mask.any() for mask in RepeatedMarkDetector().find(same))
    assert not any(mask.any() for mask in RepeatedMarkDetector().find(same[:-1]))


def test_pictures_of_two_sizes_are_looked_at_by_size_and_keep_their_order():
    mark = Mark("logo", "star", size=0.5, opacity=0.9)
    small_ones = [draw_mark(image, mark).image for image in noise(12)]
    large_ones = noise(12, px=40, seed=1)
    mixed = [image for both in zip(small_ones, large_ones, strict=True) for image in both]
    masks = RepeatedMarkDetector().find(mixed)
    assert [mask.shape for mask in masks] == [(i.height, i.width) for i in mixed]
    alone = RepeatedMarkDetector().find(small_ones)
    assert all((a == b).all() for a, b in zip(masks[::2], alone, strict=True))
    assert any(mask.any() for mask in alone)
    assert not any(mask.any() for mask in masks[1::2])


def test_strokes_in_a_row_are_a_text_and_one_stroke_is_not():
    plate = Image.new("RGB", (64, 64), (90, 110, 100))
    text = draw_mark(plate, Mark("text", "SAMPLE", size=0.22, opacity=0.9))
    found = StrokeDetector().find([text.image])[0]
    assert mask_scores(found, text.mask).precision > 0.7
    assert mask_scores(found, text.mask).recall > 0.4
    lone = plate.copy()
    ImageDraw.Draw(lone).line((10, 10, 10, 20), fill=(255, 255, 255), width=2)
    empty = StrokeDetector().find([lone, plate])
    assert not any(mask.any() for mask in empty)


def test_strokes_inside_a_region_and_never_outside():
    picture = Image.new("RGB", (40, 30), (80, 80, 80))
    marked = draw_mark(picture, Mark("text", "abc", size=0.4, opacity=0.8))
    region = np.zeros((30, 40), bool)
    region[:, :20] = True
    found = strokes_inside(marked.image, region)
    assert found.any()
    assert not (found & ~region).any()
    assert mask_scores(found, marked.mask & region).precision == 1
    assert not strokes_inside(picture, np.zeros((30, 40), bool)).any()


def test_luminance_weighs_green_most():
    light = luminance(Image.fromarray(np.eye(3, dtype=np.uint8)[None] * 255))
    assert light[0].tolist() == pytest.approx([76.245, 149.685, 29.07], abs=1e-3)


def test_fingerprints_tell_settings_apart():
    made = [
        StrokeDetector(), StrokeDetector(pieces=4), RepeatedMarkDetector(),
        RepeatedMarkDetector(surprise=6), RepeatedMarkDetector(part=0.5),
        RepeatedMarkDetector(agreement=0.5),
    ]  # fmt: skip
    assert len({one.fingerprint for one in made}) == len(made)
    assert StrokeDetector().fingerprint == StrokeDetector().fingerprint
