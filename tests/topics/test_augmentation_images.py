"""The augmentation file and what is refused in it; image transforms against other libraries."""

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy import ndimage

from helpers import paths
from helpers.topics.augmentation import texts
from helpers.topics.augmentation.config import (
    CASE_FORMS,
    FILE_NAME,
    IMAGES,
    TEXTS,
    ConfigError,
    load_config,
    parse_config,
)
from helpers.topics.augmentation.images import (
    TRANSFORMS,
    augment,
    chances_of,
    each_alone,
    images_of,
    pixels_of,
    strengths,
    training_transform,
    used,
)

TEXT = (paths.notebooks() / "profiles" / FILE_NAME).read_text(encoding="utf-8")
CONFIG = load_config()
RULES = CONFIG.images
ALWAYS = {name: rule.model_copy(update={"probability": 1.0}) for name, rule in RULES.items()}


def test_the_courses_file_holds_every_transform_with_its_range():
    ranges = {name: rule.range for name, rule in RULES.items() if hasattr(rule, "range")}
    assert ranges == {
        "rotation": (-25, 25), "crop_and_resize": (0.7, 0.9), "brightness": (0.7, 1.3),
        "contrast": (0.7, 1.3), "saturation": (0.6, 1.4), "blur": (0.5, 2.0), "noise": (15, 35),
    }  # fmt: skip
    assert RULES["quarter_turns"].values == (90, 180, 270)
    assert {"horizontal_flip", "vertical_flip"} <= set(RULES)
    assert {"Homemade", "Classic"} <= set(CONFIG.texts["prefix_add"].words)
    assert CONFIG.texts["suffix_add"].words == ("Recipe", "- Easy Recipe")
    assert all(rule.enabled for part in (RULES, CONFIG.texts) for rule in part.values())


