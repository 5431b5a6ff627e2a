"""Training a Q-Former for composed retrieval on kept image states, and searching with it.

All chance of a step follows from the seed and its number. Validation is looked at every so many
steps and the weights of the best look are kept; the start counts as one, so that training on few
triplets can be refused. The test part is never seen here.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from helpers.first.evaluation.collapse import spread_of
from helpers.first.evaluation.metrics import hit_at_k
from helpers.first.models.blip2 import Blip2
from helpers.first.models.sprc import Sprc
from helpers.first.models.two_hop import TripletBatch, TwoHop, composition_losses
from helpers.first.training.composed_features import rank_composed
from helpers.first.training.image_states import ImageStates
from helpers.first.training.losses import clamp_logit_scale
from helpers.first.training.qformer_batches import check_triplets, draw_batch, take_triplets
from helpers.first.training.qformer_queries import (
    encode_queries,
    encode_targets,
    joint_tokens,
    qformer_scores,
    similarity,
    spread_of_joint,
)
from helpers.first.training.qformer_settings import QformerArm, QformerTraining
from helpers.first.training.settings import Training, learning_rate
from helpers.topics.cir.triplets import Triplet, TripletSet

__all__ = [
    "QformerArm", "QformerTraining", "TrainedQformer", "build_composer", "encode_queries",
    "encode_targets", "joint_tokens", "qformer_scores", "similarity", "take_triplets",
    "train_qformer",
]  # fmt: skip

CLIP = 1.0  # the largest norm of the whole gradient
CHOSEN_BY = 10  # validation's hit@10
MODELS = {1: Sprc, 2: TwoHop}


@dataclass(frozen=True)
class TrainedQformer:
    """What a training leaves.

    Attributes
    ----------
    composer : Sprc or TwoHop
        With the weights of the best look, in evaluation mode.
    best_step : int
        0: the start was best.
    steps : tuple of dict
        ``step``, ``loss``, ``q2t``, ``scale``, ``spread`` (of p in the batch), and ``t2t`` and
        ``p2p`` where they count.
    looks : tuple of dict
        ``step``, ``score`` (validation's hit@10), and of p ``spread``, ``effective_rank`` and
        ``mean_cosine``.
    seconds : float
        Of training, looks included.
    """

    composer: Sprc
    best_step: int
    steps: tuple[dict[str, float], ...]
    looks: tuple[dict[str, float], ...]
    seconds: float

    def weights(self) -> dict[str, torch.Tensor]:
        """By name, on the CPU: a start for further training."""
        return _copy(self.composer)


def build_composer(blip2: Blip2, arm: QformerArm) -> Sprc:
    """A copy of a BLIP-2's Q-Former for composing queries, as it is before training."""
    composer = MODELS[arm.hops](blip2.model, pooling=arm.pooling)
    return composer.to(blip2.device).eval()


def train_qformer(
    blip2: Blip2,
    arm: QformerArm,
    triplets: Sequence[Triplet],
    states: ImageStates,
    *,
    validation: TripletSet | None = None,
    start: Mapping[str, torch.Tensor] | None = None,
    progress: bool = False,
) -> TrainedQformer:
    """Train a composer on triplets.

    Parameters
    ----------
    triplets : sequence of Triplet
        ``arm.n_triplets`` of them are taken.
    states : ImageStates
        Of every picture of the triplets and of validation.
    validation : TripletSet, optional
        Without it the last weights are kept.
    start : mapping of Tensor, optional
        Weights to go on from, such as those of a pretraining.
    progress : bool

    Raises
    ------
    ValueError
        If there are fewer than two triplets or fewer than asked for, one has no target, one has no
        reverse text where p2p counts, or the loss is no finite number.
    KeyError
        If the states of a picture are not known.

    Examples
    --------
    >>> trained = train_qformer(blip2, QformerArm(), triplets, states)  # doctest: +SKIP
    """
    settings, weights = arm.training, arm.weights
    triplets = take_triplets(triplets, arm.n_triplets, seed=settings.seed)
    check_triplets(triplets, reverse=weights.p2p > 0)
    composer = build_composer(blip2, arm)
    if start is not None:
        composer.load_state_dict(start)
    optimizer = _optimizer(composer, settings, used=_used(composer, arm))
    began, steps, looks = time.perf_counter(), [], []
    best_step, best = settings.steps, None
    if validation is not None:
        looks.append(_look(composer, blip2, validation, states, 0))
        best_step, best = 0, _copy(composer)
    for step in tqdm(range(settings.steps), desc="training a Q-Former", disable=not progress):
        rng = np.random.default_rng([settings.seed, step])
        size, reverse = settings.batch_size, weights.p2p > 0
        batch = draw_batch(blip2, triplets, states, size, rng, reverse=reverse)
        steps.append(_take_step(composer, batch, arm, optimizer, step, rng))
        if validation is not None and step + 1 in settings.look_steps:
            looks.append(_look(composer, blip2, validation, states, step + 1))
            if looks[-1]["score"] >= max(look["score"] for look in looks):  # the later of equals
                best_step, best = step + 1, _copy(composer)
    if best is not None:
        composer.load_state_dict(best)
    seconds = time.perf_counter() - began
    return TrainedQformer(composer.eval(), best_step, tuple(steps), tuple(looks), seconds)


def _take_step(
    composer: Sprc,
    batch: TripletBatch,
    arm: QformerArm,
    optimizer: torch.optim.Optimizer,
    step: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    settings = arm.training
    composer.train()
    with torch.random.fork_rng(devices=[]):  # dropout follows seed and step too
        torch.manual_seed(int(rng.integers(2**31)))
        loss, parts, p = composition_losses(composer, batch, arm.weights)
    if not torch.isfinite(loss):
        raise ValueError(
            f"step {step + 1}: the loss is {float(loss)}; lower the learning rate "
            f"({settings.learning_rate:g})"
        )
    schedule = Training(learning_rate=settings.learning_rate, warmup=settings.warmup)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, settings.steps, schedule)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(composer.parameters(), CLIP)
    optimizer.step()
    clamp_logit_scale(composer.log_scale)
    scale = float(composer.log_scale.detach().exp())
    values = {name: float(part.detach()) for name, part in parts.items()}
    spread = spread_of(p.cpu().numpy()).variance
    return {"step": step, "loss": float(loss.detach()), "scale": scale, "spread": spread, **values}


def _look(
    composer: Sprc, blip2: Blip2, validation: TripletSet, states: ImageStates, step: int
) -> dict[str, float]:
    ranking = rank_composed(qformer_scores(composer, blip2, validation, states), validation)
    spread = spread_of_joint(composer, blip2, validation.triplets, states)
    return {
        "step": step, "score": float(hit_at_k(ranking, CHOSEN_BY)), "spread": spread.variance,
        "effective_rank": spread.effective_rank, "mean_cosine": spread.mean_cosine,
    }  # fmt: skip


def _used(composer: Sprc, arm: QformerArm) -> list[tuple[str, torch.nn.Parameter]]:
    """What the loss reaches: prompt tokens are trained by t2t alone."""
    named = composer.named_parameters()
    return [(n, p) for n, p in named if arm.weights.t2t or n != "prompt_tokens"]


def _optimizer(
    composer: Sprc, settings: QformerTraining, *, used: Sequence[tuple[str, torch.nn.Parameter]]
) -> torch.optim.AdamW:
    """AdamW; no decay on biases, norms and the temperature."""
    groups = [
        {"params": [p for _, p in used if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for _, p in used if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _copy(composer: Sprc) -> dict[str, torch.Tensor]:
    return {k: v.detach().cpu().clone() for k, v in composer.state_dict().items()}
