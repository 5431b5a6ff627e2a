"""Arms over seeds: which arms a study has, how they are run, and how two of them are compared.

A query's value is averaged over the seeds of an arm before recipes are resampled: the interval of a
difference then speaks of these recipes and of the mean over these seeds.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import torch

from helpers.data.pairs import Pairs
from helpers.first.evaluation.intervals import Interval, bootstrap_interval
from helpers.first.models.encoders import Encoder
from helpers.first.training.arms import Arm
from helpers.first.training.runs import Run, ensure_run

BOUNDS = dict.fromkeys(("hit", "mrr", "map"), (0.0, 1.0))


def run_arms(
    pairs: Pairs,
    encoder: Encoder,
    arms: Mapping[str, Arm],
    *,
    seeds: Sequence[int],
    n_resamples: int = 2000,
) -> dict[str, list[Run]]:
    """Every arm with every seed; what is done already is read from the zone."""
    done: dict[str, list[Run]] = {name: [] for name in arms}
    for seed in seeds:
        for name, arm in arms.items():
            seeded = replace(arm, training=replace(arm.training, seed=seed))
            run = ensure_run(pairs, encoder, seeded, n_resamples=n_resamples)
            done[name].append(run)
    return done


def query_values(ranks: np.ndarray, metric: str) -> np.ndarray:
    """``hit@K`` or ``mrr`` of each query from the ranks of their first hits.

    >>> query_values(np.array([1, 20]), "hit@10").tolist()
    [1.0, 0.0]
    """
    name, _, k = metric.partition("@")
    if name == "hit" and k.isdigit():
        return (ranks <= int(k)).astype(float)
    if metric == "mrr":
        return 1 / ranks
    raise ValueError(f"metric {metric!r} cannot be had from first ranks: use hit@K or mrr")


def seed_mean(runs: Sequence[Run], direction: str, metric: str) -> np.ndarray:
    """(q,) the value of each query, averaged over the seeds."""
    return np.mean([query_values(run.ranks(direction), metric) for run in runs], axis=0)


def by_arm(runs: Mapping[str, Sequence[Run]], direction: str, metric: str) -> dict[str, np.ndarray]:
    """:func:`seed_mean` of every arm."""
    return {name: seed_mean(done, direction, metric) for name, done in runs.items()}


def interval(values: np.ndarray, metric: str, groups: Sequence[str], *, seed: int = 42) -> Interval:
    """The mean of per-query values with its interval over recipes."""
    bounds = BOUNDS[metric.partition("@")[0]]
    return bootstrap_interval(values, groups, bounds=bounds, seed=seed)


def in_turns(
    variants: Mapping[str, torch.nn.Module],
    works: Mapping[str, Callable[[torch.nn.Module], object]],
    *,
    n: int,
    rounds: int = 5,
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """How fast some networks do some work, measured in turns so that none has the better minute.

    Parameters
    ----------
    works : mapping
        Name to a function that does ``n`` items with a network.

    Returns
    -------
    dict
        Variant to work to (slowest, median, fastest) in items a second; the first round warms up.
    """
    seconds: dict[tuple[str, str], list[float]] = {}
    with torch.inference_mode():
        for turn in range(rounds + 1):
            for (name, network), (what, work) in product(variants.items(), works.items()):
                began = time.perf_counter()
                work(network)
                if next(network.parameters()).is_cuda:
                    torch.cuda.synchronize()
                if turn:
                    seconds.setdefault((name, what), []).append(time.perf_counter() - began)
    rates = {key: n / np.array(found) for key, found in seconds.items()}
    return {
        name: {
            what: tuple(float(v) for v in np.quantile(rates[name, what], (0, 0.5, 1)))
            for what in works
        }
        for name in variants
    }
