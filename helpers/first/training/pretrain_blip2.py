"""Pretraining of the tiny BLIP-2: ``course pretrain tiny-blip2``.

The first stage of Li et al., "BLIP-2" (2023), section 3.2, without its captioning part: contrast
between pictures and texts, and matching of picture and text read together. The vision tower is
tiny-siglip's and stays frozen, so each picture of the corpus is read once.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from tqdm.auto import tqdm
from transformers import Blip2ForImageTextRetrieval

from helpers.first.models.blip2 import Blip2, image_tokens, joint_states, load_blip2, text_rows
from helpers.first.models.loading import load_encoder
from helpers.first.models.tiny_blip2 import NAME, build_tiny_blip2
from helpers.first.training.blip2_card import score_kitchens, write_blip2_card
from helpers.first.training.losses import clamp_logit_scale
from helpers.first.training.settings import Training, learning_rate
from helpers.pretraining.command import RECORD, read_command, replaced
from helpers.repro import library_versions, seed_everything, sha256_file
from helpers.world.corpus import Corpus, draw_corpus

TOWER = "tiny-siglip"
TEMPERATURE = 0.07  # where it begins


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
    """The contrastive loss, and the similarities of all pictures and texts.

    Parameters
    ----------
    images : (b, n, d) float, unit tokens
    texts : (b, d) float, unit rows

    Returns
    -------
    loss : () float32
        Mean of both directions.
    similarities : (b, b) float32
        Picture by text: the largest over the picture's tokens.
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
    """The matching loss: right pairs, and for each picture and each text a wrong one.

    Parameters
    ----------
    states : (m, t, width) float
    tokens : dict of (m, l)
    likely : (m, m) float
        Of picture by text; a wrong partner is drawn by it, so that it looks right.
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
    joined = joint_states(model, model.query_tokens, **text, states=states[of_image])
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
    schedule = Training(learning_rate=s.learning_rate, warmup=s.warmup, final_share=0.02)
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
        (staging / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        scores = score_kitchens(load_blip2(str(staging), device="cpu"))
        write_blip2_card(
            staging, settings=asdict(settings), losses=log[-1], minutes=minutes, scores=scores
        )
    print(
        f"{NAME}: {minutes:.1f} minutes, weights {sha256_file(folder / 'model.safetensors')[:16]}"
    )
    for domain, ways in scores.items():
        for way, metrics in ways.items():
            hit = metrics["hit@10"]
            print(f"  {domain:8} {way:14} hit@10 {hit.value:.3f} [{hit.low:.3f}, {hit.high:.3f}]")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line behind ``course pretrain tiny-blip2``."""
    steps, folder = read_command(NAME, sys.argv[1:] if argv is None else argv)
    settings = Blip2Pretraining()
    pretrain(settings if steps is None else replace(settings, steps=steps), folder)
    return 0


def _pixels(images: np.ndarray, *, processor) -> torch.Tensor:
    return processor.image_processor(images=list(images), return_tensors="pt")["pixel_values"]


def _corpus_states(blip2: Blip2, images: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Half of the pictures mirrored, all shifted by up to 4 px: (n, t, width) float16."""
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
