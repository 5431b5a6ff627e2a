"""The image encoder of the tiny InstructBLIP: convolutions, then a small ViT.

It learns to name all attributes of drawn dishes; the head with which it does is thrown away. A
plain ViT of the same class learned far slower in all that was tried.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm
from transformers import InstructBlipVisionModel

from helpers.topics.cir.generator import Stem
from helpers.training.loop import Fitted, Settings, fit
from helpers.world import kitchen
from helpers.world.world import World

IMAGE_SEED, CHECK_SEED = 71, 72  # no lesson uses them
PX, PATCH, CHANNELS = 128, 16, (32, 64)
WIDTH = 96
SIZES = [len(values) for values in kitchen.VALUES.values()]


class NormedStem(Stem):
    """A :class:`Stem` with a batch norm behind each convolution: how it is trained."""

    def __init__(self, patch: int, width: int, channels: Sequence[int]):
        super().__init__(patch, width, channels)
        self.norms = nn.ModuleList(nn.BatchNorm2d(layer.out_channels) for layer in self.layers)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            after = functional.relu(norm(layer(x)))
            x = x + after if layer.stride == (1, 1) else after
        return x

    @torch.no_grad()
    def folded(self, patch: int, width: int, channels: Sequence[int]) -> Stem:
        """The same map in evaluation mode, its batch norms folded into weights and biases."""
        made = Stem(patch, width, channels)
        for new, layer, norm in zip(made.layers, self.layers, self.norms, strict=True):
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()  # (channels,)
            new.weight.copy_(layer.weight * scale.view(-1, 1, 1, 1))
            new.bias.copy_((layer.bias - norm.running_mean) * scale + norm.bias)
        return made


class Readout(nn.Module):
    """Learned queries for each attribute, then a linear map: thrown away afterwards."""

    def __init__(self, width: int, n: int = 4):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(SIZES), n, width) * 0.1)
        self.heads = nn.ModuleList(nn.Linear(n * width, size) for size in SIZES)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(b, t, width) tokens to the logits of each attribute."""
        weights = torch.einsum("aqd,btd->baqt", self.queries, x).softmax(-1)
        found = torch.einsum("baqt,btd->baqd", weights, x).flatten(2)
        return [head(found[:, i]) for i, head in enumerate(self.heads)]


def draw(n: int, *, seed: int, px: int = PX) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Drawn dishes of every value, in photo style: (n, px, px, 3) uint8, and their attributes."""
    world, shown = World(kitchen.DOMAIN, n, seed, px), []
    images = np.empty((n, px, px, 3), np.uint8)
    for i in tqdm(range(n), desc="drawing images", unit="image"):
        shown.append(kitchen.sample(np.random.default_rng([seed, i])))
        images[i] = np.asarray(world.picture(shown[-1], i, 0).image)
    return images, shown


def stage_settings(steps: int, learning_rate: float, seed: int) -> Settings:
    """Of every stage of the pretraining."""
    return Settings(
        steps=steps, learning_rate=learning_rate, warmup=min(60, steps),
        schedule="cosine_over_all", final_share=0.02, weight_decay=0.05, betas=(0.9, 0.98),
        seed=seed, clamp=False, state_every=200,
    )  # fmt: skip


def train_encoder(
    vision: InstructBlipVisionModel, images: np.ndarray, shown: Sequence[dict[str, str]],
    *, steps: int, learning_rate: float, batch_size: int, seed: int, state: Path | None = None,
) -> tuple[Fitted, Readout]:  # fmt: skip
    """The image encoder with a throw-away head: every attribute of a dish, shifted and mirrored."""
    labels, side = codes(shown), images.shape[1]
    reach = side // 16
    stem = NormedStem(PATCH, WIDTH, CHANNELS)
    vision.embeddings.patch_embedding = stem
    vision.requires_grad_(True)
    both = nn.ModuleDict({"vision": vision, "head": Readout(WIDTH)})

    def seen(rows: np.ndarray, rng: np.random.Generator) -> Tensor:
        edge = ((0, 0), (reach, reach), (reach, reach), (0, 0))
        padded = np.pad(images[rows], edge, "edge")
        i, j = rng.integers(0, 2 * reach + 1, 2)
        x = pixels(padded[:, i : i + side, j : j + side])
        x = x.flip(3) if rng.random() < 0.5 else x
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return vision(pixel_values=x).last_hidden_state.float()

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        rows = rng.integers(0, len(images), batch_size)
        logits = both["head"](seen(rows, rng))
        parts = [functional.cross_entropy(one, labels[rows, i]) for i, one in enumerate(logits)]
        return torch.stack(parts).mean()

    settings = stage_settings(steps, learning_rate, seed)
    fitted = fit(both, loss, settings=settings, state=state)
    _measure_norms(stem, both, lambda rng: seen(rng.integers(0, len(images), 128), rng))
    vision.embeddings.patch_embedding = stem.folded(PATCH, WIDTH, CHANNELS)
    vision.requires_grad_(False)
    return fitted, both["head"].eval()


@torch.no_grad()
def _measure_norms(stem: NormedStem, module: nn.Module, run: Callable, n: int = 100) -> None:
    """Means and variances of the final weights over ``n`` batches, whatever a run resumed from."""
    for norm in stem.norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
    module.train()
    for step in range(n):
        run(np.random.default_rng([9, step]))
    module.eval()


def codes(shown: Sequence[dict[str, str]]) -> Tensor:
    """(n, attributes) int64."""
    values = kitchen.VALUES
    return torch.tensor([[values[name].index(one[name]) for name in values] for one in shown])


def pixels(images: np.ndarray) -> Tensor:
    """(n, px, px, 3) uint8 to (n, 3, px, px) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.inference_mode()
def states(vision: nn.Module, images: np.ndarray) -> Tensor:
    """The frozen encoder's tokens, (n, tokens, width) float16."""
    parts = [vision(pixel_values=pixels(images[i : i + 128])).last_hidden_state.half()
             for i in tqdm(range(0, len(images), 128), desc="encoding images")]  # fmt: skip
    return torch.cat(parts).clone()


@torch.inference_mode()
def encoder_accuracy(vision: nn.Module, head: Readout, n: int = 2_000) -> dict[str, float]:
    """The share of attributes that are named right on other images, and of all that can change."""
    images, shown = draw(n, seed=CHECK_SEED)
    labels = codes(shown)
    logits = head(states(vision, images).float())
    right = torch.stack([one.argmax(1) == labels[:, i] for i, one in enumerate(logits)], dim=1)
    names = list(kitchen.VALUES)
    changeable = [i for i, name in enumerate(names) if name != "shape"]
    found = dict(zip(names, right.float().mean(0).tolist(), strict=True))
    return found | {"all that can change": right[:, changeable].all(1).float().mean().item()}
