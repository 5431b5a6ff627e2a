"""Recipes and the strict reading of ``recipes.jsonl``: what cannot be read is named, never skipped.

Ids stay strings ("007", "NA"). A line that is no recipe is rejected whole; a bad caption, image or
unknown field inside a good one is rejected alone. Either way a ``Reject`` says where and why.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from helpers.data.texts import MAX_CHARS, bounded, kind_of, shown, text_problem
from helpers.data.wording import collapse, first_sentence, main_ingredients

FIELDS = (
    "recipe_id", "title", "images", "captions", "description", "tags", "ingredients", "attributes",
)  # fmt: skip
UNUSABLE = "none of its _ images can be used"  # the cause of a recipe whose images are all refused
_DIFFERS = re.compile(r"\d[\d,.]*|'[^']*'|\([^)]*\)")


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
    value = {key: v for key, v in asdict(recipe).items() if key in FIELDS}
    value["images"] = list(recipe.images)
    value["captions"] = [asdict(caption) for caption in recipe.captions]
    value["attributes"] = dict(recipe.attributes)
    required = ("recipe_id", "title", "images")
    return {key: v for key, v in value.items() if v or key in required}


def recipe_from_json(obj: Any) -> Recipe:
    """The recipe that an object of ``recipes.jsonl`` holds; nothing in it may be wrong.

    Raises
    ------
    RecordError
        At the first thing that is missing, unknown or of another type.
    """
    recipe, problems = parse_recipe(obj)
    for kind, item, reason in problems:
        raise RecordError(f"{kind} {item!r}: {reason}")
    return recipe


Problem = tuple[str, str, str]  # kind, item, reason


def parse_recipe(obj: Any) -> tuple[Recipe, list[Problem]]:
    """The recipe and what in it was not taken: (kind, item, reason) as in ``Reject``.

    Raises ``RecordError`` if there is no recipe.
    """
    if not isinstance(obj, dict):
        raise RecordError(f"a record is an object, this is {kind_of(obj)}")
    problems: list[Problem] = []
    for key in obj:
        if key not in FIELDS:
            near = difflib.get_close_matches(key[:60], FIELDS, n=1, cutoff=0.75)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            reason = f"unknown field, not read{hint} (said once for a file)"
            problems.append(("field", bounded(key), reason))
    attributes = obj.get("attributes", {})
    if not isinstance(attributes, dict) or not all(
        isinstance(v, str) and not text_problem(f"{k}={v}") for k, v in attributes.items()
    ):
        raise RecordError("attributes is not an object of strings that can be kept")
    recipe = Recipe(
        recipe_id=_text(obj, "recipe_id"),
        title=_text(obj, "title", default="" if obj.get("captions") else None),
        images=tuple(_good_strings(obj, "images", "image", problems)),
        captions=tuple(_captions(obj, problems)),
        description=_description(obj, problems),
        tags=tuple(_good_strings(obj, "tags", "field", problems)),
        ingredients=tuple(_good_strings(obj, "ingredients", "field", problems)),
        attributes=attributes,
    )
    return recipe, problems


def _text(obj: dict[str, Any], key: str, *, default: str | None = None) -> str:
    value = obj.get(key, default)
    if value is None and key not in obj:
        has = bounded(", ".join(sorted(obj)))
        raise RecordError(f"{key} is missing; it has {has or 'no field'}")
    if not isinstance(value, str):
        raise RecordError(f"{key} is {kind_of(value)} ({shown(value)}); write it as a string")
    problem = text_problem(value)
    if problem and not (default is not None and problem == "is empty"):
        raise RecordError(f"{key} {problem}")
    return value


def _description(obj: dict[str, Any], problems: list[Problem]) -> str:
    """The description; one that is too long is left out alone."""
    value = obj.get("description", "")
    if isinstance(value, str) and len(value) > MAX_CHARS:
        item = f"description of {bounded(str(obj.get('recipe_id')), 60)}"
        problems.append(("field", item, text_problem(value)))
        return ""
    return _text(obj, "description", default="")


def _list(obj: dict[str, Any], key: str) -> list[Any]:
    value = obj.get(key, [])
    if not isinstance(value, list):
        raise RecordError(f"{key} is {kind_of(value)}; write it as a list")
    return value


def _good_strings(
    obj: dict[str, Any], key: str, kind: str, problems: list[Problem]
) -> Iterator[str]:
    for i, value in enumerate(_list(obj, key)):
        problem = (
            text_problem(value) if isinstance(value, str) else f"is {kind_of(value)}, no string"
        )
        if problem:
            problems.append((kind, f"{key}[{i}] of {bounded(obj['recipe_id'], 60)}", problem))
        else:
            yield value


def _captions(obj: dict[str, Any], problems: list[Problem]) -> Iterator[Caption]:
    for i, value in enumerate(_list(obj, "captions")):
        given = {"text": value} if isinstance(value, str) else value
        allowed = {f.name for f in fields(Caption)}
        if not isinstance(given, dict) or not {"text"} <= set(given) <= allowed:
            problem = "is no string and no {text, language}"
        elif not all(isinstance(v, str) for v in given.values()):
            problem = "holds something that is no string"
        else:
            problem = text_problem(given["text"]) or text_problem("".join(["x", *given.values()]))
        if problem:
            problems.append(
                ("caption", f"captions[{i}] of {bounded(obj['recipe_id'], 60)}", problem)
            )
        else:
            yield Caption(**given)
