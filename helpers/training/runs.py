"""Training runs: a base model, pairs and settings in; an adapted encoder and its log out."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from helpers.data.sets import RetrievalSet
from helpers.models.encoder import Encoder
from helpers.models.lora import adapt
from helpers.models.placement import Placement, trainable_counts
from helpers.repro import hash_of
from helpers.training.batches import (
    Towers,
    TrainingPairs,
    Transform,
    encode_batch,
    epoch_batches,
    gather,
    plain_towers,
    prepare_pairs,
)
from helpers.training.gradcache import accumulate_cached, accumulate_plain
from helpers.training.loop import Settings, fit
from helpers.training.losses import info_nce, pairwise_sigmoid
from helpers.training.prefix import Prefixes, why_not

SCALARS = {"info_nce": ("logit_scale",), "sigmoid": ("logit_scale", "logit_bias")}


@dataclass(frozen=True)
class Trained:
    """A trained encoder and how it went.

    Attributes
    ----------
    encoder : Encoder
    losses, evaluations : DataFrame
        See :class:`helpers.training.loop.Fitted`.
    info : dict
        ``seconds`` of training, ``prefix_seconds`` of computing prefixes, ``prefix`` (``cached`` or
        why not), ``best_step``, ``validation`` (its score), ``trainable_parameters``,
        ``parameters``.
    """

    encoder: Encoder
    losses: pd.DataFrame
    evaluations: pd.DataFrame
    info: dict[str, Any]


def train_lora(
    encoder: Encoder,
    train: RetrievalSet | TrainingPairs,
    *,
    placement: Placement,
    settings: Settings,
    validation: Callable[[Any], float] | None = None,
    transform: Transform | None = None,
    state: Path | None = None,
    progress: bool = True,
) -> Trained:
    """Fine-tune a copy of a model on pairs: LoRA and its variants, prompts, or all weights.

    Parameters
    ----------
    encoder : Encoder
        The base, in fp32; it stays as it is.
    train : RetrievalSet or TrainingPairs
        What :func:`helpers.training.batches.prepare_pairs` takes or gives. Explicit negatives,
        where the pairs have some, join the batches.
    placement : Placement
        ``Placement(method="full")`` trains the weights themselves.
    settings : Settings
    validation : callable, optional
        Something with ``images`` and ``texts``, as an encoder has them, to a score of which more is
        better, on validation data; called when ``settings.evaluations`` says.
    transform : callable, optional
        Augmentation at run time; see :func:`helpers.training.batches.plain_towers`.
    state : Path, optional
        A file to resume from; see :func:`helpers.training.loop.fit`.
    """
    pairs = train
    if not isinstance(train, TrainingPairs):
        pairs = prepare_pairs(encoder, train, progress=progress)
    adapted = adapt(encoder, placement, seed=settings.seed, scalars=SCALARS[settings.loss])
    reason = why_not(placement, adapted, transforms=transform is not None)
    if not settings.prefix or settings.precision == "bf16":
        reason = reason or "switched off, or the run is in bf16"
    embeds, began = adapted, time.perf_counter()
    if reason:
        towers = plain_towers(adapted, pairs, transform=transform)
    else:
        embeds = Prefixes(adapted)
        towers = embeds.towers(pairs)
    waited = time.perf_counter() - began
    per_epoch = len(list(_epoch(pairs, settings, 0)))
    fitted = fit(
        adapted.model, contrastive_step(adapted, pairs, towers, settings), settings=settings,
        steps_per_epoch=per_epoch, evaluate=validation and (lambda step: validation(embeds)),
        state=state, identity=hash_of([pairs.fingerprint, reason]),
    )  # fmt: skip
    counts, scores = trainable_counts(adapted.model), fitted.evaluations
    best = scores.loc[scores["step"] == fitted.best_step, "score"] if len(scores) else []
    info = {
        "seconds": fitted.seconds,
        "prefix_seconds": waited,
        "prefix": reason or "cached",
        "best_step": fitted.best_step,
        "validation": float(best.iloc[0]) if len(best) else None,
        "trainable_parameters": counts.trainable,
        "parameters": counts.total,
    }
    return Trained(adapted, fitted.losses, fitted.evaluations, info)


def contrastive_step(
    encoder: Encoder, pairs: TrainingPairs, towers: Towers, settings: Settings
) -> Callable[[int, np.random.Generator], tuple[torch.Tensor, list[str]]]:
    """The step of a contrastive run, for ``fit``: draws a batch, accumulates its gradients."""
    size = settings.batch_size
    if settings.pairs_per_step < 2:
        raise ValueError("batch_size 1 without accumulation has no negatives: give at least 2")
    if settings.accumulate == "plain" and size < 2:
        raise ValueError(
            "batch_size 1 with plain accumulation has no negatives: give at least 2, "
            "or accumulate='cached'"
        )
    loss = contrastive_loss(encoder.model, pairs, settings)
    batches_of = lru_cache(maxsize=2)(lambda epoch: list(_epoch(pairs, settings, epoch)))
    per_epoch = len(batches_of(0))

    def encode(batch: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
        return encode_batch(towers, batch, device=encoder.device, precision=settings.precision)

    def step(number: int, rng: np.random.Generator) -> tuple[torch.Tensor, list[str]]:
        epoch, position = divmod(number, per_epoch)
        rows = batches_of(epoch)[position]
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        negatives = rng if len(pairs.negative_text_ids) else None
        parts = [
            gather(pairs, towers, rows[start : start + size], generator, negatives)
            for start in range(0, len(rows), size)
        ]
        cached = settings.accumulate == "cached" and len(parts) > 1
        value = (accumulate_cached if cached else accumulate_plain)(encode, parts, loss)
        keys = pairs.image_keys[pairs.image_ids[rows]]
        return value, [f"{i} ({k})" for i, k in zip(pairs.items[rows], keys, strict=True)]

    return step


def contrastive_loss(
    model: torch.nn.Module, pairs: TrainingPairs, settings: Settings
) -> Callable[..., torch.Tensor]:
    """The loss of encoded pairs: their numbers, images, texts; numbers and rows of negatives."""

    def loss(
        rows: torch.Tensor,
        images: torch.Tensor,
        texts: torch.Tensor,
        negative_ids: torch.Tensor | None = None,
        negatives: torch.Tensor | None = None,
    ) -> torch.Tensor:
        options: dict[str, Any] = {"negatives": negatives}
        if settings.mask_positives:
            options["positives"] = torch.from_numpy(pairs.positives(rows.numpy()))
        if negative_ids is not None:
            known = pairs.negative_positives(rows.numpy(), negative_ids.numpy())
            options["negative_positives"] = torch.from_numpy(known).to(images.device)
        scale = model.logit_scale.exp()
        if settings.loss == "sigmoid":
            return pairwise_sigmoid(images, texts, scale, model.logit_bias, **options)
        return info_nce(images, texts, scale, **options)

    return loss


def _epoch(pairs: TrainingPairs, settings: Settings, epoch: int) -> Iterator[np.ndarray]:
    size, draw, seed = settings.pairs_per_step, settings.draw, settings.seed
    return epoch_batches(pairs, batch_size=size, draw=draw, seed=seed, epoch=epoch)
