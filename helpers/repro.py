"""What makes a run repeatable: seeds, device, hashes, the environment line.

torch is imported inside the functions that need it: the command line asks for hashes alone.
"""

import hashlib
import json
import os
import platform
import random
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import psutil

TYPED = ("course", "papermill", "jupyter", "jupyter-lab", "jupyter-notebook", "pytest")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text.

    Raises ``TypeError`` for what JSON cannot say and ``ValueError`` for NaN and infinity.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def hash_of(value: Any, *, digits: int = 12) -> str:
    """The first ``digits`` hex digits of the SHA-256 of a JSON value.

    >>> hash_of({"rank": 8, "alpha": 16}) == hash_of({"alpha": 16, "rank": 8})
    True
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:digits]


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def code_fingerprint() -> str:
    """A hash of the package's own source: a change of any helper makes earlier artefacts stale."""
    package = Path(__file__).resolve().parent
    files = {path.relative_to(package).as_posix(): path for path in package.rglob("[!.]*.py")}
    return hash_of({name: sha256_file(path) for name, path in files.items()})


def library_versions() -> dict[str, str]:
    """The versions of the libraries that decide numbers."""
    names = ("torch", "transformers", "peft", "numpy", "pillow", "pandas", "faiss-cpu")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def this_command() -> str:
    """The command that started this process, as it can be given again; empty where none is known.

    A lesson's kernel is a process of its own: that of the nearest process above it that was typed.
    """
    try:
        above = [p.cmdline() for p in (psutil.Process(), *psutil.Process().parents())]
    except psutil.Error:
        above = [sys.orig_argv]
    return next(filter(None, map(typed, above)), "")


def typed(arguments: Sequence[str]) -> str:
    """What a user typed of a process's arguments; empty where that is no known command.

    >>> typed(["/env/bin/python", "/env/bin/course", "run", "--only", "01"])
    'course run --only 01'
    """
    for at, argument in enumerate(arguments[:3]):
        name = PurePath(argument).name.removesuffix(".exe")
        name = argument.split(".")[0] if at and arguments[at - 1] == "-m" else name
        if name in TYPED:
            return shlex.join([name, *arguments[at + 1 :]])
    return ""


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, and ask CUDA for deterministic kernels where there is CUDA."""
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for libraries that still use the global state
    torch.manual_seed(seed)
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)


def pick_device(device: str = "auto") -> str:
    """``cuda``, ``mps`` or ``cpu``: the best there is for ``auto``, else the named one.

    Raises ``ValueError`` if the named device is not available here.
    """
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    here = [name for name, there in available.items() if there] + ["cpu"]
    if device == "auto":
        return here[0]
    if device.split(":")[0] not in here:
        raise ValueError(
            f"device {device!r} is not available here (this machine has {', '.join(here)}); "
            "use device='auto'"
        )
    return device
