"""A translator by rules: the glossary of the drawn kitchen, German, Spanish, French, Italian.

A caption is cut into words and phrases (the longest that the dictionary knows), German compounds
are taken apart, and each noun phrase is put together anew as English orders it: adjectives by rank
before the noun, "soup of chicken" as "chicken soup". A word that the dictionary does not have makes
the translation unknown; nothing is guessed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import zip_longest

from helpers.prepare import glossary_words as words
from helpers.prepare.translation import Translation

_TOKEN = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*['’]?|,|[^\w\s]|\d+")
BOUND = 3  # the rank of adjectives that stay with their noun
THINGS = "TP"  # the classes of nouns that are made of something: tables and plates
_ENTRY = re.compile(r"\s*(.+?)\s*=\s*(.+)")


class _NotUnderstood(Exception):
    """The words are known, their order is not."""


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


@dataclass
class _Phrase:
    """A noun phrase that is being put together."""

    article: bool = False
    noun: Term | None = None
    before: list[str] = field(default_factory=list)  # nouns before the noun, bound adjectives too
    adjectives: list[Term] = field(default_factory=list)

    def english(self) -> str:
        """The phrase in English order."""
        kept = sorted((a for a in self.adjectives if a.rank < BOUND), key=lambda a: a.rank)
        bound = [a.english for a in self.adjectives if a.rank == BOUND]
        made = self.noun.about in THINGS
        before = [words.MADE_OF.get(w, w) if made else w for w in self.before]
        said = " ".join([*(a.english for a in kept), *before, *bound, self.noun.english])
        return f"{'an' if said[0] in 'aeiou' else 'a'} {said}" if self.article else said


class Glossary:
    """Translates captions of the drawn kitchen; the course's default, without weights."""

    name = "glossary"
    languages = tuple(words.NOUNS)

    @property
    def fingerprint(self) -> str:
        """Its code decides what it says: the artefact's code hash covers it."""
        return self.name

    def translate(self, texts: Sequence[str], language: str) -> list[Translation]:
        """Each text in English, or what of it is unknown.

        Parameters
        ----------
        texts : sequence of str
        language : str
            ``de``, ``es``, ``fr`` or ``it``.

        Raises
        ------
        ValueError
            For a language without a dictionary.

        Examples
        --------
        >>> Glossary().translate(["sopa de pollo casera"], "es")[0].text
        'homemade chicken soup'
        """
        if language not in self.languages:
            raise ValueError(f"no dictionary for {language!r} (there are {self.languages})")
        return [_translated(text, language) for text in texts]


def reads_as_english(text: str) -> bool:
    """Whether each word is one of the English words that the dictionaries lead to.

    Short captions such as "champignons curry" look foreign to a detector of languages.

    >>> reads_as_english("champignons curry"), reads_as_english("pizza al pesto")
    (True, False)
    """
    said = {token for token in _tokens(text) if token != ","}
    return bool(said) and said <= _english_words()


def understood_in(text: str) -> tuple[str, ...]:
    """The languages whose dictionary has every word of a caption; none for English ones.

    >>> understood_in("curry di carote"), understood_in("masala de tomate")
    (('it',), ('es', 'fr'))
    """
    if reads_as_english(text):
        return ()
    return tuple(code for code in words.NOUNS if _translated(text, code).done)


def _tokens(text: str) -> list[str]:
    return [token.replace("’", "'") for token in _TOKEN.findall(text.lower())]


def _translated(text: str, language: str) -> Translation:
    terms, unknown = _terms(_tokens(text), language)
    if unknown:
        return Translation(text, tuple(dict.fromkeys(unknown)))
    try:
        return Translation(" ".join(_said(terms)).replace(" ,", ","))
    except _NotUnderstood as error:
        return Translation(text, (str(error),))


def _terms(tokens: Sequence[str], language: str) -> tuple[list[Term], list[str]]:
    """The terms of a caption, the longest phrase first, and the words that are unknown."""
    known, longest = _dictionary(language)
    found, unknown, at = [], [], 0
    while at < len(tokens):
        for length in range(min(longest, len(tokens) - at), 0, -1):
            phrase = " ".join(tokens[at : at + length])
            if phrase in known:
                found.append(known[phrase])
                break
        else:
            length = 1
            term = _compound(tokens[at].replace("-", ""), language) if language == "de" else None
            found += [term] if term else []
            unknown += [] if term else [tokens[at]]
        at += length
    return found, unknown


