"""The kitchen: dishes on plates. 12 dishes x 10 mains x 9 garnishes x 6 sauces x 8 plate colors
x 3 plate shapes x 6 tables, 0.93 million recipes.

``NEW`` never occurs in ``general`` nor in the pretraining text and images: it makes the kitchen a
domain that a pretrained model has to be adapted to.
"""

import numpy as np

from helpers.world.dishes import DISHES, serve
from helpers.world.domain import NONE, Attributes, Domain, Scene
from helpers.world.food import GARNISHES, MAINS, SAUCES
from helpers.world.phrases import SINGULAR, WORDS, chance, pick, with_article
from helpers.world.said import OPENINGS, Extra, Said
from helpers.world.surfaces import COLORS, PLATE_SHAPES, TABLES, plate, plate_mask

VALUES: dict[str, tuple[str, ...]] = {
    "dish": tuple(DISHES),
    "main": tuple(MAINS),
    "garnish": (NONE, *GARNISHES),
    "sauce": (NONE, *SAUCES),
    "plate": tuple(COLORS),
    "shape": PLATE_SHAPES,
    "table": TABLES,
}
NEW: dict[str, tuple[str, ...]] = {
    "dish": ("sushi", "pie", "skewers"),
    "garnish": ("olives", "cheese"),
    "sauce": ("turmeric",),
}


def sample(rng: np.random.Generator, *, known_only: bool = False) -> Attributes:
    """One dish; ``known_only`` leaves out the values that are new to a pretrained model."""
    values = {
        name: [v for v in options if not (known_only and v in NEW.get(name, ()))]
        for name, options in VALUES.items()
    }
    return {name: pick(rng, options) for name, options in values.items()}


def title(a: Attributes) -> str:
    """The plain name of a dish, such as "Chicken soup with basil"."""
    name = f"{WORDS['main'][a['main']][0]} {WORDS['dish'][a['dish']][0]}"
    garnish = "" if a["garnish"] == NONE else f" with {WORDS['garnish'][a['garnish']][0]}"
    return (name + garnish).capitalize()


def plan(a: Attributes, rng: np.random.Generator, mentioned: set[str], *, second: float) -> Said:
    """What a caption says that mentions some attributes; ``second``: share of rarer synonyms."""
    has = {name for name in mentioned if a[name] != NONE}
    dish = (a["dish"], chance(rng, second)) if "dish" in has else ("", False)
    unnamed = "" if dish[0] else pick(rng, ("food", "a meal", "a dish"))
    main = (a["main"], chance(rng, second)) if "main" in has else ("", False)
    joined = bool(main[0]) and chance(rng, 0.6)
    extras = [
        Extra(name, int(rng.integers(3)), a[name], chance(rng, second))
        for name in ("sauce", "garnish")
        if name in has
    ]
    if chance(rng, 0.5):
        extras.reverse()
    if has & {"plate", "shape"}:
        form, color = int(rng.integers(2)), a["plate"] if "plate" in has else ""
        shape = a["shape"] if "shape" in has else ""
        extras.append(Extra("plate", form, color, bool(shape) and chance(rng, second), shape))
    if "table" in has:
        extras.append(Extra("table", int(rng.integers(2)), a["table"], chance(rng, second)))
    return Said(pick(rng, OPENINGS), dish, unnamed, main, joined, tuple(extras))


def describe(
    a: Attributes, rng: np.random.Generator, mentioned: set[str], *, second: float = 0.5
) -> str:
    """A caption as pretrained models read it; ``second`` is the share of rarer synonyms."""
    return in_english(plan(a, rng, mentioned, second=second))


LEAFY = "leafy greens"  # takes no noun before it
_OPENINGS = {"": "", "photo": "a photo of ", "homemade": "homemade ", "fresh": "fresh "}
_FORMS = {
    "sauce": ("in {}", "with {}", "covered in {}"),
    "garnish": ("topped with {}", "garnished with {}", "with {} on top"),
    "plate": ("on {} plate", "served on {} dish"),
    "table": ("on {}", "over {}"),
}


