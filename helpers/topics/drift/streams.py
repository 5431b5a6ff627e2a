"""Streams of arriving images of which it is known what changed, and when.

Recipes of the procedurally generated kitchen are embedded once, in four guises; a seed deals them
out anew. A recipe is never in the reference and in the stream, nor twice in a stream.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from helpers.data.sources import open_source
from helpers.models.encoder import Encoder

KINDS = ("nothing", "unseen dish", "change of style", "broken camera")
LEAST_STEPS, LEAST_KNOWN = 9, 80  # of arrivals of one's own, and of images beside them
UNSEEN = "sushi"  # no checkpoint of the course has seen one
GUISE = dict(zip(KINDS, ("known", "unseen", "style", "broken"), strict=True))


@dataclass(frozen=True)
class Shape:
    """How a stream is built: numbers of images, steps and queries, and shares that change.

    ``slope`` is by how much the share of the unseen dish grows a step, up to ``most``; ``styled``
    and ``broken`` are the shares of images in the new style, and from the broken camera.
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

    def share(self, kind: str, step: int) -> float:
        """The share of changed images at a step.

        >>> Shape().share("unseen dish", 9), Shape().share("nothing", 9)
        (0.06, 0.0)
        """
        if kind not in KINDS:
            raise ValueError(f"unknown kind of stream {kind!r}: use one of {', '.join(KINDS)}")
        if step < self.starts or kind == "nothing":
            return 0.0
        if kind == "unseen dish":
            return min(self.most, round(self.slope * (step - self.starts + 1), 9))
        return self.styled if kind == "change of style" else self.broken

    def counts(self, kind: str) -> list[int]:
        """The number of changed images at each step."""
        return [round(self.per_step * self.share(kind, step)) for step in range(self.n_steps)]


@dataclass(frozen=True, eq=False)
class Images:
    """Embedded images.

    Attributes
    ----------
    ids : (n,) str
    rows : (n, d) float32, unit rows
    pixels : (n, 2) float
        Brightness and sharpness.
    captions : (n, d) float32
        A caption of each, embedded: what people ask.
    """

    ids: np.ndarray
    rows: np.ndarray
    pixels: np.ndarray
    captions: np.ndarray

    def take(self, numbers: Sequence[int]) -> "Images":
        """Some of them."""
        chosen = np.asarray(numbers, int)
        return Images(*(x[chosen] for x in (self.ids, self.rows, self.pixels, self.captions)))

    def __add__(self, other: "Images") -> "Images":
        return Images(*(np.concatenate(pair) for pair in zip(
            vars(self).values(), vars(other).values(), strict=True)))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pool:
    """Recipes to deal streams from, by guise; ``image`` draws one by its id, ``guise:recipe``."""

    guises: dict[str, Images]
    image: Callable[[str], Image.Image]
    shape: Shape


@dataclass(frozen=True, eq=False)
class Stream:
    """A reference and the steps that follow it.

    ``steps`` are images, ``queries`` embedded queries (q, d), ``changed`` which images are of the
    change, (n,) bool, all by step; ``starts`` is the step of the change, None where there is none.
    """

    reference: Images
    steps: list[Images]
    queries: list[np.ndarray]
    changed: list[np.ndarray]
    starts: int | None = None


def pixel_statistics(images: Sequence[Image.Image]) -> np.ndarray:
    """Brightness and sharpness of images, (n, 2): mean gray, and the variance of its Laplacian."""
    found = []
    for image in images:
        gray = np.asarray(image.convert("L"), float) / 255
        middle = 4 * gray[1:-1, 1:-1]
        around = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:]
        found.append((gray.mean(), (middle - around).var()))
    return np.array(found).reshape(-1, 2)


def out_of_order(image: Image.Image) -> Image.Image:
    """An image from a camera that is out of focus and gets half of the light."""
    blurred = image.filter(ImageFilter.GaussianBlur(image.width / 32))
    return ImageEnhance.Brightness(blurred).enhance(0.5)


