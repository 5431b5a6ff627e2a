"""Pretraining of the tiny dual encoders from nothing: ``course pretrain tiny-siglip``.

Corpus, tokenizer and weights come from seeds alone. The number of steps was chosen by the zero-shot
difficulty of validation recipes; weights and data set are frozen (``data/tiny/frozen.json``),
because every later study stands on them.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from helpers.data.sets import RetrievalSet, drawn_set
from helpers.evaluation.ranking import DIRECTIONS
from helpers.experiment import ranks_of
from helpers.models.encoder import Encoder, load_encoder
from helpers.pretraining.card import (
    Scores,
    card,
    corpus_rows,
    optimizer_row,
    run_rows,
    score_rows,
)
from helpers.pretraining.command import RECORD, read_command, replaced, say
from helpers.pretraining.shapes import TinyShape, build_tiny
from helpers.repro import library_versions, seed_everything
from helpers.study import Study
from helpers.training.loop import Fitted, Settings, fit
from helpers.training.losses import info_nce, pairwise_sigmoid
from helpers.world.corpus import Corpus, draw_corpus

VALIDATION_SEED, VALIDATION_RECIPES = 1001, 200  # no lesson draws recipes with it
WANTED = (0.45, 0.65)  # hit@10, text to image, on validation recipes of the kitchen
VALIDATION = (f"Zero-shot, on {VALIDATION_RECIPES} validation recipes of each domain (seed "
              f"{VALIDATION_SEED}); 95 % intervals over recipes.")  # fmt: skip
METRICS = ("hit@1", "hit@5", "hit@10", "mrr")
LOSSES = {
    "sigmoid": "pairwise sigmoid loss (Zhai et al. 2023), scale started at log 10, bias at -10",
    "info_nce": "symmetric InfoNCE (Radford et al. 2021), learned temperature",
}


@dataclass(frozen=True)
class Pretraining:
    """How a tiny checkpoint is made; equal settings give equal weights on one machine.

    Attributes
    ----------
    model : str
    loss : str
        A key of ``LOSSES``.
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


def augmented(
    images: np.ndarray, rng: np.random.Generator, scaled: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """Shift by up to 4 px, mirror, brightness, color: (n, px, px, 3) uint8 to (n, 3, px, px).

    ``scaled`` maps pixels from 0 to 255 to what the model reads.
    """
    px = images.shape[1]
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), "edge")
    top, left = rng.integers(0, 9, 2)
    cut = np.ascontiguousarray(padded[:, top : top + px, left : left + px])
    x = scaled(torch.from_numpy(cut).permute(0, 3, 1, 2).float())
    x = x.flip(3) if rng.random() < 0.5 else x
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, (len(x), 1, 1, 1)).astype(np.float32))
    tint = torch.from_numpy(rng.normal(0, 0.1, (len(x), 3, 1, 1)).astype(np.float32))
    return x * gain + tint


