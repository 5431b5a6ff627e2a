"""A tower of CLIP or SigLIP cut in two: what an adapter leaves as it was, and what comes after it.

When LoRA sits on the last k layers, all below is a constant of the picture or the caption. A tower
is cut at a *cut*, a number: i below its depth is what enters layer i, its depth is what enters the
head (CLIP's projection, SigLIP's ``head``), one more is the embedding itself.

The suffix calls the adapted model's own layers, so that whatever an adapter put into them works. Of
a text, padding is left out where it changes nothing: under CLIP's causal mask no token sees what
comes after it, and the end token is pooled. SigLIP's text tower has no mask, was trained on padded
texts and pools the last token of its full length, which the padding shapes: there it stays.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn
from transformers.masking_utils import create_causal_mask

from helpers.first.models.encoders import Encoder
from helpers.first.models.loading import weights_fingerprint
from helpers.first.models.one_token import drawn_for_all, knows, last_layer, pooling_head
from helpers.first.models.placement import Placement, adapted_layers
from helpers.repro import hash_of

TOWERS = ("vision", "text")


class PrefixError(ValueError):
    """A prefix that cannot be kept, or a kept one that cannot be used."""


@dataclass(frozen=True)
class Texts:
    """Tokens of b captions without needless padding.

    Attributes
    ----------
    ids : (b, t) int64
    mask : (b, t) int64 or None
        0 where a token is padding; SigLIP has none.
    ends : (b,) int64
        The token that is pooled.
    full : int
        How many tokens the captions had before padding was left out.
    """

    ids: torch.Tensor
    mask: torch.Tensor | None
    ends: torch.Tensor
    full: int

    def to(self, device: str) -> "Texts":
        """The same on another device."""
        mask = None if self.mask is None else self.mask.to(device)
        return Texts(self.ids.to(device), mask, self.ends.to(device), self.full)


Inputs = torch.Tensor | Texts  # pixel values (b, 3, px, px), or texts


@dataclass(frozen=True)
class SplitTower:
    """One tower of a model.

    Attributes
    ----------
    encoder : Encoder
        With an adapter on it or not.
    name : str
        ``vision`` or ``text``.
    """

    encoder: Encoder
    name: str

    @cached_property
    def network(self) -> nn.Module:
        """``vision_model`` or ``text_model``."""
        return getattr(self.encoder.model, f"{self.name}_model")

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.network.encoder.layers)

    def below(self, cut: int) -> dict[str, nn.Module]:
        """The modules whose work is done at a cut, by name."""
        network, clip = self.network, self.encoder.family == "clip"
        found = {"embeddings": network.embeddings}
        if clip and self.name == "vision":
            found["pre_layrnorm"] = network.pre_layrnorm  # so spelled in transformers
        found |= {f"layer {i}": m for i, m in enumerate(network.encoder.layers[:cut])}
        if cut >= self.depth:
            found["norm"] = self._norm
        if cut > self.depth:
            found["head"] = self._head
        return found

    def prefix(self, inputs: Inputs, cuts: Sequence[int]) -> list[torch.Tensor]:
        """The states at some cuts in one pass.

        Parameters
        ----------
        inputs : (b, 3, px, px) float32, or Texts
        cuts : sequence of int
            Distinct.

        Returns
        -------
        list of tensors
            For each cut (b, t, d), or (b, d) where one token was pooled.
        """
        found, last = {}, max(cuts)
        hidden = self._embedded(inputs)
        mask, options = self._attention(hidden, inputs)
        for i, layer in enumerate(self.network.encoder.layers[:last]):
            if i in cuts:
                found[i] = hidden
            hidden = layer(hidden, mask, **options)
        if last < self.depth:
            found[last] = hidden
        else:
            found[self.depth] = self._pooled(hidden, inputs)
        if last > self.depth:
            found[last] = self._through_head(found[self.depth])
        return [found[cut] for cut in cuts]

    def suffix(self, states: torch.Tensor, cut: int, inputs: Texts | None) -> torch.Tensor:
        """Embeddings (b, dimension) from the states at a cut, with a graph.

        Parameters
        ----------
        states : (b, t, d) or (b, d)
        cut : int
        inputs : Texts or None
            Where the texts end; None for pictures.
        """
        if cut > self.depth:
            return states
        if cut < self.depth:
            states = self._through_layers(states, cut, inputs)
        return self._through_head(states)

    def whole(self, inputs: Inputs) -> torch.Tensor:
        """Embeddings (b, dimension) from pixels or texts: nothing kept, the last layer lean."""
        with torch.no_grad():
            hidden = self._embedded(inputs)
        return self.suffix(hidden, 0, inputs if isinstance(inputs, Texts) else None)

    def _embedded(self, inputs: Inputs) -> torch.Tensor:
        if isinstance(inputs, Texts):
            return self.network.embeddings(input_ids=inputs.ids)
        hidden = self.network.embeddings(inputs)
        return self.network.pre_layrnorm(hidden) if self.encoder.family == "clip" else hidden

    def _attention(
        self, hidden: torch.Tensor, inputs: Inputs | None
    ) -> tuple[torch.Tensor | None, dict[str, bool]]:
        """The mask and options that the model itself hands to its layers."""
        if not isinstance(inputs, Texts) or self.encoder.family != "clip":
            return None, {}
        mask = create_causal_mask(
            config=self.network.config,
            inputs_embeds=hidden,
            attention_mask=inputs.mask,
            past_key_values=None,
        )
        return mask, {"is_causal": True}

    def _through_layers(self, hidden: torch.Tensor, cut: int, inputs: Texts | None) -> torch.Tensor:
        """What enters the head, from what enters layer ``cut``."""
        *layers, last = self.network.encoder.layers[cut:]
        mask, options = self._attention(hidden, inputs)
        b, t, _ = hidden.shape
        kept = torch.arange(t, device=hidden.device).expand(b, -1)
        full = t if inputs is None else inputs.full
        for layer in layers:
            with drawn_for_all(layer, kept, full) if full > t else nullcontext():
                hidden = layer(hidden, mask, **options)
        at = self._pooled_token(hidden, inputs)
        if at is None or not knows(last):
            with drawn_for_all(last, kept, full) if full > t else nullcontext():
                return self._pooled(last(hidden, mask, **options), inputs)
        allowed = None
        if mask is not None or options:
            allowed = kept <= at[:, None]
            if inputs.mask is not None:
                allowed = allowed & inputs.mask.bool()
        return self._norm(last_layer(last, hidden, at, allowed=allowed, full=full))

    def _pooled_token(self, hidden: torch.Tensor, inputs: Inputs | None) -> torch.Tensor | None:
        """(b,) int64; None where the head looks at all tokens."""
        if isinstance(inputs, Texts):
            return inputs.ends
        if self.encoder.family == "clip":
            return torch.zeros(len(hidden), dtype=torch.long, device=hidden.device)
        return None

    def _pooled(self, hidden: torch.Tensor, inputs: Inputs | None) -> torch.Tensor:
        at = self._pooled_token(hidden, inputs)
        if at is not None:
            hidden = hidden[torch.arange(len(hidden), device=hidden.device), at]  # (b, d)
        return self._norm(hidden)

    def _through_head(self, states: torch.Tensor) -> torch.Tensor:
        if self.name == "vision" and self.encoder.family == "siglip":
            return pooling_head(self._head, states)
        return self._head(states)

    @property
    def _norm(self) -> nn.Module:
        name = "post_layernorm" if self.name == "vision" else "final_layer_norm"
        return getattr(self.network, name)

    @property
    def _head(self) -> nn.Module:
        if self.encoder.family == "siglip":
            return self.network.head
        name = "visual_projection" if self.name == "vision" else "text_projection"
        return getattr(self.encoder.model, name)


def cuts_of(placement: Placement, encoder: Encoder) -> dict[str, int]:
    """Where each tower is cut for a placement: at its first adapted layer, head, or not at all.

    Raises
    ------
    PlacementError
        If the model has fewer layers than are asked for, or is neither CLIP nor SigLIP.

    Examples
    --------
    >>> cuts_of(Placement(vision_layers=2, text_layers=0), encoder)  # doctest: +SKIP
    {'vision': 4, 'text': 5}
    """
    cuts = {}
    for tower, numbers in adapted_layers(placement, encoder.model).items():
        after = numbers.stop + (0 if placement.heads else 1)
        cuts[tower] = numbers.start if numbers else after
    return cuts


def trimmed(tokens: dict[str, torch.Tensor], encoder: Encoder) -> Texts:
    """Captions as the text tower needs them; see the module on padding.

    Parameters
    ----------
    tokens : dict of (b, length) int64
        ``input_ids`` and, for CLIP, ``attention_mask``.
    """
    ids, mask = tokens["input_ids"], tokens.get("attention_mask")
    full = ids.shape[1]
    if encoder.family == "siglip":
        return Texts(ids, None, torch.full((len(ids),), full - 1), full)
    ends = end_tokens(ids, encoder.model.config.text_config.eos_token_id)
    kept = int(ends.max()) + 1
    return Texts(ids[:, :kept], None if mask is None else mask[:, :kept], ends, full)


def end_tokens(ids: torch.Tensor, eos_token_id: int) -> torch.Tensor:
    """(b,) int64: the token that CLIP pools.

    It is the first end token; the configurations of the first checkpoints name 2 as its number,
    which is wrong, and have the largest number taken for it.

    >>> end_tokens(torch.tensor([[5, 9, 7, 7]]), 7), end_tokens(torch.tensor([[5, 7, 9, 9]]), 2)
    (tensor([2]), tensor([2]))
    """
    found = ids if eos_token_id == 2 else (ids == eos_token_id).int()
    return found.argmax(dim=-1)


def fingerprint_below(modules: dict[str, nn.Module]) -> str:
    """A hash of the weights and kinds of some modules: what decides the states above them."""
    parts = [
        [name, [type(part).__name__ for part in module.modules()], weights_fingerprint(module)]
        for name, module in modules.items()
    ]
    return hash_of(parts, digits=16)
