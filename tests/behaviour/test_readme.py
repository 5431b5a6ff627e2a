"""README.md does what it says: its form is checked at once, its commands run as a journey."""

import csv
import json
import os
import re
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from threading import Thread

import pytest
import yaml

from tests.behaviour import readme_commands as readme
from tests.behaviour.conftest import BIN, ROOT, Done, lessons, run_in

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = readme.blocks(TEXT)
RUN = readme.commands(TEXT)
NAMED = RUN + readme.inline_commands(TEXT)
KINDS = {"sh", "text", "bat", "csv", "json"}
FIRST_WORDS = {*readme.COMMANDS, "source", "cp"}
HUB_MODEL = "openai/clip-vit-base-patch32"


def of(program: str) -> list[readme.Command]:
    """Commands of one program, in blocks and in the prose."""
    return [command for command in NAMED if command.words[0] == program]


def at(command: readme.Command) -> str:
    """How a command is named in the list of tests."""
    return f"line {command.line}: {' '.join(command.words)}"


def value_of(words: list[str], option: str) -> str:
    """What follows an option, or an empty text."""
    return words[words.index(option) + 1] if option in words[:-1] else ""


def parameters_of(notebook: Path) -> set[str]:
    """The names in a lesson's parameters cell."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    source = "".join(
        "".join(cell["source"])
        for cell in cells
        if "parameters" in cell["metadata"].get("tags", ())
    )
    return set(re.findall(r"^(\w+):", source, flags=re.MULTILINE))


def lessons_of(words: list[str]) -> list[Path]:
    """The notebooks that a ``course run`` is for."""
    only = value_of(words, "--only")
    numbers = only.split(",") if only else [lesson.name[:2] for lesson in lessons()]
    found = [lesson for lesson in lessons() if lesson.name[:2] in numbers]
    assert len(found) == len(numbers), f"--only {only}: there is no such lesson"
    return found


# What README says, against the files: these take seconds, and `make test` runs them.


def test_every_block_of_the_readme_is_of_a_known_kind():
    assert {block.kind for block in BLOCKS} <= KINDS
    assert RUN, "README.md shows no command"


@pytest.mark.parametrize("command", NAMED, ids=at)
def test_every_command_of_the_readme_is_one(command):
    assert command.words[0].removeprefix(".venv/bin/") in FIRST_WORDS | {"python3", "python"}


@pytest.mark.parametrize("command", of("make"), ids=at)
def test_every_target_and_variable_of_make_exists(command):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in command.words[1:]:
        name, given, _ = word.partition("=")
        form = rf"^{name}\s*\??=" if given else rf"^{name}:"
        assert re.search(form, makefile, flags=re.MULTILINE), f"the Makefile has no {name}"


@pytest.fixture(scope="session")
def help_of(checkout: Path) -> Callable[[str], Done]:
    """What ``course NAME --help`` prints, asked once for each name."""
    return cache(lambda name: run_in(checkout, f"course {name} --help"))


@pytest.mark.parametrize("command", of("course"), ids=at)
def test_every_option_of_the_course_exists(command, help_of):
    words = command.words
    options = [word for word in words[2:] if re.fullmatch(r"--?[a-z][\w-]*", word)]
    said = help_of(words[1])
    assert said.code == 0, said.text
    for option in options:
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", said.out), f"{words[1]} has no {option}"


@pytest.mark.parametrize("command", [c for c in of("course") if c.words[1] == "run"], ids=at)
def test_every_lesson_profile_and_parameter_of_a_run_exists(command):
    words = command.words
    chosen = lessons_of(words)
    profile = value_of(words, "--profile")
    if profile not in ("", "tiny"):
        assert (ROOT / "notebooks" / "profiles" / profile).is_dir(), f"no profile {profile}"
    known = set().union(*map(parameters_of, chosen))
    given = [words[i + 1].partition("=")[0] for i, word in enumerate(words) if word == "-p"]
    assert set(given) <= known, f"no chosen lesson has {set(given) - known}"
    file = value_of(words, "-f")
    if file and not (ROOT / file).is_file():
        copied = [c.words[2] for c in RUN if c.words[0] == "cp" and c.line < command.line]
        assert file in copied, f"nothing makes {file} before line {command.line}"


def test_every_file_that_the_readme_names_exists():
    """Links, images, and the project's own paths in commands and prose."""
    links = re.findall(r"\]\(([^)\s]+)\)", TEXT)
    paths = re.findall(r"(?<![\w/.])(?:notebooks|helpers|tests)/[\w./-]*\w", TEXT)
    named = {link.partition("#")[0] for link in links if "://" not in link} | set(paths)
    assert [name for name in sorted(named) if name and not (ROOT / name).exists()] == []


