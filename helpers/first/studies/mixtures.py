"""What synthetic pictures are worth: how many of them for one real picture.

The rate rests on the scores of several arms on the same real test pictures, some of them without
synthetic pictures: what a real one is worth follows from those.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.first.evaluation.resampling import expanded_tail
from helpers.first.studies.scores import LEVEL, Scores, arm_scores, limits, resampled_scores

STEP, MOST = 0.01, 3.0  # of the values that are tried for the worth of a synthetic picture
WORTH_COLUMNS = ["label", "real", "synthetic", "worth", "low", "high", "least", "most"]


@dataclass(frozen=True)
class Exchange:
    """What a synthetic picture is worth in real ones.

    Attributes
    ----------
    worth, worth_low, worth_high : float
        A synthetic picture counts as so many real ones: 1 as much, 0 nothing, below 0 it harms.
    rate, rate_low, rate_high : float
        How many synthetic pictures are worth a real one; infinite where they are worth nothing.
    slope, slope_low, slope_high : float
        What twice as many real pictures add to the score. Where it cannot be told from 0, more
        real pictures do not help either, and nothing can be said of an exchange.
    limits : (float, float)
        Of the values of ``worth`` that were tried.
    """

    worth: float
    worth_low: float
    worth_high: float
    rate: float
    rate_low: float
    rate_high: float
    slope: float
    slope_low: float
    slope_high: float
    limits: tuple[float, float]

    @property
    def identified(self) -> bool:
        """Whether more real pictures help, so that there is something to exchange."""
        return self.slope_low > 0

    @property
    def reading(self) -> str:
        """One sentence."""
        if not self.identified:
            return "more real pictures do not measurably help here: no exchange rate can be given"
        if self.worth_high <= 0:
            return "synthetic pictures harm: no number of them is worth a real one"
        if self.worth_low <= 0:
            return (
                f"at least {self.rate_low:.1f} synthetic pictures for a real one; no upper limit, "
                "they may be worth nothing"
            )
        return (
            f"{self.rate:.1f} synthetic pictures for a real one, between {self.rate_low:.1f} and "
            f"{self.rate_high:.1f}"
        )


def fit_worth(
    real: np.ndarray, synthetic: np.ndarray, scores: np.ndarray, tried: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The worth under which scores lie best on one line over the logarithm of effective pictures.

    A real picture counts 1, a synthetic one ``w``: score = a + b log2(real + w synthetic), b not
    below 0, by least squares over a, b and the values of w that are tried.

    Parameters
    ----------
    real, synthetic : (A,) float
        Pictures of each arm, in any unit; ``real + w synthetic`` above 0 for every w tried.
    scores : (R, A) float
    tried : (W,) float

    Returns
    -------
    (R,) float64, (R,) float64
        Worth and slope of each row of scores.
    """
    effective = real[None] + tried[:, None] * synthetic[None]  # (W, A)
    if (effective <= 0).any():
        raise ValueError("an arm has no effective picture left: try no worth as low as that")
    x = np.log2(effective)
    x = x - x.mean(axis=1, keepdims=True)
    y = scores - scores.mean(axis=1, keepdims=True)
    slopes = np.maximum(y @ x.T / (x**2).sum(axis=1), 0)  # (R, W)
    explained = 2 * slopes * (y @ x.T) - slopes**2 * (x**2).sum(axis=1)
    best = explained.argmax(axis=1)
    return tried[best], slopes[np.arange(len(best)), best]


def exchange_rate(
    scores: Scores,
    *,
    style_gap: float = 1.0,
    direction: str = "",
    n_resamples: int = 2000,
    seed: int = 42,
) -> Exchange:
    """How many synthetic pictures are worth a real one, from all arms with real pictures.

    Raises
    ------
    ValueError
        If there are not three arms with real pictures, two of them without synthetic ones and one
        with them: no line and no worth follow from fewer.
    """
    chosen = [
        mix for mix in scores.mixes
        if mix.real and not mix.watermark and (not mix.synthetic or mix.style_gap == style_gap)
    ]  # fmt: skip
    real, synthetic = (np.array([getattr(m, n) for m in chosen]) for n in ("real", "synthetic"))
    if len({m.real for m in chosen if not m.synthetic}) < 2 or not synthetic.any():
        raise ValueError(
            f"arms {[m.label for m in chosen]}: an exchange rate needs two numbers of real "
            f"pictures alone, and an arm with synthetic ones of gap {style_gap:g} besides"
        )
    scores = scores.part(chosen)
    tried = worths_tried(real, synthetic)
    drawn = resampled_scores(scores, direction=direction, n_resamples=n_resamples, seed=seed)
    rows = np.vstack([arm_scores(scores, direction), drawn])
    worth, slope = fit_worth(real, synthetic, rows, tried)
    low, high = limits(worth[1:], scores)
    slope_low, slope_high = limits(slope[1:], scores)
    bounds = min(low, worth[0]), max(high, worth[0])
    rates = rate_interval(*bounds)
    return Exchange(
        float(worth[0]), *map(float, bounds), _inverse(worth[0]), *rates,
        float(slope[0]), float(min(slope_low, slope[0])), float(max(slope_high, slope[0])),
        (float(tried[0]), float(tried[-1])),
    )  # fmt: skip


