"""What the studies stand on, frozen: ``python -m tests.world.freeze`` writes it, tests compare it.

Run it only when the world or the tiny weights are meant to change: every committed study record
rests on them.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import paths
from helpers.repro import hash_of, sha256_file
from helpers.world import DOMAINS, World, open_world, reading
from helpers.world.corpus import draw_corpus
from helpers.world.crawl import CrawledWorld

REFERENCE = Path(__file__).parent / "reference" / "world.png"
FROZEN = paths.tiny() / "frozen.json"
CRAWLED = "kitchen?captions=mixed"
PICTURES = 8  # a row


def world_text(world: World, n: int = 200) -> str:
    """A hash of titles, captions, attributes and image counts of the first ``n`` recipes."""
    rows = [
        [r.recipe_id, r.title, list(r.images), [c.text for c in r.captions], dict(r.attributes)]
        for r in (world.recipe(i) for i in range(n))
    ]
    return hash_of(rows, digits=64)


def crawled_text(world: CrawledWorld, n: int = 200) -> str:
    """A hash of the crawl's captions of the first ``n`` recipes, with all that is known of them."""
    rows = [list(asdict(truth).values()) for i in range(n) for truth in world.truths(i)]
    return hash_of(rows, digits=64)


def pretraining_text(n: int = 200) -> str:
    """A hash of texts that the tiny weights were trained on: captions, and texts on two scenes."""
    captions = draw_corpus(n, web_share=0.5, photo_share=0.5, progress=False).captions
    rng = np.random.default_rng(0)
    read = [list(asdict(reading.draw_reading(rng)).values()) for _ in range(n)]
    return hash_of([captions, read], digits=64)


def contact_sheet() -> np.ndarray:
    """Pictures of each domain in both styles and half-way, with watermarks in the last row."""
    rows = []
    for name in sorted(DOMAINS):
        world = open_world(name)
        for style, gap in (("photo", 1.0), ("diffusion", 0.5), ("diffusion", 1.0)):
            styled = world.in_style(style, style_gap=gap)
            rows.append([np.asarray(styled.draw(i, 0).image) for i in range(PICTURES)])
        marked = [world.draw(i, 1, watermark=True).image for i in range(PICTURES)]
        rows.append([np.asarray(image) for image in marked])
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])  # (rows * 64, 512, 3)


def main() -> None:
    """Write the reference picture and the hashes of text and weights."""
    REFERENCE.parent.mkdir(exist_ok=True)
    Image.fromarray(contact_sheet()).save(REFERENCE, optimize=True)
    frozen = {
        "world_text": {name: world_text(open_world(name)) for name in sorted(DOMAINS)},
        "crawled_text": crawled_text(open_world(CRAWLED)),
        "pretraining_text": pretraining_text(),
        "weights": {
            file.parent.name: sha256_file(file)
            for file in sorted(paths.tiny().glob("*/model.safetensors"))
        },
    }
    FROZEN.write_text(json.dumps(frozen, indent=1) + "\n")


if __name__ == "__main__":
    main()
