"""Guardrails: a query may say nothing that the car's metadata does not.

``read_query`` explains each word by a fact, by a word that adds nothing, or by a reason to refuse
it; ``CarQuery`` is the Pydantic model that an answer has to fit, the facts being its context.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from helpers.prepare import query_patterns as patterns
from helpers.prepare import query_words as words
from helpers.prepare.query_facts import (
    CarFacts,
    Phrase,
    exchanged,
    metadata_problem,
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
_DESIGNATION = re.compile(r"[a-z]{1,3}\d{1,4}[a-z]{0,2}|\d{1,4}[a-z]{1,3}")
_HERE = ("in", "on", "at", "near", "by", "over", "through", "across")


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
    mentions : tuple of (fact, words)
        What it says of the car, in its order.
    findings : tuple of Finding
    unexplained : tuple of str
        Words that are neither.
    """

    mentions: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]
    unexplained: tuple[str, ...]

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts that are mentioned, each once, in the order of the metadata."""
        said = {fact for fact, _ in self.mentions}
        return tuple(name for name in ("make", "model", "body", "year") if name in said)


class CarQuery(BaseModel):
    """A query that passed the guardrails, and the facts that it mentions.

    Validated with the car as context: ``CarQuery.model_validate(..., context={"facts": facts})``.
    The schema is what a language model is asked to fill in.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    query: str
    mentions: tuple[Literal["make", "model", "body", "year"], ...]

    @model_validator(mode="after")
    def _says_only_what_is_known(self, info: ValidationInfo) -> "CarQuery":
        facts = (info.context or {}).get("facts")
        if facts is None:
            raise ValueError('a query is checked against a car: give context={"facts": facts}')
        reading = read_query(self.query, facts)
        found = list(reading.findings)
        if invented := [name for name in self.mentions if name not in reading.facts]:
            found.append(Finding("mentions", " ".join(invented)))
        if found:
            raise PydanticCustomError("guardrail", "{detail}", _context(found))
        return self


def _context(found: list[Finding]) -> dict[str, Any]:
    detail = "; ".join(f"{f.reason}: {f.words}" for f in found)
    return {"reasons": tuple(dict.fromkeys(f.reason for f in found)), "detail": detail}


class GuardError(ValueError):
    """A query that may not pass, or an answer that is none (the reason ``malformed``)."""

    def __init__(self, reasons: tuple[str, ...], detail: str) -> None:
        super().__init__(detail)
        self.reasons, self.detail = reasons, detail


def checked(query: str, facts: CarFacts, mentions: tuple[str, ...] = ()) -> CarQuery:
    """A query that passed. Raises ``GuardError``."""
    try:
        given = {"query": query, "mentions": mentions}
        return CarQuery.model_validate(given, context={"facts": facts})
    except ValidationError as error:
        raise GuardError(*_reasons_of(error)) from error


def checked_json(answer: str, facts: CarFacts) -> CarQuery:
    """The query of an answer in JSON. Raises ``GuardError``."""
    try:
        return CarQuery.model_validate_json(answer, context={"facts": facts})
    except ValidationError as error:
        raise GuardError(*_reasons_of(error)) from error


def guard(text: str, facts: CarFacts) -> tuple[str, ...]:
    """The reasons to refuse a query of a car, each once; empty: it may pass.

    >>> car = CarFacts(id="7", make="Volkswagen", model="Golf", body="Hatchback", year="1991")
    >>> guard("'91 vw gofl", car), guard("gold golf on a beach", car)
    ((), ('color', 'background'))
    """
    try:
        checked(text, facts)
    except GuardError as error:
        return error.reasons
    return ()


def _reasons_of(error: ValidationError) -> tuple[tuple[str, ...], str]:
    """The reasons and details of the guardrails; ``malformed`` for whatever Pydantic refuses."""
    first = error.errors()[0]
    if first["type"] == "guardrail":
        return first["ctx"]["reasons"], first["ctx"]["detail"]
    place = ".".join(map(str, first["loc"]))
    return ("malformed",), f"{place}: {first['msg']}".lstrip(": ")


@lru_cache(maxsize=8192)
def read_query(text: str, facts: CarFacts) -> Reading:
    """Each word of a query by what it says of the car."""
    if problem := metadata_problem(facts):
        return Reading((), (Finding("metadata", problem),), ())
    found = list(_shape(text))
    simple = patterns.UNSURE.sub(" ", plain(text))
    mentions, unexplained = [], []
    for phrase, kind, what in _spans(words_of(simple), facts):
        said = " ".join(phrase)
        if kind == "fact":
            mentions.append((what, said))
        elif kind == "refused":
            found.append(Finding(what, said))
        elif kind == "unknown":
            unexplained.append(said)
    found += _place_of(words_of(simple), mentions)
    said = {fact for fact, said in mentions if said not in words.GENERIC}
    if not said & {"make", "model"} and not found:
        found.append(Finding("empty", "neither make nor model"))
    return Reading(tuple(mentions), tuple(found), tuple(unexplained))


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


def _spans(said: list[str], facts: CarFacts) -> Iterator[tuple[Phrase, str, str]]:
    """(words, ``fact`` | ``refused`` | ``neutral`` | ``unknown``, which fact or reason)."""
    own, start = phrases_of(facts), 0
    while start < len(said):
        for length in range(min(_longest(), len(said) - start), 0, -1):
            phrase = tuple(said[start : start + length])
            if phrase in own:
                yield phrase, "fact", own[phrase]
                break
            if phrase in _refused():
                yield phrase, "refused", _refused()[phrase]
                break
        else:
            length, phrase = 1, (said[start],)
            yield phrase, *_single(said[start], own)
        start += length


def _single(word: str, own: dict[Phrase, str]) -> tuple[str, str]:
    """A word that stands in no list of facts or reasons."""
    if word in words.NEUTRAL or word in words.CONTRADICTION:
        return "neutral", ""
    if _NUMBER.fullmatch(word):
        digits = word.strip("'s")
        is_year = len(digits) == 2 or re.fullmatch(r"(18|19|20)\d\d", digits)
        return "refused", "year" if is_year or "'" in word else "detail"
    singles = {phrase[0]: fact for phrase, fact in own.items() if len(phrase) == 1}
    if name := nearly(word, singles):
        return "fact", singles[name]
    if _DESIGNATION.fullmatch(word):
        return "refused", "model"
    for reason in ("make", "model", "color"):
        names = [p[0] for p, r in _refused().items() if r == reason and len(p) == 1]
        if any(len(n) > 4 and exchanged(word, n) for n in names):
            return "refused", reason
    return "unknown", ""


def _place_of(said: list[str], mentions: list[tuple[str, str]]) -> Iterator[Finding]:
    """A name that is a place too, said a second time behind "in" or the like."""
    own = {name for _, words_ in mentions for name in words_.split()}
    for i, word in enumerate(said):
        before = [w for w in said[max(0, i - 2) : i] if w not in ("a", "the")]
        if (
            word in own & words.PLACES
            and said.count(word) > 1
            and before[-1:] in [[h] for h in _HERE]
        ):
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
def _longest() -> int:
    return max(5, *map(len, _refused()))
