"""The check that every lesson makes in its second cell, in whatever way it is run.

papermill, pytest and JupyterLab hand values to a lesson without a look at them, and papermill's
``-p`` makes a number of what looks like one. Here a value is brought to the type that the lesson
declares and held against the tables that ``course run`` reads; what cannot be meant is refused.
"""

from collections.abc import MutableMapping
from typing import Any

from helpers import paths
from helpers.first.runner.choices import rule_of
from helpers.first.runner.lessons import CourseError, read_lesson
from helpers.first.runner.parameters import Given, Parameter, Value, check_values, parse, shown
from helpers.first.runner.plan import declared_by


def check_parameters(lesson: str, values: MutableMapping[str, Any]) -> None:
    """Check the parameters of a lesson and bring each to its type, in place.

    A number or a list becomes the text of a list (``-p sizes 50`` means "50"), and a relative path
    is looked for where the command was given, then below the course's root.

    Parameters
    ----------
    lesson : str
        The lesson's name, such as ``03_baseline_eval``.
    values : mapping
        The notebook's names: ``globals()``.

    Raises
    ------
    CourseError
        For the first value that is of another type, out of its range, none of the choices, a path
        where nothing is, or that does not go together with another.
    """
    declared = declared_by(read_lesson(paths.notebooks() / f"{lesson}.ipynb"))
    found: dict[str, Value] = {}
    for name, parameter in declared.items():
        given = _given(values.get(name, parameter.default), parameter, lesson)
        found[name] = parse(given, parameter, lesson=lesson)
    check_values(found, declared, lesson=lesson)
    values.update(found)


def _given(value: Any, parameter: Parameter, lesson: str) -> Given:
    """A value of the kernel as if it had been written down."""
    name, rule = parameter.name, rule_of(parameter.name, lesson)
    if isinstance(value, list | tuple):
        return Given(name, shown(value), "this notebook", "list", parts=tuple(map(str, value)))
    if value is None or isinstance(value, dict):
        kind = "nothing" if value is None else "a mapping"
        raise CourseError(
            f"{name} of {lesson} is {kind}, and {parameter.type} is declared; as text it is given "
            f"with -r {name} VALUE"
        )
    if parameter.type == "str" and not isinstance(value, str) and not rule.number:
        raise CourseError(
            f"{name} of {lesson} is the number {value}, and a text is wanted: papermill's -p drops "
            f"zeros and points; give it with -r {name} VALUE, which keeps it as it is written"
        )
    return Given(name, str(value), "this notebook")
