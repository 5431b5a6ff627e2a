"""The values of a lesson's parameters: from ``-p``, YAML and profiles, or a kernel's own names.

Every value is the text that the user wrote until the declared type says what it is: "007" stays
"007" for a str and is refused for an int. YAML is read as a tree of texts, never turned into
objects: ``no`` for a str is "no", not False, and ``1e-4`` is a number where a number is declared.
"""

import math
import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from helpers import paths
from helpers.course.lessons import (
    CourseError,
    Lesson,
    Parameter,
    Value,
    did_you_mean,
    read_lesson,
)
from helpers.course.rules import Place, conflict, out_of_range, rule_of
from helpers.store.credentials import KEY_VARIABLES, without_keys

DEFAULT_PROFILE = "tiny"  # the notebooks' own values: it needs no folder
RESERVED = {"report": "the runner sets it; name the run with --name instead"}
LONGEST = 200  # letters of a value in a message
INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Given:
    """A value as the user wrote it, and where: its text, or the ``parts`` of what is no one text.

    ``kind`` is "" or what the value is instead: "list", "list of lists", "mapping".
    """

    name: str
    text: str
    where: str
    kind: str = ""
    parts: tuple[str, ...] = ()


Layers = Sequence[Sequence[Given]]


def shown(value: object) -> str:
    """A value as messages show it: in quotes where it is a text, and not endlessly long."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def from_option(option: str) -> Given:
    """The value in ``-p name=value``; everything after the first ``=`` is the value."""
    name, equals, text = option.partition("=")
    if not equals or not name.strip():
        raise CourseError(f"-p {option!r} has no form name=value, such as -p rank=32")
    return Given(name.strip(), text, f"-p {option}")


def from_yaml(text: str, *, where: str) -> tuple[Given, ...]:
    """The values of a YAML mapping ``name: value``, in its order; an empty text holds none.

    Lines may be gathered under headings, one level deep: ``lora:`` and, indented, ``rank: 32``. The
    headings are for the reader alone.

    >>> from_yaml("rank: 32", where="-y")[0].text
    '32'
    """
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise CourseError(f"{where} is not YAML: {error}") from error
    if tree is None:
        return ()
    if not isinstance(tree, yaml.MappingNode):
        raise CourseError(f"{where} is not a mapping; write one `name: value` a line")
    found = []
    for key, value in tree.value:
        heading = isinstance(value, yaml.MappingNode) and not value.flow_style
        found += value.value if heading else [(key, value)]
    return _without_twice([_given(key, value, where) for key, value in found], where)


def _given(key: yaml.Node, value: yaml.Node, where: str) -> Given:
    if not isinstance(key, yaml.ScalarNode):
        raise CourseError(f"{where}: a name is expected at line {key.start_mark.line + 1}")
    place = f"{where}, line {value.start_mark.line + 1},"
    if isinstance(value, yaml.ScalarNode):
        return Given(key.value, value.value, place)
    if isinstance(value, yaml.MappingNode):
        return Given(key.value, "{...}", place, "mapping")
    plain = all(isinstance(node, yaml.ScalarNode) for node in value.value)
    parts = tuple(node.value for node in value.value) if plain else ()
    return Given(key.value, "[...]", place, "list" if plain else "list of lists", parts)


def _without_twice(given: Sequence[Given], where: str) -> tuple[Given, ...]:
    names = [one.name for one in given]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise CourseError(f"{where} gives {twice!r} twice")
    return tuple(given)


def from_file(path: Path) -> tuple[Given, ...]:
    """The values of a YAML file; ``CourseError`` if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"cannot read the parameters file {path}: {error}") from error
    return from_yaml(text, where=str(path))


def from_command_line(options: Sequence[str], *, text: str = "", file: str = "") -> Layers:
    """What ``-f``, ``-y`` and ``-p`` give, in this order: a later layer beats the ones before.

    A value that is an address with a password is refused before anything records it.
    """
    layers = (
        from_file(paths.find(file)) if file else (),
        from_yaml(text, where="-y"),
        _without_twice([from_option(option) for option in options], "-p"),
    )
    for given in (one for layer in layers for one in layer):
        if (plain := without_keys(given.text)) != given.text:
            raise CourseError(
                f"{given.name} is an address that holds a user or a password, and every page of a "
                f"run shows its parameters: give {plain}, and the key in "
                f"{' or '.join(KEY_VARIABLES)} (see .env.example)"
            )
    return layers


def profiles() -> tuple[str, ...]:
    """The names of the profiles, in order."""
    found = (p.name for p in (paths.notebooks() / "profiles").glob("*/"))
    return tuple(sorted({DEFAULT_PROFILE, *found}))


def from_profile(profile: str, lesson: Lesson) -> dict[str, Value]:
    """The values that a profile sets for a lesson, checked; none where it has no file for it."""
    if profile not in profiles():
        hint = did_you_mean(profile, profiles())
        raise CourseError(f"unknown profile {profile!r}{hint} (there are: {', '.join(profiles())})")
    path = paths.notebooks() / "profiles" / profile / f"{lesson.slug}.yaml"
    given = from_file(path) if path.is_file() else ()
    check_names(given, [lesson])
    return resolve([given], lesson)


