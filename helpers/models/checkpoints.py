"""Checkpoints on disk: where a model lies, whether its files are whole and belong together.

A model is a tiny checkpoint of the course, a folder, or a hub id that ``hf download`` has put into
the cache of this machine. All three are opened as a folder: no library asks a network. Nothing here
loads torch, so that a command may look for a model before it starts anything.

Libraries open parts that do not belong together in silence: an empty tokenizer where none lies
there, tokens that the model has no embedding for, images of another size. Each is refused here,
once, with the numbers and the file.
"""

import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from PIL import Image

from helpers import paths

TINY_MODELS = ("tiny-clip", "tiny-siglip")
ELSEWHERE = ("tiny-siglip-cars", "tiny-blip2", "tiny-instructblip")  # made for one lesson each
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # in the order that transformers takes them
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
BESIDE_THEM = (
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt",
)  # fmt: skip
PREPROCESSORS = ("processor_config.json", "preprocessor_config.json")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
POINTER = b"version https://git-lfs.github.com/spec/"
TABLE_STEP = 128  # tables of token embeddings are often rounded up to a multiple of 64 or 128
LAYER = re.compile(r"encoder\.layers?\.\d+\.")


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

    ``model`` is a tiny checkpoint, a folder (a relative one is also looked for below the course's
    root) or a hub id, ``tiny`` what a refusal offers, ``file`` what a folder has to hold to be a
    model. Raises ``ModelError`` if nothing lies there, or a hub model is not in the cache.
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
        from huggingface_hub.constants import HF_HUB_CACHE

        raise ModelError(
            f"no model at {model!r}: no such directory is here, and the cache of downloaded models "
            f"({HF_HUB_CACHE}) does not hold it; nothing is downloaded while a lesson runs: "
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


def weight_files(checkpoint: Checkpoint) -> list[Path]:
    """The files of weights that transformers opens; ``ModelError`` if there is none to read."""
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
    of weights, for messages. ``ModelError`` names the file, what is wrong, and how to get it.
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
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:  # a JSONDecodeError or a UnicodeDecodeError
            return f"is no JSON ({error})"
        return "" if isinstance(found, dict) else "is no JSON object"
    if path.suffix == ".safetensors":
        return _damage_of_safetensors(path, size)
    if path.suffix == ".bin" and head.startswith(b"PK") and not zipfile.is_zipfile(path):
        return f"was cut off after {size:,} bytes"
    return ""


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

    ``what`` says which file it is made from, or which part it makes, for the message. Whatever the
    library raises becomes a ``ModelError``: a damaged file ends in many kinds of error.
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


def check_filled(loaded: dict[str, Any], checkpoint: Checkpoint) -> None:
    """Refuse weights and a configuration that belong to two models.

    ``loaded`` is the loading info of ``from_pretrained``. Raises ``ModelError`` if a weight is
    missing, is of another shape, or is of a layer that the model has not.
    """
    for name, there, here in sorted(loaded["mismatched_keys"]):
        raise ModelError(
            f"the weights of {checkpoint} do not fit its config.json: {name} is {tuple(there)} in "
            f"the weights and {tuple(here)} by config.json, so one of them is of another model; "
            f"{checkpoint.remedy}"
        )
    if missing := sorted(loaded["missing_keys"]):
        raise ModelError(
            f"the weights of {checkpoint} do not fill its configuration: {missing[0]} and "
            f"{len(missing) - 1} more are missing; {checkpoint.remedy}"
        )
    if more := sorted(name for name in loaded["unexpected_keys"] if LAYER.search(name)):
        raise ModelError(
            f"the weights of {checkpoint} hold layers that its config.json does not name: "
            f"{more[0]} and {len(more) - 1} more; one of the two files is of another model; "
            f"{checkpoint.remedy}"
        )


def open_processor(checkpoint: Checkpoint, config: Any) -> Any:
    """Tokenizer and preprocessor of a dual encoder, as its family was trained with them.

    Every SigLIP was trained on texts in lower case; where its tokenizer keeps capitals (SigLIP 2
    has Gemma's), it lowers them from here on. ``ModelError`` if a part belongs to another model.
    """
    from transformers import AutoProcessor

    processor = open_parts(checkpoint, AutoProcessor)
    check_tokens(processor.tokenizer, config.text_config.vocab_size, checkpoint)
    if config.model_type == "siglip":
        _lower_texts(processor.tokenizer, checkpoint)
    else:
        _check_end(processor.tokenizer, config, checkpoint)
    return processor


def open_parts(checkpoint: Checkpoint, kind: Any) -> Any:
    """A processor of a class of a library; ``ModelError`` if one of its two parts is not there."""
    find_vocabulary(checkpoint)
    if not any((checkpoint.folder / name).is_file() for name in PREPROCESSORS):
        raise ModelError(
            f"{checkpoint} has no preprocessor: neither {' nor '.join(PREPROCESSORS)} lies beside "
            f"its weights; {checkpoint.remedy}"
        )
    processor = opened(kind, checkpoint, what="tokenizer or preprocessor")
    for part, files in (("tokenizer", VOCABULARIES), ("image_processor", PREPROCESSORS)):
        if getattr(processor, part, None) is None:
            raise ModelError(
                f"{checkpoint} has no complete processor: its {part.replace('_', ' ')} "
                f"({' or '.join(files)}) makes none; {checkpoint.remedy}"
            )
    return processor


def find_vocabulary(checkpoint: Checkpoint, folder: str = "") -> str:
    """The names of the files with a tokenizer's tokens, in a folder below the checkpoint's.

    ``ModelError`` if there are none: transformers makes an empty tokenizer in silence.
    """
    place, where = checkpoint.folder / folder, f"{folder} of {checkpoint}".removeprefix(" of ")
    found = [name for name in VOCABULARIES if (place / name).is_file()]
    if not found:
        raise ModelError(
            f"{where} has no tokenizer: none of {', '.join(VOCABULARIES)} lies beside its "
            f"weights; {checkpoint.remedy}"
        )
    if found == ["vocab.json"] and not (place / "merges.txt").is_file():
        raise ModelError(
            f"{where} has no whole tokenizer: merges.txt does not lie beside vocab.json; "
            f"{checkpoint.remedy}"
        )
    return " and ".join(found)


def check_tokens(tokenizer: Any, rows: int, checkpoint: Checkpoint, folder: str = "") -> None:
    """Refuse a tokenizer whose tokens are not the ``rows`` of the model's table of embeddings."""
    where = f"in {folder} of {checkpoint}" if folder else f"of {checkpoint}"
    try:
        known = 1 + max(tokenizer.get_vocab().values(), default=-1)
    except Exception as error:
        raise ModelError(f"the tokenizer {where} cannot be read ({reason(error)})") from error
    rounded = -(-known // TABLE_STEP) * TABLE_STEP
    if known > rows or rows > rounded:
        raise ModelError(
            f"the tokenizer {where} is of another model: it has {known:,} tokens, the "
            f"model {rows:,}; put the model's own {find_vocabulary(checkpoint, folder)} there"
        )


def _check_end(tokenizer: Any, config: Any, checkpoint: Checkpoint) -> None:
    """CLIP reads a text at its end token: the tokenizer has to write that one.

    Configurations from before 2023 name token 2; for them CLIP takes the greatest number.
    """
    ids, end = tokenizer("a soup")["input_ids"], config.text_config.eos_token_id
    if end == 2 and config.model_type == "clip":
        end = max(ids)
    if ids[-1] != end:
        raise ModelError(
            f"the tokenizer of {checkpoint} ends a text with "
            f"token {ids[-1]}, the model reads it at token {end}: put the model's own tokenizer "
            "files there"
        )


def check_pixels(image_processor: Any, px: int, checkpoint: Checkpoint) -> None:
    """Refuse a preprocessor that makes pictures of another size than the model takes, a side."""
    try:
        made = image_processor(images=[Image.new("RGB", (px + 3, px + 1))], return_tensors="np")
        shape = tuple(made["pixel_values"].shape)
    except Exception as error:
        raise ModelError(
            f"the preprocessor of {checkpoint} makes no picture ({reason(error)})"
        ) from error
    if shape != (1, 3, px, px):
        found = next(n for n in PREPROCESSORS if (checkpoint.folder / n).is_file())
        sides = " x ".join(map(str, shape[2:]))
        raise ModelError(
            f"the preprocessor of {checkpoint} is of another model: it makes pictures of {sides} "
            f"pixels, the model takes {px} x {px}; put the model's own {found} there"
        )


def lowers(tokenizer: Any) -> bool:
    """Whether capitals and small letters give the same tokens."""
    both = [ascii_uppercase, ascii_lowercase]
    capitals, small = tokenizer(both, truncation=False, verbose=False)["input_ids"]
    return capitals == small


def _lower_texts(tokenizer: Any, checkpoint: Checkpoint) -> None:
    """Make a tokenizer lower its texts, in place, unless it does; ``ModelError`` if it cannot."""
    if lowers(tokenizer):
        return
    if backend := getattr(tokenizer, "backend_tokenizer", None):
        from tokenizers import normalizers

        first = [normalizers.Lowercase(), *filter(None, [backend.normalizer])]
        backend.normalizer = normalizers.Sequence(first)
    elif hasattr(tokenizer, "do_lower_case"):
        tokenizer.do_lower_case = True
    if not lowers(tokenizer):
        raise ModelError(
            f"the tokenizer of {checkpoint} keeps capitals, "
            "and the model was trained on small letters: put the model's own tokenizer files there"
        )
