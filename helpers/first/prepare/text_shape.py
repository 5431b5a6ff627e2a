"""The shape of a caption: title, description of a photo or sentence; its letters and articles."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from helpers.first.prepare.food_words import (
    DISHES,
    INGREDIENTS,
    NEGATIONS,
    OPENING,
    PRAISE,
    SENTENCE_STARTS,
    SMALL_WORDS,
    word_set,
)

_OPENING = re.compile(OPENING, re.IGNORECASE)
_ARTICLE = re.compile(r"(?:an?|the)\s+", re.IGNORECASE)
_VERBS = word_set(
    """
    is are was were be has have had makes make made can will would you i we they combines comes
    goes uses taste tastes
    """
)
_SCENE = word_set(
    """
    plate dish table counter served over cloth board top topped garnished covered photo
    photograph picture image
    """
)
LONGEST_TITLE = 8  # words


@dataclass(frozen=True)
class Parts:
    """A caption cut in two: "a photo of a " and the dish, whose words the rules may touch."""

    opening: str
    body: str


def parts_of(text: str) -> Parts:
    """The opening with its article, and the rest.

    >>> parts_of("a photo of an apple pie")
    Parts(opening='a photo of an ', body='apple pie')
    """
    end = 0
    for pattern in (_OPENING, _ARTICLE):
        found = pattern.match(text, end)
        end = found.end() if found else end
    return Parts(text[:end], text[end:])


def words_of(text: str) -> list[str]:
    """Words in lower case, without the marks around them."""
    found = (word.strip(".,;:!?()[]\"“”'’").casefold() for word in text.split())
    return [word for word in found if word]


def is_sentence(text: str) -> bool:
    """Whether it says something of the dish rather than names it: rules for names pass it over."""
    words = words_of(text)
    ends = text.rstrip()[-1:] in (".", "!", "?", "…", ":")
    return ends or not words or words[0] in SENTENCE_STARTS or not _VERBS.isdisjoint(words)


def is_title(text: str) -> bool:
    """A short name of a dish, without an opening and without plate, table or garnish."""
    words = words_of(text)
    return (
        not is_sentence(text)
        and not parts_of(text).opening
        and len(words) <= LONGEST_TITLE
        and _SCENE.isdisjoint(words)
        and is_latin_name(text)
    )


def is_latin_name(text: str) -> bool:
    """Whether it begins with a Latin letter: English is not put before other scripts or numbers."""
    return bool(re.match(r"[A-Za-zÀ-ɏ]", text))


def is_negated(text: str) -> bool:
    """Whether anything in it is denied; rules that move or drop words keep away from it."""
    words = {part for word in words_of(text) for part in (word, *word.split("-"))}
    return not words.isdisjoint(NEGATIONS | {"w/o"}) or "n't" in text or "n’t" in text


def letters_like(words: str, example: str, *, whole: str) -> str:
    """``words`` with capitals as ``example`` has them in the caption ``whole``.

    >>> letters_like("bean curd", "Tofu", whole="Tofu Soup"), letters_like("prawns", "SHRIMP",
    ...     whole="SHRIMP")
    ('Bean Curd', 'PRAWNS')
    """
    if len(example) > 1 and example.isupper():
        return words.upper()
    if not example[:1].isupper():
        return words.lower()
    return title_case(words) if is_title_case(whole) else first_upper(words)


def is_title_case(text: str) -> bool:
    """Whether all words but small ones begin with a capital; a single word does not tell."""
    words = [w for w in text.split() if w[:1].isalpha() and w.casefold() not in SMALL_WORDS]
    return len(words) > 1 and all(w[0].isupper() for w in words)


def title_case(text: str) -> str:
    """Capitals at the start of words; small words, elisions and the rest of a word stay."""
    words = text.split(" ")
    for i, word in enumerate(words):
        small = i > 0 and word.casefold() in SMALL_WORDS
        elided = re.match(r"\w{1,3}['’]\w{2}", word)
        if not small and not elided:
            words[i] = first_upper(word)
    return " ".join(words)


def first_upper(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def first_lower(text: str) -> str:
    """A small first letter where the first word is a common one; proper names keep theirs."""
    first = words_of(text)[:1]
    return text[:1].lower() + text[1:] if first and first[0] in COMMON else text


def fix_articles(text: str) -> str:
    """ "a" and "an" as the next word wants them; letters decide, not sounds."""

    def fixed(match: re.Match[str]) -> str:
        wanted = "an" if match[2][0].lower() in "aeiou" else "a"
        return (first_upper(wanted) if match[1][0].isupper() else wanted) + " " + match[2]

    return re.sub(r"\b([Aa]n?) ([A-Za-z])", fixed, text)


def any_of(names: Iterable[str]) -> str:
    """A pattern for any of the names, the longest first."""
    return "|".join(re.escape(n) for n in sorted(names, key=lambda n: (-len(n), n)))


DISH = re.compile(rf"(?:{any_of(DISHES)})(?!\w)", re.IGNORECASE)
_FOODS = frozenset(word for phrase in DISHES | INGREDIENTS for word in phrase.split())
COMMON = (_FOODS - {"french"}) | PRAISE | {"recipe"}  # words that are no proper names
