"""Model cars seen from the side with the front turned a little: eight bodies, five grilles, four
kinds of lamps, four kinds of wheels, three decades.

Front and wheels are larger than on a real car, and each kind of grille has its metal and each kind
of lamp its light: at 64 or 96 pixels the lines alone cannot be told apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from helpers.world.pen import Color, Pen, Point, darker

WHITE: Color = (255, 255, 255)
GLASS: Color = (150, 180, 200)
RUBBER: Color = (28, 28, 30)
CHROME: Color = (205, 208, 212)
FLOOR = 0.13  # where the sill is; the wheels stand below
LENGTH = 0.9  # of the drawn car; longer ones are cut by some cameras
FRONT, WHEEL = 1.5, 1.3  # how much larger than the outline asks for
BACK = (-0.02, -0.1)  # rear and front wheel give room to the front


@dataclass(frozen=True)
class Body:
    """An outline from the tail to the nose, its windows, and where its wheels are."""

    outline: tuple[Point, ...]
    windows: tuple[tuple[Point, ...], ...]
    wheels: tuple[float, float]
    wheel: float = 0.075


def _cabin(left: float, right: float, top: float, sill: float, *, slope: float) -> tuple:
    """Two windows below a roof, the front one with a sloping screen."""
    middle = left + 0.52 * (right - left)
    rear = ((left, sill), (left + 0.5 * slope, top), (middle - 0.008, top), (middle - 0.008, sill))
    front = ((middle + 0.008, sill), (middle + 0.008, top), (right - slope, top), (right, sill))
    return rear, front


BODIES: dict[str, Body] = {
    "sedan": Body(
        ((-0.42, -0.02), (-0.30, -0.04), (-0.20, -0.16), (0.06, -0.16), (0.17, -0.03), (0.40, 0.0)),
        _cabin(-0.25, 0.13, -0.135, -0.035, slope=0.09),
        (-0.26, 0.17),
    ),
    "coupe": Body(
        ((-0.42, 0.0), (-0.34, -0.03), (-0.13, -0.13), (0.0, -0.13), (0.15, -0.02), (0.40, 0.01)),
        (((-0.20, -0.025), (-0.10, -0.105), (-0.01, -0.105), (0.10, -0.025)),),
        (-0.26, 0.17),
    ),
    "convertible": Body(
        ((-0.42, -0.01), (-0.18, -0.03), (-0.14, 0.01), (0.06, 0.01), (0.10, -0.03), (0.40, 0.0)),
        (((0.06, -0.03), (0.0, -0.13), (0.02, -0.13), (0.10, -0.03)),),
        (-0.26, 0.17),
    ),
    "hatchback": Body(
        ((-0.35, -0.02), (-0.27, -0.17), (0.06, -0.17), (0.17, -0.03), (0.36, 0.0)),
        _cabin(-0.29, 0.13, -0.145, -0.035, slope=0.09),
        (-0.23, 0.13),
    ),
    "wagon": Body(
        ((-0.43, -0.04), (-0.40, -0.16), (0.06, -0.16), (0.17, -0.03), (0.40, 0.0)),
        _cabin(-0.39, 0.13, -0.135, -0.035, slope=0.08),
        (-0.27, 0.17),
    ),
    "SUV": Body(
        ((-0.40, -0.08), (-0.37, -0.22), (0.09, -0.22), (0.17, -0.07), (0.39, -0.05)),
        _cabin(-0.36, 0.13, -0.19, -0.08, slope=0.08),
        (-0.24, 0.14),
        wheel=0.095,
    ),
    "pickup": Body(
        (
            (-0.44, -0.03),
            (-0.12, -0.03),
            (-0.10, -0.19),
            (0.09, -0.19),
            (0.17, -0.05),
            (0.40, -0.03),
        ),
        _cabin(-0.09, 0.13, -0.165, -0.05, slope=0.08),
        (-0.28, 0.16),
        wheel=0.09,
    ),
    "van": Body(
        ((-0.42, -0.22), (-0.40, -0.25), (0.15, -0.25), (0.31, -0.05), (0.40, -0.02)),
        (((0.03, -0.07), (0.03, -0.21), (0.13, -0.21), (0.24, -0.07)),),
        (-0.26, 0.17),
    ),
}
METALS: dict[str, Color] = {  # by the kind of grille
    "bars": (205, 208, 212),
    "slats": (214, 170, 60),
    "mesh": (95, 100, 110),
    "twin": (90, 140, 220),
    "plain": (205, 90, 60),
}
LIGHTS: dict[str, Color] = {  # by the kind of lamps
    "round": (255, 240, 170),
    "square": (250, 250, 255),
    "slim": (255, 140, 40),
    "double": (140, 205, 255),
}
WHEELS = ("disc", "spokes", "ring", "dots")
DECADES = ("1990s", "2000s", "2010s")


@dataclass(frozen=True)
class Vehicle:
    """What a model car looks like; all but the color belong to its class."""

    body: str
    grille: str
    lamps: str
    wheels: str
    decade: str
    color: Color
    facing: int = 1


def paint_vehicle(pen: Pen, mask: Pen, car: Vehicle) -> None:
    """The car in the middle of the picture, and its silhouette; ``facing`` -1 looks left."""
    body = BODIES[car.body]
    side, silhouette = (Side(p, car.facing).enlarged((0, FLOOR), LENGTH) for p in (pen, mask))
    nose = body.outline[-1]
    fill = pen.tone(car.color)
    outline = [(body.outline[0][0], FLOOR), *body.outline, (nose[0] + 0.02, FLOOR)]
    pen.oval(0, FLOOR + 1.2 * body.wheel, 0.4, 0.02, (20, 20, 22))  # the shadow that it stands in
    side.shape(outline, fill, darker(fill, 0.6))
    for window in body.windows:
        side.shape(window, GLASS, RUBBER)
    _age(side, car.decade, outline, fill)
    _front(side.enlarged((nose[0] + 0.03, nose[1]), FRONT), car, nose)
    silhouette.shape(outline, WHITE)
    silhouette.enlarged((nose[0] + 0.03, nose[1]), FRONT).shape(_panel(nose), WHITE)
    size = WHEEL * body.wheel * {"1990s": 0.9, "2000s": 1.0, "2010s": 1.12}[car.decade]
    for x, back in zip(body.wheels, BACK, strict=True):
        place = (x + back, FLOOR)
        silhouette.disc(*place, size, WHITE)
        side.disc(*place, size, RUBBER)
        _RIMS[car.wheels](side.enlarged(place, WHEEL), x + back, 0.66 * size / WHEEL)


class Side:
    """A pen whose x axis points to the nose of the car; it may enlarge what it draws."""

    def __init__(self, pen: Pen, facing: int, *, scale: float = 1.0, shift: Point = (0.0, 0.0)):
        self.pen = pen
        self.facing = facing
        self.scale = scale
        self.shift = shift

    def enlarged(self, center: Point, scale: float) -> "Side":
        """The same side, drawing ``scale`` times as large around a point that stays in place."""
        moved = [c * (1 - scale) for c in center]
        shift = tuple(s + self.scale * m for s, m in zip(self.shift, moved, strict=True))
        return Side(self.pen, self.facing, scale=self.scale * scale, shift=shift)

    def shape(self, points: Sequence[Point], fill: Color, edge: Color | None = None) -> None:
        self.pen.polygon([self._at(*point) for point in points], fill, edge)

    def stroke(self, points: Sequence[Point], color: Color, width: float) -> None:
        self.pen.line([self._at(*point) for point in points], color, self.scale * width)

    def disc(self, x: float, y: float, r: float, fill: Color | None, edge: Color | None = None):
        r *= self.scale
        self.pen.oval(*self._at(x, y), r, r, fill, edge, 0.014)

    def _at(self, x: float, y: float) -> Point:
        dx, dy = self.shift
        return self.facing * (self.scale * x + dx), self.scale * y + dy


def _age(side: Side, decade: str, outline: Sequence[Point], fill: Color) -> None:
    """What a decade adds: dark bumpers and a strip; a plain side; a line that rises."""
    left, right = outline[0][0], outline[-1][0]
    if decade == "1990s":
        side.stroke([(left, 0.075), (right, 0.075)], RUBBER, 0.022)
        x, y = (left - 0.02, left + 0.05), (0.06, 0.12)
        side.shape([(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])], RUBBER)
    elif decade == "2010s":
        side.stroke([(left + 0.02, 0.065), (right - 0.2, 0.015)], darker(fill, 0.55), 0.014)
        side.shape(
            [(left, 0.105), (right, 0.105), (right, FLOOR), (left, FLOOR)], darker(fill, 0.45)
        )


def _panel(nose: Point) -> list[Point]:
    """The part of the front that is turned to the viewer."""
    top, right = nose[1] + 0.005, nose[0] + 0.015
    bottom, left = top + 0.095, right - 0.185
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _front(side: Side, car: Vehicle, nose: Point) -> None:
    """Grille between two lamps."""
    panel = _panel(nose)
    (left, top), (right, bottom) = panel[0], panel[2]
    side.shape(panel, darker(car.color, 0.8), RUBBER)
    inner = (left + 0.062, right - 0.062)
    _grille(side, car.grille, *inner, top + 0.012, bottom - 0.012)
    height = top + 0.04
    for x in (left + 0.031, right - 0.031):
        _LAMPS[car.lamps](side, x, height, LIGHTS[car.lamps])


def _grille(side: Side, kind: str, left: float, right: float, top: float, bottom: float) -> None:
    metal = METALS[kind]
    if kind == "plain":
        side.stroke([(left, bottom), (right, bottom)], metal, 0.016)
        return
    if kind == "twin":
        middle = (left + right) / 2
        for a, b in ((left, middle - 0.006), (middle + 0.006, right)):
            side.shape([(a, top), (b, top), (b, bottom), (a, bottom)], RUBBER, metal)
        return
    side.shape([(left, top), (right, top), (right, bottom), (left, bottom)], RUBBER, metal)
    across = [left + (right - left) * i / 4 for i in (1, 2, 3)]
    down = [top + (bottom - top) * i / 4 for i in (1, 2, 3)]
    if kind in ("bars", "mesh"):
        for x in across:
            side.stroke([(x, top), (x, bottom)], metal, 0.01)
    if kind in ("slats", "mesh"):
        for y in down:
            side.stroke([(left, y), (right, y)], metal, 0.01)


def _round(side: Side, x: float, y: float, light: Color) -> None:
    side.disc(x, y, 0.027, light, RUBBER)


def _square(side: Side, x: float, y: float, light: Color) -> None:
    left, right, top, bottom = x - 0.025, x + 0.025, y - 0.025, y + 0.025
    side.shape([(left, top), (right, top), (right, bottom), (left, bottom)], light, RUBBER)


def _slim(side: Side, x: float, y: float, light: Color) -> None:
    side.stroke([(x - 0.028, y - 0.022), (x + 0.028, y - 0.022)], light, 0.02)


def _double(side: Side, x: float, y: float, light: Color) -> None:
    side.disc(x, y - 0.016, 0.017, light)
    side.disc(x, y + 0.022, 0.017, light)


def _disc(side: Side, x: float, r: float) -> None:
    side.disc(x, FLOOR, r, CHROME)


def _spokes(side: Side, x: float, r: float) -> None:
    for points in ([(x - r, FLOOR), (x + r, FLOOR)], [(x, FLOOR - r), (x, FLOOR + r)]):
        side.stroke(points, CHROME, 0.018)


def _ring(side: Side, x: float, r: float) -> None:
    side.disc(x, FLOOR, r, None, CHROME)


def _dots(side: Side, x: float, r: float) -> None:
    side.disc(x, FLOOR, 0.45 * r, (200, 60, 50))


_LAMPS: dict[str, Callable[[Side, float, float, Color], None]] = {
    "round": _round,
    "square": _square,
    "slim": _slim,
    "double": _double,
}
_RIMS: dict[str, Callable[[Side, float, float], None]] = {
    "disc": _disc,
    "spokes": _spokes,
    "ring": _ring,
    "dots": _dots,
}
