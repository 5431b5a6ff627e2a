"""Near-duplicates planted on purpose, for the tests of their search."""

import numpy as np
from PIL import Image

from helpers.data.duplicates import thumbnail
from helpers.data.images import encode_jpeg, load_image
from helpers.world import open_world
from helpers.world.watermark import overlay, sample_watermark

KINDS = ("resized", "recompressed", "cropped", "watermarked")


def planted(image: Image.Image, kind: str, rng: np.random.Generator) -> Image.Image:
    """A near-duplicate of a square picture, saved as a JPEG once more."""
    side, quality = image.width, 92
    if kind == "resized":
        image = image.resize((round(side * rng.uniform(0.5, 0.9)),) * 2, Image.Resampling.BICUBIC)
    elif kind == "recompressed":
        quality = int(rng.integers(35, 70))
    elif kind == "cropped":
        x, y = rng.uniform(0, 0.05 * side, 2)
        box = (x, y, x + 0.95 * side, y + 0.95 * side)
        image = image.resize(image.size, Image.Resampling.BICUBIC, box=box)
    else:
        image = overlay(image, sample_watermark(rng))[0]
    return load_image(encode_jpeg(image, quality))


def drawn_pictures(n_recipes: int, *, seed: int) -> tuple[list[Image.Image], list[str]]:
    """The pictures of a drawn kitchen and the recipe of each."""
    world = open_world("kitchen", n_recipes=n_recipes, seed=seed)
    pairs = [(world.load_image(key), r.recipe_id) for r in world.recipes() for key in r.images]
    return [image for image, _ in pairs], [recipe_id for _, recipe_id in pairs]


def with_planted(
    images: list[Image.Image], *, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Thumbnails of the images with ``count`` planted behind, and the row that each comes from."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(images), count, replace=count > len(images))
    more = [planted(images[row], KINDS[i % 4], rng) for i, row in enumerate(rows)]
    return np.stack([thumbnail(image) for image in [*images, *more]]), rows
