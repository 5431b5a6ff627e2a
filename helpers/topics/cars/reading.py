"""How a query about a car is read: each word by the fact that it tells, or the reason to refuse it.

A word that belongs to a fact may be written as in the metadata, in another case or language, in the
plural, by a usual short form, joined ("F150"), or misspelt. The longest phrase counts ("golf
course" before "Golf"), and the car's own names come before any list ("Silverado" is no color).
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field

FACTS = ("make", "model", "body", "year", "age")
NAME_LIMIT, NAME_WORDS = 48, 7  # of the longest name of Stanford Cars: 42 letters, 6 words
LONGEST, MOST_WORDS, MOST_TIMES = 160, 24, 2
WORDS = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))
NEUTRAL, CONTRADICTION = (  # people leave the apostrophe out
    frozenset(WORDS[k]) | {word.replace("'", "") for word in WORDS[k]}
    for k in ("neutral", "contradiction")
)
NAME = re.compile(r"[\w\s.\-/&'+()]*")
WORD = re.compile(r"'?\d+s?(?!\w)|[^\W_]+(?:'[^\W\d_]+)?")
NUMBER = re.compile(r"'?\d+s?")
DESIGNATION = re.compile(r"[a-z]{1,3}\d{1,4}[a-z]{0,2}|\d{1,4}[a-z]{1,3}")
FORMAT = re.compile(
    r"[{}\[\]<>|`*#=\\~^@_%\n\r\t]|https?:|www\.|&\w+;|[\U0001F000-\U0001FAFF\u2600-\u27BF]"
    r"|^\s*[\"“'].*[\"”']\s*$|^\s*(?:[-•]|\d\d?[.)])\s"
)
LABEL = re.compile(rf"\b(?:{'|'.join(WORDS['labels'])})(?:\s*\d+)?\s*:")
COMPARED = re.compile(
    r"\b(?:before|after|since|until|till|pre|post|than)[\s-]+'?\d\d|\d\d\+"
    r"|\b(?:or|and) (?:later|newer|older|earlier|up|above|below)\b"
)
HERE = re.compile(r"\b(?:in|on|at|near|by|over|through|across)(?: an?| the)? (\w+)")
UNSURE, INSTRUCTION, REFUSAL = (
    re.compile(rf"\b(?:{'|'.join(WORDS[k])})") for k in ("unsure", "instruction", "refusal")
)
PATTERNS = {"instruction": INSTRUCTION, "refusal": REFUSAL, "year": COMPARED,
            "detail": re.compile(r"[$€£]\s*\d|\d\s*[$€£]")}  # fmt: skip
Phrase = tuple[str, ...]


class Car(BaseModel):
    """The metadata of a class of cars; nothing else is known of it.

    ``body`` is empty where there is none. ``age`` is its place among the cars of the same make,
    model and body: ``older``, ``newer``, or empty where there is one year, or for one in between.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    id: str = Field(min_length=1)
    make: str = Field(min_length=1)
    model: str = Field(min_length=1)
    body: str = ""
    year: str = Field(pattern=r"^(19|20)\d\d$")
    age: Literal["", "older", "newer"] = ""

    @property
    def metadata(self) -> dict[str, str]:
        """The facts that may be spoken of, without the id and what is empty."""
        return {name: value for name in FACTS if (value := getattr(self, name))}


class Finding(NamedTuple):
    """A reason to refuse a query, and the words that gave it."""

    reason: str
    words: str


class Reading(NamedTuple):
    """What a query says of a car: (fact, words, form), reasons to refuse it, words left over."""

    mentions: tuple[tuple[str, str, Phrase], ...]
    findings: tuple[Finding, ...]
    unexplained: tuple[str, ...]

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts that are mentioned, each once."""
        return tuple(name for name in FACTS if name in {fact for fact, *_ in self.mentions})


def cars_of(rows: Iterable[Mapping[str, Any]]) -> list[Car]:
    """The cars of rows with id, make, model, body and year, each id once; their ages by comparison.

    Raises pydantic's ``ValidationError`` if a row has no id, make, model, or a year that is none.
    """
    found: dict[str, Car] = {}
    for row in rows:
        car = Car(**{name: row[name] for name in ("id", *FACTS[:4])})
        if found.setdefault(car.id, car) != car:
            raise ValueError(f"car {car.id!r} has two sets of facts: {found[car.id]}, {car}")
    years = defaultdict(set)
    for car in found.values():
        years[car.make, car.model, car.body].add(car.year)
    ends = {kind: (min(some), max(some)) for kind, some in years.items() if len(some) > 1}

    def age(car: Car) -> str:
        first, last = ends.get((car.make, car.model, car.body), ("", ""))
        return "older" if car.year == first else "newer" if car.year == last else ""

    return [car.model_copy(update={"age": age(car)}) for car in found.values()]


def metadata_problem(car: Car) -> str:
    """Why a car's metadata is no plain name and may reach no writer; empty where it is one."""
    for name in ("make", "model", "body"):
        value = getattr(car, name)
        spoken = [word for word in words_of(value) if word in WORDS["no_names"]]
        if len(value) > NAME_LIMIT or len(value.split()) > NAME_WORDS:
            return f"{name} is longer than any name"
        if not value.isprintable() or not NAME.fullmatch(value):
            return f"{name} holds signs that no name has"
        if spoken:
            return f"{name} holds {spoken[0]!r}, which no name does"
    return ""


