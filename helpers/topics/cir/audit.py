"""An audit of modification texts: overlap with annotated texts, claims against the truth, failures.

What a drawn image shows is known, so that "hallucinated" needs no judge: a text is hallucinated if
it names a value that neither image has. Texts of photographs need people: see
:mod:`helpers.topics.cir.rating_sheet`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from helpers.evaluation.stats import Estimate, Sample, estimate
from helpers.report import tables
from helpers.topics.cir.metrics import OVERLAP
from helpers.topics.cir.qformer import COLLAPSED
from helpers.topics.cir.triplets import Triplet

NONE = "none"  # the value of what is not there
# Of 100 texts; of FashionIQ; of CIRR, against 0.210 and 0.186 of texts from captions.
REPORTED = {"hallucinated": 0.04, "ROUGE-1": 0.248, "METEOR": 0.194}
MEASURES = ("complete", "hallucinated", "missed", "wrong side", "ROUGE-1", "METEOR")
SAME_TEXT = 0.3  # share of the most frequent text
HALLUCINATED = 0.1  # share of texts
LOW_OVERLAP = 0.5  # ROUGE-1 of a text that says the change in other words
OVERLAP_MISSES = "low overlap, high retrieval"
AT_LEAST = 20  # texts or queries that a check needs


def audit_texts(
    texts: Sequence[str], triplets: Sequence[Triplet], truth: Any = None, *, reverse: bool = False
) -> pd.DataFrame:
    """Hold the text of every triplet against the annotated one, and against what its images show.

    With ``reverse`` texts lead from target to reference. There is a row a text: ``pair_id``,
    ``text``, ``ROUGE-1``, ``METEOR`` (NaN where there is no annotated text) and, where ``truth``
    can read texts, the columns of :func:`judge_text`.
    """
    rows = []
    for text, one in zip(texts, triplets, strict=True):
        wanted = one.reverse if reverse else one.caption
        row = {"pair_id": one.pair_id, "text": text}
        row |= {name: overlap(text, [wanted]) if wanted.strip() else np.nan
                for name, overlap in OVERLAP.items()}  # fmt: skip
        if truth is not None and truth.reads:
            ends = [truth.shown[name].attributes for name in (one.reference, one.targets[0])]
            row |= judge_text(truth.claims(text), *(ends[::-1] if reverse else ends))
        rows.append(row)
    return pd.DataFrame(rows)


def judge_text(
    claims: Any, before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, bool | float | str]:
    """What a text claims of a change from ``before`` to ``after``.

    ``claims`` are its ``wanted`` and ``removed`` values. Gives ``missed`` (share of the true
    changes that it does not name), ``hallucinated`` (names a value that neither image has),
    ``wrong side`` (asks for what only the reference has, or removes what only the target has),
    ``says nothing``, ``complete`` (names every true change and nothing false), ``invented`` (the
    values that neither has, in words) and ``differing`` (how many attributes differ).
    """

    def there(value: tuple[str, str], a: Mapping[str, str]) -> bool:
        return a.get(value[0], NONE) == value[1] != NONE

    named_values = claims.wanted | claims.removed
    changes = {(n, before[n], after[n]) for n in before if before[n] != after.get(n)}
    invented = sorted(v for v in named_values if not there(v, before) and not there(v, after))
    wrong = {v for v in claims.wanted if there(v, before) and not there(v, after)}
    wrong |= {v for v in claims.removed if there(v, after) and not there(v, before)}
    named = {
        (name, old, new) for name, old, new in changes
        if (name, new) in claims.wanted or (new == NONE and (name, old) in claims.removed)
    }  # fmt: skip
    return {
        "missed": 1 - len(named) / len(changes) if changes else 0.0,
        "hallucinated": bool(invented),
        "wrong side": bool(wrong),
        "says nothing": not named_values,
        "complete": bool(changes) and named == changes and not invented and not wrong,
        "invented": ", ".join(f"{name}: {value}" for name, value in invented),
        "differing": len(changes),
    }


def summary(audit: pd.DataFrame) -> dict[str, Estimate]:
    """The mean of every measure of an audit that has two texts or more, with its interval."""
    known = {name: audit[name].dropna().astype(float) for name in MEASURES if name in audit}
    return {
        name: estimate(Sample(one.to_numpy()[None], audit.loc[one.index, "pair_id"]), bounds=(0, 1))
        for name, one in known.items() if len(one) > 1
    }  # fmt: skip


def audit_table(audits: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a measure, a column for each writer: mean with interval, beside what is reported."""
    rows: dict[str, dict[str, str]] = {}
    for writer, audit in audits.items():
        for name, one in summary(audit).items():
            rows.setdefault(name, {})[f"{writer} ({len(audit)})"] = tables.value_text(one, "hit")
    frame = pd.DataFrame(rows).T.rename_axis("measure").reset_index().fillna("–")
    told = {name: f"{100 * value:.1f} %" for name, value in REPORTED.items()}
    return frame.assign(reported=frame["measure"].map(told).fillna("–"))


