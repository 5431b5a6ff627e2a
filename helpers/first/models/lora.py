"""Adapters: put on a model, checked, written as an ordinary peft folder, put back on the same base.

peft knows the low-rank weights and retrained heads; it drops logit scale and bias, and loads in
silence on another model of the same shapes. Two more files mend that: ``scalars.safetensors`` and
``base.json``. The tokens of ``method="prompt"`` are no peft adapter: they lie in
``prompt.safetensors``, which only this module opens.
"""

import copy
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from helpers.first.models.adapter_base import AdapterError, Base, base_of, check_base, read_base
from helpers.first.models.adapter_card import card_text
from helpers.first.models.encoders import Encoder
from helpers.first.models.methods import (
    put_back,
    put_on,
    quantization_of,
    weight_files,
    write_weights,
)
from helpers.first.models.placement import Placement, PlacementError
from helpers.first.models.quantized import restore
from helpers.models.checkpoints import damage_of
from helpers.repro import hash_of, library_versions, sha256_file
from helpers.store.zones import write_file_atomically

__all__ = [
    "Adapted", "AdapterError", "adapt", "adapter_files", "load_adapter", "merge",
    "require_gradients", "save_adapter",
]  # fmt: skip

SCALARS = ("logit_scale", "logit_bias")
SCALAR_FILE, BASE_FILE = "scalars.safetensors", "base.json"


@dataclass(frozen=True)
class Adapted:
    """A model with an adapter on it.

    Attributes
    ----------
    encoder : Encoder
        Encodes with the adapter; shares its frozen weights with the base's encoder, where they
        are not quantized.
    peft : peft.PeftModel or None
        The same network, as peft sees it; None for ``method="prompt"``.
    placement : Placement
    base : Base
        What the adapter belongs to.
    """

    encoder: Encoder
    peft: PeftModel | None
    placement: Placement
    base: Base


def adapt(
    encoder: Encoder,
    placement: Placement,
    *,
    train_scalars: Sequence[str] = ("logit_scale",),
    seed: int = 42,
) -> Adapted:
    """Put a fresh adapter on a model; the encoder that is given stays what it is.

    A fresh LoRA or DoRA changes no embedding; fresh tokens of a prompt do, and so do the quantized
    weights under ``qlora``.

    Parameters
    ----------
    encoder : Encoder
        In ``fp32``; training in bf16 is a matter of autocast.
    placement : Placement
    train_scalars : sequence of str
        ``logit_scale`` and, for a SigLIP under the sigmoid loss, ``logit_bias``; empty: both keep
        their values. InfoNCE gives the bias no gradient.
    seed : int
        Of the fresh weights.

    Raises
    ------
    AdapterError
        If a scalar is unknown, the encoder is not in fp32, or its device cannot quantize.
    PlacementError
        If the placement does not fit the model.

    Examples
    --------
    >>> adapted = adapt(load_encoder("tiny-siglip"), Placement(rank=8))  # doctest: +SKIP
    """
    there = [name for name in SCALARS if hasattr(encoder.model, name)]
    if unknown := [name for name in train_scalars if name not in there]:
        raise AdapterError(
            f"train_scalars: {encoder.name} has no {unknown[0]!r}; use {' and '.join(there)}"
        )
    if encoder.precision != "fp32":
        raise AdapterError(
            f"{encoder.name} was opened in {encoder.precision}: open it in fp32 to train an adapter"
        )
    base = base_of(encoder)
    model = _sharing_frozen_weights(encoder.model)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        wrapped = put_on(model, placement, device=encoder.device, base=base)
    for name in train_scalars:
        getattr(model, name).requires_grad_(True)
    model.eval()
    # No fingerprint: the weights are about to change.
    return Adapted(replace(encoder, model=model, fingerprint=""), wrapped, placement, base)


def require_gradients(model: nn.Module) -> None:
    """Check after a backward pass that it reached every trainable parameter.

    A gradient of zeros is none to worry about: LoRA's first factor has one before the first step.

    Raises
    ------
    AdapterError
        Naming the parameters that have no gradient.
    """
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    if without:
        more = f" and {len(without) - 1} more" if len(without) > 1 else ""
        raise AdapterError(
            f"trainable parameter {without[0]!r}{more} got no gradient: the loss does not depend "
            "on it. Freeze it (train_scalars, heads), or place the adapter elsewhere"
        )


