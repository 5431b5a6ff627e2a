"""What a command will run, and with which values; every mistake shows here, before any cell."""

import shlex
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers import paths
from helpers.course import state
from helpers.course.lessons import CourseError, Lesson, Value
from helpers.course.parameters import (
    DEFAULT_PROFILE,
    Layers,
    check_names,
    check_values,
    from_profile,
    profiles,
    resolve,
)
from helpers.course.rules import BENCHMARKS
from helpers.store.zones import write_file_atomically

SOURCE = ".source"
SUGGESTED = {
    "model": "openai/clip-vit-base-patch32",
    "blip2": "Salesforce/blip2-itm-vit-g",
    "generator": "Salesforce/instructblip-vicuna-7b",
}
SIGLIP = "google/siglip-base-patch16-224"


@dataclass(frozen=True)
class Plan:
    """One lesson with its values: all of them, and those that the command line gave."""

    lesson: Lesson
    name: str
    profile: str
    values: Mapping[str, Value]
    given: Mapping[str, Value]

    @property
    def passed(self) -> dict[str, Value]:
        """The values that differ from the notebook's own and have to be handed to it."""
        own = self.lesson.parameters
        return {n: v for n, v in self.values.items() if v != own[n].default}

    def judged(self, lessons: Sequence[Lesson]) -> tuple[str, dict[str, Any]]:
        """The state of the lesson's report under these values, and what it was judged by."""
        now = state.fingerprint(self.lesson, self.values, name=self.name, lessons=lessons)
        return state.judge(self.lesson, now, name=self.name), now


def _plan(lesson: Lesson, given: Mapping[str, Value], *, name: str, profile: str) -> Plan:
    """The notebook's defaults, the zone of the run, the profile's values, the user's."""
    values = {n: p.default for n, p in lesson.parameters.items()}
    if "zone" in values:
        values["zone"] = f"data/zones/{name}"
    given = {n: v for n, v in given.items() if n in values}
    return Plan(lesson, name, profile, values | from_profile(profile, lesson) | given, given)


def make_plans(
    lessons: Sequence[Lesson], chosen: Sequence[Lesson], layers: Layers, *, profile: str, name: str
) -> tuple[Plan, ...]:
    """A plan for each of the chosen lessons of all ``lessons``; a later layer beats those before.

    Raises ``CourseError`` for an unknown name or profile, a value that cannot be meant, and a
    lesson that cannot be told where to write.
    """
    check_names([given for layer in layers for given in layer], chosen, lessons)
    plans = []
    for lesson in chosen:
        if "report" not in lesson.parameters:
            raise CourseError(f"{lesson.slug} declares no parameter `report`: it cannot run here")
        plans.append(_plan(lesson, resolve(layers, lesson), name=name, profile=profile))
    for plan in plans:
        check_values(plan.values, plan.lesson)
    return tuple(plans)


def recorded_plan(lesson: Lesson, *, name: str) -> Plan:
    """The plan that made the present report of a lesson, for judging it without its command line.

    Its source is the run's: a report on another is stale. Values that the lesson no longer declares
    are left out: its notebook has changed, which is reason enough to call the report stale.
    """
    record = state.read_record(name, lesson.slug) or {}
    profile = record.get("profile", name)
    given, source = record.get("given", {}), source_of(name)
    if not _alone(given):
        others = {key: value for key, value in given.items() if key != "source"}
        given = others | ({"source": source} if source else {})
    known = profile if profile in profiles() else DEFAULT_PROFILE
    return _plan(lesson, given, name=name, profile=known)


# One source for all lessons of a run, until a command says otherwise: what the last one was given
# is written into the run's folder, and every report on another is stale.


def _alone(given: Mapping[str, Any]) -> bool:
    """Whether the source that was given is a benchmark's: triplets, for lessons 07 and 12 alone."""
    return str(given.get("source", "")).partition(":")[0] in BENCHMARKS


def source_of(name: str) -> str:
    """The source that was given for a run; empty: none, so that each lesson has its own."""
    file = state.run_folder(name) / SOURCE
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def keep_source(name: str, plans: Sequence[Plan]) -> None:
    """Write down the source that plans were given; the caller holds the lock of the run."""
    for plan in plans:
        if "source" in plan.values and not _alone(plan.given):
            file = state.run_folder(name) / SOURCE
            write_file_atomically(file, f"{plan.given.get('source', '')}\n".encode())
            return


