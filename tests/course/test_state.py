"""When a report is up to date, and the reason it is not."""

import os

import pytest

from helpers import repro
from helpers.course import execute, state
from helpers.course import plan as plans
from helpers.course.execute import Failure
from helpers.course.lessons import find_lessons, read_lesson
from helpers.course.parameters import from_option
from tests.course.small_lessons import FakeKernel, edit, write_lesson


class Course:
    """Two lessons, the second built on the first, run without a kernel."""

    def __init__(self, home):
        self.home = home
        self.kernel = FakeKernel()
        self.paths = [write_lesson("01_a"), write_lesson("03_b", builds_on=("01",))]

    def judge(self, number: str, *options: str):
        lessons = find_lessons()
        layers = [[from_option(option) for option in options]]
        made = plans.make_plans(lessons, lessons, layers, profile="tiny", name="tiny")
        plan = next(p for p in made if p.lesson.number == number)
        return plan, *plan.judged(lessons)

    def run(self, number: str, *options: str) -> None:
        plan, _, now = self.judge(number, *options)
        execute.produce(plan, now)

    def state(self, number: str, *options: str) -> str:
        return self.judge(number, *options)[1]


@pytest.fixture
def course(home, monkeypatch) -> Course:
    course = Course(home)
    monkeypatch.setattr(execute, "execute", course.kernel)
    return course


def report(slug: str):
    """The folder of a report."""
    return state.run_folder("tiny") / slug


def test_a_lesson_is_never_run_then_up_to_date(course):
    assert course.state("01") == "never run"
    course.run("01")
    assert course.state("01") == "up to date"
    assert course.state("03") == "never run"


def test_a_change_of_the_notebook_is_seen(course):
    course.run("01")
    edit(course.paths[0], "What is it?", "What was it?")
    assert course.state("01") == "stale: the notebook changed"


def test_a_change_of_a_parameter_is_named_with_both_values(course):
    course.run("01")
    assert course.state("01", "rank=9") == "stale: parameter rank was 8, is 9"
    course.run("01", "rank=9")
    assert course.state("01", "rank=9") == "up to date"
    assert course.state("01") == "stale: parameter rank was 9, is 8"


def test_a_change_of_a_module_behind_the_lesson_is_named(course, monkeypatch):
    course.run("01")
    behind = state.Modules.behind
    monkeypatch.setattr(
        state.Modules, "behind", lambda self, source: behind(self, source) | {"paths.py": "0"}
    )
    assert course.state("01") == "stale: helpers/paths.py is new"
    monkeypatch.setattr(state.Modules, "behind", behind)
    assert course.state("01") == "up to date"


def test_a_report_with_one_hash_of_all_code_is_stale(course):
    course.run("01")
    edit(report("01_a") / "run.json", '"code": {}', '"code": "0123456789ab"')
    assert course.state("01") == "stale: the code in helpers/ changed"


def test_a_change_of_a_library_is_named(course, monkeypatch):
    course.run("01")
    versions = {**repro.library_versions(), "numpy": "99"}
    monkeypatch.setattr(repro, "library_versions", lambda: versions)
    assert "stale: library numpy was" in course.state("01")
    monkeypatch.setattr(repro, "library_versions", lambda: {**versions, "python": "99"})
    course.run("01")
    monkeypatch.setattr(repro, "library_versions", lambda: versions)
    assert course.state("01") == "up to date"


@pytest.mark.parametrize("change", ["add", "resize", "touch", "deep"])
def test_a_change_of_the_source_folder_is_seen(course, change):
    folder = course.home / "photos"
    (folder / "images").mkdir(parents=True)
    first = folder / "recipes.jsonl"
    first.write_text("{}")
    course.run("01", "source=photos")
    assert course.state("01", "source=photos") == "up to date"
    assert course.state("01", f"source={folder}") == "up to date"  # the same folder
    if change == "add":
        (folder / "new.jpg").write_bytes(b"x")
    elif change == "resize":
        first.write_text("{ }")
    elif change == "touch":
        os.utime(first, ns=(0, first.stat().st_mtime_ns + 1))
    else:
        (folder / "images" / "a.jpg").write_bytes(b"x")
    assert course.state("01", "source=photos") == "stale: the files that source names changed"


def test_images_beside_a_table_count_and_other_files_do_not(course):
    (course.home / "images").mkdir()
    table = course.home / "pairs.csv"
    table.write_text("image,caption\n")
    course.run("01", "source=pairs.csv")
    (course.home / "notes.txt").write_text("hello")
    assert course.state("01", "source=pairs.csv") == "up to date"
    (course.home / "images" / "a.jpg").write_bytes(b"x")
    assert course.state("01", "source=pairs.csv").startswith("stale: the files")


