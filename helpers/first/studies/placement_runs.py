"""The placement study run: every row with every seed, each leaving one small record in the zone.

The adapter of a row lies in the folder of its run. What tables and figures are drawn from lies in
``fine-tuning-zone/experiments/placement/``, a JSON file a row and seed. What is there already is
read, so that an interrupted study goes on where it stopped.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from helpers.data.pairs import Pairs, retrieval_set
from helpers.first.evaluation.chance import telling_k
from helpers.first.models.encoders import Encoder
from helpers.first.models.evaluate import DIRECTIONS
from helpers.first.models.experiments import EXPERIMENTS
from helpers.first.models.placement import Placement
from helpers.first.studies.arms import query_values
from helpers.first.studies.placement import check_rows
from helpers.first.training.arms import Arm
from helpers.first.training.runs import Run, ensure_run
from helpers.first.training.settings import Training
from helpers.store.artefacts import Writer, code_of, ensure
from helpers.store.zones import Zone

FOLDER = f"{EXPERIMENTS}/placement"
SCORE = "hit@10"  # where a gallery has no more than ten rows: hit@5 or hit@1
COSTS = ("trainable_parameters", "parameters", "training_seconds", "peak_memory_mb", "cuda_peak_mb")


@dataclass(frozen=True)
class RowRecord:
    """One row with one seed: what was trained, what it cost, what it found.

    Attributes
    ----------
    row : str
    seed : int
    run_id : str
        Of the run that holds the adapter.
    model, data : str
    placement, training : dict
    validation : float
        Of the epoch that was kept; mean of hit@10 both ways.
    costs : dict
        ``trainable_parameters``, ``parameters``, ``training_seconds``, ``peak_memory_mb`` and,
        where there was a GPU, ``cuda_peak_mb``.
    ranks : dict of direction to list
        Rank of the first hit of each test query.
    """

    row: str
    seed: int
    run_id: str
    model: str
    data: str
    placement: dict[str, Any]
    training: dict[str, Any]
    validation: float
    costs: dict[str, float]
    ranks: dict[str, list[float]]

    def values(self, metric: str, direction: str) -> np.ndarray:
        """(q,) ``hit@K`` or ``mrr`` of each query of a direction."""
        return query_values(np.array(self.ranks[direction]), metric)

    def score_values(self) -> np.ndarray:
        """(n,) values whose mean is the row's score; see :func:`score_values`."""
        metric = score_metric({way: len(ranks) for way, ranks in self.ranks.items()})
        return score_values({way: self.values(metric, way) for way in DIRECTIONS})


Records = Mapping[str, Sequence[RowRecord]]


