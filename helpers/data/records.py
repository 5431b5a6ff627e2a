"""Recipes, and the strict reading of one: what cannot be read is named, never skipped.

Ids stay strings ("007", "NA"). A record that is no recipe is rejected whole; a bad caption, image
or unknown field inside a good one is rejected alone. Either way a ``Reject`` says where and why.
"""

import difflib
import re
import reprlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

BOM = "\ufeff"
MAX_CHARS = 20_000  # of a text: no model here reads a hundredth of it
SAVE_AS = "save the file as UTF-8 (a spreadsheet calls it CSV UTF-8)"
KINDS = {
    dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number",
    float: "a number", type(None): "null",
}  # fmt: skip
FIELDS = (
    "recipe_id", "title", "images", "captions", "description", "tags", "ingredients", "attributes",
)  # fmt: skip
REQUIRED = FIELDS[:3]
SAID_ONCE = "(said once for a file)"  # ends the reason of a field that many records may have
UNUSABLE = "none of its _ images can be used"  # the cause of a recipe whose images are all refused
STAPLES = frozenset({"salt", "pepper", "black pepper", "salt and pepper", "water", "oil"})
_DIFFERS = re.compile(r"\d[\d,.]*|'[^']*'|\([^)]*\)")
_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 2, 60, 60


class RecordError(ValueError):
    """A record that is no recipe; the message says why."""


@dataclass(frozen=True)
class Caption:
    """A text that describes a recipe's images; ``kind`` says how it came about, where known."""

    text: str
    language: str = "en"
    kind: str = ""


@dataclass(frozen=True)
class Recipe:
    """Images and captions that belong together; the unit of splits and of retrieval.

    ``file`` and ``line`` say where it was read, for rejects; equality leaves them out.
    """

    recipe_id: str
    title: str
    images: tuple[str, ...]
    captions: tuple[Caption, ...] = ()
    description: str = ""
    tags: tuple[str, ...] = ()
    ingredients: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Reject:
    """What was not taken, and why.

    ``kind`` is ``record``, ``image``, ``caption``, ``field``, or ``file``: one that lies in a
    source's folder and that no record names.
    """

    file: str
    line: int
    item: str
    reason: str
    kind: str = "record"

    @property
    def cause(self) -> str:
        """The reason without what differs from record to record: numbers, names, an example."""
        return _DIFFERS.sub("_", self.reason.split(", such as ")[0])

    @property
    def place(self) -> str:
        """Where it was met, in words."""
        line = f", line {self.line}" if self.line else ""
        what = f" ({bounded(self.item, 60)})" if self.item else ""
        return f"{self.file}{line}{what}"


def printable(text: str) -> str:
    """The text with surrogates and control characters written out, so that any file can hold it."""
    escaped = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in escaped)


def bounded(text: str, most: int = 300) -> str:
    """The text, printable, with its middle left out where it is longer than ``most``."""
    if len(text) > most:
        head = (most - 2) // 2
        text = f"{text[:head]}...{text[len(text) - (most - 3 - head) :]}"
    return printable(text)


def shown(value: Any) -> str:
    """A value as a message shows it: a few dozen characters, however large or deep it is."""
    return bounded(_REPR.repr(value), 40)


def kind_of(value: Any) -> str:
    """What a JSON value is, in words: ``a list``."""
    return KINDS.get(type(value), "of a kind that is not read")


def text_problem(text: str) -> str:
    """Why a text cannot be kept; empty if it can (line breaks and tabs are no problem)."""
    if not text.strip():
        return "is empty"
    if len(text) > MAX_CHARS:
        return f"has {len(text):,} characters; at most {MAX_CHARS:,} are kept"
    if any("\ud800" <= c <= "\udfff" for c in text):
        return f"is not valid UTF-8; {SAVE_AS}"
    if any(unicodedata.category(c) == "Cc" and c not in "\t\n\r" for c in text):
        return "holds a control character"
    return ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence on an unknown name: the known one that is near, if any."""
    near = difflib.get_close_matches(name[:60], known, n=1, cutoff=0.75)
    return f"; did you mean {near[0]!r}?" if near else ""


def captions_of(recipe: Recipe) -> tuple[Caption, ...]:
    """A recipe's captions; without any: its title, first sentence, and title with ingredients.

    >>> [c.text for c in captions_of(Recipe("7", "Waffles", (), ingredients=("2 eggs", "milk")))]
    ['Waffles', 'Waffles with eggs and milk']
    """
    if recipe.captions:
        return recipe.captions
    title, contents = collapse(recipe.title), main_ingredients(recipe.ingredients)
    texts = {
        "title": title,
        "sentence": first_sentence(recipe.description),
        "ingredients": f"{title} with {contents}" if title and contents else "",
    }
    return tuple(Caption(text, kind=kind) for kind, text in texts.items() if text)


def recipe_to_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as an object of ``recipes.jsonl``: empty optional fields are left out."""
    value = asdict(recipe)
    return {name: value[name] for name in FIELDS if value[name] or name in REQUIRED}


