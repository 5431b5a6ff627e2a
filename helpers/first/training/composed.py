"""Training models of composed retrieval on kept features: seconds each.

A batch holds queries and the distinct targets among them; the loss goes from query to target only.
Validation is looked at every so many steps and the best look is kept; the test part is never seen.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from helpers.first.evaluation.metrics import hit_at_k
from helpers.first.models.composed import build_composed, composed_loss, starting_log_scale
from helpers.first.training.composed_features import (
    ComposedFeatures,
    composed_scores,
    draw_batch,
    rank_composed,
)
from helpers.first.training.losses import clamp_logit_scale
from helpers.first.training.settings import Training, learning_rate

State = Mapping[str, torch.Tensor]
FIRST_LOOK = 10
CHOSEN_BY = 10  # validation's hit@10


@dataclass(frozen=True)
class ComposedTraining:
    """Settings of a training; equal settings, features and start give equal weights.

    Attributes
    ----------
    steps, batch_size : int
    learning_rate : float
        At the end of the warm-up; then half a cosine down to 0.
    weight_decay : float
        On matrices alone.
    label_smoothing : float
    looks : int
        How often validation is looked at, at steps that grow like a geometric series; the start
        counts as a look, so that training on few triplets can be refused.
    seed : int

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    steps: int = 200
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    looks: int = 8
    seed: int = 42

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch_size", 2), ("looks", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"composed training {name} is {getattr(self, name)}: {least} up")
        for name in ("learning_rate", "weight_decay", "label_smoothing"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"composed training {name} is {value}: a finite number, 0 or more")

    @property
    def look_steps(self) -> tuple[int, ...]:
        """After which steps validation is looked at; the last one is among them.

        >>> ComposedTraining(steps=80, looks=4).look_steps
        (10, 20, 40, 80)
        """
        first = min(FIRST_LOOK, self.steps)
        found = np.geomspace(first, self.steps, self.looks) if self.looks > 1 else [self.steps]
        return tuple(sorted({round(float(step)) for step in found}))


@dataclass(frozen=True)
class TrainedComposed:
    """What a training leaves: the model of the best look, and what was seen on the way.

    ``looks`` hold ``step`` (0: the start) and ``score``, validation's hit@10; ``losses`` one number
    a step.
    """

    model: nn.Module
    best_step: int
    looks: tuple[dict[str, float], ...]
    losses: tuple[float, ...]


def train_composed(
    name: str,
    train: ComposedFeatures,
    validation: ComposedFeatures,
    settings: ComposedTraining,
    *,
    start: State | None = None,
    options: Mapping[str, float] | None = None,
) -> TrainedComposed:
    """Train ``combiner``, ``TIRG`` or ``ARTEMIS`` from fresh weights or from a start.

    Parameters
    ----------
    start : state dict, optional
        Such as that of a pretraining; its ``log_scale`` goes on too.
    options : mapping, optional
        Of the model, such as ``width``.

    Raises
    ------
    ValueError
        If the features are of two models, or the loss is no finite number.

    Examples
    --------
    >>> trained = train_composed("TIRG", train, validation, ComposedTraining())  # doctest: +SKIP
    """
    dim = train.images.shape[1]
    if validation.images.shape[1] != dim:
        raise ValueError(
            f"training rows have {dim} dimensions and validation rows "
            f"{validation.images.shape[1]}: embed both with one model"
        )
    model = build_composed(name, dim, seed=settings.seed, **(options or {}))
    model.log_scale = starting_log_scale()
    if start is not None:
        model.load_state_dict(start)
    optimizer = _optimizer(model, settings)
    schedule = Training(learning_rate=settings.learning_rate, warmup=0.05)
    looking = set(settings.look_steps)
    best_step, best = 0, _copy(model)
    looks = [{"step": 0, "score": validation_score(model, validation)}]
    losses = []
    for step in range(settings.steps):
        rate = learning_rate(step, settings.steps, schedule)
        losses.append(_take_step(model, train, settings, optimizer, rate, step))
        if step + 1 in looking:
            score = validation_score(model, validation)
            if score >= max(look["score"] for look in looks):  # of two equal ones the later
                best_step, best = step + 1, _copy(model)
            looks.append({"step": step + 1, "score": score})
    model.load_state_dict(best)
    return TrainedComposed(model.eval(), best_step, tuple(looks), tuple(losses))


def validation_score(model: nn.Module, validation: ComposedFeatures) -> float:
    """hit@10: what is chosen by."""
    ranking = rank_composed(composed_scores(model, validation), validation.triplets)
    return float(hit_at_k(ranking, CHOSEN_BY))


def _take_step(
    model: nn.Module,
    train: ComposedFeatures,
    settings: ComposedTraining,
    optimizer: torch.optim.Optimizer,
    rate: float,
    step: int,
) -> float:
    rng = np.random.default_rng([settings.seed, step])
    queries, columns, positives = draw_batch(train, settings.batch_size, rng)
    model.train()
    rows = (train.images[train.references[queries]], train.texts[queries], train.images[columns])
    with torch.random.fork_rng(devices=[]):  # dropout follows seed and step too
        torch.manual_seed(int(rng.integers(2**31)))
        scores = model(*(torch.from_numpy(np.ascontiguousarray(part)) for part in rows))
    loss = composed_loss(
        scores, torch.from_numpy(positives), model.log_scale,
        label_smoothing=settings.label_smoothing,
    )  # fmt: skip
    if not torch.isfinite(loss):
        raise ValueError(
            f"step {step + 1}: the loss is {float(loss.detach())}; lower the learning rate "
            f"({settings.learning_rate:g})"
        )
    optimizer.zero_grad()
    loss.backward()
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    clamp_logit_scale(model.log_scale)
    return float(loss.detach())


def _optimizer(model: nn.Module, settings: ComposedTraining) -> torch.optim.AdamW:
    named = list(model.parameters())
    groups = [
        {"params": [p for p in named if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _copy(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
