"""Are probabilities of a match what they say? Reliability, its error, and the prior in the bias.

A sigmoid head gives every pair of an image and a text a probability. Training asks about batches
of n pairs, where one of n is a match; a search asks about galleries, where the share is another.
The logarithm of the odds of that share is a constant in every logit: the bias carries it.

Guo et al., "On calibration of modern neural networks" (2017), for reliability and its error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit

from helpers.first.evaluation.intervals import Interval
from helpers.first.evaluation.resampling import expanded_tail, percentile_limits

LEAST_MATCHES = 10  # of a bin: with fewer its share of matches says little


@dataclass(frozen=True)
class Calibration:
    """How far probabilities of a match can be trusted.

    Attributes
    ----------
    bins : DataFrame
        A row a bin: ``predicted`` (mean probability), ``observed`` (share of matches), ``n``.
    error : Interval
        Expected calibration error: the mean over pairs of |predicted - observed| of their bin. It
        is never below 0, so that noise alone lifts it; its interval resamples groups.
    predicted, observed : float
        Mean probability of all pairs, and their share of matches.
    log_loss : float
        Mean negative log-likelihood, nats a pair.
    """

    bins: pd.DataFrame
    error: Interval
    predicted: float
    observed: float
    log_loss: float


def calibration(
    logits,
    matches,
    groups: Sequence[str],
    *,
    n_bins: int = 10,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 42,
) -> Calibration:
    """Reliability of the probabilities ``expit(logits)``.

    Bins hold equal parts of the *matches*: their edges are quantiles of the matches' logits, and
    the first bin also holds all that lies below every match. Bins of equal size would put nearly
    every match into the last one where matches are rare; a bin that starts at a match and ends
    before another shows a little too many, by about one in as many as it holds.

    Parameters
    ----------
    logits : (q, g) float
        Of every query with every row of the gallery, bias included.
    matches : (q, g) bool
    groups : (q,) labels
        What is resampled for the interval, such as the class of each query.
    n_bins : int
        At most: a bin holds ``LEAST_MATCHES`` or more, as far as logits differ.

    Raises
    ------
    ValueError
        If shapes differ, a logit is not finite, or there is no match or nothing but matches.

    Examples
    --------
    >>> found = calibration([[0.0, 0.0]], [[True, False]], ["a"])
    >>> found.error.value, round(found.log_loss, 3)
    (0.0, 0.693)
    """
    logits, matches, groups = _checked(logits, matches, groups)
    probabilities = expit(logits)
    edges = _edges(logits[matches], n_bins)
    place = np.searchsorted(edges, logits, side="right")  # (q, g)
    cells = len(edges) + 1
    codes, names = pd.factorize(groups)
    at = (codes[:, None] * cells + place).ravel()
    shape = (len(names), cells)
    parts = [np.bincount(at, weights=w, minlength=shape[0] * cells).reshape(shape) for w in (
        np.ones(at.size), probabilities.ravel(), matches.ravel().astype(float)
    )]  # fmt: skip
    counts = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=n_resamples
    )
    resampled = _error(*(counts @ part for part in parts))
    value = float(_error(*(part.sum(axis=0)[None] for part in parts))[0])
    if len(names) > 1:
        tail = expanded_tail(len(names), level)
        low, high = percentile_limits(resampled, tail)
    else:
        low, high = 0.0, 1.0
    n, predicted, observed = (part.sum(axis=0) for part in parts)
    bins = pd.DataFrame({"predicted": predicted / n, "observed": observed / n, "n": n.astype(int)})
    loss = np.logaddexp(0, np.where(matches, -logits, logits)).mean()
    error = Interval(value, min(low, value), max(high, value), logits.size, len(names), level)
    return Calibration(bins, error, float(probabilities.mean()), float(matches.mean()), float(loss))


def fitting_shift(logits, matches) -> float:
    """What must be added to every logit so that the mean probability is the share of matches.

    Nothing but the bias changes: the order of results stays. Fit it on validation pairs.

    Raises
    ------
    ValueError
        As :func:`calibration`.

    >>> round(fitting_shift([[3.0, 3.0]], [[True, False]]), 6)
    -3.0
    """
    logits, matches, _ = _checked(logits, matches, ["all"] * len(logits))
    share = matches.mean()
    reach = float(np.abs(logits).max()) + abs(logit(share)) + 1
    return float(brentq(lambda shift: expit(logits + shift).mean() - share, -reach, reach))


def prior_shift(*, trained: float, used: float) -> float:
    """The change of the bias from one share of matches to another, all else being equal.

    By Bayes: the likelihood ratio of a pair stays, the prior odds change (Saerens et al.,
    "Adjusting the outputs of a classifier to new a priori probabilities", 2002).

    Raises
    ------
    ValueError
        If a share is not between 0 and 1.

    >>> round(prior_shift(trained=1 / 32, used=1 / 196), 3)
    -1.839
    """
    for name, share in (("trained", trained), ("used", used)):
        if not 0 < share < 1:
            raise ValueError(f"{name} is {share}: a share of matches lies between 0 and 1")
    return float(logit(used) - logit(trained))


def share_of_matches(batch: int, *, accumulated: int = 1) -> float:
    """The share of matches among the questions of one step of the sigmoid loss.

    ``accumulated`` micro-batches, each with a loss of its own, ask about ``batch / accumulated``
    pairs at a time: as many matches, fewer strangers.

    Raises
    ------
    ValueError
        If the batch is not a whole number of micro-batches.

    >>> share_of_matches(32), share_of_matches(32, accumulated=16)
    (0.03125, 0.5)
    """
    if batch < 1 or accumulated < 1 or batch % accumulated:
        raise ValueError(f"a batch of {batch} cannot be cut into {accumulated} equal micro-batches")
    return accumulated / batch


def _edges(of_matches: np.ndarray, n_bins: int) -> np.ndarray:
    """Lower edges of all bins but the first; each is a match's logit, so that no bin has none."""
    n = max(1, min(n_bins, len(of_matches) // LEAST_MATCHES))
    edges = np.quantile(of_matches, np.linspace(0, 1, n + 1)[1:-1], method="higher")
    return np.unique(edges[edges > of_matches.min()])


def _error(n: np.ndarray, predicted: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(r, bins) sums to (r,): the mean over pairs of the gap of their bin."""
    return np.abs(predicted - observed).sum(axis=1) / n.sum(axis=1)


def _checked(logits, matches, groups) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    logits = np.asarray(logits, dtype=np.float64)
    matches, groups = np.asarray(matches, dtype=bool), np.asarray(groups)
    if logits.ndim != 2 or logits.shape != matches.shape or groups.shape != logits.shape[:1]:
        raise ValueError(
            f"logits {logits.shape}, matches {matches.shape} and groups {groups.shape}: give a row "
            "a query, a column a picture, and a group a row"
        )
    if not np.isfinite(logits).all():
        raise ValueError("a logit is not finite; look at the embeddings, the scale and the bias")
    if not 0 < matches.sum() < matches.size:
        raise ValueError(f"{matches.sum()} matches among {matches.size} pairs: need both kinds")
    return logits, matches, groups
