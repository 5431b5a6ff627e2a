"""What a text claims about a dish, read by rule, to be held against the known truth.

The reader knows the words of :mod:`helpers.world.phrases` and the ways to deny something; the
longest phrase wins, so that "red sauce" is a sauce and no color. What it does not know it leaves
out, so a claim in other words is missed, never invented.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from helpers.world.domain import NONE, Attributes
from helpers.world.kitchen import VALUES
from helpers.world.phrases import SINGULAR, WORDS
from helpers.world.surfaces import COLORS

Value = tuple[str, str]
# Before a thing that is not wanted; "replace" denies the first thing after it alone.
_DENIED = re.compile(r"\b(?:without|no|not|instead of|replace)\s+(?:an?\s+|the\s+|any\s+)?$")


@dataclass(frozen=True)
class Claims:
    """What a modification asks for, and what it says should go: (attribute, value) pairs."""

    wanted: frozenset[Value]
    removed: frozenset[Value]

    @property
    def all(self) -> frozenset[Value]:
        """Every value that the text names."""
        return self.wanted | self.removed


def claims(text: str) -> Claims:
    """Read a modification text, or a caption, which removes nothing.

    Examples
    --------
    >>> found = claims("with tofu instead of beef, on a red plate")
    >>> sorted(found.wanted), sorted(found.removed)
    ([('main', 'tofu'), ('plate', 'red')], [('main', 'beef')])
    """
    text = " ".join(text.lower().split())
    wanted, removed = set(), set()
    for found in _pattern().finditer(text):
        values = _values(found)
        (removed if _DENIED.search(text[: found.start()]) else wanted).update(values)
    return Claims(frozenset(wanted), frozenset(removed))


def attributes_told(captions: Iterable[str]) -> dict[str, frozenset[str]]:
    """What captions of one picture say of it: attribute to values; silence says nothing."""
    told: dict[str, set[str]] = {}
    for caption in captions:
        for name, value in claims(caption).wanted:
            told.setdefault(name, set()).add(value)
    return {name: frozenset(values) for name, values in told.items()}


def true_changes(a: Attributes, b: Attributes) -> frozenset[tuple[str, str, str]]:
    """What differs from picture a to picture b: (attribute, old, new).

    >>> true_changes({"plate": "red"}, {"plate": "blue"})
    frozenset({('plate', 'red', 'blue')})
    """
    return frozenset((n, a[n], b[n]) for n in VALUES if n in a and a[n] != b[n])


@cache
def _phrases() -> dict[str, Value]:
    """Every phrase that names a value. Plates and shapes are not among them: see the pattern."""
    found = {
        word: (name, value)
        for name, values in WORDS.items()
        if name != "shape"
        for value, words in values.items()
        for word in words
    }
    # How people shorten them: the article of a table, the color of an onion.
    more = {word.removeprefix("a "): value for word, value in found.items()}
    single = {one: found[several] for several, one in SINGULAR.items()}  # prawn curry
    return {**single, **more, **found, "onion": ("garnish", "onion")}


@cache
def _pattern() -> re.Pattern[str]:
    shapes = "|".join(word for words in WORDS["shape"].values() for word in words)
    plate = rf"(?P<color>{'|'.join(COLORS)})?\s*\b(?P<shape>{shapes})?\s*\b(?:plate|dish)\b"
    words = "|".join(map(re.escape, sorted(_phrases(), key=len, reverse=True)))
    return re.compile(rf"\b(?:{plate}|(?P<word>{words}))\b")


def _values(found: re.Match[str]) -> set[Value]:
    if word := found["word"]:
        return {_phrases()[word]}
    shapes = {word: value for value, words in WORDS["shape"].items() for word in words}
    values = {("plate", found["color"])} if found["color"] else set()
    return values | ({("shape", shapes[found["shape"]])} if found["shape"] else set())


def is_there(value: Value, a: Attributes) -> bool:
    """Whether a picture shows what a value says; what is ``none`` shows nothing."""
    return a.get(value[0], NONE) == value[1] != NONE
