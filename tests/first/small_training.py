"""Models of a few thousand weights, and pairs to train them on, for tests that train.

``python -m tests.first.small_training STATE OUT THREADS KILL_AT`` trains one and writes its weights; at
step KILL_AT, if there is one, the process kills itself.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import save_file

from helpers.first.models.encoders import Encoder
from helpers.first.models.loading import weights_fingerprint
from helpers.first.models.lora import Adapted, adapt
from helpers.first.models.placement import Placement
from helpers.first.training.loop import Trained, train
from helpers.first.training.pairs import TrainingPairs, prepare_pairs
from helpers.first.training.settings import Training
from helpers.pretraining.shapes import TinyShape, build_tiny

WORDS = ["a red mug on wood", "chicken soup with basil", "two blue books", "tofu on a black plate"]
SHAPE = TinyShape(
    image_px=16, patch_px=8, width=24, heads=2, mlp_width=32, vision_layers=3, text_layers=2,
    text_length=12, vocabulary=300,
)  # fmt: skip
# Everything that draws at random or remembers: dropout, augmentation, negatives, best epoch.
BUSY = Training(
    epochs=4, batch_size=2, accumulation=2, learning_rate=3e-3, negatives=True, keep="best",
    draw="image",
)  # fmt: skip


@cache
def small_encoder(family: str, *, seed: int = 0, shape: TinyShape = SHAPE) -> Encoder:
    """A fresh, frozen model; shared between tests, which adapt copies of it."""
    model, processor = build_tiny(f"tiny-{family}", WORDS, seed=seed, shape=shape)
    model = model.eval().requires_grad_(False)
    fingerprint = weights_fingerprint(model)
    return Encoder(f"small-{family}", family, model, processor, "cpu", "fp32", fingerprint)


def small_frame(*, recipes: int = 12, images: int = 2, negatives: bool = True) -> pd.DataFrame:
    """Recipes with two pictures and two captions each, and a wrong caption for every picture.

    A recipe's number comes first: the text tower reads twelve tokens.
    """
    rows = []
    for r in range(recipes):
        for i in range(images):
            key = f"{r}/{i}.jpg"
            rows += [(f"r{r}", key, f"{r} {word}", "1") for word in WORDS[:2]]
            if negatives:
                rows.append((f"r{r}", key, f"{(r + 1) % recipes} {WORDS[2]}", "0"))
    return pd.DataFrame(rows, columns=["recipe_id", "image_key", "caption", "label"])


def small_picture(key: str) -> Image.Image:
    """Noise that a recipe's pictures share, brighter in the second."""
    recipe, image = key.removesuffix(".jpg").split("/")
    noise = np.random.default_rng(int(recipe)).integers(0, 200, (20, 24, 3))
    return Image.fromarray((noise + 30 * int(image)).astype(np.uint8))


@cache
def small_pairs(family: str) -> TrainingPairs:
    """``small_frame`` made ready for ``small_encoder``."""
    return prepare_pairs(small_frame(), small_encoder(family), small_picture, progress=False)


def small_adapted(family: str, **choices) -> Adapted:
    """``small_encoder`` with a fresh adapter."""
    return adapt(small_encoder(family), Placement(**{"rank": 2, "dropout": 0.2, **choices}))


def noisy(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """An augmentation that draws from the generator and from torch's global state."""
    shift = torch.rand(len(pixels), 1, 1, 1, generator=generator) * 0.1
    return pixels + shift + 0.05 * torch.rand(1)


def train_busy(
    adapted: Adapted,
    settings: Training = BUSY,
    *,
    state: Path | None = None,
    on_step: Callable[[dict], None] | None = None,
    state_every: int = 3,
) -> Trained:
    """A run of 24 steps in which all of ``BUSY`` happens; the score goes up and down."""
    family = adapted.encoder.family

    def validate() -> dict[str, float]:
        return {"score": float(np.sin(7e3 * adapted.encoder.texts(WORDS).sum()))}

    return train(
        adapted.encoder, small_pairs(family), settings, augment=noisy, validate=validate,
        state=state, state_every=state_every, on_step=on_step, progress=False,
    )  # fmt: skip


def trainable(adapted: Adapted) -> dict[str, torch.Tensor]:
    """The trainable weights by name."""
    named = adapted.encoder.model.named_parameters()
    return {name: p.detach().clone() for name, p in named if p.requires_grad}


def kill_at(step: int) -> Callable[[dict], None]:
    """End this process as ``kill -9`` does, right after a step."""

    def on_step(record: dict) -> None:
        if record["step"] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return on_step


if __name__ == "__main__":
    state, out, threads, step = sys.argv[1:]
    torch.set_num_threads(int(threads))
    trained_model = small_adapted("siglip")
    train_busy(trained_model, state=Path(state), on_step=kill_at(int(step)))
    save_file(trainable(trained_model), out)
