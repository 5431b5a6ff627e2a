"""Methods to adapt frozen towers: LoRA and its variants, learned tokens, frozen weights in 8 bits.

LoRA (Hu et al. 2022), DoRA (Liu et al. 2024) and rsLoRA (Kalajdzievski 2023) are peft's. Prompt
tuning learns tokens among the tokens of a tower: CoOp (Zhou et al. 2022) of the text tower, VPT
(Jia et al. 2022) of the vision tower. Both put them after the first token, and so it is done here,
at the input of the first of the last k layers; they leave the sequence after the last layer, so
that every pooled token is where it was.

8 bits: each output of a linear layer gets whole numbers from -127 to 127 and one scale (LLM.int8(),
Dettmers et al. 2022, without outlier columns), a quarter of the memory of float32. In evaluation
bitsandbytes rounds the activations as well; in training on a CPU it multiplies with the restored
weights instead, so that losses differ a little from what an evaluation of the same weights gives.
"""

import copy
import logging
from collections.abc import Iterable, Mapping

import torch
from peft import LoraConfig
from torch import nn
from transformers import PreTrainedModel

SPREAD = 0.02  # standard deviation of fresh tokens, as in CoOp
QUANTIZATION = "bitsandbytes int8, linear layers of both encoders"


def lora_config(
    method: str, *, rank: int, alpha: float, dropout: float, targets: str, heads: Iterable[str] = ()
) -> LoraConfig:
    """What ``peft.get_peft_model`` is given; ``targets`` is a pattern of full module paths."""
    return LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets,
        modules_to_save=list(heads) or None,
        use_dora=method == "dora", use_rslora=method == "rslora",
    )  # fmt: skip


class PromptedLayer(nn.Module):
    """An encoder layer over a sequence with ``n`` learned tokens after its first one.

    ``layer`` is called as ``layer(hidden_states, attention_mask, **kwargs)``. ``width`` is the
    length of a token where this layer has them and inserts them, 0 in the layers that follow; after
    the ``last`` one they leave the sequence.
    """

    def __init__(self, layer: nn.Module, *, n: int, width: int = 0, last: bool = False):
        super().__init__()
        self.layer, self.n, self.last = layer, n, last
        self.tokens = nn.Parameter(SPREAD * torch.randn(n, width)) if width else None

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> torch.Tensor:
        """(b, length, width) to the same shape, or longer by n between first and last layer."""
        if self.tokens is not None:
            added = self.tokens.to(hidden_states.dtype).expand(len(hidden_states), -1, -1)
            hidden_states = torch.cat([hidden_states[:, :1], added, hidden_states[:, 1:]], dim=1)
        if attention_mask is not None:
            causal = bool(kwargs.get("is_causal", False))
            attention_mask = widened(attention_mask, self.n, causal=causal)
        hidden_states = self.layer(hidden_states, attention_mask, **kwargs)
        return without_tokens(hidden_states, self.n) if self.last else hidden_states


def without_tokens(hidden: torch.Tensor, n: int) -> torch.Tensor:
    """Take the n tokens after the first one out of (b, n + length, width)."""
    return torch.cat([hidden[:, :1], hidden[:, n + 1 :]], dim=1)


def widened(mask: torch.Tensor, n: int, *, causal: bool) -> torch.Tensor:
    """An attention mask with n more queries and keys after the first, which they resemble.

    ``mask`` is (b, 1, length, length) bool, True where attended, or float, added to the scores.
    With ``causal`` no query sees a later key.
    """
    if mask.ndim != 4:
        raise ValueError(
            f"a prompt needs an attention mask of 4 dimensions, not {mask.ndim}: "
            "open the model with attn_implementation='sdpa'"
        )
    length = mask.shape[-1]
    old = torch.cat([torch.zeros(n, dtype=torch.long), torch.arange(length)]).to(mask.device)
    wide = mask[:, :, old][..., old]  # (b, 1, length + n, length + n)
    if not causal:
        return wide
    seen = torch.ones(wide.shape[-2:], dtype=torch.bool, device=mask.device).tril()
    if mask.dtype == torch.bool:
        return wide & seen
    return wide.masked_fill(~seen, torch.finfo(mask.dtype).min)


