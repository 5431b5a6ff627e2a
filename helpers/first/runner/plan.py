"""What a command will run, and with which values; every mistake shows here, before any cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.first.runner import state
from helpers.first.runner.lessons import CourseError, Lesson, parameters_cell, read_notebook
from helpers.first.runner.parameters import (
    Given,
    Parameter,
    Value,
    check_names,
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


def check_source(plans: Sequence[Plan], lessons: Sequence[Lesson]) -> None:
    """Refuse to bring another source into a run's zone because a command forgot to name it.

    Raises
    ------
    CourseError
        If a lesson, or one that it builds on, has run under this name on a source that was given,
        and the plan has another that was not.
    """
    for plan in plans:
        if "source" not in plan.declared or "source" in plan.given:
            continue
        own = (plan.lesson.number, *plan.lesson.builds_on)
        for lesson in (x for x in lessons if x.number in own):
            record = state.read_record(plan.name, lesson.slug) or {}
            before = record.get("given", {}).get("source")
            if before not in (None, plan.values["source"]):
                raise CourseError(
                    f"run {plan.name!r} was made with source={before!r} (lesson {lesson.number}), "
                    f"and this command names no source: {plan.lesson.slug} would bring "
                    f"{plan.values['source']!r} into its zone. Add -p source={before}, or take "
                    f"another --name; -p source={plan.values['source']} says that it is meant"
                )


def recorded_plan(lesson: Lesson, *, name: str) -> Plan:
    """The plan that made the present report of a lesson, for judging it without its command line.

    Values that the lesson no longer declares are left out: its notebook has changed, which is
    reason enough to call the report stale.
    """
    record: dict[str, Any] = state.read_record(name, lesson.slug) or {}
    default = name if name in profiles() else DEFAULT_PROFILE
    profile = record.get("profile", default)
    profile = profile if profile in profiles() else DEFAULT_PROFILE
    declared = declared_by(lesson)
    given = {n: v for n, v in record.get("given", {}).items() if n in declared}
    return _plan(lesson, declared, given, name=name, profile=profile)
