"""Watermarks drawn on images, so that it is known which pixels they changed.

A watermark is blended over an image: ``marked = (1 - alpha) image + alpha color``, where ``alpha``
is the opacity at full ink, less at its smooth edges, and 0 elsewhere. ``marked`` draws a random one
from a seed; ``draw`` draws a given one.

The two halves of ``HALVES`` share no font, text, logo or place: a detector is fitted on the first
and scored on the second. Fonts come with Pillow (Aileron, CC0) and matplotlib (DejaVu, Bitstream
Vera license); the logos are drawn here and stand for nobody.
"""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from helpers.data.images import encode_jpeg, load_image
from helpers.repro import canonical_json

SIZES = (0.1, 0.24)  # of the image's shorter side; logos are twice as large
QUIET = ((255, 255, 255),) * 3 + ((15, 15, 15),) * 2  # two thirds are white or nearly black
MARGIN = 0.02  # of the shorter side, kept free around a watermark
SMALLEST_PX = 6  # smaller letters are dots


@dataclass(frozen=True)
class Stock:
    """What the watermarks of one half are made of; ``places`` are (x, y) as in ``Watermark``."""

    fonts: tuple[str, ...]
    texts: tuple[str, ...]
    logos: tuple[str, ...]
    places: tuple[tuple[float, float], ...]


HALVES = {
    "develop": Stock(
        ("Aileron", "DejaVuSans", "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSans-BoldOblique"),
        ("SAMPLE", "stock", "tasty.pic", "PREVIEW", "aiGen", "copy 2019"),
        ("ring", "leaf", "camera"),
        ((0, 0), (0.5, 0.5), (1, 1), (0.5, 0), (1, 0.5)),
    ),
    "held-out": Stock(
        ("DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif-Bold"),
        ("DRAFT", "foodshots", "www.eat", "Menu 24", "PROOF", "kitchenfeed"),
        ("star", "crescent", "hexagon"),
        ((1, 0), (0, 1), (0.5, 1), (0, 0.5), (0.25, 0.3)),
    ),
}


@dataclass(frozen=True)
class Watermark:
    """A text or a logo at a place.

    ``content`` is the text, or a name of ``LOGOS`` where ``font`` is empty. ``x`` and ``y`` are
    fractions of the room that the watermark leaves: 0 left or top, 1 right or bottom. ``size`` is
    the font's size or the logo's height as a fraction of the shorter side (one that would not fit
    is made smaller); ``angle`` is in degrees, counter-clockwise.
    """

    content: str
    font: str = "Aileron"
    x: float = 0.5
    y: float = 0.5
    size: float = 0.15
    color: tuple[int, int, int] = (255, 255, 255)
    opacity: float = 0.6
    angle: float = 0.0


def marked(
    image: Image.Image, *, seed: int | str | list,
    opacity: float | tuple[float, float] = (0.5, 0.9), half: str = "held-out",
) -> tuple[Image.Image, np.ndarray]:  # fmt: skip
    """The image with a random watermark, RGB, and the watermark's mask, (h, w) bool.

    The same ``seed`` gives the same watermark on every image of that size; ``[seed, image_key]``
    gives each image one of its own. Of a pair of opacities, in (0, 1], one in between is drawn; it
    takes no part in the draw of the rest: two opacities of one seed differ in opacity alone. The
    mask holds every pixel that the watermark has changed the ink of, however faintly.

    >>> image, mask = marked(Image.new("RGB", (64, 64)), seed=1)
    >>> mask.shape, bool(mask.any())
    ((64, 64), True)
    """
    return draw(image, sample(seed, opacity=opacity, half=half))


def sample(
    seed: int | str | list, *, opacity: float | tuple[float, float] = (0.5, 0.9),
    half: str = "held-out",
) -> Watermark:  # fmt: skip
    """A random watermark: two thirds texts, one third logos, mostly upright, mostly white."""
    low, high = opacity if isinstance(opacity, tuple | list) else (opacity, opacity)
    if not 0 < low <= high <= 1:
        raise ValueError(f"opacity {opacity}; use a number above 0, to 1, or a rising pair of them")
    stock = HALVES[half]
    rng = np.random.default_rng(np.frombuffer(canonical_json([seed, half]).encode(), np.uint8))
    u = rng.random(8)  # always as many, so that watermarks of two opacities agree in the rest
    pick = rng.integers(1 << 30, size=5)
    text = u[0] < 2 / 3
    contents = stock.texts if text else stock.logos
    place = stock.places[pick[2] % len(stock.places)]
    x, y = np.clip(np.array(place) + 0.16 * (u[1:3] - 0.5), 0, 1)
    size = SIZES[0] + (SIZES[1] - SIZES[0]) * u[3]
    loud = tuple(int(40 + 200 * v) for v in u[4:7])
    return Watermark(
        contents[pick[0] % len(contents)],
        font=stock.fonts[pick[1] % len(stock.fonts)] if text else "",
        x=float(x), y=float(y), size=float(size if text else 2 * size),
        color=QUIET[pick[3] % len(QUIET)] if pick[3] % 3 else loud,
        opacity=float(low + (high - low) * (pick[4] / (1 << 30))),
        angle=0.0 if u[7] < 0.6 else float(60 * (u[7] - 0.8) / 0.4),
    )  # fmt: skip


