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
from matplotlib.patches import Rectangle
from PIL import Image
from torch import nn

from helpers.evaluation.stats import Sample, estimate
from helpers.models.encoder import Encoder
from helpers.report.style import INK, plain
from helpers.topics.distributions.trajectories import last_step, signed


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
    vision, seen, hooks = encoder.model.vision_model, {}, []

    def class_token(module: Any, args: tuple, states: Mapping[str, Any]) -> None:
        tokens = args[0] if args else states["hidden_states"]  # (b, t, d)
        q, k = (
            one.float().unflatten(2, (module.num_heads, -1)).transpose(1, 2)  # (b, heads, t, d / h)
            for one in (module.q_proj(tokens)[:, :1], module.k_proj(tokens))
        )
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)
        seen["pooled"] = weights.mean(dim=1)[:, 0]

    if encoder.family == "siglip":  # a retrained head stands beside the original; one is called
        for module in vision.head.modules():
            if isinstance(module, nn.MultiheadAttention):
                hooks.append(module.register_forward_hook(
                    lambda m, args, out: seen.update(pooled=out[1][:, 0])))  # fmt: skip
    else:
        last = vision.encoder.layers[-1].self_attn
        hooks.append(last.register_forward_pre_hook(class_token, with_kwargs=True))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


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
        known = {"item": marked.items, "region": region, "images": images}
        for step, weights in zip(steps, maps * covered, strict=True):
            numbers = {"share": weights.sum(axis=(1, 2)), "area": covered.mean(axis=(1, 2))}
            parts.append(pd.DataFrame({"step": step, **known, **numbers}))
    frame = pd.concat(parts, ignore_index=True)
    return frame.astype({"share": "float32", "area": "float32"})


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
    what = "with watermark minus without" if "clean" in set(shares["images"]) else "share"
    told = []
    for name, part in last_step(attracted(shares)).groupby("condition", sort=False):
        found = estimate(Sample(part["share"].to_numpy()[None], part["item"].tolist()))
        told.append(f"{name} {signed(found, scale=100)}")
    text = f"Attention on the watermark, {what}, points: {'; '.join(told)}."
    dish = shares[(shares["region"] == "dish") & (shares["images"] == "watermarked")]
    if len(dish):
        before = dish.loc[dish["step"] == dish["step"].min(), "share"].mean()
        after = last_step(dish).groupby("condition", sort=False)["share"].mean()
        more = ", ".join(f"{name} {value:.1%}" for name, value in after.items())
        text += f" Share on the dish, {before:.1%} before training: {more}."
    return text


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
            for region, masks in marked.masks.items():
                mask, scale = masks[i], image.width / masks[i].shape[1]
                if region == "watermark" and mask.any():
                    # Its box: letters alone make no outline that can be read.
                    down, right = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
                    corner, size = (right[0], down[0]), (np.ptp(right) + 1, np.ptp(down) + 1)
                    ax.add_patch(Rectangle(np.multiply(corner, scale), *np.multiply(size, scale),
                                           fill=False, ec="white", lw=1.2))  # fmt: skip
                elif mask.any() and not mask.all():
                    grid = ((np.arange(k) + 0.5) * scale for k in mask.shape[::-1])
                    ax.contour(*grid, mask.astype(float), levels=[0.5], colors=["white"],
                               linewidths=1.2, linestyles=[":"])  # fmt: skip
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
    for ax, name in zip(axes[:, 0], ("image", *maps), strict=True):
        ax.set_ylabel(plain(name), rotation=0, ha="right", va="center", fontsize=8.5, color=INK)
    fig.colorbar(shown, ax=axes[1:, :], shrink=0.9, pad=0.015, aspect=18, extend="max",
                 label="attention, times the even share")  # fmt: skip
    fig.suptitle(plain(heading), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return fig
