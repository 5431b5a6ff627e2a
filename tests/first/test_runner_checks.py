"""``course check``: each kind of fault turns a line into FAIL and the exit code into 1."""

import json

import pytest

from helpers.first import course
from helpers.first.runner import checks, environment, produce, staging
from helpers.first.runner.lessons import find_lessons
from helpers.store import artefacts, zones
from helpers.store.artefacts import held
from helpers.topics.exercises.engine import Verdict
from tests.first.small_lessons import FakeKernel, write_lesson


@pytest.fixture
def sound(home, monkeypatch):
    """A course without lessons whose environment is as pinned."""
    monkeypatch.setattr(environment, "constraints", dict)
    monkeypatch.setattr(environment, "UNWANTED", ())
    return home


def failing(found) -> list[str]:
    return [check.name for check in found if check.problems]


def test_an_environment_that_differs_fails(sound, monkeypatch):
    assert failing(checks.check_environment()) == []
    monkeypatch.setattr(environment, "constraints", lambda: {"numpy": "0.1"})
    monkeypatch.setattr(environment, "UNWANTED", ("json",))
    assert failing(checks.check_environment()) == ["installed versions", "no torchvision"]


def test_a_lesson_of_another_form_and_a_stray_profile_fail(sound):
    write_lesson("01_a")
    folder = sound / "notebooks" / "profiles" / "study"
    folder.mkdir(parents=True)
    (folder / "01_b.yaml").write_text("")
    found = list(checks.check_lessons(find_lessons()))
    assert failing(found) == ["lesson 01_a", "profiles"]
    assert found[-1].problems == ("study/01_b.yaml fits no lesson",)
    assert str(found[-1]).startswith("FAIL  profiles\n      study/01_b.yaml")


def build(home):
    """An artefact of one file in the zone ``tiny``."""
    zone = zones.open_zone("", name="tiny")

    def write(writer):
        writer.write_text("fine-tuning-zone/a.txt", "soup")

    artefacts.ensure(
        zone, "pairs", kind="test", parameters={}, inputs={}, build=write,
        prefixes=("fine-tuning-zone",),
    )  # fmt: skip
    return home / "data" / "zones" / "tiny"


def test_an_artefact_that_changed_on_disk_fails(sound):
    assert list(checks.check_artefacts()) == []
    place = build(sound)
    assert [str(c) for c in checks.check_artefacts()] == ["ok    artefact tiny/pairs"]
    (place / "fine-tuning-zone" / "a.txt").write_text("stew")
    assert failing(checks.check_artefacts()) == ["artefact tiny/pairs"]
    (place / "manifests" / "pairs.json").write_text("{")
    assert failing(checks.check_artefacts()) == ["artefact tiny/pairs"]


def solved(source: str, monkeypatch) -> list[str]:
    """What is said about a solution of which only 42 is correct."""

    def check(name, answer):
        return Verdict("correct" if answer == 42 else "hint", f"{name} was {answer}")

    from helpers.first.report import exercises

    monkeypatch.setattr(exercises, "check", check)
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "import nothing"},
        {"cell_type": "code", "metadata": {}, "source": "import math\nboom = 1 / 0"},
        {
            "cell_type": "code",
            "metadata": {},
            "source": "def taught():\n    return math.floor(42.5)",
        },
        {"cell_type": "code", "metadata": {"tags": ["exercise"]}, "source": "def stub(): pass"},
        {"cell_type": "code", "metadata": {}, "source": source},
        {"cell_type": "code", "metadata": {}, "source": "def below(): return 42"},
    ]
    return checks.solution_problems({"cells": cells}, 5)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("check('a', 42)", None),
        ("def f():\n    return math.floor(42.5)\ncheck('a', f())", None),
        ("check('a', taught())", None),
        ("check('a', stub())", "cell 5 raises NameError: name 'stub' is not defined"),
        ("check('a', below())", "cell 5 raises NameError: name 'below' is not defined"),
        ("check('a', 41)", "a: hint, a was 41"),
        ("check('a', 42)\ncheck('b', 0)", "b: hint, b was 0"),
        ("answer = 42", "cell 5 calls no check"),
        ("check('a', boom)", "cell 5 raises NameError: name 'boom' is not defined"),
    ],
)
def test_a_solution_passes_its_check_by_itself(source, problem, monkeypatch):
    assert solved(source, monkeypatch) == ([] if problem is None else [problem])


def test_the_exit_code_is_that_of_all_checks(sound, capsys):
    assert checks.run_checks() == 1  # no lesson
    write_lesson("01_a")
    assert checks.run_checks() == 1  # not of the right form
    lines = []
    assert checks.run_checks(lines.append) == 1
    assert lines[-1] == "1 checks failed"
    assert "ok    installed versions" in capsys.readouterr().out


def test_solutions_of_lessons_are_found_by_their_tag(sound):
    path = write_lesson("01_a", "answer = None")
    notebook = json.loads(path.read_text())
    notebook["cells"][2]["metadata"]["tags"] = ["solution"]
    path.write_text(json.dumps(notebook))
    (found,) = checks.check_exercises(find_lessons())
    assert found.name == "solution 01_a, cell 3"
    assert found.problems == ("cell 3 calls no check",)


def test_a_broken_build_fails_and_one_at_work_does_not(sound):
    place = build(sound)
    for text, command in (
        ("[]", "the command that was building it"),
        ('{"command": "course run --name a --only 01"}', "course run --name a --only 01"),
    ):
        (place / "manifests" / "world.building").write_text(text)
        (found,) = [c for c in checks.check_artefacts() if c.problems]
        assert found.name == "build tiny/world"
        assert found.problems[0].endswith(f"give again: {command}")
    with held(place / "manifests" / "world.lock", what="building"):
        assert failing(checks.check_artefacts()) == []


def test_a_manifest_that_names_a_file_outside_the_zone_fails(sound):
    manifest = build(sound) / "manifests" / "pairs.json"
    manifest.write_text(manifest.read_text().replace("fine-tuning-zone/a.txt", "../a.txt"))
    (found,) = [c for c in checks.check_artefacts() if c.problems]
    assert "'../a.txt' holds an empty part, '.' or '..'" in found.problems[0]


def test_a_report_that_cannot_be_read_fails(sound, monkeypatch):
    write_lesson("01_a")
    monkeypatch.setattr(produce, "execute", FakeKernel())
    assert course.main(["run"]) == 0
    assert [str(c) for c in checks.check_reports()] == ["ok    report tiny/01_a"]
    folder = staging.target("tiny", "01_a")
    (folder / "results.json").write_text("[")
    (folder / "run.json").write_text("{")
    (found,) = checks.check_reports()
    assert "course run --name tiny --only 01_a" in found.problems[0]
    assert found.problems[1].startswith("results.json: ")
