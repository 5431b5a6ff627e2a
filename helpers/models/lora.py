"""Adapters: placed on a model, saved as an ordinary peft folder, put back on the same base.

peft knows the low-rank weights and retrained heads; it drops logit scale and bias, and loads in
silence on another model of the same shapes. Two more files mend that: ``scalars.safetensors`` and
``base.json``. Learned tokens (``method="prompt"``) are no peft adapter: ``prompt.safetensors``.
"""

import copy
import difflib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from helpers.models import methods
from helpers.models.encoder import FAMILIES, Encoder
from helpers.repro import hash_of, library_versions, sha256_file
from helpers.store.atomic import write_file_atomically

METHODS = ("lora", "dora", "rslora", "qlora", "prompt", "full")
MODULES = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj", "out_proj"), "self_attn"),
    **dict.fromkeys(("fc1", "fc2"), "mlp"),
}
SCALARS = ("logit_scale", "logit_bias")
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


class PlacementError(ValueError):
    """A placement that is unknown, impossible, or does not fit the model."""


class AdapterError(ValueError):
    """An adapter that cannot be trained, saved or opened as asked."""


@dataclass(frozen=True)
class Placement:
    """Which weights an adapter adds, and which it trains.

    Attributes
    ----------
    rank : int
        Of the update; for ``prompt`` the number of learned tokens in each tower that has any.
    alpha : float
        The update is scaled by alpha / rank (rslora: alpha / sqrt(rank)).
    dropout : float
        On the input of the adapter, in training only.
    vision_layers, text_layers : int or "all"
        The last k layers of a tower; 0: none; -1 or "all": all.
    heads : bool
        Train the projection heads too: CLIP ``visual_projection`` and ``text_projection``, SigLIP
        the ``head`` of both towers. SigLIP's are large: compare trainable counts before scores.
    modules : str
        Comma-separated: ``q_proj``, ``k_proj``, ``v_proj``, ``out_proj``, ``fc1``, ``fc2``.
    method : str
        ``lora``, ``dora``, ``rslora``; ``qlora``: LoRA on frozen weights in 8 bits; ``prompt``:
        learned tokens (see :mod:`helpers.models.methods`); ``full``: the weights of the layers
        themselves, and where a tower has all its layers in it, of the whole tower and its head.

    Notes
    -----
    What a method has no use for (``alpha``, ``dropout``, ``modules``, with ``full`` the rank too)
    becomes 0 or empty, whatever is given, so that equal adapters are equal placements.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.05
    vision_layers: int | str = -1
    text_layers: int | str = -1
    heads: bool = False
    modules: str = "q_proj,k_proj,v_proj,out_proj"
    method: str = "lora"

    def __post_init__(self) -> None:
        def put(**values: Any) -> None:
            for name, value in values.items():
                object.__setattr__(self, name, value)

        if self.method not in METHODS:
            raise PlacementError(
                f"method {self.method!r} is not available: use one of {', '.join(METHODS)}"
                + _closest(self.method, METHODS)
            )
        put(alpha=float(self.alpha))  # 16 and 16.0 are one placement
        if self.method in ("prompt", "full"):
            put(alpha=0.0, dropout=0.0, modules="")
        if self.method == "full":
            put(rank=0)
        for name in ("vision_layers", "text_layers"):
            value = getattr(self, name)
            if value == "all":
                put(**{name: -1})
            elif not isinstance(value, int) or isinstance(value, bool) or value < -1:
                raise PlacementError(
                    f"{name} is {value!r}: give the number of last layers, 0 for none, -1 for all"
                )
        if (self.vision_layers, self.text_layers) == (0, 0):
            raise PlacementError(
                "vision_layers and text_layers are both 0: an adapter needs a layer of a tower"
            )
        low = self.rank < 1 and self.method != "full"
        if low or (self.alpha <= 0 and self.modules) or not 0 <= self.dropout < 1:
            raise PlacementError(
                f"rank {self.rank}, alpha {self.alpha}, dropout {self.dropout}: "
                "rank is at least 1, alpha above 0, dropout in [0, 1)"
            )
        if self.method not in ("prompt", "full"):
            for name in self.module_names:
                if name not in MODULES:
                    raise PlacementError(
                        f"modules {self.modules!r}: there is no {name!r}; use "
                        f"{', '.join(MODULES)}" + _closest(name, tuple(MODULES))
                    )

    @property
    def module_names(self) -> tuple[str, ...]:
        """``modules``, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.modules.split(",")))


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


class Counts(NamedTuple):
    """Numbers of parameters; a retrained head counts once, as in the deployed model."""

    trainable: int
    total: int


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


