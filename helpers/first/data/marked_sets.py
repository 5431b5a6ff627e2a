"""The labelled set that watermark detectors are judged by: pictures, marks on them, true masks.

It is divided before any detector is written. The *develop* half and the *held-out* half share no
font, no text, no logo, no place, no tiling and no picture; colors, sizes, angles and opacities are
drawn from the same ranges. A detector may be tuned, or fitted, on the first half alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.data.images import encode_jpeg, load_image, normalise
from helpers.first.data.marks import Mark, draw_mark
from helpers.world import open_world
from helpers.repro import canonical_json

OPACITIES = (0.15, 0.3, 0.5, 0.7, 0.9)
SIZES = (0.1, 0.24)  # of the picture's shorter side; logos are twice as large
QUIET = ((255, 255, 255), (255, 255, 255), (255, 255, 255), (15, 15, 15), (15, 15, 15))


@dataclass(frozen=True)
class Stock:
    """What the marks of one half are made of; ``places`` are (x, y) as in ``Mark``."""

    fonts: tuple[str, ...]
    texts: tuple[str, ...]
    logos: tuple[str, ...]
    places: tuple[tuple[float, float], ...]
    tiling: str


STOCKS = {
    "develop": Stock(
        fonts=("Aileron", "DejaVuSans", "DejaVuSansMono-Bold", "DejaVuSerif",
               "DejaVuSans-BoldOblique"),
        texts=("SAMPLE", "stock", "tasty.pic", "PREVIEW", "aiGen", "copy 2019"),
        logos=("ring", "leaf", "camera", "bolt"),
        places=((0, 0), (0.5, 0.5), (1, 1), (0.5, 0), (1, 0.5)),
        tiling="straight",
    ),
    "held-out": Stock(
        fonts=("DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif-Bold",
               "DejaVuSerif-Italic"),
        texts=("DRAFT", "foodshots", "www.eat", "Menu 24", "PROOF", "kitchenfeed"),
        logos=("star", "crescent", "hexagon", "heart"),
        places=((1, 0), (0, 1), (0.5, 1), (0, 0.5), (0.25, 0.3)),
        tiling="staggered",
    ),
}  # fmt: skip
HALVES = tuple(STOCKS)


@dataclass(frozen=True)
class Labelled:
    """A picture of the labelled set.

    Attributes
    ----------
    key : str
        Names the picture that the mark was put on; intervals are taken over it.
    image : PIL.Image.Image
        As a detector gets it, compressed once.
    clean : PIL.Image.Image
        The picture without the mark, compressed alike.
    mask : (h, w) bool
        The mark's pixels; all False where there is none.
    mark : Mark or None
    """

    key: str
    image: Image.Image
    clean: Image.Image
    mask: np.ndarray
    mark: Mark | None


@dataclass(frozen=True)
class DrawnMarks:
    """Marks to draw on the pictures, one a picture, so that the truth is known.

    Attributes
    ----------
    share : float
        Of the pictures that get one.
    opacity : (float, float)
    half : str
        Which half of the labelled set's fonts, texts, logos and places; detectors are fitted on
        the other.
    repeated : bool
        One mark in one place for all pictures, as a source signs them; else each has its own.
    """

    share: float = 1.0
    opacity: tuple[float, float] = (0.5, 0.9)
    half: str = "held-out"
    repeated: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or not 0 < self.opacity[0] <= self.opacity[1] <= 1:
            raise ValueError(
                f"marks with share={self.share}, opacity={self.opacity}; use a share in [0, 1] and "
                "a rising pair in (0, 1]"
            )

    def mark_of(self, key: str, *, seed: int) -> Mark | None:
        """The mark of a picture; None where it gets none."""
        rng = _generator(seed, key)
        if rng.random() >= self.share:
            return None
        rng = _generator(seed, "") if self.repeated else rng
        return sample_mark(rng, self.half, opacity=self.opacity)


def sample_mark(
    rng: np.random.Generator,
    half: str,
    *,
    opacity: float | tuple[float, float],
    tiled: float = 0.1,
) -> Mark:
    """A random mark of a half: two thirds texts, one third logos, mostly upright, mostly white.

    Parameters
    ----------
    half : {"develop", "held-out"}
    opacity : float or (float, float)
        As it is, or drawn from a range.
    tiled : float
        The share of texts that are repeated all over the picture.

    Raises
    ------
    ValueError
        If there is no half of that name.
    """
    stock = _stock(half)
    draws = rng.random(10)  # always as many, so that marks of two opacities agree in the rest
    picks = rng.integers(1 << 30, size=5)
    kind = "text" if draws[0] < 2 / 3 else "logo"
    contents = stock.texts if kind == "text" else stock.logos
    place = stock.places[picks[2] % len(stock.places)]
    x, y = (
        min(1.0, max(0.0, p + 0.16 * (d - 0.5))) for p, d in zip(place, draws[1:3], strict=True)
    )
    size = SIZES[0] + (SIZES[1] - SIZES[0]) * draws[3]
    color = tuple(int(40 + 200 * d) for d in draws[4:7])
    if draws[9] < 0.65:
        color = QUIET[picks[3] % len(QUIET)]
    low, high = opacity if isinstance(opacity, tuple) else (opacity, opacity)
    return Mark(
        kind,
        contents[picks[0] % len(contents)],
        font=stock.fonts[picks[1] % len(stock.fonts)],
        x=x,
        y=y,
        size=size if kind == "text" else 2 * size,
        color=color,
        opacity=low + (high - low) * (picks[4] / (1 << 30)),
        angle=0.0 if draws[7] < 0.6 else 60 * (draws[7] - 0.8) / 0.4,
        tiling=stock.tiling if kind == "text" and draws[8] < tiled else "",
    )


def labelled_set(
    half: str,
    backgrounds: Sequence[tuple[str, Image.Image]],
    *,
    opacities: Sequence[float] = OPACITIES,
    seed: int = 0,
) -> list[Labelled]:
    """Every background without a mark, then once with each opacity of one and the same mark.

    Returns
    -------
    list of Labelled
        ``len(backgrounds) * (1 + len(opacities))``, those of a background in a row.
    """
    found = []
    for number, (key, picture) in enumerate(backgrounds):
        clean = stored(picture)
        nothing = np.zeros((picture.height, picture.width), bool)
        found.append(Labelled(key, clean, clean, nothing, None))
        rng = np.random.default_rng([seed, HALVES.index(half), number])
        mark = sample_mark(rng, half, opacity=1.0)
        for opacity in opacities:
            own = replace(mark, opacity=opacity)
            marked = draw_mark(picture, own)
            found.append(Labelled(key, stored(marked.image), clean, marked.mask, own))
    return found


def labelled_source(
    half: str,
    backgrounds: Sequence[tuple[str, Image.Image]],
    *,
    opacity: float,
    marked: float = 0.75,
    seed: int = 0,
) -> list[Labelled]:
    """Pictures of one source that signs them: the same mark in the same place, on most of them.

    Parameters
    ----------
    marked : float
        The share of the pictures with the mark; the others come as they are.
    """
    rng = np.random.default_rng([seed, HALVES.index(half), 1])
    mark = sample_mark(rng, half, opacity=opacity)
    found = []
    for key, picture in backgrounds:
        clean = stored(picture)
        if rng.random() < marked:
            drawn = draw_mark(picture, mark)
            found.append(Labelled(key, stored(drawn.image), clean, drawn.mask, mark))
        else:
            nothing = np.zeros((picture.height, picture.width), bool)
            found.append(Labelled(key, clean, clean, nothing, None))
    return found


def kitchen_backgrounds(half: str, n: int, *, px: int) -> list[tuple[str, Image.Image]]:
    """``n`` pictures of the drawn kitchen: of even recipes to develop on, of odd ones held out."""
    _stock(half)
    world = open_world(f"kitchen?px={px}", n_recipes=2 * n, seed=7)
    first = HALVES.index(half)
    return [(f"{world.recipe_id(i)}/0", world.draw(i, 0).image) for i in range(first, 2 * n, 2)]


def photo_backgrounds(half: str, folder: Path, n: int, *, px: int) -> list[tuple[str, Image.Image]]:
    """At most ``n`` photos below a folder, cropped square; files take turns between the halves.

    Raises
    ------
    ValueError
        If there is no image below the folder.
    """
    _stock(half)
    kinds = {".jpg", ".jpeg", ".png", ".webp"}
    files = sorted(f for f in Path(folder).rglob("*") if f.suffix.lower() in kinds)
    if not files:
        raise ValueError(f"no photo below {folder} (looked for {', '.join(sorted(kinds))})")
    chosen = files[HALVES.index(half) :: 2][:n]
    return [(f.stem, normalise(load_image(f.read_bytes()), image_px=px)) for f in chosen]


def stored(picture: Image.Image) -> Image.Image:
    """The picture as it comes back from a zone: through JPEG once."""
    return load_image(encode_jpeg(picture))


def _generator(seed: int, key: str) -> np.random.Generator:
    """The picture's own generator: the same whatever other pictures there are."""
    entropy = canonical_json([seed, key]).encode()
    return np.random.default_rng(np.frombuffer(entropy, np.uint8))


def _stock(half: str) -> Stock:
    if half not in STOCKS:
        raise ValueError(f"unknown half {half!r}; use {' or '.join(map(repr, HALVES))}")
    return STOCKS[half]