def in_english(said: Said) -> str:
    """The English that the tiny models were pretrained on: "fried eggs flatbread" among it.

    Their weights rest on these words, so it stays as it is; captions are in ``in_edited_english``.
    """
    main, dish = _main(said), _dish(said)
    what = f"{main} {dish}" if said.joined else f"{dish} with {main}"
    return _around(what if main else dish, said)


def in_edited_english(said: Said) -> str:
    """The kitchen's captions: ``in_english`` with a singular before a noun that has a name.

    "fried egg flatbread", "leafy greens with egg".
    """
    main, dish = _main(said), _dish(said)
    if main and said.joined and said.dish[0] and dish != LEAFY:
        what = f"{SINGULAR.get(main, main)} {dish}"
    else:
        what = f"{dish} with {main}" if main else dish
    return _around(what, said)


def _dish(said: Said) -> str:
    return WORDS["dish"][said.dish[0]][said.dish[1]] if said.dish[0] else said.unnamed


def _main(said: Said) -> str:
    return WORDS["main"][said.main[0]][said.main[1]] if said.main[0] else ""


def _around(what: str, said: Said) -> str:
    """The opening before the dish, and what follows it."""
    extras = [_FORMS[e.about][e.form].format(_noun(e)) for e in said.extras]
    return f"{_OPENINGS[said.opening]}{what} {', '.join(extras)}".strip()


def _noun(extra: Extra) -> str:
    if extra.about != "plate":
        return WORDS[extra.about][extra.value][extra.second]
    shape = WORDS["shape"][extra.shape][extra.second] if extra.shape else ""
    return with_article(f"{extra.value} {shape}".strip())


DETAIL: dict[str, dict[str, float]] = {
    "brief": {"garnish": 0.5, "sauce": 0.5, "plate": 0.2, "shape": 0.1, "table": 0.1},
    "standard": {"garnish": 0.75, "sauce": 0.75, "plate": 0.75, "shape": 0.4, "table": 0.5},
    "detailed": {"garnish": 1.0, "sauce": 1.0, "plate": 1.0, "shape": 0.6, "table": 0.8},
}


def plans(a: Attributes, rng: np.random.Generator) -> tuple[tuple[str, Said], ...]:
    """What the three captions of a dish say, from brief to detailed: (kind, plan)."""
    return tuple(
        (kind, plan(a, rng, {"dish", "main"} | {n for n, p in odds.items() if chance(rng, p)},
                    second=0.5))
        for kind, odds in DETAIL.items()
    )  # fmt: skip


def captions(a: Attributes, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
    """Three captions of one dish, from brief to detailed: (kind, text)."""
    return tuple((kind, in_edited_english(said)) for kind, said in plans(a, rng))


def weak_caption(a: Attributes, rng: np.random.Generator, *, second: float = 0.15) -> str:
    """A caption as the web has it: two or three attributes, the dish not always among them."""
    names = ("dish", "dish", "main", "garnish", "sauce", "plate", "table", "shape")
    chosen = rng.permutation(len(names))[: 2 + int(chance(rng, 0.5))]
    return describe(a, rng, {names[i] for i in chosen}, second=second)


def paint(scene: Scene, a: Attributes) -> None:
    """A plate with its dish in the middle of the picture."""
    r = 0.4
    plate(scene.pen, 0, 0, r, color=a["plate"], shape=a["shape"])
    plate_mask(scene.mask, 0, 0, r, shape=a["shape"])
    inner = r * (0.64 if a["shape"] == "oval" else 0.7)
    serve(
        scene.pen, 0, 0, inner,
        dish=a["dish"], main=a["main"], sauce=a["sauce"], garnish=a["garnish"],
    )  # fmt: skip


DOMAIN = Domain("kitchen", 1500, sample, title, captions, paint, plans=plans)
