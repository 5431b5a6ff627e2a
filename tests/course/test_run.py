"""A run of several lessons: order, skipping, failures, parameters, the lock."""

import csv
import errno
import json
import os
import subprocess
import sys

import nbformat
import pytest

from helpers.course import cli, execute, index, staging, state
from helpers.store.artefacts import held
from tests.course.small_lessons import edit, write_lesson


def report(name: str, slug: str):
    """The folder of a report."""
    return state.run_folder(name) / slug


def test_lessons_run_in_order_and_leave_their_reports(home, kernel, capsys):
    assert cli.main(["run"]) == 0
    assert kernel.lessons == ["01", "03", "04", "08"]
    files = {p.name for p in (home / "reports" / "tiny" / "03_b").iterdir()}
    assert files == {"figures", "lesson.html", "lesson.ipynb", "results.json", "run.json"}
    out = capsys.readouterr().out
    assert "4 lessons finished in 0:0" in out
    assert "lesson 4 of 4: 08_d starts (never run); about 1 min left in all" in out
    assert "All numbers are in reports/tiny/results.csv." in out
    assert "course search --name tiny --build 'tomato soup'" in out
    assert f"Open {(home / 'reports' / 'tiny' / 'index.html').as_uri()}" in out


def test_the_second_run_skips_everything_and_force_nothing(home, kernel, capsys):
    cli.main(["run"])
    kernel.ran.clear()
    assert cli.main(["run"]) == 0
    assert kernel.lessons == []
    assert "4 up to date" in capsys.readouterr().out
    assert cli.main(["run", "--only", "1,8", "--force"]) == 0
    assert kernel.lessons == ["01", "08"]


def test_a_source_that_is_forgotten_does_not_replace_the_runs_data(home, kernel, capsys):
    (home / "mine.csv").write_text("image,caption\n")
    assert cli.main(["run", "--name", "mine", "--only", "01", "-p", "source=mine.csv"]) == 0
    kernel.ran.clear()
    for only in ("01", "03", "01,03,04"):
        assert cli.main(["run", "--name", "mine", "--only", only]) == 2
        said = capsys.readouterr().err
        assert "run 'mine' stands on source 'mine.csv' (lesson 01)" in said
        assert "add -p source=mine.csv" in said
    assert cli.main(["run", "--name", "mine", "--only", "8"]) == 2  # all lessons, on one source
    assert kernel.ran == []
    assert cli.main(["run", "--name", "other", "--only", "01"]) == 0
    assert cli.main(["run", "--name", "mine", "--only", "03", "-p", "source=mine.csv"]) == 0
    assert kernel.lessons == ["01", "03"]


def test_another_source_makes_the_lessons_of_the_one_before_stale(home, kernel, capsys):
    for name in ("one.csv", "two.csv"):
        (home / name).write_text("image,caption\n")
    run = ["run", "--name", "mine", "-p"]
    assert cli.main([*run, "source=one.csv", "--only", "01,08"]) == 0
    assert cli.main([*run, "source=two.csv", "--only", "03"]) == 2
    said = capsys.readouterr().err
    assert "stands on source 'one.csv' (lesson 01), and this command names 'two.csv'" in said
    assert "take another --name, or say with --new-source" in said
    kernel.failing = {"03_b"}
    assert cli.main([*run, "source=two.csv", "--only", "03", "--new-source"]) == 1
    cli.main(["list", "--name", "mine"])
    stale = "stale: its source was 'one.csv', is 'two.csv'"
    assert capsys.readouterr().out.count(stale) == 2  # though nothing of the new one is finished
    kernel.failing = set()
    assert cli.main([*run, "source=two.csv", "--only", "03"]) == 0
    table = (home / "reports" / "mine" / "results.csv").read_text()
    assert [line.split(",")[0] for line in table.splitlines()] == ["lesson", "03_b"]
    assert cli.main([*run, "source=two.csv"]) == 0
    assert kernel.lessons[-4:] == ["01", "03", "04", "08"]
    capsys.readouterr()
    assert cli.main(["list", "--name", "mine"]) == 0
    assert "stale" not in capsys.readouterr().out


