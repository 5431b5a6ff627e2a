"""The drawn world as a source of recipes: attributes, captions and pictures from separate streams.

A recipe's attributes never depend on how it is drawn, and the ``photo`` and ``diffusion`` pictures
of one image share every random number: they are true pairs that differ in style alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image

from helpers.course.code import Modules
from helpers.data.records import Caption, Recipe
from helpers.repro import hash_of
from helpers.store.artefacts import code_of
from helpers.world.domain import Attributes, Domain, Scene
from helpers.world.food import MAINS
from helpers.world.objects import OBJECTS, place
from helpers.world.pen import Pen
from helpers.world.styles import CANVAS, Style, aim, develop, style_of
from helpers.world.surfaces import COLORS, table_top
from helpers.world.watermark import overlay, sample_watermark

SUPERSAMPLING = 2
PARTS = (
    "attributes", "captions", "images", "layout", "camera", "clutter", "develop", "watermark",
    "languages", "varied",
)  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """A picture with its truth.

    Attributes
    ----------
    image : PIL.Image.Image
        RGB, px x px.
    subject : (px, px) bool
        The dish with its plate, or the objects.
    watermark : (px, px) bool
        The watermark's pixels; all False without one.
    """

    image: Image.Image
    subject: np.ndarray
    watermark: np.ndarray


@dataclass(frozen=True)
class World:
    """``n_recipes`` recipes of a domain, each with 2 to 4 pictures and three captions.

    Attributes
    ----------
    domain : Domain
    n_recipes : int
    seed : int
        Recipe ``i`` of a seed is the same whatever ``n_recipes``.
    px : int
        Side of a picture.
    style : str
        ``photo`` or ``diffusion``.
    style_gap : float
        How far ``diffusion`` stays away from ``photo``, 0 to 1.
    """

    domain: Domain
    n_recipes: int
    seed: int = 42
    px: int = 64
    style: str = "photo"
    style_gap: float = 1.0

    def __post_init__(self) -> None:
        style_of(self.style, style_gap=self.style_gap)
        for name, value in (("n_recipes", self.n_recipes), ("px", self.px)):
            if value < 1:
                raise ValueError(
                    f"{name} of world:{self.domain.name} is {value}; it must be positive"
                )

    @property
    def name(self) -> str:
        """What results call this source."""
        gap = f"&style_gap={self.style_gap:g}" if self.style_gap != 1 else ""
        style = f"?style={self.style}{gap}" if self.style != "photo" else ""
        return f"world:{self.domain.name}{style}"

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the parameters and of the code that draws and describes this domain."""
        shape = (self.domain.name, self.n_recipes, self.seed, self.px, self.style, self.style_gap,
                 self.domain.n_images)  # fmt: skip
        modules = Modules(through_packages=False)
        behind = (__name__, f"{__package__}.{self.domain.name}")
        code = {
            name for module in behind for name in modules.named(module, packages=("data", "world"))
        }
        return hash_of([*shape, code_of(*sorted(code))])

    def in_style(self, style: str, *, style_gap: float = 1.0) -> "World":
        """The same recipes pictured in another style."""
        return replace(self, style=style, style_gap=style_gap)

    def stream(self, part: str, index: int, *more: int) -> np.random.Generator:
        """The random stream of one part of recipe ``index``."""
        return np.random.default_rng([self.domain.key, self.seed, index, PARTS.index(part), *more])

    def recipe_id(self, index: int) -> str:
        """The id of recipe ``index``."""
        return f"{self.domain.name}-{index:05d}"

    def attributes(self, index: int) -> Attributes:
        """What recipe ``index`` is, as flat strings."""
        if self.domain.nth is not None:
            return self.domain.nth(index, self.seed)
        return self.domain.sample(self.stream("attributes", index))

    def n_images(self, index: int) -> int:
        """How many pictures recipe ``index`` has: 2 to 4, unless its domain has others."""
        return int(self.stream("images", index).integers(*self.domain.n_images))

    def recipe(self, index: int) -> Recipe:
        """Recipe ``index`` with its captions and the keys of its pictures."""
        attributes = self.attributes(index)
        recipe_id = self.recipe_id(index)
        return Recipe(
            recipe_id=recipe_id,
            title=self.domain.title(attributes),
            images=tuple(f"{recipe_id}/{j}.jpg" for j in range(self.n_images(index))),
            captions=self.captions(index),
            attributes={**attributes, "style": self.style},
        )

    def captions(self, index: int) -> tuple[Caption, ...]:
        """The captions of recipe ``index``, from brief to detailed."""
        phrased = self.domain.captions(self.attributes(index), self.stream("captions", index))
        return tuple(Caption(text, language="en", kind=kind) for kind, text in phrased)

    def recipes(self) -> Iterator[Recipe]:
        """All recipes, in order."""
        return (self.recipe(index) for index in range(self.n_recipes))

    def load_image(self, key: str) -> Image.Image:
        """The picture of a key such as ``kitchen-00007/1.jpg``.

        Raises
        ------
        KeyError
            If this world has no such picture.
        """
        try:
            head, tail = key.rsplit("/", 1)
            index, j = int(head.rsplit("-", 1)[1]), int(tail.removesuffix(".jpg"))
        except (ValueError, IndexError):
            raise KeyError(f"{key!r} is not a picture of {self.name}") from None
        if not (0 <= index < self.n_recipes and 0 <= j < self.n_images(index)):
            raise KeyError(f"{key!r} is not among the {self.n_recipes} recipes of {self.name}")
        return self.draw(index, j).image

    def draw(self, index: int, j: int, *, watermark: bool = False) -> Drawing:
        """Picture ``j`` of recipe ``index`` with its true masks."""
        return self.picture(self.picture_attributes(index, j), index, j, watermark=watermark)

    def picture_attributes(self, index: int, j: int) -> Attributes:
        """What picture ``j`` of recipe ``index`` shows, with what it adds to its recipe."""
        attributes, vary = self.attributes(index), self.domain.vary
        return vary(attributes, self.stream("varied", index, j)) if vary else attributes

    def picture(
        self, attributes: Attributes, index: int, j: int, *, watermark: bool = False
    ) -> Drawing:
        """``attributes`` drawn with the layout, camera and light of picture ``j`` of ``index``.

        With the attributes of another recipe this shows a change of content alone.
        """
        style = style_of(self.style, style_gap=self.style_gap)
        side = round(self.px * SUPERSAMPLING * CANVAS)
        layout = self.stream("layout", index, j)
        canvas = table_top(
            attributes["table"], layout,
            side=side, variety=style.texture_variety, blur=style.texture_blur,
        )  # fmt: skip
        silhouette = Image.new("RGB", (side, side))
        unit = side / CANVAS
        pen = Pen(canvas, layout, unit=unit, color_jitter=style.color_jitter)
        mask = Pen(silhouette, layout, unit=unit, color_jitter=0)
        _clutter(pen, self.stream("clutter", index, j), style)
        self.domain.paint(Scene(pen, mask), attributes)
        camera = aim(self.stream("camera", index, j), style, canvas_px=side, px=self.px)
        image = develop(camera.take(canvas, self.px), self.stream("develop", index, j), style)
        subject = np.asarray(camera.take(silhouette.getchannel(0), self.px)) > 127
        mark = np.zeros((self.px, self.px), bool)
        if watermark:
            image, mark = overlay(image, sample_watermark(self.stream("watermark", index, j)))
        return Drawing(image, subject, mark)


def _clutter(pen: Pen, rng: np.random.Generator, style: Style) -> None:
    """Up to three things that the captions do not mention, at the edge of the picture."""
    aside = Pen(pen.canvas, rng, unit=pen.unit, color_jitter=pen.color_jitter)
    things, colors, mains = tuple(OBJECTS), tuple(COLORS), tuple(MAINS)
    for _ in range(3):
        turn, reach, shown, kind = rng.random(4)
        x, y = np.array((np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn))) * (0.5 + 0.12 * reach)
        thing, color, main = (int(rng.integers(len(v))) for v in (things, colors, mains))
        if shown >= style.clutter:
            continue
        if kind < 0.6:
            place(aside, x, y, 0.13, thing=things[thing], color=colors[color])
        else:
            MAINS[mains[main]](aside, x, y, 0.07)
