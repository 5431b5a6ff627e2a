"""Triplets of the garage: a car in another color, body, decade or place. Made to be tested on.

The composed models of the course learn on dishes; these queries say what carries over to things
that they have never seen.
"""

import numpy as np

from helpers.world.changes import Change, ComposedWorld, Rules, applied, draw_triplets
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


def composed_cars(world: World, *, n_triplets: int, seed: int = 42) -> ComposedWorld:
    """Draw up a test set of a garage: references, targets, and a distractor for each.

    Parameters
    ----------
    world : World
        Of the domain ``garage``; a triplet takes a class of cars.
    n_triplets : int
    seed : int

    Raises
    ------
    ValueError
        If the world has too few classes.

    Examples
    --------
    >>> from helpers.world import open_world
    >>> found = composed_cars(open_world("garage", n_recipes=5), n_triplets=5)
    >>> len(found.sets["test"].gallery)
    15
    """
    if not 0 < n_triplets <= world.n_recipes:
        raise ValueError(
            f"{n_triplets} triplets need as many classes of cars, {world.name} has "
            f"{world.n_recipes}: ask for fewer"
        )
    part = {"first": 0, "n": n_triplets}
    return draw_triplets(world, car_rules(), {"test": part}, seed=seed)


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