def check_source(name: str, plans: Sequence[Plan]) -> None:
    """Refuse to bring another source into a run: ``CourseError`` names both and the ways out."""
    present = source_of(name)
    for folder in sorted(state.run_folder(name).glob("[0-9][0-9]_*/")):
        record = state.read_record(name, folder.name)
        before = record and record["fingerprint"]["parameters"].get("source")
        if not before or _alone(record["given"]) or record["given"].get("source", "") != present:
            continue  # it has none, or is stale already
        for plan in plans:
            now, asked = plan.values.get("source", before), plan.given.get("source", "")
            if now == before or _alone(plan.given) or not (present or asked):
                continue
            names, remedy = f"names {now!r}", "take another --name"
            if not asked:
                names = f"names none, which means {now!r}"
                remedy = f"add -p source={before}, take another --name"
            raise CourseError(
                f"run {name!r} stands on source {before!r} (lesson {folder.name[:2]}), and this "
                f"command {names}: {remedy}, or say with --new-source that it is meant, which "
                f"makes every lesson on {before!r} stale"
            )


# Numbers that mean nothing: of a model that was trained on drawings, about photographs.


def without_meaning(values: Mapping[str, Any]) -> dict[str, str]:
    """The models among a lesson's values that say nothing about its images: name to model.

    Lesson 09 takes its own ``cars``; in lesson 06 ``real`` goes before ``source``; lessons 07 and
    12 take a drawn source in the place of what has no triplets.
    """
    source = str(values.get("source", ""))
    images = [source] if "blip2" not in values or _alone(values) else []
    if "cars" in values:
        images = [values["cars"]]
    elif "real" in values:
        images = [values["real"] or source, values["synthetic"]]
    if all(not image or image.startswith("world:") for image in images):
        return {}
    named = {name: str(values.get(name, "")) for name in SUGGESTED}
    return {name: model for name, model in named.items() if _trained_on_drawings(model)}


def _trained_on_drawings(model: str) -> bool:
    """Whether a model was trained on drawn images alone: by what lies beside its weights."""
    folders = (paths.tiny() / model, paths.root() / Path(model).expanduser())
    return bool(model) and any((folder / "training.json").is_file() for folder in folders)


def _warning(models: Sequence[str], command: Sequence[str]) -> str:
    models = list(dict.fromkeys(models))
    verb = "was" if len(models) == 1 else "were"
    return (
        "WARNING: these numbers and answers mean nothing for photographs: "
        f"{' and '.join(models)} {verb} trained on small drawn images only, and your images are "
        f"not drawn. Use a model that was trained on photographs: {shlex.join(command)}"
    )


def warning_of(plans: Sequence[Plan], lessons: Sequence[Lesson]) -> str:
    """The warning on some of all lessons with their values, and the command that mends it."""
    found: dict[str, str] = {}
    given: dict[str, Any] = {}
    for plan in plans:
        found |= without_meaning(plan.values)
        given |= plan.given
    if not found:
        return ""
    better = {one: SUGGESTED[one] for one in found}
    if "model" in better and "cars" in given:  # lesson 09 reads SigLIP alone
        better["model"] = SIGLIP
    command = ["course", "run", "--name", plans[0].name]
    if any("learning_rate" in plan.values for plan in plans):  # hub: what suits large models
        command += ["--profile", "hub"]
    if len(plans) < len(lessons):
        command += ["--only", ",".join(plan.lesson.number for plan in plans)]
    for name, value in (given | better).items():
        command += ["-p", f"{name}={value}"]
    return _warning(list(found.values()), command)


def warning_of_search(source: str, model: str, arguments: Namespace) -> str:
    """The warning on a search in the images of a source, and the command that mends it."""
    found = without_meaning({"source": source, "model": model})
    where = ["--zone", arguments.zone] if arguments.zone else ["--name", arguments.name]
    command = ["course", "search", *where, "--build", "--model", SUGGESTED["model"]]
    return _warning(list(found.values()), command) if found else ""
