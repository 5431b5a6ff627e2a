"""Adapters: placed on a model, saved as an ordinary peft folder, put back on the same base.

peft knows the low-rank weights and retrained heads; it drops logit scale and bias, and loads in
silence on another model of the same shapes. Two more files mend that: ``scalars.safetensors`` and
``base.json``. Learned tokens (``method="prompt"``) are no peft adapter: ``prompt.safetensors``.
"""

import copy
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from helpers.models import methods
from helpers.models.adapter_files import (
    BASE_FILE,
    PEFT_FILES,
    PROMPT_FILE,
    SCALAR_FILE,
    AdapterError,
    base_of,
    card_text,
    check_base,
    read_record,
)
from helpers.models.encoder import FAMILIES, Encoder
from helpers.models.placement import (
    Placement,
    PlacementError,
    adapted_layers,
    target_pattern,
)
from helpers.repro import hash_of, library_versions, sha256_file
from helpers.store.zones import write_file_atomically

SCALARS = ("logit_scale", "logit_bias")


@dataclass(frozen=True)
class Adapter:
    """What is on an adapted encoder (``encoder.adapter``).

    Attributes
    ----------
    placement : Placement
    base : Encoder
        The frozen model below it; it shares the weights that are not trained.
    peft : peft.PeftModel or None
        The same network as peft sees it; None for ``prompt`` and ``full``.
    """

    placement: Placement
    base: Encoder
    peft: PeftModel | None = None


def adapt(
    encoder: Encoder,
    placement: Placement,
    *,
    seed: int = 42,
    scalars: Sequence[str] = ("logit_scale",),
) -> Encoder:
    """A copy of a model with a fresh adapter; frozen weights are shared, the original stays.

    A fresh LoRA or DoRA changes no embedding; fresh tokens do, and so do the quantized weights
    under ``qlora``.

    Parameters
    ----------
    encoder : Encoder
        In ``fp32``; training in bf16 is a matter of autocast.
    placement : Placement
    seed : int
        Of the fresh weights.
    scalars : sequence of str
        Which of ``logit_scale`` and ``logit_bias`` are trained. InfoNCE gives the bias no gradient.

    Raises
    ------
    AdapterError
        If a scalar is unknown, the encoder is not in fp32, or its device cannot quantize.
    PlacementError
        If the placement does not fit the model.
    """
    present = [name for name in SCALARS if hasattr(encoder.model, name)]
    if unknown := [name for name in scalars if name not in present]:
        raise AdapterError(
            f"scalars: {encoder.name} has no {unknown[0]!r}; use {' and '.join(present)}"
        )
    if encoder.precision != "fp32":
        raise AdapterError(
            f"{encoder.name} was opened in {encoder.precision}: open it in fp32 to train an adapter"
        )
    model = _copy(encoder.model, placement)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        wrapped = _place(model, placement, encoder)
    for name in scalars:
        getattr(model, name).requires_grad_(True)
    adapter = Adapter(placement, encoder, wrapped)
    # No fingerprint: the weights are about to change.
    return replace(encoder, model=model.eval(), fingerprint="", adapter=adapter)


def adopt(encoder: Encoder, wrapped: PeftModel, placement: Placement) -> Encoder:
    """The encoder of a peft model that was made by hand from a copy of an encoder's network.

    ``placement`` describes it, for what saves and scales adapters.
    """
    return replace(
        encoder, model=wrapped.base_model.model.eval(), fingerprint="",
        adapter=Adapter(placement, encoder, wrapped),
    )  # fmt: skip


@contextmanager
def scaled(encoder: Encoder, factor: float) -> Iterator[Encoder]:
    """The model at a point of the line from its base (0) to itself (1), while the context lasts.

    The update of LoRA is multiplied by ``factor``; all other trained weights, those of full
    fine-tuning too, are interpolated (WiSE-FT: Wortsman et al. 2022).

    Raises ``AdapterError`` for learned tokens, which have no counterpart in the base.
    """
    pairs = _trained_and_base(encoder)
    layers = [m for m in encoder.model.modules() if isinstance(m, LoraLayer)]
    scalings = [dict(layer.scaling) for layer in layers]
    before = [trained.detach().clone() for trained, _ in pairs]
    try:
        with torch.no_grad():
            for layer in layers:
                layer.scaling.update({k: v * factor for k, v in layer.scaling.items()})
            for trained, start in pairs:
                trained.copy_(start.lerp(trained, factor))
        yield encoder
    finally:
        with torch.no_grad():
            for layer, values in zip(layers, scalings, strict=True):
                layer.scaling.update(values)
            for (trained, _), value in zip(pairs, before, strict=True):
                trained.copy_(value)


