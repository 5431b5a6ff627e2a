"""``make env``: what it will take is said first, and it is what is then there."""

import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.behaviour.conftest import run_in

DEAD = "http://127.0.0.1:9/whl/cpu"  # nobody listens there
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PyPI has CUDA for Linux")
SAID = re.compile(r"about ([\d.]+) GB on disk and ([\d.]+) GB to download, (\d+ to \d+) minutes")


@pytest.fixture(scope="module")
def index():
    """The address of an index of packages that answers."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/whl/cpu/torch/" else 404)
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/whl/cpu"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def planned(checkout, tmp_path):
    """What the installation says and would run, with or without an NVIDIA GPU."""

    def plan(*options, index, gpu=False, python=sys.executable):
        command = tmp_path / "nvidia-smi"
        command.write_text("#!/bin/sh\n" + ("echo 'GPU 0: H200'" if gpu else "exit 9") + "\n")
        command.chmod(0o755)
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        done = run_in(
            checkout, [python, "tools/install.py", "--dry-run", *options],
            env={"TORCH_CPU_INDEX": index, "PATH": path},
        )  # fmt: skip
        assert done.code == 0, done.text
        first, *rest = done.out.splitlines()
        return first, [line.removeprefix("+ ") for line in rest]

    return plan


@LINUX
def test_without_a_gpu_torch_is_its_cpu_build(planned, index):
    """Fault 35: from PyTorch's own index, and everything else at the pinned versions."""
    first, (venv, torch, rest) = planned(index=index)
    assert SAID.search(first)
    assert "torch's CPU build (no NVIDIA GPU is here)" in first
    assert "-m venv .venv" in venv
    assert f"--no-deps --index-url {index} torch==" in torch
    assert rest.endswith("install --constraint constraints.txt --editable .[dev]")


@LINUX
@pytest.mark.parametrize("torch", ["auto", "cpu"])
def test_where_the_index_does_not_answer_the_plain_one_is_taken_and_it_says_so(planned, torch):
    """Fault 35."""
    first, (_, rest) = planned("--torch", torch, index=DEAD)
    assert f"{DEAD} does not answer: torch comes from pip's own index" in first
    assert "--index-url" not in rest


@LINUX
def test_a_gpu_or_a_wish_brings_the_cuda_build(planned, index):
    """Fault 35: by hand in both directions."""
    for options, gpu in (([], True), (["--torch", "cuda"], False)):
        first, (_, rest) = planned(*options, index=index, gpu=gpu)
        assert "torch's CUDA build" in first
        assert float(SAID.search(first)[1]) > 5
        assert "--index-url" not in rest
    first, (_, torch, _) = planned("--torch", "cpu", index=index, gpu=True)
    assert "torch's CPU build (as asked for)" in first
    assert index in torch


@LINUX
def test_another_build_takes_the_place_of_the_one_that_is_there(planned, index, tmp_path):
    """Fault 35: pip alone would call the requirement satisfied."""
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / ".torch").write_text("cpu")
    _, (_, torch, _) = planned("--torch", "cuda", str(tmp_path / "env"), index=index)
    assert "--no-deps --force-reinstall torch==" in torch
    _, (_, torch, _) = planned("--torch", "cpu", str(tmp_path / "env"), index=index)
    assert "--force-reinstall" not in torch


def test_the_line_comes_before_the_work_and_the_work_is_seen(checkout, tmp_path):
    """Fault 35: pip is not quiet; a command that fails ends the installation with its name."""
    fake = tmp_path / "venv.py"
    fake.write_text("raise SystemExit('the venv module is missing')")
    done = run_in(
        checkout, [sys.executable, "tools/install.py", str(tmp_path / "env")],
        env={"PYTHONPATH": str(tmp_path), "TORCH_CPU_INDEX": DEAD},
    )  # fmt: skip
    assert done.code == 1
    lines = done.out.splitlines()
    assert SAID.search(lines[0])
    assert lines[1].startswith("+ ")
    assert "the venv module is missing" in done.err
    assert "failed (code 1)" in done.err
    plan = run_in(checkout, [sys.executable, "tools/install.py", "--dry-run"]).out
    assert "--quiet" not in plan
    assert "-q " not in plan


def test_make_env_hands_the_choice_on(checkout):
    """Fault 35: ``make env TORCH=cuda``, and the plain one chooses by itself."""
    assert "tools/install.py --torch auto .venv" in run_in(checkout, "make -n env").out
    assert "tools/install.py --torch cuda .venv" in run_in(checkout, "make -n env TORCH=cuda").out
    assert "--torch auto" in run_in(checkout, "make -n course").out


def test_the_script_needs_nothing_but_python(checkout):
    """It runs before anything is installed."""
    done = run_in(checkout, [sys.executable, "-I", "-S", "tools/install.py", "--dry-run"])
    assert done.code == 0, done.text


def bytes_below(folder: Path) -> int:
    """What the files of a folder take, each once."""
    done = subprocess.run(["du", "-sk", f"{folder}/"], capture_output=True, text=True, check=True)
    return 1024 * int(done.stdout.split()[0])


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="not in an environment of its own")
@pytest.mark.skipif(os.name == "nt", reason="measured with du")
def test_the_size_that_is_said_is_the_size_that_is_there(checkout):
    """Fault 35: within a fifth."""
    names = {(found.metadata["Name"] or "").lower() for found in distributions()}
    build = "cuda" if any(name.startswith("nvidia-cu") for name in names) else "cpu"
    command = [sys.executable, "tools/install.py", "--dry-run", "--torch", build]
    said = float(SAID.search(run_in(checkout, command).out)[1])
    assert bytes_below(Path(sys.prefix)) / 1e9 == pytest.approx(said, rel=0.2)
