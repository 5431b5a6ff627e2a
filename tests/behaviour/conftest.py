"""A copy of the project, a shell in it, and images of one's own: what these tests stand on.

Nothing here imports ``helpers``: the package is free to change behind the commands.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent  # of the environment that runs these tests


@dataclass(frozen=True)
class Done:
    """What a command did: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both outputs, as a terminal shows them."""
        return self.out + self.err


def real_data(name: str) -> Path | None:
    """Real data beside the project (or where ``COURSE_REAL_DATA`` says), or None."""
    given = os.environ.get("COURSE_REAL_DATA", "")
    folder = (Path(given) if given else ROOT.parent / "shared" / "real") / name
    return folder if folder.is_dir() else None


def copy_of_the_project(folder: Path) -> Path:
    """Every file that git tracks, or would: the working tree as a fresh clone has it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def environment(checkout: Path, extra: dict[str, str] | None = None) -> dict[str, str]:
    """The variables of a shell in a copy: its own package and the environment's commands first."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("COURSE_", "MINIO_", "PYTEST", "MAKE", "MFLAGS"))
    }
    path = os.pathsep.join([str(BIN), kept.get("PATH", "")])
    ours = {"PYTHONPATH": str(checkout), "PATH": path, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    return kept | ours | (extra or {})


def run_in(
    checkout: Path, command: str | list, *, cwd: Path | None = None, timeout: float = 900,
    env: dict[str, str] | None = None, given: str = "",
) -> Done:  # fmt: skip
    """Run a command line (a str through the shell, a list as it is) in a copy of the project."""
    done = subprocess.run(
        command if isinstance(command, str) else [str(part) for part in command],
        shell=isinstance(command, str), cwd=cwd or checkout, env=environment(checkout, env),
        input=given.encode(), capture_output=True, timeout=timeout, check=False,
    )  # fmt: skip
    out, err = (text.decode("utf-8", errors="replace") for text in (done.stdout, done.stderr))
    return Done(done.returncode, out, err)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """One copy of the project for all tests (and all processes of pytest) that only read it.

    Whoever runs a lesson or a command in it takes a ``--name`` of its own; whoever edits a file
    takes ``fresh_checkout``.
    """
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent
    folder = base / "checkout"
    with FileLock(base / "checkout.lock"):
        if not (folder / ".made").is_file():
            copy_of_the_project(folder)
            (folder / ".made").touch()
    return folder


def as_a_clone(checkout: Path) -> None:
    """Make a copy a repository whose last commit holds it."""
    who = ["-c", "user.name=A learner", "-c", "user.email=learner@localhost"]
    for step in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "The course"]):
        subprocess.run(["git", *step], cwd=checkout, check=True)


def link_environment(checkout: Path) -> None:
    """A ``.venv`` in a copy that make takes for its own: links, and new stamps beside them.

    The environment itself is not touched; only the commands in it are used.
    """
    (checkout / ".venv").mkdir()
    for part in BIN.parent.iterdir():
        if part.name.startswith(".") and part.is_file():  # what make keeps there
            shutil.copyfile(part, checkout / ".venv" / part.name)
        else:
            (checkout / ".venv" / part.name).symlink_to(part)
    (checkout / ".venv" / ".installed").touch()
    again = run_in(checkout, "make -n env")
    assert again.code == 0, again.text
    assert "install" not in again.out, f"make would install into the links:\n{again.out}"


@pytest.fixture(scope="session")
def finished_course(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A copy of the project in which ``make course`` ran: one for all journeys, made by the first.

    It takes the minutes of all lessons; two run at a time, and make then finds them up to date.
    What make printed is in ``made.json`` beside the copy; if it failed, every journey says so at
    once. Whoever runs a lesson here takes a ``--name``.
    """
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent
    folder, record = base / "finished" / "course", base / "finished" / "made.json"
    with FileLock(base / "finished.lock"):
        if not record.is_file():
            folder.mkdir(parents=True)
            as_a_clone(copy_of_the_project(folder))
            link_environment(folder)
            first = "course run --profile tiny --jobs 2"
            done = run_in(folder, first, timeout=5400)
            done = run_in(folder, "make course", timeout=900) if done.code == 0 else done
            record.write_text(json.dumps([done.code, done.out, done.err]), encoding="utf-8")
    done = Done(*json.loads(record.read_text(encoding="utf-8")))
    assert done.code == 0, f"make course ended with {done.code}:\n{done.text[-4000:]}"
    return folder


@pytest.fixture
def fresh_checkout(tmp_path: Path) -> Path:
    """A copy of the project for a test that changes its files."""
    return copy_of_the_project(tmp_path / "course")


@pytest.fixture
def shell(checkout: Path) -> Callable[..., Done]:
    """``shell("course list")`` runs in the shared copy; see ``run_in`` for its options."""

    def run(command: str | list, **options) -> Done:
        return run_in(checkout, command, **options)

    return run


def write_captions(folder: Path, rows: list[tuple[str, str]]) -> Path:
    """A ``captions.csv`` with the columns image and caption."""
    with (folder / "captions.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("image", "caption"), *rows])
    return folder / "captions.csv"


def real_photographs(n: int) -> Iterator[tuple[Path, str]]:
    """Up to ``n`` photographs of dishes with their titles; none without real data."""
    folder = real_data("public-domain-recipes")
    if folder is None:
        return
    lines = (folder / "recipes.jsonl").read_text(encoding="utf-8").splitlines()
    dishes = [json.loads(line) for line in lines]
    pairs = [(folder / d["images"][0], d["title"].lower()) for d in dishes if d["images"]]
    yield from [pair for pair in pairs if pair[0].is_file()][:n]


def pattern(number: int) -> Image.Image:
    """A drawing that differs from that of every other number in colors and shapes."""
    image = Image.new("RGB", (160, 120), ((37 * number) % 256, (91 * number) % 256, 60))
    draw = ImageDraw.Draw(image)
    for i in range(4):
        x, y = (53 * number + 41 * i) % 130, (29 * number + 67 * i) % 90
        color = ((17 * number + 80 * i) % 256, (140 + 33 * i) % 256, (70 * i + number) % 256)
        draw.ellipse((x, y, x + 20 + 5 * i, y + 30), fill=color)
    return image


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``captions.csv`` of thirty images with captions: photographs where there are any."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "photos").mkdir()
    rows = []
    for photo, title in real_photographs(30):
        shutil.copy(photo, folder / "photos" / photo.name)
        rows.append((f"photos/{photo.name}", f"a photo of {title}"))
    for number in range(len(rows), 30):
        pattern(number).save(folder / "photos" / f"{number}.jpg")
        rows.append((f"photos/{number}.jpg", f"a photo of dish number {number}"))
    return write_captions(folder, rows)


@pytest.fixture(scope="session")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``captions.csv`` of thirty small patterns, each with its own caption."""
    folder = tmp_path_factory.mktemp("patterns")
    colors = ("red", "green", "blue", "yellow", "violet", "gray")
    dishes = ("soup", "pie", "stew", "salad", "bread")
    rows = []
    for number in range(30):
        pattern(number).resize((96, 96)).save(folder / f"{number:04}.png")
        rows.append((f"{number:04}.png", f"{colors[number % 6]} {dishes[number // 6]} {number}"))
    return write_captions(folder, rows)


def lessons() -> list[Path]:
    """The numbered notebooks of the course."""
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
