"""How much of an image's embedding comes from which patches: attention of the last pooling.

SigLIP pools its patches by an attention head, CLIP by the class token in the last layer. The maps
are computed from the queries and keys of that attention while the model runs as always, so that
adapted models are served too. A map says what was mixed, not what mattered (Jain and Wallace,
"Attention is not explanation", 2019).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from helpers.models.encoder import Encoder
from helpers.report.style import INK, plain

REGIONS = ("watermark", "dish")


@dataclass(frozen=True)
class Marked:
    """Images with watermarks: each image, its item, and by region a mask for each, (h, w) bool.

    ``clean`` are the same images without their watermarks, where they are known.
    """

    images: list[Image.Image]
    items: list[str]
    masks: Mapping[str, Sequence[np.ndarray]]
    clean: list[Image.Image] | None = None


def attention_maps(
    encoder: Encoder, images: Sequence[Image.Image], *, batch_size: int = 64
) -> np.ndarray:
    """The share of each patch in the pooled embedding, (n, h, w) float32; every map sums to 1.

    Heads are averaged, and the share of CLIP's class token is left out.
    """
    config = encoder.model.config.vision_config
    side, found = config.image_size // config.patch_size, []
    with _watched(encoder) as seen, torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = encoder.prepare_images(images[start : start + batch_size])
            encoder.image_features(batch)
            patches = seen.pop("pooled")[:, -(side**2) :]  # (b, patches)
            found.append((patches / patches.sum(dim=1, keepdim=True)).cpu().numpy())
    return np.concatenate(found).reshape(-1, side, side).astype(np.float32)


@contextmanager
def _watched(encoder: Encoder) -> Iterator[dict[str, torch.Tensor]]:
    """Put the attention of the pooled token into a dict, ``pooled`` (b, tokens), at each run."""
    vision, seen = encoder.model.vision_model, {}

    def pooling(module: nn.MultiheadAttention, args: tuple, given: dict) -> None:
        probe, states = (*args, *given.values())[:2]
        width, into, bias = module.embed_dim, module.in_proj_weight, module.in_proj_bias
        query = nn.functional.linear(probe, into[:width], bias[:width])
        key = nn.functional.linear(states, into[width : 2 * width], bias[width : 2 * width])
        seen["pooled"] = mean_attention(query, key, module.num_heads)[:, 0]

    def last(module: Any, *_: Any) -> None:
        query, key = seen.pop("q_proj"), seen.pop("k_proj")
        seen["pooled"] = mean_attention(query[:, :1], key, module.num_heads)[:, 0]

    if encoder.family == "siglip":  # a retrained head stands beside the original; one is called
        heads = [m for m in vision.head.modules() if isinstance(m, nn.MultiheadAttention)]
        hooks = [m.register_forward_pre_hook(pooling, with_kwargs=True) for m in heads]
    else:
        attention = vision.encoder.layers[-1].self_attn
        hooks = [
            getattr(attention, name).register_forward_hook(
                lambda module, args, out, name=name: seen.update({name: out})
            )
            for name in ("q_proj", "k_proj")
        ]
        hooks.append(attention.register_forward_hook(last))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def mean_attention(queries: torch.Tensor, keys: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Softmax attention, mean over heads: (b, q, d) and (b, k, d) to (b, q, k), rows sum to 1."""
    batch, part = len(queries), queries.shape[2] // n_heads
    q, k = (x.float().reshape(batch, -1, n_heads, part).transpose(1, 2) for x in (queries, keys))
    return (q @ k.transpose(-1, -2) / part**0.5).softmax(dim=-1).mean(dim=1)


def coverage(masks: Sequence[np.ndarray], side: int) -> np.ndarray:
    """Which share of each patch a mask covers: n of (h, w) bool to (n, side, side) in [0, 1]."""
    small = [Image.fromarray(mask.astype(np.float32)).resize((side, side), Image.Resampling.BOX)
             for mask in masks]  # fmt: skip
    return np.stack([np.asarray(one) for one in small])