@pytest.mark.parametrize("source", ["fashioniq:photos#dress", "fashioniq:photos", "cirr:photos"])
def test_the_folder_of_a_benchmark_is_an_input(course, source):
    (course.home / "photos" / "images").mkdir(parents=True)
    course.run("01", f"source={source}")
    assert course.state("01", f"source={source}") == "up to date"
    (course.home / "photos" / "images" / "a.png").write_bytes(b"x")
    assert course.state("01", f"source={source}") == "stale: the files that source names changed"
    assert state.input_path("world:photos") is None


def test_a_tiny_checkpoint_is_an_input(home):
    checkpoint = home / "data" / "tiny" / "tiny-clip"
    checkpoint.mkdir(parents=True)
    (checkpoint / "config.json").write_text("{}")
    assert state.input_path("tiny-clip") == checkpoint
    assert state.input_path("openai/clip-vit-base-patch32") is None
    assert state.input_path("") is None
    assert state.input_path("a\0b") is None


def test_the_zone_is_no_input(course):
    zone = course.home / "data" / "zones" / "tiny"
    zone.mkdir(parents=True)
    course.run("01")
    (zone / "made.txt").write_text("by the lesson")
    assert course.state("01") == "up to date"


def test_a_lesson_is_stale_when_the_one_below_ran_with_other_results(course):
    course.run("03")
    course.run("01")
    assert course.state("03") == "up to date"  # it had built its inputs itself
    course.run("03")
    edit(course.paths[0], "What is it?", "What was it?")
    assert course.state("03") == "up to date"  # the lesson below is stale, but has not run
    course.run("01")
    assert course.state("03") == (
        "stale: lesson 01, which it builds on, has run again with other results"
    )


@pytest.mark.parametrize("file", ["lesson.html", "lesson.ipynb", "results.json"])
def test_a_damaged_report_is_seen(course, file):
    course.run("01")
    path = report("01_a") / file
    path.write_text(path.read_text() + " ")
    assert course.state("01") == f"stale: {file} was changed"
    path.unlink()
    assert course.state("01") == f"stale: {file} is missing"


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 0}'])
def test_a_damaged_record_is_seen(course, text):
    course.run("01")
    (report("01_a") / "run.json").write_text(text)
    assert course.state("01") == "stale: its run.json is missing or damaged"


def test_a_failure_shows_until_the_lesson_is_mended(course):
    course.run("01")
    course.kernel.failing = {"01_a"}
    edit(course.paths[0], "What is it?", "What was it?")
    with pytest.raises(Failure):
        course.run("01")
    assert course.state("01") == "failed: cell 3"
    edit(course.paths[0], "What was it?", "What is it?")
    assert course.state("01") == "up to date"  # the earlier report is whole and fits again
    course.kernel.failing = set()
    course.run("01")
    assert not state.failed_notebook("tiny", "01_a").exists()


def test_a_failure_with_the_same_content_beats_an_older_success(course):
    course.run("01")
    course.kernel.failing = {"01_a"}
    with pytest.raises(Failure):
        course.run("01")
    assert course.state("01") == "failed: cell 3"


def test_a_report_is_judged_by_its_own_command_line_when_listed(course):
    course.run("01", "rank=9")
    lessons = find_lessons()
    listed = plans.recorded_plan(lessons[0], name="tiny")
    assert listed.values["rank"] == 9
    assert listed.judged(lessons)[0] == "up to date"


def test_a_revision_makes_a_report_stale(home, monkeypatch):
    monkeypatch.setattr(state, "cached_revision", lambda model: "abc")
    lesson = read_lesson(write_lesson("01_a"))
    assert state._inputs(lesson, {"model": "acme/clip"}) == {"model": "revision abc"}


def test_the_committed_study_and_the_own_settings_of_a_lesson_are_inputs(course):
    """But not for the run that measures the study again."""
    lesson = read_lesson(course.paths[0])
    ranks = course.home / "reports" / "study" / "01_a" / "ranks.parquet"
    ranks.parent.mkdir(parents=True)
    ranks.write_text("one")
    course.run("01")
    assert course.state("01") == "up to date"
    ranks.write_text("two")
    assert course.state("01") == "stale: its committed study changed"
    assert state._inputs(lesson, {"run_study": True}) == {}
    settings = course.home / "notebooks" / "profiles" / "augmentation_config.yaml"
    settings.parent.mkdir()
    settings.write_text("x")
    assert set(state._inputs(lesson, {"augmentation": "", "run_study": True})) == {"augmentation"}