def score_values(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Values of all queries, text to image first, whose mean is the mean of both directions' means.

    The directions have different numbers of queries, so each value is weighted. A comparison on the
    score is then a paired comparison like any other.

    >>> both = {"text_to_image": np.array([1.0, 1.0, 1.0]), "image_to_text": np.array([0.0])}
    >>> float(score_values(both).mean())
    0.5
    """
    parts = [np.asarray(values[way], dtype=np.float64) for way in DIRECTIONS]
    total = sum(len(part) for part in parts)
    return np.concatenate([part * total / (len(parts) * len(part)) for part in parts])


def score_metric(queries: Mapping[str, int]) -> str:
    """The hit@K behind the score, from the number of queries of each direction.

    What asks in one direction is the gallery of the other.

    >>> score_metric({"text_to_image": 900, "image_to_text": 862})
    'hit@10'
    """
    return f"hit@{telling_k(*queries.values())}"


def score_groups(pairs: Pairs) -> np.ndarray:
    """(n,) the recipe of each value of :func:`score_values`, on the test recipes."""
    data = retrieval_set(pairs.test)
    return np.concatenate([data.caption_ids, data.image_ids])


def run_rows(
    pairs: Pairs,
    encoder: Encoder,
    rows: Mapping[str, Placement],
    *,
    training: Training,
    seeds: Sequence[int],
    rates: Mapping[str, float] | None = None,
    n_resamples: int = 500,
    prefix: str = "auto",
    progress: bool = True,
) -> dict[str, list[RowRecord]]:
    """Train and measure every row with every seed, or read what is there.

    Parameters
    ----------
    pairs : Pairs
    encoder : Encoder
    rows : mapping of name to Placement
    training : Training
        Shared by all rows; its seed is replaced by each of ``seeds``.
    rates : mapping of name to float, optional
        A learning rate of its own for some rows; see :func:`best_rates`.
    n_resamples : int
        Of the intervals that a run keeps; the study's own are taken from the records.
    prefix : str
        Whether rows train from kept prefixes; see :func:`helpers.first.training.runs.ensure_run`.

    Returns
    -------
    dict
        Row to its records, one a seed, as they were read back from the zone.

    Raises
    ------
    PlacementError
        With the row's name, before anything is trained, if the model has no place for it.

    Examples
    --------
    >>> run_rows(pairs, encoder, study_rows("original"), training=t, seeds=[42])  # doctest: +SKIP
    """
    check_rows(rows, encoder)
    rates = rates or {}
    done: dict[str, list[RowRecord]] = {name: [] for name in rows}
    bar = tqdm(total=len(rows) * len(seeds), desc="rows", unit="row", disable=not progress)
    with bar:
        for seed in seeds:
            for name, placement in rows.items():
                rate = rates.get(name, training.learning_rate)
                settings = replace(training, seed=seed, learning_rate=rate)
                bar.set_postfix_str(f"{name}, seed {seed}")
                run = ensure_run(
                    pairs, encoder, Arm(placement, settings), n_resamples=n_resamples,
                    prefix=prefix, also=tuple(rows.values()), progress=False,
                )  # fmt: skip
                done[name].append(ensure_record(name, run))
                bar.update()
    return done


def ensure_record(row: str, run: Run) -> RowRecord:
    """The record of a run as its file in the zone holds it, written where it is missing or old."""
    key = f"{FOLDER}/{run.id}.json"

    def build(writer: Writer) -> None:
        text = json.dumps(asdict(_record_of(row, run)), indent=1, allow_nan=False)
        writer.write_text(key, text + "\n")

    ensure(
        run.pairs.zone,
        f"placement-{run.id}",
        kind="placement record",
        parameters={"row": row},
        inputs={"run": run.manifest.fingerprint},
        build=build,
        prefixes=(key,),
        code=code_of(__name__),
    )
    return _read(run.pairs.zone, key)


def read_records(zone: Zone) -> dict[str, list[RowRecord]]:
    """All records of a zone, row to records by seed, without training anything.

    They may be of several settings: compare what was trained alike.
    """
    found: dict[str, list[RowRecord]] = {}
    records = [_read(zone, key) for key in sorted(zone.sizes(FOLDER))]
    for record in sorted(records, key=lambda one: (one.row, one.seed)):
        found.setdefault(record.row, []).append(record)
    return found


def rate_scores(
    pairs: Pairs,
    encoder: Encoder,
    rows: Mapping[str, Placement],
    *,
    training: Training,
    rates: Sequence[float],
    prefix: str = "auto",
) -> dict[str, dict[float, float]]:
    """The validation score of every row with every learning rate, with the first seed alone."""
    found: dict[str, dict[float, float]] = {name: {} for name in rows}
    for rate in rates:
        settings = replace(training, learning_rate=rate)
        done = run_rows(
            pairs, encoder, rows, training=settings, seeds=[training.seed], prefix=prefix
        )
        for name, (record,) in done.items():
            found[name][rate] = record.validation
    return found


def best_rates(scores: Mapping[str, Mapping[float, float]]) -> dict[str, float]:
    """The learning rate of the best validation score of each row; of equal ones the smallest.

    >>> best_rates({"r8 v2": {0.01: 0.7, 0.001: 0.7, 0.1: 0.5}})
    {'r8 v2': 0.001}
    """
    return {name: min(found, key=lambda r: (-found[r], r)) for name, found in scores.items()}


def _record_of(row: str, run: Run) -> RowRecord:
    kept = next(e for e in run.log["epochs"] if e["epoch"] == run.log["kept_epoch"])
    results = run.results
    return RowRecord(
        row=row,
        seed=run.arm.training.seed,
        run_id=run.id,
        model=results["model"],
        data=run.pairs.source,
        placement=asdict(run.arm.placement),
        training=asdict(run.arm.training),
        validation=kept["score"],
        costs={name: results[name] for name in COSTS if results.get(name) is not None},
        ranks=results["first_hit_ranks"],
    )


def _read(zone: Zone, key: str) -> RowRecord:
    return RowRecord(**json.loads(zone.read_text(key)))
