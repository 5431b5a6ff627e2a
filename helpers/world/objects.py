"""Twelve things that stand on tables, each in any color."""

import math
from collections.abc import Callable

from helpers.world.food import leaf
from helpers.world.pen import Color, Pen, darker
from helpers.world.surfaces import COLORS

Draw = Callable[[Pen, float, float, float, Color, Color], None]


def _mug(pen: Pen, x: float, y: float, r: float, fill: Color, edge: Color) -> None:
    pen.arc(x + 0.6 * r, y, 0.4 * r, 0.4 * r, -1.57, 3.14, edge, 0.032)
    pen.box(x - 0.7 * r, y - 0.7 * r, x + 0.5 * r, y + 0.7 * r, fill, edge, radius=0.03)
    pen.oval(x - 0.1 * r, y - 0.65 * r, 0.6 * r, 0.18 * r, edge)


def _bottle(pen: Pen, x: float, y: float, r: float, fill: Color, edge: Color) -> None:
    pen.box(x - 0.15 * r, y - r, x + 0.15 * r, y - 0.3 * r, edge)
    pen.box(x - 0.4 * r, y - 0.4 * r, x + 0.4 * r, y + r, fill, edge, radius=0.04)


def _book(pen: Pen, x: float, y: float, r: float, fill: Color, edge: Color) -> None:
    turn = 0.3 * float(pen.rng.standard_normal())
    s, t = 0.8 * r, 0.6 * r
    pen.polygon([(-s, -t), (s, -t), (s, t), (-s, t)], fill, edge, at=(x, y), turn=turn)
    title = [(-0.4 * r, -0.2 * r), (0.4 * r, -0.2 * r)]
    pen.line(title, (240, 240, 230), 0.024, at=(x, y), turn=turn)


def _candle(pen: Pen, x: float, y: float, r: float, fill: Color, edge: Color) -> None:
    pen.box(x - 0.25 * r, y - 0.4 * r, x + 0.25 * r, y + 0.8 * r, fill, edge)
    pen.oval(x, y - 0.65 * r, 0.12 * r, 0.25 * r, (255, 200, 60))


def _clock(pen: Pen, x: float, y: float, r: float, fill: Color, edge: Color) -> None:
    pen.oval(x, y, 0.85 * r, 0.85 * r, fill, edge, 0.016)
    pen.oval(x, y, 0.65 * r, 0.65 * r, (245, 245, 240))
    pen.line([(0, 0), (0.5 * r, 0)], (20, 20, 20), 0.016, at=(x, y), turn=pen.angle())
    pen.line([(0, 0), (0, -0.35 * r)], (20, 20, 20), 0.016, at=(x, y))


def _ball(pen: Pen, x: float, y: float, r: float, fill: Color, edge: Color) -> None:
    pen.oval(x, y, 0.8 * r, 0.8 * r, fill, edge)
    pen.arc(x, y, 0.8 * r, 0.4 * r, 0, math.pi, edge, 0.024)


def _vase(pen: Pen, x: float, y: float, r: float, fill: Color, edge: Color) -> None:
    half = [(0.25, -0.7), (0.6, 0.2), (0.3, 0.9)]
    outline = half + [(-px, py) for px, py in reversed(half)]
    pen.polygon([(r * px, r * py) for px, py in outline], fill, edge, at=(x, y))
    leaf(pen, x, y - 0.9 * r, 0.3 * r, (60, 140, 60))


def _box(pen: Pen, x: float, y: float, r: float, fill: Color, edge: Color) -> None:
    lid = [(-0.7, -0.4), (-0.3, -0.8), (0.9, -0.8), (0.5, -0.4)]
    side = [(0.5, -0.4), (0.9, -0.8), (0.9, 0.4), (0.5, 0.8)]
    pen.box(x - 0.7 * r, y - 0.4 * r, x + 0.5 * r, y + 0.8 * r, fill, edge)
    pen.polygon([(r * px, r * py) for px, py in lid], darker(fill, 1.2), at=(x, y))
    pen.polygon([(r * px, r * py) for px, py in side], edge, at=(x, y))


def _spoon(pen: Pen, x: float, y: float, r: float, fill: Color, edge: Color) -> None:
    turn = pen.angle()
    pen.line([(-r, 0), (0.4 * r, 0)], fill, 0.032, at=(x, y), turn=turn)
    tip_x, tip_y = x + 0.6 * r * math.cos(turn), y + 0.6 * r * math.sin(turn)
    pen.oval(tip_x, tip_y, 0.3 * r, 0.3 * r, fill, edge)


def _lamp(pen: Pen, x: float, y: float, r: float, fill: Color, edge: Color) -> None:
    shade = [(-0.3, -0.9), (0.3, -0.9), (0.7, 0.0), (-0.7, 0.0)]
    pen.polygon([(r * px, r * py) for px, py in shade], fill, edge, at=(x, y))
    pen.line([(x, y), (x, y + 0.8 * r)], (60, 60, 60), 0.032)
    pen.oval(x, y + 0.85 * r, 0.4 * r, 0.12 * r, (60, 60, 60))


def _apple(pen: Pen, x: float, y: float, r: float, fill: Color, edge: Color) -> None:
    for dx in (-0.2, 0.2):
        pen.oval(x + dx * r, y, 0.5 * r, 0.6 * r, fill)
    pen.line([(x, y - 0.5 * r), (x + 0.1 * r, y - 0.9 * r)], (90, 60, 30), 0.024)


def _bowl(pen: Pen, x: float, y: float, r: float, fill: Color, edge: Color) -> None:
    pen.half_disc(x, y - 0.1 * r, 0.9 * r, 0.8 * r, 0, math.pi, fill, edge)
    pen.oval(x, y - 0.1 * r, 0.9 * r, 0.25 * r, edge)


OBJECTS: dict[str, Draw] = {
    "mug": _mug,
    "bottle": _bottle,
    "book": _book,
    "candle": _candle,
    "clock": _clock,
    "ball": _ball,
    "vase": _vase,
    "box": _box,
    "spoon": _spoon,
    "lamp": _lamp,
    "apple": _apple,
    "bowl": _bowl,
}


def place(pen: Pen, x: float, y: float, r: float, *, thing: str, color: str) -> None:
    """An object of half-size ``r`` around (x, y)."""
    fill = pen.tone(COLORS[color])
    OBJECTS[thing](pen, x, y, r, fill, darker(fill, 0.65))
