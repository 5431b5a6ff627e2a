"""An audit of modification texts: overlap with human texts, claims against the known truth.

The drawn world knows what each picture shows, so that "hallucinated" needs no judge: a text is
hallucinated if it names a value that neither picture has. Texts of real pictures need people: see
:mod:`helpers.topics.cir.rating_sheet`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from helpers.first.evaluation.intervals import bootstrap_interval, wilson_interval
from helpers.first.evaluation.text_overlap import meteor, rouge_1, rouge_l
from helpers.world.domain import Attributes
from helpers.world.mentions import Value, claims, is_there, true_changes

REPORTED = {"hallucinated": 0.04, "rouge_1": 0.248, "meteor": 0.194}  # 100 texts; FashionIQ, CIRR
SHARES = ("hallucinated", "wrong_side", "says_nothing", "complete")
MEANS = ("rouge_1", "rouge_l", "meteor", "wanted_true", "missed")


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of n pairs of values, with the limits of a bootstrap."""

    rho: float
    low: float
    high: float
    n: int


def audit_texts(
    table: pd.DataFrame,
    shown: Mapping[str, Any] | None,
    *,
    references: Mapping[str, Sequence[str]] | None = None,
    text: str = "text",
) -> pd.DataFrame:
    """Hold every text against what its two pictures show.

    Parameters
    ----------
    table : DataFrame
        ``pair_id``, ``reference``, ``target`` and a column of texts.
    shown : mapping
        A picture's name to an object with its true ``attributes``, such as ``composed.shown``.
        None, of photographs: no column after ``meteor``.
    references : mapping, optional
        Human texts by ``pair_id``: then ROUGE-1, ROUGE-L and METEOR are computed; else they are NaN.
    text : str
        The column; with ``reverse``, reference and target are exchanged, and ``references`` have to
        be reverse texts.

    Returns
    -------
    DataFrame
        A row a text, the table's index: ``pair_id``, ``text``, ``rouge_1``, ``rouge_l``, ``meteor``,
        ``wanted_true`` (share of what is asked for that is a true change; NaN where nothing is
        asked for), ``missed`` (share of the true changes that the text does not name),
        ``hallucinated`` (names a value that neither picture has), ``wrong_side`` (asks for what
        only the reference has, or removes what only the target has), ``says_nothing`` (claims no
        value at all), ``complete`` (names every true change and nothing false), ``invented`` (the
        values that neither has, in words).
    """
    rows = []
    for row in table.to_dict("records"):
        told = (references or {}).get(row["pair_id"], ())
        overlap = {
            "rouge_1": rouge_1(row[text], told) if told else np.nan,
            "rouge_l": rouge_l(row[text], told) if told else np.nan,
            "meteor": meteor(row[text], told) if told else np.nan,
        }
        judged = {}
        if shown is not None:
            ends = [shown[row[side]].attributes for side in ("reference", "target")]
            judged = judge_text(row[text], *(ends if text != "reverse" else ends[::-1]))
        rows.append({"pair_id": row["pair_id"], "text": row[text], **overlap, **judged})
    return pd.DataFrame(rows, index=table.index)


def judge_text(text: str, before: Attributes, after: Attributes) -> dict[str, Any]:
    """What one text claims of a change from ``before`` to ``after``; see :func:`audit_texts`.

    Examples
    --------
    >>> soup = {"dish": "soup", "plate": "red"}
    >>> judged = judge_text("on a blue plate", soup, {**soup, "plate": "blue"})
    >>> judged["complete"], judged["hallucinated"]
    (True, False)
    """
    found, changes = claims(text), true_changes(before, after)
    invented = sorted(v for v in found.all if not is_there(v, before) and not is_there(v, after))
    wanted_wrong = {v for v in found.wanted if not is_there(v, after) and is_there(v, before)}
    removed_wrong = {v for v in found.removed if not is_there(v, before) and is_there(v, after)}
    true = {v for v in found.wanted if _is_new(v, changes)}
    named = {change for change in changes if _names(found.wanted, found.removed, change)}
    wrong_side = bool(wanted_wrong or removed_wrong)
    return {
        "wanted_true": len(true) / len(found.wanted) if found.wanted else np.nan,
        "missed": 1 - len(named) / len(changes) if changes else 0.0,
        "hallucinated": bool(invented),
        "wrong_side": wrong_side,
        "says_nothing": not found.all,
        "complete": bool(changes) and named == changes and not invented and not wrong_side,
        "invented": ", ".join(f"{name}: {value}" for name, value in invented),
    }


def audit_summary(audit: pd.DataFrame, *, seed: int = 42) -> pd.DataFrame:
    """Every measure of an audit with its 95 % interval.

    Shares have Wilson's interval, means a bootstrap over texts; NaN are left out and ``n`` says so.

    Returns
    -------
    DataFrame
        ``measure``, ``value``, ``low``, ``high``, ``n``, ``reported`` (in the literature; NaN:
        nothing is).

    Raises
    ------
    ValueError
        If the audit has no row.
    """
    if audit.empty:
        raise ValueError("there is no text to summarize: were all pairs dropped?")
    rows = []
    for name in (*SHARES, *MEANS):
        values = audit[name].dropna().to_numpy(dtype=float) if name in audit else ()
        if not len(values):
            continue
        if name in SHARES:
            found = wilson_interval(int(values.sum()), len(values))
        else:
            found = bootstrap_interval(values, np.arange(len(values)), seed=seed, bounds=(0, 1))
        reported = REPORTED.get(name, np.nan)
        rows.append((name, found.value, found.low, found.high, len(values), reported))
    return pd.DataFrame(rows, columns=["measure", "value", "low", "high", "n", "reported"])


def retrieval_correlation(
    quality: Sequence[float], ranks: Sequence[float], *, n_resamples: int = 2000, seed: int = 42
) -> Correlation:
    """Whether better texts find their targets: Spearman's rho of quality with minus the rank.

    Positive: the better a text, the earlier its target. Pairs with a NaN are left out.

    Raises
    ------
    ValueError
        If lengths differ or fewer than three pairs are left.

    Examples
    --------
    >>> retrieval_correlation([0.1, 0.5, 0.9, 1.0], [40, 12, 3, 1]).rho
    1.0
    """
    x, y = np.asarray(quality, dtype=float), -np.asarray(ranks, dtype=float)
    if x.shape != y.shape:
        raise ValueError(f"{len(x)} values of quality and {len(y)} ranks: give one each a text")
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    if len(x) < 3:
        raise ValueError(f"a correlation of {len(x)} texts says nothing: give at least three")
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(x), (n_resamples, len(x)))
    found = np.array([_spearman(x[rows], y[rows]) for rows in draws])
    found = found[~np.isnan(found)]  # a draw may hold one value alone
    low, high = np.quantile(found, (0.025, 0.975)) if len(found) else (np.nan, np.nan)
    return Correlation(_spearman(x, y), float(low), float(high), len(x))


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Rho with mean ranks for ties; NaN where one side is constant."""
    a, b = stats.rankdata(x), stats.rankdata(y)
    a, b = a - a.mean(), b - b.mean()
    length = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / length) if length > 0 else float("nan")


def _is_new(value: Value, changes: frozenset[tuple[str, str, str]]) -> bool:
    return any((name, new) == value for name, _, new in changes)


def _names(
    wanted: frozenset[Value], removed: frozenset[Value], change: tuple[str, str, str]
) -> bool:
    """Whether a text names a change: its new value or, where nothing is new, what goes."""
    name, old, new = change
    return (name, new) in wanted or (new == "none" and (name, old) in removed)
