"""Images changed as photographs of the same dish differ: turned, cropped, lit, blurred.

What a transform must not change is what the caption says, and a library cannot know that:

- ``vertical_flip`` and quarter turns suit a plate seen from above; a burger or a cup seen from the
  side stands on its head, and "left of" or "on top" in a caption becomes false.
- ``horizontal_flip`` mirrors writing and "left" and "right".
- ``crop_and_resize`` can cut off the garnish at the rim that the caption names.
- ``brightness``, ``contrast`` and ``saturation`` keep the hue. There is no change of hue here on
  purpose: it would make "a red plate" false.
- ``noise`` and ``blur`` count in values and pixels of the image as it is: what is mild at 512
  pixels hides sesame seeds at 64.

Everything random about an image is one row of numbers in [0, 1) for each transform, drawn before:
``[whether, how strongly, from the left, from the top]``. So an image is changed alike in any batch.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from kornia import enhance
from kornia.filters import gaussian_blur2d
from kornia.geometry import transform as geometry
from PIL import Image
from torch import Tensor

from helpers.topics.augmentation.config import ImageRule

Rules = Mapping[str, ImageRule]
Transform = Callable[[Tensor, Tensor, Tensor], Tensor]
N_CHANCES = 4


def chances_of(keys: Sequence[str], rules: Rules, *, seed: int, copy: int = 0) -> Tensor:
    """The random numbers of some images, (n, transforms, 4) float64: of seed, key and copy alone.

    >>> from helpers.topics.augmentation.config import load_config
    >>> chances_of(["a.jpg", "b.jpg"], load_config().images, seed=1).shape
    torch.Size([2, 10, 4])
    """
    shape = (len(rules), N_CHANCES)
    hashed = (hashlib.sha256(f"{seed}/{copy}/{key}".encode()).digest() for key in keys)
    rows = [np.random.default_rng(int.from_bytes(one[:8], "big")).random(shape) for one in hashed]
    return torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0, *shape)


def training_transform(rules: Rules) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Augmentation for :func:`helpers.training.runs.train_lora`: drawn afresh at every step.

    As many numbers are drawn of the generator whatever is done with them.
    """

    def transform(pixels: Tensor, generator: torch.Generator) -> Tensor:
        shape = (len(pixels), len(rules), N_CHANCES)
        return augment(pixels, torch.rand(shape, generator=generator, dtype=torch.float64), rules)

    return transform


def augment(
    pixels: Tensor, chances: Tensor, rules: Rules, *,
    transforms: Mapping[str, Transform] | None = None,
) -> Tensor:  # fmt: skip
    """A changed copy of a batch, one transform after the other, in the order of the rules.

    Parameters
    ----------
    pixels : (n, 3, h, w) float32 in [0, 1]
    chances : (n, len(rules), 4) float in [0, 1)
        See :func:`chances_of`.
    transforms : mapping of name to function, optional
        In the place of those in ``TRANSFORMS``.

    Raises
    ------
    ValueError
        For another shape, values outside [0, 1], or a quarter turn of an image that is not square.
    """
    _check(pixels, chances, len(rules))
    table, result = {**TRANSFORMS, **(transforms or {})}, pixels.clone()
    for i, (name, rule) in enumerate(rules.items()):
        rows = torch.nonzero(used(chances, rules)[:, i]).flatten()
        if len(rows):
            mine = chances[rows, i]
            changed = table[name](result[rows], strengths(rule, mine[:, 1]), mine[:, 2:])
            result[rows] = changed.clamp(0, 1)
    return result


