"""Pretraining of the tiny BLIP-2: ``course pretrain tiny-blip2``.

The first stage of Li et al., "BLIP-2" (2023), section 3.2, without its captioning part: contrast
between images and texts, and matching of image and text read together. The image encoder has the
weights of tiny-siglip and stays frozen, so that each image of the corpus is encoded once.
"""

import json
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional
from tqdm.auto import tqdm
from transformers import (
    Blip2Config,
    Blip2ForImageTextRetrieval,
    Blip2Processor,
    BlipImageProcessorPil,
    OPTConfig,
    PreTrainedTokenizerFast,
    SiglipModel,
)

from helpers.data.sets import RetrievalSet
from helpers.evaluation.ranking import DIRECTIONS, rank_both_directions
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
from helpers.pretraining.dual_encoder import VALIDATION, zero_shot
from helpers.pretraining.shapes import TinyShape, train_tokenizer
from helpers.repro import library_versions, seed_everything
from helpers.topics.cir.blip2 import (
    NAME,
    Blip2,
    image_optional,
    image_tokens,
    load_blip2,
    read_together,
    text_rows,
)
from helpers.topics.cir.qformer import similarity
from helpers.training.loop import Settings, learning_rate
from helpers.training.losses import clamp_logit_scale
from helpers.world.corpus import Corpus, draw_corpus

TOWER = "tiny-siglip"
TEMPERATURE = 0.07  # where it begins
QUERY_STD = 0.02  # of fresh query tokens: zeros would make all of them the same token for ever


@dataclass(frozen=True)
class QFormerShape:
    """The size of a tiny Q-Former; the real one has 32 queries of width 768 in 12 layers."""

    queries: int = 8
    width: int = 96
    heads: int = 3
    mlp_width: int = 192
    layers: int = 4
    cross_every: int = 2
    text_length: int = 40
    vocabulary: int = 768
    dropout: float = 0.0


def build_tiny_blip2(
    captions: Iterable[str],
    tower: Encoder,
    pixels: torch.Tensor,
    *,
    seed: int,
    shape: QFormerShape | None = None,
) -> tuple[Blip2ForImageTextRetrieval, Blip2Processor]:
    """A BLIP-2 with a fresh Q-Former on a SigLIP's vision tower, and its processor.

    Parameters
    ----------
    captions : iterable of str
        Of the pretraining; the tokenizer is trained on them.
    tower : Encoder
        Of the family ``siglip``.
    pixels : (n, 3, px, px) float32
        Some images as the tower reads them: their mean patch becomes the class token, which
        BLIP-2 has and SigLIP has not (:func:`map_vision`).
    seed : int
        Of the fresh weights.
    shape : QFormerShape

    Raises
    ------
    ValueError
        If the tower is no SigLIP.
    """
    if tower.family != "siglip":
        raise ValueError(
            f"{tower.name} is a {tower.family} model: its class token has no place in a copy of a "
            "SigLIP tower; give a SigLIP, such as tiny-siglip"
        )
    shape = shape or QFormerShape()
    words = TinyShape(text_length=shape.text_length, vocabulary=shape.vocabulary)
    tokenizer = train_tokenizer(captions, words, start_token=True)
    old = tower.processor.image_processor
    images = BlipImageProcessorPil(
        size=dict(old.size), resample=old.resample, image_mean=old.image_mean,
        image_std=old.image_std, do_convert_rgb=True,
    )  # fmt: skip
    processor = Blip2Processor(images, tokenizer)  # adds BLIP-2's mark of an image to the words
    torch.manual_seed(seed)
    model = Blip2ForImageTextRetrieval(_config(tower, shape, tokenizer))
    map_vision(tower.model, model, pixels)
    with torch.no_grad():
        model.query_tokens.normal_(0.0, QUERY_STD)
    model.qformer = image_optional(model.qformer)
    return model, processor


