"""Every check with right answers, each likely mistake (and its own hint), and no answer at all."""

import re

import pytest

from helpers.first.report.exercises import check, names
from helpers.first.report.verdicts import EXERCISES, Verdict, exercise, hint
from tests.first.exercise_answers import RIGHT, WRONG


def test_every_exercise_is_tested_here():
    assert names() == sorted(RIGHT) == sorted(WRONG)


@pytest.mark.parametrize(("name", "answer"), [(n, a) for n in RIGHT for a in RIGHT[n]])
def test_a_right_answer_is_correct(name, answer):
    verdict = check(name, answer)
    assert verdict.status == "correct", verdict


@pytest.mark.parametrize(
    ("name", "answer", "said"), [(n, a, s) for n in WRONG for a, s in WRONG[n]]
)
def test_a_likely_mistake_gets_its_own_hint(name, answer, said):
    verdict = check(name, answer)
    assert verdict.status == "hint", verdict
    assert re.search(said, verdict.message), verdict


@pytest.mark.parametrize("name", list(RIGHT))
def test_no_answer_is_not_attempted(name):
    stubs = [None, ...]
    if EXERCISES[name].example is not None:
        stubs += [lambda *_: None, lambda *_: ..., unwritten]
    assert [check(name, stub).status for stub in stubs] == ["not attempted"] * len(stubs)


def unwritten(*_):
    raise NotImplementedError


@pytest.mark.parametrize("name", [n for n in RIGHT if EXERCISES[n].example is not None])
def test_an_exception_becomes_a_hint_with_type_message_and_arguments(name):
    def broken(first, *rest):
        raise ZeroDivisionError("division by zero")

    verdict = check(name, broken)
    assert verdict.status == "hint"
    assert "ZeroDivisionError: division by zero" in verdict.message
    assert f"{next(iter(EXERCISES[name].example))} = " in verdict.message
    assert "Traceback" not in verdict.message


@pytest.mark.parametrize("name", [n for n in RIGHT if EXERCISES[n].example is not None])
def test_other_unusable_answers_are_hints(name):
    assert "without calling it" in check(name, 0.5).message
    assert "TypeError" in check(name, lambda: 1).message

    def leaves(*_):
        raise SystemExit

    assert "SystemExit" in check(name, leaves).message


def test_an_unknown_name_is_an_error_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"did you mean '01.clean_caption'"):
        check("01.clean_captions", None)
    with pytest.raises(ValueError, match=r"there are: 01.clean_caption, "):
        check("zzzz", None)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="twice"):
        exercise("01.clean_caption")(lambda answer: hint(""))


def test_a_verdict_shows_escaped_in_html_markdown_and_text():
    verdict = Verdict("hint", "use `a < b` and not <script> or $x$ or *y*")
    assert "<code>a &lt; b</code>" in verdict._repr_html_()
    assert "<script>" not in verdict._repr_html_()
    assert "`a < b`" in verdict._repr_markdown_()
    assert "\\<script\\>" in verdict._repr_markdown_()
    assert "\\$x\\$" in verdict._repr_markdown_()
    assert repr(verdict).startswith("→ Hint: use")
    assert repr(Verdict("not attempted", "later")) == "○ Not attempted: later"
