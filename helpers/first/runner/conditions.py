"""What the parameters of one lesson have to be together, known before any work is done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Condition:
    """A condition on some parameters, for every lesson that declares all of them.

    ``problem`` says what to give; empty: the condition holds.
    """

    names: tuple[str, ...]
    problem: Callable[[Values], str]


def _no_layer(v: Values) -> str:
    heads_alone = v.get("method") == "full" and v.get("heads")
    none = v["vision_layers"] == v["text_layers"] == 0 and not heads_alone
    return "an adapter needs a layer: give one of them 1 or more, or -1 for all" if none else ""


def _no_negatives(v: Values) -> str:
    accumulated = v.get("accumulation", 1) if v.get("accumulate", "cached") == "cached" else 1
    alone = v["batch_size"] * accumulated < 2
    return "a batch of one pair has no negatives: give batch_size 2 or more" if alone else ""


def _all_held_out(v: Values) -> str:
    if v["test_share"] + v["validation_share"] < 1:
        return ""
    return "nothing is left to train on: give shares whose sum is below 1"


def _uneven(batch: str, samples: str, held: str) -> Callable[[Values], str]:
    def problem(v: Values) -> str:
        for size in map(int, str(v[batch]).split(",")):
            if size < 2 or v[samples] % size:
                return f"give {samples} as a multiple of each batch of 2 or more, here {size}"
            if size % min(v[held], size):
                return f"give {held} so that it divides each larger batch, here {size}"
        return ""

    return problem


def _parts(v: Values) -> str:
    """Lesson 09 cuts a batch into up to four parts of two pairs or more."""
    batch = v["batch_size"]
    if batch % max(1, min(4, batch // 2)):
        return (
            f"a batch is cut into {min(4, batch // 2)} equal parts: give batch_size as a multiple"
        )
    return (
        "" if v["batch_samples"] % batch == 0 else "give batch_samples as a multiple of batch_size"
    )


def _augmentation(v: Values) -> str:
    from helpers.topics.augmentation.config import ConfigError, load_config

    try:
        load_config(v["augmentation"])
    except ConfigError as error:
        return str(error)
    return ""


CONDITIONS = (
    Condition(("vision_layers", "text_layers"), _no_layer),
    Condition(("batch_size", "epochs"), _no_negatives),
    Condition(("test_share", "validation_share"), _all_held_out),
    Condition(("augmentation",), _augmentation),
    Condition(("batch_size", "samples", "held"), _uneven("batch_size", "samples", "held")),
    Condition(("batch_size", "batch_samples"), _parts),
    Condition(
        ("batch_sizes", "batch_samples", "held"), _uneven("batch_sizes", "batch_samples", "held")
    ),
)


def problem_of(values: Values) -> tuple[tuple[str, ...], str]:
    """The first condition that does not hold: its parameters, and what to give; or nothing."""
    for condition in CONDITIONS:
        if all(name in values for name in condition.names) and (why := condition.problem(values)):
            return condition.names, why
    return (), ""
