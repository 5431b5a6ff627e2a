"""What `course run`, `course list` and `course check` say: exact texts, and what to do next."""

import json
import re
import shutil
from pathlib import Path

import pytest

from .conftest import Done, lessons, run_in

SLUGS = [path.stem for path in lessons()]
BY_NUMBER = {slug[:2]: slug for slug in SLUGS}
LISTED = ", ".join(SLUGS)
HELP = "{command} --help shows what there is"

# A command, and the one line that it ends with, code 2. {04} is the name of lesson 04, {root} the
# root of the project.
MISTAKES = [
    ("course run --only 99", f"--only names no lesson '99' (there are: {LISTED})"),
    ("course run --only 4O", f"--only names no lesson '4O' (there are: {LISTED})"),
    ("course run --jobs x", "--jobs is 'x': give a whole number of 1 or more"),
    ("course run --jobs 0", "--jobs is '0': give a whole number of 1 or more"),
    ("course run --timeout x", "--timeout is 'x': give whole seconds, or 0 for no limit"),
    ("course run --timeout 0.5", "--timeout is '0.5': give whole seconds, or 0 for no limit"),
    ("course run --timeout -1", "--timeout is '-1': give whole seconds, or 0 for no limit"),
    ("course run --jbos 2", f"unrecognized arguments: --jbos 2; {HELP.format(command='course')}"),
    ("course run 03", f"unrecognized arguments: 03; {HELP.format(command='course')}"),
    ("course run --profile stduy", "unknown profile 'stduy'; did you mean 'study'? (there are: "
     "hub, keep, study, tiny)"),
    ("course run --name ../up", "--name '../up' is no folder name: use letters, digits, '.', '_' "
     "and '-', at most 64"),
    ("course run -p rank", "-p 'rank' has no form name=value, such as -p rank=32"),
    ("course run --only 04 -p rnak=3", "unknown parameter 'rnak' for {04}; did you mean 'rank'?"),
    ("course run --only 04 -p rank=-3", "parameter 'rank' of {04} is int, -p rank=-3 gives '-3': "
     "it has to be 1 or more (rank: of the LoRA update)"),
    ("course run -f gone.yaml", "cannot read the parameters file {root}/gone.yaml: [Errno 2] No "
     "such file or directory: '{root}/gone.yaml'"),
    # Fault 22: choices, paths and models are refused before a kernel starts.
    ("course run --only 04 -p method=foo", "method 'foo' of {04} is unknown; use lora, dora or "
     "rslora"),
    ("course run --only 04 -y 'method: foo'", "method 'foo' of {04} (-y, line 1) is unknown; use "
     "lora, dora or rslora"),
    ("course run --only 05 -p modules=q_proj,vproj", "modules 'q_proj,vproj' of {05}: 'vproj' is "
     "unknown; use some of q_proj, k_proj, v_proj, out_proj, fc1, fc2; did you mean 'v_proj'?"),
    ("course run --only 05 -p search_rates=0.1,high", "search_rates '0.1,high' of {05}: 'high' "
     "will not do; give 2 numbers with commas, each above 0, such as 0.001"),
    ("course run --only 03 -p source=nothing.csv", "source 'nothing.csv' of {03}: nothing is at "
     "{root}/nothing.csv; give a file or folder that is there, or world:kitchen"),
    ("course run --only 03 -p source=world:kichen", "source 'world:kichen' of {03}: unknown world "
     "'world:kichen' (there are general, kitchen, garage); did you mean 'world:kitchen'?"),
    ("course run --only 03 -p model=./nothing", "model './nothing' of {03}: nothing is at "
     "{root}/nothing; use tiny-blip2, tiny-clip, tiny-instructblip, tiny-siglip, "
     "tiny-siglip-cars, a folder, or a hub id as owner/name"),
    ("course run --only 03 -p model=data", "model 'data' of {03}: the folder {root}/data holds no "
     "model: it has no config.json"),
    ("course run --only 03 -p zone=README.md", "zone 'README.md' of {03}: {root}/README.md is a "
     "file; a folder is wanted"),
    ("course run --only 05 -p vision_layers=0 -p text_layers=0", "vision_layers is 0 and "
     "text_layers is 0 in {05}: an adapter needs a layer: give one of them 1 or more, or -1 "
     "for all"),
    ("course run --only 09 -p samples=32", "batch_size is 64 and samples is 32 in {09}: a step "
     "takes 64 pairs: give samples at least as many"),
    ("course list --name ''", "--name '' is no folder name: use letters, digits, '.', '_' and '-', "
     "at most 64"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "line"), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_a_mistake_is_one_line_and_code_2(shell, checkout, command, line):
    """Faults 22, 36: thing, value, place, remedy; before anything is written."""
    done = shell(command.replace("course run", "course run --name mistaken"))
    said = line.replace("{root}", str(checkout))
    for number, slug in BY_NUMBER.items():
        said = said.replace(f"{{{number}}}", slug)
    said = said.replace("{command}", "course run")
    assert (done.code, done.out, done.err) == (2, "", f"course: {said}\n")
    assert not (checkout / "reports" / "mistaken").exists()


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("course search --zone README.md soup", "course: zone 'README.md': "),
        ("course pretrain nothing --debug", "course: "),
        ("course list --name a/b", "course: --name 'a/b' is no folder name"),
    ],
)
def test_debug_shows_the_traceback_before_the_line(shell, command, line):
    """Fault 4: one place at the top of every command."""
    plain = shell(command.replace(" --debug", ""))
    assert plain.code == 2
    assert "Traceback" not in plain.text
    if "pretrain" in command:
        return
    shown = shell(f"{command} --debug")
    assert shown.code == 2
    assert shown.err.startswith("Traceback")
    assert shown.err.splitlines()[-1].startswith(line)
    assert plain.err == shown.err.splitlines()[-1] + "\n"


