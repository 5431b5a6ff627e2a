"""The records of a placement study as flat records of numbers, with intervals and paired tests.

Every table and figure is drawn from these, so that a study just run and a committed one look alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from helpers.first.evaluation.chance import galleries_of
from helpers.first.evaluation.claims import Judged
from helpers.first.evaluation.comparison import Comparison, paired_comparison
from helpers.first.evaluation.power import NeededSize
from helpers.first.models.evaluate import DIRECTIONS, Evaluation
from helpers.first.report.claims import claim_records
from helpers.first.report.results import Record
from helpers.first.report.studies import MINUS, comparison_records, value_records
from helpers.first.studies.arms import query_values
from helpers.first.studies.placement_runs import Records, RowRecord, score_metric, score_values
from helpers.first.studies.seeds import two_way_interval

BASE = "M0"
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
    galleries = galleries_of(groups)
    both_groups = np.concatenate([np.asarray(groups[way]) for way in DIRECTIONS])
    for name, found in done.items():
        by_seed = np.stack([one.score_values() for one in found])  # (seeds, n)
        records += _scores(name, by_seed, both_groups, [one.seed for one in found], seed, about)
        for way in DIRECTIONS:
            for metric in METRICS:
                mean = np.mean([one.values(metric, way) for one in found], axis=0)
                records += value_records(
                    {name: mean}, metric, groups[way], gallery=galleries[way], direction=way,
                    seed=seed, **about,
                )  # fmt: skip
        records += _costs(name, found, seed, about)
    return records


def zero_shot_records(evaluation: Evaluation, *, seed: int = 42, **about: str) -> list[Record]:
    """Score and hit@K of the base as it is, under the name ``M0``."""
    records, values = [], {}
    asked = {way: evaluation.query_ids(way) for way in DIRECTIONS}
    galleries = galleries_of(asked)
    hit = score_metric({way: len(ids) for way, ids in asked.items()})
    for way in DIRECTIONS:
        first, ids = evaluation.rankings[way].first, asked[way]
        values[way] = query_values(first, hit)
        for metric in METRICS:
            mean = {BASE: query_values(first, metric)}
            records += value_records(
                mean, metric, ids, gallery=galleries[way], direction=way, seed=seed, **about
            )
    groups = np.concatenate([evaluation.query_ids(way) for way in DIRECTIONS])
    return [_score(BASE, SCORE, score_values(values)[None], groups, seed, about), *records]


def _scores(name: str, by_seed: np.ndarray, groups, seeds, seed: int, about) -> list[Record]:
    shared = {**about, "model": name, "split": "test", "direction": "", "n": by_seed.shape[1]}
    mean = by_seed.mean(axis=0, keepdims=True)
    return [
        _score(name, SCORE, by_seed, groups, seed, about),
        _score(name, RECIPES, mean, groups, seed, about),
        *(
            Record(**shared, metric=ONE_SEED, value=float(values.mean()), seed=one)
            for one, values in zip(seeds, by_seed, strict=True)
        ),
    ]


def _score(name: str, metric: str, by_seed: np.ndarray, groups, seed: int, about) -> Record:
    i = two_way_interval(by_seed, groups)
    return Record(
        **about, model=name, split="test", direction="", metric=metric, seed=seed,
        value=i.value, low=max(i.low, 0.0), high=min(i.high, 1.0), n=by_seed.shape[1],
    )  # fmt: skip


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
    known: Iterable[Record] = (),
    **about: str,
) -> list[Record]:
    """Paired comparisons on the score: all pairs, or every row with the row ``than``.

    Three records a pair: difference with its interval over recipes, p-value, and the smallest
    difference that the test could have shown. Pairs that are ``known`` are left out.
    """
    pairs = list(combinations(values, 2))
    if than:
        pairs = [(name, than) for name in values if name != than]
    done = {frozenset((r.model, r.metric.removeprefix(f"{SCORE}{MINUS}"))) for r in known}
    records = []
    for a, b in pairs:
        if {a, b} in done:
            continue
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


def needed_records(
    needed: Mapping[str, tuple[float, NeededSize | None]],
    n: int,
    *,
    seed: int = 42,
    **about: str,
) -> list[Record]:
    """:func:`needed_table` as records; ``n`` queries of this test set show the spread."""
    return [
        Record(**about, model=f"claim: {name}", split="test", direction="", value=size.queries,
               metric=f"queries that show {100 * wanted:.2f} points", seed=seed, unit="queries", n=n)
        for name, (wanted, size) in needed.items() if size
    ]  # fmt: skip
