"""Triplets of the drawn world: a dish, a wish to change it, and every picture that fulfills it.

What changes and what stays is known, so every picture of the gallery with the wanted attributes is
a positive, and a text can be checked against the truth. Some combinations of a dish and a new value
never occur in training: they are asked for in the test alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import Any

import numpy as np
from PIL import Image

from helpers.repro import hash_of
from helpers.topics.cir.triplets import Triplet, TripletSet
from helpers.world import mentions
from helpers.world.domain import NONE, Attributes
from helpers.world.kitchen import VALUES
from helpers.world.phrases import WORDS, chance, pick, with_article, word
from helpers.world.world import World

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
class Rules:
    """How a domain changes.

    Attributes
    ----------
    key : int
        Of its random streams.
    attributes : callable
        World and index to what a reference shows.
    draw : callable
        Attributes and a generator to changes; ``n`` fixes how many.
    apply : callable
        Attributes and changes to the attributes afterwards.
    phrase : callable
        Changes and a generator to what a person would type.
    reads : bool
        Whether :mod:`helpers.world.mentions` knows the domain's words.
    """

    key: int
    attributes: Callable[[World, int], Attributes]
    draw: Callable[..., tuple[Change, ...]]
    apply: Callable[[Attributes, tuple[Change, ...]], Attributes]
    phrase: Callable[[tuple[Change, ...], np.random.Generator], str]
    reads: bool = False


@dataclass(frozen=True)
class ComposedWorld:
    """Triplets over pictures that are drawn when they are asked for, with their truth.

    Attributes
    ----------
    parts : mapping of tuple of TripletSet
        By part, a set for each of its galleries; no reference recipe is in two parts.
    shown : mapping of Shown
        By the pictures' ids, over all sets.
    world : World
    """

    parts: Mapping[str, tuple[TripletSet, ...]]
    shown: Mapping[str, Shown]
    world: World
    fingerprint: str
    rules: Rules = field(repr=False)

    def load_image(self, name: str, *, px: int = 0, style: str = "") -> Image.Image:
        """The picture of an id, by default in the world's own size and style.

        The scene is the same at every size. Raises ``KeyError`` if there is no such picture.
        """
        if name not in self.shown:
            raise KeyError(f"{name!r} is not a picture of {self.world.name}'s triplets")
        one = self.shown[name]
        world = replace(self.world, px=px or self.world.px, style=style or self.world.style)
        return world.picture(one.attributes, one.index, one.view).image

    def image_hash(self, name: str) -> str:
        """A hash of what decides a picture, the same whatever stands around it."""
        one, world = self.shown[name], self.world
        drawn = (world.seed, world.px, world.style, world.style_gap, world.domain.name)
        return hash_of([*drawn, sorted(one.attributes.items()), one.index, one.view], digits=64)

    def category(self, name: str) -> str:
        """What a shop would file the picture under."""
        attributes = self.shown[name].attributes
        return attributes.get("dish") or attributes["make"]

    def captions(self, name: str) -> tuple[str, ...]:
        """What is said of one picture, from brief to detailed: nothing of any change."""
        one = self.shown[name]
        rng = np.random.default_rng([self.world.seed, 6, one.index, one.view])
        return tuple(text for _, text in self.world.domain.captions(one.attributes, rng))

    def changes(self, triplet: Triplet) -> tuple[Change, ...]:
        """What a triplet changes."""
        ends = (self.shown[name].attributes for name in (triplet.reference, triplet.targets[0]))
        a, b = ends
        return tuple(Change(name, a[name], b[name]) for name in triplet.changed)

    def paraphrases(self, triplet: Triplet, n: int) -> tuple[str, ...]:
        """Up to ``n`` other texts that ask for the same, the triplet's own first."""
        rng = np.random.default_rng([self.world.seed, 8, self.shown[triplet.reference].index])
        written = (self.rules.phrase(self.changes(triplet), rng) for _ in range(20 * n))
        return tuple(islice(dict.fromkeys((triplet.caption, *written)), n))

    @property
    def reads(self) -> bool:
        """Whether texts can be read by rule, so that :meth:`claims` and the like may be called."""
        return self.rules.reads

    def claims(self, text: str) -> mentions.Claims:
        """What a text asks for and what it says should go."""
        return mentions.claims(text)

    def told(self, captions: Iterable[str]) -> dict[str, frozenset[str]]:
        """What captions of one picture say of it: attribute to values."""
        return mentions.attributes_told(captions)

    def difference(self, before: str, after: str, rng: np.random.Generator) -> str:
        """What leads from one caption to the other, in at most two phrases; empty: nothing.

        Silence counts as absence, as in any difference of two texts: a garnish that one caption
        leaves out is "without" in the result.
        """
        old, new = (
            {name: min(values) for name, values in mentions.attributes_told([one]).items()}
            for one in (before, after)
        )
        found = [_told_apart(n, old.get(n, ""), new.get(n, "")) for n in CHANGEABLE]
        found = [text for text in found if text]
        chosen = sorted(rng.permutation(len(found))[:2].tolist())
        return " and ".join(found[i] for i in chosen)


