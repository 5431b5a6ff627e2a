"""What a language model reads before it ever sees a picture: notes of scenes, and texts on them.

Notes are the attributes of a scene as eight phrases in a fixed order. A language model that has
learned to write from the notes of two scenes knows how people describe one and how they ask for a
change; what is left to learn is to take such notes from pictures, for which there are pictures with
their notes.
"""

from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from helpers.world import general, kitchen
from helpers.world.changes import applied, draw_changes, modification
from helpers.world.domain import NONE, Attributes
from helpers.world.phrases import WORDS, chance, pick
from helpers.world.world import World

FIRST, SECOND = "describe the first image", "describe the second image"
CHANGE = "what has changed?"
INSTRUCTIONS = (FIRST, SECOND, CHANGE)
N_NOTES = 8
NOTHING = "nothing"
NOTED_SEED = 13  # no lesson uses it
CHANGES_SHARE = 0.8  # of the texts; the rest describes one of two scenes


@dataclass(frozen=True)
class Reading:
    """Two scenes in notes, an instruction and the text that follows it."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    instruction: str
    text: str


@dataclass(frozen=True)
class NotedPictures:
    """Pictures (n, px, px, 3) uint8, and the notes of each."""

    images: np.ndarray
    notes: tuple[tuple[str, ...], ...]


def notes(a: Attributes) -> tuple[str, ...]:
    """Eight phrases on a scene, each in its common word; what is not there is ``NOTHING``.

    >>> notes(kitchen.sample(np.random.default_rng(0)))[7]
    'a dish'
    """
    kind = a.get("kind", "dish")
    if kind == "objects":
        found = (a["thing"], a["second_thing"], NONE, a["second_color"], a["color"], NONE)
        return (*map(_plain, found), _said("table", a), "things")
    named = [_said(name, a) for name in ("dish", "main", "garnish", "sauce")]
    plate = f"{a['plate']} plate" if a["plate"] != NONE else NOTHING
    rest = (plate, _said("shape", a), _said("table", a))
    return (*named, *rest, "a dish" if kind == "dish" else f"{a['count']} pieces")


def draw_reading(rng: np.random.Generator) -> Reading:
    """One text with the notes of the two scenes that it is on; every value of the world occurs."""
    if chance(rng, CHANGES_SHARE):
        a = kitchen.sample(rng)
        changes = draw_changes(a, rng, held_out=frozenset())
        pair = a, applied(a, changes)
        return Reading(*map(notes, pair), CHANGE, modification(changes, rng))
    pair = [_scene(rng) for _ in range(2)]
    place = int(rng.integers(2))
    return Reading(*map(notes, pair), INSTRUCTIONS[place], describe(pair[place], rng))


def describe(a: Attributes, rng: np.random.Generator, *, second: float = 0.5) -> str:
    """A caption of a scene of either domain that mentions some of its attributes."""
    if "kind" in a:
        return general.describe(a, rng, table=0.6, second=second)
    mentioned = {name for name in kitchen.VALUES if chance(rng, 0.6)}
    return kitchen.describe(a, rng, {"dish", *mentioned}, second=second)


def draw_noted(
    n: int, *, dish_share: float, photo_share: float, px: int = 64, progress: bool = True
) -> NotedPictures:
    """Pictures of general scenes and of dishes without new values, with their notes.

    Parameters
    ----------
    n : int
    dish_share, photo_share : float
        Of dishes, and of the photo style.
    """
    images, noted = np.empty((n, px, px, 3), np.uint8), []
    worlds = {d.name: World(d, n, NOTED_SEED, px) for d in (general.DOMAIN, kitchen.DOMAIN)}
    for i in tqdm(range(n), desc="drawing pictures", unit="image", disable=not progress):
        rng = np.random.default_rng([NOTED_SEED, i])
        is_dish, is_photo = chance(rng, dish_share), chance(rng, photo_share)
        a = kitchen.sample(rng, known_only=True) if is_dish else general.sample(rng)
        world = worlds["kitchen" if is_dish else "general"]
        styled = world if is_photo else world.in_style("diffusion")
        images[i] = np.asarray(styled.picture(a, i, 0).image)
        noted.append(notes(a))
    return NotedPictures(images, tuple(noted))


def _scene(rng: np.random.Generator) -> Attributes:
    return pick(rng, (general.sample, kitchen.sample))(rng)


def _said(name: str, a: Attributes) -> str:
    value = a.get(name, NONE)
    return NOTHING if value == NONE else WORDS[name][value][0]


def _plain(value: str) -> str:
    return NOTHING if value == NONE else value
