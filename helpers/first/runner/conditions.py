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


def _no_step(sizes: str, samples: str) -> Callable[[Values], str]:
    def problem(v: Values) -> str:
        most = max(map(int, str(v[sizes]).split(",")))
        return (
            ""
            if v[samples] >= most
            else f"a step takes {most} pairs: give {samples} at least as many"
        )

    return problem


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
    Condition(("batch_size", "samples"), _no_step("batch_size", "samples")),
    Condition(("batch_sizes", "batch_samples"), _no_step("batch_sizes", "batch_samples")),
)


def problem_of(values: Values) -> tuple[tuple[str, ...], str]:
    """The first condition that does not hold: its parameters, and what to give; or nothing."""
    for condition in CONDITIONS:
        if all(name in values for name in condition.names) and (why := condition.problem(values)):
            return condition.names, why
    return (), ""
