"""Checks for the exercises: ``check("01.clean_caption", clean)`` shows a Verdict under the cell.

The checks of a lesson live in a module of their own and register themselves when it is imported
here. They solve the exercise in the plainest way and share no code with what they teach.
"""

from difflib import get_close_matches
from typing import Any

from helpers.first.report import (
    checks_cleaning,
    checks_instances,
    checks_serving,
)
from helpers.first.report.verdicts import EXERCISES, Verdict, exercise, judge

LESSONS = (
    checks_cleaning,
    checks_instances,
    checks_serving,
)

__all__ = ["LESSONS", "Verdict", "check", "exercise", "names"]


def names() -> list[str]:
    """The names of all exercises, in order of the lessons."""
    return sorted(EXERCISES)


def check(name: str, answer: Any) -> Verdict:
    """Judge an answer: *correct*, a hint that names the likely mistake, or *not attempted*.

    Parameters
    ----------
    name : str
        Such as ``01.clean_caption``.
    answer : function or value
        The learner's; None, ``...`` or a function that returns either is no attempt. An exception
        inside the learner's function becomes a hint.

    Raises
    ------
    ValueError
        If there is no exercise of that name.

    Examples
    --------
    >>> check("01.clean_caption", ...).status
    'not attempted'
    """
    if name not in EXERCISES:
        near = get_close_matches(name, EXERCISES, n=1, cutoff=0.4)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown exercise {name!r}{meant} (there are: {', '.join(names())})")
    return judge(EXERCISES[name], answer)