def batches(n: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Shuffled indices without end; a rest smaller than a batch is dropped."""
    while True:
        order = rng.permutation(n)
        for start in range(0, n - size + 1, size):
            yield np.sort(order[start : start + size])


def start(s: Pretraining, corpus: Corpus) -> Encoder:
    """The model with its initial weights; its tokenizer is trained on the captions."""
    seed_everything(s.seed)
    captions = [text for texts in corpus.captions for text in texts]
    model, processor = build_tiny(s.model, captions, seed=s.seed)
    return Encoder(s.model, s.model.removeprefix("tiny-"), model, processor)


def loss_of_step(
    s: Pretraining, encoder: Encoder, corpus: Corpus
) -> Callable[[int, Any], torch.Tensor]:
    """The loss of the next batch: of image embeddings and one caption of each.

    Batches and augmentation come from one generator in turn, as those of the committed weights did.
    """
    rng, processor = np.random.default_rng(s.seed), encoder.processor.image_processor
    captions = [text for texts in corpus.captions for text in texts]
    tokens = encoder.prepare_texts(captions)["input_ids"].unflatten(0, (len(corpus.images), -1))
    rows_of = batches(len(corpus.images), s.batch_size, rng)
    mean, deviation = (
        torch.tensor(values).view(3, 1, 1) for values in (processor.image_mean, processor.image_std)
    )

    def loss(step: int, _: np.random.Generator) -> torch.Tensor:
        rows = next(rows_of)
        pixels = augmented(
            corpus.images[rows], rng, lambda x: (x * processor.rescale_factor - mean) / deviation
        )
        ids = tokens[rows, rng.integers(0, tokens.shape[1], len(rows))]
        u, v = encoder.image_features(pixels), encoder.text_features({"input_ids": ids})
        scale = encoder.model.logit_scale.exp()
        if s.loss == "sigmoid":
            return pairwise_sigmoid(u, v, scale, encoder.model.logit_bias)
        return info_nce(u, v, scale)

    return loss


def fit_settings(s: Pretraining) -> Settings:
    """What the training loop is told; a trial run may be shorter than the warm-up."""
    return Settings(
        steps=s.steps, batch_size=s.batch_size, loss=s.loss, learning_rate=s.learning_rate,
        warmup=min(s.warmup, s.steps), schedule="cosine_over_all", final_share=0.02,
        weight_decay=s.weight_decay, betas=(0.9, 0.98), seed=s.seed, keep="last",
    )  # fmt: skip


def train(s: Pretraining, corpus: Corpus) -> tuple[Encoder, Fitted]:
    """Train a tiny model on a corpus."""
    encoder = start(s, corpus)
    fitted = fit(encoder.model, loss_of_step(s, encoder, corpus), settings=fit_settings(s))
    return encoder, fitted


def zero_shot(
    rank: Callable[[RetrievalSet], pd.DataFrame], *, domains: Sequence[str] = ("kitchen", "general")
) -> dict[str, dict[str, float]]:
    """Retrieval on validation recipes of each domain, with 95 % intervals over recipes.

    ``rank`` gives the ranks of a set in both directions. The keys are ``kitchen, text to image,
    hit@10`` and the like.
    """
    found = {}
    for domain in domains:
        data = drawn_set(f"world:{domain}", first=0, n=VALIDATION_RECIPES, seed=VALIDATION_SEED)
        study = Study.of({"model": rank(data)}, test=domain)
        for direction in DIRECTIONS:
            for metric in METRICS:
                one = study.estimate("model", metric=metric, test=domain, direction=direction)
                values = {"value": one.value, "low": one.low, "high": one.high}
                found[f"{domain}, {direction.replace('_', ' ')}, {metric}"] = values
    return found


def pretrain(s: Pretraining, folder: Path) -> None:
    """Draw, train, evaluate, write a checkpoint with its card; an older one is replaced whole."""
    began = time.process_time()
    corpus = draw_corpus(s.n_images, web_share=s.web_share, photo_share=s.photo_share)
    encoder, fitted = train(s, corpus)
    minutes = (time.process_time() - began) / 60  # of one core, whatever else ran beside it
    losses = [{"step": i, "loss": round(x, 4)} for i, x in enumerate(fitted.losses["loss"])
              if i % 10 == 0 or i == s.steps - 1]  # fmt: skip
    record = {"settings": asdict(s), "versions": library_versions(), "log": losses}
    with replaced(folder) as staging:
        encoder.model.save_pretrained(staging)
        encoder.processor.save_pretrained(staging)
        (staging / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        reloaded = load_encoder(str(staging), device="cpu")
        scores = zero_shot(lambda data: ranks_of(reloaded, data))
        (staging / "README.md").write_text(card_of(s, minutes, scores), encoding="utf-8")
    say(s.model, folder, minutes, scores)


def card_of(s: Pretraining, minutes: float, scores: Scores) -> str:
    """The model card."""
    family, shape = s.model.removeprefix("tiny-"), TinyShape()
    title = {"clip": "CLIP", "siglip": "SigLIP"}[family]
    chosen = (f"on zero-shot difficulty alone: hit@10, text to image, between {WANTED[0]:.0%} and "
              f"{WANTED[1]:.0%} on the validation recipes of `kitchen`")  # fmt: skip
    return card(
        s.model, family=family, pipeline="zero-shot-image-classification",
        summary=f"A {title} small enough for a lesson on a laptop: images of {shape.image_px} px, "
        f"patches of {shape.patch_px} px, {shape.vision_layers} vision and {shape.text_layers} text"
        f" layers of width {shape.width}; opened by `AutoModel` and `AutoProcessor`.",
        start="nothing but seeds",
        made=corpus_rows(s) | {
            "loss": LOSSES[s.loss],
            "optimizer": optimizer_row(s), "steps chosen": chosen, **run_rows(s.seed, minutes),
        },
        measured=VALIDATION,
        results=score_rows(scores, first="domain, direction, metric"),
        limits="The scores describe a procedurally generated data set.",
    )  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """The command line behind ``course pretrain``; the first word is the model."""
    steps, folder = read_command(argv[0], argv[1:])
    settings = SETTINGS[argv[0]]
    pretrain(settings if steps is None else replace(settings, steps=steps), folder)
    return 0
