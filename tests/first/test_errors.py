"""Error tables: a kind's mean and interval, differences tested together, foils told apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.evaluation.comparison import holm, paired_comparison
from helpers.first.evaluation.errors import by_kind, differences_by_kind, told_apart
from helpers.first.evaluation.intervals import bootstrap_interval

RNG = np.random.default_rng(0)
GROUPS = np.array([f"r{i // 2}" for i in range(120)])
BAD = (RNG.random(120) < 0.4).astype(float)
GOOD = np.maximum(BAD, RNG.random(120) < 0.5)
KINDS = {"even": np.arange(120) % 2 == 0, "first": np.arange(120) < 40}


def test_each_kind_is_the_mean_and_interval_of_its_queries():
    frame = by_kind({"bad": BAD, "good": GOOD}, KINDS, GROUPS)
    assert list(zip(frame["kind"], frame["model"], strict=True)) == [
        ("even", "bad"), ("even", "good"), ("first", "bad"), ("first", "good")
    ]  # fmt: skip
    for row in frame.itertuples():
        chosen = KINDS[row.kind]
        values = {"bad": BAD, "good": GOOD}[row.model][chosen]
        expected = bootstrap_interval(values, GROUPS[chosen], bounds=(0, 1))
        assert (row.value, row.low, row.high) == (expected.value, expected.low, expected.high)
        assert row.n == chosen.sum()
        assert row.n_groups == len(set(GROUPS[chosen]))


def test_a_kind_without_a_query_is_left_out():
    nothing = {"none": np.zeros(120, dtype=bool)}
    assert by_kind({"bad": BAD}, nothing, GROUPS).empty
    assert differences_by_kind(GOOD, BAD, nothing, GROUPS).empty


def test_differences_are_tested_together():
    frame = differences_by_kind(GOOD, BAD, KINDS, GROUPS)
    raw = [paired_comparison(GOOD[c], BAD[c], GROUPS[c]).p_value for c in KINDS.values()]
    assert frame["p_holm"].tolist() == pytest.approx(holm(raw).tolist())
    assert frame["verdict"].tolist() == ["better", "better"]
    swapped = differences_by_kind(BAD, GOOD, KINDS, GROUPS)
    assert swapped["verdict"].tolist() == ["worse", "worse"]
    same = differences_by_kind(BAD, BAD, KINDS, GROUPS)
    assert same["verdict"].tolist() == ["not distinguishable"] * 2


def test_lengths_and_types_are_checked():
    with pytest.raises(ValueError, match="model 'bad' has shape"):
        by_kind({"bad": BAD[:5]}, KINDS, GROUPS)
    with pytest.raises(ValueError, match="kind 'x' has shape"):
        by_kind({"bad": BAD}, {"x": np.ones(3, bool)}, GROUPS)
    with pytest.raises(ValueError, match="give true or false"):
        by_kind({"bad": BAD}, {"x": np.ones(120)}, GROUPS)


@given(st.integers(1, 8), st.integers(0, 99))
def test_foils_are_told_apart_by_cosines(n, seed):
    rng = np.random.default_rng(seed)
    images, truths, foils = (rng.normal(size=(n, 3)) for _ in range(3))
    foils[::3] = truths[::3]
    expected = []
    for image, truth, foil in zip(images, truths, foils, strict=True):
        ahead = sum(image * truth) - sum(image * foil)
        expected.append(0.5 if abs(ahead) < 1e-6 else float(ahead > 0))
    assert told_apart(images, truths, foils).tolist() == expected


def test_foils_need_as_many_rows():
    with pytest.raises(ValueError, match="as many rows"):
        told_apart(np.eye(3), np.eye(3)[:2], np.eye(3)[:2])
