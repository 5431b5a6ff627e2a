"""Streams of arriving pictures in which it is known what changed, and when.

The drawn kitchen is embedded once, in four guises; a seed then deals the recipes out anew. A recipe
is never in the reference and in the stream, nor twice in a stream.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from helpers.first.models.encoders import Encoder
from helpers.first.studies.pixels import pixel_statistics
from helpers.world import World, open_world

SCENARIOS = ("unseen dish", "change of style", "broken camera", "nothing")
UNSEEN = "sushi"  # the base model has never seen one
STYLE_GAP = 1.0
PIXELS = ("brightness", "laplacian_variance")


@dataclass(frozen=True)
class Shape:
    """How a stream is built: counts of pictures, steps and queries, and shares that change.

    ``slope`` is by how much the share of the unseen dish grows a step, up to ``most``; ``styled``
    and ``broken`` are the shares of pictures in the new style, and from the broken camera.
    """

    reference: int = 600
    n_steps: int = 24
    starts: int = 8
    per_step: int = 40
    queries: int = 20
    slope: float = 0.03
    most: float = 0.25
    styled: float = 0.5
    broken: float = 0.15

    def share(self, scenario: str, step: int) -> float:
        """The share of changed pictures at a step.

        >>> Shape().share("unseen dish", 9), Shape().share("nothing", 9)
        (0.06, 0.0)
        """
        if scenario not in SCENARIOS:
            raise ValueError(f"unknown scenario {scenario!r}: use one of {', '.join(SCENARIOS)}")
        if step < self.starts or scenario == "nothing":
            return 0.0
        if scenario == "unseen dish":
            return min(self.most, round(self.slope * (step - self.starts + 1), 9))
        return self.styled if scenario == "change of style" else self.broken


@dataclass(frozen=True, eq=False)
class Guise:
    """Pictures of some recipes in one guise: ids, unit rows, and ``PIXELS`` of each."""

    ids: np.ndarray
    rows: np.ndarray
    pixels: np.ndarray
    captions: np.ndarray  # (n, d) unit rows, a caption of each: what people ask


@dataclass(frozen=True, eq=False)
class Pools:
    """All guises, and where to get a picture to look at."""

    guises: dict[str, Guise]
    picture: Callable[[str], Image.Image]
    shape: Shape


@dataclass(frozen=True, eq=False)
class Arrivals:
    """What one step brings: pictures (ids, rows, pixels), queries (rows), and the truth."""

    ids: np.ndarray
    rows: np.ndarray
    pixels: np.ndarray
    queries: np.ndarray
    changed: np.ndarray


@dataclass(frozen=True, eq=False)
class Stream:
    """A reference, steps that follow it, and the step of the change (None: there is none)."""

    scenario: str
    reference: np.ndarray
    pixels: np.ndarray
    queries: np.ndarray
    steps: list[Arrivals]
    starts: int | None


def drift_pools(
    encoder: Encoder,
    *,
    n_recipes: int = 2000,
    seed: int = 42,
    shape: Shape | None = None,
    progress: bool = True,
) -> Pools:
    """Embed the first picture of every recipe of the drawn kitchen, some in other guises too.

    Parameters
    ----------
    encoder : Encoder
    n_recipes, seed : int
        Of the drawn kitchen; a twelfth of the recipes are of the unseen dish.
    shape : Shape, optional
        Of the streams to come; it decides how many pictures each guise needs.
    progress : bool

    Raises
    ------
    ValueError
        If the recipes do not suffice for one stream.
    """
    shape = shape or Shape()
    world, known, unseen = _sorted_recipes(n_recipes, seed, shape)
    changed = 3 * shape.n_steps * shape.per_step // 4  # a third of them will be in the reference
    styled = world.in_style("diffusion", style_gap=STYLE_GAP)
    some = known[:changed]

    def picture(name: str) -> Image.Image:
        guise, key = name.split(":", 1)
        index = int(key.rsplit("-", 1)[1])
        source = styled if guise == "style" else world
        drawn = source.draw(index, 0).image
        return out_of_order(drawn) if guise == "broken" else drawn

    wanted = {"known": known, "unseen": unseen, "style": some, "broken": some}
    guises = {
        name: _guise(encoder, world, name, numbers, picture, progress)
        for name, numbers in wanted.items()
    }
    return Pools(guises, picture, shape)


def check_recipes(n_recipes: int, *, seed: int) -> None:
    """Refuse a number of recipes that no stream can be dealt from, before any work.

    Raises
    ------
    ValueError
        With the number of recipes that suffices.
    """
    _sorted_recipes(n_recipes, seed, Shape())


def _sorted_recipes(n_recipes: int, seed: int, shape: Shape) -> tuple[World, list[int], list[int]]:
    """The drawn kitchen, and the numbers of its recipes of known dishes and of the unseen one."""
    need = shape.reference + shape.n_steps * shape.per_step, _most_unseen(shape)
    world, known, unseen = _dealt(n_recipes, seed)
    if len(known) >= need[0] and len(unseen) >= need[1]:
        return world, known, unseen
    enough = n_recipes
    found = [len(known), len(unseen)]
    while found[0] < need[0] or found[1] < need[1]:
        enough += 100
        found = [len(part) for part in _dealt(enough, seed)[1:]]
    raise ValueError(
        f"drift_recipes is {n_recipes}: {len(known)} of them are of known dishes and {len(unseen)} of "
        f"{UNSEEN}, and a stream takes {need[0]} and {need[1]}; give {enough} or more"
    )


def _dealt(n_recipes: int, seed: int) -> tuple[World, list[int], list[int]]:
    world = open_world("kitchen", n_recipes=n_recipes, seed=seed)
    dishes = [world.attributes(i)["dish"] for i in range(n_recipes)]
    known = [i for i, dish in enumerate(dishes) if dish != UNSEEN]
    return world, known, [i for i, dish in enumerate(dishes) if dish == UNSEEN]


def out_of_order(picture: Image.Image) -> Image.Image:
    """A picture from a camera that is out of focus and gets half of the light."""
    blurred = picture.filter(ImageFilter.GaussianBlur(picture.width / 32))
    return ImageEnhance.Brightness(blurred).enhance(0.5)


def stream(pools: Pools, scenario: str, *, seed: int) -> Stream:
    """Deal one stream.

    Parameters
    ----------
    pools : Pools
    scenario : str
        One of ``SCENARIOS``. With the unseen dish, people ask for it as often as it arrives.
    seed : int

    Examples
    --------
    >>> one = stream(pools, "unseen dish", seed=0)  # doctest: +SKIP
    """
    shape = pools.shape
    shape.share(scenario, 0)  # an unknown scenario is refused before anything is dealt
    rng = np.random.default_rng([seed, SCENARIOS.index(scenario)])
    known = pools.guises["known"]
    order = rng.permutation(len(known.ids))
    base, rest = order[: shape.reference], order[shape.reference :]
    guise = {"unseen dish": "unseen", "change of style": "style", "broken camera": "broken"}
    other = pools.guises[guise.get(scenario, "known")]
    counts = [round(shape.per_step * shape.share(scenario, s)) for s in range(shape.n_steps)]
    taken = {_recipe(known.ids[i]) for i in base}
    fresh = [i for i in rng.permutation(len(other.ids)) if _recipe(other.ids[i]) not in taken]
    if len(fresh) < sum(counts):
        raise ValueError(
            f"{scenario!r} takes {sum(counts)} changed pictures and {len(fresh)} are left: make "
            "the pools of more recipes"
        )
    changed = fresh[: sum(counts)]
    taken = {_recipe(other.ids[i]) for i in changed}
    plain = [i for i in rest if _recipe(known.ids[i]) not in taken]
    steps = []
    for n in counts:
        new, changed = changed[:n], changed[n:]
        usual, plain = plain[: shape.per_step - n], plain[shape.per_step - n :]
        steps.append(_arrivals(known, usual, other, new, scenario, shape, rng))
    queries = known.captions[rng.choice(base, min(len(base), 240), replace=False)]
    starts = None if scenario == "nothing" else shape.starts
    return Stream(scenario, known.rows[base], known.pixels[base], queries, steps, starts)


def _arrivals(
    known: Guise,
    plain: list[int],
    other: Guise,
    changed: list[int],
    scenario: str,
    shape: Shape,
    rng: np.random.Generator,
) -> Arrivals:
    is_changed = np.arange(len(plain) + len(changed)) >= len(plain)
    mixed = rng.permutation(len(is_changed))

    def both(name: str) -> np.ndarray:
        return np.concatenate([getattr(known, name)[plain], getattr(other, name)[changed]])[mixed]

    captions = both("captions") if scenario == "unseen dish" else known.captions[plain]
    asked = captions[rng.choice(len(captions), min(shape.queries, len(captions)), replace=False)]
    return Arrivals(both("ids"), both("rows"), both("pixels"), asked, is_changed[mixed])


def _guise(
    encoder: Encoder,
    world: World,
    name: str,
    numbers: Iterable[int],
    picture: Callable[[str], Image.Image],
    progress: bool,
) -> Guise:
    ids = np.array([f"{name}:{world.recipe_id(i)}" for i in numbers])
    drawn = [picture(one) for one in ids]
    rows = encoder.images(drawn, progress=progress)
    pixels = pixel_statistics(drawn)[list(PIXELS)].to_numpy(float)
    captions = encoder.texts([world.captions(i)[1].text for i in numbers])
    return Guise(ids, rows, pixels, captions)


def _recipe(name: str) -> str:
    return name.split(":", 1)[1]


def _most_unseen(shape: Shape) -> int:
    """How many pictures of the unseen dish a stream takes."""
    shares = [shape.share("unseen dish", step) for step in range(shape.n_steps)]
    return sum(round(shape.per_step * share) for share in shares)
