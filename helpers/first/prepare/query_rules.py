"""The writer of rules: a car's facts said as people type them, with every edit on record.

An edit never adds anything: facts are left out, put in another order, shortened, mistyped, put in
lower case or into a phrase that asks. The same seed gives the same queries.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers.first.prepare.query_facts import CarFacts, plain, words_of
from helpers.first.prepare.query_names import BODY_ALIASES, MAKE_ALIASES
from helpers.first.prepare.query_roles import Draft
from helpers.first.prepare.query_words import GENERIC
from helpers.repro import hash_of

EDITS = ("omission", "order", "abbreviation", "typo", "case", "phrase")
PHRASES = (
    "looking for a {}", "photo of a {}", "show me the {}", "{} please", "any {} around?",
    "pictures of the {}", "used {}", "is this a {}?", "my dad had a {}", "i want to see a {}",
)  # fmt: skip
# The facts that may be said together; each identifies something.
TOGETHER = (
    ("make", "model", "body"), ("make", "model", "year"), ("make", "model"), ("model", "body"),
    ("model", "year"), ("make", "body", "year"),
)  # fmt: skip
NEIGHBORS = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj",
    "i": "uo", "j": "hk", "k": "jl", "l": "ko", "m": "nb", "n": "bm", "o": "ip", "p": "ol",
    "q": "wa", "r": "et", "s": "ad", "t": "ry", "u": "yi", "v": "cb", "w": "qe", "x": "zc",
    "y": "tu", "z": "xs",
}  # fmt: skip
Rng = np.random.Generator
Parts = dict[str, str]


@dataclass(frozen=True)
class RuleWriter:
    """Queries by rules.

    Attributes
    ----------
    omission, order, abbreviation, typo, case, phrase : float
        How likely each edit is.

    Examples
    --------
    >>> car = CarFacts(id="7", make="Nissan", model="Leaf", body="Hatchback", year="2012")
    >>> plainly = RuleWriter(0, 0, 0, 0, 0, 0)
    >>> plainly.draft(car, number=0, attempt=0, seed=42).text
    '2012 Nissan Leaf Hatchback'
    """

    omission: float = 0.6
    order: float = 0.4
    abbreviation: float = 0.35
    typo: float = 0.35
    case: float = 0.5
    phrase: float = 0.25
    name: str = "rules"

    @property
    def fingerprint(self) -> str:
        """Of its likelihoods."""
        return hash_of([self.name, *(getattr(self, edit) for edit in EDITS)])

    def draft(self, facts: CarFacts, *, number: int, attempt: int, seed: int) -> Draft:
        """One query; another number, attempt or seed draws anew."""
        key = hash_of([seed, number, attempt, facts.model_dump()], digits=16)
        rng = np.random.default_rng(int(key, 16))
        parts, edits = dict(facts.metadata), []
        order = [name for name in ("year", "make", "model", "body") if name in parts]
        if rng.random() < self.omission:
            order, edits = _omit(parts, order, rng)
        if rng.random() < self.order and len(order) > 1:
            changed = [order[i] for i in rng.permutation(len(order))]
            edits += ["order"] if changed != order else []
            order = changed
        for likely, change in ((self.abbreviation, _shorten), (self.typo, _mistype)):
            if rng.random() < likely:
                edits += change(parts, order, rng)
        text = " ".join(parts[name] for name in order)
        if rng.random() < self.case and text != text.lower():
            text, edits = text.lower(), [*edits, "case:lower"]
        if rng.random() < self.phrase:
            phrase = _pick(rng, PHRASES)
            text, edits = phrase.format(text), [*edits, f"phrase:{phrase}"]
        return Draft(text, tuple(edits), tuple(name for name in facts.metadata if name in order))


def _omit(parts: Parts, order: list[str], rng: Rng) -> tuple[list[str], list[str]]:
    """Facts left out; what stays identifies something: a model of one letter or number does not."""
    lone = all(len(word) < 4 or word in GENERIC for word in words_of(parts["model"]))
    sets = [
        names for names in TOGETHER
        if set(names) < set(order) and ("make" in names or not lone)
    ]  # fmt: skip
    if not sets:
        return order, []
    kept = sets[int(rng.integers(len(sets)))]
    gone = [name for name in order if name not in kept]
    return [name for name in order if name in kept], [f"omission:{name}" for name in gone]


def _shorten(parts: Parts, order: list[str], rng: Rng) -> list[str]:
    """One fact by a usual short form: '12, chevy, hatch."""
    options = {"year": (f"'{parts['year'][2:]}",)} if "year" in order else {}
    for name, aliases in (("make", MAKE_ALIASES), ("body", BODY_ALIASES)):
        found = aliases.get(plain(parts.get(name, "")), ()) if name in order else ()
        options |= {name: found} if found else {}
    if not options:
        return []
    name = _pick(rng, tuple(options))
    short, long = _pick(rng, options[name]), parts[name]
    parts[name] = short
    return [f"abbreviation:{long}>{short}"]


def _mistype(parts: Parts, order: list[str], rng: Rng) -> list[str]:
    """A typo in one word of five letters or more."""
    long = [
        (name, word) for name in order for word in parts[name].split()
        if word.isalpha() and len(word) > 4
    ]  # fmt: skip
    if not long:
        return []
    name, word = long[int(rng.integers(len(long)))]
    wrong = TYPOS[_pick(rng, tuple(TYPOS))](word, int(rng.integers(1, len(word) - 1)), rng)
    if wrong == word:
        return []
    parts[name] = " ".join(wrong if w == word else w for w in parts[name].split())
    return [f"typo:{word}>{wrong}"]


def _replaced(word: str, at: int, rng: Rng) -> str:
    near = NEIGHBORS.get(word[at].lower(), word[at])
    return word[:at] + _pick(rng, tuple(near)) + word[at + 1 :]


# What fingers do to the letter at a place that is neither the first nor the last.
TYPOS: dict[str, Callable[[str, int, Rng], str]] = {
    "exchange": lambda word, at, rng: word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    "drop": lambda word, at, rng: word[:at] + word[at + 1 :],
    "double": lambda word, at, rng: word[: at + 1] + word[at:],
    "neighbor": _replaced,
}


def _pick(rng: Rng, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
