"""How a query is read: each word by the fact that it tells, or by the reason to refuse it.

The longest phrase counts ("golf course" before "Golf"), and the car's own name before any list
("Silverado" is no color). What stays unexplained is left to the judge.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from helpers.first.prepare import query_patterns as patterns
from helpers.first.prepare import query_words as words
from helpers.first.prepare.query_facts import (
    FACTS,
    CarFacts,
    Phrase,
    exchanged,
    metadata_problem,
    names_of,
    nearly,
    phrases_of,
    plain,
    words_of,
)

REASONS = (
    "metadata", "format", "instruction", "refusal", "empty", "contradiction", "make", "model",
    "body", "year", "color", "background", "aftermarket", "detail", "mentions",
)  # fmt: skip
LONGEST, MOST_WORDS, MOST_TIMES = 160, 24, 2
_NUMBER = re.compile(r"'?\d+s?")
_ORDINAL = re.compile(r"\d\d?(?:st|[nr]d|th)")
_DESIGNATION = re.compile(r"[a-z]{1,3}\d{1,4}[a-z]{0,2}|\d{1,4}[a-z]{1,3}")
_HERE = ("in", "on", "at", "near", "by", "over", "through", "across")


@dataclass(frozen=True)
class Mention:
    """A fact that is told: which, in which words, and the form that these stand for."""

    fact: str
    words: str
    form: Phrase


@dataclass(frozen=True)
class Finding:
    """A reason to refuse a query, one of ``REASONS``, and the words that gave it."""

    reason: str
    words: str


@dataclass(frozen=True)
class Reading:
    """How a query was understood.

    Attributes
    ----------
    mentions : tuple of Mention
        What it says of the car, in its order.
    findings : tuple of Finding
    unexplained : tuple of str
        Words that are neither.
    """

    mentions: tuple[Mention, ...]
    findings: tuple[Finding, ...]
    unexplained: tuple[str, ...]

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts that are mentioned, each once, in the order of the metadata."""
        said = {mention.fact for mention in self.mentions}
        return tuple(name for name in FACTS if name in said)


@lru_cache(maxsize=8192)
def read_query(text: str, facts: CarFacts) -> Reading:
    """Each word of a query by what it says of the car."""
    if problem := metadata_problem(facts):
        return Reading((), (Finding("metadata", problem),), ())
    found = list(_shape(text))
    simple = patterns.UNSURE.sub(" ", plain(text))
    mentions, unexplained = [], []
    for said, kind, what, form in _spans(words_of(simple), facts):
        if kind == "fact":
            mentions.append(Mention(what, said, form))
        elif kind == "refused":
            found.append(Finding(what, said))
        elif kind == "unknown":
            unexplained.append(said)
    found += _places(words_of(simple), mentions)
    if not found and not any(map(_identifies, mentions)):
        found.append(Finding("empty", "neither make nor model"))
    return Reading(tuple(mentions), tuple(found), tuple(unexplained))


def fits(reading: Reading, forms: Mapping[Phrase, str]) -> bool:
    """Whether a query that was read against one car holds of the car with these forms too.

    >>> old, new = (
    ...     CarFacts(id=y, make="Audi", model="S4", body="Sedan", year=y) for y in ("2007", "2012")
    ... )
    >>> [fits(read_query(text, old), phrases_of(new)) for text in ("audi s4", "audi s4 '07")]
    [True, False]
    """
    return all(forms.get(mention.form) == mention.fact for mention in reading.mentions)


