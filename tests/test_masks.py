"""Mask scores, PSNR and SSIM: by hand, against naive loops, and where they have no value."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers.evaluation.masks import C1, C2, LUMA, mask_scores, psnr, ssim, ssim_map

masks = hnp.arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 6)))


def test_scores_by_hand():
    truth = np.array([[1, 1, 0], [1, 0, 0]], bool)
    found = np.array([[1, 0, 0], [0, 1, 0]], bool)
    s = mask_scores(found, truth)
    assert (s.precision, s.recall, s.iou) == (1 / 2, 1 / 3, 1 / 4)
    assert (s.found, s.true) == (2 / 6, 3 / 6)


def test_what_has_no_value_is_nan():
    none, some = np.zeros((2, 2), bool), np.eye(2, dtype=bool)
    nothing = mask_scores(none, none)
    assert all(math.isnan(v) for v in (nothing.precision, nothing.recall, nothing.iou))
    missed, alarm = mask_scores(none, some), mask_scores(some, none)
    assert math.isnan(missed.precision)
    assert (missed.recall, missed.iou) == (0, 0)
    assert math.isnan(alarm.recall)
    assert (alarm.precision, alarm.iou) == (0, 0)


@given(masks, st.randoms(use_true_random=False))
def test_scores_agree_with_counting_one_by_one(truth, random):
    found = np.array([[random.random() < 0.5 for _ in row] for row in truth])
    pairs = list(zip(found.ravel().tolist(), truth.ravel().tolist(), strict=True))
    both = sum(f and t for f, t in pairs)
    s = mask_scores(found, truth)
    for value, n in (
        (s.precision, sum(f for f, _ in pairs)),
        (s.recall, sum(t for _, t in pairs)),
        (s.iou, sum(f or t for f, t in pairs)),
    ):
        assert value == both / n if n else math.isnan(value)


@pytest.mark.parametrize(
    ("found", "truth", "said"),
    [
        (np.zeros((2, 2), bool), np.zeros((2, 3), bool), "shapes"),
        (np.zeros((0, 2), bool), np.zeros((0, 2), bool), "shapes"),
        (np.zeros((2, 2)), np.zeros((2, 2), bool), "float64"),
    ],
)
def test_masks_that_cannot_be_compared_are_refused(found, truth, said):
    with pytest.raises(ValueError, match=said):
        mask_scores(found, truth)


def test_psnr_by_hand_and_inside_the_mask_alone():
    reference = np.zeros((2, 2, 3), np.uint8)
    image = reference.copy()
    image[0, 0] = 51  # a fifth of the range: 10 log10(25) dB
    mask = np.array([[1, 0], [0, 0]], bool)
    assert psnr(image, reference, mask) == pytest.approx(10 * math.log10(25))
    assert psnr(image, reference) == pytest.approx(10 * math.log10(100))
    assert psnr(image, reference, ~mask) == math.inf


def test_dark_and_bright_differences_count_alike_in_eight_bits():
    low, high = np.full((2, 2), 10, np.uint8), np.full((2, 2), 30, np.uint8)
    assert psnr(low, high) == psnr(high, low) == pytest.approx(20 * math.log10(255 / 20))


def naive_ssim(image, reference):
    """The definition, one window of 11 x 11 after the other."""
    x, y = (np.pad(np.asarray(a, float) @ np.array(LUMA), 5, "reflect") for a in (image, reference))
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    found = np.empty(image.shape[:2])
    for i in range(found.shape[0]):
        for j in range(found.shape[1]):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            m, n = (window * a).sum(), (window * b).sum()
            va, vb = (window * (a - m) ** 2).sum(), (window * (b - n) ** 2).sum()
            c = (window * (a - m) * (b - n)).sum()
            found[i, j] = (2 * m * n + C1) * (2 * c + C2)
            found[i, j] /= (m * m + n * n + C1) * (va + vb + C2)
    return found


def test_ssim_agrees_with_the_definition():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (14, 17, 3)).astype(np.uint8)
    other = np.clip(image + rng.normal(0, 30, image.shape), 0, 255).astype(np.uint8)
    assert np.allclose(ssim_map(image, other), naive_ssim(image, other), atol=1e-9)
    mask = rng.random((14, 17)) < 0.3
    assert ssim(image, other, mask) == pytest.approx(naive_ssim(image, other)[mask].mean())


@settings(max_examples=25)
@given(hnp.arrays(np.uint8, (12, 13, 3)), hnp.arrays(np.uint8, (12, 13, 3)))
def test_ssim_is_symmetric_at_most_one_and_one_for_equal_pictures(a, b):
    assert ssim_map(a, b).max() <= 1 + 1e-9
    assert ssim(a, b) == pytest.approx(ssim(b, a))
    assert ssim(a, a) == pytest.approx(1)


def test_pictures_that_cannot_be_compared_are_refused():
    a = np.zeros((4, 4, 3))
    with pytest.raises(ValueError, match="shapes"):
        psnr(a, np.zeros((4, 5, 3)))
    with pytest.raises(ValueError, match="no pixel"):
        ssim(a, a, np.zeros((4, 4), bool))
    with pytest.raises(ValueError, match="height and width"):
        psnr(a, a, np.ones((4, 5), bool))
    with pytest.raises(ValueError, match="height and width"):
        psnr(a, a, np.ones((4, 4)))