def draw(image: Image.Image, watermark: Watermark) -> tuple[Image.Image, np.ndarray]:
    """The image with a watermark, and its mask: as ``marked``, for one that is given."""
    alpha = _layer(watermark, image.size) * np.float32(watermark.opacity)
    alpha[np.round(alpha * 255) < 1] = 0  # less than one step of eight bits changes nothing
    pixels = np.asarray(image.convert("RGB"), np.float32)
    mixed = (1 - alpha[..., None]) * pixels + alpha[..., None] * np.float32(watermark.color)
    return Image.fromarray(np.clip(np.round(mixed), 0, 255).astype(np.uint8)), alpha > 0


def stored(image: Image.Image) -> Image.Image:
    """The image as it comes back from a zone: compressed once as JPEG."""
    return load_image(encode_jpeg(image))


def _layer(watermark: Watermark, size: tuple[int, int]) -> np.ndarray:
    """How much of the watermark's ink lies on each pixel: (h, w) float32 in [0, 1]."""
    px = max(SMALLEST_PX, round(watermark.size * min(size)))
    text = watermark.font
    ink = _text(watermark.content, text, px) if text else _logo(watermark.content, px)
    if watermark.angle:
        ink = ink.rotate(watermark.angle, Image.Resampling.BICUBIC, expand=True)
    edge = MARGIN * min(size)
    room = np.array(size) - 2 * edge
    if (shrink := (room / ink.size).min()) < 1:
        small = tuple(max(1, int(own * shrink)) for own in ink.size)
        ink = ink.resize(small, Image.Resampling.LANCZOS)
    layer = Image.new("L", size, 0)
    free = np.maximum(0.0, room - ink.size)
    at = np.round(edge + np.array((watermark.x, watermark.y)) * free).astype(int)
    layer.paste(ink, tuple(at.tolist()))
    return np.asarray(layer, np.float32) / np.float32(255)


def _text(text: str, font: str, px: int) -> Image.Image:
    """A text as ink, mode L, as large as its letters; ``px`` is the font's size."""
    letters = _font(font, px)
    left, top, right, bottom = letters.getbbox(text)
    ink = Image.new("L", (max(1, math.ceil(right - left)), max(1, math.ceil(bottom - top))), 0)
    ImageDraw.Draw(ink).text((-left, -top), text, fill=255, font=letters)
    return ink


@cache
def _font(name: str, px: int) -> ImageFont.FreeTypeFont:
    if name == "Aileron":
        return ImageFont.load_default(size=px)
    import matplotlib  # only for the folder of its fonts

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf", f"{name}.ttf"), px)


def _logo(name: str, px: int) -> Image.Image:
    """A logo as ink, mode L, ``px`` a side, with smooth edges."""
    side = 4 * max(4, px)
    ink = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(ink)
    for shape, numbers, fill in LOGOS[name]:
        scaled = [number * side for number in numbers]
        {"oval": pen.ellipse, "box": pen.rectangle, "lines": pen.polygon}[shape](scaled, fill=fill)
    return ink.resize((px, px), Image.Resampling.BOX)


def _around(n: int, *radii: float) -> list[float]:
    """``n`` corners around the middle, x and y in turn; the radii take turns."""
    turns = [(radii[i % len(radii)], 2 * math.pi * i / n - math.pi / 2) for i in range(n)]
    return [v for r, a in turns for v in (0.5 + r * math.cos(a), 0.5 + r * math.sin(a))]


def _leaf() -> list[float]:
    arc = [(i / 20, 0.32 * math.sin(math.pi * i / 20)) for i in range(21)]
    upper, lower = [(x, 0.5 - y) for x, y in arc], [(1 - x, 0.5 + y) for x, y in arc]
    return [v for point in upper + lower for v in point]


LOGOS = {  # shapes drawn one over the other, in units of the side; fill 0 cuts a hole
    "ring": [("oval", (0.01, 0.01, 0.99, 0.99), 255), ("oval", (0.14, 0.14, 0.86, 0.86), 0)],
    "leaf": [("lines", _leaf(), 255), ("box", (0.05, 0.475, 0.95, 0.525), 0)],
    "camera": [("box", (0.02, 0.28, 0.98, 0.88), 255), ("box", (0.34, 0.14, 0.66, 0.3), 255),
               ("oval", (0.28, 0.36, 0.72, 0.8), 0), ("oval", (0.38, 0.46, 0.62, 0.7), 255)],
    "star": [("lines", _around(10, 0.5, 0.2), 255)],
    "crescent": [("oval", (0.02, 0.02, 0.98, 0.98), 255), ("oval", (0.3, 0.04, 1.06, 0.8), 0)],
    "hexagon": [("lines", _around(6, 0.49), 255), ("lines", _around(6, 0.36), 0),
                ("lines", _around(6, 0.2), 255)],
}  # fmt: skip
