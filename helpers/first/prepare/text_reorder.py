"""The rule that moves an ingredient: "Banana French Toast" <-> "French Toast with Banana".

It needs to know both words. What it does not know may be a name: French toast is no toast with
French, and soy sauce no sauce with soy.
"""

import re

import numpy as np

from helpers.first.prepare.augmentation_settings import TextRule
from helpers.first.prepare.food_words import (
    ALWAYS_WITH,
    DISHES,
    FIXED_NAMES,
    INGREDIENTS,
    PRAISE,
    SINGULAR,
)
from helpers.first.prepare.text_shape import (
    any_of,
    first_lower,
    first_upper,
    fix_articles,
    is_negated,
    is_sentence,
    is_title_case,
    parts_of,
)

_THEN = r"(?!\s+on\s+top\b)(?P<then>\s*,.*|\s+(?:in|on|over|topped|garnished|covered|served)\s.*|)"


_ONE = rf"(?:{any_of(INGREDIENTS)})"
_FOOD = rf"{_ONE}(?:\s+and\s+{_ONE})?"
_DISH = rf"(?:{any_of(DISHES)})"
_PRAISED = rf"(?P<praise>(?:(?:{any_of(PRAISE)})\s+)*)"
_BEFORE = re.compile(rf"{_PRAISED}(?P<food>{_FOOD})\s+(?P<dish>{_DISH}){_THEN}$", re.I)
_BEHIND = re.compile(
    rf"{_PRAISED}(?P<dish>(?:{_ONE}\s+)?{_DISH})\s+with\s+(?P<food>{_FOOD}){_THEN}$", re.I
)
_ON_TOP = re.compile(r"\bwith ((?:(?!with )[^\W\d]+ ){1,3})on top\b", re.I)
_TOPPED = re.compile(r"\btopped with ((?:[^\W\d]+ ){0,2}[^\W\d]+)(?=,|$)", re.I)


def reorder(text: str, rule: TextRule, rng: np.random.Generator) -> str:
    """The ingredient before the dish moved behind it, or back; else the topping's words turned."""
    if is_sentence(text) or is_negated(text):
        return text
    parts = parts_of(text)
    body = parts.body
    if (found := _BEHIND.match(body)) and not found["dish"].casefold().endswith(ALWAYS_WITH):
        moved = f"{_single(found['food'])} {found['dish']}"
    elif (found := _BEFORE.match(body)) and _may_be_split(found):
        moved = f"{found['dish']} with {found['food']}"
    else:
        return _turned_topping(text)
    if body[:1].isupper() and not is_title_case(body) and not found["praise"]:
        start, _, rest = moved.partition(" with ") if "with" in moved else (moved, "", "")
        moved = first_upper(_lowered(start)) + (f" with {_lowered(rest)}" if rest else "")
    return fix_articles(f"{parts.opening}{found['praise']}{moved}{found['then']}")


def _may_be_split(found: re.Match[str]) -> bool:
    name = " ".join(f"{found['food']} {found['dish']}".casefold().split())
    return name not in FIXED_NAMES


def _single(food: str) -> str:
    """ "potatoes and carrots" as they stand before a dish: "potato and carrot"."""
    words = food.split()
    singles = [SINGULAR.get(word.casefold(), word) for word in words]
    pairs = zip(singles, words, strict=True)
    return " ".join(first_upper(s) if w[0].isupper() else s for s, w in pairs)


def _lowered(words: str) -> str:
    """Each word with a small letter where it is a common one."""
    return " ".join(first_lower(word) for word in words.split(" "))


def _turned_topping(text: str) -> str:
    """ "with basil on top" <-> "topped with basil"."""
    if _ON_TOP.search(text):
        return _ON_TOP.sub(lambda m: f"topped with {m[1].strip()}", text)
    return _TOPPED.sub(lambda m: f"with {m[1]} on top", text)