def rank_correlation(quality: Sequence[float], ranks: Sequence[float]) -> tuple[float, float, int]:
    """Spearman's rho of text quality with minus the rank of its target, its p-value, and n.

    Positive: the better a text, the earlier its target. Pairs with a NaN are left out; of fewer
    than three, or where one side is constant, rho and p are NaN.
    """
    x, y = np.asarray(quality, float), -np.asarray(ranks, float)
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    if len(x) < 3 or len(set(x)) < 2 or len(set(y)) < 2:
        return np.nan, np.nan, len(x)
    found = scipy_stats.spearmanr(x, y)
    return float(found.statistic), float(found.pvalue), len(x)


def collapse_of_texts(texts: Sequence[str]) -> dict[str, Any]:
    """The same text for images that differ."""
    counted = Counter(" ".join(text.lower().split()) for text in texts)
    text, times = counted.most_common(1)[0]
    says = f"the most frequent of {len(texts)} texts is {text!r}; {len(counted)} are distinct"
    share = times / len(texts)
    return _check("collapse of texts", share, SAME_TEXT, share > SAME_TEXT, len(texts), says)


def collapse_of_queries(spread: float, n: int) -> dict[str, Any]:
    """Queries that became one; ``spread`` is that of :func:`helpers.topics.cir.qformer.spread`."""
    says = f"{spread:.1%} of the squared length of p differs between queries"
    return _check("collapse of queries", spread, COLLAPSED, spread < COLLAPSED, n, says)


def hallucination(audit: pd.DataFrame) -> dict[str, Any]:
    """More hallucinated texts than tolerable, with the whole interval above the limit."""
    found = summary(audit)["hallucinated"]
    says = f"{tables.value_text(found, 'hit')} of the texts name what neither image has"
    above = found.low > HALLUCINATED
    return _check("hallucination", found.value, HALLUCINATED, above, len(audit), says)


def harmful_pretraining(difference: Estimate) -> dict[str, Any]:
    """hit@10 pretrained minus not pretrained, with the whole interval below 0."""
    says = f"pretrained minus not: {tables.points(difference)}"
    below = difference.high < 0
    return _check("harmful pretraining", difference.value, 0.0, below, difference.n, says)


def missed_quality(audit: pd.DataFrame, ranks: Sequence[float], *, k: int = 10) -> dict[str, Any]:
    """Low ROUGE with high retrieval: texts in other words than the annotated one find the target.

    The value is the share of texts with a ROUGE-1 below ``LOW_OVERLAP`` that find their target
    among the first ``k``; found where its whole interval lies above half of the others' share.
    """
    low = (audit["ROUGE-1"] < LOW_OVERLAP).to_numpy()
    hits = (np.asarray(ranks) <= k).astype(float)
    if min(low.sum(), (~low).sum()) < 2:
        return _check(OVERLAP_MISSES, np.nan, np.nan, False, 0, "")
    parts = [estimate(Sample(hits[rows][None], audit["pair_id"][rows]), bounds=(0, 1))
             for rows in (low, ~low)]  # fmt: skip
    told = [tables.value_text(one, "hit@10") for one in parts]
    says = f"hit@{k} of texts with low overlap {told[0]}, of the others {told[1]}"
    found = parts[0].low > (half := parts[1].value / 2)
    return _check(OVERLAP_MISSES, parts[0].value, half, found, len(low), says)


def _check(name: str, value: float, limit: float, found: bool, n: int, says: str) -> dict[str, Any]:
    if n < AT_LEAST:
        says, found = f"not looked for: {n} are fewer than {AT_LEAST}", False
    number = {"value": round(value, 3), "limit": round(limit, 3)}
    return {"check": name, "found": bool(found), **number, "says": says}
