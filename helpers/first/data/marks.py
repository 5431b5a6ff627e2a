"""Watermarks of any place, size, color, opacity, angle and tiling, with the truth of each pixel.

A mark is laid over a picture as ``marked = (1 - alpha) * picture + alpha * color``, where ``alpha``
is the opacity at full ink, less at its smooth edges, and 0 elsewhere.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from helpers.first.data.mark_shapes import LOGOS, logo_ink, text_ink

KINDS = ("text", "logo")
TILINGS = ("", "straight", "staggered")
SMALLEST_PX = 6  # smaller letters are dots
MARGIN = 0.02  # of the shorter side, kept free around a mark that is not tiled


@dataclass(frozen=True)
class Mark:
    """A watermark.

    Attributes
    ----------
    kind : {"text", "logo"}
    content : str
        The text, or the name of a logo.
    font : str
        Of a text; a name in ``mark_shapes.FONTS``.
    x, y : float
        Place, as fractions of the room that the mark leaves: 0 left or top, 1 right or bottom.
    size : float
        Font size or logo height as a fraction of the picture's shorter side. A mark that would not
        fit is made smaller.
    color : (int, int, int)
    opacity : float
        0 (excluded) to 1.
    angle : float
        Degrees, counter-clockwise.
    tiling : {"", "straight", "staggered"}
        Once, or all over the picture.
    """

    kind: str
    content: str
    font: str = "Aileron"
    x: float = 0.5
    y: float = 0.5
    size: float = 0.15
    color: tuple[int, int, int] = (255, 255, 255)
    opacity: float = 0.6
    angle: float = 0.0
    tiling: str = ""

    def __post_init__(self) -> None:
        problems = {
            "kind": self.kind in KINDS,
            "content": self.content in LOGOS if self.kind == "logo" else bool(self.content.strip()),
            "x": 0 <= self.x <= 1,
            "y": 0 <= self.y <= 1,
            "size": 0 < self.size <= 1,
            "color": len(self.color) == 3 and all(0 <= c <= 255 for c in self.color),
            "opacity": 0 < self.opacity <= 1,
            "tiling": self.tiling in TILINGS,
        }
        if wrong := [name for name, good in problems.items() if not good]:
            name = wrong[0]
            raise ValueError(
                f"mark with {name}={getattr(self, name)!r}; use a kind of {KINDS}, some text or a "
                f"logo of {tuple(LOGOS)}, places in [0, 1], size and opacity in (0, 1], a tiling "
                f"of {TILINGS}"
            )


@dataclass(frozen=True)
class Marked:
    """A picture with a watermark, and what is known of it.

    Attributes
    ----------
    image : PIL.Image.Image
        RGB, with the mark.
    alpha : (h, w) float32
        How much of each pixel is the mark's color, 0 to 1.
    """

    image: Image.Image
    alpha: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """(h, w) bool: every pixel that the mark has changed the ink of, however faintly."""
        return self.alpha > 0


def draw_mark(picture: Image.Image, mark: Mark) -> Marked:
    """``picture`` with ``mark`` on it; the picture itself is left alone.

    Examples
    --------
    >>> marked = draw_mark(Image.new("RGB", (64, 64)), Mark("logo", "ring"))
    >>> bool(marked.mask.any()), marked.image.size
    (True, (64, 64))
    """
    ink = _ink(mark, picture.size)
    layer = _tiled(ink, mark, picture.size) if mark.tiling else _placed(ink, mark, picture.size)
    alpha = np.asarray(layer, np.float32) / np.float32(255) * np.float32(mark.opacity)
    alpha[np.round(alpha * 255) < 1] = 0  # less than one step of eight bits changes nothing
    return Marked(blend(picture, alpha, mark.color), alpha)


def blend(picture: Image.Image, alpha: np.ndarray, color: tuple[int, int, int]) -> Image.Image:
    """``(1 - alpha) * picture + alpha * color``, rounded to eight bits."""
    pixels = np.asarray(picture.convert("RGB"), np.float32)
    weight = alpha[..., None]
    mixed = (1 - weight) * pixels + weight * np.asarray(color, np.float32)
    return Image.fromarray(np.clip(np.round(mixed), 0, 255).astype(np.uint8))


def _ink(mark: Mark, size: tuple[int, int]) -> Image.Image:
    """The mark alone, turned, not larger than the picture."""
    px = max(SMALLEST_PX, round(mark.size * min(size)))
    drawn = (
        logo_ink(mark.content, px) if mark.kind == "logo" else text_ink(mark.content, mark.font, px)
    )
    if mark.angle:
        drawn = drawn.rotate(mark.angle, Image.Resampling.BICUBIC, expand=True)
    room = 1 - 2 * MARGIN
    shrink = min(1.0, room * size[0] / drawn.width, room * size[1] / drawn.height)
    if shrink < 1:
        small = (max(1, int(drawn.width * shrink)), max(1, int(drawn.height * shrink)))
        drawn = drawn.resize(small, Image.Resampling.LANCZOS)
    return drawn


def _placed(ink: Image.Image, mark: Mark, size: tuple[int, int]) -> Image.Image:
    layer = Image.new("L", size, 0)
    edge = MARGIN * min(size)
    x, y = (
        round(edge + at * max(0.0, side - 2 * edge - own))
        for at, side, own in zip((mark.x, mark.y), size, ink.size, strict=True)
    )
    layer.paste(ink, (x, y))
    return layer


def _tiled(ink: Image.Image, mark: Mark, size: tuple[int, int]) -> Image.Image:
    """The mark repeated at one and a half times its width and two and a half times its height."""
    step_x, step_y = round(1.5 * ink.width) + 2, round(2.5 * ink.height) + 2
    layer = Image.new("L", size, 0)
    start_x, start_y = round(mark.x * step_x) - step_x, round(mark.y * step_y) - step_y
    for row, top in enumerate(range(start_y, size[1], step_y)):
        shift = step_x // 2 if mark.tiling == "staggered" and row % 2 else 0
        for left in range(start_x - shift, size[0], step_x):
            layer.paste(ink, (left, top))
    return layer
