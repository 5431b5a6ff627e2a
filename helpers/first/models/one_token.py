"""The last layer of a tower for the one token that is pooled, at a fraction of the work.

CLIP pools the class token of a picture and the end token of a caption, SigLIP the last token of a
caption and, of a picture, a probe's look at all tokens. In the last layer one query per item is
asked, so that neither the other tokens' queries nor their projections are needed. Nor is a key or
value of every token: as q . (W x_j) = (W' q) . x_j, the query goes through the matrix once instead
of every token; likewise sum_j a_j (W x_j) = W (sum_j a_j x_j). The same numbers come out, up to the
order of sums; gradients too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import nn
from transformers.models.clip.modeling_clip import CLIPEncoderLayer
from transformers.models.siglip.modeling_siglip import (
    SiglipEncoderLayer,
    SiglipMultiheadAttentionPoolingHead,
)

LAYERS = (CLIPEncoderLayer, SiglipEncoderLayer)


class Part(NamedTuple):
    """A summand of a linear layer's output over all tokens: ``inputs @ weight.T``.

    ``inputs`` is (b, t, d), ``weight`` (out, d).
    """

    inputs: torch.Tensor
    weight: torch.Tensor


def knows(layer: nn.Module) -> bool:
    """Whether :func:`last_layer` does what this layer does: its class is known, nothing hooks in.

    A layer that another method wraps (learned tokens, say) is called as it is.
    """
    if type(layer) not in LAYERS or layer.self_attn.dropout:
        return False
    return not any(_hooked(module) for module in (layer, layer.self_attn, layer.mlp))


def last_layer(
    layer: nn.Module,
    hidden: torch.Tensor,
    at: torch.Tensor,
    *,
    allowed: torch.Tensor | None = None,
    full: int = 0,
) -> torch.Tensor:
    """What a tower's last layer makes of one token of each item.

    Parameters
    ----------
    layer : CLIPEncoderLayer or SiglipEncoderLayer
        Adapted or not; see :func:`knows`.
    hidden : (b, t, d)
        What enters it.
    at : (b,) int64
        The token that is pooled.
    allowed : (b, t) bool, optional
        Which tokens it attends to; default: all.
    full : int
        How many tokens the plain model would have had (dropout draws for all of them); 0: t.

    Returns
    -------
    (b, d)
    """
    attention = layer.self_attn
    rows = torch.arange(len(hidden), device=hidden.device)
    normed = layer.layer_norm1(hidden)  # (b, t, d)
    full = full or hidden.shape[1]
    with drawn_for_all(layer, at[:, None], full):
        query = attention.q_proj(normed[rows, at][:, None])[:, 0]  # (b, d)
    everywhere = torch.arange(hidden.shape[1], device=hidden.device).expand(len(hidden), -1)
    with drawn_for_all(layer, everywhere, full):
        keys, _ = parts_of(attention.k_proj, normed)  # one bias for all keys shifts no softmax
        values, bias = parts_of(attention.v_proj, normed)
    found = attend(query, keys, values, attention.num_heads, allowed=allowed) + bias  # (b, d)
    with drawn_for_all(layer, at[:, None], full):
        hidden = hidden[rows, at][:, None] + attention.out_proj(found[:, None])  # (b, 1, d)
        hidden = hidden + layer.mlp(layer.layer_norm2(hidden))
    return hidden[:, 0]


def pooling_head(head: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """SigLIP's attention pooling: (b, t, d) to (b, d); a head of another kind is just called."""
    head = _in_use(head)
    attention = getattr(head, "attention", None)
    known = (
        type(head) is SiglipMultiheadAttentionPoolingHead
        and type(attention) is nn.MultiheadAttention
        and attention.in_proj_weight is not None
        and not attention.dropout
        and not any(_hooked(module) for module in (head, attention))
    )
    if not known:
        return head(hidden)
    w_query, w_key, w_value = attention.in_proj_weight.chunk(3)
    b_query, _, b_value = attention.in_proj_bias.chunk(3)
    query = nn.functional.linear(head.probe[0], w_query, b_query).expand(len(hidden), -1)
    keys, values = [Part(hidden, w_key)], [Part(hidden, w_value)]
    found = attend(query, keys, values, attention.num_heads) + b_value
    found = attention.out_proj(found)
    return found + head.mlp(head.layernorm(found))


