"""Captions rewritten by eight rules, so that a model reads one dish in many wordings.

A rule is a function ``(text, settings, rng) -> text``; one that does not apply gives the text back.
What a rule would change of amounts, colors, negations or ingredients is dropped
(:mod:`helpers.topics.augmentation.facts`). On top of that each rule keeps away from some cases,
said beside it. Two things to know before hoping for much: the tokenizers of CLIP and SigLIP read
small letters only, so that ``case`` changes nothing for them; and "Homemade" is a claim that no
image shows.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.topics.augmentation.config import TextRule
from helpers.topics.augmentation.facts import (
    AMOUNT,
    DISHES,
    FIXED_NAMES,
    INGREDIENTS,
    NEGATIONS,
    NUMBERING,
    PRAISE,
    SINGULAR,
    SMALL_WORDS,
    WORDS,
    any_of,
    changed_facts,
    term_pattern,
    terms,
    unabbreviated,
)

Rng = np.random.Generator
Rules = Mapping[str, TextRule]
ANY_LANGUAGE = ("case",)  # the other rules know English only
LONGEST_TITLE = 8  # words
_CONTRADICTS = {name: frozenset(words) for name, words in WORDS["contradicts"].items()}
_FOODS = frozenset(word for phrase in DISHES | INGREDIENTS for word in phrase.split())
_COMMON = (_FOODS - {"french"}) | PRAISE | {"recipe"}  # words that are no proper names
_OPENING = re.compile(
    r"(?:(?:an?\s+|the\s+)?(?:close-?up\s+)?(?:photo|photograph|picture|image)\s+of\s+)?"
    r"(?:(?:an?|the)\s+)?",
    re.IGNORECASE,
)
_BELONGS_TO_NEXT = SMALL_WORDS | {"as", "&", "but", "enough", "to", "than"}
_TWICE = re.compile(r"\b(\w+)\s+\1\b", re.IGNORECASE)
_DISH = re.compile(rf"(?:{any_of(DISHES)})(?!\w)", re.IGNORECASE)
_ONE = rf"(?:{any_of(INGREDIENTS)})"
_FOOD = rf"(?P<food>{_ONE}(?:\s+and\s+{_ONE})?)"
_THEN = r"(?!\s+on\s+top\b)(?P<then>\s*,.*|\s+(?:in|on|over|topped|garnished|covered|served)\s.*|)"
_PRAISED = rf"(?P<praise>(?:(?:{any_of(PRAISE)})\s+)*)"
_BEFORE = re.compile(rf"{_PRAISED}{_FOOD}\s+(?P<dish>{any_of(DISHES)}){_THEN}$", re.I)
_BEHIND = re.compile(
    rf"{_PRAISED}(?P<dish>(?:{_ONE}\s+)?(?:{any_of(DISHES)}))\s+with\s+{_FOOD}{_THEN}$", re.I
)
_ON_TOP = re.compile(r"\bwith ((?:(?!with )[^\W\d]+ ){1,3})on top\b", re.I)
_TOPPED = re.compile(r"\btopped with ((?:[^\W\d]+ ){0,2}[^\W\d]+)(?=,|$)", re.I)


@dataclass(frozen=True)
class Rewritten:
    """A caption and the rule that made it; without a rule it is the text that came."""

    text: str
    rule: str = ""


def rewritten(text: str, rules: Rules, *, seed: int, key: str = "", language: str = "en") -> (
    Rewritten
):  # fmt: skip
    """The caption after one rule, drawn by weight among the enabled rules that change it.

    Parameters
    ----------
    seed, key
        With the text they decide what is drawn; ``key`` is such as a recipe and a copy.
    language : str
        Text that is not English (``en``, ``en-GB``) is changed in its capitals at most.
    """
    digest = hashlib.sha256(f"{seed}/{key}/{text}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    english = language.split("-")[0].casefold() in ("en", "")
    found: dict[str, str] = {}
    for name, one in zip(RULES, rng.spawn(len(RULES)), strict=True):
        rule = rules[name]
        if rule.enabled and rule.weight > 0 and (english or name in ANY_LANGUAGE):
            changed = apply_rule(name, text, rules=rules, rng=one)
            if changed != text:
                found[name] = changed
    if not found:
        return Rewritten(text)
    weights = np.array([rules[name].weight for name in found])
    chosen = str(rng.choice(list(found), p=weights / weights.sum()))
    return Rewritten(found[chosen], chosen)


def apply_rule(
    name: str, text: str, *, rules: Rules, rng: Rng | None = None,
    functions: Mapping[str, Callable[[str, TextRule, Rng], str]] | None = None,
) -> str:  # fmt: skip
    """The caption after one named rule, enabled or not; unchanged where facts would change.

    Parameters
    ----------
    rng : Generator, optional
        Chooses where a rule has a choice; by default the same each time.
    functions : mapping of name to rule, optional
        In the place of those in ``RULES``.

    Raises
    ------
    ValueError
        For an unknown rule.
    """
    known = {**RULES, **(functions or {})}
    if name not in known:
        raise ValueError(f"unknown text rule {name!r}; use one of {', '.join(known)}")
    changed = known[name](text, rules[name], np.random.default_rng(0) if rng is None else rng)
    kept = changed == text or not changed_facts(text, changed, pairs=_own_pairs(rules[name]))
    return changed if kept else text


def by_rule(
    text: str, rules: Rules, *,
    functions: Mapping[str, Callable[[str, TextRule, Rng], str]] | None = None,
) -> dict[str, str]:  # fmt: skip
    """The caption after each rule that changes it; see :func:`apply_rule`."""
    found = {name: apply_rule(name, text, rules=rules, functions=functions) for name in RULES}
    return {name: changed for name, changed in found.items() if changed != text}


def synonyms(text: str, rule: TextRule, rng: Rng) -> str:
    """One word or phrase, wherever it stands, by its other name."""
    pairs = _own_pairs(rule)
    table, pattern = terms(pairs), term_pattern(pairs)
    found = sorted({" ".join(m[0].casefold().split()) for m in pattern.finditer(text)})
    if not found:
        return text
    chosen = _pick(rng, found)

    def other(match: re.Match[str]) -> str:
        if " ".join(match[0].casefold().split()) != chosen:
            return match[0]
        name = table[chosen]
        if _DISH.match(text, match.end() + 1):
            name = SINGULAR.get(name, name)
        return _letters_like(name, match[0], whole=text)

    changed = pattern.sub(other, text)
    stutters = _TWICE.search(changed) and not _TWICE.search(text)  # "whole wheat wheat flour"
    return text if stutters else _with_articles(changed)


def prefix_add(text: str, rule: TextRule, rng: Rng) -> str:
    """ "Homemade" or the like before the dish; never a second one, nor against what is said."""
    opening, body = _parts(text)
    words = set(_words(text))
    fits = [p for p in rule.words if words.isdisjoint(_CONTRADICTS.get(p.casefold(), ()))]
    taken = not words.isdisjoint(PRAISE | {prefix.casefold() for prefix in rule.words})
    if taken or not fits or is_sentence(text) or is_negated(text) or not _is_latin(body):
        return text
    prefix = _pick(rng, fits)
    if opening or text == text.lower():
        return _with_articles(f"{opening}{prefix.lower()} {body}")
    keep = is_title_case(body) or " " not in body
    return f"{prefix} {body if keep else _lower_first(body)}"


def prefix_remove(text: str, rule: TextRule, rng: Rng) -> str:
    """The dish without the praise before it; a name such as "simple syrup" stays."""
    opening, body = _parts(text)
    whole, removable = body, {word.casefold() for word in rule.words}
    if is_sentence(text) or is_negated(text):
        return text
    while True:
        first, _, rest = body.partition(" ")
        following = _words(rest)[:1]
        named = body.casefold().startswith(tuple(FIXED_NAMES))
        belongs = not following or following[0] in _BELONGS_TO_NEXT or not _is_latin(rest)
        if first.casefold() not in removable or named or belongs:
            break
        body = _upper_first(rest) if first[0].isupper() and not opening else rest
    return _with_articles(opening + body) if body != whole else text


def reorder(text: str, rule: TextRule, rng: Rng) -> str:
    """The ingredient before the dish moved behind it, or back; else the topping's words turned.

    Both words have to be known. What is not may be a name: French toast is no toast with French.
    """
    if is_sentence(text) or is_negated(text):
        return text
    opening, body = _parts(text)
    if (found := _BEHIND.match(body)) and not found["dish"].casefold().endswith(
        tuple(WORDS["always_with"])
    ):
        moved = f"{_single(found['food'])} {found['dish']}"
    elif (found := _BEFORE.match(body)) and (
        " ".join(f"{found['food']} {found['dish']}".casefold().split()) not in FIXED_NAMES
    ):
        moved = f"{found['dish']} with {found['food']}"
    elif _ON_TOP.search(text):
        return _ON_TOP.sub(lambda m: f"topped with {m[1].strip()}", text)
    else:
        return _TOPPED.sub(lambda m: f"with {m[1]} on top", text)
    if body[:1].isupper() and not is_title_case(body) and not found["praise"]:
        moved = _upper_first(" ".join(map(_lower_first, moved.split(" "))))
    return _with_articles(f"{opening}{found['praise']}{moved}{found['then']}")


def case(text: str, rule: TextRule, rng: Rng) -> str:
    """Other capitals; amounts keep theirs (200 mL), and so do names in the form ``sentence``."""
    changed = [new for form in rule.forms if (new := CASES[form](text)) != text]
    return _pick(rng, changed) if changed else text


def suffix_add(text: str, rule: TextRule, rng: Rng) -> str:
    """ "Recipe" behind a title; not behind the description of a photo, nor a second one."""
    words = set(_words(text))
    if not is_title(text) or is_negated(text) or words & {"recipe", "recipes"}:
        return text
    hard = not words.isdisjoint(_CONTRADICTS["easy"])
    fits = [s for s in rule.words if not (hard and "easy" in s.casefold())]
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
            last = (_words(rest) or [""])[-1]
            needs = last in (*SMALL_WORDS, *WORDS["needs_recipe"])
            if last and not needs and not last.endswith(("'s", "’s")):
                return rest
    return text


def simplify(text: str, rule: TextRule, rng: Rng) -> str:
    """Without numbering, remarks in parentheses and abbreviations, in single spaces.

    What parentheses say of the dish is kept, behind a comma; another script's name for it goes.
    """
    plain = unabbreviated(" ".join(NUMBERING.sub("", text).split()))
    plain = re.sub(r"\s*\(([^()]*)\)", _without_parentheses, plain)
    return " ".join(plain.split()) or text


RULES: dict[str, Callable[[str, TextRule, Rng], str]] = {
    "synonyms": synonyms,
    "prefix_add": prefix_add,
    "prefix_remove": prefix_remove,
    "reorder": reorder,
    "case": case,
    "suffix_add": suffix_add,
    "suffix_remove": suffix_remove,
    "simplify": simplify,
}


def is_sentence(text: str) -> bool:
    """Whether it says something of the dish rather than names it: rules for names pass it over."""
    words = _words(text)
    ends = text.rstrip()[-1:] in (".", "!", "?", "…", ":")
    starts = not words or words[0] in WORDS["sentence_starts"]
    return ends or starts or not set(words).isdisjoint(WORDS["verbs"])


def is_title(text: str) -> bool:
    """A short name of a dish, without an opening and without plate, table or garnish."""
    words = _words(text)
    plain = not _parts(text)[0] and set(words).isdisjoint(WORDS["scene"]) and _is_latin(text)
    return plain and len(words) <= LONGEST_TITLE and not is_sentence(text)


def is_negated(text: str) -> bool:
    """Whether anything in it is denied; rules that move or drop words keep away from it."""
    words = {part for word in _words(text) for part in (word, *word.split("-"))}
    return not words.isdisjoint(NEGATIONS | {"w/o"}) or "n't" in text or "n’t" in text


def is_title_case(text: str) -> bool:
    """Whether all words but small ones begin with a capital; a single word does not tell."""
    words = [w for w in text.split() if w[:1].isalpha() and w.casefold() not in SMALL_WORDS]
    return len(words) > 1 and all(w[0].isupper() for w in words)


def title_case(text: str) -> str:
    """Capitals at the start of words; small words, elisions and the rest of a word stay."""
    words = text.split(" ")
    for i, word in enumerate(words):
        small = i > 0 and word.casefold() in SMALL_WORDS
        if not small and not re.match(r"\w{1,3}['’]\w{2}", word):
            words[i] = _upper_first(word)
    return " ".join(words)


def _parts(text: str) -> tuple[str, str]:
    """ "a photo of an " and the dish, whose words the rules may touch."""
    end = _OPENING.match(text).end()
    return text[:end], text[end:]


def _words(text: str) -> list[str]:
    """Words in lower case, without the marks around them."""
    found = (word.strip(".,;:!?()[]\"“”'’").casefold() for word in text.split())
    return [word for word in found if word]


def _is_latin(text: str) -> bool:
    """English is not put before other scripts or numbers."""
    return bool(re.match(r"[A-Za-zÀ-ɏ]", text))


def _own_pairs(rule: TextRule) -> tuple[tuple[str, str], ...]:
    return getattr(rule, "pairs", ())


def _single(food: str) -> str:
    """ "potatoes and carrots" as they stand before a dish: "potato and carrot"."""
    words = [(word, SINGULAR.get(word.casefold(), word)) for word in food.split()]
    return " ".join(_upper_first(one) if word[0].isupper() else one for word, one in words)


def _letters_like(words: str, example: str, *, whole: str) -> str:
    """``words`` with capitals as ``example`` has them in the caption ``whole``."""
    if len(example) > 1 and example.isupper():
        return words.upper()
    if not example[:1].isupper():
        return words.lower()
    return title_case(words) if is_title_case(whole) else _upper_first(words)


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower_first(text: str) -> str:
    """A small first letter where the first word is a common one; proper names keep theirs."""
    first = _words(text)[:1]
    return text[:1].lower() + text[1:] if first and first[0] in _COMMON else text


def _with_articles(text: str) -> str:
    """ "a" and "an" as the next word wants them; letters decide, not sounds."""

    def fixed(match: re.Match[str]) -> str:
        wanted = "an" if match[2][0].lower() in "aeiou" else "a"
        return (_upper_first(wanted) if match[1][0].isupper() else wanted) + " " + match[2]

    return re.sub(r"\b([Aa]n?) ([A-Za-z])", fixed, text)


def _without_parentheses(match: re.Match[str]) -> str:
    inside, last = match[1].strip(), match.end() == len(match.string)
    before = match.string[: match.start()].strip()
    foreign = any(c.isalpha() for c in inside) and not re.search(r"[A-Za-zÀ-ɏ\d]", inside)
    if set(_words(inside)) <= set(WORDS["harmless"]) or (foreign and _is_latin(before)):
        return ""
    return f", {inside}" if last and before and not AMOUNT.search(inside) else match[0]


def _sentence_case(text: str) -> str:
    """One capital, at the start; a text with words that may be names stays as it is."""
    first, *others = text.split(" ")
    if any(w[:1].isupper() and w.casefold() not in _COMMON for w in others):
        return text
    return " ".join([_upper_first(first), *(w.lower() if w[:1].isupper() else w for w in others)])


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