def _compound(word: str, language: str) -> Term | None:
    """A German compound: the longest noun at its end, and nouns before it."""
    known, _ = _dictionary(language)
    for cut in range(3, len(word) - 1):
        head = known.get(word[cut:])
        if head is None or head.kind != "noun":
            continue
        first = known.get(word[:cut]) or _compound(word[:cut], language)
        if first and first.kind == "noun":
            return replace(head, of=(*first.of, _singular(first.english), *head.of))
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
            _describe(phrase, term)
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
        return following.about != "S"
    return term.kind == "of" or (term.kind == "made" and noun.about in THINGS)


def _describe(phrase: _Phrase, term: Term) -> None:
    """An adjective to its noun: bound ones to the last noun named, the others to the phrase."""
    joined = phrase.noun is not None and len(phrase.before) > len(phrase.noun.of)
    if term.rank == BOUND and joined:
        phrase.before.insert(0, term.english)
    else:
        phrase.adjectives.append(term)


def _close(phrase: _Phrase, link: Term | None) -> Iterator[str]:
    if phrase.noun is None and (link or phrase.adjectives or phrase.article):
        raise _NotUnderstood("a phrase without a noun")
    if link and link.kind == "of":
        raise _NotUnderstood("a joint without a noun before it")
    if link:
        plain, _, before_sauce = link.english.partition("|")
        yield before_sauce if before_sauce and phrase.noun.about == "S" else plain
    if phrase.noun:
        yield phrase.english()


@cache
def _dictionary(language: str) -> tuple[Mapping[str, Term], int]:
    """Phrase to term, and how many words the longest phrase has."""
    known = {",": Term("comma", ",")}
    for kind, phrases in words.SMALL[language].items():
        english = {"after": "on top", "at": "in", "made": "in"}.get(kind, "")
        blanks = {"article": " "}.get(kind, "|")
        for phrase in phrases.split(blanks):
            known[phrase] = Term(kind, english)
    for phrase, english in _entries(words.LINKS[language]):
        for form in _link_forms(phrase, language):
            known[form] = Term("link", english)
    for base, said in _entries(words.ADJECTIVES[language]):
        english, rank = said.rsplit(" ", 1)
        for form in words.forms_of(base, language):
            known[form] = Term("adjective", english, rank=int(rank))
    for forms, said in _entries(words.NOUNS[language]):
        english, about = said.rsplit(" ", 1)
        for form, number in _noun_forms(forms, language):
            plural = number == "plural"
            known[form] = Term("noun", _plural(english) if plural else english, about)
    apart = {" ".join(_tokens(phrase)): term for phrase, term in known.items()}
    return apart, max(phrase.count(" ") + 1 for phrase in apart)


def _entries(text: str) -> Iterator[tuple[str, str]]:
    for entry in re.split(r"[;\n]", text):
        if entry.strip():
            yield _ENTRY.fullmatch(entry.strip()).groups()


def _link_forms(phrase: str, language: str) -> set[str]:
    participle = phrase.split()[0].endswith(("to", "do", "é", "ni", "rvi")) and language != "de"
    return words.forms_of(phrase, language) if participle else {phrase}


def _noun_forms(forms: str, language: str) -> Iterator[tuple[str, str]]:
    """The forms of a noun with their number; German plurals with their dative."""
    if forms.endswith(("!", "+")):
        yield forms[:-1], "singular"
        if forms.endswith("+"):
            yield words.plural_of(forms[:-1], language), "plural"
        return
    singular, _, plural = forms.partition(", ")
    if plural:
        yield plural, "plural"
        if language == "de" and not plural.endswith(("n", "s")):
            yield plural + "n", "plural"
    yield singular, "singular"


def _plural(english: str) -> str:
    first, _, last = english.rpartition(" ")
    return f"{first} {words.ENGLISH_PLURALS.get(last, last + 's')}".strip()


def _singular(english: str) -> str:
    """A noun as it stands before another: "tomato" of "tomatoes", if the dictionary has both."""
    return _singulars().get(english, english)


@cache
def _singulars() -> Mapping[str, str]:
    said = [s.rsplit(" ", 1)[0] for f, s in _entries(words.NOUNS["de"]) if not f.endswith("!")]
    return {_plural(english): english for english in said}


@cache
def _english_words() -> frozenset[str]:
    """Every English word that a translation may hold."""
    tables = [words.NOUNS, words.ADJECTIVES]
    entries = [
        s.rsplit(" ", 1)[0] for t in tables for text in t.values() for _, s in _entries(text)
    ]
    links = [s for text in words.LINKS.values() for _, s in _entries(text)]
    said = " ".join(
        [*entries, *map(_plural, entries), *links, "a an on top", *words.MADE_OF.values()]
    )
    return frozenset(said.replace("|", " ").split())
