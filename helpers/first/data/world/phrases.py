"""The words of the world: two synonyms a value, and small helpers to choose among phrasings.

The first synonym is the common one. Pretraining text prefers it, the kitchen uses both alike, so
that part of a domain's vocabulary is new to a pretrained model.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

WORDS: dict[str, dict[str, tuple[str, str]]] = {
    "dish": {
        "soup": ("soup", "broth"),
        "curry": ("curry", "masala"),
        "noodles": ("noodles", "pasta"),
        "rice": ("rice bowl", "fried rice"),
        "salad": ("salad", "leafy greens"),
        "pizza": ("pizza", "flatbread"),
        "burger": ("burger", "sandwich"),
        "pancakes": ("pancakes", "hotcakes"),
        "tacos": ("tacos", "tortillas"),
        "pie": ("pie", "tart"),
        "sushi": ("sushi", "maki rolls"),
        "skewers": ("skewers", "kebabs"),
    },
    "main": {
        "chicken": ("chicken", "poultry"),
        "beef": ("beef", "steak"),
        "shrimp": ("shrimp", "prawns"),
        "salmon": ("salmon", "fish"),
        "tofu": ("tofu", "bean curd"),
        "egg": ("egg", "fried eggs"),
        "mushroom": ("mushroom", "champignons"),
        "tomato": ("tomato", "tomatoes"),
        "potato": ("potato", "potatoes"),
        "carrot": ("carrot", "carrots"),
    },
    "garnish": {
        "basil": ("basil", "basil leaves"),
        "parsley": ("parsley", "chopped herbs"),
        "sesame": ("sesame", "sesame seeds"),
        "chili": ("chili", "red pepper flakes"),
        "lemon": ("lemon", "lemon slices"),
        "onion": ("red onion", "onion rings"),
        "olives": ("olives", "black olives"),
        "cheese": ("cheese", "grated cheese"),
    },
    "sauce": {
        "tomato": ("tomato sauce", "red sauce"),
        "cream": ("cream sauce", "white sauce"),
        "pesto": ("pesto", "green sauce"),
        "soy": ("soy sauce", "brown sauce"),
        "turmeric": ("turmeric sauce", "yellow sauce"),
    },
    "shape": {
        "round": ("round", "circular"),
        "square": ("square", "angular"),
        "oval": ("oval", "oblong"),
    },
    "table": {
        "wood": ("a wooden table", "wood"),
        "marble": ("a marble counter", "marble"),
        "cloth": ("a checkered cloth", "a tablecloth"),
        "slate": ("a slate board", "dark slate"),
        "linen": ("linen", "beige linen"),
        "steel": ("a steel worktop", "a metal surface"),
    },
}


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of ``options``, uniform."""
    return options[int(rng.integers(len(options)))]


def word(rng: np.random.Generator, attribute: str, value: str, *, second: float = 0.5) -> str:
    """A word for a value; ``second`` is the probability of the second, rarer synonym."""
    return WORDS[attribute][value][int(rng.random() < second)]


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with this probability."""
    return bool(rng.random() < probability)


def with_article(noun: str) -> str:
    """The noun with "a" or "an" before it."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
