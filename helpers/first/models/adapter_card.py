"""The model card of an adapter, filled in from the run that made it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import nn

from helpers.first.models.adapter_base import Base
from helpers.first.models.placement import Placement, count_parameters
from helpers.first.models.quantized import QUANTIZATION

_TEXT = """---
base_model: {name}
library_name: {library}
tags: [{method}, {family}, image-text-retrieval, course]
---

# An adapter for {name}

{trainable:,} of {total:,} parameters ({share:.2%}) were trained{data}.

## Where it sits

| | |
|---|---|
{placement}

## How it was trained

{training}

## How to open it

{opening}

## Base

Family {family}, {vision_layers} vision and {text_layers} text layers, revision {revision}, weights
`{fingerprint}`. Texts are read {texts}. `base.json` holds the hashes of weights, preprocessing and tokenizer.

## Limits

Made in a course, for one domain. What it learned of that domain, the base's other skills may have
paid for: measure both.
"""

_PEFT = """```python
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModel

base = AutoModel.from_pretrained("{name}")  # or the folder that holds it
model = PeftModel.from_pretrained(base, "this folder").eval()
scalars = load_file("this folder/scalars.safetensors")  # peft does not know them
base.load_state_dict(scalars, strict=False)
```

In the course, `load_encoder("{name}", adapter="this folder")` does both and refuses another base.
"""
_QUANTIZED = """
It was trained on a base quantized as *{quantization}*. The lines above put it on the base in full
precision, which is near but not the same; `load_encoder` quantizes the base again.
"""
_PROMPT = """peft has no folder for tokens inside a dual encoder. In the course,
`load_encoder("{name}", adapter="this folder")` puts them in and refuses another base.
"""


def card_text(
    base: Base,
    placement: Placement,
    model: nn.Module,
    training: Mapping[str, Any],
    data: str,
    *,
    texts: str,
) -> str:
    """The card in Markdown; ``training`` is shown as a table, ``texts`` says how texts are read."""
    counts, prompt = count_parameters(model), placement.method == "prompt"
    opening = _PROMPT if prompt else _PEFT
    if placement.method == "qlora":
        opening += _QUANTIZED
    return _TEXT.format(
        **{**asdict(base), "revision": base.revision or "not recorded"},
        method=placement.method,
        library="transformers" if prompt else "peft",
        opening=opening.format(name=base.name, quantization=QUANTIZATION).rstrip(),
        texts=texts,
        trainable=counts.trainable,
        total=counts.total,
        share=counts.share,
        data=f" on {data}" if data else "",
        placement=_rows(asdict(placement)),
        training=f"| | |\n|---|---|\n{_rows(training)}" if training else "Not recorded.",
    )


def _rows(values: Mapping[str, Any]) -> str:
    return "\n".join(f"| {name.replace('_', ' ')} | {value} |" for name, value in values.items())
