"""The checks of lesson 06 agree with what the course itself computes."""

import numpy as np
import pytest
import torch

from helpers.first.models.attention import rollout
from helpers.first.report import checks_distributions as checks
from helpers.first.report.exercises import check
from helpers.first.studies.distances import unbiased_mmd
from helpers.first.studies.two_samples import cliffs_delta
from tests.first.exercise_answers_distributions import rollout_right


@pytest.mark.parametrize("case", checks._DELTA_CASES)
def test_delta_is_that_of_the_course(case):
    assert checks._delta(**case) == pytest.approx(cliffs_delta(case["a"], case["b"]))


@pytest.mark.parametrize("case", checks._MMD_CASES)
def test_mmd_is_that_of_the_course(case):
    n, m = case["k_ab"].shape
    kernel = np.block([[case["k_aa"], case["k_ab"]], [case["k_ab"].T, case["k_bb"]]])
    found = unbiased_mmd(kernel, (np.arange(n + m) < n)[None], np.arange(n + m))[0]
    assert checks._mmd(**case) == pytest.approx(found)


@pytest.mark.parametrize("case", checks._ROLLOUT_CASES)
def test_rollout_is_that_of_the_course(case):
    layers = torch.from_numpy(case["layers"])
    assert checks._rollout(**case) == pytest.approx(rollout(list(layers)).numpy(), abs=1e-6)


@pytest.mark.parametrize(
    ("mistakes", "cases", "right"),
    [
        (checks._DELTA_MISTAKES, checks._DELTA_CASES, checks._delta),
        (checks._MMD_MISTAKES, checks._MMD_CASES, checks._mmd),
    ],
)
def test_each_mistake_differs_from_the_right_number_somewhere(mistakes, cases, right):
    for mistake, text in mistakes:
        gaps = np.array([mistake(**case) - right(**case) for case in cases])
        assert np.nanmax(np.abs(gaps)) > 1e-3, text


def test_each_mistake_of_the_rollout_differs_from_the_right_one_somewhere():
    for mistake, text in checks._ROLLOUT_MISTAKES:
        gaps = [
            np.abs(mistake(case["layers"]) - checks._rollout(**case)).max()
            for case in checks._ROLLOUT_CASES
        ]
        assert max(gaps) > 1e-3, text


def test_attention_of_single_precision_is_good_enough():
    assert check("06.rollout", lambda x: rollout_right(x.astype(np.float32))).status == "correct"