def test_the_table_of_lessons_is_that_of_the_notebooks():
    """Number, question, minutes to run, and what each builds on."""
    row = re.compile(r"^\| \[(\d\d)\]\(([^)]+)\) \| (.+?) \| (\d+) \+ \d+ \|(?: (.*?))? ?\|$")
    shown = [row.match(line).groups() for line in TEXT.splitlines() if line.startswith("| [")]
    known = []
    for lesson in lessons():
        about = json.loads(lesson.read_text(encoding="utf-8"))["metadata"]["course"]
        below = ", ".join(about["builds_on"]) or None
        place = f"notebooks/{lesson.name}"
        known.append((lesson.name[:2], place, about["question"], str(about["minutes"]), below))
    assert [(*r[:4], r[4] or None) for r in shown] == known


def test_the_data_that_the_readme_shows_is_well_formed():
    for block in BLOCKS:
        if block.kind == "json":
            assert all(isinstance(json.loads(line), dict) for line in block.lines)
        elif block.kind == "csv":
            first, *rows = csv.reader(block.lines)
            assert rows
            assert all(len(row) == len(first) for row in rows)


def test_what_the_journey_leaves_out_is_there_in_the_files():
    """What docker, conda and Windows use, which no test here can start."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert "minio" in compose["services"]
    assert "store/course" in str(compose["services"]["bucket"]["command"])
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    names = re.findall(r"conda activate ([\w-]+)", TEXT)
    assert set(names) == {conda["name"]}
    by_hand = "\n".join(block.text for block in BLOCKS if block.kind == "bat")
    assert r"tools\install.py" in by_hand


@pytest.mark.parametrize("build", ["cpu", "cuda"])
def test_the_installation_takes_what_the_readme_states(build, shell):
    """Fault 35: the same numbers stand in the table and in what `make env` says first."""
    said = shell(
        ["python", "tools/install.py", "--torch", build, "--dry-run"],
        env={"TORCH_CPU_INDEX": "http://127.0.0.1:9"},
    )
    assert said.code == 0, said.text
    (disk, download, minutes), *_ = re.findall(
        r"about (\S+) GB on disk and (\S+) GB to download, (.+?) minutes", said.out
    )
    assert re.search(rf"\| {minutes} \| {download} GB \| {disk} GB in", TEXT), said.out


def test_every_exception_of_the_journey_is_of_a_command_that_stands_in_the_readme():
    for row in readme.INSTEAD:
        assert any(readme.instead(command.text) is row for command in NAMED), row.starts


# The journeys: one `make course`, and what a user does after it.


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache as ``hf download`` leaves it: under the name of CLIP a small checkpoint."""
    home = tmp_path_factory.mktemp("hub")
    model = home / "hub" / f"models--{HUB_MODEL.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    ours = shutil.ignore_patterns("training.json", "README.md")  # not in a checkpoint of the hub
    tiny = ROOT / "data" / "tiny" / "tiny-clip"
    shutil.copytree(tiny, model / "snapshots" / commit, ignore=ours)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    return home


