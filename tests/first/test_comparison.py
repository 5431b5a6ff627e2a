"""Paired comparisons: exact tests by hand, corrections, verdicts, error rates."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.first.evaluation.comparison import (
    compare_all,
    exact_mcnemar,
    holm,
    paired_comparison,
)
from tests.first.benchmarks.coverage import clustered_hits, paired_error


def naive_flips(differences, groups) -> float:
    sums = [sum(d for d, g in zip(differences, groups, strict=True) if g == k) for k in set(groups)]
    totals = [
        abs(sum(s * x for s, x in zip(signs, sums, strict=True)))
        for signs in product([1, -1], repeat=len(sums))
    ]
    return np.mean([total >= abs(sum(sums)) - 1e-9 for total in totals])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 5)), min_size=1, max_size=20
    )
)
def test_few_groups_are_enumerated_exactly(rows):
    a, b, groups = (list(column) for column in zip(*rows, strict=True))
    found = paired_comparison(a, b, groups, n_resamples=50)
    assert found.p_value == pytest.approx(naive_flips(np.subtract(a, b), groups))


def test_six_recipes_that_all_improve_by_hand():
    found = paired_comparison(np.ones(6), np.zeros(6), np.arange(6))
    assert found.p_value == 2 / 2**6
    assert found.verdict == "better"
    assert (found.difference, found.n, found.n_groups) == (1, 6, 6)
    assert (found.low, found.high) == (pytest.approx(-1 + 2 * 0.025 ** (1 / 6)), 1)


def test_five_recipes_can_never_be_enough():
    found = paired_comparison(np.ones(5), np.zeros(5), np.arange(5))
    assert found.p_value == 2 / 2**5
    assert found.verdict == "not distinguishable"


def test_random_flips_come_close_to_the_sign_test():
    a = np.r_[np.ones(20), np.zeros(8)]
    found = paired_comparison(a, 1 - a, np.arange(28))
    exact = stats.binomtest(20, 28).pvalue
    assert found.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact / 10_000))


def test_a_random_p_value_is_never_zero():
    found = paired_comparison(np.ones(60), np.zeros(60), np.arange(60), n_flips=99)
    assert found.p_value == 1 / 100


def test_equal_models_are_not_distinguishable_and_not_proved_equal():
    values = np.tile([0.0, 1.0], 10)
    found = paired_comparison(values, values, np.arange(20))
    bound = 1 - 0.025 ** (1 / 20)
    assert (found.difference, found.p_value, found.verdict) == (0, 1, "not distinguishable")
    assert (found.low, found.high) == (pytest.approx(-bound), pytest.approx(bound))
    assert found.smallest_detectable == pytest.approx(bound)


def test_swapping_the_models_mirrors_everything():
    (a, b), groups = clustered_hits(0.5, 30, 1.5, np.random.default_rng(1), models=2)
    a = np.maximum(a, np.random.default_rng(2).random(len(a)) < 0.5)
    one, other = paired_comparison(a, b, groups), paired_comparison(b, a, groups)
    assert one.verdict == "better"
    assert other.verdict == "worse"
    assert one.difference == -other.difference
    assert one.p_value == other.p_value
    assert one.smallest_detectable == other.smallest_detectable
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_lower_ranks_are_better():
    a, b = np.ones(10), np.arange(2.0, 12)
    assert paired_comparison(a, b, np.arange(10), higher_is_better=False).verdict == "better"
    assert paired_comparison(a, b, np.arange(10)).verdict == "worse"


def test_lengths_and_nan_are_refused():
    with pytest.raises(ValueError, match="same queries"):
        paired_comparison([1, 0], [1], ["a", "b"])
    with pytest.raises(ValueError, match="finite"):
        paired_comparison([1, np.nan], [1, 0], ["a", "b"])
    with pytest.raises(ValueError, match="no values"):
        paired_comparison([], [], [])


def test_holm_by_hand():
    # ascending 0.01*4, 0.02*3, 0.03*2, 0.04*1, then never less than the one before
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.6]).tolist() == [1, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_nothing_and_bonferroni(p_values):
    p, adjusted = np.array(p_values), holm(p_values)
    assert (p <= adjusted).all()
    assert (adjusted <= np.minimum(1, p * len(p)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_holm_refuses_what_is_no_probability():
    for bad in ([1.1], [-0.1], [np.nan]):
        with pytest.raises(ValueError, match="p-values"):
            holm(bad)


def test_mcnemar_by_hand():
    assert exact_mcnemar(0, 0) == 1
    assert exact_mcnemar(5, 0) == pytest.approx(2 / 2**5)
    assert exact_mcnemar(0, 6) == pytest.approx(2 / 2**6)
    assert exact_mcnemar(1, 3) == pytest.approx(10 / 16)
    assert exact_mcnemar(1, 0) == 1  # 31 of 54 against 32 of 54 on the same queries
    with pytest.raises(ValueError, match="negative"):
        exact_mcnemar(-1, 0)


def test_all_pairs_with_holm():
    generator = np.random.default_rng(0)
    base = generator.random(40)
    values = {"m0": base, "m1": base + 0.3, "m2": base + generator.normal(0, 0.2, 40)}
    frame = compare_all(values, np.arange(40))
    assert list(zip(frame["a"], frame["b"], strict=True)) == [
        ("m0", "m1"),
        ("m0", "m2"),
        ("m1", "m2"),
    ]
    assert frame["p_holm"].tolist() == holm(frame["p_value"]).tolist()
    assert frame["verdict"].tolist() == ["worse", "not distinguishable", "better"]


def test_the_verdict_in_a_table_follows_the_corrected_p():
    a = np.r_[np.ones(7), np.zeros(13)]  # p = 2 / 2**7 alone; with 10 pairs 0.16 at the most
    values = {"a": a, **{f"b{i}": np.zeros(20) for i in range(4)}}
    assert paired_comparison(a, np.zeros(20), np.arange(20)).verdict == "better"
    frame = compare_all(values, np.arange(20))
    assert (frame["p_value"].iloc[:4] == 2 / 2**7).all()
    assert (frame["verdict"] == "not distinguishable").all()


def test_one_model_is_no_comparison():
    with pytest.raises(ValueError, match="at least two"):
        compare_all({"m0": [1.0]}, ["a"])


@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_the_paired_test_keeps_its_level(rate):
    rejected, missed = paired_error(rate, 100, spread=1.5, trials=300, seed=5)
    assert rejected <= 0.075
    assert missed <= 0.09