def draw_triplets(
    world: World, rules: Rules, parts: Mapping[str, Mapping[str, Any]], *, seed: int = 42
) -> ComposedWorld:
    """Draw up triplets of a domain.

    A gallery holds references and targets of its triplets and, for each, a distractor: the
    reference with another change, which only the text tells from the target.

    Parameters
    ----------
    world : World
        Its recipes are the references.
    rules : Rules
    parts : mapping
        Of each part ``first`` and ``n``, its recipes; ``gallery``, the triplets of a gallery (0 or
        none: all); and ``unlike``, parts whose references it does not repeat: a recipe with the
        attributes of one of theirs is passed over. Half of ``test`` asks, where it can, for
        combinations that occur in no other part.
    seed : int

    Raises
    ------
    ValueError
        If two parts share a recipe, or triplets do not fill galleries.
    """
    chosen = _indices(world, rules, parts)
    taken: dict[int, str] = {}
    for part, indices in chosen.items():
        if shared := next((taken[i] for i in indices if i in taken), ""):
            raise ValueError(f"the parts {shared} and {part} of {world.name} share recipes")
        taken |= dict.fromkeys(indices, part)
    galleries, shown = {}, {}
    for part, indices in chosen.items():
        size = parts[part].get("gallery") or len(indices)
        if not indices or len(indices) % size:
            raise ValueError(
                f"{part}: {len(indices)} triplets do not fill galleries of {size}; hit@K depends "
                "on the size: take a multiple of it"
            )
        chunks = [indices[i : i + size] for i in range(0, len(indices), size)]
        drawn = [_draw_gallery(world, rules, chunk, part, seed) for chunk in chunks]
        galleries[part] = tuple(one for one, _ in drawn)
        shown |= {name: picture for _, pictures in drawn for name, picture in pictures.items()}
    fingerprint = hash_of([world.fingerprint, {k: dict(v) for k, v in parts.items()}, seed])
    return ComposedWorld(galleries, shown, world, fingerprint, rules)


def dish_rules(seed: int) -> Rules:
    """How dishes change; some combinations of dish and new value are kept for the test."""
    held_out = held_out_combinations(seed)

    def draw(a: Attributes, rng: np.random.Generator, **options) -> tuple[Change, ...]:
        return draw_changes(a, rng, held_out=held_out, **options)

    return Rules(2, World.attributes, draw, applied, modification, reads=True)


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


def _told_apart(name: str, old: str, new: str) -> str:
    """One difference of two captions; what a dish always has and a caption leaves out is nothing.

    >>> _told_apart("main", "beef", "tofu"), _told_apart("garnish", "basil", "")
    ('with tofu instead of beef', 'without basil')
    """
    if old == new:
        return ""
    if name == "plate":
        return f"on {with_article(new)} plate" if new else ""
    said = {value: WORDS[name][value][0] for value in (old, new) if value}
    if name == "table":
        return f"on {said[new]}" if new else ""
    if not new:
        return "" if name in ("dish", "main") else f"without {said[old]}"
    if name == "dish":
        return f"{said[new]} instead"
    return f"with {said[new]} instead of {said[old]}" if old else f"with {said[new]}"


def _indices(
    world: World, rules: Rules, parts: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[int]]:
    found = {}
    for part, about in parts.items():
        others = [parts[name] for name in about.get("unlike", ())]
        known = {str(rules.attributes(world, i)) for one in others
                 for i in range(one["first"], one["first"] + one["n"])}  # fmt: skip
        new = (i for i in count(about["first"]) if str(rules.attributes(world, i)) not in known)
        found[part] = list(islice(new, about["n"]))
    return found


def _draw_gallery(
    world: World, rules: Rules, indices: Sequence[int], part: str, seed: int
) -> tuple[TripletSet, dict[str, Shown]]:
    pictures: dict[str, Shown] = {}
    drafts: list[tuple[Triplet, Attributes]] = []
    held_out = held_out_combinations(seed) if rules.reads else frozenset()
    for index in indices:
        rng = np.random.default_rng([seed, rules.key, index])
        a = rules.attributes(world, index)
        # Only dishes have combinations that training never asks for.
        asks = part == "test" and rules.reads and chance(rng, 0.5)
        changes = rules.draw(a, rng, **({"ask_for_held_out": True} if asks else {}))
        wanted = rules.apply(a, changes)
        other = rules.apply(a, rules.draw(a, rng, n=1))
        pair_id = f"{part if rules.reads else 'car'}-{index:05d}"
        for view, (name, shown) in enumerate(
            (("reference", a), ("target", wanted), ("other", other))
        ):  # each a view of its own: a target is another picture, not the reference repainted
            pictures[f"{pair_id}-{name}"] = Shown(shown, index, view)
        triplet = Triplet(
            pair_id,
            f"{pair_id}-reference",
            (),
            rules.phrase(changes, rng),
            group=pair_id,
            reverse=rules.phrase(tuple(change.back for change in changes), rng),
            changed=tuple(change.attribute for change in changes),
            held_out=any((c.attribute, c.new, wanted.get("dish")) in held_out for c in changes),
        )
        drafts.append((triplet, wanted))
    alike: dict[tuple, list[str]] = {}
    for name, one in pictures.items():
        alike.setdefault(tuple(sorted(one.attributes.items())), []).append(name)
    triplets = tuple(
        replace(draft, targets=tuple(
            n for n in alike[tuple(sorted(wanted.items()))] if n != draft.reference))
        for draft, wanted in drafts
    )  # fmt: skip
    options = {"exclude_reference": True, "n_read": len(triplets)}
    return TripletSet(world.name, part, triplets, tuple(pictures), **options), pictures
