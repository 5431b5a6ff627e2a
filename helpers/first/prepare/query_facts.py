"""What is known of a car, and how a query is read against it.

A query is cut into words, and words that belong to a fact are told: as written, in another case, in
the plural, by a usual abbreviation, joined ("F150"), or with a typo. Everything else is left for
the guardrails and the judge. Metadata is data: a name that reads like an instruction is refused.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from helpers.first.prepare.query_names import BODY_ALIASES, MAKE_ALIASES
from helpers.first.prepare.query_words import NEUTRAL, NO_NAMES

FACTS = ("make", "model", "body", "year")
NAME_LIMIT, NAME_WORDS = 48, 7  # of the longest name of Stanford Cars: 42 letters, 6 words
_NAME = re.compile(r"[\w\s.\-/&'+()]*")
_WORD = re.compile(r"'?\d+s?(?!\w)|[^\W_]+(?:'[^\W\d_]+)?")
SPOKEN = {
    "10": "ten", "11": "eleven", "12": "twelve", "13": "thirteen", "14": "fourteen",
    "15": "fifteen", "16": "sixteen", "17": "seventeen", "18": "eighteen", "19": "nineteen",
}  # fmt: skip
Phrase = tuple[str, ...]


class CarFacts(BaseModel):
    """The metadata of a car; nothing else is known of it.

    Attributes
    ----------
    id : str
        Of the class or of the recipe.
    make, model, year : str
    body : str
        Empty where the metadata names none.

    >>> CarFacts(id="7", make="Nissan", model="Leaf", body="Hatchback", year="2012").year
    '2012'
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    id: str = Field(min_length=1)
    make: str = Field(min_length=1)
    model: str = Field(min_length=1)
    body: str = ""
    year: str = Field(pattern=r"^(19|20)\d\d$")

    @property
    def metadata(self) -> dict[str, str]:
        """The facts that may be spoken of, without the id and what is empty."""
        return {name: value for name in FACTS if (value := getattr(self, name))}


def facts_of(rows: Iterable[Mapping[str, Any]]) -> list[CarFacts]:
    """The facts of rows that have id (or ``recipe_id``), make, model, body and year; each id once.

    Raises
    ------
    ValidationError
        If a row has no id, no make, no model, or a year that is none.
    """
    found: dict[str, CarFacts] = {}
    for row in rows:
        facts = CarFacts(id=row.get("id", row.get("recipe_id")), **{n: row[n] for n in FACTS})
        if found.setdefault(facts.id, facts) != facts:
            raise ValueError(f"car {facts.id!r} has two sets of facts: {found[facts.id]}, {facts}")
    return list(found.values())


def metadata_problem(facts: CarFacts) -> str:
    """Why a car's metadata is no plain name and may reach no writer; empty where it is one."""
    for name, value in facts.metadata.items():
        spoken = [word for word in words_of(value) if word in NO_NAMES]
        if len(value) > NAME_LIMIT or len(value.split()) > NAME_WORDS:
            return f"{name} is longer than any name"
        if not value.isprintable() or not _NAME.fullmatch(value):
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
    return _WORD.findall(plain(text))


@lru_cache(maxsize=4096)
def phrases_of(facts: CarFacts) -> dict[Phrase, str]:
    """Every form of the car's facts as words, and the fact that each tells."""
    forms: dict[Phrase, str] = {}
    for name, value in (("model", facts.model), ("make", facts.make), ("body", facts.body)):
        own = tuple(words_of(value))
        aliases = {"make": MAKE_ALIASES, "body": BODY_ALIASES}.get(name, {})
        also = [tuple(words_of(alias)) for alias in aliases.get(plain(value), ())]
        for phrase in (*_parts(own), *_joined(own), *also):
            if phrase and not (len(phrase) == 1 and phrase[0] in NEUTRAL):
                forms.setdefault(phrase, name)
    for phrase in _years(facts.year):
        forms.setdefault(phrase, "year")
    plurals = {
        (*phrase[:-1], f"{phrase[-1]}{end}"): fact
        for phrase, fact in forms.items()
        for end in ("s", "es", "'s")
        if len(phrase[-1]) > 2  # a TTS is no plural of the TT
    }
    return {**plurals, **forms}


@lru_cache(maxsize=4096)
def names_of(facts: CarFacts) -> dict[str, str]:
    """Each word of the car's names and usual short forms, and its fact: what a typo may mean."""
    singles = {phrase[0]: fact for phrase, fact in phrases_of(facts).items() if len(phrase) == 1}
    values = {"model": facts.model, "make": facts.make, "body": facts.body}
    return {word: fact for fact, value in values.items() for word in words_of(value)} | singles


def _parts(own: Phrase) -> Iterable[Phrase]:
    """The name, and every stretch of it: "srt 8" of "Challenger SRT-8"."""
    for length in range(len(own), 0, -1):
        yield from (own[i : i + length] for i in range(len(own) - length + 1))


def _joined(words: Phrase) -> Iterable[Phrase]:
    """Neighbors written as one ("f150"), and a name's first letters ("rr")."""
    yield from ((a + b,) for a, b in pairwise(words))
    if len(words) > 1:
        yield ("".join(words),)
        if all(word.isalpha() and len(word) > 2 for word in words):
            yield ("".join(word[0] for word in words),)


def _years(year: str) -> Iterable[Phrase]:
    """The ways to say a year: 2012, '12, 12, my12, 2010s, '10s, the early 2010s."""
    short, ten = year[2:], f"{year[:3]}0s"
    yield from ((year,), (f"'{short}",), (short,), (f"my{short}",), (f"my{year}",), (f"{year}my",))
    yield from ((ten,), (ten[2:],), (f"'{ten[2:]}",))
    if spoken := SPOKEN.get(short):
        yield from (("twenty" if year[1] == "0" else "nineteen", spoken),)
    name = {"8": "eighties", "9": "nineties", "0": "noughties"}.get(year[2])
    yield from ((name,),) if name else ()
    part = ("early", "early", "early", "early", "mid", "mid", "mid", "late", "late", "late")
    for decade in (ten, ten[2:], f"'{ten[2:]}", *((name,) if name else ())):
        yield (part[int(year[3])], decade)


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


def exchanged(word: str, name: str) -> bool:
    """Whether two neighboring letters changed places.

    >>> exchanged("mgc", "gmc"), exchanged("golf", "gold")
    (True, False)
    """
    return (
        len(word) == len(name)
        and word != name
        and any(
            word == name[:i] + name[i + 1] + name[i] + name[i + 2 :] for i in range(len(name) - 1)
        )
    )


def nearly(word: str, names: Iterable[str]) -> str:
    """The name that a word is a typo or a beginning of; empty where there is none.

    In a name of four or five letters one edit, in a longer one two, in one of three only an
    exchange; a beginning has three letters or more.

    >>> nearly("ferarri", ["ferrari"]), nearly("vet", ["corvette"])
    ('ferrari', '')
    """
    for name in names:
        if not name.isalpha() or len(name) < 3:
            continue
        allowed = 0 if len(name) == 3 else 1 if len(name) < 6 else 2
        close = abs(len(word) - len(name)) <= allowed and distance(word, name) <= allowed
        beginning = len(name) > 4 and len(word) > 2 and name.startswith(word)
        if close or beginning or exchanged(word, name):
            return name
    return ""
