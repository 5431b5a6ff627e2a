"""Pretraining of the tiny InstructBLIP from nothing: ``course pretrain tiny-instructblip``.

Four stages, each with the weights before it frozen. The image encoder, a ViT that begins with
convolutions, learns to name all attributes of drawn dishes; its head is thrown away. The language
model learns to write from notes in words, without an image, as Vicuna knows English before it reads
one. Q-Former, queries and projection learn to bring, from two images, the vectors that their notes
have in words; no change from one image to another is ever shown. Last, what lesson 07 does: the
same three parts on annotated triplets. Both ends of that stage are kept.
"""

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    BlipImageProcessorPil,
    InstructBlipConfig,
    PreTrainedTokenizerFast,
)

from helpers import paths
from helpers.pretraining.card import card, run_rows
from helpers.pretraining.command import RECORD, read_command, replaced
from helpers.pretraining.encoder import (
    CHANNELS,
    IMAGE_SEED,
    PATCH,
    PX,
    WIDTH,
    draw,
    encoder_accuracy,
    stage_settings,
    states,
    train_encoder,
)
from helpers.pretraining.shapes import TinyShape, train_tokenizer
from helpers.repro import library_versions, seed_everything, sha256_file
from helpers.topics.cir import audit
from helpers.topics.cir.blip2 import States
from helpers.topics.cir.generator import (
    NAME,
    QFORMER,
    START,
    TRAINED,
    Generator,
    HybridInstructBlip,
    language_loss,
    only_trained,
    paired,
    soft_tokens,
    train,
)
from helpers.topics.cir.synthesis import agreement
from helpers.topics.cir.triplets import Source, drawn_source
from helpers.training.loop import Fitted, fit
from helpers.world import kitchen
from helpers.world.changes import applied, draw_changes, modification
from helpers.world.reading import CHANGE, INSTRUCTIONS, Reading, draw_reading, notes

IMAGE = "<image>"
READING_SEED, CHANGE_SEED = 11, 12  # no lesson uses them
HEADS, MLP, N_QUERIES = 4, 192, 16
MEAN = STD = (0.5,) * 3
NEAR = 0.25  # of the notes' variance: the distance at which a phrase is e times less likely
TRAIN, VALIDATION = 750_000, 764_000  # first recipes of lesson 07
STAGES = ("encoder", "language", "qformer", "triplets")


@dataclass(frozen=True)
class Pretraining:
    """How the checkpoint is made; equal settings give equal weights on one machine.

    Attributes
    ----------
    images : int
        Drawn dishes for image encoder and Q-Former.
    encoder_steps, encoder_rate, encoder_batch
        Of the image encoder.
    readings, changes : int
        Texts with notes that the language model reads: of every kind, and on changes alone.
    two_changes : float
        Share of the latter with two changes instead of one.
    language_steps, language_rate, qformer_steps, qformer_rate, batch_size
    unsure : float
        Share of the notes that are moved towards the mean of their place, by a share from 0 to a
        half, as a note is that the image encoder is unsure of.
    noise : float
        Of the notes' vectors, in their deviations.
    naming : float
        Weight of the cross-entropy of the right phrase among all that stand in its place, beside
        the squared error, in the Q-Former's loss.
    steps, learning_rate
        Of the last stage, on annotated triplets.
    annotated, checked : int
        Triplets of that stage, and of validation, whose texts are judged.
    """

    images: int = 48_000
    encoder_steps: int = 5_600
    encoder_rate: float = 2e-3
    encoder_batch: int = 128
    readings: int = 20_000
    changes: int = 30_000
    two_changes: float = 0.5
    language_steps: int = 9_000
    language_rate: float = 3e-3
    unsure: float = 0.1
    noise: float = 0.2
    qformer_steps: int = 2_500
    qformer_rate: float = 2e-3
    naming: float = 0.3
    batch_size: int = 64
    steps: int = 1_000
    learning_rate: float = 1e-3
    annotated: int = 6_000
    checked: int = 1_000
    seed: int = 0


