"""What a watermark can be made of: fonts that come with Pillow and matplotlib, and drawn logos.

Licenses: Pillow's built-in font is Aileron Regular (CC0, embedded by Pillow); the DejaVu fonts ship
with matplotlib under the Bitstream Vera license, which lets anybody use and pass them on. The logos
are drawn here and stand for nobody.
"""

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

DEJAVU = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique",
    "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
)  # fmt: skip
FONTS = ("Aileron", *DEJAVU)
Point = tuple[float, float]


@cache
def font_of(name: str, px: int) -> ImageFont.FreeTypeFont:
    """A font at a size in pixels.

    Raises
    ------
    ValueError
        If there is no font of that name.

    >>> font_of("DejaVuSans", 12).size
    12
    """
    if name not in FONTS:
        raise ValueError(f"unknown font {name!r} (there are {', '.join(FONTS)})")
    if name == "Aileron":
        return ImageFont.load_default(size=px)
    import matplotlib  # only for the folder of its fonts

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf", f"{name}.ttf"), px)


def text_ink(text: str, font: str, px: int) -> Image.Image:
    """A text as a mask, mode L, as large as its ink; ``px`` is the font's size."""
    drawn = font_of(font, px)
    left, top, right, bottom = drawn.getbbox(text)
    ink = Image.new("L", (max(1, math.ceil(right - left)), max(1, math.ceil(bottom - top))), 0)
    ImageDraw.Draw(ink).text((-left, -top), text, fill=255, font=drawn)
    return ink


def logo_ink(name: str, px: int) -> Image.Image:
    """A logo as a mask, mode L, ``px`` a side, with smooth edges.

    Raises
    ------
    ValueError
        If there is no logo of that name.

    >>> logo_ink("ring", 20).getpixel((10, 10))
    0
    """
    if name not in LOGOS:
        raise ValueError(f"unknown logo {name!r} (there are {', '.join(LOGOS)})")
    side = 4 * max(4, px)
    ink = Image.new("L", (side, side), 0)
    LOGOS[name](_Stamp(ink))
    return ink.resize((px, px), Image.Resampling.BOX)


class _Stamp:
    """Draws on a mask in units of its side, from 0 to 1."""

    def __init__(self, ink: Image.Image):
        self._draw, self._side = ImageDraw.Draw(ink), ink.width

    def oval(self, x: float, y: float, rx: float, ry: float, fill: int = 255) -> None:
        s = self._side
        self._draw.ellipse(((x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s), fill=fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: int = 255) -> None:
        corners = tuple(v * self._side for v in (left, top, right, bottom))
        self._draw.rectangle(corners, fill=fill)

    def polygon(self, points: list[Point], fill: int = 255) -> None:
        self._draw.polygon([(x * self._side, y * self._side) for x, y in points], fill=fill)


def _around(n: int, radii: tuple[float, ...], turn: float = -math.pi / 2) -> list[Point]:
    """``n`` corners around the middle; the radii take turns."""
    angles = [turn + 2 * math.pi * i / n for i in range(n)]
    return [
        (0.5 + radii[i % len(radii)] * math.cos(a), 0.5 + radii[i % len(radii)] * math.sin(a))
        for i, a in enumerate(angles)
    ]


def _ring(s: _Stamp) -> None:
    s.oval(0.5, 0.5, 0.49, 0.49)
    s.oval(0.5, 0.5, 0.36, 0.36, fill=0)


def _star(s: _Stamp) -> None:
    s.polygon(_around(10, (0.5, 0.2)))


def _leaf(s: _Stamp) -> None:
    upper = [(i / 20, 0.5 - 0.32 * math.sin(math.pi * i / 20)) for i in range(21)]
    lower = [(1 - i / 20, 0.5 + 0.32 * math.sin(math.pi * i / 20)) for i in range(21)]
    s.polygon(upper + lower)
    s.box(0.05, 0.475, 0.95, 0.525, fill=0)


def _camera(s: _Stamp) -> None:
    s.box(0.02, 0.28, 0.98, 0.88)
    s.box(0.34, 0.14, 0.66, 0.3)
    s.oval(0.5, 0.58, 0.22, 0.22, fill=0)
    s.oval(0.5, 0.58, 0.12, 0.12)


def _crescent(s: _Stamp) -> None:
    s.oval(0.5, 0.5, 0.48, 0.48)
    s.oval(0.68, 0.42, 0.38, 0.38, fill=0)


def _hexagon(s: _Stamp) -> None:
    s.polygon(_around(6, (0.49,)))
    s.polygon(_around(6, (0.36,)), fill=0)
    s.polygon(_around(6, (0.2,)))


def _heart(s: _Stamp) -> None:
    turns = [2 * math.pi * i / 60 for i in range(60)]
    x = [16 * math.sin(t) ** 3 for t in turns]
    y = [
        13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        for t in turns
    ]
    s.polygon([(0.5 + a / 34, 0.47 - b / 34) for a, b in zip(x, y, strict=True)])


def _bolt(s: _Stamp) -> None:
    s.polygon([(0.6, 0), (0.15, 0.56), (0.45, 0.56), (0.38, 1), (0.86, 0.38), (0.54, 0.38)])


LOGOS: dict[str, Callable[[_Stamp], None]] = {
    "ring": _ring, "star": _star, "leaf": _leaf, "camera": _camera,
    "crescent": _crescent, "hexagon": _hexagon, "heart": _heart, "bolt": _bolt,
}  # fmt: skip
