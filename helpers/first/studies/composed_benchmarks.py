"""What the benchmarks of composed retrieval hold, and what guessing and knowing score on them.

Only annotations are needed. A random ranking is the floor that every number stands on; an oracle is
the test of the reader and of the metric: it has to score 1.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import paths
from helpers.first.data.composed_benchmarks import CATEGORIES, GALLERIES, read_cirr, read_fashioniq
from helpers.first.evaluation.composed import (
    cirr_metrics,
    cirr_submission,
    fashioniq_metrics,
    rank_subsets,
)
from helpers.first.evaluation.positives import positives_from_lists
from helpers.first.evaluation.ranks import Ranking, rank_positives_from_scores
from helpers.store.zones import write_file_atomically
from helpers.topics.cir.triplets import TripletSet

NAMES = ("fashioniq", "cirr")
HOW = (
    "No folder of benchmarks: nothing is read here. Get the annotations (data/README.md says "
    "where) and give their folder, with fashioniq/ and cirr/ below it: -p benchmarks=FOLDER."
)


def read_benchmarks(folder: Path | str) -> dict[str, TripletSet]:
    """The validation sets that lie in a folder, by name: FashionIQ with both galleries, and CIRR.

    Parameters
    ----------
    folder : path
        Holds ``fashioniq/`` and ``cirr/``, or one of them.

    Raises
    ------
    TripletError
        For a broken file.
    FileNotFoundError
        If neither is there.
    """
    folder = paths.find(folder)
    found: dict[str, TripletSet] = {}
    if (folder / "fashioniq").is_dir():
        for gallery in GALLERIES:
            for category in CATEGORIES:
                one = read_fashioniq(folder / "fashioniq", category=category, gallery=gallery)
                found[f"FashionIQ {category}, {gallery}"] = one
    if (folder / "cirr").is_dir():
        found["CIRR"] = read_cirr(folder / "cirr")
    if not found:
        raise FileNotFoundError(f"{folder} holds neither fashioniq/ nor cirr/: {HOW}")
    return found


def count_table(sets: Mapping[str, TripletSet]) -> pd.DataFrame:
    """A row a set: entries read, queries, images of the gallery, and what the protocol says."""
    return pd.DataFrame(
        [
            {
                "benchmark": name,
                "entries": one.n_read,
                "queries": len(one.triplets),
                "gallery": len(one.gallery),
                "notes and rejects": len(one.rejects),
                "reference": "leaves the ranking" if one.exclude_reference else "stays",
            }
            for name, one in sets.items()
        ]
    )


def guesses(triplets: TripletSet, *, oracle: bool, seed: int = 42) -> np.ndarray:
    """(q, g) float32 scores of somebody who knows nothing, or everything."""
    shape = (len(triplets.triplets), len(triplets.gallery))
    scores = np.random.default_rng(seed).random(shape, dtype=np.float32)
    if oracle:
        for query, rows in enumerate(triplets.positives()):
            scores[query, rows] += 1
    return scores


def rank_guesses(scores: np.ndarray, triplets: TripletSet) -> Ranking:
    """Ranks by the set's own protocol."""
    positives = positives_from_lists(triplets.positives(), n_gallery=len(triplets.gallery))
    return rank_positives_from_scores(scores, positives, exclude=np.array(triplets.excluded()))


def floor_and_ceiling(sets: Mapping[str, TripletSet], *, seed: int = 42) -> pd.DataFrame:
    """A row a metric: what random scores reach, and what an oracle does."""
    columns: dict[str, dict[str, float]] = {}
    for who, oracle in (("random", False), ("oracle", True)):
        found: dict[str, float] = {}
        for gallery in GALLERIES:
            rankings = {
                category: rank_guesses(guesses(sets[name], oracle=oracle, seed=seed), sets[name])
                for category in CATEGORIES
                if (name := f"FashionIQ {category}, {gallery}") in sets
            }
            if rankings:
                metrics = fashioniq_metrics(rankings)
                found |= {f"FashionIQ, {gallery}, {key}": v for key, v in metrics.items()}
        if "CIRR" in sets:
            scores = guesses(sets["CIRR"], oracle=oracle, seed=seed)
            found |= {f"CIRR, {key}": v for key, v in cirr_scores(scores, sets["CIRR"]).items()}
        columns[who] = found
    return pd.DataFrame(columns).rename_axis("metric").reset_index()


def cirr_scores(scores: np.ndarray, triplets: TripletSet) -> dict[str, float]:
    """CIRR's metrics of (q, g) scores over the gallery of a set whose targets are known."""
    rows = triplets.rows()
    subsets = [[rows[name] for name in one.subset] for one in triplets.triplets]
    inside = rank_subsets(scores, subsets, triplets.positives())
    return cirr_metrics(rank_guesses(scores, triplets), inside)


def write_submissions(folder: Path | str, benchmarks: Path | str, *, seed: int = 42) -> list[Path]:
    """Both files for CIRR's test server, of random scores: what a valid one looks like.

    Written for ``test1`` where its files are there, else for ``val``; see :func:`submissions`.
    None without CIRR.
    """
    place = paths.find(benchmarks) / "cirr"
    if not place.is_dir():
        return []
    public = any((place / inner / "cap.rc2.test1.json").is_file() for inner in ("", "captions"))
    asked = read_cirr(place, split="test1" if public else "val")
    shape = (len(asked.triplets), len(asked.gallery))
    scores = np.random.default_rng(seed).random(shape, dtype=np.float32)
    written = []
    for metric, content in submissions(scores, asked).items():
        path = Path(folder) / f"{asked.split}_pred_ranks_{metric}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file_atomically(path, json.dumps(content).encode())
        written.append(path)
    return written


def submissions(scores: np.ndarray, triplets: TripletSet) -> dict[str, dict[str, str | list[str]]]:
    """Both files that CIRR's test server takes, by their metric; targets need not be known."""
    pair_ids = [one.pair_id for one in triplets.triplets]
    references = [one.reference for one in triplets.triplets]
    subsets = [one.subset for one in triplets.triplets]
    return {
        "recall": cirr_submission(scores, triplets.gallery, pair_ids, references),
        "recall_subset": cirr_submission(
            scores, triplets.gallery, pair_ids, references, subsets=subsets
        ),
    }
