"""The terms of the glossary: its dictionaries read, with every form of every word."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from helpers.first.prepare.glossary_words import (
    ADJECTIVES,
    ENGLISH_PLURALS,
    ENGLISH_SINGULARS,
    LINKS,
    MADE_OF,
    NOUNS,
    SMALL,
    forms_of,
    plural_of,
)

_TOKEN = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*['’]?|,|[^\w\s]|\d+")
_ENTRY = re.compile(r"\s*(.+?)\s*=\s*(.+)")


@dataclass(frozen=True)
class Term:
    """A word or phrase: ``kind`` is noun, adjective, link, or a small word's name.

    ``of`` are the nouns before an English noun ("chicken" of "chicken soup"); ``about`` its class;
    ``rank`` where an adjective stands.
    """

    kind: str
    english: str = ""
    about: str = ""
    rank: int = 0
    of: tuple[str, ...] = ()


def tokens_of(text: str) -> list[str]:
    """Words in lower case, commas, and every other sign by itself.

    >>> tokens_of("Salade d'œuf, 2!")
    ['salade', "d'", 'œuf', ',', '2', '!']
    """
    return [token.replace("’", "'") for token in _TOKEN.findall(text.lower())]


@cache
def dictionary(language: str) -> tuple[Mapping[str, Term], int]:
    """Phrase to term, and how many words the longest phrase has."""
    known = {",": Term("comma", ",")}
    for kind, phrases in SMALL[language].items():
        english = {"after": "on top", "at": "in", "made": "in"}.get(kind, "")
        blanks = {"article": " "}.get(kind, "|")
        for phrase in phrases.split(blanks):
            known[phrase] = Term(kind, english)
    for phrase, english in _entries(LINKS[language]):
        for form in _link_forms(phrase, language):
            known[form] = Term("link", english)
    for base, said in _entries(ADJECTIVES[language]):
        english, rank = said.rsplit(" ", 1)
        for form in forms_of(base, language):
            known[form] = Term("adjective", english, rank=int(rank))
    for forms, said in _entries(NOUNS[language]):
        english, about = said.rsplit(" ", 1)
        for form, number in _noun_forms(forms, language):
            plural = number == "plural"
            known[form] = Term("noun", _plural(english) if plural else english, about)
    apart = {" ".join(tokens_of(phrase)): term for phrase, term in known.items()}
    return apart, max(phrase.count(" ") + 1 for phrase in apart)


def _entries(text: str) -> Iterator[tuple[str, str]]:
    for entry in re.split(r"[;\n]", text):
        if entry.strip():
            yield _ENTRY.fullmatch(entry.strip()).groups()


def _link_forms(phrase: str, language: str) -> set[str]:
    participle = phrase.split()[0].endswith(("to", "do", "é", "ni", "rvi")) and language != "de"
    return forms_of(phrase, language) if participle else {phrase}


def _noun_forms(forms: str, language: str) -> Iterator[tuple[str, str]]:
    """The forms of a noun with their number; German plurals with their dative."""
    if forms.endswith(("!", "+")):
        yield forms[:-1], "singular"
        if forms.endswith("+"):
            yield plural_of(forms[:-1], language), "plural"
        return
    singular, _, plural = forms.partition(", ")
    if plural:
        yield plural, "plural"
        if language == "de" and not plural.endswith(("n", "s")):
            yield plural + "n", "plural"
    yield singular, "singular"


def _plural(english: str) -> str:
    first, _, last = english.rpartition(" ")
    return f"{first} {ENGLISH_PLURALS.get(last, last + 's')}".strip()


def singular(english: str) -> str:
    """A noun as it stands before another: "tomato" of "tomatoes", if the dictionary has both."""
    return _singulars().get(english, english)


def modifier(english: str) -> str:
    """A noun as English has it before another: "fried egg" of "fried eggs"."""
    return ENGLISH_SINGULARS.get(english, singular(english))


@cache
def _singulars() -> Mapping[str, str]:
    said = [s.rsplit(" ", 1)[0] for f, s in _entries(NOUNS["de"]) if not f.endswith("!")]
    return {_plural(english): english for english in said}


@cache
def english_words() -> frozenset[str]:
    """Every English word that a translation may hold."""
    tables = [NOUNS, ADJECTIVES]
    entries = [
        s.rsplit(" ", 1)[0] for t in tables for text in t.values() for _, s in _entries(text)
    ]
    links = [s for text in LINKS.values() for _, s in _entries(text)]
    plurals, singulars = map(_plural, entries), ENGLISH_SINGULARS.values()
    said = " ".join([*entries, *plurals, *singulars, *links, "a an on top", *MADE_OF.values()])
    return frozenset(said.replace("|", " ").split())
