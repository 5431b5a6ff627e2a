"""``course check``: each kind of fault turns a line into FAIL and the exit code into 1."""

from importlib.metadata import version

import pytest

from helpers.course import checks, cli, state
from helpers.course.lessons import find_lessons
from helpers.store import artefacts, zones
from helpers.store.artefacts import held
from tests.course.small_lessons import write_lesson


@pytest.fixture
def sound(home, monkeypatch):
    """A course without lessons whose environment is as pinned."""
    (home / "constraints.txt").write_text("")
    monkeypatch.setattr(checks, "UNWANTED", ())
    return home


def failing(found) -> list[str]:
    return [name for name, problems in found if problems]


def test_an_environment_that_differs_fails(sound, monkeypatch):
    assert failing(checks.check_environment()) == []
    pins = "# a note\n\nNumPy==0.1\npexpect==4.9.0 ; sys_platform != 'win32'\nno.such_Package==1\n"
    (sound / "constraints.txt").write_text(pins)
    assert checks.pins() == {"numpy": "0.1", "pexpect": "4.9.0", "no-such-package": "1"}
    monkeypatch.setattr(checks, "UNWANTED", ("json",))
    (_, problems), (_, unwanted) = checks.check_environment()
    assert f"numpy {version('numpy')} is installed, constraints.txt has 0.1" in problems
    assert not any("no-such-package" in problem for problem in problems)
    assert unwanted[0].startswith("json: it breaks transformers")


def test_a_local_build_is_the_same_version(monkeypatch):
    monkeypatch.setattr(checks, "version", lambda name: "2.13.0+cpu")
    assert checks.version_problems({"torch": "2.13.0"}) == []
    assert checks.version_problems({"torch": "2.13.1"}) != []


def test_a_lesson_of_another_form_and_a_stray_profile_fail(sound):
    write_lesson("01_a")
    folder = sound / "notebooks" / "profiles" / "study"
    folder.mkdir(parents=True)
    (folder / "01_b.yaml").write_text("")
    (_, problems), (_, strays) = checks.check_lessons(find_lessons())
    assert problems[-1] == "if you changed it: 'course reset 01' puts it back"
    assert strays == ["study/01_b.yaml fits no lesson"]


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
    assert list(checks.check_artefacts()) == [("artefact tiny/pairs", [])]
    (place / "fine-tuning-zone" / "a.txt").write_text("stew")
    assert failing(checks.check_artefacts()) == ["artefact tiny/pairs"]
    (place / "manifests" / "pairs.json").write_text("{")
    assert failing(checks.check_artefacts()) == ["artefact tiny/pairs"]


def test_the_exit_code_is_that_of_all_checks(sound, capsys):
    assert checks.run_checks() == 1  # no lesson
    assert "FAIL  lessons\n      no lesson (NN_name.ipynb)" in capsys.readouterr().out
    write_lesson("01_a")
    assert checks.run_checks() == 1  # not of the right form
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok    installed versions"
    assert lines[-1] == "1 checks failed"


def test_a_broken_build_fails_and_one_at_work_does_not(sound):
    place = build(sound)
    for text, command in (
        ("[]", "the command that was building it"),
        ('{"command": "course run --name a --only 01"}', "course run --name a --only 01"),
    ):
        (place / "manifests" / "world.building").write_text(text)
        ((name, problems),) = [c for c in checks.check_artefacts() if c[1]]
        assert name == "build tiny/world"
        assert problems[0].endswith(f"give again: {command}")
    with held(place / "manifests" / "world.lock", what="building"):
        assert failing(checks.check_artefacts()) == []


def test_a_manifest_that_names_a_file_outside_the_zone_fails(sound):
    manifest = build(sound) / "manifests" / "pairs.json"
    manifest.write_text(manifest.read_text().replace("fine-tuning-zone/a.txt", "../a.txt"))
    ((_, problems),) = [c for c in checks.check_artefacts() if c[1]]
    assert "'../a.txt' holds an empty part, '.' or '..'" in problems[0]


def test_a_report_that_cannot_be_read_fails(sound, kernel):
    assert cli.main(["run", "--only", "01"]) == 0
    assert list(checks.check_reports()) == [("report tiny/01_a", [])]
    folder = state.run_folder("tiny") / "01_a"
    (folder / "results.json").write_text("[")
    (folder / "run.json").write_text("{")
    ((_, problems),) = checks.check_reports()
    assert "course run --name tiny --only 01_a" in problems[0]
    assert problems[1].startswith("results.json: ")
