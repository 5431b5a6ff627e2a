"""Images and texts embedded a second: the package's encoder against a plain transformers loop.

``python -m tests.benchmarks.encode [--n 64] [--rounds 5] [--models tiny-siglip,tiny-clip]``

The plain loop is what anyone would write: the processor with padding to the model's length, batches
of 32, ``get_image_features`` and ``get_text_features``, rows scaled to length 1. Both prepare their
inputs and give the same rows; they take turns in one process, and medians count. ``--models`` takes
whatever ``load_encoder`` does.
"""

import argparse
import json
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import normalize

from helpers.data.sources import open_source
from helpers.evaluation.efficiency import seconds_in_turns
from helpers.models.encoder import Encoder, load_encoder

BATCH = 32


def plain_loops(encoder: Encoder) -> dict[str, Callable[[list], np.ndarray]]:
    """Embeddings of images and of texts as a plain loop over batches makes them."""
    processor, model = encoder.processor, encoder.model

    def images(some: list) -> torch.Tensor:
        pixels = processor.image_processor(some, return_tensors="pt")["pixel_values"]
        return model.get_image_features(pixel_values=pixels).pooler_output

    def texts(some: list) -> torch.Tensor:
        tokens = processor.tokenizer(
            some, padding="max_length", max_length=encoder.text_length, truncation=True,
            return_tensors="pt",
        )  # fmt: skip
        return model.get_text_features(**tokens).pooler_output

    @torch.inference_mode()
    def in_batches(one: Callable[[list], torch.Tensor], items: list) -> np.ndarray:
        parts = [one(items[start : start + BATCH]) for start in range(0, len(items), BATCH)]
        return normalize(torch.cat(parts), dim=-1).numpy()

    return {"images": lambda x: in_batches(images, x), "texts": lambda x: in_batches(texts, x)}


def main() -> None:
    """Print a table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", default="tiny-siglip,tiny-clip")
    asked = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {asked.n} items, fp32")
    source, record = open_source("world:kitchen", max_recipes=asked.n, seed=42), {}
    names = [source.recipe_id(i) for i in range(asked.n)]
    items = {"images": [source.load_image(f"{name}/0.jpg") for name in names],
             "texts": [source.captions(i)[0].text for i in range(asked.n)]}  # fmt: skip
    for name in asked.models.split(","):
        encoder = load_encoder(name, device="cpu")
        for what, plain in plain_loops(encoder).items():
            ours = getattr(encoder, what)
            apart = float(np.abs(ours(items[what]) - plain(items[what])).max())
            works = {"ours": lambda f=ours, x=items[what]: f(x),
                     "plain": lambda f=plain, x=items[what]: f(x)}  # fmt: skip
            seconds = seconds_in_turns(works, rounds=asked.rounds)
            rate = {one: asked.n / float(np.median(found)) for one, found in seconds.items()}
            ratios = seconds["plain"] / seconds["ours"]
            low, ratio, high = np.quantile(ratios, [0, 0.5, 1])
            print(
                f"{name:12} {what:7} ours {rate['ours']:.0f}/s, plain {rate['plain']:.0f}/s: "
                f"{ratio:.2f}x [{low:.2f}, {high:.2f}]; largest difference of a row {apart:.1e}",
                flush=True,
            )
            record[f"{name} {what}"] = {"ratio": round(float(ratio), 2), "difference": apart}
    print(json.dumps(record))


if __name__ == "__main__":
    main()
