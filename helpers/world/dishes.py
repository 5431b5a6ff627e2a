"""Twelve dishes, each a function that arranges a main ingredient and a sauce on a plate.

A dish draws its body and returns where its garnish goes; sauces that are not part of the body
(soup, curry, pizza ...) are drizzled over it.
"""

from collections.abc import Callable
from typing import NamedTuple

from helpers.world.food import GARNISHES, MAINS, SAUCES, leaf
from helpers.world.pen import Color, Pen


class Order(NamedTuple):
    """What is served: main ingredient (name), sauce (color or None), center and radius."""

    main: str
    sauce: Color | None
    x: float
    y: float
    r: float

    def pieces(self, pen: Pen, n: int = 5, *, dx: float = 0.0, reach: float = 0.85) -> None:
        """``n`` pieces of the main ingredient, strewn by hand."""
        for x, y in pen.ring_of(n, self.x + dx * self.r, self.y, reach * self.r):
            MAINS[self.main](pen, x, y, 0.24 * self.r)

    def piece(self, pen: Pen, dx: float, dy: float, size: float) -> None:
        """One piece at an offset, all three in units of the radius."""
        MAINS[self.main](pen, self.x + dx * self.r, self.y + dy * self.r, size * self.r)


class Top(NamedTuple):
    """Where the garnish goes, and whether the sauce is still to be drizzled."""

    x: float
    y: float
    r: float
    drizzle: bool


def _soup(pen: Pen, o: Order) -> Top:
    pen.oval(o.x, o.y, o.r, 0.9 * o.r, pen.tone(o.sauce or (214, 196, 140)))
    o.pieces(pen, 4, reach=0.8)
    return Top(o.x, o.y, 0.85 * o.r, False)


def _curry(pen: Pen, o: Order) -> Top:
    pen.oval(o.x, o.y, o.r, 0.9 * o.r, pen.tone(o.sauce or (190, 150, 90)))
    pen.half_disc(o.x, o.y, o.r, 0.9 * o.r, 1.75, 2.8, pen.tone((248, 246, 238), 0.4))
    o.pieces(pen, 4, dx=0.35, reach=0.55)
    return Top(o.x, o.y, 0.85 * o.r, False)


def _noodles(pen: Pen, o: Order) -> Top:
    pen.oval(o.x, o.y, 0.95 * o.r, 0.8 * o.r, pen.tone((236, 206, 130)))
    for x, y in pen.strewn(11, o.x, o.y, 0.6 * o.r):
        q, dark = o.r * pen.between(0.25, 0.6), pen.rng.random() < 0.6
        color = pen.tone((200, 160, 80) if dark else (250, 228, 160))
        pen.arc(x, y, q, 0.8 * q, pen.angle(), 3.8, color, 0.016)
    o.pieces(pen)
    return Top(o.x, o.y, 0.85 * o.r, True)


def _rice(pen: Pen, o: Order) -> Top:
    pen.oval(o.x, o.y, 0.9 * o.r, 0.8 * o.r, pen.tone((246, 244, 236), 0.4))
    for place in pen.strewn(30, o.x, o.y, 0.85 * o.r):
        pen.line([(-0.016, 0), (0.016, 0)], (214, 208, 192), 0.008, at=place, turn=pen.angle())
    o.pieces(pen)
    return Top(o.x, o.y, 0.85 * o.r, True)


def _salad(pen: Pen, o: Order) -> Top:
    places = pen.ring_of(9, o.x, o.y, 0.9 * o.r) + pen.ring_of(5, o.x, o.y, 0.5 * o.r)
    for x, y in places:
        leaf(pen, x, y, 0.34 * o.r, pen.tone((110, 178, 66)))
    o.pieces(pen)
    return Top(o.x, o.y, 0.85 * o.r, True)


def _pizza(pen: Pen, o: Order) -> Top:
    pen.oval(o.x, o.y, o.r, 0.95 * o.r, pen.tone((216, 166, 92)))
    pen.oval(o.x, o.y, 0.84 * o.r, 0.8 * o.r, pen.tone(o.sauce or (236, 206, 120)))
    start = pen.rng.random()
    for i in range(3):
        cut = [(-0.95 * o.r, 0), (0.95 * o.r, 0)]
        pen.line(cut, (150, 106, 54), 0.008, at=(o.x, o.y), turn=start + 1.05 * i)
    o.pieces(pen)
    return Top(o.x, o.y, 0.85 * o.r, False)


def _burger(pen: Pen, o: Order) -> Top:
    x, y, r = o.x, o.y, o.r
    pen.box(
        x - 0.75 * r, y + 0.3 * r, x + 0.75 * r, y + 0.7 * r, pen.tone((206, 146, 74)), radius=0.05
    )
    pen.box(x - 0.8 * r, y + 0.1 * r, x + 0.8 * r, y + 0.3 * r, pen.tone((90, 50, 32)))
    pen.line([(x - 0.85 * r, y + 0.08 * r), (x + 0.85 * r, y + 0.08 * r)], (110, 178, 66), 0.032)
    if o.sauce:
        pen.box(x - 0.78 * r, y - 0.1 * r, x + 0.78 * r, y + 0.04 * r, o.sauce)
    pen.half_disc(x, y - 0.1 * r, 0.78 * r, 0.75 * r, 3.14, 3.14, pen.tone((214, 150, 76)))
    for q in (-0.5, 0.0, 0.5):
        o.piece(pen, q, -0.02, 0.19)
    return Top(x, y - 0.5 * r, 0.5 * r, False)


