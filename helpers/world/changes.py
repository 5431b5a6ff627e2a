"""Triplets of the drawn world: a dish, a wish to change it, and every picture that fulfills it.

What changes and what stays is known, so every picture of the gallery with the wanted attributes is
a positive, and a text can be checked against the truth. Some combinations of a dish and a new value
never occur in training: they are asked for in the test alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from helpers.repro import hash_of
from helpers.world.domain import NONE, Attributes
from helpers.world.kitchen import VALUES
from helpers.world.phrases import WORDS, chance, pick, with_article, word
from helpers.world.triplets import Triplet, TripletSet
from helpers.world.world import World

SPLITS = ("train", "validation", "test")
CHANGEABLE = ("dish", "main", "garnish", "sauce", "plate", "table")
UNCOUNTED = ("sushi", "pasta", "fried rice", "broth", "masala")
TWO_CHANGES = 0.35  # the share of triplets that change two attributes
HELD_OUT_SHARE = 0.2  # of all combinations of a dish and a new value


@dataclass(frozen=True)
class Change:
    """One attribute that goes from ``old`` to ``new``."""

    attribute: str
    old: str
    new: str

    @property
    def back(self) -> "Change":
        """The way from the target to the reference."""
        return Change(self.attribute, self.new, self.old)


@dataclass(frozen=True)
class Shown:
    """A picture of the gallery: what it shows, and whose layout and light it has."""

    attributes: Attributes
    index: int
    view: int


@dataclass(frozen=True)
class ComposedWorld:
    """Triplets over pictures that are drawn when they are asked for.

    Attributes
    ----------
    sets : mapping of TripletSet
        ``train``, ``validation`` and ``test``; no reference recipe is in two of them.
    shown : mapping of Shown
        By the pictures' ids, over all sets.
    world : World
    """

    sets: Mapping[str, TripletSet]
    shown: Mapping[str, Shown]
    world: World
    fingerprint: str

    def load_image(self, name: str) -> Image.Image:
        """The picture of an id. Raises ``KeyError`` if there is none."""
        if name not in self.shown:
            raise KeyError(f"{name!r} is not a picture of {self.world.name}'s triplets")
        one = self.shown[name]
        return self.world.picture(one.attributes, one.index, one.view).image


def composed_world(world: World, *, counts: Mapping[str, int], seed: int = 42) -> ComposedWorld:
    """Draw up triplets of a kitchen.

    The gallery of a set holds references and targets of all its triplets and, for each, a
    distractor: the reference with another change, which only the text tells from the target.

    Parameters
    ----------
    world : World
        Of the domain ``kitchen``; its recipes are the references.
    counts : mapping of int
        Triplets of each split; a split takes recipes of its own.
    seed : int

    Raises
    ------
    ValueError
        If a split is unknown, or the world has too few recipes.
    """
    if unknown := sorted(set(counts) - set(SPLITS)):
        raise ValueError(f"unknown split {unknown[0]!r}: use {', '.join(SPLITS)}")
    if sum(counts.values()) > world.n_recipes:
        raise ValueError(
            f"{sum(counts.values())} triplets need as many recipes, {world.name} has "
            f"{world.n_recipes}: set max_recipes higher, or ask for fewer"
        )
    held_out = held_out_combinations(seed)
    sets, shown, start = {}, {}, 0
    for split in SPLITS:
        n = counts.get(split, 0)
        if n:
            indices = range(start, start + n)
            sets[split], pictures = _draw_split(world, indices, split, seed, held_out)
            shown |= pictures
        start += n
    fingerprint = hash_of([world.fingerprint, dict(counts), seed])
    return ComposedWorld(sets, shown, world, fingerprint)


def held_out_combinations(seed: int) -> frozenset[tuple[str, str, str]]:
    """(attribute, new value, dish) that no training triplet asks for; each dish keeps others."""
    rng = np.random.default_rng([seed, 1])
    return frozenset(
        (name, value, dish)
        for name in CHANGEABLE
        if name != "dish"
        for value in VALUES[name]
        for dish in VALUES["dish"]
        if rng.random() < HELD_OUT_SHARE
    )


def draw_changes(
    a: Attributes,
    rng: np.random.Generator,
    *,
    held_out: frozenset,
    ask_for_held_out: bool = False,
    n: int = 0,
) -> tuple[Change, ...]:
    """One or two changes of a dish; ``n`` fixes how many.

    None of them is a held-out combination, or, with ``ask_for_held_out``, the last one is if the
    dish has such a combination for the attribute that was drawn.
    """
    n = n or 1 + int(chance(rng, TWO_CHANGES))
    names = [CHANGEABLE[i] for i in rng.permutation(len(CHANGEABLE))[:n]]
    names.sort(key=lambda name: name != "dish")  # the dish first: the rest is served on it
    changes: list[Change] = []
    for place, name in enumerate(names, start=1):
        dish = next((c.new for c in changes if c.attribute == "dish"), a["dish"])
        others = [value for value in VALUES[name] if value != a[name]]
        known = [value for value in others if (name, value, dish) not in held_out]
        unseen = [value for value in others if value not in known]
        wanted = unseen if ask_for_held_out and place == n and unseen else known
        changes.append(Change(name, a[name], pick(rng, wanted)))
    return tuple(changes)


def applied(a: Attributes, changes: tuple[Change, ...]) -> Attributes:
    """The attributes after the changes."""
    return {**a, **{change.attribute: change.new for change in changes}}


def modification(changes: tuple[Change, ...], rng: np.random.Generator) -> str:
    """What a person would type to ask for the changes: "with tofu instead of beef, on marble"."""
    joined = pick(rng, (" and ", ", ")).join(_phrase(change, rng) for change in changes)
    return pick(rng, ("", "", "the same but ")) + joined


def _phrase(change: Change, rng: np.random.Generator) -> str:
    name, old, new = change.attribute, change.old, change.new
    if name == "plate":
        return pick(rng, ("on {} plate", "with {} plate")).format(with_article(new))
    if name == "table":
        return f"on {word(rng, name, new)}"
    if new == NONE:
        gone = word(rng, name, old) if name in WORDS else old
        return pick(rng, ("without {}", "no {}")).format(gone)
    thing = word(rng, name, new)
    if name == "dish":
        counted = not thing.endswith("s") and thing not in UNCOUNTED
        return pick(rng, ("{} instead", "as {}")).format(with_article(thing) if counted else thing)
    if old == NONE:
        return pick(rng, ("with {}", "add {}")).format(thing)
    forms = ("with {} instead of {old}", "{} and not {old}", "replace {old} with {}", "with {}")
    return pick(rng, forms).format(thing, old=word(rng, name, old))


def _draw_split(
    world: World, indices: range, split: str, seed: int, held_out: frozenset
) -> tuple[TripletSet, dict[str, Shown]]:
    pictures: dict[str, Shown] = {}
    drafts: list[tuple[Triplet, Attributes]] = []
    for index in indices:
        rng = np.random.default_rng([seed, 2, index])
        a = world.attributes(index)
        asks = split == "test" and chance(rng, 0.5)
        changes = draw_changes(a, rng, held_out=held_out, ask_for_held_out=asks)
        wanted = applied(a, changes)
        other = applied(a, draw_changes(a, rng, held_out=held_out, n=1))
        pair_id = f"{split}-{index:05d}"
        for view, (part, shown) in enumerate(
            (("reference", a), ("target", wanted), ("other", other))
        ):  # each a view of its own: a target is another picture, not the reference repainted
            pictures[f"{pair_id}-{part}"] = Shown(shown, index, view)
        triplet = Triplet(
            pair_id,
            f"{pair_id}-reference",
            (),
            modification(changes, rng),
            group=pair_id,
            reverse=modification(tuple(change.back for change in changes), rng),
            changed=tuple(change.attribute for change in changes),
            held_out=any((c.attribute, c.new, wanted["dish"]) in held_out for c in changes),
        )
        drafts.append((triplet, wanted))
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, one in pictures.items():
        alike.setdefault(_key(one.attributes), []).append(name)
    triplets = tuple(
        replace(draft, targets=tuple(n for n in alike[_key(wanted)] if n != draft.reference))
        for draft, wanted in drafts
    )
    options = {"exclude_reference": True, "n_read": len(triplets)}
    return TripletSet(world.name, split, triplets, tuple(pictures), **options), pictures


def _key(a: Attributes) -> tuple[str, ...]:
    return tuple(a[name] for name in VALUES)
