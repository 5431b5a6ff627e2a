"""Where a vision tower looks: attention maps of CLIP and SigLIP, computed from queries and keys.

The weights are not asked of the model, whose fast attention keeps none; they follow from what its
``q_proj`` and ``k_proj`` give, while it runs as always. So adapted models are served too.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import nn

from helpers.first.models.encoders import Encoder, Picture
from helpers.first.models.hidden import (
    grid_side,
    n_patches,
    n_tokens,
    removed_after,
    run_vision,
    vision_layers,
)
from helpers.first.models.prompts import with_tokens, without_tokens

KINDS = {"clip": ("rollout", "last"), "siglip": ("rollout", "pooling")}


def attention_maps(
    encoder: Encoder,
    images: Iterable[Picture],
    *,
    kind: str = "rollout",
    batch_size: int = 64,
    progress: bool = False,
) -> np.ndarray:
    """How much of a picture's embedding each patch is attended for; heads are averaged.

    ``last`` (CLIP) is the class token's attention in the last layer; ``pooling`` (SigLIP) that of
    the head which pools the patches. ``rollout`` carries either of them down to the pixels through
    all layers (see :func:`rollout`). The share of CLIP's class token, and that of a prompt's
    learned tokens, is left out, so every map sums to 1. A map says what was mixed, not what
    mattered: Jain and Wallace, "Attention is not explanation" (2019).

    Parameters
    ----------
    encoder : Encoder
    images : iterable of PIL.Image.Image or of functions that load one
        Squares, or maps will not lie where the picture is: processors crop or stretch.
    kind : {"rollout", "last", "pooling"}
        See ``attention_kinds``.
    batch_size : int
    progress : bool

    Returns
    -------
    (n, h, w) float32
        One value a patch, row by row from the top left; each map sums to 1.

    Raises
    ------
    ValueError
        If there is no picture, or this family has no map of that kind.

    Examples
    --------
    >>> maps = attention_maps(load_encoder("tiny-clip"), pictures)  # doctest: +SKIP
    """
    if kind not in attention_kinds(encoder):
        raise ValueError(
            f"{encoder.name} ({encoder.family}) has no {kind!r} map; use one of "
            f"{', '.join(attention_kinds(encoder))}"
        )
    side, seen = grid_side(encoder), _Seen(encoder, all_layers=kind == "rollout")
    found = []
    with removed_after(seen.hooks):
        for _ in run_vision(encoder, images, batch_size=batch_size, progress=progress):
            tokens = seen.on_tokens(kind)  # (b, tokens)
            patches = tokens[:, -n_patches(encoder) :]
            shares = patches / patches.sum(dim=1, keepdim=True)
            found.append(shares.reshape(-1, side, side).cpu().numpy())
            seen.forget()
    return np.concatenate(found)


def attention_kinds(encoder: Encoder) -> tuple[str, str]:
    """The kinds of map that a model's family has: through all layers, and of the last one alone."""
    return KINDS[encoder.family]


def rollout(layers: Sequence[torch.Tensor]) -> torch.Tensor:
    """Attention through all layers, residual connections counted as half.

    Abnar and Zuidema, "Quantifying attention flow in transformers" (2020), equation 1: with
    ``A_i = (W_i + I) / 2`` the product ``A_L ... A_2 A_1``, whose row t says how much of token t
    came from each input token.

    Parameters
    ----------
    layers : sequence of (..., n, n) float, rows sum to 1
        From the first layer to the last, heads averaged.

    Returns
    -------
    (..., n, n) float, rows sum to 1

    Raises
    ------
    ValueError
        If there is no layer.
    """
    if not len(layers):
        raise ValueError("rollout needs the attention of at least one layer")
    first = layers[0]
    total = torch.eye(first.shape[-1], dtype=first.dtype, device=first.device).expand(first.shape)
    for weights in layers:
        total = (weights @ total + total) / 2
    return total


