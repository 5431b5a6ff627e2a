"""Calibration by hand and against a naive oracle; what the bias carries of the prior."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from helpers.evaluation.calibration import (
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
    edges = sorted(set(np.quantile(logits[matches], np.linspace(0, 1, n_bins)[:-1])))
    gaps, total = 0.0, logits.size
    for b in range(len(edges) + 1):
        low = -math.inf if b == 0 else edges[b - 1]
        high = math.inf if b == len(edges) else edges[b]
        inside = (logits >= low) & (logits < high)
        if inside.any():
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
    """One bin below the matches' logits, one from there on."""
    found = calibration([[-2.0, 2.0], [-2.0, 2.0]], [[False, True], [False, False]], ["a", "b"])
    low, high = expit(-2.0), expit(2.0)
    assert found.bins["predicted"].tolist() == pytest.approx([low, high])
    assert found.bins["observed"].tolist() == [0.0, 0.5]
    assert found.error.value == pytest.approx((low + high - 0.5) / 2)
    assert (found.predicted, found.observed) == (pytest.approx(0.5), 0.25)


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
