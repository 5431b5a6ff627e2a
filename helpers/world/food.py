"""What lies on a plate, piece by piece: ten main ingredients and eight garnishes."""

import math
from collections.abc import Callable

from helpers.world.pen import Color, Pen, blob, darker

Draw = Callable[[Pen, float, float, float], None]


def _chicken(pen: Pen, x: float, y: float, r: float) -> None:
    _meat(pen, x, y, r, (206, 158, 96))


def _beef(pen: Pen, x: float, y: float, r: float) -> None:
    _meat(pen, x, y, r, (98, 52, 34))


def _meat(pen: Pen, x: float, y: float, r: float, color: Color) -> None:
    wobble = 0.7 + 0.4 * pen.rng.random(6)
    fill = pen.tone(color)
    pen.polygon(blob(6, r, 0.8 * r, wobble), fill, darker(fill), at=(x, y), turn=pen.angle())


def _shrimp(pen: Pen, x: float, y: float, r: float) -> None:
    pen.arc(x, y, r, r, pen.angle(), 4.0, pen.tone((246, 140, 104)), 0.6 * r)


def _salmon(pen: Pen, x: float, y: float, r: float) -> None:
    turn = pen.angle()
    side = [(-r, -0.6 * r), (r, -0.6 * r), (r, 0.6 * r), (-r, 0.6 * r)]
    pen.polygon(side, pen.tone((244, 126, 84)), at=(x, y), turn=turn)
    for q in (-0.5, 0.0, 0.5):
        stripe = [(q * r, -0.6 * r), (q * r, 0.6 * r)]
        pen.line(stripe, (252, 206, 180), 0.008, at=(x, y), turn=turn)


def _tofu(pen: Pen, x: float, y: float, r: float) -> None:
    s = 0.8 * r
    cube = [(-s, -s), (s, -s), (s, s), (-s, s)]
    pen.polygon(cube, pen.tone((246, 234, 200)), (200, 176, 120), at=(x, y), turn=pen.angle())


def _egg(pen: Pen, x: float, y: float, r: float) -> None:
    pen.oval(x, y, 1.2 * r, r, pen.tone((250, 250, 244), 0.5), (210, 206, 196))
    pen.oval(x, y, 0.5 * r, 0.5 * r, pen.tone((248, 184, 30)))


def _mushroom(pen: Pen, x: float, y: float, r: float) -> None:
    turn = pen.angle()
    stem = [(-0.3 * r, 0), (0.3 * r, 0), (0.3 * r, r), (-0.3 * r, r)]
    cap = [(r * math.cos(a), r * math.sin(a)) for a in (math.pi * (1 + i / 6) for i in range(7))]
    pen.polygon(stem, (226, 214, 198), at=(x, y), turn=turn)
    pen.polygon(cap, pen.tone((176, 150, 126)), (110, 88, 70), at=(x, y), turn=turn)


def _tomato(pen: Pen, x: float, y: float, r: float) -> None:
    pen.oval(x, y, 0.9 * r, 0.9 * r, pen.tone((214, 36, 30)))
    pen.oval(x, y, 0.5 * r, 0.5 * r, pen.tone((236, 96, 70)))


def _potato(pen: Pen, x: float, y: float, r: float) -> None:
    pen.oval(x, y, r, 0.7 * r, pen.tone((226, 192, 110)), (176, 138, 66))


def _carrot(pen: Pen, x: float, y: float, r: float) -> None:
    wedge = [(-r, -0.5 * r), (1.2 * r, 0), (-r, 0.5 * r)]
    pen.polygon(wedge, pen.tone((240, 124, 22)), at=(x, y), turn=pen.angle())


MAINS: dict[str, Draw] = {
    "chicken": _chicken,
    "beef": _beef,
    "shrimp": _shrimp,
    "salmon": _salmon,
    "tofu": _tofu,
    "egg": _egg,
    "mushroom": _mushroom,
    "tomato": _tomato,
    "potato": _potato,
    "carrot": _carrot,
}


def leaf(pen: Pen, x: float, y: float, r: float, color: Color) -> None:
    """A leaf with its midrib, at a random angle."""
    fill, turn = pen.tone(color), pen.angle()
    pen.polygon(blob(8, r, 0.45 * r, [1.0] * 8), fill, at=(x, y), turn=turn)
    pen.line([(-r, 0), (r, 0)], darker(fill), 0.008, at=(x, y), turn=turn)


def _basil(pen: Pen, x: float, y: float, r: float) -> None:
    for px, py in pen.strewn(4, x, y, 0.6 * r):
        leaf(pen, px, py, 0.3 * r, (44, 124, 42))


def _parsley(pen: Pen, x: float, y: float, r: float) -> None:
    for px, py in pen.strewn(22, x, y, r):
        pen.oval(px, py, 0.012, 0.012, pen.tone((40, 110, 36)))


def _sesame(pen: Pen, x: float, y: float, r: float) -> None:
    for px, py in pen.strewn(26, x, y, r):
        pen.oval(px, py, 0.0125, 0.009, pen.tone((250, 240, 206)), (170, 140, 90))


def _chili(pen: Pen, x: float, y: float, r: float) -> None:
    for px, py in pen.strewn(6, x, y, 0.8 * r):
        pen.arc(px, py, 0.04, 0.04, pen.angle(), 2.6, pen.tone((216, 22, 22)), 0.016)


def _lemon(pen: Pen, x: float, y: float, r: float) -> None:
    for px, py in pen.strewn(2, x, y, 0.7 * r):
        pen.oval(px, py, 0.26 * r, 0.26 * r, (246, 222, 60))
        pen.oval(px, py, 0.18 * r, 0.18 * r, (252, 244, 170))
        for spoke in ([(-0.2 * r, 0), (0.2 * r, 0)], [(0, -0.2 * r), (0, 0.2 * r)]):
            pen.line(spoke, (246, 222, 60), 0.008, at=(px, py))


def _onion(pen: Pen, x: float, y: float, r: float) -> None:
    for px, py in pen.strewn(4, x, y, 0.7 * r):
        q = r * pen.between(0.14, 0.24)
        pen.oval(px, py, q, q, None, pen.tone((156, 64, 140)), 0.016)


def _olives(pen: Pen, x: float, y: float, r: float) -> None:
    for px, py in pen.strewn(5, x, y, 0.8 * r):
        pen.oval(px, py, 0.12 * r, 0.12 * r, pen.tone((32, 30, 34)))
        pen.oval(px, py, 0.04 * r, 0.04 * r, (120, 110, 80))


def _cheese(pen: Pen, x: float, y: float, r: float) -> None:
    for px, py in pen.strewn(16, x, y, 0.9 * r):
        shred = [(-0.031, 0), (0.031, 0)]
        pen.line(shred, pen.tone((250, 214, 92)), 0.016, at=(px, py), turn=pen.angle())


GARNISHES: dict[str, Draw] = {
    "basil": _basil,
    "parsley": _parsley,
    "sesame": _sesame,
    "chili": _chili,
    "lemon": _lemon,
    "onion": _onion,
    "olives": _olives,
    "cheese": _cheese,
}

SAUCES: dict[str, Color] = {
    "tomato": (196, 52, 30),
    "cream": (244, 236, 214),
    "pesto": (86, 130, 44),
    "soy": (84, 46, 24),
    "turmeric": (226, 168, 36),
}
