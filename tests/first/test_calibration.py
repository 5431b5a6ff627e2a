"""Calibration by hand and against a naive oracle; what the bias carries of the prior."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from helpers.first.evaluation.calibration import (
    calibration,
    fitting_shift,
    prior_shift,
    share_of_matches,
)


def matrix(seed, q=20, g=30, share=0.2, shift=0.0):
    """Logits whose probabilities are true by construction, moved by ``shift``."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(logit(share), 1.5, size=(q, g))
    matches = rng.random((q, g)) < expit(logits)
    return logits + shift, matches, np.repeat(np.arange(q // 2), 2)


def naive_error(logits, matches, n_bins):
    own = sorted(logits[matches])
    n_bins = max(1, min(n_bins, len(own) // 10))
    places = [math.ceil(b * (len(own) - 1) / n_bins) for b in range(1, n_bins)]
    edges = [-math.inf, *sorted({own[place] for place in places if own[place] > own[0]}), math.inf]
    gaps, total = 0.0, logits.size
    for low, high in itertools.pairwise(edges):
        inside = (logits >= low) & (logits < high)
        gap = abs(expit(logits[inside]).mean() - matches[inside].mean())
        gaps += gap * inside.sum() / total
    return gaps


@pytest.mark.parametrize("seed", range(5))
def test_the_error_is_that_of_plain_loops(seed):
    logits, matches, groups = matrix(seed)
    found = calibration(logits, matches, groups, n_bins=7, n_resamples=200)
    assert found.error.value == pytest.approx(naive_error(logits, matches, 7), abs=1e-12)
    assert found.bins["n"].sum() == logits.size
    assert found.log_loss == pytest.approx(
        -np.mean(np.where(matches, np.log(expit(logits)), np.log(expit(-logits))))
    )
    assert found.error.low <= found.error.value <= found.error.high


def test_by_hand():
    """Twenty matches are two bins: ten of them and what lies below, and the ten higher ones."""
    logits = np.array([[-9.0] * 10 + [-2.0] * 10 + [2.0] * 10] * 2)
    matches = np.array([[False] * 10 + [True] * 5 + [False] * 5 + [True] * 5 + [False] * 5] * 2)
    found = calibration(logits, matches, ["a", "b"])
    lowest, low, high = expit([-9.0, -2.0, 2.0])
    assert found.bins["predicted"].tolist() == pytest.approx([(lowest + low) / 2, high])
    assert found.bins["observed"].tolist() == [0.25, 0.5]
    assert found.bins["n"].tolist() == [40, 20]
    gaps = 2 * abs((lowest + low) / 2 - 0.25) + high - 0.5
    assert found.error.value == pytest.approx(gaps / 3)
    assert (found.predicted, found.observed) == (pytest.approx((lowest + low + high) / 3), 1 / 3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.2, 0.01])
def test_a_calibrated_model_lies_on_the_diagonal_in_every_bin(seed, share):
    found = calibration(*matrix(seed, q=200, g=100, share=share), n_resamples=100)
    n_matches = found.bins["observed"] * found.bins["n"]
    off = (found.bins["observed"] / found.bins["predicted"] - 1).abs()
    assert len(found.bins) == 10
    assert (n_matches > 9.5).all()  # also in the lowest: none stands at 0
    assert (off < 4 / np.sqrt(n_matches)).all()


def test_few_or_equal_matches_make_fewer_bins():
    logits, matches, groups = matrix(0, q=4, g=30)
    assert 10 <= matches.sum() < 40
    assert len(calibration(logits, matches, groups).bins) == matches.sum() // 10
    tied = np.where(matches, 1.0, logits)
    assert len(calibration(tied, matches, groups).bins) == 1


def test_a_shifted_model_is_worse_and_the_fit_brings_it_back():
    logits, matches, groups = matrix(3, q=60, g=80)
    true = calibration(logits, matches, groups, n_resamples=100)
    moved = calibration(logits + 3, matches, groups, n_resamples=100)
    assert moved.error.value > 5 * true.error.value
    assert moved.error.low > true.error.high
    shift = fitting_shift(logits + 3, matches)
    assert shift == pytest.approx(-3, abs=0.3)
    again = calibration(logits + 3 + shift, matches, groups, n_resamples=100)
    assert again.predicted == pytest.approx(again.observed, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999), st.floats(-5, 5))
def test_a_prior_moves_the_odds_alone(trained, used, evidence):
    """Bayes by hand: the likelihood ratio stays."""
    before = expit(evidence + logit(trained))
    after = expit(evidence + logit(trained) + prior_shift(trained=trained, used=used))
    ratio = (after / (1 - after)) / (before / (1 - before))
    assert ratio == pytest.approx((used / (1 - used)) / (trained / (1 - trained)), rel=1e-6)


def test_accumulation_changes_the_share_of_matches():
    for batch, parts in ((32, 1), (32, 4), (8, 4)):
        size = batch // parts
        asked = parts * size * size
        assert share_of_matches(batch, accumulated=parts) == batch / asked


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([[0.0]], [[True, False]], ["a"]), "give a row a query"),
        (([[0.0, math.nan]], [[True, False]], ["a"]), "not finite"),
        (([[0.0, 1.0]], [[False, False]], ["a"]), "0 matches among 2"),
        (([[0.0, 1.0]], [[True, True]], ["a"]), "need both kinds"),
    ],
)
def test_bad_inputs_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        calibration(*arguments)


def test_bad_shares_are_refused():
    with pytest.raises(ValueError, match="used is 1"):
        prior_shift(trained=0.5, used=1)
    with pytest.raises(ValueError, match="batch of 10 cannot be cut into 4"):
        share_of_matches(10, accumulated=4)