def share_frame(
    maps: np.ndarray, steps: Sequence[int], marked: Marked, *, images: str = "watermarked"
) -> pd.DataFrame:
    """``step``, ``item``, ``region``, ``images``, ``share`` of the attention, ``area``.

    ``maps`` are (evaluations, n, h, w).
    """
    parts = []
    for region, masks in marked.masks.items():
        covered = coverage(masks, maps.shape[-1])
        shares = (maps * covered).sum(axis=(2, 3))  # (evaluations, n)
        parts += [
            pd.DataFrame({"step": step, "item": marked.items, "region": region, "images": images,
                          "share": shares[i], "area": covered.mean(axis=(1, 2))})
            for i, step in enumerate(steps)
        ]  # fmt: skip
    frame = pd.concat(parts, ignore_index=True)
    return frame.astype({"share": "float32", "area": "float32"})


def last_shares(shares: pd.DataFrame) -> pd.Series:
    """Mean share after the last step by ``region``, ``condition`` and ``images``."""
    last = shares[shares["step"] == shares["step"].max()]
    return last.groupby(["region", "condition", "images"], sort=False)["share"].mean()


def attracted(shares: pd.DataFrame) -> pd.DataFrame:
    """The share on each watermark minus that on its place in the clean image, item by item.

    The share itself, where no clean images are known. ``condition``, ``step``, ``item``, ``share``.
    """
    on_mark = shares[shares["region"] == "watermark"].astype({"share": float})
    keys = ["condition", "step", "item"]
    wide = on_mark.pivot_table("share", keys, "images", sort=False)
    return (wide["watermarked"] - wide.get("clean", 0.0)).rename("share").reset_index()


def shares_told(shares: pd.DataFrame) -> str:
    """Sentences after training: what watermarks attract, and the share on the dish."""
    drawn = attracted(shares)
    last = drawn[drawn["step"] == drawn["step"].max()].groupby("condition", sort=False)["share"]
    what = "with watermark minus without" if "clean" in set(shares["images"]) else "share"
    told = f"On the watermark, {what}, points: "
    told += ", ".join(f"{name} {100 * value:+.2f}" for name, value in last.mean().items()) + "."
    dish = {name: value for (region, name, images), value in last_shares(shares).items()
            if (region, images) == ("dish", "watermarked")}  # fmt: skip
    if dish:
        values = ", ".join(f"{name} {value:.1%}" for name, value in dish.items())
        told += f" Share on the dish: {values}."
    return told


def _box(mask: np.ndarray) -> np.ndarray:
    """The smallest box around a mask: letters alone make no outline that can be read."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.zeros_like(mask)
    box[max(rows[0], 1) : rows[-1] + 1, max(columns[0], 1) : columns[-1] + 1] = True
    box[-1], box[:, -1] = False, False
    return box


def overlays_plot(marked: Marked, maps: Mapping[str, np.ndarray], *, heading: str) -> Figure:
    """Images above, under them a row for each named set of maps, with the regions outlined."""
    n = len(next(iter(maps.values())))
    top = float(np.quantile(np.concatenate([m.ravel() * m[0].size for m in maps.values()]), 0.995))
    fig, axes = plt.subplots(1 + len(maps), n, figsize=(1.4 * n + 1.4, 1.4 * len(maps) + 2.0),
                             layout="constrained", squeeze=False)  # fmt: skip
    for i, image in enumerate(marked.images[:n]):
        box = (0, image.width, image.height, 0)
        axes[0, i].imshow(image, extent=box)
        for ax, found in zip(axes[1:, i], maps.values(), strict=True):
            ax.imshow(image.convert("L"), cmap="gray", extent=box, vmin=-120, vmax=330)
            shown = ax.imshow(found[i] * found[i].size, cmap="inferno", alpha=0.72, extent=box,
                              vmin=0, vmax=top, interpolation="nearest")  # fmt: skip
            for region, style in zip(REGIONS, ("-", ":"), strict=True):
                mask = marked.masks.get(region, np.zeros((n, 1, 1), bool))[i]
                if mask.any() and not mask.all():
                    mask = _box(mask) if region == "watermark" else mask
                    grid = ((np.arange(k) + 0.5) * image.width / k for k in mask.shape[::-1])
                    ax.contour(*grid, mask.astype(float), levels=[0.5], colors=["white"],
                               linewidths=1.2, linestyles=[style])  # fmt: skip
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
    for ax, name in zip(axes[:, 0], ("image", *maps), strict=True):
        ax.set_ylabel(plain(name), rotation=0, ha="right", va="center", fontsize=8.5, color=INK)
    bar = fig.colorbar(shown, ax=axes[1:, :], shrink=0.9, pad=0.015, aspect=18, extend="max")
    bar.set_label("attention, times the even share", fontsize=8.5)
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return fig