def plain(text: str) -> str:
    """Lower case, straight apostrophes, no accents."""
    text = unicodedata.normalize("NFKD", text.replace("\u2019", "'").replace("\u2018", "'"))
    return "".join(c for c in text if not unicodedata.combining(c)).casefold()


def words_of(text: str) -> list[str]:
    """The words and numbers of a text in plain form; an apostrophe before a year stays.

    >>> words_of("'12 Mercedes-Benz E-Class, from the '90s")
    ["'12", 'mercedes', 'benz', 'e', 'class', 'from', 'the', "'90s"]
    """
    return WORD.findall(plain(text))


@lru_cache(maxsize=4096)
def forms_of(car: Car) -> dict[Phrase, str]:
    """Every form of the car's facts as words, and the fact that each tells."""
    forms: dict[Phrase, str] = {}
    for name in ("model", "make", "body"):
        value = getattr(car, name)
        own = tuple(words_of(value))
        aliases = WORDS.get(f"{name}_aliases", {}).get(plain(value), ())
        for phrase in (*_spellings(own), *map(tuple, map(words_of, aliases))):
            if phrase and not (len(phrase) == 1 and phrase[0] in NEUTRAL):
                forms.setdefault(phrase, name)
    forms = {
        (*phrase[:-1], f"{phrase[-1]}{end}"): fact
        for phrase, fact in forms.items()
        for end in ("s", "es", "'s")
        if len(phrase[-1]) > 2  # a TTS is no plural of the TT
    } | forms
    for phrase in _years(car.year):
        forms.setdefault(phrase, "year")
    for phrase in WORDS["ages"].get(car.age, ()):
        forms.setdefault(tuple(words_of(phrase)), "age")
    return forms


def _spellings(words: Phrase) -> Iterator[Phrase]:
    """Every stretch of a name ("srt 8" of "Challenger SRT-8"), neighbors joined, first letters."""
    for length in range(len(words), 0, -1):
        yield from (words[i : i + length] for i in range(len(words) - length + 1))
    yield from ((a + b,) for a, b in pairwise(words))
    if len(words) > 1:
        yield ("".join(words),)
        if all(word.isalpha() and len(word) > 2 for word in words):
            yield ("".join(word[0] for word in words),)


def _years(year: str) -> Iterator[Phrase]:
    """The ways to say a year: 2012, '12, 12, my12, twenty twelve, 2010s, the early '10s."""
    short, ten = year[2:], f"{year[:3]}0s"
    decades = [ten, ten[2:], f"'{ten[2:]}", *filter(None, [WORDS["decades"].get(year[2])])]
    part = "early" if year[3] < "4" else "mid" if year[3] < "7" else "late"
    said = (year, f"'{short}", short, f"my{short}", f"my{year}", f"{year}my", *decades)
    yield from ((one,) for one in said)
    yield from ((part, decade) for decade in decades)
    if spoken := WORDS["spoken_years"].get(short):
        yield ("twenty" if year[1] == "0" else "nineteen", spoken)


