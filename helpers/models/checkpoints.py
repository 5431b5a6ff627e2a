"""Checkpoints on disk: where a model lies, whether its files are whole, how a library opens it.

A model is a tiny checkpoint of the course, a folder, or a hub id that ``hf download`` has put into
the cache of this machine. All three are opened as a folder: no library asks a network. Nothing here
loads torch, so that a command may look for a model before it starts anything.
"""

import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers import paths

TINY_MODELS = ("tiny-clip", "tiny-siglip")
ELSEWHERE = ("tiny-blip2", "tiny-instructblip")  # tiny checkpoints that are no dual encoders
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # in the order that transformers takes them
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
BESIDE_THEM = (
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt",
)  # fmt: skip
PREPROCESSORS = ("processor_config.json", "preprocessor_config.json")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
POINTER = b"version https://git-lfs.github.com/spec/"


class ModelError(ValueError):
    """A model that cannot be opened, or is of no kind that the course knows."""


@dataclass(frozen=True)
class Checkpoint:
    """A model that was found, as the user named it.

    ``revision`` is the commit of a hub model in the cache; empty: nothing says which it is.
    """

    model: str
    folder: Path
    revision: str = ""

    @property
    def name(self) -> str:
        """What results call it: the hub id, or the last part of the folder's path."""
        return self.model if self.revision else self.folder.name

    def __str__(self) -> str:
        """The model, and where it lies unless the name says that."""
        named = f"model {self.model!r}"
        return named if self.model == str(self.folder) else f"{named} at {self.folder}"

    @property
    def remedy(self) -> str:
        """How to get whole files."""
        if self.revision:
            return f"'hf download {self.model} --force-download' gets it again"
        return "copy or download the checkpoint again, whole"


def find_checkpoint(
    model: str, *, tiny: tuple[str, ...] = TINY_MODELS, file: str = "config.json"
) -> Checkpoint:
    """The folder behind a model's name.

    Parameters
    ----------
    model : str
        A tiny checkpoint, a folder (a relative one is also looked for below the course's root), or
        a hub id.
    tiny : tuple of str
        The tiny checkpoints that a refusal offers.
    file : str
        What a folder has to hold to be a model.

    Raises
    ------
    ModelError
        If nothing lies there, or a hub model is not in the cache.
    """
    if model in (*TINY_MODELS, *ELSEWHERE):
        folder = paths.tiny() / model
        if not (folder / file).is_file():
            raise ModelError(f"{folder} holds no model: make it with 'course pretrain {model}'")
        return Checkpoint(model, folder)
    for place in paths.places(model):
        if model and (place / file).is_file():
            return Checkpoint(model, place)
        if model and place.is_dir():
            raise ModelError(f"{place} is a directory without {file}, so it holds no model")
    if not HUB_ID.fullmatch(model) or model.startswith("."):
        raise ModelError(
            f"no model at {model!r}: give {''.join(f'{name}, ' for name in tiny)}a directory, "
            "or a hub id of the form owner/name"
        )
    folder = _cached(model)
    if folder is None or not (folder / file).is_file():
        raise ModelError(
            f"no model at {model!r}: no such directory is here, and the cache of downloaded models "
            f"({_cache()}) does not hold it; nothing is downloaded while a lesson runs: "
            f"'hf download {model}' gets it, where there is a network"
        )
    return Checkpoint(model, folder, folder.name)


def cached_revision(model: str) -> str:
    """The commit of a hub model in the cache of this machine; empty where there is none."""
    folder = _cached(model) if HUB_ID.fullmatch(model) else None
    return folder.name if folder else ""


