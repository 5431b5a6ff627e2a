"""At which gap between the styles synthetic pictures stop helping.

Synthetic pictures of a growing gap are added to a fixed number of real ones. A gap of 0 adds real
pictures; what the others add is expected to fall from there, and may fall below nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.first.evaluation.resampling import expanded_tail
from helpers.first.studies.mixes import Mix
from helpers.first.studies.scores import LEVEL, Scores, arm_scores, resampled_scores, score_frame


@dataclass(frozen=True)
class Crossing:
    """Where the gain of adding synthetic pictures falls to nothing.

    Attributes
    ----------
    gap, low, high : float
        The smallest gap at which they do not help any more; infinite where they help at every gap
        that was tried, 0 where not even real ones do.
    always, never : float
        The share of resamples in which they help at every gap, and in which nothing helps.
    largest : float
        The largest gap that was tried.
    """

    gap: float
    low: float
    high: float
    always: float
    never: float
    largest: float

    @property
    def reading(self) -> str:
        """One sentence."""

        if np.isinf(self.low):
            return (
                f"synthetic pictures still help at the largest gap that was tried, {self.largest:g}"
            )

        def said(gap: float) -> str:
            return f"{gap:.2f}" if np.isfinite(gap) else f"somewhere beyond {self.largest:g}"

        return (
            f"synthetic pictures stop helping at a gap of {said(self.gap)}, between "
            f"{said(self.low)} and {said(self.high)} (they help at every gap that was tried in "
            f"{self.always:.0%} of resamples)"
        )


def sweep_mixes(base: float, gaps: Iterable[float]) -> dict[float, Mix]:
    """The arms of a sweep: gap to mix; a gap of 0 is real pictures of the same recipes.

    Parameters
    ----------
    base : float
        Share of the recipes whose real pictures every arm has; the others are added.

    >>> [mix.label for mix in sweep_mixes(0.25, (0, 1)).values()]
    ['100 % real', '25 % real + 75 % synthetic']
    """
    return {
        gap: Mix(base, 1 - base, style_gap=gap) if gap else Mix(1.0)
        for gap in sorted({0.0, *map(float, gaps)})
    }


def gap_curve(
    scores: Scores,
    base: float,
    gaps: Iterable[float],
    *,
    n_resamples: int = 2000,
    seed: int = 42,
) -> pd.DataFrame:
    """What adding pictures of each gap gains over none, with intervals.

    Returns
    -------
    DataFrame
        ``gap, direction, value, low, high``.
    """
    mixes = sweep_mixes(base, gaps)
    part = scores.part([Mix(base), *mixes.values()])
    frame = score_frame(part, minus=Mix(base), n_resamples=n_resamples, seed=seed)
    gap_of = {mix.label: gap for gap, mix in mixes.items()}
    frame = frame[frame["label"].isin(gap_of)]
    frame = frame.assign(gap=frame["label"].map(gap_of))
    columns = ["gap", "direction", "value", "low", "high"]
    return frame.sort_values(["direction", "gap"])[columns].reset_index(drop=True)


def stops_helping(
    scores: Scores,
    base: float,
    gaps: Iterable[float],
    *,
    direction: str = "",
    n_resamples: int = 2000,
    seed: int = 42,
) -> Crossing:
    """The gap at which adding synthetic pictures stops helping, with its interval.

    In every resample of recipes and seeds the gains are made to fall (isotonic regression: a larger
    gap cannot help more) and joined by lines; the limits are quantiles of where they reach zero.
    """
    mixes = sweep_mixes(base, gaps)
    part = scores.part([Mix(base), *mixes.values()])
    drawn = resampled_scores(part, direction=direction, n_resamples=n_resamples, seed=seed)
    rows = np.vstack([arm_scores(part, direction), drawn])
    at = np.array(list(mixes))
    found = np.array([zero_of(at, gains) for gains in rows[:, 1:] - rows[:, :1]])
    tail = expanded_tail(scores.sizes.shape[1], LEVEL)
    low, high = np.quantile(found[1:], [tail, 1 - tail], method="inverted_cdf")
    return Crossing(
        float(found[0]),
        float(min(low, found[0])),
        float(max(high, found[0])),
        float(np.isinf(found[1:]).mean()),
        float((found[1:] == 0).mean()),
        float(at[-1]),
    )


def zero_of(at: np.ndarray, gains: np.ndarray) -> float:
    """Where gains that are made to fall first reach zero; infinite if they never do.

    Parameters
    ----------
    at, gains : (k,) float
        Gaps from small to large, and the gain at each.

    >>> zero_of(np.array([0.0, 0.5, 1.0]), np.array([2.0, 1.0, -1.0]))
    0.75
    """
    from sklearn.isotonic import isotonic_regression

    falling = isotonic_regression(gains, increasing=False)
    below = np.flatnonzero(falling <= 0)
    if not len(below):
        return float("inf")
    i = int(below[0])
    if i == 0:
        return float(at[0])
    share = falling[i - 1] / (falling[i - 1] - falling[i])
    return float(at[i - 1] + share * (at[i] - at[i - 1]))
