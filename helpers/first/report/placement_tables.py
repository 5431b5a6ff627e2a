"""Tables of a placement study, drawn from its flat records: rows, pairs, observations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from helpers.first.evaluation.claims import Judged, judge_claims
from helpers.first.evaluation.comparison import Comparison, holm
from helpers.first.evaluation.power import NeededSize
from helpers.first.models.evaluate import DIRECTIONS
from helpers.first.report.placement import DETECTABLE, METRICS, ONE_SEED, RATE, SCORE
from helpers.first.report.results import DIRECTION_NAMES, Record, shown_value
from helpers.first.report.studies import MINUS, P_UNIT
from helpers.first.studies.placement import ORIGINAL
from helpers.first.studies.placement_claims import OBSERVATIONS, reported

COLUMNS = {
    RATE: ("learning rate", ".2g"),
    "trainable_parameters": ("trained numbers", ",.0f"),
    "training_seconds": ("training, s", ".0f"),
    "peak_memory_mb": ("peak memory, MB", ",.0f"),
    "cuda_peak_mb": ("peak memory of the GPU, MB", ",.0f"),
}


def observations_of(records: Iterable[Record]) -> list[Judged]:
    """The observations that records hold, judged."""
    found = {(r.model.removeprefix("claim: "), r.metric.partition(" ")[0]): r for r in records
             if r.model.startswith("claim: ")}  # fmt: skip
    pairs = []
    for one in OBSERVATIONS:
        name = one.claim.name
        if (name, SCORE) in found:
            seen, p = found[name, SCORE], found[name, P_UNIT].value
            shown = found.get((name, DETECTABLE.partition(" ")[0]))
            limit = np.nan if shown is None else shown.value
            low, high = (np.nan if v is None else v for v in (seen.low, seen.high))
            pairs.append((one.claim, Comparison(seen.value, low, high, p, seen.n, 0, limit, "")))
    return judge_claims(pairs)


def reported_observations(judged: Sequence[Judged]) -> dict[str, str]:
    """What the original's numbers say to each of the observations, in points."""
    said = {one.claim.name: f"{100 * reported(one):+.2f}" for one in OBSERVATIONS}
    return {one.claim.name: said[one.claim.name] for one in judged}


def pairs_of(records: Iterable[Record], rows: Sequence[str] = ()) -> pd.DataFrame:
    """A row a compared pair: ``a, b, difference, low, high, p_holm, detectable, verdict``.

    Holm's correction is over the pairs of ``rows``, or over all where none are named. The verdict
    is on ``a``.
    """
    by_key = {(r.model, r.metric): r for r in records}
    found = []
    for (a, metric), r in by_key.items():
        kind, _, b = metric.partition(MINUS)
        if kind == SCORE and b and known_row(r) and (not rows or {a, b} <= set(rows)):
            limit = by_key.get((a, f"{DETECTABLE}, {metric}"))
            found.append({
                "a": a, "b": b, "difference": r.value, "low": r.low, "high": r.high,
                "p": by_key[a, f"p of {metric}"].value,
                "detectable": np.nan if limit is None else limit.value,
            })  # fmt: skip
    columns = ["a", "b", "difference", "low", "high", "p", "detectable", "p_holm", "verdict"]
    frame = pd.DataFrame(found, columns=columns[:7])
    frame["p_holm"] = holm(frame["p"]) if len(frame) else []
    shown = (frame["p_holm"] <= 0.05) & (frame["difference"] != 0)
    better = np.where(frame["difference"] > 0, "better", "worse")
    frame["verdict"] = np.where(shown, better, "not distinguishable")
    return frame[columns]


def placement_table(records: Iterable[Record]) -> pd.DataFrame:
    """A row a row of the study: score, hit@K both ways, size, costs, and the original's score."""
    records = list(records)
    rows = list(dict.fromkeys(r.model for r in records if r.metric == SCORE and known_row(r)))
    found = {(r.model, r.metric, r.direction): r for r in records}
    measured = {metric for _, metric, _ in found}
    lines = []
    for row in rows:
        score, seeds = found[row, SCORE, ""], _count(records, row)
        line = {"row": row, "seeds": seeds or "–",
                "score": f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"}  # fmt: skip
        for way in DIRECTIONS:
            hits = [found[row, metric, way] for metric in METRICS]
            name = f"hit@1 / 5 / 10, {DIRECTION_NAMES[way]}"
            line[name] = " / ".join(shown_value(replace(r, low=None, high=None)) for r in hits)
            line[f"chance, {DIRECTION_NAMES[way]}"] = " / ".join(
                "–" if r.chance is None else f"{r.chance:.3f}" for r in hits
            )
        for cost, (name, form) in COLUMNS.items():
            if cost in measured:
                one = found.get((row, cost, ""))
                line[name] = "–" if one is None else f"{one.value:{form}}"
        line["the original's score"] = f"{ORIGINAL[row].score:.5f}" if row in ORIGINAL else "–"
        lines.append(line)
    return pd.DataFrame(lines)


def known_row(record: Record) -> bool:
    """Whether a record is about a row, not about a claim."""
    return not record.model.startswith("claim: ")


def _count(records: Sequence[Record], row: str) -> int:
    return sum(r.metric == ONE_SEED and r.model == row for r in records)


def pair_table(pairs: pd.DataFrame) -> pd.DataFrame:
    """:func:`pairs_of` as a lesson shows it: differences in points, the surest first."""
    lines = [
        {
            "pair": f"{p.a} minus {p.b}",
            "difference, points": f"{_points(p.difference)} [{_points(p.low)}, {_points(p.high)}]",
            "p (Holm)": round(p.p_holm, 4),
            "could have shown": f"{100 * p.detectable:.1f}",
            "verdict": p.verdict,
        }
        for p in pairs.sort_values("p", kind="stable").itertuples()
    ]
    columns = ["pair", "difference, points", "p (Holm)", "could have shown", "verdict"]
    return pd.DataFrame(lines, columns=columns)


def needed_table(
    needed: Mapping[str, tuple[float, NeededSize | None]], n_recipes: int
) -> pd.DataFrame:
    """What the original's differences would need: a row an observation, beside this test set.

    A dash stands where two rows differ by the same on every recipe: nothing to plan with.
    """
    lines = [
        {
            "observation": name,
            "reported, points": f"{100 * wanted:.2f}",
            "recipes needed": f"{size.groups:,}" if size else "–",
            "queries needed": f"{size.queries:,}" if size else "–",
            "times this test set": f"{size.groups / n_recipes:,.1f}" if size else "–",
        }
        for name, (wanted, size) in needed.items()
    ]
    return pd.DataFrame(lines)


def _points(difference: float) -> str:
    """A fraction in points with its sign; none before a zero.

    >>> _points(0.012), _points(-0.0001)
    ('+1.2', '0.0')
    """
    text = f"{100 * difference:+.1f}"
    return "0.0" if float(text) == 0 else text