def prompted_rollout(layers: Sequence[torch.Tensor], n: int) -> torch.Tensor:
    """:func:`rollout` where learned tokens join the n of the tower for some layers.

    What comes from a learned token comes from no place of the picture, so rows may sum to less
    than 1.

    Parameters
    ----------
    layers : sequence of (b, n + e, n + e) float
        e may differ from layer to layer; learned tokens stand after the first one.
    n : int

    Returns
    -------
    (b, n, n) float
    """
    if all(weights.shape[-1] == n for weights in layers):
        return rollout(layers)
    batch, device = len(layers[0]), layers[0].device
    total = torch.eye(n, device=device).repeat(batch, 1, 1)
    for weights in layers:
        more = weights.shape[-1] - total.shape[1]
        if more > 0:
            total = with_tokens(total, torch.zeros(more, n, device=device))  # (b, n + e, n)
        elif more < 0:
            total = without_tokens(total, -more)
        total = (weights @ total + total) / 2
    return without_tokens(total, total.shape[1] - n)


def mean_attention(queries: torch.Tensor, keys: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Softmax attention, averaged over heads.

    Parameters
    ----------
    queries : (b, q, d) float
    keys : (b, k, d) float
        As the projections give them, heads side by side.
    n_heads : int

    Returns
    -------
    (b, q, k) float32, rows sum to 1
    """
    batch, _, width = queries.shape
    split = (batch, -1, n_heads, width // n_heads)
    q, k = (x.float().reshape(split).transpose(1, 2) for x in (queries, keys))  # (b, heads, ., .)
    logits = q @ k.transpose(-1, -2) * (width // n_heads) ** -0.5
    return logits.softmax(dim=-1).mean(dim=1)


class _Seen:
    """What the hooks saw in one batch: heads averaged at once, so that little is held."""

    def __init__(self, encoder: Encoder, *, all_layers: bool) -> None:
        self.siglip, self.n = encoder.family == "siglip", n_tokens(encoder)
        self.hooks, self.layers, self.pooling = [], [], None
        chosen = vision_layers(encoder) if all_layers else vision_layers(encoder)[-1:]
        if all_layers or not self.siglip:
            for layer in chosen:
                self._watch(getattr(layer, "layer", layer).self_attn)  # a prompt wraps its layers
        if self.siglip:
            pools = [
                m
                for m in encoder.model.vision_model.head.modules()
                if isinstance(m, nn.MultiheadAttention)
            ]
            # A retrained head stands beside the original one; only the one in use is called.
            self.hooks += [m.register_forward_pre_hook(self._pool, with_kwargs=True) for m in pools]

    def _watch(self, attention: nn.Module) -> None:
        held: dict[str, torch.Tensor] = {}
        for name in ("q_proj", "k_proj"):
            module = getattr(attention, name)
            self.hooks.append(
                module.register_forward_hook(
                    lambda _m, _a, out, name=name: held.update({name: out})
                )
            )

        def done(_module: nn.Module, _args: tuple, _out: object) -> None:
            queries, keys = held.pop("q_proj"), held.pop("k_proj")
            self.layers.append(mean_attention(queries, keys, attention.num_heads))

        self.hooks.append(attention.register_forward_hook(done))

    def _pool(self, module: nn.MultiheadAttention, args: tuple, kwargs: dict) -> None:
        probe, states = (*args, *kwargs.values())[:2]
        into, bias = module.in_proj_weight, module.in_proj_bias
        width = module.embed_dim
        queries = nn.functional.linear(probe, into[:width], bias[:width])
        keys = nn.functional.linear(states, into[width : 2 * width], bias[width : 2 * width])
        self.pooling = mean_attention(queries, keys, module.num_heads)[:, 0]  # (b, tokens)

    def on_tokens(self, kind: str) -> torch.Tensor:
        """(b, tokens): how much each token of the tower is attended for."""
        if kind == "pooling":
            return self.pooling
        if kind == "last":
            row = self.layers[-1][:, 0, :, None]  # (b, tokens, 1)
            return without_tokens(row, row.shape[1] - self.n)[..., 0]
        through = prompted_rollout(self.layers, self.n)  # (b, tokens, tokens)
        if not self.siglip:
            return through[:, 0]
        return (self.pooling[:, None] @ through)[:, 0]

    def forget(self) -> None:
        """Make room for the next batch."""
        self.layers.clear()
        self.pooling = None