def _config(tower: Encoder, shape: QFormerShape, tokenizer: PreTrainedTokenizerFast) -> Blip2Config:
    seen = tower.model.config.vision_config
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    vision = {name: getattr(seen, name) for name in (*names, "image_size", "patch_size")}
    return Blip2Config(
        vision_config=vision | {
            "hidden_act": seen.hidden_act, "layer_norm_eps": seen.layer_norm_eps,
        },
        qformer_config={
            "vocab_size": len(tokenizer),
            "hidden_size": shape.width,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "intermediate_size": shape.mlp_width,
            "hidden_dropout_prob": shape.dropout,
            "attention_probs_dropout_prob": shape.dropout,
            "max_position_embeddings": shape.text_length,
            "pad_token_id": tokenizer.pad_token_id,
            "cross_attention_frequency": shape.cross_every,
            "encoder_hidden_size": seen.hidden_size,
            "use_qformer_text_input": True,
        },
        # Retrieval has no language model; the class wants a configuration of one all the same.
        text_config=OPTConfig(
            hidden_size=shape.width, num_hidden_layers=1, ffn_dim=shape.mlp_width,
            num_attention_heads=shape.heads, vocab_size=len(tokenizer),
            max_position_embeddings=shape.text_length, word_embed_proj_dim=shape.width,
        ).to_dict(),
        num_query_tokens=shape.queries,
        image_text_hidden_size=shape.width,
        image_token_index=None,
    )  # fmt: skip


@torch.no_grad()
def map_vision(tower: SiglipModel, model: torch.nn.Module, pixels: torch.Tensor) -> None:
    """Copy a SigLIP vision tower into the image encoder of a BLIP of its shape.

    Every weight has a place. What SigLIP lacks is the class token: it is set to the mean patch of
    ``pixels`` (n, 3, px, px), so that it takes a patch's share of the attention and brings nothing
    new; a test says how little that moves the other tokens. SigLIP's pooling head has no place
    here.
    """
    source, target = tower.vision_model, model.vision_model
    patches, inside = source.embeddings, target.embeddings
    inside.patch_embedding.load_state_dict(patches.patch_embedding.state_dict())
    positions = patches.position_embedding.weight  # (patches, width)
    inside.position_embedding.copy_(
        torch.cat([positions.mean(dim=0, keepdim=True), positions]).unsqueeze(0)
    )
    inside.class_embedding.copy_(patches.patch_embedding(pixels).mean(dim=(0, 2, 3)).view(1, 1, -1))
    for old, new in zip(source.encoder.layers, target.encoder.layers, strict=True):
        attention = old.self_attn
        parts = [attention.q_proj, attention.k_proj, attention.v_proj]
        new.self_attn.qkv.weight.copy_(torch.cat([part.weight for part in parts]))
        new.self_attn.qkv.bias.copy_(torch.cat([part.bias for part in parts]))
        new.self_attn.projection.load_state_dict(attention.out_proj.state_dict())
        for name in ("layer_norm1", "layer_norm2", "mlp"):
            getattr(new, name).load_state_dict(getattr(old, name).state_dict())
    target.post_layernorm.load_state_dict(source.post_layernorm.state_dict())


@dataclass(frozen=True)
class Blip2Pretraining:
    """How the tiny BLIP-2 is made; equal settings give equal weights on one machine.

    Attributes
    ----------
    steps, batch_size, warmup : int
    matched : int
        How many pairs of a batch are asked whether they match; each brings two wrong ones.
    learning_rate, weight_decay, label_smoothing : float
    n_images, web_share, photo_share
        The corpus; see :func:`helpers.world.corpus.draw_corpus`.
    seed : int
    """

    steps: int = 900
    batch_size: int = 128
    matched: int = 64
    warmup: int = 60
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    n_images: int = 24_000
    web_share: float = 0.35
    photo_share: float = 0.85
    seed: int = 0


