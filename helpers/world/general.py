"""The general domain: one or two objects on a table, or loose ingredients. What a model is
pretrained on, and where lessons measure what it has forgotten."""

import numpy as np

from helpers.world.domain import NONE, Attributes, Domain, Scene
from helpers.world.food import GARNISHES, MAINS
from helpers.world.kitchen import NEW
from helpers.world.objects import OBJECTS, place
from helpers.world.phrases import WORDS, chance, pick, with_article, word
from helpers.world.surfaces import COLORS, PLATE_SHAPES, TABLES, plate, plate_mask

_GARNISHES = tuple(g for g in GARNISHES if g not in NEW["garnish"])


def sample(rng: np.random.Generator) -> Attributes:
    """A scene of objects, or of ingredients with or without a plate."""
    table = pick(rng, TABLES)
    if chance(rng, 0.5):
        first, second = ((pick(rng, tuple(OBJECTS)), pick(rng, tuple(COLORS))) for _ in range(2))
        if chance(rng, 0.5):
            second = (NONE, NONE)
        return {
            "kind": "objects",
            "thing": first[0],
            "color": first[1],
            "second_thing": second[0],
            "second_color": second[1],
            "table": table,
        }
    share = rng.random()
    on_plate = chance(rng, 0.6)
    plate_color, shape = pick(rng, tuple(COLORS)), pick(rng, PLATE_SHAPES)
    return {
        "kind": "ingredients",
        "count": str(int(rng.integers(2, 6))),
        "main": pick(rng, tuple(MAINS)) if share < 0.65 else NONE,
        "garnish": pick(rng, _GARNISHES) if share > 0.35 else NONE,
        "plate": plate_color if on_plate else NONE,
        "shape": shape if on_plate else NONE,
        "table": table,
    }


def _objects(a: Attributes) -> list[tuple[str, str]]:
    pairs = [(a["thing"], a["color"]), (a["second_thing"], a["second_color"])]
    return [pair for pair in pairs if pair[0] != NONE]


def title(a: Attributes) -> str:
    """The plain name of a scene, such as "Red mug and blue book"."""
    if a["kind"] == "objects":
        return " and ".join(f"{color} {thing}" for thing, color in _objects(a)).capitalize()
    names = [WORDS[k][a[k]][0] for k in ("main", "garnish") if a[k] != NONE]
    return " and ".join(names).capitalize()


def describe(
    a: Attributes,
    rng: np.random.Generator,
    *,
    table: float,
    plate_share: float = 0.7,
    second: float = 0.15,
) -> str:
    """A caption; ``table`` and ``plate_share`` are the probabilities of mentioning them."""
    if a["kind"] == "objects":
        things = [with_article(f"{color} {thing}") for thing, color in _objects(a)]
        what = " and ".join(things if chance(rng, 0.5) else reversed(things))
    else:
        parts = []
        if a["main"] != NONE:
            amount = pick(rng, ("pieces of ", "some ", f"{a['count']} "))
            parts.append(amount + word(rng, "main", a["main"], second=second))
        if a["garnish"] != NONE:
            parts.append(
                pick(rng, ("", "some ")) + word(rng, "garnish", a["garnish"], second=second)
            )
        what = " and ".join(parts)
        if a["plate"] != NONE and chance(rng, plate_share):
            shape = f" {word(rng, 'shape', a['shape'], second=second)}" if chance(rng, 0.5) else ""
            what += f" on {with_article(a['plate'])}{shape} plate"
    if chance(rng, table):
        what += f" on {word(rng, 'table', a['table'], second=second)}"
    return pick(rng, ("", "a photo of ", "a picture of ", "")) + what


def captions(a: Attributes, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
    """Three captions of one scene, from brief to detailed: (kind, text)."""
    return (
        ("brief", describe(a, rng, table=0.0, plate_share=0.0)),
        ("standard", describe(a, rng, table=0.6)),
        ("detailed", describe(a, rng, table=1.0, plate_share=1.0)),
    )


def paint(scene: Scene, a: Attributes) -> None:
    """Objects side by side, or ingredients in the middle."""
    if a["kind"] == "objects":
        things = _objects(a)
        r = 0.32 if len(things) == 1 else 0.2
        for i, (thing, color) in enumerate(things):
            x = 0.0 if len(things) == 1 else (-0.22, 0.22)[i]
            place(scene.pen, x, 0.0, r, thing=thing, color=color)
            scene.mask.oval(x, 0.0, r, r, (255, 255, 255))
        return
    r = 0.34
    if a["plate"] != NONE:
        plate(scene.pen, 0, 0, 1.2 * r, color=a["plate"], shape=a["shape"])
        plate_mask(scene.mask, 0, 0, 1.2 * r, shape=a["shape"])
    else:
        scene.mask.oval(0, 0, r, r, (255, 255, 255))
    if a["main"] != NONE:
        for x, y in scene.pen.ring_of(int(a["count"]), 0, 0, 0.8 * r):
            MAINS[a["main"]](scene.pen, x, y, 0.34 * r)
    if a["garnish"] != NONE:
        GARNISHES[a["garnish"]](scene.pen, 0, 0, r)


DOMAIN = Domain("general", 600, sample, title, captions, paint)
