"""From the records of a placement study to what is shown of it: flat records, tables, verdicts.

Everything is drawn from the flat records, so that a study just run and a committed one look alike.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.evaluation.claims import Judged, judge_claims
from helpers.evaluation.comparison import Comparison, holm, paired_comparison
from helpers.models.evaluate import DIRECTIONS
from helpers.report.claims import claim_records
from helpers.report.results import DIRECTION_NAMES, Record
from helpers.report.studies import MINUS, P_UNIT, comparison_records, value_records
from helpers.studies.placement import ORIGINAL
from helpers.studies.placement_claims import OBSERVATIONS, reported
from helpers.studies.placement_runs import Records, RowRecord
from helpers.studies.seeds import two_way_interval

SCORE = "score"  # mean of hit@10 both ways; its interval speaks of recipes and seeds
RECIPES = "score, recipes alone"
ONE_SEED = "score of one seed"
VALIDATION = "validation score"
RATE = "learning rate"
DETECTABLE = "smallest detectable"
COSTS = {
    "trainable_parameters": "parameters",
    "training_seconds": "s",
    "peak_memory_mb": "MB",
    "cuda_peak_mb": "MB",
}
METRICS = ("hit@1", "hit@5", "hit@10")


def mean_values(done: Records) -> dict[str, np.ndarray]:
    """Row to the score's value on each query, averaged over its seeds."""
    return {
        name: np.mean([r.score_values() for r in found], axis=0) for name, found in done.items()
    }


def row_records(
    done: Records, groups: Mapping[str, Sequence[str]], *, seed: int = 42, **about: str
) -> list[Record]:
    """All that a table or figure says of a row: score, hit@K both ways, costs, each seed.

    Parameters
    ----------
    done : mapping of row to RowRecords
    groups : mapping of direction to the recipe of each query
    seed : int
        Of the intervals.
    **about
        ``lesson``, ``run``, ``data``.
    """
    records: list[Record] = []
    both_groups = np.concatenate([np.asarray(groups[way]) for way in DIRECTIONS])
    for name, found in done.items():
        by_seed = np.stack([one.score_values() for one in found])  # (seeds, n)
        records += _scores(name, by_seed, both_groups, [one.seed for one in found], seed, about)
        for way in DIRECTIONS:
            for metric in METRICS:
                mean = np.mean([one.values(metric, way) for one in found], axis=0)
                records += value_records(
                    {name: mean}, metric, groups[way], direction=way, seed=seed, **about
                )
        records += _costs(name, found, seed, about)
    return records


def _scores(name: str, by_seed: np.ndarray, groups, seeds, seed: int, about) -> list[Record]:
    shared = {**about, "model": name, "split": "test", "direction": "", "n": by_seed.shape[1]}
    records = []
    for metric, values in ((SCORE, by_seed), (RECIPES, by_seed.mean(axis=0, keepdims=True))):
        i = two_way_interval(values, groups)
        limits = {"value": i.value, "low": i.low, "high": i.high}
        records.append(Record(**shared, metric=metric, seed=seed, **limits))
    for one, values in zip(seeds, by_seed, strict=True):
        records.append(Record(**shared, metric=ONE_SEED, value=float(values.mean()), seed=one))
    return records


def _costs(name: str, found: Sequence[RowRecord], seed: int, about) -> list[Record]:
    shared = {**about, "model": name, "direction": "", "n": len(found), "seed": seed}
    mean = float(np.mean([one.validation for one in found]))
    records = [
        Record(**shared, split="validation", metric=VALIDATION, value=mean),
        Record(**shared, split="", metric=RATE, unit="a step",
               value=found[0].training["learning_rate"]),
    ]  # fmt: skip
    for cost, unit in COSTS.items():
        measured = [one.costs[cost] for one in found if one.costs.get(cost)]  # there may be no GPU
        if measured:
            value = float(np.mean(measured))
            records.append(Record(**shared, split="", metric=cost, value=value, unit=unit))
    return records


def pair_records(
    values: Mapping[str, np.ndarray],
    groups: Sequence[str],
    *,
    seed: int = 42,
    than: str = "",
    **about: str,
) -> list[Record]:
    """Paired comparisons on the score: all pairs, or every row with the row ``than``.

    Three records a pair: difference with its interval over recipes, p-value, and the smallest
    difference that the test could have shown.
    """
    names = list(values)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    if than:
        pairs = [(name, than) for name in names if name != than]
    records = []
    for a, b in pairs:
        found = paired_comparison(values[a], values[b], groups, seed=seed)
        about_pair = {**about, "model": a, "direction": "", "seed": seed}
        records += comparison_records(found, metric=SCORE, than=b, **about_pair)
        records += _detectable(found, f"{DETECTABLE}, {SCORE}{MINUS}{b}", **about_pair)
    return records


def _detectable(found: Comparison, metric: str, **about) -> list[Record]:
    """Rows that agree on every query leave nothing to estimate it by."""
    if not np.isfinite(found.smallest_detectable):
        return []
    value = found.smallest_detectable
    return [Record(**about, split="test", metric=metric, value=value, n=found.n)]


def observation_records(judged: Sequence[Judged], *, seed: int = 42, **about: str) -> list[Record]:
    """The observations as records, from which :func:`observations_of` judges them again."""
    records = claim_records(judged, metric=SCORE, seed=seed, **about)
    for one in judged:
        shared = {**about, "model": f"claim: {one.claim.name}", "direction": "", "seed": seed}
        records += _detectable(one.comparison, DETECTABLE, **shared)
    return records


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
        claimed = a.startswith("claim: ")
        if kind == SCORE and b and not claimed and (not rows or {a, b} <= set(rows)):
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
    """A row a row of the study: size, score, hit@K both ways, costs, and the original's score."""
    records = list(records)
    rows = list(dict.fromkeys(r.model for r in records if r.metric == SCORE))
    found = {(r.model, r.metric, r.direction): r for r in records}
    lines = []
    for row in rows:
        score = found[row, SCORE, ""]
        seeds = sum(r.metric == ONE_SEED and r.model == row for r in records)
        line = {"row": row, "seeds": seeds,
                "score": f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"}  # fmt: skip
        for way in DIRECTIONS:
            values = [f"{found[row, metric, way].value:.3f}" for metric in METRICS]
            line[f"hit@1 / 5 / 10, {DIRECTION_NAMES[way]}"] = " / ".join(values)
        for cost, unit in COSTS.items():
            if (row, cost, "") in found:
                named = cost.removesuffix("_mb").replace("_", " ")
                name = named if unit == "parameters" else f"{named}, {unit}"
                line[name] = f"{found[row, cost, ''].value:,.0f}"
        line["the original's score"] = f"{ORIGINAL[row].score:.5f}" if row in ORIGINAL else "–"
        lines.append(line)
    return pd.DataFrame(lines).fillna("–")
