"""Filling in what a mask covers: OpenCV's two methods by default, a diffusion model by parameter.

An inpainter invents: it continues what it sees around the hole. What it cannot do is bring back
what was there, so a repaired image is no evidence of what a mark has hidden.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from PIL import Image

from helpers.models.checkpoints import find_checkpoint, opened
from helpers.repro import hash_of

METHODS = ("telea", "navier-stokes")
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
    ahead on marks of the develop half.

    Attributes
    ----------
    method : {"telea", "navier-stokes"}
    radius : float
        How far around a pixel is looked, pixels.

    Examples
    --------
    >>> plate = Image.new("RGB", (9, 9), (90, 90, 90))
    >>> OpenCVInpainter().fill(plate, np.eye(9, dtype=bool)).getpixel((4, 4))
    (90, 90, 90)
    """

    method: str = "navier-stokes"
    radius: float = 3.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"unknown inpainting {self.method!r}; use one of {', '.join(METHODS)}")
        if self.radius <= 0:
            raise ValueError(f"inpainting radius is {self.radius}; it must be positive, in pixels")

    @property
    def name(self) -> str:
        """Its method."""
        return self.method

    @property
    def fingerprint(self) -> str:
        """A hash of method, radius and the version of OpenCV."""
        import cv2

        return hash_of(["opencv", cv2.__version__, self.method, self.radius])

    def fill(self, image: Image.Image, mask: np.ndarray) -> Image.Image:
        """See :class:`Inpainter`.

        OpenCV lets a little of the covered values through and leaves the outermost pixels alone:
        so each covered pixel first takes the value of the nearest one that is known, and the
        image gets a frame of its own edge while it is filled.

        Raises
        ------
        ValueError
            For a mask of another size, or one that leaves nothing to fill from.
        """
        import cv2
        from scipy.ndimage import distance_transform_edt

        pixels = _checked(image, mask)
        if not mask.any():
            return image.copy()
        if mask.all():
            raise ValueError("the mask covers the whole image: there is nothing to fill it from")
        nearest = distance_transform_edt(mask, return_distances=False, return_indices=True)
        frame = math.ceil(self.radius) + 1
        known = np.pad(pixels[tuple(nearest)], ((frame, frame), (frame, frame), (0, 0)), "edge")
        hole = np.pad(mask.astype(np.uint8), frame)
        flag = cv2.INPAINT_TELEA if self.method == "telea" else cv2.INPAINT_NS
        done = cv2.inpaint(known, hole, self.radius, flag)[frame:-frame, frame:-frame]
        return _only_inside(done, pixels, mask)


@dataclass(frozen=True)
class DiffusionInpainter:
    """An inpainting pipeline of ``diffusers``, such as that of Stable Diffusion.

    Attributes
    ----------
    pipeline : callable
        It that takes ``prompt``, ``negative_prompt``, ``image``, ``mask_image``,
        ``height``, ``width``, ``num_inference_steps``, ``generator`` and gives ``.images``.
    name : str
        Hub id, or the last part of a directory's path.
    steps : int
        Denoising steps.
    px : int
        The shorter side that a image is brought to, a multiple of 8.
    seed : int
        Of the noise, the same for every image.
    """

    pipeline: Any
    name: str
    steps: int = 30
    px: int = 512
    seed: int = 42
    prompt: str = PROMPT
    avoided: str = AVOIDED

    def __post_init__(self) -> None:
        if self.px < LATENT_PX or self.px % LATENT_PX:
            raise ValueError(f"px of {self.name} is {self.px}; use a multiple of {LATENT_PX}")
        if self.steps < 1:
            raise ValueError(f"steps of {self.name} is {self.steps}; it must be at least 1")

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights of all parts and of all settings."""
        from helpers.models.encoder import weights_fingerprint

        parts = getattr(self.pipeline, "components", {}).items()
        weights = {n: weights_fingerprint(p) for n, p in parts if hasattr(p, "state_dict")}
        about = [type(self.pipeline).__name__, weights, self.steps, self.px, self.seed]
        return hash_of([*about, self.prompt, self.avoided])

    def fill(self, image: Image.Image, mask: np.ndarray) -> Image.Image:
        """See :class:`Inpainter`; the result is brought back to the size of the image."""
        import torch

        pixels = _checked(image, mask)
        if not mask.any():
            return image.copy()
        scale = self.px / min(image.size)
        width, height = (
            max(LATENT_PX, round(side * scale / LATENT_PX) * LATENT_PX) for side in image.size
        )
        hole = Image.fromarray(mask.astype(np.uint8) * 255)
        found = self.pipeline(
            prompt=self.prompt,
            negative_prompt=self.avoided,
            image=image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC),
            mask_image=hole.resize((width, height), Image.Resampling.NEAREST),
            height=height,
            width=width,
            num_inference_steps=self.steps,
            generator=torch.Generator().manual_seed(self.seed),
        ).images[0]
        done = np.asarray(found.resize(image.size, Image.Resampling.BICUBIC).convert("RGB"))
        return _only_inside(done, pixels, mask)


def load_diffusion_inpainter(model: str, *, device: str = "cpu", **settings) -> DiffusionInpainter:
    """An inpainting pipeline in safetensors, from a directory or a hub id.

    ``model`` is such as ``stable-diffusion-v1-5/stable-diffusion-inpainting``; ``settings`` are
    ``steps``, ``px``, ``seed``, ``prompt``, ``avoided``. Raises ``ModelError`` if the model is not
    found or not whole.
    """
    from diffusers import AutoPipelineForInpainting

    checkpoint = find_checkpoint(model, tiny=METHODS, file="model_index.json")
    pipeline = opened(
        AutoPipelineForInpainting, checkpoint, what="the pipeline", use_safetensors=True
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return DiffusionInpainter(pipeline, checkpoint.name, **settings)


def open_inpainter(name: str, *, device: str = "cpu") -> Inpainter:
    """The inpainter that a parameter names: one of ``METHODS``, or a pipeline's directory or id."""
    if name in METHODS:
        return OpenCVInpainter(name)
    return load_diffusion_inpainter(name, device=device)


def psnr(image: Image.Image, reference: Image.Image, mask: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB inside a mask, over all channels; infinite if both agree.

    Outside the mask nothing is repaired: a mean over the whole image would mostly say how small the
    mask is. NaN for an empty mask.

    >>> black, gray = Image.new("L", (2, 2)), Image.new("L", (2, 2), 51)
    >>> round(psnr(black, gray, np.ones((2, 2), bool)), 2)
    13.98
    """
    a, b = (np.asarray(one, np.float64)[mask] for one in (image, reference))
    if not a.size:
        return math.nan
    error = float(np.mean((a - b) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def _checked(image: Image.Image, mask: np.ndarray) -> np.ndarray:
    """The pixels of an RGB image whose mask fits."""
    if mask.shape != (image.height, image.width) or mask.dtype != bool:
        raise ValueError(
            f"a mask of {mask.shape} {mask.dtype} for an image of {image.height} x {image.width}; "
            "a bool of the same height and width is due"
        )
    return np.asarray(image.convert("RGB"))


def _only_inside(done: np.ndarray, before: np.ndarray, mask: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(mask[..., None], done, before))
