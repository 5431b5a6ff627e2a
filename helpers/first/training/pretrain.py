"""Pretraining of the tiny checkpoints from nothing: ``course pretrain tiny-siglip``.

Corpus, tokenizer and weights come from seeds alone. The settings were chosen on the zero-shot
difficulty of validation recipes; weights and world are frozen (``data/tiny/frozen.json``), because
every later study stands on them.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

from helpers.first.evaluation.intervals import Interval, retrieval_intervals
from helpers.first.evaluation.metrics import both_directions
from helpers.first.models.encoders import Encoder
from helpers.first.models.loading import load_encoder
from helpers.first.training.card import write_card
from helpers.first.training.losses import clamp_logit_scale, info_nce, pairwise_sigmoid
from helpers.pretraining.command import RECORD, read_command, replaced
from helpers.pretraining.shapes import TINY_MODELS, build_tiny
from helpers.repro import library_versions, seed_everything, sha256_file
from helpers.world import open_world
from helpers.world.corpus import Corpus, draw_corpus

ELSEWHERE = ("tiny-siglip-cars", "tiny-blip2", "tiny-instructblip")  # made in steps of their own
VALIDATION_SEED = 1001  # no lesson draws recipes with it
VALIDATION_RECIPES = 200


@dataclass(frozen=True)
class Pretraining:
    """How a tiny checkpoint is made; equal settings give equal weights on one machine.

    Attributes
    ----------
    model : str
    loss : str
        ``info_nce`` or ``sigmoid``.
    steps, batch_size, warmup : int
        Optimizer steps, pairs a step, steps of linear warm-up before the cosine.
    learning_rate, weight_decay : float
    n_images, web_share, photo_share
        The corpus; see :func:`helpers.world.corpus.draw_corpus`.
    seed : int
    """

    model: str
    loss: str
    steps: int
    batch_size: int = 128
    warmup: int = 60
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    n_images: int = 24_000
    web_share: float = 0.35
    photo_share: float = 0.85
    seed: int = 0


SETTINGS = {
    "tiny-siglip": Pretraining("tiny-siglip", "sigmoid", 1170),
    "tiny-clip": Pretraining("tiny-clip", "info_nce", 700),
}


def _learning_rate(step: int, s: Pretraining) -> float:
    warm = min(1.0, (step + 1) / s.warmup)
    return s.learning_rate * warm * max(0.02, 0.5 * (1 + math.cos(math.pi * step / s.steps)))


def _optimizer(model: torch.nn.Module, s: Pretraining) -> torch.optim.Optimizer:
    """AdamW; no decay on biases, norms and scalars."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": s.weight_decay},
        {"params": others, "weight_decay": 0},
    ]
    return torch.optim.AdamW(groups, s.learning_rate, betas=(0.9, 0.98), fused=True)


def _augmented(images: np.ndarray, rng: np.random.Generator, processor) -> torch.Tensor:
    """Shift by up to 4 px, mirror, brightness and color: (n, px, px, 3) uint8 to (n, 3, px, px)."""
    px = images.shape[1]
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), "edge")
    top, left = rng.integers(0, 9, 2)
    pixels = torch.from_numpy(np.ascontiguousarray(padded[:, top : top + px, left : left + px]))
    x = pixels.permute(0, 3, 1, 2).float() * processor.rescale_factor
    x = (x - torch.tensor(processor.image_mean).view(3, 1, 1)) / torch.tensor(
        processor.image_std
    ).view(3, 1, 1)
    if rng.random() < 0.5:
        x = x.flip(3)
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, (len(x), 1, 1, 1)).astype(np.float32))
    tint = torch.from_numpy(rng.normal(0, 0.1, (len(x), 3, 1, 1)).astype(np.float32))
    return x * gain + tint


