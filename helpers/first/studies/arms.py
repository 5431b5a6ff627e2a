"""Arms over seeds: which arms a study has, how they are run, and how two of them are compared.

A query's value is averaged over the seeds of an arm before recipes are resampled: the interval of a
difference then speaks of these recipes and of the mean over these seeds.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import torch

from helpers.data.pairs import Pairs
from helpers.first.evaluation.intervals import Interval, bootstrap_interval
from helpers.first.models.encoders import Encoder
from helpers.first.prepare.augmentation_settings import (
    AugmentationConfig,
    ConfigError,
    load_config,
    only,
)
from helpers.first.training.arms import Arm
from helpers.first.training.pairs import TrainingPairs, epoch_batches
from helpers.first.training.runs import Run, ensure_run
from helpers.first.training.settings import Training
from helpers.first.training.step import optimizer_for, take_step
from helpers.first.training.towers import towers_of

GROUPS = ("none", "images", "texts", "both")
BOUNDS = dict.fromkeys(("hit", "mrr", "map"), (0.0, 1.0))


def augmentation_arms(
    names: str, base: Arm, config: AugmentationConfig | None = None
) -> dict[str, Arm]:
    """Arms that differ in augmentation alone.

    Parameters
    ----------
    names : str
        Comma-separated: ``none``, ``images`` (all enabled transforms), ``texts`` (all enabled
        rules), ``both``, or transforms and rules by name, with ``+`` between those of one arm.
    base : Arm

    Raises
    ------
    ConfigError
        For a name that is none of these, or that the file switches off.
    """
    config = load_config() if config is None else config
    images = tuple(name for name, rule in config.images.items() if rule.enabled)
    texts = tuple(name for name, rule in config.texts.items() if rule.enabled)
    groups = {"none": (), "images": images, "texts": texts, "both": images + texts}
    arms = {}
    for name in dict.fromkeys(part.strip() for part in names.split(",")):
        parts = [one for part in name.split("+") for one in groups.get(part, (part,))]
        only(config, *parts)  # refuses what is unknown
        if off := [one for one in parts if one not in images + texts]:
            raise ConfigError(
                f"arm {name!r}: {off[0]!r} is switched off in the augmentation file; "
                "set its `enabled` to true, or leave the arm out"
            )
        arms[name] = replace(base, augment=tuple(dict.fromkeys(parts)))
    return arms


def training_arms(names: str, base: Arm) -> dict[str, Arm]:
    """Arms that differ in how they are trained.

    Parameters
    ----------
    names : str
        Comma-separated: ``M1`` (``base`` itself), ``random negatives`` or ``hard negatives``, and
        ``plain 2 x 16`` or ``cached 2 x 16``: batches of 2, sixteen to a step, the loss over each
        batch or over all pairs of the step.
    base : Arm

    Raises
    ------
    ValueError
        For a name that is none of these.
    """
    arms = {}
    for name in dict.fromkeys(part.strip() for part in names.split(",")):
        if name == "M1":
            arms[name] = base
        elif found := re.fullmatch(r"(random|hard) negatives", name):
            arms[name] = replace(base, negatives=found[1])
        elif found := re.fullmatch(r"(plain|cached) (\d+) x (\d+)", name):
            size, steps = int(found[2]), int(found[3])
            arms[name] = replace(
                base,
                training=replace(
                    base.training, accumulate=found[1], batch_size=size, accumulation=steps
                ),
            )
        else:
            raise ValueError(
                f"unknown arm {name!r}: use M1, 'random negatives', 'hard negatives', "
                "'plain 2 x 16' or 'cached 2 x 16'"
            )
    return arms


def run_arms(
    pairs: Pairs,
    encoder: Encoder,
    arms: Mapping[str, Arm],
    *,
    seeds: Sequence[int],
    config: AugmentationConfig | None = None,
    n_resamples: int = 2000,
) -> dict[str, list[Run]]:
    """Every arm with every seed; what is done already is read from the zone."""
    done: dict[str, list[Run]] = {name: [] for name in arms}
    for seed in seeds:
        for name, arm in arms.items():
            seeded = replace(arm, training=replace(arm.training, seed=seed))
            run = ensure_run(pairs, encoder, seeded, config=config, n_resamples=n_resamples)
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


def first_step(
    encoder: Encoder, pairs: TrainingPairs, settings: Training
) -> tuple[float, torch.Tensor]:
    """Loss and gradient of the very first step, without taking it.

    Returns
    -------
    float, (p,) float32
        The loss, and the gradients of all trainable parameters in one row.
    """
    rows = next(
        epoch_batches(
            pairs,
            batch_size=settings.pairs_per_step,
            draw=settings.draw,
            seed=settings.seed,
            epoch=0,
        )
    )
    still = replace(settings, learning_rate=0.0, weight_decay=0.0, clip=0.0)
    optimizer = optimizer_for(encoder.model, still)
    record = take_step(
        encoder, pairs, still, towers_of(encoder, pairs), optimizer, rows, step=0, total=1
    )
    trainable = [p for p in encoder.model.parameters() if p.requires_grad]
    return record["loss"], torch.cat([p.grad.flatten() for p in trainable]).cpu()


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
