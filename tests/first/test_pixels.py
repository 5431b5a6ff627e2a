"""Pixel statistics: pictures whose numbers are known, and sets that differ in a known way."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.first.studies.pixels import (
    STATISTICS,
    UNITS,
    colorfulness,
    pixel_statistics,
    spectrum_slope,
)
from helpers.world import open_world


def picture(array) -> Image.Image:
    return Image.fromarray(np.clip(array, 0, 255).astype(np.uint8))


def gray(levels) -> Image.Image:
    return picture(np.repeat(np.asarray(levels)[:, :, None], 3, axis=2))


def colored_noise(exponent: float, side: int, seed: int) -> np.ndarray:
    """Noise whose power falls with frequency to the power of ``exponent``."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    frequency[0, 0] = 1
    white = np.fft.fft2(rng.normal(size=(side, side)))
    return np.fft.ifft2(white * frequency ** (exponent / 2)).real


def test_a_flat_picture_has_a_level_and_nothing_else():
    row = pixel_statistics([gray(np.full((12, 12), 77))]).iloc[0]
    assert row["brightness"] == pytest.approx(77)
    assert row[["gradient", "laplacian_variance", "colorfulness"]].tolist() == pytest.approx(
        [0] * 3
    )
    assert np.isnan(row["spectrum_slope"])


def test_a_ramp_has_its_slope_as_gradient_and_no_curvature():
    row = pixel_statistics([gray(np.tile(np.arange(0, 160, 10), (16, 1)))]).iloc[0]
    assert row["gradient"] == pytest.approx(10)
    assert row["laplacian_variance"] == pytest.approx(0)
    assert row["brightness"] == pytest.approx(75)


def test_a_single_dot_gives_the_numbers_that_a_pencil_gives():
    levels = np.zeros((8, 8))
    levels[4, 4] = 60
    row = pixel_statistics([gray(levels)]).iloc[0]
    assert row["gradient"] == pytest.approx(4 * 30 / 36)
    laplacian = np.zeros(36)
    laplacian[:5] = [-240, 60, 60, 60, 60]
    assert row["laplacian_variance"] == pytest.approx(laplacian.var())


def test_the_laplacian_is_that_of_opencv_and_brightness_is_luma():
    drawn = open_world("kitchen", n_recipes=1).draw(0, 0).image
    levels = np.asarray(drawn, float) @ [0.299, 0.587, 0.114]
    row = pixel_statistics([drawn]).iloc[0]
    assert row["laplacian_variance"] == pytest.approx(
        cv2.Laplacian(levels, cv2.CV_64F)[1:-1, 1:-1].var()
    )
    assert row["brightness"] == pytest.approx(levels.mean())


def test_colorfulness_by_hand():
    # Half red, half blue: rg is 255 and 0, yb is 127.5 and -255.
    rgb = np.zeros((2, 2, 3))
    rgb[0, :, 0] = rgb[1, :, 2] = 255
    spread, mean = np.hypot(127.5, 191.25), np.hypot(127.5, -63.75)
    assert colorfulness(rgb) == pytest.approx(spread + 0.3 * mean)


@given(st.integers(0, 255))
@settings(max_examples=10)
def test_gray_has_no_color(level):
    assert colorfulness(np.full((3, 3, 3), float(level))) == 0


@pytest.mark.parametrize("exponent", [0.0, -1.0, -2.0, -3.0])
def test_the_slope_of_noise_is_the_one_it_was_made_with(exponent):
    slopes = [spectrum_slope(colored_noise(exponent, 64, seed)) for seed in range(12)]
    assert np.mean(slopes) == pytest.approx(exponent, abs=0.15)


def test_the_slope_does_not_depend_on_light_contrast_or_a_turn():
    levels = colored_noise(-2, 64, 0)
    want = spectrum_slope(levels)
    assert spectrum_slope(3 * levels + 90) == pytest.approx(want, abs=1e-6)
    assert spectrum_slope(levels.T) == pytest.approx(want, abs=1e-9)


def test_sizes_that_differ_are_refused_and_px_brings_them_to_one():
    rng = np.random.default_rng(0)
    small, large = (picture(rng.integers(0, 256, (n, n, 3))) for n in (16, 24))
    with pytest.raises(ValueError, match=r"picture 0 has 16 x 16 pixels and picture 1 24 x 24"):
        pixel_statistics([small, large])
    assert len(pixel_statistics([small, large], px=16)) == 2
    with pytest.raises(ValueError, match="at least 20 are due"):
        pixel_statistics([small, large], px=20)


@pytest.mark.parametrize(
    ("images", "said"),
    [([], "no picture"), ([Image.new("RGB", (7, 9))], "picture 0 has 7 x 9")],
)
def test_nothing_and_too_little_are_refused(images, said):
    with pytest.raises(ValueError, match=said):
        pixel_statistics(images)


def test_every_statistic_has_a_unit():
    assert set(UNITS) == set(STATISTICS) == set(pixel_statistics([Image.new("RGB", (8, 8))]))