def adapter_files(
    adapted: Adapted, *, training: Mapping[str, Any] | None = None, data: str = ""
) -> dict[str, bytes]:
    """The files of an adapter's folder by name, for a folder or a zone.

    Parameters
    ----------
    adapted : Adapted
    training : mapping, optional
        JSON values on how it was trained, for the card.
    data : str
        A sentence on the data, for the card.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = adapted.encoder.model
        write_weights(folder, model, adapted.peft, adapted.placement)
        save_file(_scalars(model), folder / SCALAR_FILE)
        record = {
            "schema": 1,
            "base": asdict(adapted.base),
            "texts": adapted.encoder.text_rules,
            "quantization": quantization_of(adapted.placement),
            "placement": asdict(adapted.placement),
            "files": {name: sha256_file(folder / name) for name in _hashed(adapted.placement)},
            "versions": library_versions(),
        }
        (folder / BASE_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        texts = adapted.encoder.text_rules
        card = card_text(adapted.base, adapted.placement, model, training or {}, data, texts=texts)
        (folder / "README.md").write_text(card, encoding="utf-8")
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def save_adapter(
    adapted: Adapted,
    folder: Path,
    *,
    training: Mapping[str, Any] | None = None,
    data: str = "",
) -> None:
    """Write an adapter: a folder that plain ``PeftModel.from_pretrained(base, folder)`` opens.

    Except for a prompt, for which peft has no folder; :func:`load_adapter` opens every method.
    Under ``qlora`` the folder holds no quantized weights: peft puts the adapter on whatever base it
    is given, :func:`load_adapter` quantizes the base again first.

    ``base.json`` is written last and holds the hashes of the others, so that a folder that was cut
    short, or mixes two adapters, is refused. See :func:`adapter_files`.
    """
    files = adapter_files(adapted, training=training, data=data)
    record = files.pop(BASE_FILE)
    for name, content in files.items():
        write_file_atomically(folder / name, content)
    write_file_atomically(folder / BASE_FILE, record)


def load_adapter(encoder: Encoder, folder: Path) -> Adapted:
    """Put a saved adapter on its base, scalars included; the encoder that is given stays as it is.

    Raises
    ------
    AdapterError
        If a file is missing or differs from what was written, if ``encoder`` is not the base
        (another family, depth or width, other weights, another preprocessing or tokenizer), or if
        the base was quantized in another way.
    """
    folder = Path(folder)
    record = read_base(folder / BASE_FILE)
    for name, digest in record.files.items():
        if not (folder / name).is_file():
            raise AdapterError(f"adapter {folder} has no {name}: save or copy it again, whole")
        if damage := damage_of(folder / name):
            raise AdapterError(f"{folder / name} {damage}: save or copy the adapter again")
        if sha256_file(folder / name) != digest:
            raise AdapterError(
                f"{folder / name} differs from what was saved: save or copy the adapter again"
            )
    check_base(record.base, encoder, folder)
    try:
        placement = Placement(**record.placement)
    except (PlacementError, TypeError) as error:
        raise AdapterError(
            f"{folder / BASE_FILE} names a placement that is not known here ({error}): train the "
            "adapter again"
        ) from error
    if record.quantization != quantization_of(placement):
        raise AdapterError(
            f"adapter {folder} was trained on a base quantized as {record.quantization!r}; here it "
            f"would be {quantization_of(placement)!r}: train it again"
        )
    model = _sharing_frozen_weights(encoder.model)
    wrapped = put_back(model, placement, folder, device=encoder.device)
    _set_scalars(model, folder / SCALAR_FILE)
    model.eval().requires_grad_(False)
    parts = [encoder.fingerprint, *(record.files[name] for name in _hashed(placement))]
    adapted = replace(encoder, model=model, fingerprint=hash_of(parts, digits=16))
    return Adapted(adapted, wrapped, placement, record.base)


def merge(adapted: Adapted) -> Encoder:
    """A copy of the model with the adapter's update added to its weights: no extra work to encode.

    The rows differ from the adapted encoder's in the last bits. It has no fingerprint of its own.
    Under ``qlora`` the merged model is in fp32, four times as large: adding the update to the whole
    numbers would round it away. Its weights are the quantized ones restored; its activations are no
    longer rounded, so that its rows differ a little more.

    Raises
    ------
    AdapterError
        For a prompt: tokens are no update of weights.
    """
    if adapted.peft is None:
        raise AdapterError(
            f"the {adapted.placement.rank} tokens of a prompt cannot be merged into weights: "
            "encode with the adapted model; it costs the longer sequences"
        )
    whole = copy.deepcopy(adapted.peft)
    if adapted.placement.method == "qlora":
        restore(whole)
    whole = whole.merge_and_unload().eval().requires_grad_(False)
    return replace(adapted.encoder, model=whole, fingerprint="")


def _hashed(placement: Placement) -> tuple[str, ...]:
    """The files whose hashes ``base.json`` keeps."""
    first, *others = weight_files(placement)
    return first, SCALAR_FILE, *others


def _sharing_frozen_weights(model: PreTrainedModel) -> PreTrainedModel:
    """A copy to put an adapter on: its own modules and scalars, the same tensors for the rest."""
    shared = {id(p): p for name, p in model.named_parameters() if name not in SCALARS}
    return copy.deepcopy(model, shared).requires_grad_(False)


def _scalars(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    there = {name: getattr(model, name) for name in SCALARS if hasattr(model, name)}
    return {name: value.detach().cpu().contiguous() for name, value in there.items()}


def _set_scalars(model: PreTrainedModel, path: Path) -> None:
    try:
        scalars = load_file(path)
    except SafetensorError as error:
        raise AdapterError(f"{path} is no safetensors file ({error}): save it again") from error
    if sorted(scalars) != sorted(_scalars(model)):
        raise AdapterError(f"{path} holds {sorted(scalars)}, the model {sorted(_scalars(model))}")
    with torch.no_grad():
        for name, value in scalars.items():
            getattr(model, name).copy_(value)