def save_adapter(
    encoder: Encoder,
    folder: Path,
    *,
    factor: float = 1.0,
    training: Mapping[str, Any] | None = None,
    data: str = "",
) -> None:
    """Write an adapter: a folder that plain ``PeftModel.from_pretrained(base, folder)`` opens.

    Except for a prompt, for which peft has no folder. ``base.json`` is written last and holds the
    hashes of the others, so that a folder that was cut short, or mixes two adapters, is refused.

    Parameters
    ----------
    encoder : Encoder
        As :func:`adapt` gave it, trained.
    factor : float
        How much of the update is saved; see :func:`scaled`. peft's own alpha is multiplied by it.
    training : mapping, optional
        JSON values on how it was trained, for the card.
    data : str
        A sentence on the data, for the card.
    """
    folder, adapter = Path(folder), encoder.adapter
    placement, base = adapter.placement, base_of(adapter.base)
    if placement.method == "full":
        raise AdapterError(
            f"{encoder.name} was fine-tuned in full, so there is no adapter to save: write "
            "the model with encoder.model.save_pretrained and encoder.processor.save_pretrained"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BASE_FILE).unlink(missing_ok=True)
    if adapter.peft is None:
        tensors = methods.prompt_tensors(encoder.model, _heads(placement, encoder))
        save_file(_detached(tensors), folder / PROMPT_FILE)
        save_file(_detached(_scalars(encoder.model)), folder / SCALAR_FILE)
    else:
        config = adapter.peft.peft_config["default"]
        with scaled(encoder, factor):
            config.lora_alpha = placement.alpha * factor
            try:
                # Without the explicit False peft asks the hub whether the vocabulary has grown.
                adapter.peft.save_pretrained(folder, save_embedding_layers=False)
            finally:
                config.lora_alpha = placement.alpha
            save_file(_detached(_scalars(encoder.model)), folder / SCALAR_FILE)
    record = {
        "schema": 1,
        "base": base,
        "texts": encoder.text_rules,
        "quantization": methods.QUANTIZATION if placement.method == "qlora" else "",
        "placement": asdict(placement),
        "factor": factor,
        "files": {name: sha256_file(folder / name) for name in _files(placement)},
        "versions": library_versions(),
    }
    (folder / "README.md").write_text(
        card_text(encoder, base, training or {}, data), encoding="utf-8"
    )
    write_file_atomically(folder / BASE_FILE, (json.dumps(record, indent=1) + "\n").encode())


def load_adapter(encoder: Encoder, folder: Path) -> Encoder:
    """Put a saved adapter on its base, scalars included; the encoder that is given stays as it is.

    Raises
    ------
    AdapterError
        If a file is missing or differs from what was written, if ``encoder`` is not the base
        (another family, depth or width, other weights, another preprocessing or tokenizer), or if
        the base was quantized in another way.
    """
    folder = Path(folder)
    record = read_record(folder)
    check_base(record["base"], encoder, folder)
    try:
        placement = Placement(**record["placement"])
    except (PlacementError, TypeError) as error:
        raise AdapterError(
            f"{folder / BASE_FILE} names a placement that is not known here ({error}): train the "
            "adapter again"
        ) from error
    quantization = methods.QUANTIZATION if placement.method == "qlora" else ""
    if record.get("quantization", "") != quantization:
        raise AdapterError(
            f"adapter {folder} was trained on a base quantized as {record['quantization']!r}; here "
            f"it would be {quantization!r}: train it again"
        )
    model = _copy(encoder.model, placement)
    wrapped = _place(model, placement, encoder, folder=folder)
    try:
        scalars = load_file(folder / SCALAR_FILE)
    except SafetensorError as error:
        raise AdapterError(
            f"{folder / SCALAR_FILE} is no safetensors file ({error}): save it again"
        ) from error
    if sorted(scalars) != sorted(_scalars(model)):
        raise AdapterError(
            f"{folder / SCALAR_FILE} holds {sorted(scalars)}, the model {sorted(_scalars(model))}"
        )
    with torch.no_grad():
        for name, value in scalars.items():
            getattr(model, name).copy_(value)
    files = [record["files"][name] for name in _files(placement)]
    return replace(
        encoder, model=model.eval().requires_grad_(False),
        fingerprint=hash_of([encoder.fingerprint, *files], digits=16),
        adapter=Adapter(placement, encoder, wrapped),
    )  # fmt: skip