def test_zone_report_and_given_values_reach_the_lesson(home, kernel):
    cli.main(["run", "--only", "01", "--name", "mine", "-p", "rank=9", "-p", "fast=true"])
    (_, parameters) = kernel.ran[0]
    assert parameters.pop("report").startswith(f"reports/mine/.01_a.{os.getpid()}")
    assert parameters == {"zone": "data/zones/mine", "rank": 9}  # fast has its default already
    record = json.loads((report("mine", "01_a") / "run.json").read_text())
    assert record["given"] == {"rank": 9, "fast": True}
    assert record["fingerprint"]["parameters"]["scale"] == 0.5
    assert "report" not in record["fingerprint"]["parameters"]


def test_a_zone_of_the_users_own_wins(home, kernel, monkeypatch):
    monkeypatch.chdir(home)
    cli.main(["run", "--only", "01", "-p", "zone=elsewhere"])
    assert kernel.ran[0][1]["zone"] == "elsewhere"


def test_a_profile_names_the_run_and_sets_values(home, kernel):
    folder = home / "notebooks" / "profiles" / "study"
    folder.mkdir(parents=True)
    (folder / "03_b.yaml").write_text("rank: 64\n")
    cli.main(["run", "--profile", "study", "--only", "01,03"])
    assert "rank" not in kernel.ran[0][1]
    assert kernel.ran[1][1]["rank"] == 64
    assert report("study", "03_b").is_dir()
    cli.main(["run", "--profile", "study", "--only", "03", "-p", "rank=3"])
    assert kernel.ran[2][1]["rank"] == 3


def test_a_profile_with_a_misspelt_name_is_refused(home, kernel, capsys):
    folder = home / "notebooks" / "profiles" / "study"
    folder.mkdir(parents=True)
    (folder / "03_b.yaml").write_text("rnak: 64\n")
    assert cli.main(["run", "--profile", "study"]) == 2
    assert "unknown parameter 'rnak' for 03_b; did you mean 'rank'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "rnak=3"], "unknown parameter 'rnak'"),
        (["-p", "rank=3.5"], "parameter 'rank' of 01_a is int"),
        (["-y", "rank: yes"], "rank' of 01_a is int, -y, line 1, gives 'yes': not an int"),
        (["-f", "none.yaml"], "cannot read the parameters file"),
        (["--only", "17"], "--only names no lesson '17'"),
        (["--name", "../up"], "no folder name"),
        (["--profile", "hbu"], "unknown profile 'hbu'"),
    ],
)
def test_a_mistake_stops_the_command_before_any_cell(home, kernel, capsys, options, message):
    assert cli.main(["run", *options]) == 2
    assert kernel.ran == []
    assert message in capsys.readouterr().err


def test_a_lesson_without_a_report_parameter_is_refused(home, capsys):
    write_lesson("01_a", parameters="rank: int = 8  # rank", results=False)
    assert cli.main(["run"]) == 2
    assert "01_a declares no parameter `report`" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_lessons_above_a_failed_one_are_not_run_and_others_are(home, kernel, capsys, jobs):
    kernel.failing = {"03_b"}
    assert cli.main(["run", "--jobs", jobs]) == 1
    assert sorted(kernel.lessons) == ["01", "03", "08"]
    out = capsys.readouterr().out
    assert "03_b                     failed: no number is left. Mend it" in out
    assert "See reports/tiny/03_b.failed.ipynb" in out
    assert "not run: it builds on 03" in out
    assert "2 lessons finished in 0:0" in out
    assert ", 1 failed, 1 not run." in out
    jobs_too = f" --jobs {jobs}" if jobs != "1" else ""
    assert out.endswith(f"what did not finish: course run{jobs_too} --only 03,04\n")
    kernel.failing = set()
    assert cli.main(["run"]) == 0
    assert sorted(kernel.lessons)[-2:] == ["04", "08"]


