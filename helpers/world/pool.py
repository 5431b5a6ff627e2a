"""The drawn world's pictures as a pool: pictures with captions, the triplets' texts left out."""

from collections.abc import Sequence

import numpy as np

from helpers.repro import hash_of
from helpers.topics.cir.triplets import Triplet
from helpers.world.changes import ComposedWorld
from helpers.world.picture_pool import PicturePool

PARTS = ("reference", "target", "other")


def world_pool(composed: ComposedWorld, triplets: Sequence[Triplet]) -> PicturePool:
    """All pictures that were drawn for some triplets, each with captions of its own.

    What changes from one to another, and which belong together, is not in the pool. The category
    is the dish, as a shop knows what it sells. Three captions a picture, from brief to detailed,
    come from the same rules as those of any dish of the kitchen.

    Raises
    ------
    ValueError
        If there is no triplet, or one is not of this world.

    Examples
    --------
    >>> pool = world_pool(composed, composed.sets["train"].triplets)  # doctest: +SKIP
    """
    if not triplets:
        raise ValueError("no triplet was given: whose pictures should be in the pool?")
    names = tuple(f"{triplet.pair_id}-{part}" for triplet in triplets for part in PARTS)
    if unknown := [name for name in names if name not in composed.shown]:
        raise ValueError(f"picture {unknown[0]!r} is not among those of {composed.world.name}")
    captions = {name: _captions(composed, name) for name in names}
    categories = tuple(composed.shown[name].attributes["dish"] for name in names)
    fingerprint = hash_of([composed.fingerprint, names])
    return PicturePool(names, categories, captions, composed.load_image, fingerprint)


def _captions(composed: ComposedWorld, name: str) -> tuple[str, ...]:
    one = composed.shown[name]
    rng = np.random.default_rng([composed.world.seed, 6, one.index, one.view])
    phrased = composed.world.domain.captions(one.attributes, rng)
    return tuple(text for _, text in phrased)
