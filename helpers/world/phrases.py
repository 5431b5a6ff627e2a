"""The words of the world: two synonyms a value, and small helpers to choose among phrasings.

The first synonym is the common one. Pretraining text prefers it, the kitchen uses both alike, so
that part of a domain's vocabulary is new to a pretrained model.
"""

import re
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

# A plural as it stands before another noun: prawns, but prawn curry.
SINGULAR: dict[str, str] = {
    "prawns": "prawn",
    "fried eggs": "fried egg",
    "champignons": "champignon",
    "tomatoes": "tomato",
    "potatoes": "potato",
    "carrots": "carrot",
}
_SPELLED = re.compile(r"[A-Z][A-Z\d]*\b")  # E1, SUV: read letter by letter
_SPELLED_WITH_AN = "AEFHILMNORSX"
_WITH_AN = re.compile(r"[aeiou]|hour|honest|heir|8|1[18]\b", re.IGNORECASE)
_WITH_A = re.compile(r"one\b|once\b|eu|uni(?!n)|us[eu]", re.IGNORECASE)


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
    """The noun with "a" or "an" before it, by the sound that it begins with.

    >>> [with_article(n) for n in ("oval plate", "Elkins E1 van", "SUV", "one-pot soup")]
    ['an oval plate', 'an Elkins E1 van', 'an SUV', 'a one-pot soup']
    """
    if _SPELLED.match(noun):
        vowel = noun[0] in _SPELLED_WITH_AN
    else:
        vowel = bool(_WITH_AN.match(noun)) and not _WITH_A.match(noun)
    return f"{'an' if vowel else 'a'} {noun}"