def attend(
    query: torch.Tensor,
    keys: list[Part],
    values: list[Part],
    heads: int,
    *,
    allowed: torch.Tensor | None = None,
) -> torch.Tensor:
    """Scaled dot-product attention of one query an item, without a key or value for every token.

    Parameters
    ----------
    query : (b, d)
    keys, values : list of Part
        Their sums are the keys and values; a bias of the keys changes nothing, one of the values is
        to be added to the result.
    heads : int
    allowed : (b, t) bool, optional

    Returns
    -------
    (b, d)

    Examples
    --------
    >>> x, one = torch.eye(2)[None], torch.eye(2)
    >>> attend(torch.zeros(1, 2), [Part(x, one)], [Part(x, one)], 1).tolist()
    [[0.5, 0.5]]
    """
    b, d = query.shape
    size = d // heads
    asked = (query * size**-0.5).view(b, heads, size)
    scores = sum(
        torch.einsum("bhe,hed->bhd", asked, part.weight.view(heads, size, -1))
        @ part.inputs.transpose(1, 2)
        for part in keys
    )  # (b, heads, t)
    if allowed is not None:
        scores = scores.masked_fill(~allowed[:, None], -torch.inf)
    weights = scores.softmax(-1).to(scores.dtype)
    found = sum(
        torch.einsum("bhd,hed->bhe", weights @ part.inputs, part.weight.view(heads, size, -1))
        for part in values
    )  # (b, heads, size)
    return found.reshape(b, d)


def parts_of(linear: nn.Module, inputs: torch.Tensor) -> tuple[list[Part], torch.Tensor | float]:
    """The output of a linear layer over all tokens as summands, and its bias.

    A plain layer, and plain LoRA of peft on one, become matrices; anything else (another variant of
    LoRA, quantised weights) is called and becomes its output times the identity.
    """
    base = getattr(linear, "base_layer", linear)
    plain = type(base) is nn.Linear and not _hooked(linear) and not _hooked(base)
    if plain and linear is base:
        return [Part(inputs, base.weight)], _bias(base)
    if plain and _is_plain_lora(linear):
        weight, rest = base.weight, []
        for name in linear.active_adapters:
            down, up = linear.lora_A[name].weight, linear.lora_B[name].weight
            update = linear.scaling[name] * (up @ down)  # (out, d)
            dropped = linear.lora_dropout[name](inputs)
            if dropped is inputs:
                weight = weight + update
            else:
                rest.append(Part(dropped, update))
        return [Part(inputs, weight), *rest], _bias(base)
    done = linear(inputs)  # (b, t, out)
    one = torch.eye(done.shape[-1], dtype=done.dtype, device=done.device)
    return [Part(done, one)], 0.0


@contextmanager
def drawn_for_all(module: nn.Module, kept: torch.Tensor, full: int) -> Iterator[None]:
    """Let dropout draw as if all tokens of an item were there, where some were left out.

    The same seed then drops the same entries as in the plain model, now and afterwards.

    Parameters
    ----------
    module : Module
        In which dropout layers are looked for.
    kept : (b, s) int64
        Which of the tokens are there.
    full : int
        How many there would be.
    """
    parts = (part for part in module.modules() if isinstance(part, nn.Dropout))
    drops = [part for part in parts if part.p > 0 and part.training]
    if not drops or kept.shape[1] == full:
        yield
        return

    def widen(_: nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        index = kept[..., None].expand(-1, -1, args[0].shape[-1])
        empty = args[0].new_zeros(len(kept), full, args[0].shape[-1])
        return (empty.scatter(1, index, args[0]),)

    def narrow(_: nn.Module, __: tuple[torch.Tensor], out: torch.Tensor) -> torch.Tensor:
        return out.gather(1, kept[..., None].expand(-1, -1, out.shape[-1]))

    handles = [part.register_forward_pre_hook(widen) for part in drops]
    handles += [part.register_forward_hook(narrow) for part in drops]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_plain_lora(linear: nn.Module) -> bool:
    if type(linear) is not LoraLinear or linear.merged or linear.disable_adapters:
        return False
    names = linear.active_adapters
    return all(
        name in linear.lora_A and name not in linear.lora_variant and not linear.lora_bias[name]
        for name in names
    )


def _bias(linear: nn.Linear) -> torch.Tensor | float:
    return 0.0 if linear.bias is None else linear.bias


def _in_use(head: nn.Module) -> nn.Module:
    """The copy that trains, where peft keeps one beside the original."""
    copies = getattr(head, "modules_to_save", None)
    if copies is None or head.disable_adapters or len(head.active_adapters) != 1:
        return head
    return copies[head.active_adapters[0]]


def _hooked(module: nn.Module) -> bool:
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    return any(hooks)