def merge(encoder: Encoder) -> Encoder:
    """A copy with the update added to the weights: an ordinary model, no extra work to encode.

    Its embeddings differ in the last bits. Under ``qlora`` it is in fp32, four times as large, from
    the quantized weights restored.

    Raises ``AdapterError`` for a prompt: tokens are no update of weights.
    """
    adapter = encoder.adapter
    if adapter.placement.method == "prompt":
        raise AdapterError(
            f"the {adapter.placement.rank} tokens of a prompt cannot be merged into weights: "
            "encode with the adapted model; it costs the longer sequences"
        )
    whole = copy.deepcopy(adapter.peft or encoder.model)
    if adapter.placement.method == "qlora":
        methods.restore(whole)
    whole = whole.merge_and_unload() if adapter.peft else whole
    model = whole.eval().requires_grad_(False)
    return replace(encoder, model=model, fingerprint="", adapter=None)


def _place(
    model: PreTrainedModel, placement: Placement, encoder: Encoder, *, folder: Path | None = None
) -> PeftModel | None:
    """Put the adapter into a frozen model, in place: fresh, or with the weights of a folder."""
    layers, heads = adapted_layers(placement, model), _heads(placement, encoder)
    if placement.method == "full":
        _unfreeze(model, layers, heads)
        return None
    if placement.method == "prompt":
        methods.insert_prompts(model, layers, placement.rank, heads=heads)
        if folder is not None:
            try:
                methods.fill_prompts(model, load_file(folder / PROMPT_FILE), heads)
            except (SafetensorError, ValueError) as error:
                raise AdapterError(
                    f"{folder / PROMPT_FILE} does not fit its placement ({error}): save it again"
                ) from error
        return None
    if placement.method == "qlora":
        try:
            methods.quantize(model, device=encoder.device)
        except ValueError as error:
            raise AdapterError(str(error)) from error
    with warnings.catch_warnings():
        # peft asks transformers by an old name whether it trades memory for time.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        if folder is not None:
            return PeftModel.from_pretrained(model, str(folder))
        config = methods.lora_config(
            placement.method, rank=placement.rank, alpha=placement.alpha,
            dropout=placement.dropout, targets=target_pattern(placement, model), heads=heads,
        )  # fmt: skip
        config.revision = encoder.revision or None
        wrapped = get_peft_model(model, config)
    config.base_model_name_or_path = encoder.name  # peft wrote the folder it came from
    return wrapped


def _unfreeze(model: PreTrainedModel, layers: Mapping[str, range], heads: Sequence[str]) -> None:
    family_heads = FAMILIES[model.config.model_type].heads
    for (tower, numbers), head in zip(layers.items(), family_heads, strict=True):
        network = getattr(model, f"{tower}_model")
        if len(numbers) == len(network.encoder.layers):
            network.requires_grad_(True)
            model.get_submodule(head).requires_grad_(True)
        for i in numbers:
            network.encoder.layers[i].requires_grad_(True)
    for head in heads:
        model.get_submodule(head).requires_grad_(True)


def _copy(model: PreTrainedModel, placement: Placement) -> PreTrainedModel:
    """A frozen copy to put an adapter on: its own modules and scalars, the same frozen tensors."""
    shared = {id(p): p for name, p in model.named_parameters() if name not in SCALARS}
    if placement.method == "full":
        shared = {}
    return copy.deepcopy(model, shared).requires_grad_(False)


def _trained_and_base(encoder: Encoder) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Trained tensors, low-rank factors apart, each with the base's value."""
    model, adapter = encoder.model, encoder.adapter
    if adapter.placement.method == "prompt":
        raise AdapterError(
            "the learned tokens of a prompt have no counterpart in the base, so there is no path "
            "between the two models: compare the two ends"
        )
    base = adapter.base.model
    if adapter.placement.method == "full":
        starts = dict(base.named_parameters())
        return [(p, starts[name]) for name, p in model.named_parameters()]
    pairs = [(p, getattr(base, name)) for name, p in _scalars(model).items()]
    for module in model.modules():
        if isinstance(module, ModulesToSaveWrapper):
            for copied in module.modules_to_save.values():
                starts = module.original_module.parameters()
                pairs += list(zip(copied.parameters(), starts, strict=True))
        for part in getattr(module, "lora_magnitude_vector", {}).values():  # DoRA
            pairs.append((part.weight, module.get_base_layer().weight.norm(dim=1)))
    return pairs


def _scalars(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: getattr(model, name) for name in SCALARS if hasattr(model, name)}


def _detached(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _heads(placement: Placement, encoder: Encoder) -> tuple[str, ...]:
    return FAMILIES[encoder.family].heads if placement.heads else ()


def _files(placement: Placement) -> tuple[str, ...]:
    """The files whose hashes ``base.json`` holds."""
    if placement.method == "prompt":
        return (PROMPT_FILE, SCALAR_FILE)
    return (PEFT_FILES[0], SCALAR_FILE, PEFT_FILES[1])
