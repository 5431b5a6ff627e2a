"""Pretraining of the tiny InstructBLIP from nothing: ``course pretrain tiny-instructblip``.

Three steps, each with the weights before it frozen. The vision encoder gets the weights of
``tiny-siglip``. The language model learns to write from notes in words, without a picture, as
Vicuna knows English before it sees one: every value of the world and every way to ask for a change
occurs. Then Q-Former, queries and projection learn to bring, from two pictures, the vectors that
their notes have in words; no picture with a new value, and no change from one picture to another,
is ever shown.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from helpers.first.models.generator import (
    Generator,
    language_loss,
    only_trained,
    paired,
    soft_tokens,
)
from helpers.first.models.loading import load_encoder
from helpers.first.models.tiny_instructblip import NAME, build_instructblip, save_instructblip
from helpers.first.training.instructblip_card import card_of
from helpers.pretraining.command import RECORD, read_command, replaced
from helpers.repro import library_versions, seed_everything, sha256_file
from helpers.world.reading import (
    INSTRUCTIONS,
    NotedPictures,
    Reading,
    draw_noted,
    draw_reading,
)

READING_SEED = 11
CALIBRATION = 256  # pictures whose mean patch becomes the class token
NEAR = 0.25  # of the notes' variance: the distance at which a phrase is e times less likely


@dataclass(frozen=True)
class BlipPretraining:
    """How the checkpoint is made; equal settings give equal weights on one machine.

    Attributes
    ----------
    readings : int
        Texts with notes that the language model reads.
    language_steps, qformer_steps, batch_size : int
    learning_rate : float
        Of both steps; linear warm-up, then a cosine.
    noise : float
        Of the notes' vectors, in their deviations, so that the language model bears notes that are
        not quite words. Each note is also moved towards the mean of its place by a random share,
        as a note is that the eyes are unsure of: the language model learns to write of the others.
    naming : float
        Weight of the cross-entropy of the right phrase among all that stand in its place, beside
        the squared error, in the Q-Former's loss.
    n_images : int
        Drawn pictures for the Q-Former.
    dish_share, photo_share : float
        See :func:`helpers.world.reading.draw_noted`.
    seed : int
    """

    readings: int = 30_000
    language_steps: int = 4500
    qformer_steps: int = 2000
    batch_size: int = 64
    learning_rate: float = 3e-3
    warmup: int = 60
    noise: float = 0.2
    naming: float = 0.3
    n_images: int = 16_000
    dish_share: float = 0.6
    photo_share: float = 0.85
    seed: int = 0


def pretrain(settings: BlipPretraining, folder: Path) -> None:
    """Draw, train, write a checkpoint; an older one is replaced whole."""
    began, s = time.process_time(), settings
    seed_everything(s.seed)
    siglip = load_encoder("tiny-siglip", device="cpu")
    readings = [draw_reading(np.random.default_rng([READING_SEED, i])) for i in range(s.readings)]
    pictures = draw_noted(s.n_images, dish_share=s.dish_share, photo_share=s.photo_share)
    preprocessing = siglip.processor.image_processor
    statistics = tuple(preprocessing.image_mean), tuple(preprocessing.image_std)
    texts = [t for r in readings for t in (r.text, *r.first, *r.second, r.instruction)]
    model, tokenizer = build_instructblip(
        siglip.model, texts, _pixels(pictures.images[:CALIBRATION], *statistics), seed=s.seed
    )
    generator = Generator(NAME, model.eval(), tokenizer, tokenizer, *statistics, "cpu", "")
    log = {
        "language": train_language(generator, readings, s),
        "qformer": train_qformer(generator, pictures, s),
    }
    minutes = (time.process_time() - began) / 60  # of one core, whatever else ran beside it
    record = {"settings": asdict(s), "versions": library_versions(), "log": log}
    with replaced(folder) as staging:
        save_instructblip(model, tokenizer, staging, mean=statistics[0], std=statistics[1])
        (staging / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (staging / "README.md").write_text(card_of(asdict(s), log, minutes), encoding="utf-8")
    weights = sha256_file(folder / "model.safetensors")
    print(f"{NAME}: {minutes:.1f} minutes of one core, weights {weights[:16]}")


def train_language(
    generator: Generator, readings: Sequence[Reading], s: BlipPretraining
) -> list[dict[str, float]]:
    """The language model alone, on notes in words; returns the loss of every tenth step."""
    model = generator.model.requires_grad_(False)
    model.language_model.requires_grad_(True)
    words = model.get_input_embeddings()
    rng, drawn = np.random.default_rng(s.seed), torch.Generator().manual_seed(s.seed)
    ids, _ = generator.text_ids([r.text for r in readings])
    pad = generator.tokenizer.pad_token_id
    first, second = (_phrase_table(generator, [getattr(r, n) for r in readings])
                     for n in ("first", "second"))  # fmt: skip
    prompts = {i: generator.with_instruction(i).prompt_ids() for i in INSTRUCTIONS}
    by_instruction = _by_instruction(readings, rng)
    batches = _batches(by_instruction, s.batch_size, rng)

    def loss() -> Tensor:
        instruction, rows = next(batches)
        notes = torch.cat([_mean_words(words, table[rows]) for table in (first, second)], dim=1)
        typical = notes.detach().mean(dim=0, keepdim=True)
        sure = torch.rand(*notes.shape[:2], 1, generator=drawn)
        notes = typical + sure * (notes - typical)
        notes = notes + s.noise * notes.detach().std() * torch.randn(notes.shape, generator=drawn)
        prompt = words(prompts[instruction]).expand(len(rows), -1, -1)
        return language_loss(model, torch.cat([notes, prompt], dim=1), *_cut(ids[rows], pad))

    return _train(model, loss, s.language_steps, s, "language model")


def train_qformer(
    generator: Generator, pictures: NotedPictures, s: BlipPretraining
) -> list[dict[str, float]]:
    """Q-Former, queries and projection: from two pictures to the vectors of their notes.

    The squared error is taken in units of the notes' own variance: 1 is what a constant would have.
    Beside it stands the cross-entropy of the right phrase among those of its place, by distance.
    """
    model = generator.model
    only_trained(model)
    seen = _seen(generator, pictures.images)
    table = _phrase_table(generator, pictures.notes)
    known = torch.cat([_mean_words(model.get_input_embeddings(), part)
                       for part in table.split(1000)]).detach()  # fmt: skip
    scale = known.var(dim=(0, 2), keepdim=True).mean().item()
    words, labels = _by_place(known)
    ids = [generator.with_instruction(i).qformer_ids() for i in INSTRUCTIONS]
    rng = np.random.default_rng([s.seed, 1])

    def naming(soft: Tensor, rows: np.ndarray) -> Tensor:
        parts = []
        for place in range(2 * len(words)):
            side, kind = divmod(place, len(words))
            squared = torch.cdist(soft[:, place], words[kind]).square() / soft.shape[-1]
            wanted = labels[kind][torch.from_numpy(rows[side])]
            parts.append(cross_entropy(-squared / (NEAR * scale), wanted))
        return torch.stack(parts).mean()

    def loss() -> Tensor:
        rows = rng.integers(0, len(seen), (2, s.batch_size))
        tokens = paired(*(seen[r].float() for r in rows))
        soft = soft_tokens(model, tokens, ids[int(rng.integers(len(ids)))])
        wanted = torch.cat([known[r] for r in rows], dim=1)  # (b, queries, width)
        return (soft - wanted).square().mean() / scale + s.naming * naming(soft, rows)

    return _train(model, loss, s.qformer_steps, s, "Q-Former")


def _by_place(known: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """For each place of (n, places, width) notes: the vectors that occur there, and their rows."""
    found = [known[:, place].unique(dim=0, return_inverse=True) for place in range(known.shape[1])]
    return [vectors for vectors, _ in found], [labels for _, labels in found]


def _train(
    model: torch.nn.Module, loss: Callable[[], Tensor], steps: int, s: BlipPretraining, what: str
) -> list[dict[str, float]]:
    """AdamW over what asks for gradients; no decay on biases and norms."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, s.learning_rate, betas=(0.9, 0.98), fused=True)
    log = []
    for step in tqdm(range(steps), desc=f"pretraining {NAME}: {what}", unit="step"):
        warm = min(1.0, (step + 1) / s.warmup)
        for group in optimizer.param_groups:
            cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
            group["lr"] = s.learning_rate * warm * max(0.02, cosine)
        optimizer.zero_grad()
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if step % 10 == 0 or step == steps - 1:
            log.append({"step": step, "loss": round(value.item(), 4)})
    model.requires_grad_(False)
    return log


