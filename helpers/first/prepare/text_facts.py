"""What a caption says that no rewriting may change: numbers, colors, negations, ingredients.

Two captions with equal facts need not mean the same; two with different facts do not. Every rule's
result is held against this before it is used.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from helpers.first.prepare.food_words import (
    COLORS,
    INGREDIENTS,
    NEGATIONS,
    SINGULAR,
    SYNONYMS,
    UNITS,
)

Pairs = tuple[tuple[str, str], ...]

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
AMOUNT = re.compile(rf"[\d¼½¾⅓⅔⅛]+(?:[.,/–-]\d+)*(?:\s*{UNITS}(?!\w))?", re.IGNORECASE)
NUMBERING = re.compile(
    r"^\s*(?:#\s*\d+\s*[.:)]?|(?:no|nr|step|recipe|part)\.?\s*\d+\s*[.:)]|\(?\d+\s*[.):])\s+(?=[^\W\d])"
    r"|\s+(?:\(\s*(?:part\s+|no\.?\s*|v)?\d+\s*\)|#\s*\d+)\s*$",
    re.IGNORECASE,
)
ABBREVIATIONS = (
    (re.compile(r"(?<!\w)w/o(?!\w)\s*", re.IGNORECASE), "without "),
    (re.compile(r"(?<!\w)w/\s*(?=\w)", re.IGNORECASE), "with "),
    (re.compile(r"(?<=\s)&(?=\s)"), "and"),
)


@dataclass(frozen=True)
class Facts:
    """Sorted, so that the order of words does not count; a negation stands with what it denies."""

    amounts: tuple[str, ...]
    colors: tuple[str, ...]
    negations: tuple[tuple[str, str], ...]
    ingredients: tuple[str, ...]


def facts_of(text: str, *, pairs: Pairs = ()) -> Facts:
    """The facts of a caption; synonyms count as one word, a list's numbering as nothing.

    Parameters
    ----------
    pairs : tuple of (str, str)
        Synonyms besides the built-in ones.

    >>> facts_of("2. Shrimp w/o nuts, 200 g") == facts_of("200 g prawns without nuts")
    True
    """
    plain = unicodedata.normalize("NFC", NUMBERING.sub("", text))
    for abbreviation, words in ABBREVIATIONS:
        plain = abbreviation.sub(words, plain)
    plain = one_word_each(plain.casefold(), pairs)
    words = WORD.findall(plain)
    single = [part for word in words for part in re.split(r"[-'’]", word)]
    return Facts(
        tuple(sorted("".join(found.split()) for found in AMOUNT.findall(plain))),
        tuple(sorted(w for w in single if w in COLORS)),
        tuple(sorted(_negations(words))),
        tuple(sorted(SINGULAR.get(w, w) for w in single if w in INGREDIENTS)),
    )


def preserves(before: str, after: str, *, pairs: Pairs = ()) -> bool:
    """Whether a rewriting kept the facts, and left anything at all.

    >>> preserves("pie without nuts", "pie with nuts")
    False
    """
    has_word = bool(WORD.search(after))
    return has_word and facts_of(before, pairs=pairs) == facts_of(after, pairs=pairs)


@cache
def terms(pairs: Pairs = ()) -> dict[str, str]:
    """Each term to its other name, lower case; the built-in pairs and more."""
    table: dict[str, str] = {}
    for a, b in (*SYNONYMS, *pairs):
        table.setdefault(a.casefold(), b.casefold())
        table.setdefault(b.casefold(), a.casefold())
    for plural, single in SINGULAR.items():
        if plural in table:
            table.setdefault(single, table[plural])  # "prawn", which stands before a dish
    return table


@cache
def term_pattern(pairs: Pairs = ()) -> re.Pattern[str]:
    """Finds any of the terms as whole words, the longest first."""
    longest_first = sorted(terms(pairs), key=lambda term: (-len(term), term))
    found = "|".join(re.escape(term).replace(r"\ ", r"\s+") for term in longest_first)
    return re.compile(rf"(?<![\w-])(?:{found})(?![\w-])", re.IGNORECASE)


def one_word_each(text: str, pairs: Pairs = ()) -> str:
    """Every synonym in a text of small letters as the alphabetically first of its two names."""
    table = terms(pairs)

    def first(match: re.Match[str]) -> str:
        term = " ".join(match[0].split())
        other = table[term]
        return min(other, table.get(other, term))

    return term_pattern(pairs).sub(first, text)


def _negations(words: list[str]) -> list[tuple[str, str]]:
    """Each negation and its word: the next one, or the one before ("nut-free", "sugar free")."""
    found = []
    for i, word in enumerate(words):
        head, _, tail = word.rpartition("-")
        if head and tail in ("free", "less"):
            found.append((tail, head))
        elif word.startswith("non-"):
            found.append(("non", word[4:]))
        elif word in ("free", "less"):
            found.append((word, words[i - 1] if i else ""))
        elif word in NEGATIONS or word.endswith(("n't", "n’t")):
            found.append((word, words[i + 1] if i + 1 < len(words) else ""))
    return found
