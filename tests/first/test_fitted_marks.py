"""The detector that fits itself: features by scale, marks it was not fitted on, repeatable."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.first.data.marked_sets import kitchen_backgrounds, labelled_set
from helpers.first.evaluation.masks import mask_scores
from helpers.first.prepare.fitted_marks import FittedDetector, connected
from helpers.first.prepare.mark_features import context_features, pixel_features

SMALL = {"copies": 120, "pixels": 300, "trees": 30, "sure": 0.8}


def pictures():
    return [picture for _, picture in kitchen_backgrounds("develop", 40, px=32)]


@cache
def fitted():
    return FittedDetector(pictures, "kitchen", **SMALL)


def test_marks_of_the_other_half_are_found_better_the_more_opaque_and_beat_chance():
    rows = labelled_set("held-out", kitchen_backgrounds("held-out", 20, px=32),
                        opacities=(0.2, 0.9))  # fmt: skip
    likely = [fitted().likelihood(row.image) for row in rows]
    apart = [
        p[row.mask].mean() - p[~row.mask].mean()
        for p, row in zip(likely, rows, strict=True)
        if row.mark
    ]
    faint, strong = np.mean(apart[::2]), np.mean(apart[1::2])
    assert strong > faint
    assert strong > 0.15
    masks = fitted().find([row.image for row in rows[2::3]])
    scores = [mask_scores(m, row.mask) for m, row in zip(masks, rows[2::3], strict=True)]
    chance = np.mean([s.true for s in scores])
    assert np.nanmean([s.precision for s in scores]) > 2 * chance


def test_two_fits_agree_and_another_seed_differs():
    picture = pictures()[0]
    again = FittedDetector(pictures, "kitchen", **SMALL)
    assert (fitted().likelihood(picture) == again.likelihood(picture)).all()
    other = FittedDetector(pictures, "kitchen", **SMALL, seed=1)
    assert other.fingerprint != again.fingerprint == fitted().fingerprint
    assert (other.likelihood(picture) != again.likelihood(picture)).any()


def test_the_fingerprint_needs_no_fit_and_follows_the_data():
    def never():
        raise AssertionError("fitted")

    a, b = (FittedDetector(never, source) for source in ("a", "b"))
    assert a.fingerprint != b.fingerprint
    assert a.fingerprint != FittedDetector(never, "a", trees=10).fingerprint


def test_large_pictures_are_reduced_and_their_masks_enlarged():
    detector = FittedDetector(pictures, "kitchen", **{**SMALL, "copies": 20}, work_px=16)
    wide = pictures()[0].resize((70, 40))
    assert detector.likelihood(wide).shape == (16, 28)
    assert [mask.shape for mask in detector.find([wide])] == [(40, 70)]


def test_nothing_to_fit_on_is_said():
    with pytest.raises(ValueError, match="no picture"):
        FittedDetector(list, "nothing").find(pictures()[:1])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"copies": 3}, "copies=3"), ({"trees": 0}, "trees=0"), ({"work_px": 8}, "work_px=8"),
     ({"likely": 0.9, "sure": 0.5}, "likely=0.9"), ({"sure": 1.0}, "sure=1.0")],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        FittedDetector(pictures, "kitchen", **wrong)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_pieces_stay_whole_and_hold_enough_sure_pixels(seed, least):
    rng = np.random.default_rng(seed)
    likely = rng.random((12, 14)) < 0.3
    sure = rng.random((12, 14)) < 0.2
    kept = connected(likely, sure, least=least)
    assert not (kept & ~likely).any()
    for i, j in zip(*np.nonzero(kept), strict=True):  # neighbors two pixels off share their fate
        near = likely[max(0, i - 2) : i + 3, max(0, j - 2) : j + 3]
        assert (kept[max(0, i - 2) : i + 3, max(0, j - 2) : j + 3] == near).all()
    assert not kept.any() or (kept & sure).sum() >= least


def test_features_do_not_depend_on_where_a_thing_stands_and_scale_with_the_picture():
    plain = Image.new("RGB", (64, 64), (80, 120, 90))
    left, right = plain.copy(), plain.copy()
    left.paste((250, 250, 250), (20, 30, 24, 34))
    right.paste((250, 250, 250), (40, 30, 44, 34))
    a, b = pixel_features(left), pixel_features(right)
    assert np.allclose(a[22:42, 12:32], b[22:42, 32:52], atol=2e-3)
    twice = pixel_features(left.resize((128, 128), Image.Resampling.NEAREST))
    light = a[..., 5:]
    assert np.corrcoef(light[32, :, 3], twice[64, ::2, 5 + 3])[0, 1] > 0.95


def test_context_says_how_likely_the_surroundings_are():
    likely = np.zeros((64, 64), np.float32)
    likely[30:34, 10:50] = 1
    found = context_features(likely)
    assert found.shape == (64, 64, 13)
    assert (found[..., 0] == likely).all()
    lying, standing = found[32, 30, 6], found[32, 30, 7]
    assert lying > standing
    assert np.allclose(found[..., -1], likely.mean())