def _pixels(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(n, px, px, 3) uint8 to (n, 3, px, px)."""
    values = torch.from_numpy(np.ascontiguousarray(images)).float() / 255
    return ((values - torch.tensor(mean)) / torch.tensor(std)).permute(0, 3, 1, 2)


@torch.inference_mode()
def _seen(generator: Generator, images: np.ndarray) -> Tensor:
    """The frozen encoder's tokens of all pictures, (n, tokens, width) float16."""
    parts = []
    for start in tqdm(range(0, len(images), 128), desc="seeing the corpus", unit="batch"):
        pixels = _pixels(images[start : start + 128], generator.mean, generator.std)
        parts.append(generator.model.vision_model(pixel_values=pixels).last_hidden_state.half())
    return torch.cat(parts).clone()


def _cut(ids: Tensor, pad: int) -> tuple[Tensor, Tensor]:
    """Ids without the columns that are padding in every row, and their mask."""
    mask = (ids != pad).long()
    length = int(mask.sum(dim=1).max())
    return ids[:, :length], mask[:, :length]


def _phrase_table(generator: Generator, notes: Sequence[tuple[str, ...]]) -> Tensor:
    """(n, notes, length) int64 of the tokens of each phrase, padded with -1."""
    known: dict[str, list[int]] = {}
    for phrase in {phrase for row in notes for phrase in row}:
        known[phrase] = generator.tokenizer(phrase, add_special_tokens=False)["input_ids"]
    longest = max(map(len, known.values()))
    padded = {k: [*v, *[-1] * (longest - len(v))] for k, v in known.items()}
    return torch.tensor([[padded[phrase] for phrase in row] for row in notes])


def _mean_words(words: torch.nn.Embedding, table: Tensor) -> Tensor:
    """(b, notes, length) ids to (b, notes, width): each phrase is the mean of its tokens."""
    there = (table >= 0).unsqueeze(-1)
    return (words(table.clamp_min(0)) * there).sum(dim=2) / there.sum(dim=2)


def _by_instruction(readings: Sequence[Reading], rng: np.random.Generator) -> dict:
    rows: dict[str, list[int]] = {}
    for i, reading in enumerate(readings):
        rows.setdefault(reading.instruction, []).append(i)
    return {instruction: rng.permutation(found) for instruction, found in rows.items()}


def _batches(
    rows: dict[str, np.ndarray], size: int, rng: np.random.Generator
) -> Iterator[tuple[str, Tensor]]:
    """An instruction, drawn by how many texts follow it, and rows of it, without end."""
    names = list(rows)
    weights = np.array([len(rows[name]) for name in names], float)
    while True:
        name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        yield name, torch.from_numpy(rng.choice(rows[name], size))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line behind ``course pretrain tiny-instructblip``."""
    steps, folder = read_command(NAME, sys.argv[1:] if argv is None else argv)
    settings = BlipPretraining()
    if steps is not None:
        settings = replace(settings, language_steps=steps, qformer_steps=steps)
    pretrain(settings, folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