def _shape(text: str) -> Iterator[Finding]:
    """What can be seen without the car: the form of an answer, instructions, refusals."""
    simple = plain(text)
    said = words_of(text)
    if not said:
        yield Finding("empty", "no word")
    if sign := patterns.FORMAT.search(text):
        yield Finding("format", sign[0][:20])
    for label in patterns.LABEL.finditer(simple):
        if label[1] in words.LABELS:
            yield Finding("format", label[0])
    if any(not c.isprintable() for c in text):
        yield Finding("format", "a sign that does not print")
    if len(text) > LONGEST or len(said) > MOST_WORDS:
        yield Finding("format", f"{len(said)} words")
    long = Counter(word for word in said if word not in words.NEUTRAL)
    if long and max(long.values()) > MOST_TIMES:
        yield Finding("format", f"{long.most_common(1)[0][0]} again and again")
    simple = patterns.UNSURE.sub(" ", simple)
    for reason, pattern in (
        ("instruction", patterns.INSTRUCTION), ("refusal", patterns.REFUSAL),
        ("year", patterns.COMPARED), ("detail", patterns.MONEY),
    ):  # fmt: skip
        if match := pattern.search(simple):
            yield Finding(reason, match[0])
    if against := [word for word in words_of(simple) if word in words.CONTRADICTION]:
        yield Finding("contradiction", " ".join(against))


def _identifies(mention: Mention) -> bool:
    """Whether it names more than a class or a body: a make, or more of a model than a letter."""
    named = mention.fact in ("make", "model")
    return named and len(mention.words) > 1 and mention.words not in words.GENERIC


def _spans(said: list[str], facts: CarFacts) -> Iterator[tuple[str, str, str, Phrase]]:
    """(words, ``fact`` | ``refused`` | ``neutral`` | ``unknown``, fact or reason, form)."""
    own, start = phrases_of(facts), 0
    while start < len(said):
        for length in range(min(_longest(), len(said) - start), 0, -1):
            phrase = tuple(said[start : start + length])
            if phrase in own:
                yield " ".join(phrase), "fact", own[phrase], phrase
                break
            if phrase in _refused():
                yield " ".join(phrase), "refused", _refused()[phrase], ()
                break
        else:
            length = 1
            yield said[start], *_single(said[start], names_of(facts))
        start += length


def _single(word: str, names: dict[str, str]) -> tuple[str, str, Phrase]:
    """A word that stands in no list of facts or reasons: kind, fact or reason, form."""
    if word in words.NEUTRAL or word in words.CONTRADICTION:
        return "neutral", "", ()
    if _NUMBER.fullmatch(word):
        digits = word.strip("'s")
        is_year = len(digits) == 2 or re.fullmatch(r"(18|19|20)\d\d", digits)
        return "refused", "year" if is_year or "'" in word else "detail", ()
    if name := nearly(word, names):
        return "fact", names[name], (name,)
    if _ORDINAL.fullmatch(word):  # of a generation or a century
        return "refused", "year", ()
    if _DESIGNATION.fullmatch(word):
        return "refused", "model", ()
    for other, reason in _long_names().items():
        if exchanged(word, other):
            return "refused", reason, ()
    return "unknown", "", ()


def _places(said: list[str], mentions: list[Mention]) -> Iterator[Finding]:
    """A name that is a place too, said a second time behind "in" or the like."""
    own = {word for mention in mentions for word in mention.words.split()}
    for i, word in enumerate(said):
        before = [w for w in said[max(0, i - 2) : i] if w not in ("a", "the")]
        again = word in own & words.PLACES and said.count(word) > 1
        if again and before and before[-1] in _HERE:
            yield Finding("background", word)


@lru_cache(maxsize=1)
def _refused() -> dict[Phrase, str]:
    """Every phrase that a query may not add, by reason; the first reason of a phrase counts."""
    found: dict[Phrase, str] = {}
    for reason, phrases in words.REASONS.items():
        for phrase in phrases:
            parts = tuple(words_of(phrase))
            plural = (*parts[:-1], f"{parts[-1]}s")
            for one in (parts, plural) if reason in ("make", "model", "body") else (parts,):
                found.setdefault(one, reason)
    return found


@lru_cache(maxsize=1)
def _long_names() -> dict[str, str]:
    """The words of five letters or more among other cars' names and the colors, by reason."""
    wanted = ("make", "model", "color")
    single = {phrase[0]: reason for phrase, reason in _refused().items() if len(phrase) == 1}
    return {word: reason for word, reason in single.items() if reason in wanted and len(word) > 4}


@lru_cache(maxsize=1)
def _longest() -> int:
    return max(5, *map(len, _refused()))
