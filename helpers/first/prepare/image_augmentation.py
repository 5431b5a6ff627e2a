"""Images changed as photographs of the same dish differ: turned, cropped, lit, blurred.

What a transform must not change is what the caption says, and a library cannot know that:

- ``vertical_flip`` and quarter turns suit a plate seen from above; a burger, a cake or a cup seen
  from the side stands on its head, and "left of" or "on top" in a caption becomes false.
- ``horizontal_flip`` mirrors writing and "left" and "right".
- ``crop_and_resize`` can cut off the garnish at the rim that the caption names.
- ``brightness``, ``contrast`` and ``saturation`` keep the hue, so that red stays red; at the far
  end of their ranges a white plate is gray and a pale pink one nearly white. There is no change of
  hue here on purpose: it would make "a red plate" false.
- ``noise`` and ``blur`` are measured in values and pixels of the image as it is: what is mild at
  512 pixels hides sesame seeds at 64.

The operations are kornia's functional ones, with strengths drawn here, one generator an image: what
happens to an image depends on seed and key alone, not on the batch that it is in.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import kornia
import numpy as np
import torch
from torch import Tensor

from helpers.first.prepare.augmentation_settings import ImageRule

Rules = Mapping[str, ImageRule]


@dataclass(frozen=True)
class Step:
    """One transform as drawn for one image; ``seed`` is for what it draws itself (where, grain).

    ``value`` is degrees, a share, a factor, pixels or a standard deviation of 255, as in the rule;
    0 for flips.
    """

    name: str
    value: float = 0.0
    seed: int = 0


def key_seed(seed: int, key: str, copy: int = 0) -> int:
    """The seed of an image's own generator: a hash of the run's seed, its key and the copy.

    >>> key_seed(42, "a.jpg") == key_seed(42, "a.jpg", 1)
    False
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{copy}/{key}".encode()).digest()[:7], "big")


def draw_steps(rules: Rules, seed: int) -> tuple[Step, ...]:
    """The transforms for one image, in the order of the rules; often none.

    Switching one transform off leaves the draws of the others as they were.
    """
    steps = []
    for i, (name, rule) in enumerate(rules.items()):
        rng = np.random.default_rng([seed, i])
        if rng.random() < rule.probability and rule.enabled:
            steps.append(_drawn(name, rule, rng))
    return tuple(steps)


def augment_images(
    pixels: Tensor, keys: Sequence[str], *, rules: Rules, seed: int, copy: int = 0
) -> tuple[Tensor, tuple[tuple[Step, ...], ...]]:
    """A changed copy of a batch, and what was done to each image.

    Parameters
    ----------
    pixels : Tensor
        (n, 3, h, w) float32 in [0, 1], RGB.
    keys : sequence of str
        One an image; with ``seed`` and ``copy`` it decides everything.
    rules : mapping
        ``AugmentationConfig.images``.

    Raises
    ------
    ValueError
        For another shape, values outside [0, 1], or a quarter turn of an image that is not square.
    """
    steps = tuple(draw_steps(rules, key_seed(seed, key, copy)) for key in keys)
    return apply_steps(pixels, steps), steps


def apply_one(
    pixels: Tensor, keys: Sequence[str], name: str, *, rules: Rules, seed: int = 42
) -> tuple[Tensor, tuple[Step, ...]]:
    """One named transform on every image, whatever its probability: for before-and-after grids.

    Raises
    ------
    ValueError
        For an unknown name, and as ``augment_images`` does.
    """
    if name not in rules:
        raise ValueError(f"unknown image transform {name!r} (there are {', '.join(rules)})")
    place = list(rules).index(name)
    steps = []
    for key in keys:
        rng = np.random.default_rng([key_seed(seed, key), place])
        rng.random()  # the probability, passed over
        steps.append(_drawn(name, rules[name], rng))
    return apply_steps(pixels, [(step,) for step in steps]), tuple(steps)