def build(texts: Sequence[str], *, seed: int) -> tuple[HybridInstructBlip, PreTrainedTokenizerFast]:
    """The model with fresh weights, and a tokenizer trained on ``texts`` that both readers use."""
    shape = TinyShape(vocabulary=704, text_length=96)
    tokenizer = train_tokenizer(texts, shape, start_token=True)
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    common = {
        "hidden_size": WIDTH, "intermediate_size": MLP, "num_attention_heads": HEADS,
        "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id,
        "max_position_embeddings": shape.text_length,
    }  # fmt: skip
    config = InstructBlipConfig(
        vision_config={
            "hidden_size": WIDTH, "intermediate_size": MLP, "num_hidden_layers": 2,
            "num_attention_heads": WIDTH // 32, "image_size": PX, "patch_size": PATCH,
            "hidden_act": "gelu_pytorch_tanh", "initializer_range": 0.02,
            "stem_channels": list(CHANNELS),
        },
        qformer_config=common | {
            "num_hidden_layers": 3, "cross_attention_frequency": 1, "encoder_hidden_size": WIDTH,
            "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        },
        text_config=common | {
            "model_type": "llama", "num_hidden_layers": 4, "tie_word_embeddings": True,
            "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        },
        num_query_tokens=N_QUERIES, image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = HybridInstructBlip(config)
    with torch.no_grad():  # all queries begin as zeros in transformers, and equal ones stay equal
        model.query_tokens.normal_(std=0.02 * WIDTH**0.5)
        model.vision_model.embeddings.position_embedding.normal_(std=0.02)
        model.vision_model.embeddings.class_embedding.normal_(std=0.02)
    return model.eval().requires_grad_(False), tokenizer


def draw_change(i: int, two_changes: float) -> Reading:
    """Notes of a dish before and after one or two changes, and the text that asks for them."""
    rng = np.random.default_rng([CHANGE_SEED, i])
    a = kitchen.sample(rng)
    n = 1 + int(rng.random() < two_changes)
    changes = draw_changes(a, rng, held_out=frozenset(), n=n)
    before, after = map(notes, (a, applied(a, changes)))
    return Reading(before, after, CHANGE, modification(changes, rng))


def train_language(
    generator: Generator, readings: Sequence[Reading], s: Pretraining, state: Path | None = None
) -> Fitted:
    """The language model alone, on notes in words."""
    model = generator.model.requires_grad_(False)
    model.language_model.requires_grad_(True)
    words = model.get_input_embeddings()
    ids, _ = generator.text_ids([r.text for r in readings])
    pad = generator.tokenizer.pad_token_id
    tables = [phrase_table(generator, [getattr(r, n) for r in readings])
              for n in ("first", "second")]  # fmt: skip
    prompts = {i: generator.with_instruction(i).prompt_ids() for i in INSTRUCTIONS}
    rows_of = pd.Series(range(len(readings))).groupby([r.instruction for r in readings]).agg(list)
    shares = rows_of.map(len) / len(readings)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        instruction = rng.choice(rows_of.index, p=shares)
        rows = torch.from_numpy(rng.choice(rows_of[instruction], s.batch_size))
        soft = torch.cat([mean_words(words, table[rows]) for table in tables], dim=1)
        typical = soft.detach().mean(dim=0, keepdim=True)
        one = torch.ones(*soft.shape[:2], 1)
        sure = torch.where(torch.rand_like(one) < s.unsure, 1 - torch.rand_like(one) / 2, one)
        soft = typical + sure * (soft - typical)
        soft = soft + s.noise * soft.detach().std() * torch.randn_like(soft)
        prompt = words(prompts[instruction]).expand(len(rows), -1, -1)
        mask = (ids[rows] != pad).long()
        longest = int(mask.sum(dim=1).max())
        prefix = torch.cat([soft, prompt], dim=1)
        return language_loss(model, prefix, ids[rows, :longest], mask[:, :longest])

    settings = stage_settings(s.language_steps, s.language_rate, s.seed)
    fitted = fit(model, loss, settings=settings, state=state)
    model.requires_grad_(False)
    return fitted


def train_qformer(
    generator: Generator, seen: Tensor, shown: Sequence[dict[str, str]], s: Pretraining,
    state: Path | None = None,
) -> Fitted:  # fmt: skip
    """Q-Former, queries and projection: from two images to the vectors of their notes.

    The squared error is taken in units of the notes' own variance: 1 is what a constant would have.
    Beside it stands the cross-entropy of the right phrase among those of its place, by distance.
    """
    model = generator.model
    only_trained(model)
    table = phrase_table(generator, [notes(one) for one in shown])
    with torch.no_grad():
        words = model.get_input_embeddings()
        known = torch.cat([mean_words(words, part) for part in table.split(1000)])
    scale = known.var(dim=(0, 2), keepdim=True).mean().item()
    places = [known[:, i].unique(dim=0, return_inverse=True) for i in range(known.shape[1])]
    ids = generator.qformer_ids()

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        rows = rng.integers(0, len(seen), (2, s.batch_size))
        soft = soft_tokens(model, paired(*(seen[r].float() for r in rows)), ids)
        wanted = torch.cat([known[r] for r in rows], dim=1)  # (b, queries, width)
        named = []
        for place in range(soft.shape[1]):
            side, kind = divmod(place, len(places))
            phrases, labels = places[kind]
            far = torch.cdist(soft[:, place], phrases).square() / soft.shape[-1]
            right = labels[torch.from_numpy(rows[side])]
            named.append(functional.cross_entropy(-far / (NEAR * scale), right))
        return (soft - wanted).square().mean() / scale + s.naming * torch.stack(named).mean()

    settings = stage_settings(s.qformer_steps, s.qformer_rate, s.seed)
    fitted = fit(model, loss, settings=settings, state=state)
    model.requires_grad_(False)
    return fitted


def phrase_table(generator: Generator, noted: Sequence[tuple[str, ...]]) -> Tensor:
    """(n, notes, length) int64 of the tokens of each phrase, padded with -1."""
    known: dict[str, list[int]] = {}
    for phrase in {phrase for row in noted for phrase in row}:
        known[phrase] = generator.tokenizer(phrase, add_special_tokens=False)["input_ids"]
    longest = max(map(len, known.values()))
    padded = {k: [*v, *[-1] * (longest - len(v))] for k, v in known.items()}
    return torch.tensor([[padded[phrase] for phrase in row] for row in noted])


def mean_words(words: nn.Embedding, table: Tensor) -> Tensor:
    """(b, notes, length) ids to (b, notes, width): each phrase is the mean of its tokens."""
    there = (table >= 0).unsqueeze(-1)
    return (words(table.clamp_min(0)) * there).sum(dim=2) / there.sum(dim=2)


def texts_of(
    generator: Generator, source: Source, kept: States, part: str
) -> tuple[list[str], list[str]]:
    """What is written of the pairs of a part, and of the same pairs the other way round."""
    pairs = [(t.reference, t.targets[0]) for t in source.triplets(part)]
    return generator.write(kept, pairs), generator.write(kept, [pair[::-1] for pair in pairs])


def measured(generator: Generator, source: Source, kept: States) -> dict[str, float]:
    """Shares of complete and hallucinated texts on validation pairs; also where both agree."""
    texts, back = texts_of(generator, source, kept, "validation")
    triplets = source.triplets("validation")
    table = audit.audit_texts(texts, triplets, source.truth)
    agree = np.array([agreement(a, b, source.truth) for a, b in zip(texts, back, strict=True)])
    shares = table[["complete", "hallucinated", "missed"]].astype(float)
    agreed = shares[agree].mean().add_suffix(", where both directions agree")
    return {**shares.mean(), **agreed, "agree": float(agree.mean())}


def pretrain(s: Pretraining, folder: Path, work: Path) -> None:
    """Draw, train, audit, write a checkpoint; stages that were finished in ``work`` are resumed."""
    began = time.process_time()
    seed_everything(s.seed)
    work.mkdir(parents=True, exist_ok=True)
    state = {stage: work / f"{stage}.safetensors" for stage in STAGES}
    readings = [draw_reading(np.random.default_rng([READING_SEED, i])) for i in range(s.readings)]
    readings += [draw_change(i, s.two_changes) for i in range(s.changes)]
    texts = [t for r in readings for t in (r.text, *r.first, *r.second, r.instruction)]
    model, tokenizer = build(texts, seed=s.seed)
    generator = Generator(NAME, model, tokenizer, tokenizer, MEAN, STD)
    images, shown = draw(s.images, seed=IMAGE_SEED)
    fitted, head = train_encoder(
        model.vision_model, images, shown, steps=s.encoder_steps, learning_rate=s.encoder_rate,
        batch_size=s.encoder_batch, seed=s.seed, state=state["encoder"],
    )  # fmt: skip
    log = {"encoder": fitted}
    scores = {"encoder": encoder_accuracy(model.vision_model, head)}
    _say("encoder", fitted, scores["encoder"])
    log["language"] = train_language(generator, readings, s, state["language"])
    _say("language", log["language"], {})
    seen = states(model.vision_model, images)
    log["qformer"] = train_qformer(generator, seen, shown, s, state["qformer"])
    parts = {"train": {"first": TRAIN, "n": s.annotated},
             "validation": {"first": VALIDATION, "n": s.checked}}  # fmt: skip
    source = drawn_source("world:kitchen", parts)
    both = (*source.triplets("train"), *source.triplets("validation"))
    kept = generator.cached_states(source, [x for t in both for x in (t.reference, t.targets[0])])
    scores["before"] = measured(generator, source, kept)
    _say("qformer", log["qformer"], scores["before"])
    start = {n: p.detach().clone() for n, p in model.named_parameters() if n.startswith(TRAINED)}
    log["triplets"] = train(
        generator, source.triplets("train"), kept, steps=s.steps, learning_rate=s.learning_rate,
        seed=s.seed, state=state["triplets"], progress=True,
    )  # fmt: skip
    scores["after"] = measured(generator, source, kept)
    _say("triplets", log["triplets"], scores["after"])
    minutes = (time.process_time() - began) / 60  # of one core, whatever else ran beside it
    losses = {stage: one.losses["loss"].iloc[::10].round(4).tolist() for stage, one in log.items()}
    record = {"settings": asdict(s), "versions": library_versions(), "scores": scores,
              "losses": losses, "minutes": round(minutes, 1)}  # fmt: skip
    with replaced(folder) as staging:
        model.save_pretrained(staging)
        for place in (staging, staging / QFORMER):
            tokenizer.save_pretrained(place)
        size = {"height": PX, "width": PX}
        BlipImageProcessorPil(
            size=size, image_mean=list(MEAN), image_std=list(STD)
        ).save_pretrained(staging)
        save_file(start, staging / START)
        (staging / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (staging / "README.md").write_text(card_of(record), encoding="utf-8")
    print(f"{NAME}: {minutes:.1f} minutes of one core, weights "
          f"{sha256_file(folder / 'model.safetensors')[:16]}")  # fmt: skip


def _say(stage: str, fitted: Fitted, scores: dict[str, float]) -> None:
    told = ", ".join(f"{name} {100 * value:.1f} %" for name, value in scores.items())
    last = fitted.losses["loss"].tail(50).mean()
    print(f"{stage}: {fitted.seconds:.0f} s, loss {last:.4f}; {told}", flush=True)


def card_of(record: dict) -> str:
    """The model card, from ``training.json``."""
    scores, s = record["scores"], Pretraining(**record["settings"])
    rows = [[name, *(_percent(scores[when][name]) for when in ("before", "after"))]
            for name in scores["after"]]  # fmt: skip
    accuracy = 100 * scores["encoder"]["all that can change"]
    n_texts = s.readings + s.changes
    return card(
        NAME, family="instructblip", pipeline="image-to-text",
        summary=f"An InstructBLIP small enough for a lesson on a laptop: images of {PX} px, "
        f"{N_QUERIES} query tokens, a Q-Former and a Llama of width {WIDTH}. Its image encoder "
        "begins with convolutions in the place of the patch embedding: it opens with "
        "`helpers.topics.cir.generator.load_generator`, a subclass of "
        "`InstructBlipForConditionalGeneration`.",
        start="nothing but seeds",
        made={
            "image encoder": f"{s.images:,} generated dishes, every attribute classified; "
            f"{s.encoder_steps:,} steps of {s.encoder_batch}",
            "language model": f"{n_texts:,} texts, each with the notes of two scenes in words and "
            f"no image; {s.language_steps:,} steps of {s.batch_size}",
            "Q-Former, queries, projection": "pairs of the same images: squared error to the "
            f"vectors that their notes have in words, and {s.naming:g} of the cross-entropy of the "
            f"right phrase; {s.qformer_steps:,} steps of {s.batch_size}",
            "the same, on triplets": f"{s.annotated:,} annotated triplets, both directions; "
            f"{s.steps:,} steps of {s.batch_size}. `{START}` holds these three parts as they were "
            "before",
            "never shown before that": "a change between two images",
            **run_rows(s.seed, record["minutes"]),
        },
        measured=f"On {s.checked:,} validation pairs with one or two changes, judged by the "
        "ground truth, in percent. The image encoder classifies everything that can change in "
        f"{accuracy:.1f} % of the images.",
        results=[["share of texts", "before the triplets", "after"], *rows],
        limits="Nor about what a language model of seven billion parameters would write.",
    )  # fmt: skip


def _percent(share: float) -> str:
    """A share of the texts of some pairs; NaN where there is no such pair."""
    return "n/a (no pair)" if math.isnan(share) else f"{100 * share:.1f}"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line behind ``course pretrain tiny-instructblip``."""
    steps, folder = read_command(NAME, sys.argv[1:] if argv is None else argv)
    s = Pretraining()
    if steps is not None:
        sizes = {"images": 300, "readings": 300, "changes": 300, "annotated": 60, "checked": 60}
        s = replace(s, encoder_steps=steps, language_steps=steps, qformer_steps=steps,
                    steps=steps, **sizes)  # fmt: skip
    pretrain(s, folder, paths.cache() / "pretraining" / f"{NAME}-{steps or 'whole'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
