"""What an adapter remembers of its base, and the comparison that refuses any other."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from helpers.first.models.encoders import Encoder
from helpers.models.checkpoints import ModelError, damage_of
from helpers.repro import hash_of

_PREPROCESSING = (
    "do_convert_rgb", "do_resize", "size", "resample", "do_center_crop", "crop_size",
    "do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std",
)  # fmt: skip
_NAMES = {
    "family": "family",
    "vision_layers": "number of vision layers",
    "text_layers": "number of text layers",
    "vision_width": "width of the vision tower",
    "text_width": "width of the text tower",
    "fingerprint": "weights",
    "preprocessing": "image preprocessing",
    "tokenizer": "tokenizer",
}


class AdapterError(ModelError):
    """An adapter that cannot be trained, saved or opened as asked."""


@dataclass(frozen=True)
class Base:
    """A model that an adapter belongs to.

    ``name`` and ``revision`` are for people and hubs; everything after them must agree. The last
    three are hashes.
    """

    name: str
    revision: str
    family: str
    vision_layers: int
    text_layers: int
    vision_width: int
    text_width: int
    fingerprint: str
    preprocessing: str
    tokenizer: str


@dataclass(frozen=True)
class Record:
    """The content of ``base.json``.

    Attributes
    ----------
    base : Base
        In full precision, whether or not the adapter was trained on quantized weights.
    placement : dict
    files : dict
        The SHA-256 of each file of the adapter.
    quantization : str
        How the base's weights were quantized; empty: they were not.
    """

    base: Base
    placement: dict[str, Any]
    files: dict[str, str]
    quantization: str = ""


def base_of(encoder: Encoder) -> Base:
    """What an adapter has to know of this model."""
    config, processor = encoder.model.config, encoder.processor
    images = processor.image_processor.to_dict()
    return Base(
        encoder.name,
        encoder.revision,
        encoder.family,
        config.vision_config.num_hidden_layers,
        config.text_config.num_hidden_layers,
        config.vision_config.hidden_size,
        config.text_config.hidden_size,
        encoder.fingerprint,
        hash_of(json.loads(json.dumps([[k, images.get(k)] for k in _PREPROCESSING], default=dict))),
        _tokenizer_hash(processor.tokenizer),
    )


def check_base(recorded: Base, encoder: Encoder, folder: Path) -> None:
    """Refuse a model that is not the recorded base, naming the first thing that differs.

    Raises
    ------
    AdapterError
    """
    here = asdict(base_of(encoder))
    for name, words in _NAMES.items():
        wanted, found = getattr(recorded, name), here[name]
        if wanted != found:
            raise AdapterError(
                f"adapter {folder} belongs to {recorded.name!r}, not to {encoder.name!r}: "
                f"the {words} differs ({wanted} there, {found} here); open it on its own base"
            )


def read_base(path: Path) -> Record:
    """Read ``base.json``.

    Raises
    ------
    AdapterError
        If it is missing or is not what :func:`helpers.first.models.lora.adapter_files` writes.
    """
    if not path.parent.is_dir():
        raise AdapterError(
            f"no adapter at {path.parent}: give the folder of one, as lesson 04 prints it"
        )
    if not path.is_file():
        raise AdapterError(
            f"{path.parent} has no {path.name}, so nothing says which model the adapter there "
            "belongs to: give the folder of an adapter that lesson 04 has trained, whole"
        )
    if damage := damage_of(path):
        raise AdapterError(f"{path} {damage}: save or copy the adapter again")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        values = {f.name: content["base"][f.name] for f in fields(Base)}
        parts = dict(content["placement"]), dict(content["files"])
        return Record(Base(**values), *parts, str(content.get("quantization", "")))
    except (ValueError, KeyError, TypeError) as error:
        raise AdapterError(
            f"{path} does not say what the adapter belongs to ({error} is missing or wrong): save "
            "or copy the adapter again"
        ) from error


def _tokenizer_hash(tokenizer: Any) -> str:
    """Of vocabulary and rules; padding and truncation are set call by call."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return hash_of(sorted(tokenizer.get_vocab().items()))
    rules = json.loads(backend.to_str())
    return hash_of({k: v for k, v in rules.items() if k not in ("truncation", "padding")})
