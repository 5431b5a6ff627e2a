"""``augmentation_config.yaml``, read strictly: what it says is what is done, or an error says why.

Nothing has a silent default: a transform that is missing, misspelt, given twice or out of bounds is
refused with the file and the key.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
    create_model,
)

from helpers import paths

FILE_NAME = "augmentation_config.yaml"
CASE_FORMS = ("lower", "title", "sentence", "upper")


class ConfigError(ValueError):
    """Something in the file is wrong; the message names file, key, value and remedy."""


def _number(low: float, high: float) -> Any:
    return Annotated[float, Field(strict=True, ge=low, le=high, allow_inf_nan=False)]


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"the low end comes first: [{ends[1]:g}, {ends[0]:g}]")
    return ends


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("a text is due, and this one is empty")
    return " ".join(value.split())


def _different(pair: tuple[str, str]) -> tuple[str, str]:
    if pair[0].casefold() == pair[1].casefold():
        raise ValueError("a pair is two different texts")
    return pair


Text = Annotated[StrictStr, AfterValidator(_text)]
Texts = Annotated[tuple[Text, ...], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageRule(_Strict):
    """One transform: used with ``probability``; its strength comes from ``range`` or ``values``."""

    enabled: StrictBool
    probability: _number(0, 1)


class TurnRule(ImageRule):
    """A transform whose strength is one of some ``values``."""

    values: Annotated[tuple[Literal[90, 180, 270], ...], Field(min_length=1)]


class TextRule(_Strict):
    """One rewriting rule; ``weight`` is relative to the other rules that apply."""

    enabled: StrictBool
    weight: _number(0, 1000)


def _ranged(name: str, low: float, high: float) -> type[ImageRule]:
    number = _number(low, high)
    ends = Annotated[tuple[number, number], AfterValidator(_ordered)]
    return create_model(name, __base__=ImageRule, range=(ends, ...))


def _listing(name: str, **fields: Any) -> type[TextRule]:
    return create_model(name, __base__=TextRule, **{k: (v, ...) for k, v in fields.items()})


# Transforms in the order in which they are applied, with the bounds of a sensible range.
IMAGES: dict[str, type[ImageRule]] = {
    "horizontal_flip": ImageRule,
    "vertical_flip": ImageRule,
    "rotation": _ranged("Rotation", -180, 180),
    "quarter_turns": TurnRule,
    "crop_and_resize": _ranged("Crop", 0.1, 1),
    "brightness": _ranged("Brightness", 0, 4),
    "contrast": _ranged("Contrast", 0, 4),
    "saturation": _ranged("Saturation", 0, 4),
    "blur": _ranged("Blur", 0.1, 20),
    "noise": _ranged("Noise", 0, 255),
}
TEXTS: dict[str, type[TextRule]] = {
    "synonyms": _listing(
        "Synonyms", pairs=tuple[Annotated[tuple[Text, Text], AfterValidator(_different)], ...]
    ),
    "prefix_add": _listing("PrefixAdd", words=Texts),
    "prefix_remove": _listing("PrefixRemove", words=Texts),
    "reorder": TextRule,
    "case": _listing("Case", forms=Annotated[tuple[Literal[CASE_FORMS], ...], Field(min_length=1)]),
    "suffix_add": _listing("SuffixAdd", words=Texts),
    "suffix_remove": _listing("SuffixRemove", words=Texts),
    "simplify": TextRule,
}
_FILE = create_model(
    "File", __base__=_Strict,
    images=(create_model("Images", __base__=_Strict, **{k: (v, ...) for k, v in IMAGES.items()}),
            ...),
    texts=(create_model("Texts", __base__=_Strict, **{k: (v, ...) for k, v in TEXTS.items()}), ...),
)  # fmt: skip
_REMEDIES = {
    "bool_type": "write true or false, without quotes",
    "float_type": "a number is due, without quotes",
    "string_type": "a text is due; YAML takes words like no, on and null for other things: put it "
    "in quotes",
    "tuple_type": "a list in [ ] is due",
    "model_type": "a mapping of keys to values is due",
}


@dataclass(frozen=True)
class Config:
    """Every transform and every rule by name, in the order in which transforms are applied."""

    images: Mapping[str, ImageRule]
    texts: Mapping[str, TextRule]

    def dump(self) -> dict[str, Any]:
        """The settings as JSON values: what an artefact or a training depends on."""
        parts = {"images": self.images, "texts": self.texts}
        return {
            part: {name: rule.model_dump(mode="json") for name, rule in rules.items()}
            for part, rules in parts.items()
        }

    def only(self, *names: str) -> "Config":
        """These settings with nothing enabled but the named transforms and rules.

        Raises
        ------
        ConfigError
            For a name that is neither a transform nor a rule.
        """
        for name in names:
            if name not in {**self.images, **self.texts}:
                known = [*self.images, *self.texts]
                raise ConfigError(f"unknown transform or rule {name!r}{_hint(name, known)}")
        parts = [
            {k: v if k in names else v.model_copy(update={"enabled": False})
             for k, v in rules.items()}
            for rules in (self.images, self.texts)
        ]  # fmt: skip
        return Config(*parts)


def load_config(path: Path | str = "") -> Config:
    """Read an augmentation file; empty: ``notebooks/profiles/augmentation_config.yaml``.

    Raises
    ------
    ConfigError
        If it cannot be read, or anything in it is unknown, missing, given twice or out of bounds.

    >>> load_config().images["rotation"].range
    (-25.0, 25.0)
    """
    place = paths.find(path) if path else paths.notebooks() / "profiles" / FILE_NAME
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the augmentation file {place}: {error}; give its path"
        ) from error
    return parse_config(text, where=str(place))


def parse_config(text: str, *, where: str = FILE_NAME) -> Config:
    """The settings in a YAML text; ``where`` names it in errors. Raises ``ConfigError``."""
    try:
        tree = yaml.load(text, Loader=_OnceLoader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not YAML: {error}; mend this line") from error
    try:
        found = _FILE.model_validate(tree)
    except ValidationError as error:
        errors = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        raise ConfigError(f"{where}: {_said(errors[0])}") from None  # a misspelt key explains most
    return Config(*({n: getattr(part, n) for n in names}
                    for part, names in ((found.images, IMAGES), (found.texts, TEXTS))))  # fmt: skip


class _OnceLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_OnceLoader.add_implicit_resolver(  # 1e-1 is a number too
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _said(error: Mapping[str, Any]) -> str:
    """One error of pydantic in a sentence: key, value, remedy."""
    *above, key = error["loc"] or ("",)
    place = ".".join(map(str, above)) or "the file"
    if isinstance(key, int) and error["type"] == "missing":
        return f"{place} is {error['input']!r}; write two of them in [ ]"
    if error["type"] == "missing":
        off = "; `enabled: false` switches a transform off" if len(above) == 1 else ""
        return f"{place} lacks {key!r}: add it{off}"
    if error["type"] == "extra_forbidden":
        known = {0: ["images", "texts"], 1: [*IMAGES, *TEXTS]}.get(len(above))
        known = known or sorted({n for one in (*IMAGES.values(), *TEXTS.values())
                                 for n in one.model_fields})  # fmt: skip
        remedy = _hint(str(key), known) or "; delete it"
        return f"unknown key {key!r} in {place}{remedy}"
    where = ".".join(map(str, error["loc"])) or "the file"
    message = error["msg"].removeprefix("Value error, ")
    remedy = _REMEDIES.get(error["type"], message[:1].lower() + message[1:])
    return f"{where} is {error['input']!r}; {remedy}"


def _hint(name: str, options: list[str]) -> str:
    near = difflib.get_close_matches(name, sorted(options), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
