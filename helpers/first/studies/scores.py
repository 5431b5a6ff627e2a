"""Scores of arms on the same test recipes, and what they are when recipes and seeds are drawn anew.

One draw of recipes and seeds serves all arms, so that what they share cancels in differences. Three
seeds are few to draw from: such an interval is rather too narrow than too wide.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.data.pairs import Pairs, retrieval_set
from helpers.first.evaluation.resampling import expanded_tail, percentile_limits
from helpers.first.studies.arms import query_values
from helpers.first.studies.mixes import Mix
from helpers.first.studies.style_runs import StyleRun

WAYS = ("text_to_image", "image_to_text")
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Scores:
    """The hits of A arms with S seeds in two directions, added up within each of G recipes.

    Attributes
    ----------
    mixes : tuple of Mix
    sums : (A, S, 2, G) float64
        Directions in the order of ``WAYS``.
    sizes : (2, G) float64
        Queries of each recipe.
    """

    mixes: tuple[Mix, ...]
    sums: np.ndarray
    sizes: np.ndarray

    def part(self, mixes: Sequence[Mix]) -> "Scores":
        """The same for some arms, in the order given."""
        rows = [self.mixes.index(mix) for mix in mixes]
        return Scores(tuple(mixes), self.sums[rows], self.sizes)


def score_table(
    runs: Mapping[Mix, Sequence[StyleRun]],
    pairs: Pairs,
    *,
    test: str = "real",
    metric: str = "hit@10",
) -> Scores:
    """The scores of all arms on a test set.

    Raises
    ------
    ValueError
        If there is no arm, or arms have different numbers of seeds.
    """
    if len({len(done) for done in runs.values()}) != 1:
        counts = {mix.label: len(done) for mix, done in runs.items()}
        raise ValueError(f"arms with different numbers of seeds, or none: {counts}")
    data = retrieval_set(pairs.test)
    ids = {"text_to_image": data.caption_ids, "image_to_text": data.image_ids}
    recipes = ids_of_test(pairs)
    codes, n = [np.searchsorted(recipes, ids[way]) for way in WAYS], len(recipes)
    sums = [
        [
            [
                np.bincount(code, query_values(run.ranks[test][way], metric), n)
                for way, code in zip(WAYS, codes, strict=True)
            ]
            for run in done
        ]
        for done in runs.values()
    ]
    sizes = np.array([np.bincount(code, minlength=n) for code in codes], float)
    return Scores(tuple(runs), np.array(sums), sizes)


def recipe_values(
    runs: Iterable[Mapping[str, np.ndarray]], pairs: Pairs, *, metric: str = "hit@10"
) -> np.ndarray:
    """The score of each test recipe: mean over runs and both directions; recipes count alike.

    Parameters
    ----------
    runs : iterable of mappings
        Direction to ranks of the first hits, such as ``run.ranks["real"]`` of each seed.

    Returns
    -------
    (G,) float64
        In the order of :func:`ids_of_test`, which are the groups of a paired comparison.
    """
    data = retrieval_set(pairs.test)
    ids = {"text_to_image": data.caption_ids, "image_to_text": data.image_ids}
    values = []
    for ranks in runs:
        for way in WAYS:
            codes = np.searchsorted(ids_of_test(pairs), ids[way])
            hits = np.bincount(codes, query_values(ranks[way], metric))
            values.append(hits / np.bincount(codes))
    return np.mean(values, axis=0)


def ids_of_test(pairs: Pairs) -> np.ndarray:
    """(G,) the ids of the test recipes, sorted."""
    return np.unique(pairs.test["recipe_id"].to_numpy(dtype=str))


def arm_scores(scores: Scores, direction: str = "") -> np.ndarray:
    """(A,) the mean over seeds; without a direction, the mean of both."""
    ones = np.ones((1, scores.sizes.shape[1])), np.ones((1, scores.sums.shape[1]))
    return _weighted(scores, *ones, direction)[0]


def resampled_scores(
    scores: Scores, *, direction: str = "", n_resamples: int = 2000, seed: int = 42
) -> np.ndarray:
    """(R, A) scores of all arms in bootstrap samples of recipes and of seeds."""
    rng = np.random.default_rng(seed)
    n_recipes, n_seeds = scores.sizes.shape[1], scores.sums.shape[1]
    drawn = [
        rng.multinomial(n, np.full(n, 1 / n), n_resamples).astype(float)
        for n in (n_recipes, n_seeds)
    ]
    return _weighted(scores, *drawn, direction)


def score_frame(
    scores: Scores, *, minus: Mix | None = None, n_resamples: int = 2000, seed: int = 42
) -> pd.DataFrame:
    """A row an arm and direction: its score, or its difference to one arm, with an interval.

    Returns
    -------
    DataFrame
        ``label, real, synthetic, style_gap, watermark, direction, value, low, high``; the direction
        ``""`` is the mean of both.
    """
    rows = []
    for direction in ("", *WAYS):
        values = arm_scores(scores, direction)
        drawn = resampled_scores(scores, direction=direction, n_resamples=n_resamples, seed=seed)
        if minus is not None:
            base = scores.mixes.index(minus)
            values, drawn = values - values[base], drawn - drawn[:, [base]]
        for mix, value, found in zip(scores.mixes, values, drawn.T, strict=True):
            low, high = limits(found, scores)
            rows.append(
                {"label": mix.label, **vars(mix), "direction": direction, "value": value,
                 "low": min(low, value), "high": max(high, value)}
            )  # fmt: skip
    return pd.DataFrame(rows)


def _weighted(scores: Scores, recipes: np.ndarray, seeds: np.ndarray, direction: str) -> np.ndarray:
    """(R, A) scores under weights of recipes (R, G) and of seeds (R, S)."""
    ways = WAYS if direction == "" else (direction,)
    total = 0.0
    for way in ways:
        d = WAYS.index(way)
        hits = np.einsum("asg,rg->ras", scores.sums[:, :, d], recipes, optimize=True)
        share = hits / (recipes @ scores.sizes[d])[:, None, None]  # (R, A, S)
        total = total + np.einsum("ras,rs->ra", share, seeds) / seeds.sum(axis=1)[:, None]
    return total / len(ways)


def limits(drawn: np.ndarray, scores: Scores) -> tuple[float, float]:
    """Percentile limits of a statistic in (R,) resamples, expanded for the number of recipes."""
    return percentile_limits(drawn, expanded_tail(scores.sizes.shape[1], LEVEL))
