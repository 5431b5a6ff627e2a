"""Costs by hand, and numbers that no measurement gives."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.evaluation.costs import chained_rate, cost_of, flat_index_mb

RATES = st.floats(0.01, 1e6)


def test_a_million_images_by_hand():
    found = cost_of(1_000_000, per_second=50, hourly_price=0.9)
    assert found.hours == pytest.approx(1_000_000 / 50 / 3600)
    assert found.price == pytest.approx(5.0)
    assert cost_of(0, per_second=1, hourly_price=3).price == 0


@given(RATES, RATES)
def test_one_step_after_the_other_takes_the_sum_of_times(a, b):
    assert 1 / chained_rate(a, b) == pytest.approx(1 / a + 1 / b)
    assert chained_rate(a) == pytest.approx(a)


@pytest.mark.parametrize("wrong", [{"per_second": 0}, {"n": -1}, {"hourly_price": math.nan},
                                   {"per_second": math.inf}])  # fmt: skip
def test_rates_that_nobody_measured_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        cost_of(**{"n": 1, "per_second": 1, "hourly_price": 1} | wrong)


def test_other_refusals():
    for rates in ((), (0.0,), (1.0, math.nan)):
        with pytest.raises(ValueError, match="at least one"):
            chained_rate(*rates)
    with pytest.raises(ValueError, match="too small"):
        flat_index_mb(5, 0)
    assert flat_index_mb(2**20, 1) == 4