def _cached(model: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None


def _cache() -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    return HF_HUB_CACHE


def weight_files(checkpoint: Checkpoint) -> list[Path]:
    """The files of weights that transformers opens: one, or those that an index names.

    Raises
    ------
    ModelError
        If there are none, or an index cannot be read.
    """
    folder = checkpoint.folder
    for name in WEIGHTS:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            _refuse_damage(index, checkpoint)
            names = json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values()
            return [folder / name for name in sorted(set(names))]
    raise ModelError(
        f"{checkpoint} has no weights: there is neither {WEIGHTS[0]} nor "
        f"{WEIGHTS[1]}; {checkpoint.remedy}"
    )


def check_files(checkpoint: Checkpoint, *, folders: tuple[str, ...] = ("",)) -> str:
    """Refuse files that are no more than a name: empty, cut off, or a git-lfs pointer.

    ``folders`` is where tokenizers lie, below the checkpoint's own. Returns the names of the files
    of weights, for messages.

    Raises
    ------
    ModelError
        Naming the file, what is wrong with it, and how to get it.
    """
    read = ("config.json", *PREPROCESSORS, *VOCABULARIES, *BESIDE_THEM)
    places = [checkpoint.folder / folder / name for folder in folders for name in read]
    weights = weight_files(checkpoint)
    for path in [*(place for place in places if place.is_file()), *weights]:
        _refuse_damage(path, checkpoint)
    more = f" and {len(weights) - 1} more" if len(weights) > 1 else ""
    return f"{weights[0].name}{more}"


def _refuse_damage(path: Path, checkpoint: Checkpoint) -> None:
    if not (damage := damage_of(path)):
        return
    remedy = checkpoint.remedy
    if "git-lfs" in damage and not checkpoint.revision:
        remedy = "run 'git lfs pull' there, or get the checkpoint with 'hf download'"
    name = path.relative_to(checkpoint.folder)
    raise ModelError(f"{name} of {checkpoint} {damage}: {remedy}")


def damage_of(path: Path) -> str:
    """What is wrong with a file of a checkpoint or an adapter, after its name; empty: nothing seen.

    Weights are not read, only what says how long they have to be.
    """
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if not size:
        return "is empty (0 bytes)"
    with path.open("rb") as stream:
        head = stream.read(64)
    if head.startswith(POINTER):
        return f"is a git-lfs pointer of {size} bytes, not the file itself"
    if path.suffix == ".json":
        return _damage_of_json(path)
    if path.suffix == ".safetensors":
        return _damage_of_safetensors(path, size)
    if path.suffix == ".bin" and head.startswith(b"PK") and not zipfile.is_zipfile(path):
        return f"was cut off after {size:,} bytes"
    return ""


def _damage_of_json(path: Path) -> str:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # a JSONDecodeError or a UnicodeDecodeError
        return f"is no JSON ({error})"
    return "" if isinstance(found, dict) else "is no JSON object"


def _damage_of_safetensors(path: Path, size: int) -> str:
    """The header says where the last weight ends."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 + length:
            return f"is no safetensors file, or was cut off after {size:,} bytes"
        try:
            header = json.loads(stream.read(length))
            ends = [about["data_offsets"][1] for n, about in header.items() if n != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            return "is no safetensors file"
    whole = 8 + length + max(ends, default=0)
    return "" if size >= whole else f"was cut off: it has {size:,} of {whole:,} bytes"


def opened(kind: Any, checkpoint: Checkpoint, *, what: str, **options: Any) -> Any:
    """``kind.from_pretrained(folder)`` of a class of a library, without its notes and bars.

    ``what`` says which file it is made from, or which part it makes, for the message.

    Raises
    ------
    ModelError
        Whatever the library raises: a damaged file ends in many kinds of error.
    """
    try:
        with _quietly():
            return kind.from_pretrained(str(checkpoint.folder), **options)
    except pickle.UnpicklingError as error:  # its text advises to run what lies there
        raise ModelError(
            f"{what} of {checkpoint} holds something else than weights and is not opened, as such "
            f"a file can run code: get the model with {WEIGHTS[0]}"
        ) from error
    except Exception as error:
        raise ModelError(
            f"{what} of {checkpoint} cannot be opened ({reason(error)}); {checkpoint.remedy}"
        ) from error


def reason(error: Exception) -> str:
    """What a library says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else "no reason is given"
    return first if len(first) <= 300 else f"{first[:297]}..."


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the library's notes and bars: what matters of them is checked here."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
