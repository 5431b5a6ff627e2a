"""Which numbers a parameter can have, by its name, so that ``-p rank=-3`` stops before cell 1.

A name means the same in every lesson, so one table serves all of them. The lessons' own validation
stays what decides (it knows how values bear on each other, and plain papermill has nothing else);
this table only says the plain mistakes minutes earlier.
"""

from collections.abc import Callable
from dataclasses import dataclass

SEEDS = 2**32  # NumPy takes seeds below it


@dataclass(frozen=True)
class Range:
    """A condition on a number, and how it reads after "has to be"."""

    text: str
    holds: Callable[[float], bool]


def _at_least(least: int) -> Range:
    return Range(f"{least} or more", lambda value: value >= least)


ABOVE_ZERO = Range("above 0", lambda value: value > 0)
SHARE = Range("at least 0 and below 1", lambda value: 0 <= value < 1)
OPEN_SHARE = Range("above 0 and below 1", lambda value: 0 < value < 1)
LAYERS = Range("a number of layers, 0 for none or -1 for all", lambda value: value >= -1)
RANGES = {
    "seed": Range(f"from 0 to {SEEDS - 1}", lambda value: 0 <= value < SEEDS),
    "n_seeds": _at_least(1),
    "max_recipes": _at_least(0),
    "cleaning_seeds": _at_least(0),
    "image_px": _at_least(1),
    "test_share": OPEN_SHARE,
    "validation_share": SHARE,
    "batch_size": _at_least(1),
    "accumulation": _at_least(1),
    "epochs": _at_least(1),
    "learning_rate": _at_least(0),
    "warmup": _at_least(0),
    "rank": _at_least(1),
    "alpha": ABOVE_ZERO,
    "dropout": SHARE,
    "vision_layers": LAYERS,
    "text_layers": LAYERS,
    "copies": _at_least(0),
    "labelled": _at_least(1),
    "marked_recipes": _at_least(0),
    "n_resamples": _at_least(1),
    "steps": _at_least(1),
    "n_queries": _at_least(1),
    "samples": _at_least(2),
    "batch_samples": _at_least(2),
    "held": _at_least(2),
    "stage_b_epochs": _at_least(1),
    "stage_b_rate": _at_least(0),
    "hourly_price": _at_least(0),
    "n_trials": _at_least(0),
    "max_images": _at_least(0),
    "n_permutations": _at_least(1),
    "n_probes": _at_least(4),
    "base_share": OPEN_SHARE,
    "minutes": _at_least(0),
    "recall": Range("above 0 and at most 1", lambda value: 0 < value <= 1),
    "drift_recipes": _at_least(1),
    "limit_seeds": _at_least(20),
    "n_annotated": _at_least(2),
    "n_pool": _at_least(2),
    "n_validation": _at_least(2),
    "n_test": _at_least(2),
    "n_pairs": _at_least(2),
    "n_transfer": _at_least(2),
    "pretraining_steps": _at_least(1),
    "combiner_width": _at_least(0),
    "qformer_steps": _at_least(2),
    "qformer_pretraining_steps": _at_least(1),
    "qformer_batch": _at_least(2),
    "qformer_rate": _at_least(0),
    "generator_steps": _at_least(1),
    "generator_batch": _at_least(1),
    "generator_rate": SHARE,
}


def out_of_range(name: str, value: object) -> str:
    """What a number of this name has to be, where ``value`` is not that; else an empty text.

    >>> out_of_range("rank", -3)
    '1 or more'
    >>> out_of_range("rank", 8)
    ''
    """
    known = RANGES.get(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return known.text if known and number and not known.holds(value) else ""
