"""Every check with right answers, each likely mistake (and its own hint), and no answer at all."""

import re

import numpy as np
import pytest
import torch

from helpers.topics.exercises import lesson_03, lesson_04
from helpers.topics.exercises.engine import Verdict, check, exercises_of
from helpers.training.losses import info_nce
from tests.topics import (
    answers_01,
    answers_02,
    answers_03,
    answers_04,
    answers_05,
    answers_06,
    answers_07,
    answers_08,
    answers_09,
    answers_10,
    answers_11,
    answers_12,
    answers_13,
)
from tests.topics.answers_03 import boot_right, hit_right

LESSONS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13")
ANSWERS = (
    answers_01,
    answers_02,
    answers_03,
    answers_04,
    answers_05,
    answers_06,
    answers_07,
    answers_08,
    answers_09,
    answers_10,
    answers_11,
    answers_12,
    answers_13,
)
RIGHT = {name: given for one in ANSWERS for name, given in one.RIGHT.items()}
WRONG = {name: given for one in ANSWERS for name, given in one.WRONG.items()}
EXERCISES = {f"{n}.{k}": v for n in LESSONS for k, v in exercises_of(n).items()}


def test_every_exercise_is_tested_here():
    assert sorted(EXERCISES) == sorted(RIGHT) == sorted(WRONG)


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


def test_nothing_in_some_cases_only_is_a_hint():
    def forgets(scores, query_ids, gallery_ids, k):
        return hit_right(scores, query_ids, gallery_ids, k) if k == 1 else None

    assert "returned nothing" in check("03.hit_at_k", forgets).message


def test_a_learner_cannot_change_the_arguments_of_later_checks():
    def destructive(scores, query_ids, gallery_ids, k):
        found = hit_right(scores, query_ids, gallery_ids, k)
        scores[:] = 0
        return found

    assert check("03.hit_at_k", destructive).status == "correct"
    assert check("03.hit_at_k", hit_right).status == "correct"


def test_an_unknown_name_is_an_error_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"did you mean '03.hit_at_k'"):
        check("03.hits_at_k", None)
    with pytest.raises(ValueError, match="has no exercises"):
        check("zzzz", None)


def test_the_reference_width_agrees_with_a_slow_bootstrap():
    values, groups = lesson_03._clustered()
    low, high = boot_right(values, groups, 3000, 11)
    assert high - low == pytest.approx(lesson_03._group_width(), rel=0.08)


@pytest.mark.parametrize("seed", range(5))
def test_the_bootstrap_check_accepts_any_random_stream(seed):
    def shifted(values, groups, n, s):
        return boot_right(values, groups, n, 1000 * (seed + 1) + s)

    assert check("03.bootstrap_interval", shifted).status == "correct"


def test_a_verdict_shows_escaped_in_html_markdown_and_text():
    verdict = Verdict("hint", "use `a < b` and not <script> or $x$ or *y*")
    assert "<code>a &lt; b</code>" in verdict._repr_html_()
    assert "<script>" not in verdict._repr_html_()
    assert "`a < b`" in verdict._repr_markdown_()
    assert "\\<script\\>" in verdict._repr_markdown_()
    assert "\\$x\\$" in verdict._repr_markdown_()
    assert repr(verdict).startswith("→ Hint: use")
    assert repr(Verdict("not attempted", "later")) == "○ Not attempted: later"


@pytest.mark.parametrize("case", lesson_04._LOSS_CASES + lesson_04._STEEP)
def test_the_loss_of_the_exercise_is_the_loss_of_the_course(case):
    images, texts = (torch.from_numpy(case[name]).double() for name in ("images", "texts"))
    want = float(info_nce(images, texts, case["scale"]))
    assert lesson_04._loss(**case) == pytest.approx(want, abs=1e-9)


def test_each_mistake_of_the_loss_differs_from_the_right_answer_somewhere():
    for mistake, text in lesson_04._LOSS_MISTAKES:
        gaps = [mistake(**case) - lesson_04._loss(**case) for case in lesson_04._LOSS_CASES]
        assert max(np.abs(gaps)) > 1e-3, text


def test_the_example_of_the_parameters_adds_up_to_that_of_the_original():
    message = check("04.lora_parameters", lesson_04._added).message
    assert "589,824 for images and 393,216 for texts, 983,040 together" in message
