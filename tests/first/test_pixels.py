"""Pixel statistics: pictures whose numbers are known, and sets that differ in a known way."""

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.first.evaluation.comparison import holm
from helpers.first.studies import style_pictures
from helpers.first.studies.pixels import (
    STATISTICS,
    UNITS,
    colorfulness,
    compare_statistics,
    compared_side,
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


def frame(rng, n, shift=0.0):
    return pd.DataFrame({"x": rng.normal(size=n) + shift, "y": rng.normal(size=n)})


def test_a_shift_is_found_in_its_column_alone_with_its_size():
    rng = np.random.default_rng(12)
    a, b = frame(rng, 120, shift=1.0), frame(rng, 120)
    ids = [str(i) for i in range(240)]
    found = compare_statistics(a, b, groups_a=ids[:120], groups_b=ids[120:])
    x, y = found.to_dict("records")
    assert x["difference"] == pytest.approx(a["x"].mean() - b["x"].mean())
    assert x["low"] < 1 < x["high"]
    assert x["low"] > 0
    assert max(x["p_value"], x["ks_p_value"]) < 0.01
    assert min(y["p_value"], y["ks_p_value"]) > 0.1
    assert y["low"] < 0 < y["high"]
    assert (x["n_a"], x["n_b"], x["n_groups"], x["paired"]) == (120, 120, 240, False)


def test_pairs_see_what_single_pictures_cannot():
    rng = np.random.default_rng(2)
    a = frame(rng, 60) * 10
    b = a - 0.5 + frame(rng, 60) * 0.1
    ids = [str(i) for i in range(60)]
    paired = compare_statistics(a, b, groups_a=ids, groups_b=ids, paired=True)
    alone = compare_statistics(a, b, groups_a=ids, groups_b=[f"b{i}" for i in ids])
    assert (paired["p_value"] < 0.01).all()
    assert (alone["p_value"] > 0.3).all()
    assert ((paired["high"] - paired["low"]) < (alone["high"] - alone["low"]) / 10).all()
    assert paired["difference"].tolist() == pytest.approx(alone["difference"].tolist())


def test_p_values_are_corrected_together():
    rng = np.random.default_rng(3)
    a, b = frame(rng, 40, shift=0.5), frame(rng, 40)
    a["z"], b["z"] = rng.normal(size=(2, 40))
    ids = [str(i) for i in range(40)]
    settings_ = {"groups_a": ids, "groups_b": ids, "paired": True}
    together = compare_statistics(a, b, **settings_)
    single = pd.concat(compare_statistics(a[[c]], b[[c]], **settings_) for c in a)
    for name in ("p_value", "ks_p_value"):
        assert together[name].tolist() == pytest.approx(holm(single[name]).tolist())
    assert together["p_value"].sum() > single["p_value"].sum()


def test_pictures_of_one_recipe_widen_the_interval():
    rng = np.random.default_rng(4)
    values = np.repeat(rng.normal(size=(2, 12)), 6, axis=1)
    a, b = (pd.DataFrame({"x": v}) for v in values)
    recipes = np.repeat(np.arange(12), 6)
    single = np.arange(72)
    whole = compare_statistics(a, b, groups_a=recipes, groups_b=recipes + 50).iloc[0]
    naive = compare_statistics(a, b, groups_a=single, groups_b=single + 500).iloc[0]
    assert whole["high"] - whole["low"] > 1.8 * (naive["high"] - naive["low"])


def test_frames_that_do_not_fit_are_refused():
    rng = np.random.default_rng(5)
    a = frame(rng, 4)
    with pytest.raises(ValueError, match="columns"):
        compare_statistics(a, a[["x"]], groups_a="abcd", groups_b="abcd")
    with pytest.raises(ValueError, match="paired=True"):
        compare_statistics(a, a, groups_a="abcd", groups_b="abdc", paired=True)
    with pytest.raises(ValueError, match="b has the value nan in row 2"):
        compare_statistics(a, a.mask(a["x"] == a["x"][2]), groups_a="abcd", groups_b="abcd")


def test_the_drawn_styles_differ_and_two_draws_of_one_style_do_not():
    world = open_world("kitchen", n_recipes=40)
    other = world.in_style("diffusion")
    first, second = ([w.draw(i, 0).image for i in range(40)] for w in (world, other))
    again = [world.draw(i, 1).image for i in range(40)]
    ids = [str(i) for i in range(40)]
    settings_ = {"groups_a": ids, "groups_b": ids, "paired": True}
    base = pixel_statistics(first)
    styles = compare_statistics(base, pixel_statistics(second), **settings_).set_index("statistic")
    assert styles.loc["colorfulness", "p_value"] < 0.01
    assert styles.loc["colorfulness", "difference"] < -20
    same = compare_statistics(base, pixel_statistics(again), **settings_)
    assert (same["p_value"] > 0.05).all()


# --- the side ------------------------------------------------------------------------------------


def two_folders(folder, sizes: dict[str, tuple[int, ...]]) -> style_pictures.Sides:
    rng = np.random.default_rng(0)
    for side, pixels in sizes.items():
        (folder / side).mkdir()
        for i, px in enumerate(pixels):
            picture(rng.integers(0, 255, (px, px, 3))).save(folder / side / f"{side}{i}.png")
    return style_pictures.two_folders(*(str(folder / side) for side in sizes))


@pytest.mark.parametrize(
    ("b", "side", "said"),
    [
        ((300, 16), 16, "at 16 px, that of synthetic b/b1"),
        ((16, 16), 16, "at 16 px, that of synthetic b/b0 and 1 more"),
        ((300, 300), 224, "at 224 px"),
    ],
)
def test_the_picture_that_decides_the_side_is_named(tmp_path, b, side, said):
    found = compared_side(two_folders(tmp_path, {"a": (300, 300), "b": b}))
    assert found == (side, f"pixels are compared {said}")


def test_pictures_of_one_side_are_compared_at_it(tmp_path):
    sides = two_folders(tmp_path, {"a": (40, 40), "b": (40, 40)})
    assert compared_side(sides) == (40, "pixels are compared at 40 px, that of every picture")