def test_a_run_that_is_not_there_is_named_with_those_that_are(shell):
    """Fault 36."""
    done = shell("course list --name nosuch")
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(r"course: there is no run 'nosuch' \(there are: .*\)\n", done.err)


def test_the_list_is_a_table_with_the_total_of_the_minutes(shell):
    """Fault 36: a line a lesson, the heads above, the total below."""
    lines = shell("course list").out.splitlines()
    assert re.fullmatch(r" +question +minutes +builds on +state in run 'tiny'", lines[0])
    rows = [
        re.fullmatch(r"(\d\d)  (.+\?) +(\d+)  ([\d, ]*?) +(never run|.+)", x) for x in lines[1:-1]
    ]
    assert [row[1] for row in rows] == list(BY_NUMBER)
    total = re.fullmatch(r" +all, on two CPU cores +(\d+)", lines[-1])
    assert int(total[1]) == sum(int(row[3]) for row in rows)


@pytest.mark.parametrize("command", ["run", "list", "check"])
def test_help_has_an_example_and_every_default(shell, command):
    """Fault 36."""
    said = " ".join(shell(f"course {command} --help").out.split())
    assert f"example: course {command}" in said
    if command == "run":
        for words in ("lessons at a time (default: 1)", "(default: tiny)", "(default: 3600; 0: no"):
            assert words in said
        assert "parameters as YAML, one `name: value` a line" in said
        assert "notebooks/profiles/experiment_config.yaml is an example" in said


def without_warnings(out: str) -> list[str]:
    """The lines of a run but for its warning that a tiny model knows drawings alone."""
    return [line for line in out.splitlines() if not line.startswith("WARNING: ")]


# One run of lesson 03 on thirty patterns, from the folder in which they lie.

OPTIONS = "-p source=captions.csv -p batch_size=32"


@pytest.fixture(scope="module")
def relative(checkout: Path, patterns: Path) -> Done:
    """`course run` with a relative path, given where the file lies."""
    return run_in(
        checkout,
        f"course run --name relative --only 03 {OPTIONS}",
        cwd=patterns.parent,
        timeout=900,
    )


def test_a_run_says_where_it_is_what_was_made_and_what_is_next(relative, checkout):
    """Fault 36."""
    slug = BY_NUMBER["03"]
    assert relative.code == 0, relative.text
    lines = without_warnings(relative.out)
    start = f"lesson 1 of 1: {slug} starts (never run); about"
    assert re.fullmatch(rf"{re.escape(start)} \d+ min left in all", lines[0])
    assert re.fullmatch(rf"{slug:<24} done in \d+:\d\d", lines[-5])
    assert re.fullmatch(r"1 lesson finished in \d+:\d\d\.", lines[-4])
    assert lines[-3] == "All numbers are in reports/relative/results.csv."
    assert lines[-2] == f"Open {(checkout / 'reports/relative/index.html').as_uri()}"
    assert lines[-1] == (
        "To search its images: course search --name relative --build 'tomato soup'"
    )