def worths_tried(real: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """(W,) the values of the worth among which the best is looked for, rising.

    Parameters
    ----------
    real, synthetic : (A,) float
        Pictures of each arm, in one unit; one arm at least has synthetic ones.
    """
    mixed = synthetic > 0
    least = -0.9 * (real[mixed] / synthetic[mixed]).min()
    return np.arange(np.ceil(least / STEP), round(MOST / STEP) + 1) * STEP


def worth_on_curve(
    real: float, synthetic: float, score: float, alone: np.ndarray, curve: np.ndarray
) -> float:
    """The worth of a synthetic picture in one arm, read off the scores of real pictures alone.

    As many real pictures as reach the arm's score, less the arm's own, for each synthetic one. The
    curve is joined by lines over the logarithm of the pictures; where it does not rise throughout,
    the fewest pictures count.

    Parameters
    ----------
    real, synthetic : float
        Pictures of the arm, in the unit of ``alone``.
    score : float
    alone, curve : (k,) float
        Numbers of real pictures, rising, and their scores.

    Returns
    -------
    float
        Infinite where the score lies outside the curve: above 0 over it, below 0 under it.

    Examples
    --------
    >>> worth_on_curve(0.25, 0.5, 0.5, np.array([0.25, 1.0]), np.array([0.4, 0.6]))
    0.5
    """
    reached = np.flatnonzero(curve >= score)
    if not len(reached):
        return float("inf")
    i = int(reached[0])
    if i == 0 and score < curve[0]:
        return -float("inf")
    if i == 0:
        return float((alone[0] - real) / synthetic)
    share = (score - curve[i - 1]) / (curve[i] - curve[i - 1])
    effective = alone[i - 1] * (alone[i] / alone[i - 1]) ** share  # a line over the logarithm
    return float((effective - real) / synthetic)


def worth_by_arm(
    scores: Scores,
    *,
    style_gap: float = 1.0,
    direction: str = "",
    n_resamples: int = 2000,
    seed: int = 42,
) -> pd.DataFrame:
    """The worth of a synthetic picture in each arm by itself, where no constant is assumed.

    Returns
    -------
    DataFrame
        ``label, real, synthetic, worth, low, high``: see :func:`worth_on_curve`; ``least, most``:
        the worths that the ends of the curve stand for.

    Raises
    ------
    ValueError
        If there are not two numbers of real pictures alone.
    """
    ours = [mix for mix in scores.mixes if not mix.watermark]
    alone = sorted((mix for mix in ours if not mix.synthetic), key=lambda mix: mix.real)
    mixed = [mix for mix in ours if mix.synthetic and mix.style_gap == style_gap]
    if len(alone) < 2:
        raise ValueError(f"{len(alone)} arms of real pictures alone: a curve needs two")
    part = scores.part([*alone, *mixed])
    drawn = resampled_scores(part, direction=direction, n_resamples=n_resamples, seed=seed)
    draws = np.vstack([arm_scores(part, direction), drawn])
    at = np.array([mix.real for mix in alone])
    tail, rows = expanded_tail(scores.sizes.shape[1], LEVEL), []
    for mix, own in zip(mixed, draws.T[len(alone) :], strict=True):
        worth, *others = (
            worth_on_curve(mix.real, mix.synthetic, score, at, curve)
            for score, curve in zip(own, draws[:, : len(alone)], strict=True)
        )
        low, high = np.quantile(others, [tail, 1 - tail], method="inverted_cdf")
        ends = ((end - mix.real) / mix.synthetic for end in (at[0], at[-1]))
        low, high = min(low, worth), max(high, worth)
        rows.append((mix.label, mix.real, mix.synthetic, worth, low, high, *ends))
    return pd.DataFrame(rows, columns=WORTH_COLUMNS)


def rate_interval(worth_low: float, worth_high: float) -> tuple[float, float]:
    """The interval of 1 / worth: turned round, and without an upper end where worth may be 0.

    >>> rate_interval(0.25, 0.5), rate_interval(-0.1, 0.5), rate_interval(-0.2, -0.1)
    ((2.0, 4.0), (2.0, inf), (inf, inf))
    """
    return _inverse(worth_high), _inverse(worth_low)


def _inverse(worth: float) -> float:
    return 1 / float(worth) if worth > 0 else float("inf")
