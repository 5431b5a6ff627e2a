"""How far apart two sets of embeddings lie, in numbers that no projection can fake.

All of them keep recipes whole: a probe is tested on recipes that it was not trained on, shuffles
move recipes, and pictures of one recipe are no independent draws in a kernel's mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from helpers.first.evaluation.resampling import expanded_tail, percentile_limits
from helpers.first.studies.distances import (
    centroid_ratio,
    frechet_distance,
    rbf_kernel,
    unbiased_mmd,
)
from helpers.first.studies.two_samples import (
    TwoSamples,
    check_rows,
    folds_of,
    resampled_weights,
    shuffle_p_value,
    shuffled_sides,
    two_samples,
)

N_NULL = 20  # shuffles behind the null of the Frechet distance


@dataclass(frozen=True)
class Gap:
    """How two samples of embeddings differ.

    Attributes
    ----------
    auc, auc_low, auc_high : float
        Of a linear probe on recipes that it has not seen: 0.5 tells nothing apart, 1 everything.
    mmd, mmd_p : float
        Unbiased squared maximum mean discrepancy (about 0, and below it half of the time, where
        there is no gap), and the share of shuffles that reach it.
    frechet, frechet_null : float
        Frechet distance over the total variance of all rows, and its mean when sides are shuffled:
        what two samples of this size show without any gap.
    centroid_ratio : float
        Distance of the two means over the spread around them.
    n_a, n_b, n_groups : int
    """

    auc: float
    auc_low: float
    auc_high: float
    mmd: float
    mmd_p: float
    frechet: float
    frechet_null: float
    centroid_ratio: float
    n_a: int
    n_b: int
    n_groups: int


def embedding_gap(
    a: np.ndarray,
    b: np.ndarray,
    *,
    groups_a: Sequence[str],
    groups_b: Sequence[str],
    seed: int = 42,
    n_permutations: int = 500,
    n_folds: int = 5,
    n_resamples: int = 1000,
    level: float = 0.95,
) -> Gap:
    """Measure the gap between two samples.

    Parameters
    ----------
    a : (n, d) float
    b : (m, d) float
    groups_a, groups_b : sequence of str
        The recipe of each row; the same label on both sides is the same recipe.
    seed, n_permutations, n_folds, n_resamples : int
        Of the shuffles behind ``mmd_p``, of the probe, of the bootstrap over recipes.
    level : float
        Of the interval of the AUC.

    Raises
    ------
    ValueError
        If a side has fewer than two recipes, a number is not finite, or shapes do not fit.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"r{i}" for i in range(40)]
    >>> gap = embedding_gap(
    ...     rng.normal(size=(40, 3)), rng.normal(3, 1, (40, 3)), groups_a=ids, groups_b=ids
    ... )
    >>> gap.auc > 0.95, gap.mmd_p < 0.05
    (True, True)
    """
    rows_a, rows_b = check_rows("a", a, groups_a), check_rows("b", b, groups_b)
    if rows_a.shape[1] != rows_b.shape[1]:
        raise ValueError(f"a has {rows_a.shape[1]} columns, b {rows_b.shape[1]}; take one layer")
    samples = two_samples(groups_a, groups_b)
    rows = np.concatenate([rows_a, rows_b])
    auc, low, high = probe_auc(
        rows, samples, seed=seed, n_folds=n_folds, n_resamples=n_resamples, level=level
    )
    sides = shuffled_sides(samples, n_permutations, seed=seed)
    kernel = rbf_kernel(rows)
    mmd = unbiased_mmd(kernel, samples.is_a[None], samples.codes)[0]
    variance = rows.var(axis=0).sum() or 1.0
    null = [frechet_distance(rows[side], rows[~side]) for side in sides[:N_NULL]]
    return Gap(
        auc=auc,
        auc_low=low,
        auc_high=high,
        mmd=float(mmd),
        mmd_p=shuffle_p_value(mmd, unbiased_mmd(kernel, sides, samples.codes)),
        frechet=frechet_distance(rows_a, rows_b) / float(variance),
        frechet_null=float(np.mean(null) / variance),
        centroid_ratio=centroid_ratio(rows_a, rows_b),
        n_a=len(rows_a),
        n_b=len(rows_b),
        n_groups=samples.n_groups,
    )


def gap_by_layer(
    a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], **settings
) -> pd.DataFrame:
    """:func:`embedding_gap` of each layer: a row a layer, in their order; ``layer`` comes first.

    Raises
    ------
    ValueError
        If the two have other layers.
    """
    if list(a) != list(b):
        raise ValueError(f"a has the layers {list(a)}, b {list(b)}; take them from one model")
    rows = [{"layer": name, **asdict(embedding_gap(a[name], b[name], **settings))} for name in a]
    return pd.DataFrame(rows)


def probe_auc(
    rows: np.ndarray,
    samples: TwoSamples,
    *,
    seed: int = 42,
    n_folds: int = 5,
    n_resamples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """AUC of a logistic regression that is cross-validated by recipe, with its interval.

    Pictures are compared within a fold alone, since each fold has a probe of its own. The interval
    draws recipes anew but keeps the probes, so for what other training recipes would change it is
    made wider by ``1 + 1 / (n_folds - 1)``: simulated with 5 and 10 folds, 95 % intervals then
    miss the truth about as often as they say, and two to four times as often without. (Nadeau and
    Bengio, "Inference for the generalization error", 2003, on why any such factor is a guess.)
    Where no draw shows a spread (all pairs in the right order), the lower limit is what the number
    of recipes alone allows, as in :func:`helpers.first.evaluation.intervals.bootstrap_interval`.

    Returns
    -------
    float, float, float
        Value, lower and upper limit.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fold = folds_of(samples, n_folds, seed=seed)
    weights = np.vstack(
        [np.ones(len(rows)), resampled_weights(samples, n_resamples, seed=seed)]
    )  # (1 + r, N); the first is the sample itself
    won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for number in range(fold.max() + 1):
        test = fold == number
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
        scores = probe.fit(rows[~test], samples.is_a[~test]).decision_function(rows[test])
        is_a = samples.is_a[test]
        above = scores[is_a][:, None] - scores[~is_a][None, :]
        wins = (above > 0) + 0.5 * (above == 0)  # (a, b)
        of_a, of_b = weights[:, test][:, is_a], weights[:, test][:, ~is_a]
        won += ((of_a @ wins) * of_b).sum(axis=1)
        pairs += of_a.sum(axis=1) * of_b.sum(axis=1)
    aucs = won[pairs > 0] / pairs[pairs > 0]
    value, drawn = float(aucs[0]), aucs[1:]
    tail = (1 - level) / 2
    if np.ptp(drawn) == 0:
        share = 1 - tail ** (1 / samples.n_effective)
        return value, value - share * value, value + share * (1 - value)
    low, high = percentile_limits(drawn, expanded_tail(samples.n_effective, level))
    wider = 1 + 1 / fold.max()
    low, high = (value + wider * (end - value) for end in (min(low, value), max(high, value)))
    return value, float(max(low, 0.0)), float(min(high, 1.0))
