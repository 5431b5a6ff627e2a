"""Image transforms against hand-made cases and other libraries; their draws and independence."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy import ndimage

from helpers.first.prepare.augment import images_of, pixels_of
from helpers.first.prepare.augmentation_settings import IMAGE_RANGES, load_config, only
from helpers.first.prepare.image_augmentation import (
    TRANSFORMS,
    Step,
    apply_one,
    apply_steps,
    augment_images,
    draw_steps,
    key_seed,
    training_augmenter,
)

CONFIG = load_config()
RULES = CONFIG.images
ALWAYS = {name: replace(rule, probability=1.0) for name, rule in RULES.items()}


def picture(side=24, n=1, seed=0):
    """Smooth random pictures, (n, 3, side, side)."""
    rng = np.random.default_rng(seed)
    values = ndimage.zoom(rng.random((n, 3, 6, 6)), (1, 1, side / 6, side / 6), order=1)
    return torch.from_numpy(values.astype(np.float32)).clamp(0, 1)


def done(x, name, value=0.0, seed=0):
    return apply_steps(x, [(Step(name, value, seed),)] * len(x))


def test_the_transforms_are_those_of_the_settings_in_their_order():
    assert list(TRANSFORMS) == list(IMAGE_RANGES) == list(RULES)


def test_flips_by_hand():
    x = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).expand(1, 3, 2, 2)
    assert done(x, "horizontal_flip")[0, 0].tolist() == x[0, 0].flip(1).tolist()
    assert torch.equal(done(x, "horizontal_flip")[0, 0, 0], torch.tensor([0.2, 0.1]))
    assert torch.equal(done(x, "vertical_flip")[0, 0, 0], torch.tensor([0.3, 0.4]))


@pytest.mark.parametrize(
    ("degrees", "first_row"), [(90, [0.2, 0.4]), (180, [0.4, 0.3]), (270, [0.3, 0.1])]
)
def test_quarter_turns_move_pixels_counter_clockwise_and_exactly(degrees, first_row):
    x = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).expand(1, 3, 2, 2)
    assert torch.equal(done(x, "quarter_turns", degrees)[0, 0, 0], torch.tensor(first_row))
    y = picture(n=2)
    for _ in range(360 // degrees if degrees != 270 else 4):
        y = done(y, "quarter_turns", degrees)
    assert torch.equal(y, picture(n=2))


def test_rotation_turns_the_same_way_as_quarter_turns():
    x = picture(25)
    turned, exact = done(x, "rotation", 90.0), done(x, "quarter_turns", 90)
    assert (turned - exact).abs().max() < 1e-4
    against_pil = np.asarray(images_of(x)[0].rotate(20, Image.Resampling.BILINEAR)) / 255
    mine = done(x, "rotation", 20.0)[0].permute(1, 2, 0).numpy()
    assert np.abs(mine - against_pil)[8:17, 8:17].max() < 0.02  # the middle, away from the corners


@pytest.mark.parametrize("name", ["rotation", "crop_and_resize", "blur"])
def test_no_border_is_made_up(name):
    white = torch.ones(4, 3, 16, 16)
    changed, _ = apply_one(white, list("abcd"), name, rules=RULES)
    assert changed.min() > 0.999


def test_a_crop_of_a_ramp_is_the_stretch_of_it_that_the_step_says():
    ramp = torch.linspace(0, 1, 21).expand(1, 3, 21, 21)
    step = Step("crop_and_resize", 0.8, 5)
    left = float(np.random.default_rng(5).random(2)[0] * 0.2)
    row = apply_steps(ramp, [(step,)])[0, 0, 10]
    assert torch.allclose(row, left + 0.8 * torch.linspace(0, 1, 21), atol=1e-4)
    assert torch.allclose(done(ramp, "crop_and_resize", 1.0), ramp, atol=1e-5)


@pytest.mark.parametrize("factor", [0.6, 0.7, 1.0, 1.3, 1.4])
@pytest.mark.parametrize(
    ("name", "enhancer"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_light_and_color_agree_with_pil(name, enhancer, factor):
    x = picture()
    wanted = pixels_of([enhancer(images_of(x)[0]).enhance(factor)])
    assert (done(x, name, factor) - wanted).abs().max() < 2.5 / 255


def test_saturation_keeps_the_order_of_the_channels():
    x = picture(n=4)
    y = done(x, "saturation", 0.6)
    assert torch.equal(x.argmax(1), y.argmax(1))  # what is red stays red


@pytest.mark.parametrize("radius", [0.5, 1.3, 2.0])
def test_blur_agrees_with_scipy(radius):
    x = picture()
    reach = int(np.ceil(3 * radius))
    wanted = ndimage.gaussian_filter(
        x.numpy().astype(np.float64),
        (0, 0, radius, radius),
        mode="mirror",
        radius=(0, 0, reach, reach),
    )
    assert np.abs(done(x, "blur", radius).numpy() - wanted).max() < 1e-5


def test_blur_takes_images_smaller_than_its_kernel():
    assert done(torch.rand(1, 3, 4, 4), "blur", 2.0).shape == (1, 3, 4, 4)


@pytest.mark.parametrize("std", [15.0, 35.0])
def test_noise_has_its_standard_deviation_and_no_color(std):
    gray = torch.full((1, 3, 96, 96), 0.5)
    grain = (done(gray, "noise", std, seed=3) - gray) * 255
    assert abs(float(grain.std()) / std - 1) < 0.03
    assert float(grain.mean(dim=(0, 2, 3)).abs().max()) < 4 * std / 96
    assert not torch.equal(done(gray, "noise", std, seed=3), done(gray, "noise", std, seed=4))


def test_an_image_is_changed_alike_in_any_batch():
    x, keys = picture(n=6), [f"recipe/{i}.jpg" for i in range(6)]
    together, steps = augment_images(x, keys, rules=ALWAYS, seed=7)
    for i, key in enumerate(keys):
        alone, own = augment_images(x[i : i + 1], [key], rules=ALWAYS, seed=7)
        assert torch.equal(alone[0], together[i])
        assert own == (steps[i],)
    order = [3, 1, 5]
    some, _ = augment_images(x[order], [keys[i] for i in order], rules=ALWAYS, seed=7)
    assert torch.equal(some, together[order])


def test_seed_key_and_copy_each_decide():
    x = picture()
    first, _ = augment_images(x, ["a"], rules=ALWAYS, seed=1)
    again, _ = augment_images(x, ["a"], rules=ALWAYS, seed=1)
    assert torch.equal(first, again)
    for other in ({"seed": 2}, {"copy": 1}, {"keys": ["b"]}):
        given = {"keys": ["a"], "seed": 1} | other
        changed, _ = augment_images(x, given.pop("keys"), rules=ALWAYS, **given)
        assert not torch.equal(first, changed)


def test_the_input_is_left_as_it_was():
    x = picture(n=2)
    before = x.clone()
    augment_images(x, ["a", "b"], rules=ALWAYS, seed=0)
    assert torch.equal(x, before)


def test_nothing_enabled_changes_nothing():
    x = picture(n=3)
    off = only(CONFIG).images
    changed, steps = augment_images(x, list("abc"), rules=off, seed=0)
    assert torch.equal(changed, x)
    assert steps == ((), (), ())


def test_switching_one_off_leaves_the_draws_of_the_others():
    without = {**RULES, "rotation": replace(RULES["rotation"], enabled=False)}
    for seed in range(40):
        kept = tuple(s for s in draw_steps(RULES, seed) if s.name != "rotation")
        assert draw_steps(without, seed) == kept


def test_transforms_are_drawn_as_often_as_the_file_says():
    n = 2000
    found = [step.name for seed in range(n) for step in draw_steps(RULES, key_seed(0, str(seed)))]
    for name, rule in RULES.items():
        spread = (rule.probability * (1 - rule.probability) / n) ** 0.5
        assert abs(found.count(name) / n - rule.probability) < 4.5 * spread


@given(st.integers(0, 2**56))
def test_strengths_lie_in_their_ranges(seed):
    for step in draw_steps(ALWAYS, seed):
        rule = RULES[step.name]
        if rule.range:
            assert rule.range[0] <= step.value <= rule.range[1]
        if rule.values:
            assert step.value in rule.values


@given(st.integers(0, 2**32), st.integers(2, 20))
def test_results_are_images(seed, side):
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed))
    y, steps = augment_images(x, ["a", "b"], rules=ALWAYS, seed=seed)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert bool(torch.isfinite(y).all())
    assert 0 <= float(y.min()) <= float(y.max()) <= 1
    assert [s.name for s in steps[0]] == list(RULES)


def test_one_named_transform_uses_the_strength_that_the_image_would_get():
    _, (step,) = apply_one(picture(), ["a"], "brightness", rules=RULES, seed=3)
    drawn = draw_steps({**only(CONFIG, "brightness").images}, key_seed(3, "a"))
    always = draw_steps(ALWAYS, key_seed(3, "a"))
    assert step in always
    assert drawn in ((), (step,))
    with pytest.raises(ValueError, match="unknown image transform 'hue'"):
        apply_one(picture(), ["a"], "hue", rules=RULES)


def test_the_training_augmenter_uses_the_same_of_the_generator_whatever_it_does():
    x = picture(n=5)
    states = []
    for rules in (RULES, only(CONFIG).images, ALWAYS):
        generator = torch.Generator().manual_seed(11)
        training_augmenter(rules)(x, generator)
        states.append(generator.get_state())
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])


def test_the_training_augmenter_goes_on_from_a_saved_generator():
    x, augment = picture(n=4), training_augmenter(RULES)
    generator = torch.Generator().manual_seed(1)
    augment(x, generator)
    saved = generator.get_state()
    second = augment(x, generator)
    assert torch.equal(augment(x, torch.Generator().set_state(saved)), second)
    assert not torch.equal(augment(x, generator), second)


def test_the_training_augmenter_sees_through_a_processors_normalisation():
    x, mean, std = picture(n=4), (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    m, s = (torch.tensor(v).view(3, 1, 1) for v in (mean, std))
    plain = training_augmenter(RULES)(x, torch.Generator().manual_seed(2))
    scaled = training_augmenter(RULES, mean=mean, std=std)(
        (x - m) / s, torch.Generator().manual_seed(2)
    )
    assert torch.allclose(scaled, (plain - m) / s, atol=1e-4)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (torch.zeros(3, 8, 8), "shape"),
        (torch.zeros(1, 1, 8, 8), "shape"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "uint8"),
        (torch.full((1, 3, 8, 8), 1.5), r"must be in \[0, 1\]"),
        (torch.full((1, 3, 8, 8), float("nan")), r"must be in \[0, 1\]"),
        (torch.zeros(2, 3, 8, 8), "2 images, but 1"),
    ],
)
def test_other_arrays_are_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        augment_images(pixels, ["a"], rules=RULES, seed=0)


def test_a_quarter_turn_of_an_oblong_image_is_refused():
    with pytest.raises(ValueError, match="square images, these are 8 x 6"):
        done(torch.zeros(1, 3, 6, 8), "quarter_turns", 90)


def test_pixels_and_images_are_inverse():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 5, 3), np.uint8))
    assert np.array_equal(np.asarray(images_of(pixels_of([image]))[0]), np.asarray(image))
