"""A pen that draws simple shapes on a supersampled canvas, with hand-made irregularity.

All lengths are in units of the finished picture's side (0.1 is a tenth of it), so that the same
drawing code serves 64 and 512 pixels. Every random number comes from the pen's own generator and
is drawn whether or not the style uses it: two styles of one scene stay in step.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Point = tuple[float, float]


def darker(color: Color, factor: float = 0.7) -> Color:
    """The same hue with less light (or more, for a factor above 1)."""
    return tuple(min(255, int(v * factor)) for v in color)


class Pen:
    """Draws on ``canvas``; coordinates are fractions of the picture's side, origin at its center.

    Parameters
    ----------
    canvas : PIL.Image.Image
        Mode RGB, drawn on in place.
    rng : numpy.random.Generator
        The layout stream of this image.
    unit : float
        Canvas pixels per side of the finished picture.
    color_jitter : float
        Standard deviation of the noise on each color channel, 0 to 255.
    """

    def __init__(
        self, canvas: Image.Image, rng: np.random.Generator, *, unit: float, color_jitter: float
    ):
        self.canvas = canvas
        self.rng = rng
        self.unit = unit
        self.color_jitter = color_jitter
        self._draw = ImageDraw.Draw(canvas)
        self._middle = canvas.width / 2

    def tone(self, color: Color, amount: float = 1.0) -> Color:
        """``color`` as this hand mixes it today."""
        shift = self.rng.standard_normal(3) * (self.color_jitter * amount)
        return tuple(int(min(255, max(0, v + s))) for v, s in zip(color, shift, strict=True))

    def angle(self) -> float:
        """A direction in radians, uniform."""
        return self.rng.random() * 2 * math.pi

    def between(self, low: float, high: float) -> float:
        """A number, uniform."""
        return low + (high - low) * self.rng.random()

    def _px(self, x: float, y: float) -> Point:
        return self._middle + x * self.unit, self._middle + y * self.unit

    def _width(self, width: float) -> int:
        return max(1, round(width * self.unit))

    def oval(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        fill: Color | None,
        edge: Color | None = None,
        width: float = 0.008,
    ) -> None:
        """An axis-parallel ellipse around (x, y)."""
        (left, top), (right, bottom) = self._px(x - rx, y - ry), self._px(x + rx, y + ry)
        box = (left, top, right, bottom)
        self._draw.ellipse(box, fill=fill, outline=edge, width=self._width(width) if edge else 0)

    def box(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        fill: Color | None,
        edge: Color | None = None,
        *,
        radius: float = 0.0,
        width: float = 0.008,
    ) -> None:
        """A rectangle with round corners of ``radius``."""
        corners = (*self._px(left, top), *self._px(right, bottom))
        self._draw.rounded_rectangle(
            corners,
            radius * self.unit,
            fill=fill,
            outline=edge,
            width=self._width(width) if edge else 0,
        )

    def polygon(
        self,
        points: Sequence[Point],
        fill: Color,
        edge: Color | None = None,
        *,
        at: Point = (0.0, 0.0),
        turn: float = 0.0,
    ) -> None:
        """A filled outline, turned by ``turn`` radians and moved to ``at``."""
        self._draw.polygon(
            [self._px(*p) for p in turned(points, turn, at)], fill=fill, outline=edge
        )

    def line(
        self,
        points: Sequence[Point],
        color: Color,
        width: float,
        *,
        at: Point = (0.0, 0.0),
        turn: float = 0.0,
    ) -> None:
        """A stroke through ``points``."""
        path = [self._px(*p) for p in turned(points, turn, at)]
        self._draw.line(path, fill=color, width=self._width(width), joint="curve")

    def arc(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        start: float,
        sweep: float,
        color: Color,
        width: float,
    ) -> None:
        """A piece of an ellipse's outline; ``start`` and ``sweep`` in radians."""
        (left, top), (right, bottom) = self._px(x - rx, y - ry), self._px(x + rx, y + ry)
        begin, end = math.degrees(start), math.degrees(start + sweep)
        self._draw.arc((left, top, right, bottom), begin, end, fill=color, width=self._width(width))

    def half_disc(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        start: float,
        sweep: float,
        fill: Color,
        edge: Color | None = None,
    ) -> None:
        """A disc cut by a chord; ``start`` and ``sweep`` in radians."""
        (left, top), (right, bottom) = self._px(x - rx, y - ry), self._px(x + rx, y + ry)
        begin, end = math.degrees(start), math.degrees(start + sweep)
        self._draw.chord((left, top, right, bottom), begin, end, fill=fill, outline=edge)

    def ring_of(self, n: int, x: float, y: float, r: float) -> list[Point]:
        """``n`` places around (x, y), evenly turned, at uneven distance: food strewn by hand."""
        start = self.angle()
        turns = self.rng.standard_normal(n) * 0.25
        reach = 0.35 + 0.5 * self.rng.random(n)
        angles = start + np.arange(n) * (2 * math.pi / n) + turns
        xs, ys = x + r * reach * np.cos(angles), y + 0.85 * r * reach * np.sin(angles)
        return list(zip(xs.tolist(), ys.tolist(), strict=True))

    def strewn(self, n: int, x: float, y: float, r: float) -> list[Point]:
        """``n`` places, uniform over a disc that is seen at a slant."""
        angles = self.rng.random(n) * 2 * math.pi
        reach = r * np.sqrt(self.rng.random(n))
        xs, ys = x + reach * np.cos(angles), y + 0.85 * reach * np.sin(angles)
        return list(zip(xs.tolist(), ys.tolist(), strict=True))


def turned(points: Sequence[Point], turn: float, at: Point) -> list[Point]:
    """``points`` rotated by ``turn`` radians around the origin, then moved to ``at``."""
    c, s = math.cos(turn), math.sin(turn)
    return [(at[0] + x * c - y * s, at[1] + x * s + y * c) for x, y in points]


def blob(n: int, rx: float, ry: float, wobble: Sequence[float]) -> list[Point]:
    """A closed outline of ``n`` corners around the origin; ``wobble`` scales each radius."""
    angles = [2 * math.pi * i / n for i in range(n)]
    return [
        (rx * w * math.cos(a), ry * w * math.sin(a)) for a, w in zip(angles, wobble, strict=True)
    ]
