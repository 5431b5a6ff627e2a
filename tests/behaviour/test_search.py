"""``course search`` as it is used: questions, many questions, a prompt, and every mistake."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
from zlib import crc32

import pytest
from filelock import FileLock

from tests.behaviour.conftest import Done, environment, lessons, run_in

FIRST = next(path.stem for path in lessons() if "baseline" in path.stem)
SEARCHING = next(path.stem for path in lessons() if "placement" in path.stem)


def once(checkout, name, *commands):
    """Commands that every process of these tests wants done, run by the first alone."""
    with FileLock(checkout / f"{name}.lock"):
        for command in commands:
            made = checkout / f"{name}.{crc32(command.encode())}.done"
            if not made.exists():
                done = run_in(checkout, command)
                assert done.code == 0, done.text
                made.touch()


@pytest.fixture(scope="module")
def searched(checkout, photographs):
    """A run whose images have embeddings; the name of the run."""
    source = checkout / "build" / "photos"
    with FileLock(checkout / "photos.lock"):
        if not source.exists():
            shutil.copytree(photographs.parent, source)
    once(
        checkout, "searched",
        f"course run --name searched --only {FIRST} -p source=build/photos/captions.csv",
        "course search --name searched --build soup",
    )  # fmt: skip
    return "searched"


@pytest.fixture(scope="module")
def broken(checkout):
    """Checkpoints that no search can be built with, by what is wrong with them."""
    top = checkout / "build" / "broken"
    with FileLock(checkout / "broken.lock"):
        if not top.exists():
            whole = checkout / "data" / "tiny" / "tiny-clip"
            for name in ("pointer", "picture-size"):
                shutil.copytree(whole, top / name)
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 6\n"
            (top / "pointer" / "model.safetensors").write_text(pointer)
            file = top / "picture-size" / "processor_config.json"
            about = json.loads(file.read_text())
            about["image_processor"]["size"] = {"shortest_edge": 96}
            about["image_processor"]["crop_size"] = {"height": 96, "width": 96}
            file.write_text(json.dumps(about))
    return top


def one_line(done: Done) -> str:
    """The line on standard error that says why the command was refused, with code 2."""
    lines = [line for line in done.err.splitlines() if line.startswith("course: ")]
    assert done.code == 2, done.text
    assert "Traceback" not in done.text
    assert len(lines) == 1, done.err
    return lines[0]


def test_a_question_is_answered(shell, searched):
    """Fault 36: it says how many images were searched, in the field's word."""
    done = shell("course search --name searched -k 2 red soup")
    assert done.code == 0, done.text
    assert re.search(r"^2 of \d+ images in [\d.]+ ms$", done.out, re.MULTILINE)


def test_of_many_questions_the_bad_one_is_named_with_its_line(checkout, searched):
    """Fault 4: bytes that are no text lose one question, not those after it."""
    done = subprocess.run(
        ["course", "search", "--name", searched, "-k", "1", "--json"], cwd=checkout, check=False,
        env=environment(checkout), input=b"soup\n\ncaf\xe9\npie\n", capture_output=True,
    )  # fmt: skip
    answered = [json.loads(line)["text"] for line in done.stdout.decode().splitlines()]
    assert answered == ["soup", "pie"]
    assert done.returncode == 2
    lines = done.stderr.decode().splitlines()
    (line,) = [one for one in lines if not one.startswith("WARNING: ")]
    assert line.startswith("course: line 3: ")
    assert r"caf\xe9" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-k", "1", b"caf\xe9"], [r"caf\xe9"]),
        (["   "], ["empty"]),
        (["-k", "0", "soup"], ["'0'", "1 or more"]),
        (["-k", "few", "soup"], ["'few'", "1 or more"]),
        (["--image", "nowhere.png"], ["nowhere.png"]),
        (["--image", "README.md"], ["README.md"]),
        (["--adapter", "nowhere", "soup"], ["nowhere", "--build"]),
        (["--build", "--adapter", "nowhere", "soup"], ["nowhere"]),
        (["--build", "--model", "build/broken/pointer", "soup"], []),
        (["--build", "--model", "build/broken/picture-size", "soup"], []),
        (["--zone", "build/nothing", "soup"], ["nothing"]),
        (["--zone", "ftp://course/x", "soup"], ["ftp"]),
        (["--thumbnails", "large", "soup"], ["large"]),
        (["--name", "searched1", "soup"], ["did you mean 'searched'?"]),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_and_code_2(checkout, searched, broken, options, said):
    """Fault 4: whatever layer finds it."""
    command = [b"course", b"search", b"--name", b"searched"]
    command += [part if isinstance(part, bytes) else part.encode() for part in options]
    done = subprocess.run(
        command, cwd=checkout, env=environment(checkout), stdin=subprocess.DEVNULL,
        capture_output=True, check=False,
    )  # fmt: skip
    line = one_line(Done(done.returncode, done.stdout.decode(), done.stderr.decode()))
    assert [text for text in said if text not in line] == []


