"""The same pictures in other looks: drawn in the second style, or with a watermark laid over.

A picture keeps its key in every look, so that pairs, splits and captions stay what they are: two
looks of one key differ in the look alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import numpy as np
from PIL import Image

from helpers.data.images import load_image
from helpers.data.pairs import Pairs
from helpers.data.records import Reject
from helpers.data.sources import open_source
from helpers.data.trusted import IMAGES, build_trusted_zone
from helpers.first.data.image_folders import open_folder_pair
from helpers.repro import hash_of
from helpers.store.zones import Zone, open_zone
from helpers.world.watermark import overlay, sample_watermark

WORLD, DEFAULT = "world:", "world:kitchen"
OPACITY = (0.5, 0.9)


@dataclass(frozen=True)
class Pictures:
    """One look of the pictures of a zone.

    Attributes
    ----------
    name : str
        Such as ``real`` or ``synthetic, gap 0.5``.
    load : callable
        An ``image_key`` of the pairs to its picture. Raises ``FileNotFoundError``.
    fingerprint : str
        Of all that decides the pictures.
    """

    name: str
    load: Callable[[str], Image.Image] = field(compare=False)
    fingerprint: str


def real_pictures(pairs: Pairs) -> Pictures:
    """The pictures as they came from the source."""
    return Pictures("real", pairs.image, pairs.manifest.fingerprint)


def twin_source(source: str, style_gap: float) -> str:
    """The source whose pictures are twins of those of ``source``, in the second style.

    Raises
    ------
    ValueError
        If the source is no drawn world, or names a style already: no one else knows twins.

    >>> twin_source("world:kitchen?px=96", 0.5)
    'world:kitchen?px=96&style=diffusion&style_gap=0.5'
    """
    if not source.startswith(WORLD):
        raise ValueError(
            f"source {source!r} has no twins in another style: only the drawn world does; "
            "give world:kitchen, or leave out what needs twins"
        )
    domain, _, query = source.partition("?")
    if named := {name for name, _ in parse_qsl(query)} & {"style", "style_gap"}:
        raise ValueError(
            f"source {source!r} sets {', '.join(sorted(named))} itself: leave it out, twins are "
            "drawn in both styles"
        )
    options = [query] if query else []
    return f"{domain}?{'&'.join([*options, 'style=diffusion', f'style_gap={style_gap:g}'])}"


def ensure_twins(
    pairs: Pairs,
    source: str,
    *,
    style_gap: float = 1.0,
    image_px: int = 512,
    fit: str = "crop",
    max_recipes: int = 0,
    seed: int = 42,
    progress: bool = True,
) -> Pictures:
    """The pictures of ``pairs`` in the second style, in a zone beside theirs, built where missing.

    They go through the same intake as the real ones, so that compression and size do not tell the
    two apart. A gap of 0 is the first style: the real pictures themselves.

    Parameters
    ----------
    pairs : Pairs
        Of a drawn world.
    source, image_px, fit, max_recipes, seed
        As they were given to ``ensure_pairs``.
    style_gap : float
        How far the second style stays away from the first, 0 to 1.

    Raises
    ------
    ValueError
        If the source has no twins, or these are not the settings of ``pairs``.

    Examples
    --------
    >>> twins = ensure_twins(pairs, "world:kitchen", style_gap=0.5)  # doctest: +SKIP
    """
    name = twin_source(source, style_gap)
    if style_gap == 0:
        return real_pictures(pairs)
    zone = open_zone(f"{pairs.zone.root}-gap-{style_gap:g}")
    opened = open_source(name, max_recipes=max_recipes, seed=seed)
    intake = build_trusted_zone(zone, opened, image_px=image_px, fit=fit, progress=progress)
    there = {key.removeprefix(f"{IMAGES}/") for key in intake.manifest.files}
    if missing := sorted(set(pairs.all["image_key"]) - there):
        raise ValueError(
            f"{len(missing)} pictures, {missing[0]!r} first, have no twin in {name}: give the "
            "max_recipes, seed and fit that the pairs were built with"
        )
    return Pictures(
        f"synthetic, gap {style_gap:g}",
        lambda key: load_image(zone.read_bytes(f"{IMAGES}/{key}")),
        intake.manifest.fingerprint,
    )


def world_for(zone: Zone, source: str) -> tuple[Zone, str, str]:
    """Where and on which world arms are trained, and a sentence that says so.

    Pictures in two styles of one content are known of the drawn world alone. Where the course runs
    on another source, the kitchen is taken, in a zone beside its own.

    Returns
    -------
    Zone, str, str
        The zone, the source, and what to print.
    """
    if source.startswith(WORLD):
        return zone, source, f"arms train on {source}, whose pictures are drawn in both styles"
    beside = open_zone(f"{zone.root}-world")
    said = (
        f"{source} has no twins in a second style: what trains here trains on {DEFAULT}, and none "
        "of its numbers are about your data"
    )
    return beside, DEFAULT, said


@dataclass(frozen=True, eq=False)
class Sides:
    """Two sets of pictures to compare, before anything is trained.

    Attributes
    ----------
    data : str
        What records call them.
    real, synthetic : tuple of PIL.Image.Image
    groups_real, groups_synthetic : tuple of str
        The recipe, or the file, of each; the same label on both sides is a pair.
    paired : bool
        Picture i of both shows the same.
    px : int
        The side at which all of them can be measured.
    rejects : tuple of Reject
        Files that were not taken.
    """

    data: str
    real: tuple[Image.Image, ...]
    synthetic: tuple[Image.Image, ...]
    groups_real: tuple[str, ...]
    groups_synthetic: tuple[str, ...]
    paired: bool
    px: int
    rejects: tuple[Reject, ...] = ()


def two_folders(
    real: str, synthetic: str, *, max_images: int = 0, image_px: int = 224, seed: int = 42
) -> Sides:
    """Two folders of pictures from anywhere, paired where their names match.

    Raises
    ------
    ValueError
        If one of the two is not given, or holds no picture that can be used.
    """
    if not (real and synthetic):
        raise ValueError(f"real is {real!r} and synthetic {synthetic!r}: give two folders, or none")
    found = open_folder_pair(real, synthetic, max_images=max_images, image_px=image_px, seed=seed)
    return Sides(
        "two folders", found.a.images, found.b.images, found.groups_a, found.groups_b, found.paired,
        found.px, (*found.a.rejects, *found.b.rejects),
    )  # fmt: skip


def world_sides(
    pairs: Pairs, real: Pictures, synthetic: Pictures, *, max_images: int = 0, seed: int = 42
) -> Sides:
    """Test pictures of a world in both looks, the first of each recipe; ``max_images`` 0: all."""
    first = pairs.test.drop_duplicates("recipe_id")
    order = np.random.default_rng([seed, 31]).permutation(len(first))[: max_images or None]
    chosen = first.iloc[np.sort(order)]
    looks = [tuple(look.load(key) for key in chosen["image_key"]) for look in (real, synthetic)]
    groups = tuple(chosen["recipe_id"])
    px = min(min(image.size) for image in (*looks[0], *looks[1]))
    return Sides(pairs.source, *looks, groups, groups, True, px)


def watermark_of(
    picture: Image.Image,
    key: str,
    *,
    opacity: tuple[float, float] = OPACITY,
    seed: int = 42,
) -> tuple[Image.Image, np.ndarray]:
    """A picture with a watermark that its key and the seed decide, and the mark's true mask.

    Returns
    -------
    PIL.Image.Image, (height, width) bool
    """
    digits = int(hash_of([key, seed])[:12], 16)
    return overlay(picture, sample_watermark(np.random.default_rng(digits), opacity=opacity))


def watermarked(
    pictures: Pictures, *, opacity: tuple[float, float] = OPACITY, seed: int = 42
) -> Pictures:
    """Every picture with a watermark of its own place, size, color and opacity.

    >>> watermarked(real_pictures(pairs)).name  # doctest: +SKIP
    'real, watermarked'
    """
    return Pictures(
        f"{pictures.name}, watermarked",
        lambda key: watermark_of(pictures.load(key), key, opacity=opacity, seed=seed)[0],
        hash_of([pictures.fingerprint, "watermark", list(opacity), seed]),
    )
