"""Filling in what a mask covers: OpenCV's two methods by default, a diffusion model by parameter.

An inpainter invents: it continues what it sees around the hole. What it cannot do is bring back
what was there, so a repaired image is no evidence of what a mark has hidden.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import cv2
import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

from helpers.models.checkpoints import find_checkpoint, opened
from helpers.repro import hash_of

METHODS = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}
RADIUS = 3  # pixels: how far around a pixel OpenCV looks
PROMPT = "a photograph of a dish of food, nothing written on it"
AVOIDED = "text, letters, logo, watermark, signature"
LATENT_PX = 8  # the sides of what a latent diffusion model takes are multiples of it


class Inpainter(Protocol):
    """What fills in masked pixels; ``fingerprint`` is all that decides its result."""

    name: str
    fingerprint: str

    def fill(self, image: Image.Image, mask: np.ndarray) -> Image.Image:
        """The image with the pixels of ``mask``, (h, w) bool, replaced; the others as they were."""


@dataclass(frozen=True)
class OpenCVInpainter:
    """Classical inpainting, without weights.

    Telea, "An image inpainting technique based on the fast marching method" (2004), carries
    weighted means inwards; Bertalmio, Bertozzi and Sapiro, "Navier-Stokes, fluid dynamics, and
    image and video inpainting" (2001), continues lines of equal light. The second came out a little
    ahead on watermarks of the develop half.

    >>> plate = Image.new("RGB", (9, 9), (90, 90, 90))
    >>> OpenCVInpainter().fill(plate, np.eye(9, dtype=bool)).getpixel((4, 4))
    (90, 90, 90)
    """

    name: str = "navier-stokes"

    @property
    def fingerprint(self) -> str:
        """A hash of method, radius and the version of OpenCV."""
        return hash_of(["opencv", cv2.__version__, self.name, RADIUS])

    def fill(self, image: Image.Image, mask: np.ndarray) -> Image.Image:
        """See :class:`Inpainter`.

        OpenCV lets a little of the covered values through and leaves the outermost pixels alone:
        so each covered pixel first takes the value of the nearest one that is known, and the
        image gets a frame of its own edge while it is filled. Raises ``ValueError`` for a mask
        that leaves nothing to fill from.
        """
        pixels = np.asarray(image.convert("RGB"))
        if mask.all():
            raise ValueError("the mask covers the whole image: there is nothing to fill it from")
        nearest = distance_transform_edt(mask, return_distances=False, return_indices=True)
        frame = RADIUS + 1
        known = np.pad(pixels[tuple(nearest)], ((frame, frame), (frame, frame), (0, 0)), "edge")
        hole = np.pad(mask.astype(np.uint8), frame)
        done = cv2.inpaint(known, hole, RADIUS, METHODS[self.name])[frame:-frame, frame:-frame]
        return _only_inside(done, pixels, mask)


@dataclass(frozen=True)
class DiffusionInpainter:
    """An inpainting pipeline of ``diffusers``, such as that of Stable Diffusion.

    ``steps`` are those of denoising, ``px`` is the shorter side that an image is brought to,
    ``seed`` that of the noise, the same for every image.
    """

    pipeline: Any
    name: str
    steps: int = 30
    px: int = 512
    seed: int = 42

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights of all parts and of all settings."""
        from helpers.models.encoder import weights_fingerprint

        parts = getattr(self.pipeline, "components", {}).items()
        weights = {n: weights_fingerprint(p) for n, p in parts if hasattr(p, "state_dict")}
        about = [type(self.pipeline).__name__, weights, self.steps, self.px, self.seed]
        return hash_of([*about, PROMPT, AVOIDED])

    def fill(self, image: Image.Image, mask: np.ndarray) -> Image.Image:
        """See :class:`Inpainter`; the result is brought back to the size of the image."""
        import torch

        pixels = np.asarray(image.convert("RGB"))
        if not mask.any():
            return image.copy()
        units = self.px / min(image.size) / LATENT_PX
        width, height = (max(1, round(side * units)) * LATENT_PX for side in image.size)
        hole = Image.fromarray(mask.astype(np.uint8) * 255)
        found = self.pipeline(
            prompt=PROMPT, negative_prompt=AVOIDED, height=height, width=width,
            image=image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC),
            mask_image=hole.resize((width, height), Image.Resampling.NEAREST),
            num_inference_steps=self.steps, generator=torch.Generator().manual_seed(self.seed),
        ).images[0]  # fmt: skip
        done = np.asarray(found.resize(image.size, Image.Resampling.BICUBIC).convert("RGB"))
        return _only_inside(done, pixels, mask)


def open_inpainter(name: str, *, device: str = "cpu", **settings) -> Inpainter:
    """The inpainter that a parameter names: one of ``METHODS``, or a pipeline in safetensors.

    This is a directory or a hub id, such as ``stable-diffusion-v1-5/stable-diffusion-inpainting``;
    ``settings`` are its ``steps``, ``px``, ``seed``. Raises ``ModelError`` if it is not found or
    not whole.
    """
    if name in METHODS:
        return OpenCVInpainter(name)
    from diffusers import AutoPipelineForInpainting

    checkpoint = find_checkpoint(name, tiny=tuple(METHODS), file="model_index.json")
    pipeline = opened(
        AutoPipelineForInpainting, checkpoint, what="the pipeline", use_safetensors=True
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return DiffusionInpainter(pipeline, checkpoint.name, **settings)


def psnr(image: Image.Image, reference: Image.Image, mask: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB inside a mask, over all channels; infinite if both agree.

    Outside the mask nothing is repaired: a mean over the whole image would mostly say how small the
    mask is. NaN for an empty mask.

    >>> black, gray = Image.new("L", (2, 2)), Image.new("L", (2, 2), 51)
    >>> round(psnr(black, gray, np.ones((2, 2), bool)), 2)
    13.98
    """
    if not mask.any():
        return math.nan
    a, b = (np.asarray(one, np.float64)[mask] for one in (image, reference))
    error = float(np.mean((a - b) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def _only_inside(done: np.ndarray, before: np.ndarray, mask: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(mask[..., None], done, before))