def _batches(n: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Shuffled indices without end; a rest smaller than a batch is dropped."""
    while True:
        order = rng.permutation(n)
        for start in range(0, n - size + 1, size):
            yield np.sort(order[start : start + size])


def train(settings: Pretraining, corpus: Corpus) -> tuple[Encoder, list[dict[str, float]]]:
    """Train a tiny model on a corpus; returns it with the loss of every tenth step."""
    s = settings
    seed_everything(s.seed)
    captions = [text for texts in corpus.captions for text in texts]
    model, processor = build_tiny(s.model, captions, seed=s.seed)
    encoder = Encoder(s.model, s.model.removeprefix("tiny-"), model, processor, "cpu", "fp32", "")
    tokens = encoder.tokens(captions)["input_ids"].unflatten(0, (len(corpus.images), -1))
    optimizer, rng, log = _optimizer(model, s), np.random.default_rng(s.seed), []
    batches = _batches(len(corpus.images), s.batch_size, rng)
    model.train()
    for step in tqdm(range(s.steps), desc=f"pretraining {s.model}", unit="step"):
        chosen = next(batches)
        pixels = _augmented(corpus.images[chosen], rng, processor.image_processor)
        ids = tokens[chosen, rng.integers(0, tokens.shape[1], len(chosen))]
        images = F.normalize(model.get_image_features(pixel_values=pixels).pooler_output, dim=-1)
        texts = F.normalize(model.get_text_features(input_ids=ids).pooler_output, dim=-1)
        scale = model.logit_scale.exp()
        if s.loss == "sigmoid":
            loss = pairwise_sigmoid(images, texts, scale, model.logit_bias)
        else:
            loss = info_nce(images, texts, scale)
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, s)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        clamp_logit_scale(model.logit_scale)
        if step % 10 == 0 or step == s.steps - 1:
            log.append({"step": step, "loss": round(loss.item(), 4)})
    model.eval()
    return encoder, log


def evaluate(encoder: Encoder, *, domain: str = "kitchen") -> dict[str, dict[str, Interval]]:
    """Zero-shot retrieval on a domain's validation recipes, both directions, with intervals."""
    world = open_world(domain, n_recipes=VALIDATION_RECIPES, seed=VALIDATION_SEED)
    recipes = list(world.recipes())
    keys = [(r.recipe_id, key) for r in recipes for key in r.images]
    captions = [(r.recipe_id, caption.text) for r in recipes for caption in r.captions]
    image_ids, text_ids = [i for i, _ in keys], [i for i, _ in captions]
    images = encoder.images([world.load_image(key) for _, key in keys])
    texts = encoder.texts([text for _, text in captions])
    rankings = both_directions(images, image_ids, texts, text_ids)
    groups = {"text_to_image": text_ids, "image_to_text": image_ids}
    return {way: retrieval_intervals(r, groups[way]) for way, r in rankings.items()}


def pretrain(settings: Pretraining, folder: Path) -> None:
    """Draw, train, evaluate, write a checkpoint with its card; an older one is replaced whole."""
    began = time.perf_counter()
    corpus = draw_corpus(
        settings.n_images, web_share=settings.web_share, photo_share=settings.photo_share
    )
    encoder, log = train(settings, corpus)
    minutes = (time.perf_counter() - began) / 60
    record = {"settings": asdict(settings), "versions": library_versions(), "log": log}
    with replaced(folder) as staging:
        encoder.model.save_pretrained(staging)
        encoder.processor.save_pretrained(staging)
        (staging / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        reloaded = load_encoder(str(staging), device="cpu")
        scores = {domain: evaluate(reloaded, domain=domain) for domain in ("kitchen", "general")}
        write_card(
            staging, settings=asdict(settings), minutes=minutes, scores=scores,
            recipes=VALIDATION_RECIPES, validation_seed=VALIDATION_SEED,
        )  # fmt: skip
    weights = sha256_file(folder / "model.safetensors")
    print(f"{settings.model}: {minutes:.1f} minutes, weights {weights[:16]}")
    for domain, ways in scores.items():
        for way, metrics in ways.items():
            hit = metrics["hit@10"]
            print(f"  {domain:8} {way:14} hit@10 {hit.value:.3f} [{hit.low:.3f}, {hit.high:.3f}]")


def _elsewhere(model: str, argv: Sequence[str]) -> int:
    if model == "tiny-siglip-cars":
        from helpers.pretraining.cars import main as pretrain_model
    elif model == "tiny-blip2":
        from helpers.pretraining.blip2 import main as pretrain_model
    else:
        from helpers.pretraining.instructblip import main as pretrain_model
    return pretrain_model(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line behind ``course pretrain``."""
    parser = argparse.ArgumentParser(
        prog="course pretrain",
        description="Make one of the course's small checkpoints anew, from seeds alone. "
        "'course pretrain MODEL --help' shows its options.",
    )
    parser.add_argument("model", choices=(*TINY_MODELS, *ELSEWHERE))
    argv = list(sys.argv[1:] if argv is None else argv)
    model = parser.parse_args(argv[:1]).model
    if model in ELSEWHERE:
        return _elsewhere(model, argv[1:])
    steps, folder = read_command(model, argv[1:])
    settings = SETTINGS[model]
    pretrain(settings if steps is None else replace(settings, steps=steps), folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