def test_a_record_holds_a_path_that_means_the_same_later(relative, checkout, patterns, shell):
    """Fault 19: given as captions.csv, recorded whole; up to date from wherever one looks."""
    assert relative.code == 0, relative.text
    report = checkout / "reports" / "relative" / BY_NUMBER["03"]
    record = json.loads((report / "run.json").read_text(encoding="utf-8"))
    assert record["given"]["source"] == str(patterns)
    for cwd in (checkout, patterns.parent, checkout / "notebooks"):
        listed = shell("course list --name relative", cwd=cwd).out
        assert re.search(r"^03 .*  up to date$", listed, re.MULTILINE)
    again = shell(f"course run --name relative --only 03 -p source={patterns} -p batch_size=32")
    assert without_warnings(again.out)[:2] == [f"{BY_NUMBER['03']:<24} up to date", "1 up to date."]


def test_another_source_is_refused_with_both_and_the_way_out(
    relative, checkout, patterns, photographs, shell
):
    """Fault 12: one run, one source; --new-source makes the lessons of the one before stale."""
    assert relative.code == 0, relative.text
    run = "course run --name relative"
    stands = f"course: run 'relative' stands on source '{patterns}' (lesson 03), and this command "
    meant = (
        "or say with --new-source that it is meant, which makes every lesson on "
        f"'{patterns}' stale\n"
    )
    for only in ("01", "03", "05", "10"):
        other = shell(f"{run} --only {only} -p source={photographs}")
        assert other.code == 2
        names = f"names '{photographs}': take another --name, "
        assert other.err == f"{stands}{names}{meant}"
        forgotten = shell(f"{run} --only {only}")
        assert forgotten.code == 2
        names = f"names none, which means 'world:kitchen': add -p source={patterns}, "
        assert forgotten.err == f"{stands}{names}take another --name, {meant}"
    report = checkout / "reports" / "relative"
    before = (report / "results.csv").read_text(encoding="utf-8")
    assert "\n03," in before


def test_a_new_source_that_is_meant_makes_the_lessons_of_the_old_one_stale(
    checkout, patterns, photographs, shell, relative
):
    """Fault 12: in the list, on the page, and in the table of all numbers."""
    assert relative.code == 0, relative.text
    fresh = checkout / "reports" / "turned"
    fresh.mkdir(exist_ok=True)
    slug = BY_NUMBER["03"]
    shutil.copytree(checkout / "reports" / "relative" / slug, fresh / slug)
    # The lesson of the other source does not get far; that of the one before is stale even so.
    done = shell(
        f"course run --name turned --only 03 -p source={photographs} --new-source --timeout 1"
    )
    assert done.code == 1, done.text
    stale = f"stale: its source was '{patterns}', is '{photographs}'"
    assert f"starts ({stale})" in done.out
    numbers = (fresh / "results.csv").read_text(encoding="utf-8")
    assert "\n03," not in numbers


def test_a_failed_lesson_says_the_sentence_first_and_the_whole_command(shell, patterns, checkout):
    """Fault 36: neither cell nor class stands before what is wrong."""
    options = f"--timeout 1 -p source={patterns} -p 'precision=fp32'"
    done = shell(f"course run --name failing --only 03 {options}")
    assert done.code == 1, done.text
    slug = BY_NUMBER["03"]
    lines = without_warnings(done.out)
    assert lines[1].startswith(f"{slug:<24} failed: the cell took longer than 1 s. Give it more")
    assert re.search(
        rf"See reports/failing/{slug}\.failed\.ipynb \(cell \d+ of the lesson\)$", lines[1]
    )
    assert lines[2] == "1 failed."
    assert lines[-1] == (
        f"To run again what did not finish: course run --name failing -p source={patterns} "
        "-p precision=fp32 --timeout 1 --only 03"
    )
    kept = json.loads((checkout / f"reports/failing/{slug}.failed.ipynb").read_text("utf-8"))
    assert "CellTimeoutError" in kept["metadata"]["course_failure"]["error"]
    assert "cell" in kept["metadata"]["course_failure"]["where"]
