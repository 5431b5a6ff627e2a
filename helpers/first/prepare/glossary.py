"""A translator by rules: the glossary of the drawn kitchen, German, Spanish, French, Italian.

A caption is cut into words and phrases (the longest that the dictionary knows), German compounds
are taken apart, and each noun phrase is put together anew as English orders it: adjectives by rank
before the noun, "soup of chicken" as "chicken soup". A word that the dictionary does not have makes
the translation unknown; nothing is guessed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from helpers.first.prepare.glossary_terms import (
    Term,
    dictionary,
    english_words,
    modifier,
    singular,
    tokens_of,
)
from helpers.first.prepare.glossary_words import MADE_OF, NOUNS
from helpers.first.prepare.translation import Translation

BOUND = 3  # the rank of adjectives that stay with their noun
ALWAYS_WITH = "leafy greens"  # takes no noun before it: "leafy greens with egg"
THINGS = "TP"  # the classes of nouns that are made of something: tables and plates


class _NotUnderstood(Exception):
    """The words are known, their order is not."""


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
        before = [MADE_OF.get(w, w) if made else modifier(w) for w in self.before]
        after = []
        if self.before and self.noun.english == ALWAYS_WITH:
            before, after = [], ["with", *self.before]
        said = " ".join([*(a.english for a in kept), *before, *bound, self.noun.english, *after])
        return f"{'an' if said[0] in 'aeiou' else 'a'} {said}" if self.article else said


class Glossary:
    """Translates captions of the drawn kitchen; the course's default, without weights."""

    name = "glossary"
    languages = tuple(NOUNS)

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
    said = {token for token in tokens_of(text) if token != ","}
    return bool(said) and said <= english_words()


def understood_in(text: str) -> tuple[str, ...]:
    """The languages whose dictionary has every word of a caption; none for English ones.

    >>> understood_in("curry di carote"), understood_in("masala de tomate")
    (('it',), ('es', 'fr'))
    """
    if reads_as_english(text):
        return ()
    return tuple(code for code in NOUNS if _translated(text, code).done)


def _translated(text: str, language: str) -> Translation:
    terms, unknown = _terms(tokens_of(text), language)
    if unknown:
        return Translation(text, tuple(dict.fromkeys(unknown)))
    try:
        return Translation(" ".join(_said(terms)).replace(" ,", ","))
    except _NotUnderstood as error:
        return Translation(text, (str(error),))


def _terms(tokens: Sequence[str], language: str) -> tuple[list[Term], list[str]]:
    """The terms of a caption, the longest phrase first, and the words that are unknown."""
    known, longest = dictionary(language)
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
    known, _ = dictionary(language)
    for cut in range(3, len(word) - 1):
        head = known.get(word[cut:])
        if head is None or head.kind != "noun":
            continue
        first = known.get(word[:cut]) or _compound(word[:cut], language)
        if first and first.kind == "noun":
            return replace(head, of=(*first.of, singular(first.english), *head.of))
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
