"""Prompt tuning: learned tokens among the tokens of a tower, everything else frozen.

CoOp (Zhou et al. 2022) learns tokens of a text tower's input, VPT (Jia et al. 2022) of a vision
tower's. Both put them after the first token; so it is done here, at the input of the first of the
last k layers. With k = all these are CoOp's position and VPT-shallow; with fewer, the layers below
stay a constant of the picture or caption, as with LoRA on the last layers.

The tokens go through the k layers with the others and leave the sequence before the tower pools:
CLIP's class token is still the first, SigLIP's pooled token still the last, and the end token of a
caption is where it was. Under CLIP's causal mask all but the first token see the learned ones.
"""

import copy
from collections.abc import Mapping

import torch
from torch import nn
from transformers import PreTrainedModel

from helpers.first.models.placement import HEADS, Placement, adapted_layers, family_of

SPREAD = 0.02  # standard deviation of fresh tokens, as in CoOp


class PromptedLayer(nn.Module):
    """An encoder layer that works on a sequence with learned tokens after its first one.

    Parameters
    ----------
    layer : Module
        Called as ``layer(hidden_states, attention_mask, **kwargs)``.
    n : int
        How many learned tokens there are.
    width : int
        0 where the tokens come from the layer before; else their length: this layer has them and
        puts them in.
    last : bool
        Take the tokens out again.
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
            hidden_states = with_tokens(hidden_states, self.tokens)  # (b, length + n, width)
        if attention_mask is not None:
            attention_mask = widened(
                attention_mask, self.n, causal=bool(kwargs.get("is_causal", False))
            )
        hidden_states = self.layer(hidden_states, attention_mask, **kwargs)
        return without_tokens(hidden_states, self.n) if self.last else hidden_states


def with_tokens(hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Put (n, width) tokens after the first of (b, length, width): (b, length + n, width)."""
    added = tokens.to(hidden.dtype).expand(len(hidden), -1, -1)
    return torch.cat([hidden[:, :1], added, hidden[:, 1:]], dim=1)


def without_tokens(hidden: torch.Tensor, n: int) -> torch.Tensor:
    """Take the n tokens after the first one out again."""
    return torch.cat([hidden[:, :1], hidden[:, n + 1 :]], dim=1)


def widened(mask: torch.Tensor, n: int, *, causal: bool) -> torch.Tensor:
    """An attention mask with n more queries and keys after the first, which they resemble.

    Parameters
    ----------
    mask : (b, 1, length, length) bool, True where attended; or float, added to the scores
    n : int
    causal : bool
        No query sees a later key.

    Raises
    ------
    ValueError
        If the mask is of another kind, as flash attention wants it.
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


def insert_prompts(model: PreTrainedModel, placement: Placement) -> None:
    """Put fresh, trainable tokens into the towers of a frozen model, in place.

    With ``heads`` the projections become copies of their own, which train.

    Raises
    ------
    PlacementError
        If the model has fewer layers than are asked for, or is neither CLIP nor SigLIP.
    """
    family = family_of(model)
    for tower, numbers in adapted_layers(placement, model).items():
        layers = getattr(model, f"{tower}_model").encoder.layers
        width = getattr(model.config, f"{tower}_config").hidden_size
        for i in numbers:
            own = width if i == numbers[0] else 0
            wrapped = PromptedLayer(layers[i], n=placement.rank, width=own, last=i == numbers[-1])
            layers[i] = wrapped.to(model.device)
    if placement.heads:
        for name in HEADS[family]:
            model.set_submodule(name, copy.deepcopy(model.get_submodule(name)).requires_grad_(True))


def prompt_names(model: PreTrainedModel, placement: Placement) -> list[str]:
    """The names of the parameters that belong to the adapter: tokens and retrained heads."""
    heads = HEADS[family_of(model)] if placement.heads else ()
    return [
        name
        for name, _ in model.named_parameters()
        if name.endswith(".tokens") or name.startswith(tuple(f"{head}." for head in heads))
    ]


def prompt_tensors(model: PreTrainedModel, placement: Placement) -> dict[str, torch.Tensor]:
    """The tensors of the adapter by name, on the CPU, for a safetensors file."""
    named = dict(model.named_parameters())
    return {
        name: named[name].detach().cpu().contiguous() for name in prompt_names(model, placement)
    }


def fill_prompts(
    model: PreTrainedModel, placement: Placement, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Put saved tensors into a model that ``insert_prompts`` prepared.

    Raises
    ------
    ValueError
        If a name or shape is not what the placement needs.
    """
    named = dict(model.named_parameters())
    wanted = {name: tuple(named[name].shape) for name in prompt_names(model, placement)}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != found:
        wrong = sorted(n for n in {*wanted, *found} if wanted.get(n) != found.get(n))[0]
        raise ValueError(f"{wrong!r} is {found.get(wrong)} there, {wanted.get(wrong)} here")
    with torch.no_grad():
        for name, tensor in tensors.items():
            named[name].copy_(tensor)
