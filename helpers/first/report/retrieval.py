"""From an evaluation to what a lesson shows of it: flat records and gallery rows."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from helpers.first.evaluation.chance import galleries_of
from helpers.first.models.evaluate import DIRECTIONS, Evaluation, Retrieved
from helpers.first.report.galleries import GalleryRow
from helpers.first.report.results import NOT_MEASURED, Record

UNITS = {"median_rank": "rank", "mean_rank": "rank"}


def retrieval_records(
    evaluation: Evaluation, *, lesson: str, run: str, model: str, data: str, split: str, seed: int
) -> list[Record]:
    """A record for each metric of each direction, with its interval and its chance level.

    ``n`` is the number of queries; an interval that the data cannot bound is left out. A metric
    that says nothing on the gallery has the reason in the place of a value.
    """
    records = []
    ks = [int(m.partition("@")[2]) for m in evaluation.intervals[DIRECTIONS[0]] if "hit@" in m]
    levels = chance_levels(evaluation, ks=ks)
    for direction in DIRECTIONS:
        for metric, interval in evaluation.intervals[direction].items():
            bounded = np.isfinite([interval.low, interval.high]).all()
            absent = bool(interval.reason)
            records.append(
                Record(
                    lesson=lesson,
                    run=run,
                    model=model,
                    data=data,
                    split=split,
                    direction=direction,
                    metric=metric,
                    value=None if absent else interval.value,
                    low=interval.low if bounded else None,
                    high=interval.high if bounded else None,
                    n=interval.n,
                    seed=seed,
                    unit=UNITS.get(metric, "fraction"),
                    chance=None if absent else levels.get((direction, metric)),
                    flag=NOT_MEASURED if absent else "",
                    reason=interval.reason,
                )
            )
    return records


def chance_levels(
    evaluation: Evaluation, *, ks: Sequence[int] = (1, 5, 10)
) -> dict[tuple[str, str], float]:
    """What a random order would score: (direction, ``hit@k``) to fraction."""
    galleries = galleries_of({way: evaluation.query_ids(way) for way in DIRECTIONS})
    return {(way, f"hit@{k}"): galleries[way].chance(f"hit@{k}") for way in DIRECTIONS for k in ks}


def gallery_rows(
    evaluation: Evaluation,
    retrieved: Sequence[Retrieved],
    load_image: Callable[[str], Image.Image],
) -> list[GalleryRow]:
    """Rows for ``retrieval_gallery``, with the pictures loaded."""
    data, rows = evaluation.data, []
    for found in retrieved:
        if found.direction == "text_to_image":
            query = str(data.captions[found.query])
            results = [load_image(str(data.image_keys[row])) for row in found.results]
        else:
            query = load_image(str(data.image_keys[found.query]))
            results = [str(data.captions[row]) for row in found.results]
        rows.append(GalleryRow(query, results, found.scores, found.correct, found.rank))
    return rows


def spread_queries(
    evaluation: Evaluation, direction: str, *, n: int, hits: bool, k: int = 5, seed: int = 42
) -> list[int]:
    """``n`` random queries whose first hit is (or is not) in the first ``k``, at most one a recipe.

    Fewer come back where there are fewer.
    """
    rng = np.random.default_rng(seed)
    first, ids = evaluation.rankings[direction].first, evaluation.query_ids(direction)
    chosen: dict[str, int] = {}
    for query in rng.permutation(np.flatnonzero((first <= k) == hits)):
        chosen.setdefault(str(ids[query]), int(query))
        if len(chosen) == n:
            break
    return list(chosen.values())
