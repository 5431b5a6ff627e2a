"""The table of what texts can say holds what the code takes, and every text of every lesson."""

import pytest

from helpers.data.images import FITS
from helpers.first.runner.choices import TEXTS, rule_of
from helpers.first.runner.lessons import find_lessons
from helpers.first.runner.plan import declared_by
from helpers.models.placement import MODULES
from helpers.topics.placement.rows import ALL_METHODS

LESSONS = [(lesson.slug, one) for lesson in find_lessons() for one in declared_by(lesson).values()]
TEXT = [(slug, one) for slug, one in LESSONS if one.type == "str"]


@pytest.mark.parametrize(("slug", "one"), TEXT, ids=lambda x: getattr(x, "name", x))
def test_every_text_of_every_lesson_has_a_rule_that_takes_its_default(slug, one):
    assert f"{slug[:2]}.{one.name}" in TEXTS or one.name in TEXTS, f"add {one.name} of {slug}"
    rule = rule_of(one.name, slug)
    assert one.default == "" or rule.problem(one.default) == ""
    assert one.default == "" or rule.missing(one.default) == ""


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("05.method", ALL_METHODS), ("modules", MODULES), ("fit", FITS),
    ],
)  # fmt: skip
def test_the_options_are_those_of_the_code(name, code):
    assert set(TEXTS[name].options) == set(code)
