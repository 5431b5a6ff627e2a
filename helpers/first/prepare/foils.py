"""Questions with a known answer: for a picture a true text, and one that is wrong in one thing.

The captions of the drawn world never deny anything, and count only loose ingredients; what a model
makes of "without" and of "three" has to be asked by itself. The texts are made from a recipe's
attributes, so that the truth is known, and word by word alike except for what is asked.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from helpers.data.records import Recipe
from helpers.repro import hash_of
from helpers.world import kitchen
from helpers.world.domain import NONE
from helpers.world.phrases import WORDS, pick

COLUMNS = ("kind", "recipe_id", "image_key", "truth", "foil")
# What the attributes are called in tables; the plate is what has a color in the kitchen.
KINDS = {
    "dish": "dish", "main": "main ingredient", "garnish": "garnish", "sauce": "sauce",
    "plate": "color", "shape": "shape", "table": "table",
}  # fmt: skip
ORDER = (*KINDS.values(), "negation", "number")
COUNTS = ("2", "3", "4", "5")


def attribute_foils(recipes: Iterable[Recipe], *, seed: int = 42) -> pd.DataFrame:
    """Pairs of texts for the first picture of each recipe, one of every kind that can be asked.

    Parameters
    ----------
    recipes : iterable of Recipe
        Of the drawn world: attributes as ``kitchen`` or ``general`` give them. Others, and those
        without a picture, give nothing.
    seed : int

    Returns
    -------
    DataFrame
        Columns ``COLUMNS``, all strings; kinds in ``ORDER``. ``negation`` is asked twice: of a
        garnish that is there ("with" is true), and of one that is not ("without" is true), so that
        a fixed preference scores one half.

    Examples
    --------
    >>> attribute_foils([]).columns.tolist()
    ['kind', 'recipe_id', 'image_key', 'truth', 'foil']
    """
    rows = []
    for recipe in recipes:
        if not recipe.images:
            continue
        number = int(hash_of([seed, recipe.recipe_id]), 16)
        a, rng = dict(recipe.attributes), np.random.default_rng(number)
        found = []
        if set(kitchen.VALUES) <= set(a):
            found = [*_changed(a, number, rng), *_denied(a, rng)]
        elif a.get("count", NONE) != NONE and a.get("main", NONE) != NONE:
            found = [_miscounted(a, rng)]
        rows += [(kind, recipe.recipe_id, recipe.images[0], *texts) for kind, *texts in found]
    rows.sort(key=lambda row: ORDER.index(row[0]))
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype="str")


def _changed(a: dict[str, str], number: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """The dish described twice by the same random numbers, one attribute another in the foil."""
    found = []
    for name, kind in KINDS.items():
        if a[name] == NONE:
            continue
        others = [v for v in kitchen.VALUES[name] if v not in (NONE, a[name])]
        wrong = {**a, name: pick(rng, others)}
        texts = [
            _caption(values, np.random.default_rng(number), {"dish", "main", name})
            for values in (a, wrong)
        ]
        found.append((kind, *texts))
    return found


def _caption(a: dict[str, str], rng: np.random.Generator, mentioned: set[str]) -> str:
    """A caption in the kitchen's words that mentions some attributes."""
    return kitchen.in_edited_english(kitchen.plan(a, rng, mentioned, second=0.5))


def _denied(a: dict[str, str], rng: np.random.Generator) -> list[tuple[str, ...]]:
    """With or without a garnish: the one that is there, and one that is not."""
    if a["garnish"] == NONE:
        return []
    absent = pick(rng, [v for v in kitchen.VALUES["garnish"] if v not in (NONE, a["garnish"])])
    dish = f"{WORDS['main'][a['main']][0]} {WORDS['dish'][a['dish']][0]}"
    found = []
    for garnish, there in ((a["garnish"], True), (absent, False)):
        name = WORDS["garnish"][garnish][0]
        texts = [f"{dish} with {name}", f"{dish} without {name}"]
        found.append(("negation", *(texts if there else texts[::-1])))
    return found


def _miscounted(a: dict[str, str], rng: np.random.Generator) -> tuple[str, ...]:
    """The ingredients with another number before them."""
    wrong = pick(rng, [n for n in COUNTS if n != a["count"]])
    name = WORDS["main"][a["main"]][0]
    return ("number", f"{a['count']} {name}", f"{wrong} {name}")
