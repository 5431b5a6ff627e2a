"""What a lesson lets one set: declared in its parameters cell, checked before any cell runs.

A parameters cell holds one ``name: type = literal  # meaning, unit`` a line. The types are int,
float, str and bool. Every given value is kept as the text that the user wrote and is parsed by the
declared type, so that "007" stays "007" for a str and is refused for an int.
"""

import ast
import io
import math
import re
import tokenize
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from helpers.first.runner.lessons import CourseError, did_you_mean
from helpers.first.runner.ranges import out_of_range

Value = int | float | str | bool
TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}
RESERVED = {"report": "the runner sets it; name the run with --name instead"}

INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell."""

    name: str
    type: str
    default: Value
    meaning: str


@dataclass(frozen=True)
class Given:
    """A value as the user wrote it: its text, what YAML took it for ("" from ``-p``), and where."""

    name: str
    text: str
    where: str
    yaml_type: str = ""
    quoted: bool = False


def _comments(source: str) -> dict[int, str]:
    """Line number -> comment, for every line that has one."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}


def _declared(node: ast.stmt, comment: str, place: str) -> Parameter:
    """One parameter from a statement, or an error that says which part of the form is missing."""
    form = "write `name: type = literal  # meaning, unit`"
    if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
        raise CourseError(f"{place}: not a parameter; {form}")
    name = node.target.id
    kind = ast.unparse(node.annotation)
    if kind not in TYPES:
        raise CourseError(f"{place}: {name} has type {kind!r}; allowed are {', '.join(TYPES)}")
    if node.value is None:
        raise CourseError(f"{place}: {name} has no default; {form}")
    try:
        default = ast.literal_eval(node.value)
    except ValueError as error:
        raise CourseError(f"{place}: the default of {name} is not a literal; {form}") from error
    if type(default) is not TYPES[kind]:
        found = type(default).__name__
        raise CourseError(f"{place}: {name} is declared {kind}, its default {default!r} is {found}")
    if not comment:
        raise CourseError(f"{place}: {name} has no comment; {form}")
    return Parameter(name, kind, default, comment)


def declared_parameters(source: str, *, where: str) -> dict[str, Parameter]:
    """The parameters that a cell declares, by name, in its order.

    Parameters
    ----------
    source : str
        The text of the cell tagged ``parameters``.
    where : str
        The lesson, for error messages.

    Raises
    ------
    CourseError
        If a line has another form, an unknown type, a default of another type, no comment, or a
        name that an earlier line has.

    Examples
    --------
    >>> declared_parameters("rank: int = 8  # LoRA rank", where="05")["rank"].default
    8
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise CourseError(f"{where}, parameters cell, line {error.lineno}: {error.msg}") from error
    comments = _comments(source)
    found: dict[str, Parameter] = {}
    for node in tree.body:
        place = f"{where}, parameters cell, line {node.lineno}"
        parameter = _declared(node, comments.get(node.lineno, ""), place)
        if parameter.name in found:
            raise CourseError(f"{place}: {parameter.name} is declared twice")
        found[parameter.name] = parameter
    return found


def _to_int(text: str) -> int:
    if not INTEGER.fullmatch(text):
        leading = re.fullmatch(r"[+-]?0[0-9]+", text)
        reason = "an int has no leading zeros" if leading else "not an int, such as 8"
        raise ValueError(reason)
    return int(text)


def _to_float(text: str) -> float:
    if not NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError("not a finite number, such as 3, 0.5 or 1e-4")
    return float(text)


def _to_bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("a bool is true or false")
    return text.lower() == "true"


PARSERS: dict[str, Callable[[str], Value]] = {
    "int": _to_int,
    "float": _to_float,
    "bool": _to_bool,
    "str": str,
}
# What YAML may have taken a plain scalar for, by declared type: "1e-4" is a str to YAML 1.1.
YAML_TYPES = {
    "int": ("int",),
    "float": ("float", "int", "str"),
    "bool": ("bool",),
    "str": ("str",),
}


def _refuse_yaml(given: Given, declared: str) -> str:
    """Why a YAML value cannot be of the declared type; empty where it can."""
    if given.yaml_type in ("", *YAML_TYPES[declared]) and not (given.quoted and declared != "str"):
        return ""
    if given.yaml_type in ("list", "mapping", "null"):
        return f"a parameter is one value, and this is a {given.yaml_type}"
    if declared == "str":
        return f"YAML reads it as {given.yaml_type}; quote it: {given.name}: '{given.text}'"
    if given.quoted:
        return f"it is quoted, which makes it a str; write {given.name}: {given.text}"
    return f"YAML reads it as {given.yaml_type}"


def _in_range(name: str, value: Value, meaning: str) -> Value:
    if wanted := out_of_range(name, value):
        raise ValueError(f"it has to be {wanted} ({name}: {meaning})")
    return value


def parse(given: Given, parameter: Parameter, *, lesson: str) -> Value:
    """The value of a parameter from what the user wrote.

    Raises
    ------
    CourseError
        If it is not of the declared type, or out of the range of its name; the text says why and
        what was expected.

    Examples
    --------
    >>> parse(Given("lr", "1e-4", "-p"), Parameter("lr", "float", 0.1, ""), lesson="04")
    0.0001
    """
    reason = _refuse_yaml(given, parameter.type)
    if not reason:
        try:
            return _in_range(given.name, PARSERS[parameter.type](given.text), parameter.meaning)
        except ValueError as error:
            reason = str(error)
    raise CourseError(
        f"parameter {given.name!r} of {lesson} is {parameter.type}, "
        f"{given.where} gives {given.text!r}: {reason}"
    )


def from_option(option: str) -> Given:
    """The value in ``-p name=value``; everything after the first ``=`` is the value."""
    name, equals, text = option.partition("=")
    if not equals or not name.strip():
        raise CourseError(f"-p {option!r} has no form name=value, such as -p rank=32")
    return Given(name.strip(), text, f"-p {option}")


def check_names(
    given: Iterable[Given],
    chosen: Mapping[str, Mapping[str, Parameter]],
    others: Mapping[str, Mapping[str, Parameter]],
) -> None:
    """Refuse a name that no chosen lesson declares, and a name that the runner keeps to itself.

    Parameters
    ----------
    given : iterable of Given
    chosen, others : mapping
        Lesson name -> its parameters: those that will run, and the rest, for the message.
    """
    known = {name for parameters in chosen.values() for name in parameters}
    for one in given:
        if one.name in RESERVED:
            raise CourseError(f"parameter {one.name!r} cannot be set: {RESERVED[one.name]}")
        if one.name in known:
            continue
        elsewhere = [lesson for lesson, parameters in others.items() if one.name in parameters]
        if elsewhere:
            verb = "declares it, but is" if len(elsewhere) == 1 else "declare it, but are"
            hint = f"; {', '.join(elsewhere)} {verb} not among the chosen lessons"
        else:
            hint = did_you_mean(one.name, known)
        raise CourseError(f"unknown parameter {one.name!r} for {', '.join(chosen)}{hint}")


def resolve(
    layers: Sequence[Sequence[Given]], declared: Mapping[str, Parameter], *, lesson: str
) -> dict[str, Value]:
    """The values given for one lesson: of the layers, each beats those before it.

    Names that the lesson does not declare are left out; ``check_names`` has refused those that
    nobody declares.
    """
    values: dict[str, Value] = {}
    for layer in layers:
        for given in layer:
            if given.name in declared:
                values[given.name] = parse(given, declared[given.name], lesson=lesson)
    return values