@pytest.fixture(scope="session")
def store() -> Iterator[str]:
    """The address of an object store on this machine, with the bucket that README names."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [BIN / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while "Running on" not in (line := server.stdout.readline()):
            assert line, "moto_server ended at once"
        # It writes a line for each request, and would wait for ever where nobody reads them.
        Thread(target=server.stdout.read, daemon=True).start()
        address = f"http://127.0.0.1:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{address}/course", method="PUT")).close()
        yield address
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="session")
def variables(hub: Path) -> dict[str, str]:
    """A machine without a network whose hub cache holds the model that README downloads."""
    return {"HF_HOME": str(hub), "HF_ENDPOINT": "http://127.0.0.1:9"}


def in_bash(course: Path, command: str, variables: dict[str, str], before: str = "") -> Done:
    """Run a line in bash after ``before``, as in one session of a terminal.

    Where ``before`` does not activate the environment, its commands are not found.
    """
    path = [part for part in os.environ["PATH"].split(os.pathsep) if Path(part) != BIN]
    env = variables | {"PATH": os.pathsep.join(path), "VIRTUAL_ENV": ""}
    return run_in(course, ["bash", "-c", f"{before}{command}"], env=env, timeout=1800)


def fill_in(course: Path, address: str) -> None:
    """What README asks the reader to do with ``.env``."""
    text = (course / ".env").read_text(encoding="utf-8")
    values = {"ENDPOINT": address, "USER": "learner", "PASSWORD": "quiet-walnut-93"}
    for name, value in values.items():
        text = re.sub(rf"^MINIO_{name}=.*$", f"MINIO_{name}={value}", text, flags=re.MULTILINE)
    (course / ".env").write_text(text, encoding="utf-8")


@pytest.mark.journey
def test_every_command_of_the_readme_runs_in_its_order(
    finished_course, photographs, store, variables
):
    """Fault 1: all of them, in one copy of the project, after all lessons ran."""
    course, before = finished_course, ""
    filled = {"/path/to/captions.csv": str(photographs)}
    try:
        for command in RUN:
            line = readme.to_run(command.text, filled)
            if not line:
                continue
            done = in_bash(course, line, variables, before)
            where = f"README.md, line {command.line}: {line}\n{done.text[-3000:]}"
            assert done.code == 0, where
            assert "Traceback" not in done.text, where
            if command.output:
                shown = readme.masked(command.output, course)
                assert readme.shows(shown, readme.masked(done.out, course)), where
            if line.startswith("source "):
                before += f"{line} && "
            if line.startswith("cp .env.example"):
                fill_in(course, store)
    finally:
        (course / ".env").unlink(missing_ok=True)


@pytest.mark.journey
def test_the_run_of_all_lessons_names_the_page_to_open(finished_course):
    printed = json.loads((finished_course.parent / "made.json").read_text(encoding="utf-8"))[1]
    assert "reports/tiny/index.html" in printed
    assert (finished_course / "reports" / "tiny" / "index.html").is_file()
    assert (finished_course / "reports" / "tiny" / "results.csv").is_file()


@pytest.mark.journey
def test_the_list_says_of_every_lesson_that_it_is_up_to_date(finished_course):
    done = run_in(finished_course, "course list")
    assert done.code == 0, done.text
    assert len(re.findall("up to date", done.out)) == len(lessons())


@pytest.mark.journey
def test_the_check_finds_nothing_after_all_lessons(finished_course):
    done = run_in(finished_course, "course check")
    assert done.code == 0, done.text
    assert "FAIL" not in done.text


def gigabytes(*folders: Path) -> float:
    """What files below folders take; links count nothing."""
    files = (f for folder in folders for f in folder.rglob("*") if not f.is_symlink())
    return sum(f.stat().st_blocks * 512 for f in files) / 1e9


@pytest.mark.journey
def test_the_disk_that_the_readme_states_is_what_a_run_takes(finished_course):
    """Fault 35: within a third of it."""
    (stated,) = re.findall(r"([\d.]+) GB in `data/` and `reports/`", TEXT)
    data, reports = finished_course / "data", finished_course / "reports"
    taken = gigabytes(data / "zones" / "tiny", data / "cache", reports / "tiny")
    assert taken == pytest.approx(float(stated), rel=1 / 3)


@pytest.mark.journey
def test_the_answer_that_the_readme_shows_is_right(finished_course):
    """Each image that is shown is of the dish and on the plate that were asked for."""
    (asked,) = (c for c in RUN if c.output and c.words[:2] == ["course", "search"])
    words = {word.casefold() for word in asked.words[-1].split()}
    known = finished_course / "data/zones/tiny/trusted-zone/documents/recipes.jsonl"
    recipes = map(json.loads, known.read_text(encoding="utf-8").splitlines())
    attributes = {recipe["recipe_id"]: recipe["attributes"] for recipe in recipes}
    shown = re.findall(r"images/(.+)/[^/]+$", asked.output, flags=re.MULTILINE)
    assert shown
    for recipe in shown:
        said = attributes[recipe]
        assert {said["dish"], said["plate"]} <= words, f"{recipe} is {said}"


def hits(done: Done) -> list[dict]:
    """What `course search --json` found for each question."""
    assert done.code == 0, done.text
    return [json.loads(line)["hits"] for line in done.out.splitlines()]


@pytest.mark.journey
@pytest.mark.parametrize("options", ["", "--build --adapter none"], ids=["as it is", "--build"])
def test_a_search_answers_after_all_lessons(finished_course, options):
    """Fault 1: by text, by many texts in a pipe, and by an image."""
    search = f"course search --json {options}"
    (found,) = hits(run_in(finished_course, f'{search} "pizza with mushrooms"'))
    assert [hit["rank"] for hit in found] == [1, 2, 3, 4, 5]
    piped = hits(run_in(finished_course, search, given="soup\n\nsushi with salmon\n"))
    assert len(piped) == 2
    (same,) = hits(run_in(finished_course, f"{search} --image {found[0]['path']}"))
    assert same[0]["id"] == found[0]["id"]


@pytest.mark.journey
def test_images_of_ones_own_are_measured_and_searched(finished_course, photographs, variables):
    """A folder of photos and a model of the hub, from its cache alone; then a search in them."""
    source = f"-p source={photographs} -p model={HUB_MODEL}"
    run = run_in(finished_course, f"course run --name photos --only 03 {source}", env=variables)
    assert run.code == 0, run.text
    search = f"course search --name photos --build --model {HUB_MODEL} --json"
    (found,) = hits(run_in(finished_course, f'{search} "a photo of soup"', env=variables))
    assert len(found) == 5


@pytest.mark.journey
def test_a_study_shows_its_help(finished_course):
    done = run_in(finished_course, "course run --profile study --only 04 --help")
    assert done.code == 0
    assert done.out.startswith("usage:")


@pytest.mark.journey
def test_plain_papermill_runs_a_lesson(finished_course, tmp_path):
    """It takes -p as `course run` does, and the lesson's own data where none is given."""
    lesson = next(path for path in lessons() if "max_recipes" in parameters_of(path))
    given = f"-p max_recipes 60 -p zone {tmp_path}/zone -p report {tmp_path}/report"
    done = run_in(
        finished_course, f"papermill notebooks/{lesson.name} {tmp_path}/out.ipynb {given}"
    )
    assert done.code == 0, done.text[-3000:]
    assert (tmp_path / "out.ipynb").is_file()


@pytest.mark.journey
def test_nbmake_runs_a_lesson(finished_course):
    """Lesson 03 as a test, on the data of the finished run."""
    (lesson,) = (finished_course / "notebooks").glob("03_*.ipynb")
    done = run_in(finished_course, f"pytest -p no:cacheprovider --nbmake notebooks/{lesson.name}")
    assert done.code == 0, done.text[-3000:]
    assert "1 passed" in done.out
