"""A translator by rules: the words of a kitchen, German, Spanish, French, Italian into English.

A caption is cut into words and phrases (the longest that the table knows), German compounds are
taken apart, and each noun phrase is put together anew as English orders it: adjectives by their
order before the noun, "soup of chicken" as "chicken soup". A word that the table does not have
makes the translation unknown; nothing is guessed. The words are data: ``glossary.yaml``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import zip_longest
from pathlib import Path

import yaml

from helpers.repro import hash_of, sha256_file
from helpers.topics.captions.translators import Translation

TABLE = Path(__file__).with_name("glossary.yaml")
LANGUAGES = ("de", "es", "fr", "it")
ALWAYS_WITH = "leafy greens"  # takes no noun before it: "leafy greens with egg"
THINGS = ("table", "plate")  # the classes of nouns that are made of something
_TOKEN = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*['’]?|,|[^\w\s]|\d+")
_SMALL = {"after": "on top", "at": "in", "made": "in"}


class _NotUnderstood(Exception):
    """The words are known, their order is not."""


@dataclass(frozen=True)
class Term:
    """A word or phrase: ``kind`` is noun, adjective, link, comma, or the name of a small word.

    ``about`` is the class of a noun, the order of an adjective; ``of`` are the nouns before an
    English noun ("chicken" of "chicken soup").
    """

    kind: str
    english: str = ""
    about: str = ""
    of: tuple[str, ...] = ()


@dataclass
class _Phrase:
    """A noun phrase that is being put together."""

    article: bool = False
    noun: Term | None = None
    before: list[str] = field(default_factory=list)  # nouns before the noun, bound adjectives too
    adjectives: list[Term] = field(default_factory=list)

    def english(self) -> str:
        """The phrase in English order."""
        words, order = _table()["english"], list(_table()["adjectives"])
        free = sorted((a for a in self.adjectives if a.about != "bound"),
                      key=lambda a: order.index(a.about))  # fmt: skip
        bound = [a.english for a in self.adjectives if a.about == "bound"]
        as_part = words["made of"] if self.noun.about in THINGS else _parts()
        before, after = [as_part.get(word, word) for word in self.before], []
        if self.before and self.noun.english == ALWAYS_WITH:
            before, after = [], ["with", *self.before]
        said = " ".join([*(a.english for a in free), *before, *bound, self.noun.english, *after])
        return f"{'an' if said[0] in 'aeiou' else 'a'} {said}" if self.article else said


class Glossary:
    """Translates captions of the drawn kitchen: the default, without weights."""

    name = "glossary"
    languages = LANGUAGES

    @property
    def fingerprint(self) -> str:
        """Of its words; its code is part of what is built with it."""
        return hash_of([self.name, sha256_file(TABLE)])

    def translate(self, texts: Sequence[str], language: str) -> list[Translation]:
        """Each text in English, or what of it is unknown.

        >>> Glossary().translate(["sopa de pollo casera"], "es")[0].text
        'homemade chicken soup'
        """
        return [_translated(text, language) for text in texts]

    def language_of(self, text: str) -> str:
        """The language of a text whose every word the table has; empty: none, or several.

        Detectors take short captions such as "champignons curry" for foreign ones.

        >>> Glossary().language_of("champignons curry"), Glossary().language_of("curry di carote")
        ('en', 'it')
        """
        words = {token for token in _tokens(text) if token != ","}
        if words and words <= _english_words():
            return "en"
        known = [code for code in self.languages if not _translated(text, code).unknown]
        return known[0] if len(known) == 1 else ""


def _translated(text: str, language: str) -> Translation:
    terms, unknown = _terms(_tokens(text), language)
    if unknown:
        return Translation(text, tuple(dict.fromkeys(unknown)))
    try:
        return Translation(" ".join(_said(terms)).replace(" ,", ","))
    except _NotUnderstood as error:
        return Translation(text, (str(error),))


def _tokens(text: str) -> list[str]:
    """Words in lower case, commas, and every other sign by itself."""
    return [token.replace("’", "'") for token in _TOKEN.findall(text.lower())]


@cache
def _table() -> dict:
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))


@cache
def _dictionary(language: str) -> tuple[Mapping[str, Term], int]:
    """Phrase to term, and how many words the longest phrase has."""
    table, known = _table(), {",": Term("comma", ",")}
    for kind, phrases in table["small"][language].items():
        known |= {phrase: Term(kind, _SMALL.get(kind, "")) for phrase in phrases}
    for english, _, forms in _rows({"": table["links"]}, language):
        known |= dict.fromkeys(forms, Term("link", english))
    for english, order, forms in _rows(table["adjectives"], language):
        known |= dict.fromkeys(forms, Term("adjective", english, order))
    for english, about, (single, *plurals) in _rows(table["nouns"], language):
        known |= dict.fromkeys(plurals, Term("noun", _plural(english), about))
        known[single] = Term("noun", english, about)
    apart = {" ".join(_tokens(phrase)): term for phrase, term in known.items()}
    return apart, max(phrase.count(" ") + 1 for phrase in apart)


def _rows(groups: Mapping[str, Mapping], language: str) -> Iterator[tuple[str, str, list[str]]]:
    """English word, name of its group, and the forms of each word that a language has for it."""
    for group, words in groups.items():
        for english, by_language in words.items():
            found = by_language.get(language, [])
            for forms in [found] if isinstance(found, str) else found:
                yield english, group, forms.split(", ")


def _plural(english: str) -> str:
    first, _, last = english.rpartition(" ")
    return f"{first} {_table()['english']['plurals'].get(last, f'{last}s')}".strip()


@cache
def _singulars() -> dict[str, str]:
    """English plurals to their nouns."""
    return {_plural(noun): noun for nouns in _table()["nouns"].values() for noun in nouns}


@cache
def _parts() -> dict[str, str]:
    """Nouns as English has them before another: "fried egg" of "fried eggs"."""
    return _singulars() | _table()["english"]["singulars"]


@cache
def _english_words() -> frozenset[str]:
    """Every English word that a translation may hold."""
    table, plurals = _table(), _singulars()
    words = [*plurals, *plurals.values(), *table["links"], "a an on top"]
    words += [word for adjectives in table["adjectives"].values() for word in adjectives]
    words += [*table["english"]["singulars"].values(), *table["english"]["made of"].values()]
    return frozenset(" ".join(words).replace("|", " ").split())


def _terms(tokens: Sequence[str], language: str) -> tuple[list[Term], list[str]]:
    """The terms of a caption, the longest phrase first, and the words that are unknown."""
    known, longest = _dictionary(language)
    found, unknown, at = [], [], 0
    while at < len(tokens):
        for length in range(min(longest, len(tokens) - at), 0, -1):
            if term := known.get(" ".join(tokens[at : at + length])):
                break
        else:
            length = 1
            term = _compound(tokens[at].replace("-", "")) if language == "de" else None
        found += [term] if term else []
        unknown += [] if term else [tokens[at]]
        at += length
    return found, unknown


def _compound(word: str) -> Term | None:
    """A German compound: the longest noun at its end, and nouns before it."""
    known, _ = _dictionary("de")
    for cut in range(3, len(word) - 1):
        head = known.get(word[cut:])
        if head is None or head.kind != "noun":
            continue
        first = known.get(word[:cut]) or _compound(word[:cut])
        if first and first.kind == "noun":
            part = _singulars().get(first.english, first.english)
            return replace(head, of=(*first.of, part, *head.of))
    return None


def _said(terms: Sequence[Term]) -> Iterator[str]:
    """The English of some terms, phrase by phrase."""
    phrase, link = _Phrase(), None
    for term, following in zip_longest(terms, terms[1:]):
        if _joins(term, following, phrase.noun):
            continue
        if term.kind == "noun" and phrase.noun:  # a second noun goes before the first
            phrase.before[:0] = [*term.of, term.english]
        elif term.kind == "noun":
            phrase.noun, phrase.before = term, list(term.of)
        elif term.kind == "adjective":
            joined = phrase.noun is not None and len(phrase.before) > len(phrase.noun.of)
            if term.about == "bound" and joined:  # it belongs to the last noun named
                phrase.before.insert(0, term.english)
            else:
                phrase.adjectives.append(term)
        elif term.kind in ("article", "some"):
            phrase.article = term.kind == "article"
        else:  # a link, a comma, "on top": the phrase before it is complete
            yield from _close(phrase, link)
            phrase, link = _Phrase(), term if term.kind not in ("comma", "after") else None
            if link is None:
                yield term.english
    yield from _close(phrase, link)


def _joins(term: Term, following: Term | None, noun: Term | None) -> bool:
    """Whether a small word joins two nouns, so that the second one goes before the first."""
    if noun is None or following is None:
        return False
    if term.kind == "at":
        return following.about != "sauce"
    return term.kind == "of" or (term.kind == "made" and noun.about in THINGS)


def _close(phrase: _Phrase, link: Term | None) -> Iterator[str]:
    if phrase.noun is None and (link or phrase.adjectives or phrase.article):
        raise _NotUnderstood("a phrase without a noun")
    if link and link.kind == "of":
        raise _NotUnderstood("a joint without a noun before it")
    if link:
        plain, _, before_sauce = link.english.partition("|")
        yield before_sauce if before_sauce and phrase.noun.about == "sauce" else plain
    if phrase.noun:
        yield phrase.english()