def test_a_store_that_nobody_serves_is_one_line(shell):
    """Fault 4."""
    keys = {"MINIO_ENDPOINT": "http://127.0.0.1:1", "MINIO_USER": "u", "MINIO_PASSWORD": "p"}
    done = shell("course search --zone s3://course/x soup", env=keys)
    line = one_line(done)
    assert "http://127.0.0.1:1" in line
    assert "MINIO_ENDPOINT" in line


class Prompt:
    """``course search`` in a terminal."""

    def __init__(self, checkout, *options):
        self.end, other = pty.openpty()
        self.process = subprocess.Popen(
            ["course", "search", *options], cwd=checkout, stdin=other, stdout=other, stderr=other,
            env=environment(checkout, {"TERM": "dumb"}),
        )  # fmt: skip
        os.close(other)
        self.shown = ""

    def until(self, text):
        """What was shown up to a text, from here on."""
        while text not in self.shown:
            ready, _, _ = select.select([self.end], [], [], 60)
            assert ready, f"{text!r} never came: {self.shown!r}"
            try:
                got = os.read(self.end, 10_000)
            except OSError:  # the terminal is closed
                got = b""
            assert got, f"{text!r} never came: {self.shown!r}"
            self.shown += got.decode(errors="replace").replace("\r\n", "\n")
        before, found, self.shown = self.shown.partition(text)
        return before + found

    def say(self, line):
        os.write(self.end, line.encode() + b"\r")


def test_the_prompt_says_what_is_searched_and_knows_help(checkout, searched):
    """Fault 36: the source as it was given; ``help`` and ``?`` are no questions."""
    prompt = Prompt(checkout, "--name", searched, "-k", "1")
    try:
        first = prompt.until("search> ")
        assert "30 images of build/photos/captions.csv" in first
        for line in ("help", "?", ":help"):
            prompt.say(line)
            assert ":image PATH" in prompt.until("Ctrl-D")
        prompt.say(":k none")
        prompt.until("'none' is no number of results")
        prompt.say("red soup")
        assert "1 of 30 images in" in prompt.until(" ms")
        prompt.say("quit")
        assert prompt.process.wait(timeout=60) == 0
    finally:
        prompt.process.kill()
        prompt.process.wait()
        os.close(prompt.end)


def test_the_help_has_an_example_and_every_default(shell):
    """Fault 36."""
    done = shell("course search --help")
    assert "examples:\n  course search --build" in done.out
    flat = " ".join(done.out.split())
    for option, default in (("--name", "tiny"), ("--model", "tiny-siglip"), ("-k N", "5"),
                            ("--adapter", "the newest"), ("--thumbnails", "auto")):  # fmt: skip
        assert re.search(rf"{re.escape(option)}[^()]*(\([^)]*\)[^()]*)?\(default: {default}", flat)


@pytest.mark.journey
def test_search_answers_in_a_run_that_holds_every_kind_of_artefact(checkout, searched):
    """Fault 1: what an artefact is stands in its manifest; its name is no guess."""
    once(
        checkout, "searched",
        f"course run --name searched --only {SEARCHING} -p source=build/photos/captions.csv "
        "-p steps=2 -p n_trials=2",
    )  # fmt: skip
    kinds = {}
    for file in (checkout / "data" / "zones" / "searched" / "manifests").glob("**/*.json"):
        stem = re.sub(r"[0-9a-f]{8,}$", "", file.stem)
        kinds.setdefault(stem, set()).add(json.loads(file.read_text())["kind"])
    assert len(kinds) > 2
    assert {stem: found for stem, found in kinds.items() if len(found) > 1} == {}
    image = next((checkout / "build" / "photos" / "photos").iterdir())
    for options in ("soup", "--build soup", f"--image {image}", "--model tiny-siglip soup"):
        done = run_in(checkout, f"course search --name searched -k 1 {options}")
        assert done.code == 0, done.text
        assert "1 of 30 images" in done.out
    done = run_in(checkout, "course search --name searched --model tiny-clip soup")
    assert "there are: tiny-siglip" in one_line(done)
    piped = run_in(checkout, "course search --name searched -k 1", given="soup\npie\n")
    assert piped.out.count("1 of 30 images") == 2
