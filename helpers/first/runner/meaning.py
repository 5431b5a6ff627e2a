"""Which lessons of a command or a page have numbers that mean nothing, and what to run instead."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from helpers.first.report import meaning
from helpers.first.runner.lessons import Lesson
from helpers.first.runner.plan import Plan

if TYPE_CHECKING:
    import argparse


def warning_of(plans: Sequence[Plan], lessons: Sequence[Lesson]) -> str:
    """The warning on some lessons with their values, and the command that mends it; else empty.

    Parameters
    ----------
    plans : sequence of Plan
    lessons : sequence of Lesson
        All there are: a command for all of them names none.
    """
    found: dict[str, str] = {}
    given: dict[str, Any] = {}
    for plan in plans:
        found |= meaning.without_meaning(plan.values)
        given |= plan.given
    if not found:
        return ""
    only = [plan.lesson.number for plan in plans] if len(plans) < len(lessons) else []
    trains = any(meaning.trains(plan.declared) for plan in plans)
    command = meaning.run_command(plans[0].name, given, found, only=only, for_training=trains)
    return meaning.warning(list(dict.fromkeys(found.values())), command)


def warning_of_search(source: str, model: str, arguments: "argparse.Namespace") -> str:
    """The warning on a search in the images of a source, and the command that mends it."""
    found = meaning.without_meaning({"source": source, "model": model})
    where = ["--zone", arguments.zone] if arguments.zone else ["--name", arguments.name]
    return meaning.warning(list(found.values()), meaning.search_command(where))