def each_alone(
    pixels: Tensor, keys: Sequence[str], rules: Rules, *, seed: int,
    transforms: Mapping[str, Transform] | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """A batch after each transform alone, which every image gets whatever its probability."""
    found = {}
    for name, rule in rules.items():
        alone = {name: rule.model_copy(update={"enabled": True, "probability": 1.0})}
        chances = chances_of(keys, alone, seed=seed)
        found[name] = augment(pixels, chances, alone, transforms=transforms)
    return found


def used(chances: Tensor, rules: Rules) -> Tensor:
    """(n, len(rules)) bool: which transforms an image gets."""
    limits = torch.tensor([rule.probability * rule.enabled for rule in rules.values()])
    return chances[:, :, 0] < limits.to(chances)


def strengths(rule: ImageRule, u: Tensor) -> Tensor:
    """Strengths from numbers in [0, 1): evenly from ``range`` or ``values``; 0 where neither is."""
    if values := getattr(rule, "values", None):
        return torch.tensor(values, dtype=torch.float32)[(u * len(values)).long()]
    low, high = getattr(rule, "range", (0.0, 0.0))
    return (low + (high - low) * u).float()


def pixels_of(images: Sequence[Image.Image], *, px: int = 0) -> Tensor:
    """Images of one size, or brought to ``px`` x ``px``, as (n, 3, h, w) float32 in [0, 1]."""
    alike = (one.resize((px, px)) if px and one.size != (px, px) else one for one in images)
    values = np.stack([np.asarray(image.convert("RGB")) for image in alike])
    return torch.from_numpy(values).permute(0, 3, 1, 2).float() / 255


def images_of(pixels: Tensor) -> list[Image.Image]:
    """The inverse of :func:`pixels_of`, rounded to eight bits."""
    values = (pixels.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(value) for value in values]


def _rotation(x: Tensor, degrees: Tensor, at: Tensor) -> Tensor:
    # Black corners would tell a model which images were turned: the image is mirrored instead.
    return geometry.rotate(x, degrees.to(x), padding_mode="reflection")


def _quarter_turns(x: Tensor, degrees: Tensor, at: Tensor) -> Tensor:
    if x.shape[-1] != x.shape[-2]:
        raise ValueError(
            f"quarter turns need square images, these are {x.shape[-1]} x {x.shape[-2]}; "
            "normalise them with fit='crop' or switch quarter_turns off"
        )
    turns = (degrees / 90).int().tolist()
    return torch.stack([torch.rot90(one, k, (1, 2)) for one, k in zip(x, turns, strict=True)])


def _crop_and_resize(x: Tensor, share: Tensor, at: Tensor) -> Tensor:
    """A window that keeps ``share`` of each side, back at full size."""
    last = torch.tensor([x.shape[-1] - 1, x.shape[-2] - 1])
    low = at * (1 - share)[:, None] * last  # (n, 2): left, top
    high = low + share[:, None] * last
    corners = [(low[:, 0], low[:, 1]), (high[:, 0], low[:, 1]), (high[:, 0], high[:, 1]),
               (low[:, 0], high[:, 1])]  # fmt: skip
    boxes = torch.stack([torch.stack(corner, 1) for corner in corners], 1).to(x)  # (n, 4, 2)
    return geometry.crop_and_resize(x, boxes, tuple(x.shape[-2:]), padding_mode="border")


def _blur(x: Tensor, radius: Tensor, at: Tensor) -> Tensor:
    """A kernel of three radii to each side, or as far as the image allows; each image its own."""
    blurred = []
    for one, sigma in zip(x, radius.tolist(), strict=True):
        reach = min(int(np.ceil(3 * sigma)), min(x.shape[-2:]) - 1)
        blurred.append(gaussian_blur2d(one[None], 2 * reach + 1, x.new_tensor([[sigma, sigma]])))
    return torch.cat(blurred)


def _noise(x: Tensor, std: Tensor, at: Tensor) -> Tensor:
    seeds = (at[:, 0].double() * 2**52).long().tolist()
    grain = [torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(s)) for s in seeds]
    return x + std.view(-1, 1, 1, 1).to(x) / 255 * torch.stack(grain).to(x)


# (n, 3, h, w) pixels, (n,) strengths, (n, 2) places in [0, 1) to pixels. Strengths are degrees, a
# share of the side, a factor, pixels, or a standard deviation of 255.
TRANSFORMS: dict[str, Transform] = {
    "horizontal_flip": lambda x, _, at: geometry.hflip(x),
    "vertical_flip": lambda x, _, at: geometry.vflip(x),
    "rotation": _rotation,
    "quarter_turns": _quarter_turns,
    "crop_and_resize": _crop_and_resize,
    "brightness": lambda x, f, at: enhance.adjust_brightness_accumulative(x, f),
    "contrast": lambda x, f, at: enhance.adjust_contrast_with_mean_subtraction(x, f),
    "saturation": lambda x, f, at: enhance.adjust_saturation_with_gray_subtraction(x, f),
    "blur": _blur,
    "noise": _noise,
}


def _check(pixels: Tensor, chances: Tensor, n_rules: int) -> None:
    shape = tuple(pixels.shape)
    if pixels.ndim != 4 or shape[1] != 3 or not pixels.is_floating_point():
        raise ValueError(f"pixels have shape {shape} and {pixels.dtype}; (n, 3, h, w) float needed")
    if tuple(chances.shape) != (shape[0], n_rules, N_CHANCES):
        raise ValueError(
            f"chances have shape {tuple(chances.shape)}; {(shape[0], n_rules, N_CHANCES)} needed "
            "for these images and rules"
        )
    if pixels.numel() and not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(
            f"pixel values from {pixels.min():.3g} to {pixels.max():.3g}; they must be in [0, 1]: "
            "augment before the processor normalises them"
        )