def test_several_lessons_at_a_time_share_the_cores_and_keep_their_order(home, kernel, capsys):
    assert cli.main(["run", "--jobs", "3", "--only", "01,03,04"]) == 0
    assert capsys.readouterr().out.startswith("3 lessons at a time, ")
    assert kernel.lessons == ["01", "03", "04"]


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_at_the_end_of_a_lesson_fails_it_and_says_so(home, kernel, monkeypatch, capsys):
    def full(path, data):
        raise FULL

    monkeypatch.setattr(execute, "write_file_atomically", full)
    assert cli.main(["run", "--only", "01"]) == 1
    out = capsys.readouterr().out
    assert "01_a                     failed after its last cell: its report could not be" in out
    assert "No room to write: free some space" in out
    assert not report("tiny", "01_a").exists()


def test_a_failure_without_room_for_its_notebook_points_to_none(home, kernel, monkeypatch, capsys):
    def full(path, data):
        raise FULL

    kernel.failing = {"01_a"}
    cli.main(["run", "--only", "01"])
    assert "See reports/tiny/01_a.failed.ipynb" in capsys.readouterr().out
    monkeypatch.setattr(execute, "write_file_atomically", full)
    assert cli.main(["run", "--only", "01"]) == 1
    assert "See " not in capsys.readouterr().out
    assert not state.failed_notebook("tiny", "01_a").exists()


def test_a_page_without_room_is_said_and_written_by_the_next_run(home, kernel, monkeypatch, capsys):
    def full(path, data):
        raise FULL

    with monkeypatch.context() as patched:
        patched.setattr(index, "write_file_atomically", full)
        assert cli.main(["run", "--only", "01"]) == 2
    assert "course: no room to write: [Errno 28]" in capsys.readouterr().err
    assert cli.main(["run", "--only", "01"]) == 0
    assert kernel.lessons == ["01"]
    assert (home / "reports" / "tiny" / "results.csv").is_file()


def test_a_run_that_cannot_even_start_for_want_of_room_says_so(home, kernel, monkeypatch, capsys):
    def full(name, slug):
        raise FULL

    monkeypatch.setattr(staging, "staging_folder", full)
    assert cli.main(["run"]) == 2
    assert "course: no room to write: [Errno 28]" in capsys.readouterr().err


def test_a_failure_keeps_the_earlier_report(home, kernel):
    cli.main(["run", "--only", "03"])
    before = (report("tiny", "03_b") / "run.json").read_bytes()
    kernel.failing = {"03_b"}
    assert cli.main(["run", "--only", "03", "--force"]) == 1
    assert (report("tiny", "03_b") / "run.json").read_bytes() == before
    assert state.failed_notebook("tiny", "03_b").is_file()
    assert not list((home / "reports" / "tiny").glob(".03_b.*"))


@pytest.mark.parametrize("text", [None, "{", "[{}]"])
def test_a_lesson_without_valid_results_fails(home, kernel, monkeypatch, capsys, text):
    def spoilt(lesson, output, **options):
        notebook = kernel(lesson, output, **options)
        path = home / options["parameters"]["report"] / "results.json"
        path.unlink() if text is None else path.write_text(text)
        return notebook

    monkeypatch.setattr(execute, "execute", spoilt)
    assert cli.main(["run", "--only", "01"]) == 1
    assert "results.json" in capsys.readouterr().out
    assert not report("tiny", "01_a").exists()


def test_the_kept_notebook_names_no_staging_folder(home, kernel, monkeypatch):
    def chatty(lesson, output, **options):
        notebook = kernel(lesson, output, **options)
        place = home / options["parameters"]["report"]
        text = {"output_type": "stream", "name": "stdout", "text": f"wrote {place}/a.png"}
        notebook.cells[1].outputs = [nbformat.from_dict(text)]
        return notebook

    monkeypatch.setattr(execute, "execute", chatty)
    cli.main(["run", "--only", "01"])
    for file in ("lesson.ipynb", "lesson.html"):
        text = (report("tiny", "01_a") / file).read_text()
        assert "wrote ./reports/tiny/01_a/a.png" in text
        assert str(home) not in text


