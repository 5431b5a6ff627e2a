"""Which numbers a parameter can have, by its name, so that ``-p rank=-3`` stops before cell 1.

A name means the same in every lesson, so one table serves all of them: ``course run`` reads it
before it starts, and each lesson's second cell in whatever way the lesson is run.
"""

from collections.abc import Callable
from dataclasses import dataclass

SEEDS = 2**32  # NumPy takes seeds below it


@dataclass(frozen=True)
class Range:
    """A condition on a number, and how it reads after "has to be"."""

    text: str
    holds: Callable[[float], bool]


def at_least(least: int) -> Range:
    """The condition of a number that has to be ``least`` or more."""
    return Range(f"{least} or more", lambda value: value >= least)


ABOVE_ZERO = Range("above 0", lambda value: value > 0)
LEARNING_RATE = Range("above 0, such as 0.001", lambda value: value > 0)
SHARE = Range("at least 0 and below 1", lambda value: 0 <= value < 1)
OPEN_SHARE = Range("above 0 and below 1", lambda value: 0 < value < 1)
LAYERS = Range("a number of layers, 0 for none or -1 for all", lambda value: value >= -1)
RANGES = {
    "seed": Range(f"from 0 to {SEEDS - 1}", lambda value: 0 <= value < SEEDS),
    "n_seeds": at_least(1),
    "max_recipes": at_least(0),
    "image_px": at_least(1),
    "test_share": OPEN_SHARE,
    "validation_share": SHARE,
    "batch_size": at_least(1),
    "epochs": at_least(1),
    "learning_rate": at_least(0),
    "warmup": at_least(0),
    "rank": at_least(1),
    "alpha": ABOVE_ZERO,
    "distill": at_least(0),
    "factor": Range("above 0 and at most 1.25", lambda value: 0 < value <= 1.25),
    "dropout": SHARE,
    "vision_layers": LAYERS,
    "text_layers": LAYERS,
    "copies": at_least(0),
    "labelled": at_least(2),
    "marked_recipes": at_least(0),
    "steps": at_least(1),
    "n_queries": at_least(1),
    "samples": at_least(2),
    "batch_samples": at_least(2),
    "n_recipes": at_least(0),
    "margin": Range("from -1 to 1", lambda value: -1 <= value <= 1),
    "margin_steps": at_least(1),
    "linear_rate": at_least(0),
    "pull": at_least(0),
    "unfreeze_steps": at_least(0),
    "unfreeze_rate": at_least(0),
    "n_trials": at_least(1),
    "n_probes": at_least(4),
    "recall": Range("above 0 and at most 1", lambda value: 0 < value <= 1),
    "drift_recipes": at_least(1),
    "limit_streams": at_least(20),
    "n_streams": at_least(2),
    "false_alarms": OPEN_SHARE,
    "per_step": at_least(2),
    "gallery_rows": at_least(1000),
    "dimensions": at_least(2),
    "rescored": at_least(10),
    "n_annotated": at_least(2),
    "n_pool": at_least(2),
    "n_validation": at_least(2),
    "n_test": Range("2 or more, or 0 for all", lambda value: value == 0 or value >= 2),
    "n_pairs": at_least(2),
    "qformer_steps": at_least(2),
    "collapse_steps": at_least(1),
    "generator_steps": at_least(1),
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
