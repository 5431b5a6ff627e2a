"""The checks of lesson 02 agree with what the course itself computes."""

import numpy as np
import pytest

from helpers.first.prepare.text_reorder import reorder
from helpers.first.report import checks_augmentation
from helpers.first.report.exercises import check
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