def test_results_of_all_lessons_stand_in_one_table(home, kernel):
    cli.main(["run", "--only", "01", "-p", "rank=3"])
    cli.main(["run", "--only", "08", "-p", "rank=4"])
    rows = list(csv.DictReader((home / "reports" / "tiny" / "results.csv").open()))
    assert [(r["lesson"], float(r["value"])) for r in rows] == [("01_a", 3), ("08_d", 4)]
    columns = "lesson run model data split direction metric value low high n seed unit "
    columns += "chance flag low_flag high_flag reason"
    assert " ".join(rows[0]) == columns


def test_the_page_escapes_text_and_shows_states(home, kernel):
    kernel.failing = {"03_b"}
    cli.main(["run"])
    page = (home / "reports" / "tiny" / "index.html").read_text()
    assert "Why &lt;b&gt;this&lt;/b&gt;?" in page
    assert page.count("up to date") == 2
    assert "failed: cell 3" in page
    assert "never run" in page
    assert 'href="01_a/lesson.html"' in page
    assert 'href="03_b.failed.ipynb"' in page
    assert "<script" not in page


def test_two_runs_of_one_name_do_not_meet(home, kernel, capsys):
    with held(state.run_folder("tiny") / ".lock", what="course run --name tiny", wait=False):
        assert cli.main(["run"]) == 2
        assert f"held by process {os.getpid()}" in capsys.readouterr().err
        assert kernel.ran == []
        assert cli.main(["run", "--name", "other"]) == 0
    assert cli.main(["run"]) == 0


def test_what_a_killed_run_left_is_mended_first(home, kernel, capsys):
    cli.main(["run", "--only", "01"])
    target = report("tiny", "01_a")
    target.rename(target.with_name(".01_a.old"))
    kernel.ran.clear()
    assert cli.main(["run", "--only", "01"]) == 0
    assert (
        "01_a: an interrupted run had set its report aside; it is back" in capsys.readouterr().out
    )
    assert kernel.ran == []


def test_a_stopped_run_keeps_nothing_of_the_lesson_at_work(home, kernel, monkeypatch, capsys):
    def stopped(lesson, output, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "execute", stopped)
    assert cli.main(["run", "--only", "01"]) == 130
    assert [p.name for p in (home / "reports" / "tiny").glob("*01_a*")] == []
    assert "earlier reports stay" in capsys.readouterr().out


def test_list_says_question_and_state(home, kernel, capsys):
    cli.main(["run", "--only", "01", "--name", "mine", "-p", "rank=9"])
    edit(home / "notebooks" / "04_c.ipynb", "What is it?", "Is it so?")
    capsys.readouterr()
    assert cli.main(["list", "--name", "mine"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["question", "minutes", "builds", "on", "state", "in", "run", "'mine'"],
        ["01", "What", "is", "it?", "1", "up", "to", "date"],
        ["03", "What", "is", "it?", "1", "01", "never", "run"],
    ]
    assert lines[3].startswith("04  Is it so?")
    assert lines[-1].split()[-1] == "4"  # minutes of all


def test_list_and_a_run_with_nothing_to_do_start_light(home, kernel):
    cli.main(["run"])
    code = (
        "import sys; from helpers.course import cli; assert cli.main({argv!r}) == 0; "
        "heavy = {heavy!r} & set(sys.modules); assert not heavy, heavy"
    )
    for argv, heavy in (
        (["list"], {"torch", "transformers", "papermill", "nbconvert", "pandas", "matplotlib"}),
        (["run"], {"torch", "transformers", "papermill", "nbconvert", "matplotlib"}),
    ):
        text = code.format(argv=argv, heavy=heavy)
        done = subprocess.run([sys.executable, "-c", text], check=False, stdout=subprocess.DEVNULL)
        assert done.returncode == 0
