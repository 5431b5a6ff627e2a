"""The source that a run stands on: one for all of its lessons, until a command says otherwise.

It is that of the newest report, unless ``--new-source`` wrote another into ``reports/<name>/``:
then every report of the source before is stale, also while none of the new one is finished.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.first.runner import staging, state
from helpers.first.runner.lessons import CourseError
from helpers.first.runner.places import BENCHMARKS
from helpers.store.zones import write_file_atomically

if TYPE_CHECKING:
    from helpers.first.runner.plan import Plan

FILE = ".source"
OPTION = "--new-source"


def _file(name: str) -> Path:
    return staging.run_folder(name) / FILE


def shared(given: Mapping[str, Any]) -> str:
    """The source that a user gave for all lessons; empty: each lesson's own.

    A benchmark's triplets are of lessons 07 and 12 alone.

    >>> shared({"source": "cirr:photos"})
    ''
    """
    source = str(given.get("source", ""))
    return "" if source.partition(":")[0] in BENCHMARKS else source


def _records(name: str) -> list[dict[str, Any]]:
    """The records of a run's reports that have a source, the oldest first."""
    slugs = (path.parent.name for path in staging.run_folder(name).glob("*/run.json"))
    found = [record for slug in slugs if (record := state.read_record(name, slug))]
    found = [one for one in found if "source" in one["fingerprint"]["parameters"]]
    return sorted(found, key=lambda one: (one["started"], one["lesson"]))


def source_of(name: str) -> str:
    """The source that was given for a run; empty: none, or there is no run."""
    if _file(name).is_file():
        return _file(name).read_text(encoding="utf-8").strip()
    records = _records(name)
    return shared(records[-1]["given"]) if records else ""


def check(name: str, plans: Sequence["Plan"], *, new: bool) -> None:
    """Refuse to bring another source into a run, unless it is said that it is meant.

    Raises
    ------
    CourseError
        If a report of the run stands on a source, the plans have another, and one of the two was
        given by the user.
    """
    if new:
        return
    present = source_of(name)
    for record in sorted(_records(name), key=lambda one: one["lesson"]):
        if shared(record["given"]) != present:
            continue  # it is stale already
        before = record["fingerprint"]["parameters"]["source"]
        for plan in plans:
            now = plan.values.get("source", before)
            own = not present and not shared(plan.given)  # neither was given
            if now == before or own or _alone(plan.given):
                continue
            raise CourseError(_refusal(name, record["lesson"], before, now, plan.given))


def _alone(given: Mapping[str, Any]) -> bool:
    return "source" in given and not shared(given) and bool(given["source"])


def _refusal(name: str, lesson: str, before: str, now: str, given: Mapping[str, Any]) -> str:
    stands = f"run {name!r} stands on source {before!r} (lesson {lesson[:2]})"
    if "source" in given:
        said, remedy = f"this command names {now!r}", "take another --name"
    else:
        said = f"this command names none, which means {now!r}"
        remedy = f"add -p source={before}, take another --name"
    return (
        f"{stands}, and {said}: {remedy}, or say with {OPTION} that it is meant, which makes every "
        f"lesson on {before!r} stale"
    )


def keep(name: str, plans: Sequence["Plan"]) -> None:
    """Write down the source of the plans, where the reports alone would say another.

    The caller holds the lock of the run.
    """
    given = [plan.given for plan in plans if "source" in plan.declared and not _alone(plan.given)]
    if given and source_of(name) != shared(given[0]) and _records(name):
        write_file_atomically(_file(name), f"{shared(given[0])}\n".encode())


def of_run(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a report's command gave, with the run's present source in the place of its own."""
    present = source_of(name)
    if _alone(given):
        return dict(given)
    others = {key: value for key, value in given.items() if key != "source"}
    return others | ({"source": present} if present else {})
