"""The tables of what parameters can be hold every parameter of every lesson, and the code's own."""

import pytest

from helpers.course import rules
from helpers.course.lessons import CourseError, find_lessons
from helpers.course.parameters import from_option, parse, profiles
from helpers.course.plan import make_plans
from helpers.course.rules import RANGES, TEXTS, out_of_range, rule_of
from helpers.data.images import FITS
from helpers.topics.placement.rows import ALL_METHODS

LESSONS = find_lessons()
ALL = [(lesson.slug, one) for lesson in LESSONS for one in lesson.parameters.values()]
NUMBERS = [(slug, one) for slug, one in ALL if one.type in ("int", "float")]
TEXT = [(slug, one) for slug, one in ALL if one.type == "str"]


@pytest.mark.parametrize(("slug", "one"), NUMBERS, ids=lambda x: getattr(x, "name", x))
def test_every_number_of_every_lesson_has_a_range_that_holds_its_default(slug, one):
    assert one.name in RANGES, f"add {one.name} of {slug} to RANGES"
    assert out_of_range(one.name, one.default) == ""
    with pytest.raises(CourseError) as caught:
        parse(from_option(f"{one.name}=-3"), one, slug)
    text = str(caught.value)
    assert text.startswith(f"parameter {one.name!r} of {slug} is {one.type}, ")
    assert "'-3': it has to be " in text
    assert one.meaning in text


@pytest.mark.parametrize(("slug", "one"), TEXT, ids=lambda x: getattr(x, "name", x))
def test_every_text_of_every_lesson_has_a_rule_that_takes_its_default(slug, one):
    assert f"{slug[:2]}.{one.name}" in TEXTS or one.name in TEXTS, f"add {one.name} of {slug}"
    rule = rule_of(one.name, slug)
    assert one.default == "" or rule.problem(one.default) == ""
    assert one.default == "" or rule.missing(one.default) == ""


def test_the_tables_name_no_parameter_that_is_gone():
    declared = {one.name for _, one in ALL} | {f"{slug[:2]}.{one.name}" for slug, one in ALL}
    assert {*RANGES, *TEXTS} <= declared


@pytest.mark.parametrize("profile", profiles())
def test_a_profile_fits_the_lessons(profile):
    plans = make_plans(LESSONS, LESSONS, [], profile=profile, name="check")
    assert len(plans) == len(LESSONS)


def test_the_options_are_those_of_the_code():
    assert set(rules.ALL_METHODS) == set(ALL_METHODS)
    assert set(TEXTS["fit"].options) == set(FITS)


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("rank", [1, 64], [0, -3]),
        ("alpha", [0.5], [0.0, -0.0]),
        ("test_share", [0.01, 0.99], [1.0, 0.0]),
        ("vision_layers", [-1, 0, 12], [-2]),
        ("seed", [0, 2**32 - 1], [-1, 2**32]),
        ("max_recipes", [0], [-1]),
        ("n_test", [0, 2], [1]),
        ("temperature_of_the_soup", [-40], []),  # a name without a range is the lesson's own
        ("rank", [True, "x"], []),  # no numbers
    ],
)
def test_the_ends_of_the_ranges(name, inside, outside):
    assert [value for value in inside if out_of_range(name, value)] == []
    assert [value for value in outside if not out_of_range(name, value)] == []


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("fit", "pad", ""),
        ("device", "cuda:1", ""),
        ("fit", "pd", " is unknown; use crop, pad or stretch; did you mean 'pad'?"),
        ("method", "baseline", " is unknown; use lora, dora or rslora; it trains nothing, and"),
        ("conditions", "none, txts", ": 'txts' is unknown; use some of none, images, texts, both;"),
        ("conditions", " , ", " is empty; use some of"),
        ("opacity", "0.5, 1", ""),
        ("opacity", "0.5", ": give 2 numbers with commas, each above 0 and at most 1; it has 1"),
        ("opacity", "0.5,inf", ": 'inf' will not do; give 2 numbers"),
        ("batch_sizes", "8,64.0", ": '64.0' will not do; give whole numbers with commas, each 2"),
        ("mixtures", "100 real, 25 real + 75 synthetic", ""),
        ("mixtures", "half", ": 'half' is unknown"),
    ],
)
def test_words_and_numbers_say_what_will_not_do(name, text, problem):
    found = rule_of(name).problem(text)
    assert found.startswith(problem)
    assert bool(found) == bool(problem)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"vision_layers": 0, "text_layers": 0}, ("vision_layers", "text_layers")),
        ({"vision_layers": 0, "text_layers": 0, "method": "full", "heads": True}, ()),
        ({"vision_layers": 0, "text_layers": -1}, ()),
        ({"batch_size": 1, "epochs": 2}, ("batch_size", "epochs")),
        ({"batch_size": 1}, ()),  # images encoded at a time
        ({"batch_size": 8, "samples": 7}, ("batch_size", "samples")),
        ({"batch_sizes": "8, 64", "batch_samples": 64}, ()),
        ({"batch_sizes": "8, 64", "batch_samples": 63}, ("batch_sizes", "batch_samples")),
    ],
)
def test_values_that_do_not_go_together_are_named(values, names):
    found, remedy = rules.conflict(values)
    assert found == names
    assert bool(remedy) == bool(names)
