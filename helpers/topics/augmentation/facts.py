"""What a caption says that no rewriting may change: amounts, colors, negations, ingredients.

Two captions with equal facts need not mean the same; two with different facts do not. The result of
every rule is compared with the original by this before it is used.
"""

import re
import unicodedata
from dataclasses import astuple, dataclass, fields
from functools import cache, lru_cache
from pathlib import Path

import yaml

Pairs = tuple[tuple[str, str], ...]

WORDS = yaml.safe_load(Path(__file__).with_name("food_words.yaml").read_text(encoding="utf-8"))
SYNONYMS: Pairs = tuple(map(tuple, WORDS["synonyms"]))
INGREDIENTS, DISHES, PRAISE, SMALL_WORDS, FIXED_NAMES, NEGATIONS, COLORS = (
    frozenset(WORDS[name])
    for name in ("ingredients", "dishes", "praise", "small_words", "fixed_names", "negations",
                 "colors")
)  # fmt: skip
# Before a dish English takes the singular: prawns, but prawn curry.
SINGULAR: dict[str, str] = {
    plural: single
    for single in INGREDIENTS
    for plural in (f"{single}s", f"{single}es", f"{single[:-1]}ies")
    if plural in INGREDIENTS
}
_UNITS = (
    r"(?:k?g|mg|m[lL]|[lL]|dl|cl|oz|ounces?|lbs?|pounds?|cups?|tsps?|tbsps?|teaspoons?|tablespoons?|"
    r"inch(?:es)?|cm|mm|minutes?|mins?|hours?|hrs?|h|%|°\s?[CF]?|degrees?|servings?|people|kcal|"
    r"calories|ingredients?)"
)
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
AMOUNT = re.compile(rf"[\d¼½¾⅓⅔⅛]+(?:[.,/–-]\d+)*(?:\s*{_UNITS}(?!\w))?", re.IGNORECASE)
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

    ``pairs`` are synonyms besides the built-in ones.

    >>> facts_of("2. Shrimp w/o nuts, 200 g") == facts_of("200 g prawns without nuts")
    True
    """
    plain = unabbreviated(unicodedata.normalize("NFC", NUMBERING.sub("", text)))
    plain = one_word_each(plain.casefold(), pairs)
    words = WORD.findall(plain)
    single = [part for word in words for part in re.split(r"[-'’]", word)]
    return Facts(
        tuple(sorted("".join(found.split()) for found in AMOUNT.findall(plain))),
        tuple(sorted(w for w in single if w in COLORS)),
        tuple(sorted(_negations(words))),
        tuple(sorted(SINGULAR.get(w, w) for w in single if w in INGREDIENTS)),
    )


def changed_facts(before: str, after: str, *, pairs: Pairs = ()) -> list[str]:
    """Which kinds of facts a rewriting changed; ``everything`` where it left no word.

    >>> changed_facts("pie without nuts", "pie with nuts")
    ['negations']
    """
    if not WORD.search(after):
        return ["everything"]
    both = [astuple(facts_of(text, pairs=pairs)) for text in (before, after)]
    return [f.name for f, a, b in zip(fields(Facts), *both, strict=True) if a != b]


def unabbreviated(text: str) -> str:
    """ "w/o", "w/" and "&" in words."""
    for abbreviation, words in ABBREVIATIONS:
        text = abbreviation.sub(words, text)
    return text


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
    found = any_of(terms(pairs)).replace(r"\ ", r"\s+")
    return re.compile(rf"(?<![\w-])(?:{found})(?![\w-])", re.IGNORECASE)


def any_of(names) -> str:
    """A pattern for any of the names, the longest first."""
    return "|".join(re.escape(n) for n in sorted(names, key=lambda n: (-len(n), n)))


def one_word_each(text: str, pairs: Pairs = ()) -> str:
    """Every synonym in a text of small letters as the alphabetically first of its two names."""
    table = terms(pairs)

    def first(match: re.Match[str]) -> str:
        term = " ".join(match[0].split())
        other = table[term]
        return min(other, table.get(other, term))

    return term_pattern(pairs).sub(first, text)


@lru_cache(maxsize=100_000)
def content_words(text: str) -> frozenset[str]:
    """The words that say something, synonyms as one, in small letters.

    >>> sorted(content_words("A bowl of Prawns")) == sorted(content_words("the shrimp bowl"))
    True
    """
    plain = one_word_each(" ".join(text.split()).casefold())
    return frozenset(WORD.findall(plain)) - SMALL_WORDS


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