def adapted_layers(placement: Placement, model: PreTrainedModel) -> dict[str, range]:
    """The numbers of the adapted layers by tower (``vision``, ``text``); may be empty.

    Raises ``PlacementError`` if the model has fewer layers than are asked for.
    """
    found = {}
    for tower in ("vision", "text"):
        depth = getattr(model.config, f"{tower}_config").num_hidden_layers
        last = getattr(placement, f"{tower}_layers")
        if last > depth:
            raise PlacementError(
                f"{tower}_layers is {last}, but the {tower} tower of this "
                f"{model.config.model_type} model has {depth} layers: give at most {depth}, "
                "or -1 for all"
            )
        found[tower] = range(0 if last == -1 else depth - last, depth)
    return found


def target_pattern(placement: Placement, model: PreTrainedModel) -> str:
    """A regular expression for the full path of each adapted module, and of nothing else.

    A list of bare names would also catch the attention inside the pooling head of SigLIP's vision
    tower, which never gets a gradient, and a list of layer numbers would hit both towers.
    """
    towers = [
        rf"{tower}_model\.encoder\.layers\.({'|'.join(map(str, numbers))})"
        for tower, numbers in adapted_layers(placement, model).items()
        if numbers
    ]
    names = [rf"{MODULES[name]}\.{name}" for name in placement.module_names]
    return rf"({'|'.join(towers)})\.({'|'.join(names)})"


def trainable_counts(model: nn.Module) -> Counts:
    """How many parameters are trained, and of how many.

    The original of a retrained head, which peft holds beside the copy, does not count.
    """
    counted = [p for n, p in model.named_parameters() if ".original_module." not in f".{n}"]
    trainable = sum(p.numel() for p in counted if p.requires_grad)
    return Counts(trainable, sum(p.numel() for p in counted))


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
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BASE_FILE).unlink(missing_ok=True)
    placement, base = adapter.placement, base_of(adapter.base)
    if placement.method == "full":
        raise AdapterError(
            f"{encoder.name} was fine-tuned in full, so there is no adapter to save: write "
            "the model with encoder.model.save_pretrained and encoder.processor.save_pretrained"
        )
    if adapter.peft is None:
        tensors = methods.prompt_tensors(encoder.model, _heads(placement, encoder))
        save_file(_detached(tensors), folder / PROMPT_FILE)
        save_file(_detached(_scalars(encoder.model)), folder / SCALAR_FILE)
    else:
        config = adapter.peft.peft_config["default"]
        with scaled(encoder, factor):
            config.lora_alpha = placement.alpha * factor
            # Without the explicit False peft asks the hub whether the vocabulary has grown.
            adapter.peft.save_pretrained(folder, save_embedding_layers=False)
            config.lora_alpha = placement.alpha
            save_file(_detached(_scalars(encoder.model)), folder / SCALAR_FILE)
    record = {
        "schema": 1,
        "base": base,
        "quantization": methods.QUANTIZATION if placement.method == "qlora" else "",
        "placement": asdict(placement),
        "factor": factor,
        "files": {name: sha256_file(folder / name) for name in _files(placement)},
        "versions": library_versions(),
    }
    (folder / "README.md").write_text(_card(encoder, base, training or {}, data), encoding="utf-8")
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
    record = _read_record(folder)
    for name, digest in record["files"].items():
        if not (folder / name).is_file():
            raise AdapterError(f"adapter {folder} has no {name}: save or copy it again, whole")
        if sha256_file(folder / name) != digest:
            raise AdapterError(
                f"{folder / name} differs from what was saved: save or copy the adapter again"
            )
    here, recorded = base_of(encoder), record["base"]
    for name, words in CHECKED.items():
        if recorded[name] != here[name]:
            raise AdapterError(
                f"adapter {folder} belongs to {recorded['name']!r}, not to {encoder.name!r}: the "
                f"{words} differs ({recorded[name]} there, {here[name]} here); open it on its own "
                "base"
            )
    placement = Placement(**record["placement"])
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


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / BASE_FILE
    if not path.is_file():
        raise AdapterError(
            f"{folder} has no {BASE_FILE}, so nothing says which model the adapter there "
            "belongs to: save it with helpers.models.lora.save_adapter"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        _ = [record["base"][name] for name in ("name", *CHECKED)]
        _ = dict(record["placement"]), dict(record["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise AdapterError(f"{path} cannot be read ({error!r}): save the adapter again") from error
    return record


def _closest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _card(encoder: Encoder, base: Mapping[str, Any], training: Mapping[str, Any], data: str) -> str:
    """The model card in Markdown, from the run that made the adapter."""
    placement, counts = encoder.adapter.placement, trainable_counts(encoder.model)
    share = counts.trainable / counts.total
    trained = f"{counts.trainable:,} of {counts.total:,} parameters ({share:.2%})"
    return CARD.format(
        **base, method=placement.method,
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

Family {family}, {vision_layers} vision and {text_layers} text layers, revision "{revision}",
weights `{fingerprint}`. `base.json` holds the hashes of weights, preprocessing and tokenizer.

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
