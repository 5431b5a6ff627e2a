"""Spread of vectors: by hand, against a naive oracle, and planted collapses that are seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from helpers.first.evaluation.collapse import Spread, explain_collapse, has_collapsed, spread_of

ROWS = arrays(np.float64, (6, 4), elements=st.integers(1, 9).map(float))


def varied(n=64, d=16, *, share=1.0, seed=0):
    """Vectors of which about ``share`` of the squared length differs."""
    draw = np.random.default_rng(seed)
    common, own = draw.normal(size=d), draw.normal(size=(n, d))
    common *= np.sqrt(d) / np.linalg.norm(common)
    return np.sqrt(1 - share) * common + np.sqrt(share) * own


def test_by_hand():
    spread = spread_of([[1.0, 0.0], [0.0, 1.0]])
    assert spread.variance == pytest.approx(0.5)  # the mean (.5, .5) is half of each length
    assert spread.effective_rank == pytest.approx(1.0)  # two centered vectors lie on a line
    assert spread.mean_cosine == pytest.approx(0.0, abs=1e-12)


def test_four_directions_have_an_effective_rank_of_their_own_number():
    cross = np.concatenate([np.eye(4), -np.eye(4)])
    assert spread_of(cross).effective_rank == pytest.approx(4.0)
    assert spread_of(cross).variance == pytest.approx(1.0)


@given(rows=ROWS)
def test_the_mean_cosine_is_that_of_all_pairs(rows):
    cosines = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for i, a in enumerate(rows)
        for j, b in enumerate(rows)
        if i != j
    ]
    assert spread_of(rows).mean_cosine == pytest.approx(np.mean(cosines))


@given(rows=ROWS, factor=st.floats(0.1, 10))
def test_neither_scale_nor_order_matters(rows, factor):
    whole, other = spread_of(rows), spread_of(factor * rows[::-1])
    assert other.variance == pytest.approx(whole.variance, abs=1e-9)
    assert other.effective_rank == pytest.approx(whole.effective_rank, rel=1e-6, abs=1e-6)


def test_tokens_are_averaged():
    tokens = np.random.default_rng(0).normal(size=(5, 3, 4))
    assert spread_of(tokens) == spread_of(tokens.mean(axis=1))


@pytest.mark.parametrize(("share", "collapsed"), [(1.0, False), (0.1, False), (0.001, True)])
def test_a_planted_collapse_is_seen(share, collapsed):
    spread = spread_of(varied(share=share))
    assert spread.variance == pytest.approx(share, rel=0.35)
    assert has_collapsed(spread) is collapsed
    assert ("not collapsed" in explain_collapse(spread)) is not collapsed


def test_one_vector_for_all_is_the_whole_collapse():
    spread = spread_of(np.ones((4, 3)))
    assert spread == Spread(0.0, 0.0, pytest.approx(1.0))
    assert has_collapsed(spread)


def test_what_is_left_of_the_spread_before_training_decides():
    before, now = spread_of(varied(share=0.8)), spread_of(varied(share=0.05))
    assert not has_collapsed(now)
    assert has_collapsed(now, before)
    assert not has_collapsed(spread_of(varied(share=0.4)), before)
    assert "before training" in explain_collapse(now, before)


def test_a_little_noise_has_a_high_rank_and_is_a_collapse_all_the_same():
    spread = spread_of(varied(share=1e-4))
    assert spread.effective_rank > 8
    assert has_collapsed(spread)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones((1, 3)), r"\(1, 3\)"),
        (np.ones(3), r"\(3,\)"),
        ([[1.0, np.nan], [1.0, 2.0]], "not finite"),
        ([[0.0, 0.0], [1.0, 2.0]], "zero"),
    ],
)
def test_what_has_no_spread_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        spread_of(rows)