def _pancakes(pen: Pen, o: Order) -> Top:
    for i in range(4):
        dx, y = 0.016 * float(pen.rng.standard_normal()), o.y + (0.45 - 0.22 * i) * o.r
        pen.oval(o.x + dx, y, 0.82 * o.r, 0.5 * o.r, pen.tone((222, 168, 84)), (150, 98, 40))
    upper = o._replace(y=o.y - 0.22 * o.r, r=0.75 * o.r)
    upper.pieces(pen)
    return Top(upper.x, upper.y, 0.85 * upper.r, True)


def _tacos(pen: Pen, o: Order) -> Top:
    for q in (-0.5, 0.0, 0.5):
        x, y = o.x + q * o.r, o.y + 0.15 * o.r
        pen.half_disc(
            x, y, 0.45 * o.r, 0.75 * o.r, 3.14, 3.14, pen.tone((240, 200, 96)), (176, 130, 46)
        )
        o.piece(pen, q, -0.55, 0.216)
        if o.sauce:
            pen.oval(x, o.y - 0.25 * o.r, 0.22 * o.r, 0.09 * o.r, o.sauce)
    return Top(o.x, o.y - 0.3 * o.r, 0.75 * o.r, False)


def _pie(pen: Pen, o: Order) -> Top:
    pen.oval(o.x, o.y, o.r, 0.9 * o.r, pen.tone((196, 138, 70)))
    pen.oval(o.x, o.y, 0.85 * o.r, 0.76 * o.r, o.sauce or (232, 190, 120))
    for q in (-0.5, 0.0, 0.5):
        upright = [(q * o.r, -0.65 * o.r), (q * o.r, 0.65 * o.r)]
        across = [(-0.75 * o.r, q * o.r), (0.75 * o.r, q * o.r)]
        for strip in (upright, across):
            pen.line(strip, (208, 152, 80), 0.032, at=(o.x, o.y))
    o.pieces(pen)
    return Top(o.x, o.y, 0.85 * o.r, False)


def _sushi(pen: Pen, o: Order) -> Top:
    for dx in (-0.62, 0.0, 0.62):
        for dy in (-0.35, 0.35):
            x, y = o.x + dx * o.r, o.y + dy * o.r
            pen.oval(x, y, 0.3 * o.r, 0.3 * o.r, (28, 34, 30))
            pen.oval(x, y, 0.24 * o.r, 0.24 * o.r, (248, 246, 240))
            o.piece(pen, dx, dy, 0.13)
    if o.sauce:
        pen.oval(o.x + 0.8 * o.r, o.y - 0.75 * o.r, 0.2 * o.r, 0.2 * o.r, o.sauce, (90, 90, 90))
    return Top(o.x, o.y, 0.9 * o.r, False)


def _skewers(pen: Pen, o: Order) -> Top:
    for q in (-0.5, 0.0, 0.5):
        y = o.y + q * o.r
        pen.line([(o.x - o.r, y), (o.x + o.r, y - 0.03)], (170, 126, 70), 0.016)
        for dx in (-0.6, -0.1, 0.4):
            o.piece(pen, dx, q, 0.216)
        if o.sauce:
            pen.line([(o.x - 0.7 * o.r, y + 0.024), (o.x + 0.6 * o.r, y)], o.sauce, 0.024)
    return Top(o.x, o.y, 0.9 * o.r, False)


DISHES: dict[str, Callable[[Pen, Order], Top]] = {
    "soup": _soup,
    "curry": _curry,
    "noodles": _noodles,
    "rice": _rice,
    "salad": _salad,
    "pizza": _pizza,
    "burger": _burger,
    "pancakes": _pancakes,
    "tacos": _tacos,
    "pie": _pie,
    "sushi": _sushi,
    "skewers": _skewers,
}


def serve(
    pen: Pen, x: float, y: float, r: float, *, dish: str, main: str, sauce: str, garnish: str
) -> None:
    """A dish of radius ``r`` around (x, y); ``sauce`` and ``garnish`` may be "none"."""
    order = Order(main, SAUCES.get(sauce), x, y, r)
    top = DISHES[dish](pen, order)
    if order.sauce and top.drizzle:
        n, sway = 6, 0.016 * pen.rng.standard_normal(7)
        zigzag = [
            (x + r * (-0.8 + 1.6 * i / n), y + (0.4 if i % 2 else -0.4) * r + float(sway[i]))
            for i in range(n + 1)
        ]
        pen.line(zigzag, order.sauce, 0.038)
    if garnish != "none":
        GARNISHES[garnish](pen, top.x, top.y, top.r)