def test_every_name_of_the_file_is_a_transform_or_a_rule():
    assert list(TRANSFORMS) == list(IMAGES) == list(RULES)
    assert list(texts.RULES) == list(TEXTS) == list(CONFIG.texts)
    assert set(texts.CASES) == set(CASE_FORMS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rotation:", "rotatoin:", r"unknown key 'rotatoin' in images; did you mean 'rotation'\?"),
        ("  simplify:", "  simplifi:", r"'simplifi' in texts; did you mean 'simplify'\?"),
        ("range: [-25, 25]", "ranges: [-25, 25]", "in images.rotation; did you mean 'range'"),
        ("range: [-25, 25]", "range: [25, -25]", r"low end comes first: \[-25, 25\]"),
        ("range: [-25, 25]", "range: [-25, 225]", r"rotation.range.1 is 225; .* equal to 180"),
        ("range: [-25, 25]", "range: 25", "images.rotation.range is 25; a list"),
        ("range: [-25, 25]", "range: [1]", r"images.rotation.range is \[1\]; write two"),
        ("range: [-25, 25]", "range: [1, 2, 3]", r"range is \[1, 2, 3\]; .* 2 items"),
        ("range: [-25, 25]", "range: ['-25', 25]", "'-25'; a number is due"),
        ("range: [-25, 25]", "range: [.nan, 25]", "rotation.range.0 is nan"),
        ("range: [0.7, 0.9]", "range: [0.7, 1.9]", "crop_and_resize.range.1 is 1.9"),
        ("values: [90, 180, 270]", "values: [90, 45]", "quarter_turns.values.1 is 45; .* 90, 180"),
        ("values: [90, 180, 270]", "values: []", "at least 1"),
        ("probability: 0.5", "probability: 1.5", "horizontal_flip.probability is 1.5; .* to 1"),
        ("probability: 0.5", "probability: true", "horizontal_flip.probability is True; a number"),
        ("enabled: true", "enabled: 'no'", "horizontal_flip.enabled is 'no'; write true or false"),
        ("enabled: true", "enabled: 1", "horizontal_flip.enabled is 1; write true or false"),
        ("    enabled: true\n", "", "images.horizontal_flip lacks 'enabled'"),
        ("weight: 3", "weight: -1", "texts.synonyms.weight is -1"),
        ("words: [Homemade, Classic]", "words: [Homemade, no]", "words.1 is False; .*YAML"),
        ("words: [Homemade, Classic]", "words: [' ']", "prefix_add.words.0 is ' '; a text"),
        ("[lower, title, sentence]", "[lowr]", "forms.0 is 'lowr'; .*'lower'"),
        ("pairs: []", "pairs: [[a, A]]", "a pair is two different texts"),
        ("images:", "image:", "unknown key 'image' in the file; did you mean 'images'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_key_and_remedy(old, new, message):
    assert old in TEXT
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config(TEXT.replace(old, new, 1), where="mine.yaml")
    assert str(caught.value).startswith("mine.yaml: ")


def test_a_missing_transform_and_a_key_given_twice_are_refused():
    tree = yaml.safe_load(TEXT)
    del tree["images"]["noise"]
    with pytest.raises(ConfigError, match=r"images lacks 'noise'.*`enabled: false`"):
        parse_config(yaml.safe_dump(tree))
    one = "    probability: 0.5\n"
    with pytest.raises(ConfigError, match="given twice"):
        parse_config(TEXT.replace(one, one + "    probability: 0.1\n", 1))


def test_yaml_says_no_for_false_and_1e_1_for_a_tenth():
    config = parse_config(TEXT.replace("enabled: true", "enabled: no", 1))
    assert config.images["horizontal_flip"].enabled is False
    config = parse_config(TEXT.replace("probability: 0.5", "probability: 1e-1", 1))
    assert config.images["horizontal_flip"].probability == 0.1


@pytest.mark.parametrize("text", ["", "7", "[a]", "images: [", "!!python/object:os.system {}"])
def test_what_is_no_settings_file_is_refused(text):
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        parse_config(text, where="mine.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


def test_only_switches_everything_else_off_and_names_misspelt_ones():
    config = CONFIG.only("blur", "reorder")
    on = [n for part in (config.images, config.texts) for n, rule in part.items() if rule.enabled]
    assert on == ["blur", "reorder"]
    assert config.images["noise"].range == (15, 35)
    with pytest.raises(ConfigError, match="did you mean 'noise'"):
        config.only("niose")


# Transforms


def smooth(side=24, n=1, seed=0):
    """Smooth random images, (n, 3, side, side)."""
    rng = np.random.default_rng(seed)
    values = ndimage.zoom(rng.random((n, 3, 6, 6)), (1, 1, side / 6, side / 6), order=1)
    return torch.from_numpy(values.astype(np.float32)).clamp(0, 1)


def done(x, name, value=0.0, place=(0.0, 0.0)):
    strength, at = torch.tensor([value] * len(x)), torch.tensor([place] * len(x))
    return TRANSFORMS[name](x, strength, at).clamp(0, 1)


def test_flips_by_hand():
    x = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).expand(1, 3, 2, 2)
    assert torch.equal(done(x, "horizontal_flip")[0, 0, 0], torch.tensor([0.2, 0.1]))
    assert torch.equal(done(x, "vertical_flip")[0, 0, 0], torch.tensor([0.3, 0.4]))


@pytest.mark.parametrize(
    ("degrees", "first_row"), [(90, [0.2, 0.4]), (180, [0.4, 0.3]), (270, [0.3, 0.1])]
)
def test_quarter_turns_move_pixels_counter_clockwise_and_exactly(degrees, first_row):
    x = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).expand(1, 3, 2, 2)
    assert torch.equal(done(x, "quarter_turns", degrees)[0, 0, 0], torch.tensor(first_row))
    with pytest.raises(ValueError, match="square images, these are 8 x 6"):
        done(torch.zeros(1, 3, 6, 8), "quarter_turns", degrees)


def test_rotation_turns_the_same_way_as_quarter_turns_and_pil():
    x = smooth(25)
    assert (done(x, "rotation", 90.0) - done(x, "quarter_turns", 90)).abs().max() < 1e-4
    against_pil = np.asarray(images_of(x)[0].rotate(20, Image.Resampling.BILINEAR)) / 255
    mine = done(x, "rotation", 20.0)[0].permute(1, 2, 0).numpy()
    assert np.abs(mine - against_pil)[8:17, 8:17].max() < 0.02  # the middle, away from the corners


@pytest.mark.parametrize("name", ["rotation", "crop_and_resize", "blur"])
def test_no_border_is_made_up(name):
    rules = {name: ALWAYS[name]}
    changed = augment(torch.ones(4, 3, 16, 16), chances_of("abcd", rules, seed=0), rules)
    assert changed.min() > 0.999


def test_a_crop_of_a_ramp_is_the_stretch_of_it_that_is_asked_for():
    ramp = torch.linspace(0, 1, 21).expand(1, 3, 21, 21)
    row = done(ramp, "crop_and_resize", 0.8, (0.5, 0.0))[0, 0, 10]
    assert torch.allclose(row, 0.1 + 0.8 * torch.linspace(0, 1, 21), atol=1e-4)
    column = done(ramp.mT, "crop_and_resize", 0.8, (0.5, 1.0))[0, 0, :, 10]
    assert torch.allclose(column, 0.2 + 0.8 * torch.linspace(0, 1, 21), atol=1e-4)
    assert torch.allclose(done(ramp, "crop_and_resize", 1.0), ramp, atol=1e-5)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
@pytest.mark.parametrize(
    ("name", "enhancer"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_light_and_color_agree_with_pil(name, enhancer, factor):
    x = smooth()
    wanted = pixels_of([enhancer(images_of(x)[0]).enhance(factor)])
    assert (done(x, name, factor) - wanted).abs().max() < 2.5 / 255


@pytest.mark.parametrize("radius", [0.5, 1.3, 2.0])
def test_blur_agrees_with_scipy(radius):
    x, reach = smooth(), int(np.ceil(3 * radius))
    wanted = ndimage.gaussian_filter(
        x.numpy().astype(np.float64), (0, 0, radius, radius), mode="mirror",
        radius=(0, 0, reach, reach),
    )  # fmt: skip
    assert np.abs(done(x, "blur", radius).numpy() - wanted).max() < 1e-5
    assert done(torch.rand(1, 3, 4, 4), "blur", 2.0).shape == (1, 3, 4, 4)  # below its kernel


@pytest.mark.parametrize("std", [15.0, 35.0])
def test_noise_has_its_standard_deviation_and_no_color(std):
    gray = torch.full((1, 3, 96, 96), 0.5)
    grain = (done(gray, "noise", std, (0.3, 0.0)) - gray) * 255
    assert abs(float(grain.std()) / std - 1) < 0.03
    assert float(grain.mean(dim=(0, 2, 3)).abs().max()) < 4 * std / 96
    other = done(gray, "noise", std, (0.4, 0.0))
    assert not torch.equal(done(gray, "noise", std, (0.3, 0.0)), other)


def test_an_image_is_changed_alike_in_any_batch_and_the_input_stays():
    x, keys = smooth(n=6), [f"recipe/{i}.jpg" for i in range(6)]
    before = x.clone()
    together = augment(x, chances_of(keys, ALWAYS, seed=7), ALWAYS)
    for i, key in enumerate(keys):
        alone = augment(x[i : i + 1], chances_of([key], ALWAYS, seed=7), ALWAYS)
        assert torch.equal(alone[0], together[i])
    assert torch.equal(x, before)


def test_seed_key_and_copy_each_decide():
    first = chances_of(["a"], RULES, seed=1)
    assert torch.equal(first, chances_of(["a"], RULES, seed=1))
    for other in (chances_of(["a"], RULES, seed=2), chances_of(["a"], RULES, seed=1, copy=1),
                  chances_of(["b"], RULES, seed=1)):  # fmt: skip
        assert not torch.equal(first, other)


def test_what_is_off_changes_nothing_and_leaves_the_others_as_they_were():
    x, chances = smooth(n=3), chances_of("abc", RULES, seed=0)
    assert torch.equal(augment(x, chances, CONFIG.only().images), x)
    without = {**RULES, "rotation": RULES["rotation"].model_copy(update={"enabled": False})}
    both = used(chances, RULES), used(chances, without)
    place = list(RULES).index("rotation")
    assert not both[1][:, place].any()
    for i in set(range(len(RULES))) - {place}:
        assert torch.equal(both[0][:, i], both[1][:, i])


def test_transforms_are_drawn_as_often_as_the_file_says():
    n = 2000
    found = used(chances_of(list(map(str, range(n))), RULES, seed=0), RULES).double().mean(0)
    for share, rule in zip(found.tolist(), RULES.values(), strict=True):
        assert abs(share - rule.probability) < 4.5 * (rule.probability * 0.5 / n) ** 0.5


@given(st.floats(0, 1, exclude_max=True))
def test_strengths_lie_in_their_ranges(u):
    for rule in RULES.values():
        (value,) = strengths(rule, torch.tensor([u], dtype=torch.float64)).tolist()
        low, high = getattr(rule, "range", (0, 0))
        assert value in getattr(rule, "values", ()) or low - 1e-6 <= value <= high + 1e-6


@given(st.integers(0, 2**32), st.integers(2, 20))
def test_results_are_images(seed, side):
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed))
    y = augment(x, chances_of("ab", ALWAYS, seed=seed), ALWAYS)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert 0 <= float(y.min()) <= float(y.max()) <= 1


def test_a_function_of_ones_own_takes_the_place_of_kornias():
    x, chances = smooth(n=2), chances_of("ab", ALWAYS, seed=0)
    black = {name: lambda x, strength, at: x * 0 for name in ALWAYS}
    assert not augment(x, chances, ALWAYS, transforms=black).any()


def test_each_transform_alone_meets_every_image_even_one_that_is_off():
    x, off = smooth(n=3), CONFIG.only("blur").images
    found = each_alone(x, "abc", off, seed=3)
    assert list(found) == list(off)
    assert torch.equal(found["horizontal_flip"], x.flip(-1))
    for name, changed in found.items():
        same = each_alone(x, "abc", {name: RULES[name]}, seed=3)[name]
        assert torch.equal(changed, same), name  # whatever else is in the file
        assert not torch.equal(changed, x), name
    white = each_alone(x, "abc", off, seed=3, transforms={"noise": lambda x, *_: x * 0 + 1})
    assert white["noise"].min() == 1


def test_training_draws_anew_at_each_step_and_as_many_numbers_whatever_it_does():
    x, states = smooth(n=5), []
    for rules in (RULES, CONFIG.only().images, ALWAYS):
        generator = torch.Generator().manual_seed(11)
        changed = training_transform(rules)(x, generator)
        assert (rules is ALWAYS) <= (not torch.equal(changed, x))
        states.append(generator.get_state())
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])
    transform, generator = training_transform(ALWAYS), torch.Generator().manual_seed(1)
    assert not torch.equal(transform(x, generator), transform(x, generator))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (torch.zeros(3, 8, 8), "shape"),
        (torch.zeros(1, 1, 8, 8), "shape"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "uint8"),
        (torch.full((1, 3, 8, 8), 1.5), r"must be in \[0, 1\]"),
        (torch.full((1, 3, 8, 8), float("nan")), r"must be in \[0, 1\]"),
        (torch.zeros(2, 3, 8, 8), "chances have shape"),
    ],
)
def test_other_arrays_are_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        augment(pixels, chances_of(["a"], RULES, seed=0), RULES)


def test_pixels_and_images_are_inverse():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 5, 3), np.uint8))
    assert np.array_equal(np.asarray(images_of(pixels_of([image]))[0]), np.asarray(image))
    assert pixels_of([image, image.resize((9, 7))], px=8).shape == (2, 3, 8, 8)
