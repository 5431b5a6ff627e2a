"""Watermarks with their true masks: a text at a random place, size, color and opacity."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TEXTS = ("aiGen", "SAMPLE", "stock", "tasty.pic", "PREVIEW")
INKS = ((255, 255, 255), (20, 20, 20), (200, 0, 80), (30, 90, 200))


@dataclass(frozen=True)
class Watermark:
    """A text mark.

    ``size`` is a fraction of the picture's side, ``x`` and ``y`` are fractions of the room that the
    text leaves to its left and above it: 0 at the left or the top, 1 at the right or the bottom.
    """

    text: str
    x: float
    y: float
    size: float
    color: tuple[int, int, int]
    opacity: float


def sample_watermark(
    rng: np.random.Generator, *, opacity: tuple[float, float] = (0.5, 0.9)
) -> Watermark:
    """A random watermark; it lies inside the picture as far as it fits."""
    text = TEXTS[int(rng.integers(len(TEXTS)))]
    color = INKS[int(rng.integers(len(INKS)))]
    x, y, size, strength = rng.random(4)
    return Watermark(
        text,
        x=x,
        y=y,
        size=0.12 + 0.08 * size,
        color=color,
        opacity=opacity[0] + (opacity[1] - opacity[0]) * strength,
    )


def overlay(picture: Image.Image, mark: Watermark) -> tuple[Image.Image, np.ndarray]:
    """The picture with ``mark`` on it, and the mark's true mask, (px, px) bool.

    The mask holds every pixel that the mark has changed the ink of, however faintly.
    """
    px = picture.width
    ink = Image.new("L", picture.size, 0)
    font = ImageFont.load_default(size=max(6, round(mark.size * px)))
    left, top, right, bottom = font.getbbox(mark.text)
    place = (mark.x * max(0, px - right + left) - left, mark.y * max(0, px - bottom + top) - top)
    ImageDraw.Draw(ink).text(place, mark.text, fill=255, font=font)
    alpha = ink.point(lambda v: round(v * mark.opacity))
    marked = picture.copy()
    marked.paste(Image.new("RGB", picture.size, mark.color), mask=alpha)
    return marked, np.asarray(alpha) > 0
