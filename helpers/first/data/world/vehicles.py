"""Model cars seen from the side with the front turned a little: eight bodies, five grilles, four
kinds of lamps, four kinds of wheels, three decades.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from helpers.first.data.world.pen import Color, Pen, Point, darker

WHITE: Color = (255, 255, 255)
GLASS: Color = (150, 180, 200)
RUBBER: Color = (28, 28, 30)
CHROME: Color = (205, 208, 212)
LIGHT: Color = (255, 240, 170)
FLOOR = 0.13  # where the sill is; the wheels stand below


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
GRILLES = ("bars", "slats", "mesh", "twin", "plain")
LAMPS = ("round", "square", "slim", "double")
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
    body, side = BODIES[car.body], Side(pen, car.facing)
    nose = body.outline[-1]
    fill = pen.tone(car.color)
    edge = darker(fill, 0.6)
    outline = [(body.outline[0][0], FLOOR), *body.outline, (nose[0] + 0.02, FLOOR)]
    pen.oval(0, FLOOR + body.wheel, 0.42, 0.02, (20, 20, 22))  # the shadow that it stands in
    Side(mask, car.facing).shape(outline, WHITE)
    side.shape(outline, fill, edge)
    for window in body.windows:
        side.shape(window, GLASS, RUBBER)
    _age(side, car.decade, outline, fill)
    _front(side, car, nose)
    size = body.wheel * {"1990s": 0.9, "2000s": 1.0, "2010s": 1.12}[car.decade]
    for x in body.wheels:
        Side(mask, car.facing).disc(x, FLOOR, size, WHITE)
        side.disc(x, FLOOR, size, RUBBER)
        _RIMS[car.wheels](side, x, 0.66 * size)


class Side:
    """A pen whose x axis points to the nose of the car."""

    def __init__(self, pen: Pen, facing: int):
        self.pen = pen
        self.facing = facing

    def shape(self, points: Sequence[Point], fill: Color, edge: Color | None = None) -> None:
        self.pen.polygon([(self.facing * x, y) for x, y in points], fill, edge)

    def stroke(self, points: Sequence[Point], color: Color, width: float) -> None:
        self.pen.line([(self.facing * x, y) for x, y in points], color, width)

    def disc(self, x: float, y: float, r: float, fill: Color | None, edge: Color | None = None):
        self.pen.oval(self.facing * x, y, r, r, fill, edge, 0.014)


def _age(side: Side, decade: str, outline: Sequence[Point], fill: Color) -> None:
    """What a decade adds: dark bumpers and a strip; a plain side; a line that rises."""
    left, right = outline[0][0], outline[-1][0]
    if decade == "1990s":
        side.stroke([(left, 0.075), (right, 0.075)], RUBBER, 0.022)
        side.shape([(left - 0.02, 0.06), (left + 0.05, 0.06), (left + 0.05, 0.12), (left - 0.02, 0.12)], RUBBER)  # fmt: skip  # noqa: E501
    elif decade == "2010s":
        side.stroke([(left + 0.02, 0.065), (right - 0.2, 0.015)], darker(fill, 0.55), 0.014)
        side.shape(
            [(left, 0.105), (right, 0.105), (right, FLOOR), (left, FLOOR)], darker(fill, 0.45)
        )


def _front(side: Side, car: Vehicle, nose: Point) -> None:
    """Grille between two lamps, on the part of the front that is turned to the viewer."""
    top, right = nose[1] + 0.005, nose[0] + 0.015
    bottom, left = top + 0.095, right - 0.185
    panel = [(left, top), (right, top), (right, bottom), (left, bottom)]
    side.shape(panel, darker(car.color, 0.8), RUBBER)
    inner = (left + 0.062, right - 0.062)
    _grille(side, car.grille, *inner, top + 0.012, bottom - 0.012)
    height = top + 0.04
    for x in (left + 0.031, right - 0.031):
        _LIGHTS[car.lamps](side, x, height)


def _grille(side: Side, kind: str, left: float, right: float, top: float, bottom: float) -> None:
    if kind == "plain":
        side.stroke([(left, bottom), (right, bottom)], CHROME, 0.016)
        return
    if kind == "twin":
        middle = (left + right) / 2
        for a, b in ((left, middle - 0.006), (middle + 0.006, right)):
            side.shape([(a, top), (b, top), (b, bottom), (a, bottom)], RUBBER, CHROME)
        return
    side.shape([(left, top), (right, top), (right, bottom), (left, bottom)], RUBBER, CHROME)
    across = [left + (right - left) * i / 4 for i in (1, 2, 3)]
    down = [top + (bottom - top) * i / 4 for i in (1, 2, 3)]
    if kind in ("bars", "mesh"):
        for x in across:
            side.stroke([(x, top), (x, bottom)], CHROME, 0.01)
    if kind in ("slats", "mesh"):
        for y in down:
            side.stroke([(left, y), (right, y)], CHROME, 0.01)


def _round(side: Side, x: float, y: float) -> None:
    side.disc(x, y, 0.027, LIGHT, RUBBER)


def _square(side: Side, x: float, y: float) -> None:
    corners = [(x - 0.025, y - 0.025), (x + 0.025, y - 0.025), (x + 0.025, y + 0.025), (x - 0.025, y + 0.025)]  # fmt: skip  # noqa: E501
    side.shape(corners, LIGHT, RUBBER)


def _slim(side: Side, x: float, y: float) -> None:
    side.stroke([(x - 0.028, y - 0.022), (x + 0.028, y - 0.022)], LIGHT, 0.02)


def _double(side: Side, x: float, y: float) -> None:
    side.disc(x, y - 0.016, 0.017, LIGHT)
    side.disc(x, y + 0.022, 0.017, LIGHT)


def _disc(side: Side, x: float, r: float) -> None:
    side.disc(x, FLOOR, r, CHROME)


def _spokes(side: Side, x: float, r: float) -> None:
    for points in ([(x - r, FLOOR), (x + r, FLOOR)], [(x, FLOOR - r), (x, FLOOR + r)]):
        side.stroke(points, CHROME, 0.018)


def _ring(side: Side, x: float, r: float) -> None:
    side.disc(x, FLOOR, r, None, CHROME)


def _dots(side: Side, x: float, r: float) -> None:
    side.disc(x, FLOOR, 0.45 * r, (200, 60, 50))


_LIGHTS: dict[str, Callable[[Side, float, float], None]] = {
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