def draw_pool(
    encoder: Encoder, *, n_recipes: int = 2000, first: int = 0, seed: int = 42,
    shape: Shape | None = None,
) -> Pool:  # fmt: skip
    """Embed the first image of each of some recipes, some of them in other guises too.

    Raises ``ValueError`` with the number that suffices, if the recipes make no stream.
    """
    shape = shape or Shape()
    known, unseen = _sorted(n_recipes, first, seed, shape)
    source, styled = _sources(first + n_recipes, seed)
    some = known[: 3 * shape.n_steps * shape.per_step // 4]  # a third will be in the reference

    def image(key: str) -> Image.Image:
        guise, recipe = key.split(":")
        drawn = (styled if guise == "style" else source).load_image(f"{recipe}/0.jpg")
        return out_of_order(drawn) if guise == "broken" else drawn

    wanted = {"known": known, "unseen": unseen, "style": some, "broken": some}
    guises = {}
    for name, numbers in wanted.items():
        ids = [f"{name}:{source.recipe_id(i)}" for i in numbers]
        drawn = [image(one) for one in ids]
        captions = encoder.texts([source.captions(i)[1].text for i in numbers])
        pixels = pixel_statistics(drawn)
        guises[name] = Images(np.array(ids), encoder.images(drawn), pixels, captions)
    return Pool(guises, image, shape)


def with_change(
    pool: Pool, encoder: Encoder, change: Callable[[Image.Image], Image.Image], *, n: int = 300
) -> Pool:
    """The pool with another broken camera: ``change`` of the images that the known one had."""
    broken = pool.guises["broken"].take(range(min(n, len(pool.guises["broken"].ids))))
    keys = [f"known:{_recipe(key)}" for key in broken.ids]
    images = [change(pool.image(key)).convert("RGB") for key in keys]
    rows, pixels = encoder.images(images), pixel_statistics(images)
    changed = Images(broken.ids, rows, pixels, broken.captions)
    return replace(pool, guises=pool.guises | {"broken": changed})


def check_recipes(n_recipes: int, *, seed: int) -> None:
    """Refuse a number of recipes that no stream can be dealt from, before any work."""
    _sorted(n_recipes, 0, seed, Shape())


def deal(pool: Pool, kind: str, *, seed: int) -> Stream:
    """Deal one stream; with the unseen dish, people ask for it as often as it arrives."""
    shape, known = pool.shape, pool.guises["known"]
    counts, other = shape.counts(kind), pool.guises[GUISE[kind]]
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    order = rng.permutation(len(known.ids))
    base, rest = order[: shape.reference], order[shape.reference :]
    taken = {_recipe(known.ids[i]) for i in base}
    fresh = [i for i in rng.permutation(len(other.ids)) if _recipe(other.ids[i]) not in taken]
    changed = fresh[: sum(counts)]
    taken = {_recipe(other.ids[i]) for i in changed}
    plain = [i for i in rest if _recipe(known.ids[i]) not in taken]
    steps, queries, truth = [], [], []
    for n in counts:
        new, changed = changed[:n], changed[n:]
        usual, plain = plain[: shape.per_step - n], plain[shape.per_step - n :]
        mixed = rng.permutation(shape.per_step)
        images = known.take(usual) + other.take(new)
        asked = images if kind == "unseen dish" else known.take(usual)
        steps.append(images.take(mixed))
        truth.append((np.arange(shape.per_step) >= len(usual))[mixed])
        queries.append(rng.permutation(asked.captions)[: shape.queries])
    starts = None if kind == "nothing" else shape.starts
    return Stream(known.take(base), steps, queries, truth, starts)


def _recipe(key: str) -> str:
    return key.split(":")[1]


def _sources(n: int, seed: int):
    return [
        open_source(f"world:kitchen{style}", max_recipes=n, seed=seed)
        for style in ("", "?style=diffusion")
    ]


def _sorted(n_recipes: int, first: int, seed: int, shape: Shape) -> tuple[list[int], list[int]]:
    """The numbers of recipes of known dishes and of the unseen one."""
    need = shape.reference + shape.n_steps * shape.per_step, sum(shape.counts("unseen dish"))

    def sort(n: int) -> tuple[list[int], list[int]]:
        source = _sources(first + n, seed)[0]
        dishes = {i: source.attributes(i)["dish"] for i in range(first, first + n)}
        return [i for i, d in dishes.items() if d != UNSEEN], [
            i for i in dishes if dishes[i] == UNSEEN
        ]

    found = sort(n_recipes)
    if len(found[0]) >= need[0] and len(found[1]) >= need[1]:
        return found
    enough = n_recipes
    while True:
        enough += 100
        if all(len(part) >= least for part, least in zip(sort(enough), need, strict=True)):
            break
    raise ValueError(
        f"drift_recipes is {n_recipes}: {len(found[0])} of them are of known dishes and "
        f"{len(found[1])} of {UNSEEN}, and a stream takes {need[0]} and {need[1]}; give {enough} "
        "or more"
    )


def own_stream(known: Images, arrivals: Images, *, per_step: int, seed: int) -> Stream:
    """A stream of arrivals of one's own, in their order, beside half of the known images.

    The other half is what :func:`quiet_streams` lets arrive. A rest that fills no step is left out.
    Raises ``ValueError`` if there are too few of either.
    """
    n, steps = len(arrivals.ids), len(arrivals.ids) // per_step
    if steps < LEAST_STEPS:
        raise ValueError(
            f"{n} arrivals make {steps} steps of {per_step}, and {LEAST_STEPS} are the least: give "
            f"per_step {n // LEAST_STEPS} or less, or more arrivals"
        )
    if len(known.ids) < LEAST_KNOWN:
        raise ValueError(
            f"{len(known.ids)} known images: half of them are the reference, and {LEAST_KNOWN} are "
            "the least; give a source with more images"
        )
    half = np.random.default_rng(seed).permutation(len(known.ids))[: len(known.ids) // 2]
    return _in_steps(known.take(half), arrivals.take(range(steps * per_step)), per_step)


def quiet_streams(known: Images, n_steps: int, n: int, *, per_step: int, seed: int) -> list[Stream]:
    """Streams without a change, dealt from known images: half are the reference, half arrive.

    Arrivals are drawn with replacement, so that few images make streams of any length.
    """
    found = []
    for number in range(n):
        rng = np.random.default_rng([seed, number])
        order = rng.permutation(len(known.ids))
        half = len(order) // 2
        drawn = rng.choice(order[half:], n_steps * per_step)
        found.append(_in_steps(known.take(order[:half]), known.take(drawn), per_step))
    return found


def _in_steps(reference: Images, arrivals: Images, per_step: int) -> Stream:
    numbers = np.arange(len(arrivals.ids)).reshape(-1, per_step)
    steps = [arrivals.take(part) for part in numbers]
    nothing = [np.zeros(per_step, bool) for _ in steps]
    return Stream(reference, steps, [one.captions for one in steps], nothing)
