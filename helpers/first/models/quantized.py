"""Frozen weights in eight bits: what ``method="qlora"`` puts its LoRA on.

Each row of a weight matrix becomes whole numbers from -127 to 127 and one scale (LLM.int8(),
Dettmers et al. 2022, without its outlier columns): a quarter of the memory of float32. Only the
linear layers inside the towers' encoders are quantized; embeddings, norms, biases, SigLIP's pooling
head and CLIP's projections stay as they are, and so do the adapter's own weights.

bitsandbytes does it on CPU and CUDA. In evaluation it rounds the activations to eight bits as well,
multiplies whole numbers and scales the result. In training it does so on CUDA; on a CPU it
multiplies with the restored weights instead, so that losses differ a little from what an evaluation
of the same weights would give. The four-bit NF4 of the QLoRA paper (Dettmers et al. 2023) is left
out: on a CPU its evaluation fails for widths that are no multiple of 64.
"""

import copy
import logging
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn
from transformers import PreTrainedModel

from helpers.first.models.adapter_base import AdapterError
from helpers.first.models.encoders import Encoder
from helpers.first.models.placement import Placement, adapted_layers

QUANTIZATION = "bitsandbytes int8, linear layers of both encoders"
DEVICES = ("cpu", "cuda")
EVERYWHERE = Placement(modules="q_proj,k_proj,v_proj,out_proj,fc1,fc2")


def quantized(encoder: Encoder) -> Encoder:
    """A model with its encoders' frozen weights in eight bits; the one that is given stays.

    What it loses against the original is the price of quantization alone, before any adapter.

    Raises
    ------
    AdapterError
        If the encoder is not in fp32, or its device is neither a CPU nor CUDA.

    Examples
    --------
    >>> small = quantized(load_encoder("tiny-siglip"))  # doctest: +SKIP
    """
    model = copy.deepcopy(encoder.model, {id(p): p for p in encoder.model.parameters()})
    quantize(model, device=encoder.device)
    fingerprint = f"{encoder.fingerprint}-int8" if encoder.fingerprint else ""
    return replace(encoder, model=model, fingerprint=fingerprint)


def quantize(model: PreTrainedModel, *, device: str) -> None:
    """Replace the linear layers of the encoders of ``model``, in place; they lie on ``device``.

    Raises
    ------
    AdapterError
        If the weights are not in fp32, or the device is neither a CPU nor CUDA.
    """
    from bitsandbytes.nn import Int8Params, Linear8bitLt

    if device.split(":")[0] not in DEVICES or model.dtype != torch.float32:
        raise AdapterError(
            f"method 'qlora' quantizes fp32 weights on {' or '.join(DEVICES)}; these are "
            f"{model.dtype} on {device}: open the model otherwise, or use method 'lora'"
        )
    # The library says so at every call; the cast is part of the method.
    logging.getLogger("bitsandbytes.autograd._functions").addFilter(_other_than_the_cast)
    for name in _linear_layers(model):
        old = model.get_submodule(name)
        with torch.device("meta"):  # no memory for weights that are replaced at once
            new = Linear8bitLt(old.in_features, old.out_features, has_fp16_weights=False)
        values = old.weight.detach().cpu().clone()
        new.weight = Int8Params(values, requires_grad=False).to(device)
        new.bias = old.bias
        model.set_submodule(name, new.train(old.training))


def restored(layer: nn.Module) -> torch.Tensor:
    """The float32 weight that the numbers and scales of a quantized layer stand for."""
    scales = layer.weight.SCB if layer.weight.SCB is not None else layer.state.SCB  # after a call
    return layer.weight.data.float() * (scales.float()[:, None] / 127)  # (out, in)


def restore(model: nn.Module) -> None:
    """Replace the quantized layers of a model by plain ones, in place.

    Where LoRA of peft sits on one, its update is added to the restored weight.
    """
    from bitsandbytes.nn import Linear8bitLt
    from peft.tuners.lora.bnb import Linear8bitLt as Adapted8bit

    wrapped = [name for name, module in model.named_modules() if isinstance(module, Adapted8bit)]
    for name in wrapped:
        layer = model.get_submodule(name)
        weight = restored(layer.get_base_layer())
        for adapter in layer.active_adapters:
            weight = weight + layer.get_delta_weight(adapter)
        model.set_submodule(name, _plain(weight, layer.get_base_layer().bias))
    rest = [name for name, module in model.named_modules() if isinstance(module, Linear8bitLt)]
    for name in rest:
        layer = model.get_submodule(name)
        model.set_submodule(name, _plain(restored(layer), layer.bias))


def weights_mb(model: nn.Module) -> float:
    """Memory of a model's weights, in MB of 10**6 bytes; the scales of quantized layers included.

    Weights that two modules share count once. Gradients, optimizer and activations do not count.
    """
    tensors = {t.data_ptr(): t.numel() * t.element_size() for t in _tensors(model) if t.numel()}
    return sum(tensors.values()) / 1e6


def _linear_layers(model: PreTrainedModel) -> list[str]:
    found = []
    for tower, numbers in adapted_layers(EVERYWHERE, model).items():
        for i in numbers:
            layer = f"{tower}_model.encoder.layers.{i}"
            names = model.get_submodule(layer).named_modules()
            found += [f"{layer}.{name}" for name, m in names if isinstance(m, nn.Linear)]
    return found


def _tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    yield from model.parameters()
    yield from model.buffers()
    for module in model.modules():
        places = (getattr(module, "weight", None), getattr(module, "state", None))
        for scale in (getattr(place, "SCB", None) for place in places):
            if scale is not None:
                yield scale


def _plain(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer.eval()


def _other_than_the_cast(record: logging.LogRecord) -> bool:
    return "inputs will be cast" not in record.msg
