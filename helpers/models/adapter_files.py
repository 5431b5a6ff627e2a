"""What an adapter's folder says of its base: ``base.json``, the model card, and who is refused.

peft loads an adapter in silence on another model of the same shapes, or on a shallower one. So
``base.json`` holds hashes of the base's weights, preprocessing and tokenizer, and those of the
adapter's own files: a folder that was cut short, or mixes two adapters, is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from helpers.models.checkpoints import ModelError, damage_of
from helpers.models.encoder import Encoder
from helpers.models.placement import trainable_counts
from helpers.repro import hash_of, sha256_file

SCALAR_FILE, BASE_FILE, PROMPT_FILE = "scalars.safetensors", "base.json", "prompt.safetensors"
PEFT_FILES = ("adapter_model.safetensors", "adapter_config.json")
PREPROCESSING = (
    "do_convert_rgb", "do_resize", "size", "resample", "do_center_crop", "crop_size",
    "do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std",
)  # fmt: skip
CHECKED = {
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


def base_of(encoder: Encoder) -> dict[str, Any]:
    """What an adapter has to know of its base; name and revision are for people and hubs."""
    config, processor = encoder.model.config, encoder.processor
    images = processor.image_processor.to_dict()
    settings = [[name, images.get(name)] for name in PREPROCESSING]
    return {
        "name": encoder.name,
        "revision": encoder.revision,
        "family": encoder.family,
        "vision_layers": config.vision_config.num_hidden_layers,
        "text_layers": config.text_config.num_hidden_layers,
        "vision_width": config.vision_config.hidden_size,
        "text_width": config.text_config.hidden_size,
        "fingerprint": encoder.fingerprint,
        "preprocessing": hash_of(json.loads(json.dumps(settings, default=dict))),
        "tokenizer": hash_of(_rules(processor.tokenizer)),
    }


def _rules(tokenizer: Any) -> Any:
    """Vocabulary and rules; padding and truncation are set call by call."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return sorted(tokenizer.get_vocab().items())
    rules = json.loads(backend.to_str())
    return {k: v for k, v in rules.items() if k not in ("truncation", "padding")}


def check_base(recorded: Mapping[str, Any], encoder: Encoder, folder: Path) -> None:
    """Refuse a model that is not the recorded base, naming the first thing that differs."""
    here = base_of(encoder)
    for name, words in CHECKED.items():
        if recorded[name] != here[name]:
            raise AdapterError(
                f"adapter {folder} belongs to {recorded['name']!r}, not to {encoder.name!r}: the "
                f"{words} differs ({recorded[name]} there, {here[name]} here); open it on its own "
                "base"
            )


def read_record(folder: Path) -> dict[str, Any]:
    """The content of ``base.json``, after a look at the files that it names.

    Raises ``AdapterError`` if something is missing or differs from what was saved.
    """
    path = folder / BASE_FILE
    if not folder.is_dir():
        raise AdapterError(
            f"no adapter at {folder}: give the folder of one, as lesson 04 prints it"
        )
    if not path.is_file():
        raise AdapterError(
            f"{folder} has no {BASE_FILE}, so nothing says which model the adapter there "
            "belongs to: give the folder of an adapter that lesson 04 has trained, whole"
        )
    again = "save or copy the adapter again"
    if damage := damage_of(path):
        raise AdapterError(f"{path} {damage}: {again}")
    record = json.loads(path.read_text(encoding="utf-8"))
    try:
        _ = [record["base"][name] for name in ("name", *CHECKED)]
        _ = dict(record["placement"]), dict(record["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise AdapterError(
            f"{path} does not say what the adapter belongs to ({error} is missing or wrong): "
            f"{again}"
        ) from error
    for name, digest in record["files"].items():
        damage = damage_of(folder / name)
        if not damage and sha256_file(folder / name) != digest:
            damage = "differs from what was saved"
        if damage:
            raise AdapterError(f"{folder / name} {damage}: {again}")
    return record


def card_text(
    encoder: Encoder, base: Mapping[str, Any], training: Mapping[str, Any], data: str
) -> str:
    """The model card in Markdown, from the run that made the adapter."""
    placement, counts = encoder.adapter.placement, trainable_counts(encoder.model)
    share = counts.trainable / counts.total
    trained = f"{counts.trainable:,} of {counts.total:,} parameters ({share:.2%})"
    return CARD.format(
        **{**base, "revision": base["revision"] or "unknown"},
        texts=encoder.text_rules, method=placement.method,
        library="transformers" if placement.method == "prompt" else "peft",
        trained=trained + (f" were trained on {data}." if data else " were trained."),
        placement=_table(asdict(placement)),
        training=_table(training) if training else "Not recorded.",
        opening=(PROMPT if placement.method == "prompt" else PEFT).format(**base),
    )  # fmt: skip


def _table(values: Mapping[str, Any]) -> str:
    rows = [f"| {name.replace('_', ' ')} | {value} |" for name, value in values.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


CARD = """---
base_model: {name}
library_name: {library}
tags: [{method}, {family}, image-text-retrieval, course]
---

# An adapter for {name}

{trained}

## Placement

{placement}

## Training

{training}

## How to open it

{opening}
## Base

Family {family}, {vision_layers} vision and {text_layers} text layers, revision {revision},
weights `{fingerprint}`. Texts are read {texts}. `base.json` holds the hashes of weights,
preprocessing and tokenizer.

## Limits

Made in a course, for one domain. Fine-tuning on one domain can cost accuracy on others: measure
both.
"""
PEFT = """```python
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModel

base = AutoModel.from_pretrained("{name}")  # or the folder that holds it
model = PeftModel.from_pretrained(base, "this folder").eval()
base.load_state_dict(load_file("this folder/scalars.safetensors"), strict=False)
```

`helpers.models.lora.load_adapter` does both and refuses another base. An adapter of the method
`qlora` was trained on a base in 8 bits, which only `load_adapter` makes again.
"""
PROMPT = """peft has no folder for tokens inside a dual encoder:
`helpers.models.lora.load_adapter` puts them in and refuses another base.
"""
