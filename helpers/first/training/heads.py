"""Training heads on kept features: seconds a run, so that a lesson can explore.

All chance of a step follows from the seed and its number. Validation is looked at every so many
steps; the weights of the best look and those of the last step both come back, so that one training
shows what early stopping would have done. The test part is never seen here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from helpers.first.evaluation.chance import telling_k
from helpers.first.evaluation.metrics import both_directions, hit_at_k
from helpers.first.models.adapters import Heads, HeadShape, apply_heads, make_heads
from helpers.first.training.features import Features
from helpers.first.training.head_batches import Batch, Batches, head_loss
from helpers.first.training.losses import clamp_logit_scale
from helpers.first.training.settings import Training, learning_rate

LOSSES = ("info_nce", "margin", "triplet")
NEGATIVES = ("random", "batch", "mined")
FIRST_LOOK = 10


@dataclass(frozen=True)
class HeadTraining:
    """Settings of a head's training; equal settings, features and start give equal weights.

    Attributes
    ----------
    loss : str
        ``info_nce``, ``margin`` (contrastive) or ``triplet``.
    negatives : str
        ``batch``: every other pair of the batch; ``random``: one of them for each picture and each
        caption (margin losses only); ``mined``: captions from a table beside what the loss sees
        anyway, which is the batch for InfoNCE and a random pair for the others.
    margin : float
        Of the margin losses, in units of the cosine.
    steps, batch_size : int
        A batch holds every picture at most once, with one caption of its recipe.
    learning_rate : float
        At the end of the warm-up; then half a cosine down to 0.
    weight_decay : float
        On matrices alone.
    looks : int
        How often the validation part is looked at: at steps that grow like a geometric series from
        ``FIRST_LOOK``, because few recipes are learned by heart within a few steps.
    seed : int

    Raises
    ------
    ValueError
        If a value is unknown or out of range.
    """

    loss: str = "info_nce"
    negatives: str = "batch"
    margin: float = 0.2
    steps: int = 400
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    looks: int = 12
    seed: int = 42

    def __post_init__(self) -> None:
        for name, allowed in (("loss", LOSSES), ("negatives", NEGATIVES)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"head training {name} is {getattr(self, name)!r}: use {', '.join(allowed)}"
                )
        if self.loss == "info_nce" and self.negatives == "random":
            raise ValueError(
                "info_nce with negatives='random': a softmax over one wrong caption is no softmax "
                "over a batch; use batch or mined, or a margin loss"
            )
        for name, least in (("steps", 1), ("batch_size", 2), ("looks", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"head training {name} is {getattr(self, name)}: at least {least}")
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"head training {name} is {value}: give a finite number, 0 or more"
                )

    @property
    def look_steps(self) -> tuple[int, ...]:
        """After which steps validation is looked at; the last step is one of them.

        >>> HeadTraining(steps=80, looks=4).look_steps
        (10, 20, 40, 80)
        """
        first = min(FIRST_LOOK, self.steps)
        found = np.geomspace(first, self.steps, self.looks) if self.looks > 1 else [self.steps]
        return tuple(sorted({round(float(step)) for step in found}))


@dataclass(frozen=True)
class TrainedHeads:
    """What a training leaves.

    Attributes
    ----------
    best, last : Heads
        After the best look at validation, and after the last step, in evaluation mode.
    best_step : int
        0 is never the best: an untrained head needs no training.
    steps : tuple of dict
        ``step``, ``loss``, ``scale``, ``image_alpha`` and ``text_alpha``, one a step.
    looks : tuple of dict
        ``step`` (0: untrained) and ``score``: see :func:`validation_score`.
    """

    best: Heads
    last: Heads
    best_step: int
    steps: tuple[dict[str, float], ...]
    looks: tuple[dict[str, float], ...]


def train_heads(
    shape: HeadShape,
    train: Features,
    validation: Features,
    settings: HeadTraining,
    *,
    groups: Mapping[str, str] | None = None,
    mined: np.ndarray | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> TrainedHeads:
    """Train fresh heads on features.

    Parameters
    ----------
    shape : HeadShape
    train, validation : Features
        Of one model.
    settings : HeadTraining
    groups : mapping of recipe id to group, optional
        Near-duplicates: no pair of one group is taken for wrong. Default: each recipe alone.
    mined : (n, k) int, optional
        For each picture of ``train`` rows of ``train.texts`` that are wrong and look right; -1
        where there are fewer. Needed for ``negatives='mined'``.
    device : str
    progress : bool

    Raises
    ------
    ValueError
        If the parts do not fit together, there are fewer than two recipes, or the loss is no
        finite number.

    Examples
    --------
    >>> trained = train_heads(HeadShape(), train, validation, HeadTraining())  # doctest: +SKIP
    """
    if train.dimension != validation.dimension:
        raise ValueError(
            f"training rows have {train.dimension} dimensions and validation rows "
            f"{validation.dimension}: embed both with one model"
        )
    batches = Batches.of(train, groups=groups, mined=mined, device=device)
    if (settings.negatives == "mined") != (mined is not None):
        raise ValueError(
            f"negatives is {settings.negatives!r} and a table of mined captions was "
            f"{'not ' if mined is None else ''}given: give both or neither"
        )
    heads = make_heads(shape, train.dimension, seed=settings.seed).to(device)
    optimizer = _optimizer(heads, settings)
    schedule = Training(learning_rate=settings.learning_rate, warmup=0.05)
    looking = set(settings.look_steps)
    steps, looks = [], [{"step": 0, "score": validation_score(heads, validation)}]
    best_step, best_state = 0, None
    for step in tqdm(range(settings.steps), desc="training heads", disable=not progress):
        rng = np.random.default_rng([settings.seed, step])
        rate = learning_rate(step, settings.steps, schedule)
        batch = batches.draw(settings.batch_size, rng)
        steps.append(_take_step(heads, batch, settings, optimizer, rate, step, rng))
        if step + 1 in looking:
            score = validation_score(heads, validation)
            # Of two equal scores the later counts, as in the training of adapters.
            if not best_step or score >= max(look["score"] for look in looks[1:]):
                best_step = step + 1
                best_state = {k: v.detach().clone() for k, v in heads.state_dict().items()}
            looks.append({"step": step + 1, "score": score})
    best = Heads(shape, train.dimension)
    best.load_state_dict(best_state)
    return TrainedHeads(best.eval(), heads.cpu().eval(), best_step, tuple(steps), tuple(looks))


def validation_score(heads: Heads, validation: Features) -> float:
    """The mean of hit@K in both directions, K by the sizes: 10, 5 or 1. What is chosen by."""
    data = validation.data
    k = telling_k(len(data.image_keys), len(data.captions))
    images, texts = apply_heads(heads, validation.images, validation.texts)
    rankings = both_directions(images, data.image_ids, texts, data.caption_ids)
    return float(np.mean([hit_at_k(ranking, k) for ranking in rankings.values()]))


def _optimizer(heads: Heads, settings: HeadTraining) -> torch.optim.AdamW:
    """AdamW over what the loss reaches: a margin loss has no temperature."""
    named = [(n, p) for n, p in heads.named_parameters() if p.requires_grad]
    if settings.loss != "info_nce":
        named = [(n, p) for n, p in named if n != "log_scale"]
    groups = [
        {"params": [p for _, p in named if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for _, p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _take_step(
    heads: Heads,
    batch: Batch,
    settings: HeadTraining,
    optimizer: torch.optim.Optimizer,
    rate: float,
    step: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    optimizer.zero_grad()
    loss = head_loss(
        heads, batch, loss=settings.loss, negatives=settings.negatives, margin=settings.margin,
        rng=rng,
    )  # fmt: skip
    if not torch.isfinite(loss):
        raise ValueError(
            f"step {step + 1}: the loss is {float(loss)}; lower learning_rate "
            f"({settings.learning_rate:g}) and look at these recipes: {batch.recipes[:8].tolist()}"
        )
    if loss.requires_grad:  # alpha 0 leaves nothing to train
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        clamp_logit_scale(heads.log_scale)
    return {
        "step": step + 1,
        "loss": float(loss.detach()),
        "scale": float(heads.scale.detach()),
        "image_alpha": float(heads.image.alpha.detach()),
        "text_alpha": float(heads.text.alpha.detach()),
    }