def check_names(
    given: Iterable[Given], chosen: Sequence[Lesson], lessons: Sequence[Lesson] = ()
) -> None:
    """Refuse a name that no chosen lesson declares, and a name that the runner keeps to itself.

    ``lessons`` are all there are: the message names those that would take it.
    """
    known = {name for lesson in chosen for name in lesson.parameters}
    for name in (one.name for one in given):
        if name in RESERVED:
            raise CourseError(f"parameter {name!r} cannot be set: {RESERVED[name]}")
        if name in known:
            continue
        elsewhere = [lesson.slug for lesson in lessons if name in lesson.parameters]
        hint = did_you_mean(name, known)
        if elsewhere:
            verb = "declares it, but is" if len(elsewhere) == 1 else "declare it, but are"
            hint = f"; {', '.join(elsewhere)} {verb} not among the chosen lessons"
        slugs = ", ".join(lesson.slug for lesson in chosen)
        raise CourseError(f"unknown parameter {name!r} for {slugs}{hint}")


def resolve(layers: Layers, lesson: Lesson) -> dict[str, Value]:
    """The values given for a lesson, of their types: of the layers, each beats those before it.

    Names that it does not declare are left out: ``check_names`` has refused those of nobody.
    """
    found = {one.name: one for layer in layers for one in layer if one.name in lesson.parameters}
    return {name: parse(one, lesson.parameters[name], lesson.slug) for name, one in found.items()}


def parse(given: Given, parameter: Parameter, lesson: str) -> Value:
    """The value of a parameter from what the user wrote.

    Raises ``CourseError``, with what was expected, if it is not of the declared type, out of the
    range of its name, or none of its words.

    >>> parse(Given("lr", "1e-4", "-p"), Parameter("lr", "float", 0.1, ""), "04")
    0.0001
    """
    rule, kind, text = rule_of(parameter.name, lesson), parameter.type, given.text
    if given.kind and not (given.kind == "list" and rule.separator):
        wrong = f"a parameter is one value, and this is a {given.kind}"
    elif kind == "str":
        text = f"{rule.separator} ".join(given.parts) if given.kind else text
        why = "" if text == parameter.default else rule.problem(text)
        if not why:
            return text if text == parameter.default else rule.settled(text)
        where = f" ({given.where.rstrip(',')})" if ", line " in given.where else ""
        raise CourseError(f"{given.name} {shown(text)} of {lesson}{where}{why}")
    elif not (wrong := _wrong_text(text, kind)):
        value = {"int": int, "float": float, "bool": "true".__eq__}[kind](text.lower())
        if not (wanted := out_of_range(given.name, value)):
            return value
        wrong = f"it has to be {wanted} ({given.name}: {parameter.meaning})"
    said = f"parameter {given.name!r} of {lesson} is {kind}, {given.where} gives {shown(text)}"
    raise CourseError(f"{said}: {wrong}")


def _wrong_text(text: str, kind: str) -> str:
    """Why a text is not of a type; empty where it is."""
    if kind == "int" and not INTEGER.fullmatch(text):
        leading = re.fullmatch(r"[+-]?0[0-9]+", text)
        return "an int has no leading zeros" if leading else "not an int, such as 8"
    if kind == "float" and not (NUMBER.fullmatch(text) and math.isfinite(float(text))):
        return "not a finite number, such as 3, 0.5 or 1e-4"
    if kind == "bool" and text.lower() not in ("true", "false"):
        return "a bool is true or false"
    return ""


def check_values(values: Mapping[str, Value], lesson: Lesson) -> None:
    """Refuse values that point at nothing, or that do not go together, before any work is done."""
    for name, value in values.items():
        own = value == lesson.parameters[name].default
        why = "" if own else rule_of(name, lesson.slug).missing(str(value))
        if why:
            raise CourseError(f"{name} {shown(value)} of {lesson.slug}: {why}")
    names, why = conflict(values)
    if why:
        said = " and ".join(f"{name} is {shown(values[name])}" for name in names)
        raise CourseError(f"{said} in {lesson.slug}: {why}")


def check(lesson: str, values: MutableMapping[str, Any]) -> None:
    """Bring the parameters of a lesson to their types in place, and refuse what cannot be meant.

    papermill, pytest and JupyterLab hand values to a lesson without a look at them, and
    papermill's ``-p`` makes a number of what looks like one: a number or a list becomes the text
    of a list (``-p sizes 50`` means "50"). ``values`` are the notebook's ``globals()``.
    """
    notebook = read_lesson(paths.notebooks() / f"{lesson}.ipynb")
    found = {
        name: parse(_in_kernel(values.get(name, one.default), one, lesson), one, lesson)
        for name, one in notebook.parameters.items()
    }
    check_values(found, notebook)
    values.update(found)


def _in_kernel(value: Any, parameter: Parameter, lesson: str) -> Given:
    """A value of the kernel as if it had been written down."""
    name, where = parameter.name, "this notebook"
    if isinstance(value, list | tuple):
        return Given(name, shown(value), where, "list", tuple(map(str, value)))
    if value is None or isinstance(value, dict):
        kind = "nothing" if value is None else "a mapping"
        raise CourseError(
            f"{name} of {lesson} is {kind}, and {parameter.type} is declared; as text it is given "
            f"with -r {name} VALUE"
        )
    rule, text = rule_of(name, lesson), parameter.type == "str" and not isinstance(value, str)
    if text and isinstance(rule, Place) and rule.new:
        raise CourseError(
            f"{name} of {lesson} is the number {value}, and a text is wanted: papermill's -p drops "
            f"zeros and points; give it with -r {name} VALUE, which keeps it as it is written"
        )
    return Given(name, str(value), where)