def distance(a: str, b: str) -> int:
    """Edits between two words: a letter added, dropped or replaced, or two neighbors exchanged.

    Damerau, "A technique for computer detection and correction of spelling errors" (1964), in its
    restricted form: no part is edited twice.

    >>> distance("ferarri", "ferrari"), distance("golf", "gold"), distance("nisn", "nissan")
    (1, 1, 2)
    """
    rows = [list(range(len(b) + 1))]
    for i, left in enumerate(a, start=1):
        row = [i]
        for j, right in enumerate(b, start=1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def nearly(word: str, names: Iterable[str]) -> str:
    """The name that a word is a typo or a beginning of; empty where there is none.

    One edit in four or five letters, two in more, in three only an exchange.

    >>> nearly("ferarri", ["ferrari"]), nearly("vet", ["corvette"])
    ('ferrari', '')
    """
    for name in names:
        if not name.isalpha() or len(name) < 3:
            continue
        allowed = 0 if len(name) == 3 else 1 if len(name) < 6 else 2
        close = abs(len(word) - len(name)) <= allowed and distance(word, name) <= allowed
        begins = len(name) > 4 and len(word) > 2 and name.startswith(word)
        if close or begins or _exchanged(word, name):
            return name
    return ""


def _exchanged(word: str, name: str) -> bool:
    """Whether two neighboring letters changed places ("mgc" for GMC)."""
    same = len(word) == len(name) and sorted(word) == sorted(name)
    return same and word != name and distance(word, name) == 1


@lru_cache(maxsize=8192)
def read(text: str, car: Car) -> Reading:
    """Each word of a query by what it says of the car."""
    if problem := metadata_problem(car):
        return Reading((), (Finding("metadata", problem),), ())
    simple, found = UNSURE.sub(" ", plain(text)), list(_shape(text))
    mentions, unexplained = [], []
    for said, kind, what, form in _spans(words_of(simple), car):
        if kind == "fact":
            mentions.append((what, said, form))
        elif kind == "refused":
            found.append(Finding(what, said))
        elif kind == "unknown":
            unexplained.append(said)
    own = {word for _, said, _ in mentions for word in said.split()} & set(WORDS["places"])
    again = [place for place in HERE.findall(simple) if place in own]
    found += [Finding("background", place) for place in again if simple.split().count(place) > 1]
    named = (len(said) > 1 and said not in WORDS["generic"] for fact, said, _ in mentions
             if fact in ("make", "model"))  # fmt: skip
    if not found and not any(named):
        found.append(Finding("empty", "neither make nor model"))
    return Reading(tuple(mentions), tuple(found), tuple(unexplained))


def _shape(text: str) -> Iterator[Finding]:
    """What can be seen without the car: the form of an answer, instructions, refusals."""
    simple, said = plain(text), words_of(text)
    if not said:
        yield Finding("empty", "no word")
    for sign in filter(None, (FORMAT.search(text), LABEL.search(simple))):
        yield Finding("format", sign[0][:20])
    if not text.isprintable() or len(text) > LONGEST or len(said) > MOST_WORDS:
        yield Finding("format", f"{len(said)} words, or signs that do not print")
    times = Counter(word for word in said if word not in NEUTRAL)
    if times and max(times.values()) > MOST_TIMES:
        yield Finding("format", f"{times.most_common(1)[0][0]} again and again")
    simple = UNSURE.sub(" ", simple)
    for reason, pattern in PATTERNS.items():
        if match := pattern.search(simple):
            yield Finding(reason, match[0])
    if against := [word for word in words_of(simple) if word in CONTRADICTION]:
        yield Finding("contradiction", " ".join(against))


def _spans(said: list[str], car: Car) -> Iterator[tuple[str, str, str, Phrase]]:
    """(words, ``fact`` | ``refused`` | ``neutral`` | ``unknown``, fact or reason, form)."""
    own, refused, start = forms_of(car), _refused(), 0
    while start < len(said):
        for length in range(min(6, len(said) - start), 0, -1):
            phrase = tuple(said[start : start + length])
            if phrase in own or phrase in refused:
                kind = "fact" if phrase in own else "refused"
                yield " ".join(phrase), kind, own.get(phrase) or refused[phrase], phrase
                break
        else:
            length = 1
            yield said[start], *_single(said[start], car)
        start += length


def _single(word: str, car: Car) -> tuple[str, str, Phrase]:
    """A word that stands in no list of facts or reasons: kind, fact or reason, form."""
    if word in NEUTRAL or word in CONTRADICTION:
        return "neutral", "", ()
    if NUMBER.fullmatch(word):
        is_year = "'" in word or re.fullmatch(r"\d\d|(18|19|20)\d\d", word.strip("s"))
        return "refused", "year" if is_year else "detail", ()
    values = {part: n for n in FACTS[2::-1] for part in words_of(getattr(car, n))}
    names = values | {form[0]: fact for form, fact in forms_of(car).items() if len(form) == 1}
    if name := nearly(word, names):
        return "fact", names[name], (name,)
    if re.fullmatch(r"\d\d?(?:st|[nr]d|th)", word):  # of a generation or a century
        return "refused", "year", ()
    if DESIGNATION.fullmatch(word):
        return "refused", "model", ()
    for (other, *more), reason in _refused().items():
        listed = reason in ("make", "model", "color") and not more and len(other) > 4
        if listed and _exchanged(word, other):
            return "refused", reason, ()
    return "unknown", "", ()


@lru_cache(maxsize=1)
def _refused() -> dict[Phrase, str]:
    """Every phrase that a query may not add, by reason; the first reason of a phrase counts."""
    found: dict[Phrase, str] = {}
    for reason, phrases in WORDS["refused"].items():
        for phrase in phrases:
            parts = tuple(words_of(phrase))
            found.setdefault(parts, reason)
            if reason in ("make", "model", "body"):
                found.setdefault((*parts[:-1], f"{parts[-1]}s"), reason)
    for aliases in WORDS["make_aliases"].values():
        for alias in aliases:
            found.setdefault(tuple(words_of(alias)), "make")
    return found
