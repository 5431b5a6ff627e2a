"""The checks of lessons 02 and 04 agree with what the course itself computes."""

import numpy as np
import pytest
import torch

from helpers.first.prepare.text_reorder import reorder
from helpers.first.report import checks_augmentation, checks_training
from helpers.first.report.exercises import check
from helpers.first.training.losses import info_nce
from tests.first.exercise_answers_training import negatives_right, title_right

PLAIN_TITLES = [c for c in checks_augmentation._TITLES if "with" not in c[0].split()]


@pytest.mark.parametrize(("title", "known"), PLAIN_TITLES)
def test_the_exercise_moves_what_the_rule_of_the_course_moves(title, known):
    assert title_right(title, known) == reorder(title, None, np.random.default_rng(0))


@pytest.mark.parametrize("offset", range(20))
def test_any_stream_of_allowed_negatives_is_correct(offset):
    def shifted(ids, captions, seed):
        return negatives_right(ids, captions, 100 * offset + seed)

    assert check("02.negative_captions", shifted).status == "correct"


@pytest.mark.parametrize("rows", range(1, 24))
def test_no_fixed_shift_of_the_rows_is_correct(rows):
    def shift(ids, captions, seed):
        return [(i + rows) % len(ids) for i in range(len(ids))]

    assert check("02.negative_captions", shift).status == "hint"


@pytest.mark.parametrize("case", checks_training._LOSS_CASES + checks_training._STEEP)
def test_the_loss_of_the_exercise_is_the_loss_of_the_course(case):
    images, texts = (torch.from_numpy(case[name]).double() for name in ("images", "texts"))
    want = float(info_nce(images, texts, case["scale"]))
    assert checks_training._loss(**case) == pytest.approx(want, abs=1e-9)


def test_each_mistake_of_the_loss_differs_from_the_right_answer_somewhere():
    for mistake, text in checks_training._LOSS_MISTAKES:
        gaps = [
            mistake(**case) - checks_training._loss(**case) for case in checks_training._LOSS_CASES
        ]
        assert max(np.abs(gaps)) > 1e-3, text


def test_the_example_of_the_parameters_adds_up_to_that_of_the_original():
    message = check("04.lora_parameters", checks_training._added).message
    assert "589,824 for images and 393,216 for texts, 983,040 together" in message