def training_augmenter(
    rules: Rules, *, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> Callable[[Tensor, torch.Generator], Tensor]:
    """A callable ``(pixels, generator) -> pixels`` for the training loop.

    Of the generator it draws one number an image, whatever is done: its state after a step depends
    on the number of images alone, which keeps a resumed run on its track.

    Parameters
    ----------
    mean, std : three floats each, optional
        What a processor has normalised the pixels by; without them pixels are in [0, 1].
    """

    def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
        seeds = torch.randint(
            2**56, (len(pixels),), generator=generator, device=generator.device
        ).tolist()
        steps = [draw_steps(rules, seed) for seed in seeds]
        if mean is None or std is None:
            return apply_steps(pixels, steps)
        shift, scale = (pixels.new_tensor(v).view(3, 1, 1) for v in (mean, std))
        plain = (pixels * scale + shift).clamp(0, 1)
        return (apply_steps(plain, steps) - shift) / scale

    return augment


def apply_steps(pixels: Tensor, steps: Sequence[Sequence[Step]]) -> Tensor:
    """The batch with each image's own steps applied; transform by transform, not image by image."""
    _check(pixels, len(steps))
    result = pixels.clone()
    for name, transform in TRANSFORMS.items():
        chosen = [(i, step) for i, own in enumerate(steps) for step in own if step.name == name]
        if chosen:
            rows = torch.tensor([i for i, _ in chosen], device=pixels.device)
            changed = transform(result[rows], [step for _, step in chosen])
            result[rows] = changed.clamp(0, 1)
    return result


def _drawn(name: str, rule: ImageRule, rng: np.random.Generator) -> Step:
    value = 0.0
    if rule.values:
        value = float(rule.values[int(rng.integers(len(rule.values)))])
    elif rule.range:
        value = float(rng.uniform(*rule.range))
    return Step(name, value, int(rng.integers(2**48)))


def _horizontal_flip(x: Tensor, steps: Sequence[Step]) -> Tensor:
    return kornia.geometry.transform.hflip(x)


def _vertical_flip(x: Tensor, steps: Sequence[Step]) -> Tensor:
    return kornia.geometry.transform.vflip(x)


def _rotation(x: Tensor, steps: Sequence[Step]) -> Tensor:
    # Black corners would tell a model which images were turned: the picture is mirrored instead.
    return kornia.geometry.transform.rotate(x, _values(x, steps), padding_mode="reflection")


def _quarter_turns(x: Tensor, steps: Sequence[Step]) -> Tensor:
    if x.shape[-1] != x.shape[-2]:
        raise ValueError(
            f"quarter turns need square images, these are {x.shape[-1]} x {x.shape[-2]}; "
            "normalise them with fit='crop' or switch quarter_turns off"
        )
    turns = (int(step.value) // 90 for step in steps)
    return torch.stack([torch.rot90(image, k, (1, 2)) for image, k in zip(x, turns, strict=True)])


def _crop_and_resize(x: Tensor, steps: Sequence[Step]) -> Tensor:
    height, width = x.shape[-2:]
    boxes = [_box(step, height - 1, width - 1) for step in steps]
    corners = torch.tensor(boxes, dtype=x.dtype, device=x.device)  # (n, 4, 2), x before y
    return kornia.geometry.transform.crop_and_resize(
        x, corners, (height, width), padding_mode="border"
    )


def _box(step: Step, bottom: float, right: float) -> list[list[float]]:
    """The corners of a window that keeps ``step.value`` of each side, clockwise from top left."""
    left, top = np.random.default_rng(step.seed).random(2) * (1 - step.value)
    x0, x1 = left * right, (left + step.value) * right
    y0, y1 = top * bottom, (top + step.value) * bottom
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def _brightness(x: Tensor, steps: Sequence[Step]) -> Tensor:
    return kornia.enhance.adjust_brightness_accumulative(x, _values(x, steps))


def _contrast(x: Tensor, steps: Sequence[Step]) -> Tensor:
    return kornia.enhance.adjust_contrast_with_mean_subtraction(x, _values(x, steps))


def _saturation(x: Tensor, steps: Sequence[Step]) -> Tensor:
    return kornia.enhance.adjust_saturation_with_gray_subtraction(x, _values(x, steps))


def _blur(x: Tensor, steps: Sequence[Step]) -> Tensor:
    """A kernel of three radii to each side, or as far as the image allows; each image its own."""
    blurred = []
    for image, step in zip(x, steps, strict=True):
        reach = min(int(np.ceil(3 * step.value)), min(x.shape[-2:]) - 1)
        sigma = x.new_tensor([[step.value, step.value]])
        blurred.append(kornia.filters.gaussian_blur2d(image[None], 2 * reach + 1, sigma))
    return torch.cat(blurred)


def _noise(x: Tensor, steps: Sequence[Step]) -> Tensor:
    grain = [
        torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(step.seed))
        for step in steps
    ]  # on the CPU, so that every device gets the same
    scale = _values(x, steps).view(-1, 1, 1, 1) / 255
    return x + scale * torch.stack(grain).to(x)


TRANSFORMS: dict[str, Callable[[Tensor, Sequence[Step]], Tensor]] = {
    "horizontal_flip": _horizontal_flip,
    "vertical_flip": _vertical_flip,
    "rotation": _rotation,
    "quarter_turns": _quarter_turns,
    "crop_and_resize": _crop_and_resize,
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "blur": _blur,
    "noise": _noise,
}


def _values(x: Tensor, steps: Sequence[Step]) -> Tensor:
    return x.new_tensor([step.value for step in steps])


def _check(pixels: Tensor, n: int) -> None:
    shape = tuple(pixels.shape)
    if pixels.ndim != 4 or shape[1] != 3 or not pixels.is_floating_point():
        raise ValueError(f"pixels have shape {shape} and {pixels.dtype}; (n, 3, h, w) float needed")
    if shape[0] != n:
        raise ValueError(f"{shape[0]} images, but {n} keys or lists of steps")
    if pixels.numel() and not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(
            f"pixel values from {pixels.min():.3g} to {pixels.max():.3g}; they must be in [0, 1] "
            "(give mean and std to training_augmenter if a processor has normalised them)"
        )
