"""The augmentation file: the course's own, and what is refused in another."""

import pytest
import yaml

from helpers import paths
from helpers.first.prepare.augmentation_settings import (
    CASE_FORMS,
    IMAGE_RANGES,
    TEXT_KEYS,
    ConfigError,
    load_config,
    only,
    parse_config,
)

PLACE = paths.notebooks() / "profiles" / "augmentation_config.yaml"
TEXT = PLACE.read_text(encoding="utf-8")


def test_the_courses_file_holds_every_transform_with_its_range():
    config = load_config()
    ranges = {name: rule.range for name, rule in config.images.items() if rule.range}
    assert ranges == {
        "rotation": (-25, 25),
        "crop_and_resize": (0.7, 0.9),
        "brightness": (0.7, 1.3),
        "contrast": (0.7, 1.3),
        "saturation": (0.6, 1.4),
        "blur": (0.5, 2.0),
        "noise": (15, 35),
    }
    assert config.images["quarter_turns"].values == (90, 180, 270)
    assert {"horizontal_flip", "vertical_flip"} <= set(config.images)
    assert {"Homemade", "Classic"} <= set(config.texts["prefix_add"].words)
    assert config.texts["suffix_add"].words == ("Recipe", "- Easy Recipe")
    assert all(rule.enabled for part in (config.images, config.texts) for rule in part.values())


def test_every_entry_of_the_courses_file_is_commented_or_plain():
    assert set(yaml.safe_load(TEXT)["images"]) == set(IMAGE_RANGES)
    assert set(yaml.safe_load(TEXT)["texts"]) == set(TEXT_KEYS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rotation:", "rotatoin:", r"unknown key 'rotatoin' in images; did you mean 'rotation'\?"),
        ("  simplify:", "  simplifi:", r"'simplifi' in texts; did you mean 'simplify'\?"),
        ("range: [-25, 25]", "ranges: [-25, 25]", "images.rotation; did you mean 'range'"),
        ("range: [-25, 25]", "range: [25, -25]", r"low end comes first: \[-25, 25\]"),
        ("range: [-25, 25]", "range: [-25, 225]", r"images.rotation.range is 225; .* -180 and 180"),
        ("range: [-25, 25]", "range: 25", "images.rotation.range is 25; a list"),
        ("range: [-25, 25]", "range: [1, 2, 3]", r"write \[low, high\]"),
        ("range: [-25, 25]", "range: ['-25', 25]", "'-25'; a number from -180 to 180"),
        ("range: [-25, 25]", "range: [.nan, 25]", "rotation.range is nan"),
        ("range: [-25, 25]", "range: [-25, .inf]", "rotation.range is inf"),
        ("range: [0.7, 0.9]", "range: [0.7, 1.9]", "crop_and_resize.range is 1.9"),
        ("range: [15, 35]", "range: [15, 350]", "noise.range is 350"),
        ("values: [90, 180, 270]", "values: [90, 45]", "quarter_turns.values is 45"),
        ("values: [90, 180, 270]", "values: []", "at least 1"),
        ("probability: 0.5", "probability: 1.5", "horizontal_flip.probability is 1.5; .* 0 and 1"),
        ("probability: 0.5", "probability: true", "horizontal_flip.probability is True; a number"),
        ("enabled: true", "enabled: 'no'", "horizontal_flip.enabled is 'no'; write true or false"),
        ("enabled: true", "enabled: 1", "horizontal_flip.enabled is 1; write true or false"),
        ("    enabled: true\n", "", "images.horizontal_flip lacks 'enabled'"),
        ("weight: 3", "weight: -1", "texts.synonyms.weight is -1"),
        ("words: [Homemade, Classic]", "words: [Homemade, no]", "prefix_add.words is False; YAML"),
        ("words: [Homemade, Classic]", "words: [Homemade, 7]", "prefix_add.words is 7; a text"),
        ("words: [Homemade, Classic]", "words: [~]", "prefix_add.words is None; YAML"),
        ("[lower, title, sentence]", "[lowr]", "did you mean 'lower'"),
        ("pairs: []", "pairs: [[a, b, c]]", "a pair is two different texts"),
        ("pairs: []", "pairs: [[a, A]]", "a pair is two different texts"),
        ("images:", "image:", "unknown key 'image' in the file; did you mean 'images'"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(old, new, message):
    assert old in TEXT
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config(TEXT.replace(old, new, 1), where="mine.yaml")
    assert str(caught.value).startswith("mine.yaml: ")


def test_a_missing_transform_is_refused():
    tree = yaml.safe_load(TEXT)
    del tree["images"]["noise"]
    with pytest.raises(ConfigError, match=r"images lacks 'noise'; `enabled: false`"):
        parse_config(yaml.safe_dump(tree))


def test_a_key_given_twice_is_refused():
    twice = TEXT.replace(
        "    probability: 0.5\n", "    probability: 0.5\n    probability: 0.1\n", 1
    )
    with pytest.raises(ConfigError, match="given twice"):
        parse_config(twice)


@pytest.mark.parametrize("word", ["no", "off", "False"])
def test_yaml_1_1_words_switch_off_where_a_switch_is_expected(word):
    config = parse_config(TEXT.replace("enabled: true", f"enabled: {word}", 1))
    assert config.images["horizontal_flip"].enabled is False


def test_a_number_with_an_exponent_is_a_number():
    config = parse_config(TEXT.replace("probability: 0.5", "probability: 5e-1", 1))
    assert config.images["horizontal_flip"].probability == 0.5


@pytest.mark.parametrize("text", ["", "7", "[a]", "images: [", "!!python/object:os.system {}"])
def test_what_is_no_settings_file_is_refused(text):
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        parse_config(text, where="mine.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


def test_only_switches_everything_else_off_and_names_misspelt_ones():
    config = only(load_config(), "blur", "reorder")
    on = [n for part in (config.images, config.texts) for n, rule in part.items() if rule.enabled]
    assert on == ["blur", "reorder"]
    assert config.images["noise"].range == (15, 35)
    with pytest.raises(ConfigError, match="did you mean 'noise'"):
        only(config, "niose")


def test_case_forms_are_known_to_the_rule():
    from helpers.first.prepare.text_rules import CASES

    assert set(CASES) == set(CASE_FORMS)