def recipe_from_json(obj: Any) -> Recipe:
    """The recipe that an object of ``recipes.jsonl`` holds; ``RecordError`` at the first fault."""
    recipe, problems = _parsed(obj)
    for problem in problems:
        raise RecordError(f"{problem.kind} {problem.item!r}: {problem.reason}")
    return recipe


def read_record(obj: Any, file: str, line: int, item: str) -> Iterator[Recipe | Reject]:
    """The recipe of an object, after the rejects of what in it was not taken; or its own reject."""
    try:
        recipe, problems = _parsed(obj)
    except RecordError as error:
        recipe, problems = Reject("", 0, item, str(error)), []
    yield from (replace(part, file=file, line=line) for part in (*problems, recipe))


def _parsed(obj: Any) -> tuple[Recipe, list[Reject]]:
    """The recipe and what in it was not taken; ``RecordError`` if there is no recipe."""
    if not isinstance(obj, dict):
        raise RecordError(f"a record is an object, this is {kind_of(obj)}")
    problems = []
    for name in [name for name in obj if name not in FIELDS]:
        reason = f"unknown field, not read{did_you_mean(name, FIELDS)} {SAID_ONCE}"
        problems.append(Reject("", 0, bounded(name), reason, "field"))
    attributes = obj.get("attributes", {})
    if not isinstance(attributes, dict) or not all(
        isinstance(v, str) and not text_problem(f"{k}={v}") for k, v in attributes.items()
    ):
        raise RecordError("attributes is not an object of strings that can be kept")
    parts = partial(_parts, obj, problems)
    recipe = Recipe(
        recipe_id=_text(obj, "recipe_id"),
        title=_text(obj, "title", default="" if obj.get("captions") else None),
        images=parts("images", "image"),
        captions=parts("captions", "caption", _caption),
        description=_description(obj, problems),
        tags=parts("tags"),
        ingredients=parts("ingredients"),
        attributes=attributes,
    )
    return recipe, problems


def _text(obj: dict[str, Any], name: str, *, default: str | None = None) -> str:
    value = obj.get(name, default)
    if value is None and name not in obj:
        has = bounded(", ".join(sorted(obj)))
        raise RecordError(f"{name} is missing; it has {has or 'no field'}")
    if not isinstance(value, str):
        raise RecordError(f"{name} is {kind_of(value)} ({shown(value)}); write it as a string")
    if (problem := text_problem(value)) and (default is None or problem != "is empty"):
        raise RecordError(f"{name} {problem}")
    return value


def _description(obj: dict[str, Any], problems: list[Reject]) -> str:
    """The description; one that is too long is left out alone."""
    value = obj.get("description", "")
    if isinstance(value, str) and len(value) > MAX_CHARS:
        item = f"description of {bounded(obj['recipe_id'], 60)}"
        problems.append(Reject("", 0, item, text_problem(value), "field"))
        return ""
    return _text(obj, "description", default="")


def _string(value: Any) -> tuple[Any, str]:
    is_text = isinstance(value, str)
    return value, text_problem(value) if is_text else f"is {kind_of(value)}, no string"


def _parts(
    obj: dict[str, Any], problems: list[Reject], name: str, kind: str = "field",
    read: Callable[[Any], tuple[Any, str]] = _string,
) -> tuple[Any, ...]:  # fmt: skip
    """The good parts of a list; ``read`` gives a part and what is wrong with it."""
    values = obj.get(name, [])
    if not isinstance(values, list):
        raise RecordError(f"{name} is {kind_of(values)}; write it as a list")
    good = []
    for place, value in enumerate(values):
        part, problem = read(value)
        if problem:
            item = f"{name}[{place}] of {bounded(obj['recipe_id'], 60)}"
            problems.append(Reject("", 0, item, problem, kind))
        else:
            good.append(part)
    return tuple(good)


def _caption(value: Any) -> tuple[Caption | None, str]:
    given = {"text": value} if isinstance(value, str) else value
    if not isinstance(given, dict) or not {"text"} <= set(given) <= {"text", "language", "kind"}:
        return None, "is no string and no {text, language}"
    if not all(isinstance(v, str) for v in given.values()):
        return None, "holds something that is no string"
    problem = text_problem(given["text"]) or text_problem("".join(["x", *given.values()]))
    return Caption(**given), problem


# Short English from a recipe's free text: the first sentence, the name of an ingredient.

