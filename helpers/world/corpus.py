"""The pretraining corpus: general scenes, and dishes with the weak captions that the web has.

Stands for the image-text pairs that a public checkpoint was pretrained on. It never shows the
values in ``kitchen.NEW`` and prefers the first synonym of each word.
"""

from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from helpers.world import general, kitchen
from helpers.world.world import World

CORPUS_SEED = 7  # no lesson uses it
SECOND = 0.15  # share of the rarer synonym in pretraining text


@dataclass(frozen=True)
class Corpus:
    """Images (n, px, px, 3) uint8 and, for each, its captions."""

    images: np.ndarray
    captions: list[tuple[str, ...]]


def draw_corpus(
    n: int,
    *,
    web_share: float,
    photo_share: float,
    n_captions: int = 2,
    px: int = 64,
    progress: bool = True,
) -> Corpus:
    """Draw ``n`` pretraining pairs.

    Parameters
    ----------
    n : int
    web_share : float
        Share of dishes, with two or three attributes named; the rest are general scenes.
    photo_share : float
        Share in photo style; the rest is diffusion.
    """
    images = np.empty((n, px, px, 3), np.uint8)
    captions: list[tuple[str, ...]] = []
    scenes = World(general.DOMAIN, n, CORPUS_SEED, px)
    dishes = World(kitchen.DOMAIN, n, CORPUS_SEED, px)
    for i in tqdm(range(n), desc="drawing the corpus", unit="image", disable=not progress):
        rng = np.random.default_rng([CORPUS_SEED, i])
        is_dish, is_photo = rng.random() < web_share, rng.random() < photo_share
        world = dishes if is_dish else scenes
        attributes = kitchen.sample(rng, known_only=True) if is_dish else general.sample(rng)
        texts = [
            kitchen.weak_caption(attributes, rng, second=SECOND)
            if is_dish
            else general.describe(attributes, rng, table=0.6, second=SECOND)
            for _ in range(n_captions)
        ]
        captions.append(tuple(texts))
        styled = world if is_photo else world.in_style("diffusion")
        images[i] = np.asarray(styled.picture(attributes, i, 0).image)
    return Corpus(images, captions)
