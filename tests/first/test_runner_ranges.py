"""Numbers out of their range are refused before any cell; the lessons' own values never are."""

import pytest

from helpers.first.runner.lessons import CourseError, find_lessons
from helpers.first.runner.parameters import from_option, parse
from helpers.first.runner.plan import declared_by, make_plans
from helpers.first.runner.ranges import RANGES, out_of_range
from helpers.first.runner.settings import profiles

LESSONS = find_lessons()
NUMBERS = [
    (lesson.slug, parameter)
    for lesson in LESSONS
    for parameter in declared_by(lesson).values()
    if parameter.type in ("int", "float")
]


@pytest.mark.parametrize(("slug", "parameter"), NUMBERS, ids=lambda x: getattr(x, "name", x))
def test_every_number_of_every_lesson_has_a_range_that_holds_its_default(slug, parameter):
    assert parameter.name in RANGES, f"add {parameter.name} of {slug} to RANGES"
    assert out_of_range(parameter.name, parameter.default) == ""


@pytest.mark.parametrize(("slug", "parameter"), NUMBERS, ids=lambda x: getattr(x, "name", x))
def test_a_negative_number_is_refused_with_name_value_lesson_and_remedy(slug, parameter):
    with pytest.raises(CourseError) as caught:
        parse(from_option(f"{parameter.name}=-3"), parameter, lesson=slug)
    text = str(caught.value)
    assert text.startswith(f"parameter {parameter.name!r} of {slug} is {parameter.type}, ")
    assert "'-3': it has to be " in text
    assert parameter.meaning in text


@pytest.mark.parametrize("profile", profiles())
def test_the_values_of_a_profile_are_in_range(profile):
    for plan in make_plans(LESSONS, LESSONS, [], profile=profile, name="check"):
        assert [n for n, v in plan.values.items() if out_of_range(n, v)] == []


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("rank", [1, 64], [0, -3]),
        ("alpha", [0.5], [0.0, -0.0]),
        ("dropout", [0.0, 0.99], [1.0, -0.01]),
        ("vision_layers", [-1, 0, 12], [-2]),
        ("seed", [0, 2**32 - 1], [-1, 2**32]),
        ("max_recipes", [0], [-1]),
        ("n_seeds", [1], [0]),
        ("temperature_of_the_soup", [-40], []),  # a name without a range is the lesson's own
        ("rank", [True, "x"], []),  # no numbers
    ],
)
def test_the_ends_of_the_ranges(name, inside, outside):
    assert [value for value in inside if out_of_range(name, value)] == []
    assert [value for value in outside if not out_of_range(name, value)] == []
