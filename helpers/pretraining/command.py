"""``course pretrain``: what all pretrainings share, their options and a folder replaced whole."""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from helpers import paths
from helpers.models.checkpoints import ELSEWHERE, TINY_MODELS
from helpers.repro import sha256_file

RECORD = "training.json"  # no checkpoint of the course is without it
FILES = {
    "README.md", "config.json", "generation_config.json", "model.safetensors",
    "preprocessor_config.json", "processor_config.json", "qformer_tokenizer",
    "special_tokens_map.json", "start.safetensors", "tokenizer.json", "tokenizer_config.json",
    RECORD,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Make one of the tiny checkpoints anew."""
    parser = argparse.ArgumentParser(
        prog="course pretrain",
        description="Make one of the course's small checkpoints anew, from seeds alone. "
        "'course pretrain MODEL --help' shows its options.",
    )
    parser.add_argument("model", choices=(*TINY_MODELS, *ELSEWHERE))
    argv = list(sys.argv[1:] if argv is None else argv)
    model = parser.parse_args(argv[:1]).model
    if model in TINY_MODELS:
        from helpers.pretraining.dual_encoder import main as pretrain

        return pretrain(argv)
    if model == "tiny-siglip-cars":
        from helpers.pretraining.cars import main as pretrain
    elif model == "tiny-blip2":
        from helpers.pretraining.blip2 import main as pretrain
    else:
        from helpers.pretraining.instructblip import main as pretrain
    return pretrain(argv[1:])


def read_command(model: str, argv: Sequence[str]) -> tuple[int | None, Path]:
    """The options of ``course pretrain MODEL``: steps, None for all of them, and the folder.

    Ends the program with a message, before anything is drawn, where an option is wrong or the
    folder is not one to write a checkpoint to.
    """
    parser = argparse.ArgumentParser(
        prog=f"course pretrain {model}",
        description=f"Make {model} anew, from seeds alone. Without --out it takes the place of the "
        "course's own checkpoint, on which every study stands.",
    )
    parser.add_argument("--out", type=Path, help=f"folder to write (default: data/tiny/{model})")
    parser.add_argument("--steps", type=int, help="fewer steps, to try it out (needs --out)")
    given = parser.parse_args(argv)
    if given.steps is not None and (given.out is None or given.steps < 1):
        parser.error("--steps takes a positive number and needs --out: the course's own is frozen")
    folder = paths.fresh(given.out) if given.out else paths.tiny() / model
    if problem := obstacle(folder):
        parser.error(f"--out: {problem}")
    return given.steps, folder


def obstacle(folder: Path) -> str:
    """Why a checkpoint cannot be written to a folder; empty: it can, for all that is seen now.

    Only what is empty or a checkpoint already is replaced: whatever else lies there would be lost.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir():
        return f"{place} is a file; name a folder"
    if not os.access(place, os.W_OK):
        return f"nothing may be written to {place}; name another folder"
    if place != folder:
        return ""
    found = {path.name for path in folder.iterdir()}
    if found and (RECORD not in found or found - FILES):
        other = min(found - FILES or found)
        return (
            f"{folder} holds {other!r} and would be replaced whole; name a new or an empty folder, "
            "or one with a checkpoint of the course and nothing else"
        )
    return ""


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` to write a checkpoint to; in the end it takes its place.

    Raises
    ------
    FileExistsError
        If by then something else lies in ``folder``; what was written stays beside it.
    """
    staging = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    yield staging
    if problem := obstacle(folder):
        raise FileExistsError(f"{problem}. The checkpoint is in {staging}: move it where you like")
    shutil.rmtree(folder, ignore_errors=True)
    staging.rename(folder)


def say(name: str, folder: Path, minutes: float, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Print what was written, and hit@10."""
    weights = sha256_file(folder / "model.safetensors")
    print(f"{name}: {minutes:.1f} minutes, weights {weights[:16]}")
    for what, one in scores.items():
        if what.endswith("hit@10"):
            print(f"  {what} {one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]")
