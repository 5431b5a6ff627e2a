"""Triplets of the garage: a car in another color, body, decade or place. Made to be tested on.

The composed models of the course learn on dishes; these queries say what carries over to things
that they have never seen.
"""

from dataclasses import replace

import numpy as np

from helpers.repro import hash_of
from helpers.world.changes import Change, ComposedWorld, Shown, applied
from helpers.world.domain import Attributes
from helpers.world.garage import YEARS
from helpers.world.phrases import chance, pick, with_article, word
from helpers.world.surfaces import COLORS, TABLES
from helpers.world.triplets import Triplet, TripletSet
from helpers.world.vehicles import BODIES
from helpers.world.world import World

CHANGEABLE: dict[str, tuple[str, ...]] = {
    "color": tuple(COLORS),
    "body": tuple(BODIES),
    "table": TABLES,
    "decade": tuple(YEARS),
}
TWO_CHANGES = 0.35


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
    shown: dict[str, Shown] = {}
    drafts: list[tuple[Triplet, Attributes]] = []
    for index in range(n_triplets):
        rng = np.random.default_rng([seed, 3, index])
        a = world.picture_attributes(index, 0)
        changes = car_changes(a, rng)
        wanted = _dated(applied(a, changes))
        other = _dated(applied(a, car_changes(a, rng, n=1)))
        pair_id = f"car-{index:05d}"
        parts = (("reference", a), ("target", wanted), ("other", other))
        for view, (part, attributes) in enumerate(parts):
            shown[f"{pair_id}-{part}"] = Shown(attributes, index, view)
        triplet = Triplet(
            pair_id, f"{pair_id}-reference", (), car_modification(changes, rng), group=pair_id,
            reverse=car_modification(tuple(change.back for change in changes), rng),
            changed=tuple(change.attribute for change in changes),
        )  # fmt: skip
        drafts.append((triplet, wanted))
    triplets = tuple(_with_targets(draft, wanted, shown) for draft, wanted in drafts)
    test = TripletSet(
        world.name, "test", triplets, tuple(shown), exclude_reference=True, n_read=len(triplets)
    )
    fingerprint = hash_of([world.fingerprint, n_triplets, seed, "cars"])
    return ComposedWorld({"test": test}, shown, world, fingerprint)


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


def _dated(a: Attributes) -> Attributes:
    return {**a, "year": YEARS[a["decade"]]}


def _with_targets(draft: Triplet, wanted: Attributes, shown: dict[str, Shown]) -> Triplet:
    alike = (name for name, one in shown.items() if one.attributes == wanted)
    return replace(draft, targets=tuple(name for name in alike if name != draft.reference))
