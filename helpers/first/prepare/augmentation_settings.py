"""``augmentation_config.yaml``, read strictly: what it says is what is done, or an error says why.

Nothing has a silent default: a transform that is missing, misspelt, given twice or out of bounds is
refused with the file and the key.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from helpers import paths

FILE_NAME = "augmentation_config.yaml"
# Transforms in the order in which they are applied, and the bounds of a sensible range.
IMAGE_RANGES: dict[str, tuple[float, float] | None] = {
    "horizontal_flip": None,
    "vertical_flip": None,
    "rotation": (-180, 180),
    "quarter_turns": None,
    "crop_and_resize": (0.1, 1),
    "brightness": (0, 4),
    "contrast": (0, 4),
    "saturation": (0, 4),
    "blur": (0.1, 20),
    "noise": (0, 255),
}
QUARTER_TURNS = (90, 180, 270)
CASE_FORMS = ("lower", "title", "sentence", "upper")
TEXT_KEYS: dict[str, tuple[str, ...]] = {
    "synonyms": ("pairs",),
    "prefix_add": ("words",),
    "prefix_remove": ("words",),
    "reorder": (),
    "case": ("forms",),
    "suffix_add": ("words",),
    "suffix_remove": ("words",),
    "simplify": (),
}


class ConfigError(ValueError):
    """Something in the file is wrong; the message names file, key, value and remedy."""


@dataclass(frozen=True)
class ImageRule:
    """One transform: drawn with ``probability``, its strength from ``range`` or ``values``."""

    enabled: bool
    probability: float
    range: tuple[float, float] = ()
    values: tuple[int, ...] = ()


@dataclass(frozen=True)
class TextRule:
    """One rewriting rule; ``weight`` is relative to the other rules that apply."""

    enabled: bool
    weight: float
    words: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class AugmentationConfig:
    """Every transform and every rule by name, in the order in which transforms are applied."""

    images: Mapping[str, ImageRule]
    texts: Mapping[str, TextRule]


def load_config(path: Path | str = "") -> AugmentationConfig:
    """Read an augmentation file.

    Parameters
    ----------
    path : path
        See ``paths.find`` for a relative one; empty:
        ``notebooks/profiles/augmentation_config.yaml``.

    Raises
    ------
    ConfigError
        If it cannot be read, or anything in it is unknown, missing, given twice or out of bounds.

    >>> load_config().images["rotation"].range
    (-25.0, 25.0)
    """
    place = paths.find(path) if path else _default_place()
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {place}: {error}") from error
    return parse_config(text, where=str(place))


def parse_config(text: str, *, where: str = FILE_NAME) -> AugmentationConfig:
    """The settings in a YAML text; ``where`` names it in errors. Raises ``ConfigError``."""
    try:
        tree = yaml.load(text, Loader=_StrictLoader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not YAML: {error}") from error
    sections = _mapping(tree, ("images", "texts"), where, "")
    images = _mapping(sections["images"], IMAGE_RANGES, where, "images")
    texts = _mapping(sections["texts"], TEXT_KEYS, where, "texts")
    return AugmentationConfig(
        {name: _image_rule(name, images[name], where) for name in IMAGE_RANGES},
        {name: _text_rule(name, texts[name], where) for name in TEXT_KEYS},
    )


def only(config: AugmentationConfig, *names: str) -> AugmentationConfig:
    """The config with nothing but the named transforms and rules; without a name, nothing at all.

    Raises
    ------
    ConfigError
        For a name that is neither an image transform nor a text rule.

    >>> [n for n, rule in only(load_config(), "blur").images.items() if rule.enabled]
    ['blur']
    """
    known = (*config.images, *config.texts)
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown transform or rule {name!r}{_hint(name, known)}")
    kept = {
        part: {n: rule if n in names else replace(rule, enabled=False) for n, rule in rules.items()}
        for part, rules in (("images", config.images), ("texts", config.texts))
    }
    return AugmentationConfig(**kept)


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice and takes 1e-1 for the number that it is."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _default_place() -> Path:
    return paths.notebooks() / "profiles" / FILE_NAME


def _image_rule(name: str, value: Any, where: str) -> ImageRule:
    at = f"images.{name}"
    bounds = IMAGE_RANGES[name]
    extra = ("values",) if name == "quarter_turns" else ("range",) if bounds else ()
    given = _mapping(value, ("enabled", "probability", *extra), where, at)
    rule = ImageRule(
        _switch(given["enabled"], where, f"{at}.enabled"),
        _number(given["probability"], (0, 1), where, f"{at}.probability"),
    )
    if bounds:
        return replace(rule, range=_range(given["range"], bounds, where, f"{at}.range"))
    if extra:
        turns = _list(given["values"], where, f"{at}.values")
        for turn in turns:
            if turn not in QUARTER_TURNS:
                raise _error(where, f"{at}.values", turn, "each must be 90, 180 or 270")
        return replace(rule, values=tuple(turns))
    return rule


def _text_rule(name: str, value: Any, where: str) -> TextRule:
    at = f"texts.{name}"
    given = _mapping(value, ("enabled", "weight", *TEXT_KEYS[name]), where, at)
    rule = TextRule(
        _switch(given["enabled"], where, f"{at}.enabled"),
        _number(given["weight"], (0, 1000), where, f"{at}.weight"),
    )
    if "words" in given:
        return replace(rule, words=_texts(given["words"], where, f"{at}.words"))
    if "forms" in given:
        forms = _texts(given["forms"], where, f"{at}.forms")
        for form in forms:
            if form not in CASE_FORMS:
                remedy = f"use {', '.join(CASE_FORMS)}{_hint(form, CASE_FORMS)}"
                raise _error(where, f"{at}.forms", form, remedy)
        return replace(rule, forms=forms)
    if "pairs" in given:
        key = f"{at}.pairs"
        pairs = [_texts(p, where, key) for p in _list(given["pairs"], where, key, least=0)]
        for pair in pairs:
            if len(pair) != 2 or pair[0].casefold() == pair[1].casefold():
                raise _error(where, key, list(pair), "a pair is two different texts")
        return replace(rule, pairs=tuple(pairs))
    return rule


def _mapping(value: Any, keys: Iterable[str], where: str, at: str) -> dict[str, Any]:
    """A mapping with exactly these keys."""
    keys, place = tuple(keys), at or "the file"
    if not isinstance(value, dict):
        raise _error(where, place, value, f"a mapping with {', '.join(keys)} is expected")
    for key in value:
        if key not in keys:
            hint = _hint(str(key), keys) or f"; known are {', '.join(keys)}"
            raise ConfigError(f"{where}: unknown key {key!r} in {place}{hint}")
    for key in keys:
        if key not in value:
            remedy = (
                "; `enabled: false` switches a transform off" if at in ("images", "texts") else ""
            )
            raise ConfigError(f"{where}: {place} lacks {key!r}{remedy}")
    return value


def _switch(value: Any, where: str, key: str) -> bool:
    if not isinstance(value, bool):
        raise _error(where, key, value, "write true or false, without quotes")
    return value


def _number(value: Any, bounds: tuple[float, float], where: str, key: str) -> float:
    low, high = bounds
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _error(where, key, value, f"a number from {low:g} to {high:g} is expected")
    if not low <= value <= high:
        raise _error(where, key, value, f"it must lie between {low:g} and {high:g}")
    return float(value)


def _range(value: Any, bounds: tuple[float, float], where: str, key: str) -> tuple[float, float]:
    ends = _list(value, where, key)
    if len(ends) != 2:
        raise _error(where, key, value, "write [low, high]")
    low, high = (_number(end, bounds, where, key) for end in ends)
    if low > high:
        raise _error(where, key, value, f"the low end comes first: [{high:g}, {low:g}]")
    return low, high


def _list(value: Any, where: str, key: str, *, least: int = 1) -> list:
    if not isinstance(value, list) or len(value) < least:
        raise _error(where, key, value, f"a list of at least {least} is expected")
    return value


def _texts(value: Any, where: str, key: str) -> tuple[str, ...]:
    for item in _list(value, where, key):
        if isinstance(item, bool) or item is None:
            remedy = "YAML takes words like no, on and null for other things: put it in quotes"
            raise _error(where, key, item, remedy)
        if not isinstance(item, str) or not item.strip():
            raise _error(where, key, item, "a text is expected; put it in quotes")
    return tuple(" ".join(item.split()) for item in value)


def _error(where: str, key: str, value: Any, remedy: str) -> ConfigError:
    return ConfigError(f"{where}: {key} is {value!r}; {remedy}")


def _hint(name: str, options: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(options), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
