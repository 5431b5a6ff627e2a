"""Installs the course into a virtual environment: says what it will cost, then shows its progress.

usage: python3 tools/install.py [--torch auto|cpu|cuda] [--dry-run] [FOLDER]    (default: .venv)

Runs with the standard library alone, before anything is installed. PyPI's torch for Linux is built
for CUDA and brings gigabytes; a machine without an NVIDIA GPU gets PyTorch's CPU build instead,
where PyTorch's own index can be reached.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEAST = (3, 11)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PROBE_S = 5  # how long the index of CPU builds may take to answer
# GB on disk and to download; a test holds the first against what is installed.
DISK_GB = {"cpu": 2.9, "cuda": 8.0}
DOWNLOAD_GB = {"cpu": 0.9, "cuda": 4.0}
MINUTES = {"cpu": "2 to 5", "cuda": "5 to 15"}


def has_nvidia_gpu() -> bool:
    """Whether the driver of an NVIDIA GPU is there and sees one."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return False
    try:
        done = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "GPU" in done.stdout


def answers(address: str) -> bool:
    """Whether an index answers within some seconds."""
    try:
        with urllib.request.urlopen(f"{address}/torch/", timeout=PROBE_S) as reply:
            return reply.status == 200
    except (OSError, ValueError):  # no network, no such host, an error of the server
        return False


def choose(asked: str) -> "tuple[str, str, str]":
    """The build of torch, the index that it comes from ("": pip's own), and why."""
    if not sys.platform.startswith("linux"):
        if asked == "cuda":
            why = "PyPI has CUDA builds for Linux alone; https://pytorch.org has others"
        else:
            why = "the build that PyPI has for this system"
        return "cpu", "", why
    if asked == "auto" and has_nvidia_gpu():
        return "cuda", "", "an NVIDIA GPU is here"
    if asked == "cuda":
        return "cuda", "", "as asked for"
    why = "as asked for" if asked == "cpu" else "no NVIDIA GPU is here"
    index = os.environ.get("TORCH_CPU_INDEX", CPU_INDEX)
    if answers(index):
        return "cpu", index, why
    return "", "", f"{why}, but {index} does not answer: torch comes from pip's own index"


def pinned(name: str) -> str:
    """The requirement of a package in constraints.txt, such as torch==2.13.0."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(name)}==[^\s;]+", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"install: constraints.txt holds no version of {name}")
    return found[0]


def commands(folder: Path, index: str, replaced: bool) -> "list[list[str]]":
    """What is run, in order; ``replaced``: the build of torch that is there is another."""
    place = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(place), "-m", "pip", "install", "--constraint", "constraints.txt"]
    made = [[sys.executable, "-m", "venv", str(folder)]]
    source = ["--index-url", index] if index else []
    again = ["--force-reinstall"] if replaced else []
    if index or replaced:  # alone: what torch needs comes with the rest, at the pinned versions
        made.append([*pip, "--no-deps", *again, *source, pinned("torch")])
    return [*made, [*pip, "--editable", ".[dev]"]]


def announcement(folder: Path, build: str, why: str) -> str:
    """One line on what will be installed, what it takes, and why this build."""
    sizes = build or "cpu"
    what = {"cpu": "torch's CPU build", "cuda": "torch's CUDA build"}.get(build, "torch")
    larger = "" if build else f", or {DISK_GB['cuda']:g} GB where that index has the CUDA build"
    return (
        f"Installing the course with {what} ({why}) into {folder}: about {DISK_GB[sizes]:g} GB on "
        f"disk and {DOWNLOAD_GB[sizes]:g} GB to download, {MINUTES[sizes]} minutes{larger}"
    )


def refuse(folder: Path, build: str) -> None:
    """Stop before anything is made where the installation cannot succeed."""
    if sys.version_info < LEAST:
        found, least = (".".join(map(str, v)) for v in (sys.version_info[:2], LEAST))
        raise SystemExit(
            f"install: {sys.executable} is Python {found}, the course needs {least} or newer: "
            "make env PYTHON=python3.12, or wherever a newer one is"
        )
    free = shutil.disk_usage(ROOT).free / 1e9
    needed = DISK_GB[build or "cpu"]
    if not folder.exists() and free < needed:
        raise SystemExit(
            f"install: {free:.1f} GB are free at {ROOT}, about {needed:g} GB are needed: make room"
        )


def main() -> int:
    """Announce, then install; the exit code of the first command that failed, or 0."""
    parser = argparse.ArgumentParser(description="Installs the course.")
    parser.add_argument("folder", nargs="?", default=".venv", help="default: %(default)s")
    parser.add_argument("--torch", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run, and stop")
    given = parser.parse_args()
    folder = Path(given.folder)
    build, index, why = choose(given.torch)
    refuse(ROOT / folder, build)
    record = ROOT / folder / ".torch"  # which build was installed
    before = record.read_text(encoding="utf-8") if record.is_file() else ""
    replaced = bool(build and before and before != build)
    print(announcement(folder, build, why), flush=True)
    for command in commands(folder, index, replaced):
        print("+", " ".join(command), flush=True)
        if given.dry_run:
            continue
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if code:
            print(
                f"install: the command above failed (code {code}); nothing else was done",
                file=sys.stderr,
            )
            return code
    if not given.dry_run:
        record.write_text(build or given.torch, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
