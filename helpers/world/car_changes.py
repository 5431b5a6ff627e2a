"""Triplets of the garage: a car in another color, body, decade or place. Made to be tested on.

The composed models of the course learn on dishes; these queries say what carries over to things
that they have never seen.
"""

import numpy as np

from helpers.world.changes import Change, Rules, applied
from helpers.world.domain import Attributes
from helpers.world.garage import YEARS
from helpers.world.phrases import chance, pick, with_article, word
from helpers.world.surfaces import COLORS, TABLES
from helpers.world.vehicles import BODIES
from helpers.world.world import World

CHANGEABLE: dict[str, tuple[str, ...]] = {
    "color": tuple(COLORS),
    "body": tuple(BODIES),
    "table": TABLES,
    "decade": tuple(YEARS),
}
TWO_CHANGES = 0.35


def car_rules() -> Rules:
    """How cars change: color, body, decade, table."""
    return Rules(3, _pictured, car_changes, _changed, car_modification)


def car_changes(a: Attributes, rng: np.random.Generator, *, n: int = 0) -> tuple[Change, ...]:
    """One or two changes of a car; ``n`` fixes how many."""
    n = n or 1 + int(chance(rng, TWO_CHANGES))
    names = [list(CHANGEABLE)[i] for i in rng.permutation(len(CHANGEABLE))[:n]]
    return tuple(
        Change(name, a[name], pick(rng, [v for v in CHANGEABLE[name] if v != a[name]]))
        for name in sorted(names, key=list(CHANGEABLE).index)
    )


def car_modification(changes: tuple[Change, ...], rng: np.random.Generator) -> str:
    """What a person would type: "in blue and on marble"."""
    joined = pick(rng, (" and ", ", ")).join(_phrase(change, rng) for change in changes)
    return pick(rng, ("", "", "the same but ")) + joined


def _phrase(change: Change, rng: np.random.Generator) -> str:
    if change.attribute == "color":
        return pick(rng, ("in {}", "{} and not {old}", "make it {}")).format(
            change.new, old=change.old
        )
    if change.attribute == "table":
        return f"on {word(rng, 'table', change.new)}"
    if change.attribute == "body":
        return pick(rng, ("as {}", "{} instead")).format(with_article(change.new))
    return pick(rng, ("from the {}", "a {} model")).format(change.new)


def _pictured(world: World, index: int) -> Attributes:
    return world.picture_attributes(index, 0)


def _changed(a: Attributes, changes: tuple[Change, ...]) -> Attributes:
    found = applied(a, changes)
    return {**found, "year": YEARS[found["decade"]]}