def insert_prompts(
    model: PreTrainedModel, layers: Mapping[str, range], n: int, *, heads: Iterable[str] = ()
) -> None:
    """Put n fresh, trainable tokens before ``layers`` of each tower of a frozen model, in place.

    ``heads`` are replaced by copies that can be trained.
    """
    for tower, numbers in layers.items():
        blocks = getattr(model, f"{tower}_model").encoder.layers
        width = getattr(model.config, f"{tower}_config").hidden_size
        for i in numbers:
            own = width if i == numbers[0] else 0
            layer = PromptedLayer(blocks[i], n=n, width=own, last=i == numbers[-1])
            blocks[i] = layer.to(model.device)
    for name in heads:
        model.set_submodule(name, copy.deepcopy(model.get_submodule(name)).requires_grad_(True))


def prompt_tensors(model: PreTrainedModel, heads: Iterable[str] = ()) -> dict[str, torch.Tensor]:
    """The parameters of a prompt by name: its tokens, and those of the heads that were copied."""
    starts = tuple(f"{head}." for head in heads)
    named = model.named_parameters()
    return {name: p for name, p in named if name.endswith(".tokens") or name.startswith(starts)}


def fill_prompts(
    model: PreTrainedModel, tensors: Mapping[str, torch.Tensor], heads: Iterable[str] = ()
) -> None:
    """Put saved tensors into a prepared model; ``ValueError`` where a name or shape differs."""
    wanted = prompt_tensors(model, heads)
    shapes = [{name: tuple(t.shape) for name, t in some.items()} for some in (tensors, wanted)]
    if shapes[0] != shapes[1]:
        name = sorted(n for n in {*tensors, *wanted} if shapes[0].get(n) != shapes[1].get(n))[0]
        raise ValueError(f"{name!r} is {shapes[0].get(name)} there, {shapes[1].get(name)} here")
    with torch.no_grad():
        for name, tensor in tensors.items():
            wanted[name].copy_(tensor)


def quantize(model: PreTrainedModel, *, device: str) -> None:
    """Replace the linear layers of both encoders by layers of 8-bit weights, in place.

    Embeddings, norms, biases and projection heads stay as they are. Raises ``ValueError`` if the
    weights are not in fp32, or the device is neither a CPU nor CUDA.
    """
    from bitsandbytes.nn import Int8Params, Linear8bitLt

    if device.split(":")[0] not in ("cpu", "cuda") or model.dtype != torch.float32:
        raise ValueError(
            f"method 'qlora' quantizes fp32 weights on cpu or cuda; these are {model.dtype} on "
            f"{device}: open the model otherwise, or use method 'lora'"
        )
    # The library says so at every call; the cast is part of the method.
    logging.getLogger("bitsandbytes.autograd._functions").addFilter(
        lambda record: "inputs will be cast" not in record.msg
    )
    towers = ("vision_model.encoder.layers.", "text_model.encoder.layers.")
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    for name, old in [(name, layer) for name, layer in layers if name.startswith(towers)]:
        with torch.device("meta"):  # no memory for weights that are replaced at once
            new = Linear8bitLt(old.in_features, old.out_features, has_fp16_weights=False)
        values = old.weight.detach().cpu().clone()
        new.weight = Int8Params(values, requires_grad=False).to(device)
        new.bias = old.bias
        model.set_submodule(name, new.train(old.training))


def restore(model: nn.Module) -> None:
    """Replace 8-bit layers by float32 ones, in place; the update of LoRA on one is added to it."""
    from bitsandbytes.nn import Linear8bitLt
    from peft.tuners.lora.bnb import Linear8bitLt as LoraLinear8bit

    for kind in (LoraLinear8bit, Linear8bitLt):
        for name in [name for name, module in model.named_modules() if isinstance(module, kind)]:
            layer = model.get_submodule(name)
            base = layer.get_base_layer() if kind is LoraLinear8bit else layer
            scales = base.weight.SCB if base.weight.SCB is not None else base.state.SCB
            weight = base.weight.data.float() * (scales.float()[:, None] / 127)  # (out, in)
            if kind is LoraLinear8bit:
                weight = weight + sum(map(layer.get_delta_weight, layer.active_adapters))
            plain = nn.Linear(*weight.T.shape, bias=base.bias is not None, device="meta")
            plain.weight = nn.Parameter(weight, requires_grad=False)
            if base.bias is not None:
                plain.bias = nn.Parameter(base.bias.detach().clone(), requires_grad=False)
            model.set_submodule(name, plain.eval())
