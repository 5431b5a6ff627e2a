"""The rules that rewrite a caption, each a function ``(text, settings, rng) -> text``.

A rule that does not apply gives the text back as it came. What none may change is in
``text_facts``; on top of that each rule has cases that it keeps away from, said beside it.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

from helpers.first.prepare.augmentation_settings import TextRule
from helpers.first.prepare.food_words import (
    CONTRADICTS,
    FIXED_NAMES,
    HARMLESS,
    PRAISE,
    SINGULAR,
    SMALL_WORDS,
    word_set,
)
from helpers.first.prepare.text_facts import ABBREVIATIONS, AMOUNT, NUMBERING, term_pattern, terms
from helpers.first.prepare.text_shape import (
    COMMON,
    DISH,
    first_lower,
    first_upper,
    fix_articles,
    is_latin_name,
    is_negated,
    is_sentence,
    is_title,
    is_title_case,
    letters_like,
    parts_of,
    title_case,
    words_of,
)

Rng = np.random.Generator
_TWICE = re.compile(r"\b(\w+)\s+\1\b", re.IGNORECASE)
_BELONGS_TO_NEXT = SMALL_WORDS | {"as", "&", "but", "enough", "to", "than"}
# Before "Recipe" these words need it: "Grandma's Secret Recipe".
_NEEDS_RECIPE = SMALL_WORDS | word_set(
    """
    my our your this that secret family own favorite favourite best easy simple basic quick new
    original - – no
    """
)


def synonyms(text: str, rule: TextRule, rng: Rng) -> str:
    """One word or phrase, wherever it stands, by its other name."""
    table = terms(rule.pairs)
    pattern = term_pattern(rule.pairs)
    found = sorted({" ".join(m[0].casefold().split()) for m in pattern.finditer(text)})
    if not found:
        return text
    chosen = _pick(rng, found)

    def other(match: re.Match[str]) -> str:
        if " ".join(match[0].casefold().split()) != chosen:
            return match[0]
        name = table[chosen]
        if DISH.match(text, match.end() + 1):
            name = SINGULAR.get(name, name)
        return letters_like(name, match[0], whole=text)

    changed = pattern.sub(other, text)
    stutters = _TWICE.search(changed) and not _TWICE.search(text)  # "whole wheat wheat flour"
    return text if stutters else fix_articles(changed)


def prefix_add(text: str, rule: TextRule, rng: Rng) -> str:
    """ "Homemade" or the like before the dish; never a second one, nor against what is said."""
    opening, body = parts_of(text).opening, parts_of(text).body
    words = words_of(text)
    fits = [
        prefix
        for prefix in rule.words
        if CONTRADICTS.get(prefix.casefold(), frozenset()).isdisjoint(words)
    ]
    taken = not set(words).isdisjoint(PRAISE | {prefix.casefold() for prefix in rule.words})
    if taken or not fits or is_sentence(text) or is_negated(text) or not is_latin_name(body):
        return text
    prefix = _pick(rng, fits)
    if opening or text == text.lower():
        return fix_articles(f"{opening}{prefix.lower()} {body}")
    keep = is_title_case(body) or " " not in body
    return f"{prefix} {body if keep else first_lower(body)}"


def prefix_remove(text: str, rule: TextRule, rng: Rng) -> str:
    """The dish without the praise before it; a name such as "simple syrup" stays."""
    parts = parts_of(text)
    body, removable = parts.body, {word.casefold() for word in rule.words}
    if is_sentence(text) or is_negated(text):
        return text
    while True:
        first, _, rest = body.partition(" ")
        following = words_of(rest)[:1]
        named = body.casefold().startswith(tuple(FIXED_NAMES))
        belongs = not following or following[0] in _BELONGS_TO_NEXT or not is_latin_name(rest)
        if first.casefold() not in removable or named or belongs:
            break
        body = first_upper(rest) if first[0].isupper() and not parts.opening else rest
    return fix_articles(parts.opening + body) if body != parts.body else text


def case(text: str, rule: TextRule, rng: Rng) -> str:
    """Other capitals; amounts keep theirs (200 mL), and so do names in the form ``sentence``."""
    changed = [new for form in rule.forms if (new := CASES[form](text)) != text]
    return _pick(rng, changed) if changed else text


def suffix_add(text: str, rule: TextRule, rng: Rng) -> str:
    """ "Recipe" behind a title; not behind the description of a photo, nor a second one."""
    words = words_of(text)
    if not is_title(text) or is_negated(text) or {"recipe", "recipes"} & set(words):
        return text
    fits = [
        s for s in rule.words if "easy" not in s.casefold() or CONTRADICTS["easy"].isdisjoint(words)
    ]
    if not fits:
        return text
    suffix = _pick(rng, fits)
    return f"{text.rstrip()} {suffix.lower() if text == text.lower() else suffix}"


def suffix_remove(text: str, rule: TextRule, rng: Rng) -> str:
    """The title without "Recipe", unless what is left needs it ("Secret Recipe")."""
    if is_sentence(text) or is_negated(text):
        return text
    for suffix in sorted(rule.words, key=len, reverse=True):
        if text.casefold().endswith(f" {suffix.casefold()}"):
            rest = text[: -len(suffix)].rstrip()
            last = words_of(rest)[-1:] or [""]
            if last[0] and last[0] not in _NEEDS_RECIPE and not last[0].endswith(("'s", "’s")):
                return rest
    return text


def simplify(text: str, rule: TextRule, rng: Rng) -> str:
    """Without numbering, remarks in parentheses and abbreviations, in single spaces.

    What parentheses say of the dish is kept, behind a comma; another script's name for it goes.
    """
    plain = " ".join(NUMBERING.sub("", text).split())
    for abbreviation, words in ABBREVIATIONS:
        plain = abbreviation.sub(words, plain)
    plain = re.sub(r"\s*\(([^()]*)\)", _without_parentheses, plain).strip()
    plain = " ".join(plain.split())
    return plain if plain else text


def _without_parentheses(match: re.Match[str]) -> str:
    inside, last = match[1].strip(), match.end() == len(match.string)
    before = match.string[: match.start()].strip()
    other_script = any(c.isalpha() for c in inside) and not re.search(r"[A-Za-zÀ-ɏ\d]", inside)
    if not inside or set(words_of(inside)) <= HARMLESS or (other_script and is_latin_name(before)):
        return ""
    return f", {inside}" if last and before and not AMOUNT.search(inside) else match[0]


def _sentence_case(text: str) -> str:
    """One capital, at the start; a text with words that may be names stays as it is."""
    first, *others = text.split(" ")
    if any(w[:1].isupper() and w.casefold() not in COMMON for w in others):
        return text
    return " ".join([first_upper(first), *(w.lower() if w[:1].isupper() else w for w in others)])


def _but_amounts(change: Callable[[str], str]) -> Callable[[str], str]:
    """The change everywhere but in amounts."""

    def changed(text: str) -> str:
        result, start = [], 0
        for amount in AMOUNT.finditer(text):
            result += [change(text[start : amount.start()]), amount[0]]
            start = amount.end()
        return "".join([*result, change(text[start:])])

    return changed


CASES: dict[str, Callable[[str], str]] = {
    "lower": _but_amounts(str.lower),
    "upper": _but_amounts(str.upper),
    "title": _but_amounts(title_case),
    "sentence": _sentence_case,
}


def _pick(rng: Rng, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]