_NUMBER = r"(?:\d+(?:[.,/]\d+)*|[¼½¾⅓⅔⅛])(?:\s*[¼½¾⅓⅔⅛])?"
_RANGE = rf"{_NUMBER}(?:\s*(?:-|–|/|to|or|and)\s*{_NUMBER})*"
_UNIT = (
    r"(?:k?g|gr|mg|[mdc]?l|oz|lbs?|tsps?|tbsps?|pcks?|pcs?|cm|inch(?:es)?|"
    r"(?:kilo)?grams?|ounces?|pounds?|(?:milli)?lit(?:er|re)s?|cups?|glass(?:es)?|"
    r"tea\s?spoons?|table\s?spoons?|gallons?|pints?|quarts?|sticks?|packe?t?s?|packages?|cans?|tins?|"
    r"jars?|bottles?|cloves?|pinch(?:es)?|dash(?:es)?|handfuls?|bunch(?:es)?|slices?|pieces?|"
    r"sprigs?|stalks?|knobs?|heads?|servings?|sachets?|drizzles?)\b\.?"
)
_ABOUT = r"(?:~|≈|about|around|approximately|approx\.?|ca\.?|roughly|some|at least|up to)"
_COUNT = r"(?:an?|one|two|three|four|five|six|half)\b"
_SIZE = r"(?:small|medium|large|big)(?:[ /-](?:sized?|small|medium|large))*\b"
_AMOUNT = rf"{_RANGE}\s*(?:x\b)?\s*(?:{_UNIT})?"
_LEADING = re.compile(
    rf"^\s*(?:{_ABOUT}\s*)?(?:{_AMOUNT}|{_COUNT}\s+(?:{_UNIT})?|{_UNIT})\s*"
    rf"(?:(?:or\s|/)\s*{_AMOUNT})?\s*(?:of\s+)?(?:{_SIZE}\s+)?",
    re.IGNORECASE,
)
_TRAILING = re.compile(rf"\s+(?:{_ABOUT}\s*)?{_AMOUNT}\.?$", re.IGNORECASE)
_REMARK = re.compile(
    r"\s*(?:[,;:|]|\s[-–—]\s|\bor\b|\bto taste\b|\bfor\b|\bper\b|\.(?:\s|$)).*$", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|approx|ca|vs|etc|dr|mr|mrs|st|no|min|max))$", re.I)


def collapse(text: str) -> str:
    """The text in Unicode's form NFC with each run of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def plain_text(text: str) -> str:
    """Markdown and HTML marks removed, the words kept."""
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", " ", text)  # pictures
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)  # links keep their words
    text = re.sub(r"</?[A-Za-z][^>]*>", " ", text)
    text = re.sub(r"(?m)^\s*(?:#{1,6}|>|[-*+]|\d+[.)])\s+", "", text)
    text = re.sub(r"(\*\*|__|\*|`|~~)(?=\S)(.+?)(?<=\S)\1", r"\2", text)
    return re.sub(r"(?<!\w)_(?=\S)(.+?)(?<=\S)_(?!\w)", r"\1", text)


def first_sentence(text: str) -> str:
    """The first sentence of the first paragraph, plain and on one line; empty for empty text.

    >>> first_sentence("Melt-in-mouth pork, e.g. belly. Serve hot.")
    'Melt-in-mouth pork, e.g. belly.'
    """
    paragraphs = (collapse(plain_text(p)) for p in re.split(r"\n\s*\n", text))
    paragraph = next(filter(None, paragraphs), "")
    for end in _SENTENCE_END.finditer(paragraph):
        goes_on = paragraph[end.end() :].lstrip()[:1].islower()
        if not goes_on and not _ABBREVIATION.search(paragraph[: end.start()]):
            return paragraph[: end.end()]
    return paragraph.rstrip(" :;,")


def ingredient_name(text: str) -> str:
    """What an ingredient is, without how much of it: lower case; empty if nothing is left.

    >>> ingredient_name("~150g (1/3 lb) bacon cubes"), ingredient_name("3 onions, chopped")
    ('bacon cubes', 'onions')
    """
    before, name = "", collapse(re.sub(r"\([^)]*\)", " ", plain_text(text)))
    while name != before:  # "2 pcks", "1 (14 oz) can of"
        before, name = name, _LEADING.sub("", name)
    name = _TRAILING.sub("", _REMARK.sub("", name))
    return name.strip(" .,*").lower()


def main_ingredients(ingredients: tuple[str, ...], *, most: int = 3) -> str:
    """The first few ingredients that say something, as ``"a, b and c"``; staples are left out.

    >>> main_ingredients(("2 eggs", "salt", "200g flour", "3 cups of milk", "sugar"))
    'eggs, flour and milk'
    """
    names = dict.fromkeys(map(ingredient_name, ingredients))
    names = [name for name in names if name and name not in STAPLES][:most]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
