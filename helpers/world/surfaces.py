"""What a scene stands on: six table tops, drawn once and cut from, and plates of three shapes."""

from functools import cache

import numpy as np
from PIL import Image, ImageFilter

from helpers.world.pen import Color, Pen, darker

COLORS: dict[str, Color] = {
    "white": (238, 236, 230),
    "blue": (45, 85, 185),
    "red": (190, 40, 40),
    "green": (50, 140, 70),
    "black": (38, 38, 42),
    "yellow": (235, 195, 50),
    "brown": (125, 82, 48),
    "pink": (235, 150, 175),
}
TABLES = ("wood", "marble", "cloth", "slate", "linen", "steel")
PLATE_SHAPES = ("round", "square", "oval")
VARIANTS = 4
_CLOTH: tuple[Color, ...] = ((200, 50, 50), (60, 90, 170), (70, 140, 90), (210, 160, 60))


def _clouds(rng: np.random.Generator, side: int, cells: int) -> np.ndarray:
    """Smooth noise in [0, 1], (side, side) float32."""
    coarse = Image.fromarray((rng.random((cells, cells)) * 255).astype(np.uint8))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float32) / 255


def _texture(table: str, variant: int, side: int) -> np.ndarray:
    """One table top, (side, side, 3) float32; ``side`` 360 is the scale that the numbers mean."""
    rng = np.random.default_rng([7, TABLES.index(table), variant])
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) * (360 / side)
    base = np.zeros((side, side, 3), np.float32)
    if table == "wood":
        grain = np.sin(x / (5 + variant) + 6 * _clouds(rng, side, 8) + 2 * _clouds(rng, side, 56))
        return (
            base
            + (150 - 8 * variant, 104 - 8 * variant, 62 - 8 * variant)
            + 22 * grain[..., None] * np.array((1, 0.8, 0.6))
        )
    if table == "marble":
        veins = np.abs(np.sin((x + y) / 38 + 7 * _clouds(rng, side, 11))) ** 0.3
        return base + (150, 150, 158) + 75 * veins[..., None]
    if table == "cloth":
        check = 14 + 2 * variant
        share = ((x // check) % 2 + (y // check) % 2)[..., None] / 2
        return 245 - share * (245 - np.array(_CLOTH[variant], np.float32))
    if table == "slate":
        rough = 34 * (_clouds(rng, side, 28) - 0.5) + 14 * (_clouds(rng, side, 126) - 0.5)
        return base + (62, 66, 74) + rough[..., None]
    if table == "linen":
        weave = ((x % 4 < 2) ^ (y % 4 < 2)).astype(np.float32)
        return base + (214, 200, 174) + (9 * weave + 18 * (_clouds(rng, side, 42) - 0.5))[..., None]
    brushed = 26 * np.sin(y / 60 + variant) + 14 * (rng.random((side, 1)) - 0.5)
    return base + (160, 166, 172) + brushed[..., None]


@cache
def _textures(table: str, side: int) -> tuple[tuple[Image.Image, Image.Image], ...]:
    """(sharp, soft) pictures of each variant of a table, twice as large as a canvas of ``side``."""
    made = []
    for variant in range(VARIANTS):
        pixels = np.clip(_texture(table, variant, 2 * side), 0, 255).astype(np.uint8)
        sharp = Image.fromarray(pixels)
        made.append((sharp, sharp.filter(ImageFilter.GaussianBlur(1.2 * side / 180))))
    return tuple(made)


def table_top(
    table: str, rng: np.random.Generator, *, side: int, variety: float, blur: float
) -> Image.Image:
    """A canvas of ``side`` pixels covered with ``table``.

    ``variety`` scales which of the variants and which piece of it is shown (0: always the same),
    ``blur`` mixes in the soft picture (0: sharp, 1: soft).
    """
    u = rng.random(3)
    variant = int(u[0] * (1 + (VARIANTS - 1) * variety) * 0.9999)
    left, top = (int(v * variety * side) for v in u[1:])
    sharp, soft = (
        picture.crop((left, top, left + side, top + side))
        for picture in _textures(table, side)[variant]
    )
    return Image.blend(sharp, soft, blur) if blur > 0 else sharp


def plate(pen: Pen, x: float, y: float, r: float, *, color: str, shape: str) -> None:
    """A plate of radius ``r`` with rim and shadow around (x, y)."""
    glaze = pen.tone(COLORS[color])
    rim, well, shadow = darker(glaze, 0.72), darker(glaze, 0.9), (36, 32, 30)
    if shape == "square":
        corners = (x - r, y - r, x + r, y + r)
        pen.box(*(v + 0.018 for v in corners), shadow, radius=0.06)
        pen.box(*corners, glaze, rim, radius=0.06, width=0.016)
        s = 0.8 * r
        pen.box(x - s, y - s, x + s, y + s, None, well, radius=0.05, width=0.016)
        return
    rx, ry = (r, 0.97 * r) if shape == "round" else (1.2 * r, 0.8 * r)
    pen.oval(x + 0.018, y + 0.024, rx, ry, shadow)
    pen.oval(x, y, rx, ry, glaze, rim, 0.016)
    pen.oval(x, y, 0.8 * rx, 0.8 * ry, None, well, 0.016)


def plate_mask(pen: Pen, x: float, y: float, r: float, *, shape: str) -> None:
    """The silhouette of a plate in white: the true mask of the dish on it."""
    if shape == "square":
        pen.box(x - r, y - r, x + r, y + r, (255, 255, 255), radius=0.06)
    else:
        rx, ry = (r, 0.97 * r) if shape == "round" else (1.2 * r, 0.8 * r)
        pen.oval(x, y, rx, ry, (255, 255, 255))
