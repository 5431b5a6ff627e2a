"""A tower split into a frozen prefix and a trained suffix, and its last layer for one token alone.

A tower is split at a number: i below its depth is what enters layer i, the depth is what enters the
projection head, one more is the embedding itself. The suffix calls the adapted model's own layers,
so that whatever an adapter put into them works. Texts lose padding where it changes nothing: under
CLIP's causal mask no token sees what comes after it, and the end token is pooled. SigLIP was
trained on padded texts and pools the last token of the full length: there the padding stays.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers.masking_utils import create_causal_mask

from helpers.models.encoder import FAMILIES, Encoder, weights_fingerprint
from helpers.repro import hash_of

TOWERS = ("vision", "text")


@dataclass(frozen=True)
class SplitTower:
    """One tower (``vision`` or ``text``) of an encoder, adapted or not."""

    encoder: Encoder
    name: str

    @property
    def network(self) -> nn.Module:
        """``vision_model`` or ``text_model``."""
        return getattr(self.encoder.model, f"{self.name}_model")

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.network.encoder.layers)

    @property
    def pools_all_tokens(self) -> bool:
        """SigLIP's vision head attends to all tokens; every other tower pools one."""
        return self.name == "vision" and self.encoder.family == "siglip"

    def below(self, split: int) -> dict[str, nn.Module]:
        """The modules of the prefix, by name."""
        found = {"embeddings": self.network.embeddings}
        if hasattr(self.network, "pre_layrnorm"):  # so spelled in transformers
            found["pre_layrnorm"] = self.network.pre_layrnorm
        found |= {f"layer {i}": m for i, m in enumerate(self.network.encoder.layers[:split])}
        if split >= self.depth:
            found["norm"] = self._norm
        if split > self.depth:
            found["head"] = self._head
        return found

    def fingerprint(self, split: int) -> str:
        """A hash of the prefix: of weights and kinds of its modules."""
        parts = [
            [name, [type(part).__name__ for part in module.modules()], weights_fingerprint(module)]
            for name, module in self.below(split).items()
        ]
        return hash_of([self.encoder.family, self.name, split, parts], digits=16)

    def inputs(self, prepared: Any) -> torch.Tensor:
        """Pixel values as they are; of tokens the ids, without needless padding."""
        if self.name == "vision":
            return prepared
        ids = prepared["input_ids"]
        return ids if self._pads else ids[:, : int(self.ends(ids).max()) + 1]

    def ends(self, ids: torch.Tensor) -> torch.Tensor:
        """(b,) int64: the token of each text that is pooled.

        CLIP pools the first end token. The configurations of the first checkpoints name 2 as its
        number, which is wrong, and have the largest number taken for it.
        """
        if self._pads:
            return torch.full((len(ids),), ids.shape[1] - 1, device=ids.device)
        end = self.encoder.model.config.text_config.eos_token_id
        old = end == 2 and self.encoder.family == "clip"
        return (ids if old else (ids == end).int()).argmax(dim=-1)

    def prefix(self, inputs: torch.Tensor, split: int) -> torch.Tensor:
        """The states at a split: (b, t, d), or (b, d) where one token was pooled before.

        ``inputs`` are pixel values (b, 3, px, px) float32 or ids (b, t) int64.
        """
        hidden = self.network.embeddings(inputs)  # (b, t, d)
        if hasattr(self.network, "pre_layrnorm"):
            hidden = self.network.pre_layrnorm(hidden)
        mask = self._mask(hidden)
        for layer in self.network.encoder.layers[:split]:
            hidden = layer(hidden, **mask)
        if split >= self.depth:
            hidden = self._norm(self._pooled(hidden, self._at(hidden, inputs)))
        return self._head(hidden) if split > self.depth else hidden

    def suffix(self, states: torch.Tensor, split: int, ids: torch.Tensor | None) -> torch.Tensor:
        """Embeddings (b, dimension) float32, unit rows, from the states at a split, with gradient.

        ``ids`` are the (b, t) tokens of the texts, None for images.
        """
        if split < self.depth:
            *layers, last = self.network.encoder.layers[split:]
            at, mask = self._at(states, ids), self._mask(states)
            for layer in layers:
                states = layer(states, **mask)
            if at is None or not hasattr(last, "self_attn") or last.self_attn.dropout:
                states = self._pooled(last(states, **mask), at)
            else:
                states = pooled_last_layer(last, states, at, causal="is_causal" in mask)
            states = self._norm(states)
        if split <= self.depth:
            states = self._head(states)
        return F.normalize(states.float(), dim=-1)

    def _at(self, hidden: torch.Tensor, ids: torch.Tensor | None) -> torch.Tensor | None:
        """(b,) int64: the pooled token; None where the head attends to all of them."""
        if self.name == "text":
            return self.ends(ids)
        if self.pools_all_tokens:
            return None
        return torch.zeros(len(hidden), dtype=torch.long, device=hidden.device)

    def _mask(self, hidden: torch.Tensor) -> dict[str, Any]:
        """What the model hands to its layers; padding is behind the end token and needs no mask."""
        if self.name == "vision" or self._pads:
            return {"attention_mask": None}
        mask = create_causal_mask(
            config=self.network.config, inputs_embeds=hidden, attention_mask=None,
            past_key_values=None,
        )  # fmt: skip
        return {"attention_mask": mask, "is_causal": True}

    @staticmethod
    def _pooled(hidden: torch.Tensor, at: torch.Tensor | None) -> torch.Tensor:
        if at is None:
            return hidden
        return hidden[torch.arange(len(hidden), device=hidden.device), at]  # (b, d)

    @property
    def _pads(self) -> bool:
        return self.name == "text" and FAMILIES[self.encoder.family].pads_to_full_length

    @property
    def _norm(self) -> nn.Module:
        return getattr(
            self.network, "post_layernorm" if self.name == "vision" else "final_layer_norm"
        )

    @property
    def _head(self) -> nn.Module:
        path = FAMILIES[self.encoder.family].heads[TOWERS.index(self.name)]
        return self.encoder.model.get_submodule(path)


def pooled_last_layer(
    layer: nn.Module, hidden: torch.Tensor, at: torch.Tensor, *, causal: bool
) -> torch.Tensor:
    """What a tower's last layer makes of its pooled token alone: (b, t, d) to (b, d).

    Keys and values of all tokens, but query, attention, output and MLP of one: the same numbers at
    a fraction of the work. ``layer`` is one of CLIP or SigLIP, its projections adapted or not, and
    ``at``, (b,) int64, the pooled token of each item; if ``causal``, it attends to no later token.
    """
    attention, (b, t, d) = layer.self_attn, hidden.shape
    rows = torch.arange(b, device=hidden.device)
    normed = layer.layer_norm1(hidden)
    query = attention.q_proj(normed[rows, at])[:, None]  # (b, 1, d)
    keys, values = attention.k_proj(normed), attention.v_proj(normed)  # (b, t, d)
    query, keys, values = (
        x.view(b, -1, attention.num_heads, d // attention.num_heads).transpose(1, 2)
        for x in (query, keys, values)
    )  # (b, heads, 1 or t, d / heads)
    seen = torch.arange(t, device=hidden.device) <= at[:, None] if causal else None  # (b, t)
    mask = None if seen is None else seen[:, None, None]
    mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
    pooled = hidden[rows, at] + attention.out_proj(mixed.reshape(b, d))
    return pooled + layer.mlp(layer.layer_norm2(pooled))
