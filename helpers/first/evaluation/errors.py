"""Error analysis: the same queries divided by kind, each kind with its interval.

A mean over all queries hides what a model cannot do. A kind may overlap with others, and a kind
with few queries says so by its interval.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.first.evaluation.comparison import holm, paired_comparison
from helpers.first.evaluation.intervals import bootstrap_interval

COLUMNS = ("kind", "model", "value", "low", "high", "n", "n_groups")


def by_kind(
    values: Mapping[str, np.ndarray],
    kinds: Mapping[str, np.ndarray],
    groups: Sequence[str],
    *,
    n_resamples: int = 2000,
    seed: int = 42,
) -> pd.DataFrame:
    """The mean of each model on each kind of query, with its interval over recipes.

    Parameters
    ----------
    values : mapping of model to (q,) float in [0, 1]
        Such as hit@10, or whether a foil was told from the truth.
    kinds : mapping of kind to (q,) bool
        Which queries are of a kind; kinds may overlap. A kind without a query is left out.
    groups : (q,) recipe of each query

    Returns
    -------
    DataFrame
        Columns ``COLUMNS``; kinds and models in the order given.

    Raises
    ------
    ValueError
        If lengths differ.

    Examples
    --------
    >>> hits = {"m0": np.array([1.0, 0.0, 1.0])}
    >>> by_kind(hits, {"color": np.array([True, True, False])}, ["a", "b", "c"])["value"].tolist()
    [0.5]
    """
    groups = np.asarray(groups)
    _check(values, kinds, len(groups))
    rows = []
    for kind, chosen in kinds.items():
        if not chosen.any():
            continue
        for model, found in values.items():
            i = bootstrap_interval(
                found[chosen], groups[chosen], bounds=(0.0, 1.0), n_resamples=n_resamples, seed=seed
            )
            rows.append((kind, model, i.value, i.low, i.high, i.n, i.n_groups))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def differences_by_kind(
    a: np.ndarray,
    b: np.ndarray,
    kinds: Mapping[str, np.ndarray],
    groups: Sequence[str],
    *,
    alpha: float = 0.05,
    seed: int = 42,
) -> pd.DataFrame:
    """Model ``a`` minus model ``b`` on each kind, tested together (Holm over the kinds).

    Returns
    -------
    DataFrame
        ``kind, difference, low, high, p_holm, n, verdict``; the verdict is on ``a``.
    """
    groups = np.asarray(groups)
    _check({"a": a, "b": b}, kinds, len(groups))
    found = {
        kind: paired_comparison(a[chosen], b[chosen], groups[chosen], seed=seed)
        for kind, chosen in kinds.items()
        if chosen.any()
    }
    corrected = holm([c.p_value for c in found.values()]) if found else ()
    rows = []
    for (kind, c), p in zip(found.items(), corrected, strict=True):
        verdict = "not distinguishable"
        if p <= alpha and c.difference:
            verdict = "better" if c.difference > 0 else "worse"
        rows.append((kind, c.difference, c.low, c.high, float(p), c.n, verdict))
    columns = ["kind", "difference", "low", "high", "p_holm", "n", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def told_apart(images, truths, foils) -> np.ndarray:
    """Whether each image scores its true text above a false one: 1, 0, or one half for a tie.

    A text that is wrong in one thing alone asks for that thing (Hodosh and Hockenmaier 2016); a
    model that does not look is right half of the time.

    Parameters
    ----------
    images, truths, foils : (n, d) float, unit rows

    Returns
    -------
    (n,) float64

    Examples
    --------
    >>> told_apart([[1.0, 0.0]], [[0.8, 0.6]], [[0.6, 0.8]]).tolist()
    [1.0]
    """
    images, truths, foils = (np.asarray(rows, dtype=np.float64) for rows in (images, truths, foils))
    if not images.shape == truths.shape == foils.shape or images.ndim != 2:
        raise ValueError(
            f"images {images.shape}, truths {truths.shape}, foils {foils.shape}: give as many rows "
            "of one length of each"
        )
    ahead = np.einsum("ij,ij->i", images, truths - foils)
    return np.where(np.abs(ahead) <= 1e-6, 0.5, (ahead > 0).astype(float))


def _check(values: Mapping[str, np.ndarray], kinds: Mapping[str, np.ndarray], n: int) -> None:
    for what, arrays in (("model", values), ("kind", kinds)):
        for name, array in arrays.items():
            if np.shape(array) != (n,):
                raise ValueError(
                    f"{what} {name!r} has shape {np.shape(array)}; {n} queries need one"
                )
    for name, chosen in kinds.items():
        if np.asarray(chosen).dtype != bool:
            raise ValueError(f"kind {name!r} is {np.asarray(chosen).dtype}: give true or false")