def contrast(
    images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, *, smoothing: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean contrastive loss of both directions, and the similarities (b, b), image by text.

    ``images`` are (b, n, d) unit tokens, of which the most similar counts; ``texts`` (b, d).
    """
    similarities = torch.einsum("bnd,cd->bcn", images, texts).amax(dim=2)  # (b, b)
    own = torch.arange(len(images))
    loss = sum(
        functional.cross_entropy(scale * s, own, label_smoothing=smoothing)
        for s in (similarities, similarities.T)
    )
    return loss / 2, similarities.detach()


def matching(
    model: Blip2ForImageTextRetrieval,
    states: torch.Tensor,
    tokens: dict[str, torch.Tensor],
    likely: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """The matching loss: right pairs, and for each image and each text a wrong one.

    Parameters
    ----------
    states : (m, t, width) float
    tokens : dict of (m, l)
    likely : (m, m) float
        Of image by text; a wrong partner is drawn by it, so that it looks right.
    """
    m = len(states)
    weights = likely.clone().fill_diagonal_(0) + 1e-8
    weights.fill_diagonal_(0)
    wrong_text = torch.multinomial(weights, 1, generator=generator)[:, 0]
    wrong_image = torch.multinomial(weights.T, 1, generator=generator)[:, 0]
    own = torch.arange(m)
    of_image = torch.cat([own, own, wrong_image])  # (3 m,)
    of_text = torch.cat([own, wrong_text, own])
    text = {name: rows[of_text] for name, rows in tokens.items()}
    joined = read_together(model, model.query_tokens, text, states[of_image])
    answers = model.itm_head(joined[:, : model.query_tokens.shape[1]]).mean(dim=1)  # (3 m, 2)
    return functional.cross_entropy(answers, (torch.arange(3 * m) < m).long())


def train(
    settings: Blip2Pretraining, corpus: Corpus
) -> tuple[Blip2, list[dict[str, float]], torch.Tensor]:
    """Train the Q-Former on a corpus; with it the losses of every tenth step and the last scale."""
    s = settings
    seed_everything(s.seed)
    tower, rng = load_encoder(TOWER, device="cpu"), np.random.default_rng(s.seed)
    captions = [text for texts in corpus.captions for text in texts]
    model, processor = build_tiny_blip2(
        captions, tower, _pixels(corpus.images[:256], processor=tower.processor), seed=s.seed
    )
    blip2 = Blip2(NAME, model.eval(), processor, "cpu", "fp32", "")
    states = _corpus_states(blip2, corpus.images, rng)
    tokens = {name: rows.unflatten(0, (len(states), -1)) for name, rows in
              blip2.tokens(captions).items()}  # fmt: skip
    log_scale = torch.nn.Parameter(torch.tensor(1 / TEMPERATURE).log())
    model.vision_model.requires_grad_(False)
    optimizer = _optimizer(model, log_scale, s)
    generator = torch.Generator().manual_seed(s.seed)
    schedule = Settings(learning_rate=s.learning_rate, warmup=s.warmup, final_share=0.02)
    log = []
    model.train()
    for step in tqdm(range(s.steps), desc=f"pretraining {NAME}", unit="step"):
        chosen = rng.permutation(len(states))[: s.batch_size]
        which = rng.integers(0, tokens["input_ids"].shape[1], len(chosen))
        text = _trimmed({name: rows[chosen, which] for name, rows in tokens.items()})
        seen = states[chosen].float()
        loss, likely = contrast(
            image_tokens(model, seen), text_rows(model, **text), log_scale.exp(),
            smoothing=s.label_smoothing,
        )  # fmt: skip
        part = slice(s.matched)
        asked = {name: rows[part] for name, rows in text.items()}
        weights = functional.softmax(log_scale.detach().exp() * likely[part, part], dim=1)
        match = matching(model, seen[part], asked, weights, generator)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, s.steps, schedule)
        optimizer.zero_grad()
        (loss + match).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        clamp_logit_scale(log_scale)
        if step % 10 == 0 or step == s.steps - 1:
            record = {"contrast": loss.item(), "matching": match.item()}
            log.append({"step": step, **{name: round(v, 4) for name, v in record.items()}})
    model.eval()
    return blip2, log, log_scale.detach().exp()


def pretrain(settings: Blip2Pretraining, folder: Path) -> None:
    """Draw, train, evaluate, write a checkpoint with its card; an older one is replaced whole."""
    began = time.process_time()
    corpus = draw_corpus(
        settings.n_images, web_share=settings.web_share, photo_share=settings.photo_share
    )
    blip2, log, scale = train(settings, corpus)
    minutes = (time.process_time() - began) / 60
    record = {"settings": asdict(settings), "scale": round(float(scale), 4)}
    record |= {"versions": library_versions(), "log": log}
    with replaced(folder) as staging:
        blip2.model.save_pretrained(staging)
        blip2.processor.save_pretrained(staging)
        reloaded = load_blip2(str(staging), device="cpu")
        scores = zero_shot(lambda data: ranks_of(reloaded, data))
        (staging / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        text = card_of(settings, log[-1], minutes, scores)
        (staging / "README.md").write_text(text, encoding="utf-8")
    say(NAME, folder, minutes, scores)


def ranks_of(blip2: Blip2, data: RetrievalSet) -> pd.DataFrame:
    """Ranks in both directions by the largest similarity over the query tokens."""
    with torch.inference_mode():
        images = torch.cat([image_tokens(blip2.model, blip2.states([one])) for one in data.images])
        texts = text_rows(blip2.model, **blip2.tokens(list(data.captions)))
        scores = similarity(texts, images).numpy()  # (captions, images)

    def score(direction: str, *_) -> np.ndarray:
        return scores if direction == DIRECTIONS[0] else scores.T

    return rank_both_directions(images[:, 0].numpy(), texts.numpy(), data, score)


def card_of(
    s: Blip2Pretraining, losses: Mapping[str, float], minutes: float, scores: Scores
) -> str:
    """The model card; ``losses`` are those of the last step."""
    third, shape = 1 / 3, QFormerShape()  # a third of the pairs that are asked about match
    chance = -third * math.log(third) - (1 - third) * math.log(1 - third)
    return card(
        NAME, family="blip-2", pipeline="zero-shot-image-classification",
        summary=f"A BLIP-2 for retrieval, small enough for a lesson on a laptop: the image encoder "
        f"of `{TOWER}`, and a Q-Former of {shape.layers} layers of width {shape.width} with "
        f"{shape.queries} query tokens; opened by `Blip2ForImageTextRetrieval` and "
        "`AutoProcessor`.",
        start=f"nothing but seeds and the image encoder of `{TOWER}`, which stays frozen",
        made=corpus_rows(s) | {
            "losses": "contrast of images and texts (the largest similarity over the query tokens, "
            f"label smoothing {s.label_smoothing:g}) and matching with hard negatives (Li et al. "
            "2023, section 3.2); no captioning",
            "optimizer": optimizer_row(s),
            "losses at the end": f"contrast {losses['contrast']:.2f} (chance "
            f"{math.log(s.batch_size):.2f}), matching {losses['matching']:.3f} (chance "
            f"{chance:.3f})",
            **run_rows(s.seed, minutes),
        },
        measured=VALIDATION, results=score_rows(scores, first="domain, direction, metric"),
        limits="A matching loss near chance says that images and texts are compared well apart, "
        "and hardly yet when they are read together: that is left to a training on triplets.",
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """The command line behind ``course pretrain tiny-blip2``."""
    steps, folder = read_command(NAME, sys.argv[1:] if argv is None else argv)
    settings = Blip2Pretraining()
    pretrain(settings if steps is None else replace(settings, steps=steps), folder)
    return 0


def _pixels(images: np.ndarray, *, processor) -> torch.Tensor:
    return processor.image_processor(images=list(images), return_tensors="pt")["pixel_values"]


def _corpus_states(blip2: Blip2, images: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Half of the images mirrored, all shifted by up to 4 px: (n, t, width) float16."""
    shifted = np.empty_like(images)
    px = images.shape[1]
    for row, image in enumerate(images):
        top, left = rng.integers(0, 9, 2)
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), "edge")[top : top + px, left : left + px]
        shifted[row] = padded[:, ::-1] if rng.random() < 0.5 else padded
    done = []
    with torch.inference_mode():
        for start in tqdm(range(0, len(images), 128), desc="reading the corpus", unit="batch"):
            pixels = _pixels(shifted[start : start + 128], processor=blip2.processor)
            done.append(blip2.model.vision_model(pixels).last_hidden_state.half())
    return torch.cat(done).clone()


def _trimmed(tokens: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    longest = int(tokens["attention_mask"].sum(dim=1).max())
    return {name: rows[:, :longest] for name, rows in tokens.items()}


def _optimizer(
    model: torch.nn.Module, log_scale: torch.nn.Parameter, s: Blip2Pretraining
) -> torch.optim.Optimizer:
    """AdamW; no decay on biases, norms and the temperature."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": s.weight_decay},
        {"params": [*(p for p in trained if p.ndim <= 1), log_scale], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, s.learning_rate, betas=(0.9, 0.98), fused=True)


if __name__ == "__main__":
    raise SystemExit(main())
