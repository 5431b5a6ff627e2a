"""What a command will run, and with which values; every mistake shows here, before any cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.first.runner import run_source, state
from helpers.first.runner.lessons import CourseError, Lesson, parameters_cell, read_notebook
from helpers.first.runner.parameters import (
    Given,
    Parameter,
    Value,
    check_names,
    check_values,
    declared_parameters,
    resolve,
)
from helpers.first.runner.settings import DEFAULT_PROFILE, check_profile, from_profile, profiles

Layers = Sequence[Sequence[Given]]


@dataclass(frozen=True)
class Plan:
    """One lesson with its values: all of them, and those that the command line gave."""

    lesson: Lesson
    name: str
    profile: str
    declared: Mapping[str, Parameter]
    values: Mapping[str, Value]
    given: Mapping[str, Value]

    @property
    def passed(self) -> dict[str, Value]:
        """The values that differ from the notebook's own and have to be handed to it."""
        return {n: v for n, v in self.values.items() if v != self.declared[n].default}

    def state(self, shared: state.Shared) -> tuple[state.State, state.Fingerprint]:
        """The state of the lesson's report under these values, and what it was judged by."""
        now = state.fingerprint(self.lesson, self.values, name=self.name, shared=shared)
        return state.judge(self.lesson, now, name=self.name), now


def check_plans(plans: Sequence[Plan]) -> None:
    """Refuse values that point at nothing, or that do not go together, before a kernel starts.

    Raises
    ------
    CourseError
    """
    for plan in plans:
        check_values(plan.values, plan.declared, lesson=plan.lesson.slug)


def declared_by(lesson: Lesson) -> dict[str, Parameter]:
    """The parameters that a lesson declares."""
    cell = parameters_cell(read_notebook(lesson.path), where=lesson.slug)
    return declared_parameters(cell, where=lesson.slug)


def _profile_values(
    profile: str, lesson: Lesson, declared: Mapping[str, Parameter]
) -> dict[str, Value]:
    given = from_profile(profile, lesson)
    check_names(given, {lesson.slug: declared}, {})
    return resolve([given], declared, lesson=lesson.slug)


def _plan(
    lesson: Lesson,
    declared: Mapping[str, Parameter],
    given: Mapping[str, Value],
    *,
    name: str,
    profile: str,
) -> Plan:
    values: dict[str, Value] = {n: p.default for n, p in declared.items()}
    if "zone" in declared:
        values["zone"] = f"data/zones/{name}"
    values |= _profile_values(profile, lesson, declared)
    values |= given
    return Plan(lesson, name, profile, declared, values, dict(given))


def make_plans(
    lessons: Sequence[Lesson],
    chosen: Sequence[Lesson],
    layers: Layers,
    *,
    profile: str,
    name: str,
) -> tuple[Plan, ...]:
    """A plan for each chosen lesson: the notebook's defaults, the profile's, the user's values.

    Parameters
    ----------
    lessons, chosen : sequence of Lesson
        All lessons, and those to run.
    layers : sequence of sequences of Given
        What the user gave; a later layer beats the ones before.
    profile, name : str
        The profile, and the name of the run, which decides the zone.

    Raises
    ------
    CourseError
        If a name is unknown, a value has the wrong type, or a lesson cannot be told where to write.
    """
    check_profile(profile)
    declared = {x.slug: declared_by(x) for x in lessons}
    mine = {x.slug: declared[x.slug] for x in chosen}
    others = {slug: p for slug, p in declared.items() if slug not in mine}
    check_names([given for layer in layers for given in layer], mine, others)
    for slug, parameters in mine.items():
        if "report" not in parameters:
            raise CourseError(f"{slug} declares no parameter `report`, so it cannot be run here")
    return tuple(
        _plan(
            lesson,
            mine[lesson.slug],
            resolve(layers, mine[lesson.slug], lesson=lesson.slug),
            name=name,
            profile=profile,
        )
        for lesson in chosen
    )


def recorded_plan(lesson: Lesson, *, name: str) -> Plan:
    """The plan that made the present report of a lesson, for judging it without its command line.

    Its source is the run's: a report on another is stale. Values that the lesson no longer declares
    are left out: its notebook has changed, which is reason enough to call the report stale.
    """
    record: dict[str, Any] = state.read_record(name, lesson.slug) or {}
    default = name if name in profiles() else DEFAULT_PROFILE
    profile = record.get("profile", default)
    profile = profile if profile in profiles() else DEFAULT_PROFILE
    declared = declared_by(lesson)
    given = run_source.of_run(record.get("given", {}), name)
    given = {n: v for n, v in given.items() if n in declared}
    return _plan(lesson, declared, given, name=name, profile=profile)
