"""One optimizer step: its chance, its batch, its loss, its gradients."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from helpers.first.models.encoders import Encoder
from helpers.first.models.lora import require_gradients
from helpers.first.training.blocked_sigmoid import accumulate_blocked
from helpers.first.training.grad_cache import accumulate_cached, accumulate_plain
from helpers.first.training.losses import clamp_logit_scale, info_nce, pairwise_sigmoid
from helpers.first.training.pairs import TrainingPairs
from helpers.first.training.ranks import Ranks
from helpers.first.training.settings import Training, learning_rate
from helpers.first.training.towers import Towers


class TrainingDiverged(RuntimeError):
    """A loss or gradient that is no finite number, with the batch that gave it.

    ``step`` counts from 1; ``recipe_ids`` and ``image_keys`` are those of the batch's pairs.
    """

    def __init__(self, message: str, *, step: int, recipe_ids: list[str], image_keys: list[str]):
        super().__init__(message)
        self.step, self.recipe_ids, self.image_keys = step, recipe_ids, image_keys


def optimizer_for(model: torch.nn.Module, settings: Training) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) over what is trainable; decay on matrices alone.

    Raises
    ------
    ValueError
        If nothing is trainable.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise ValueError("nothing to train: no parameter of the model requires a gradient")
    matrices = [p for p in trainable if p.ndim > 1]
    others = [p for p in trainable if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def take_step(
    encoder: Encoder,
    pairs: TrainingPairs,
    settings: Training,
    towers: Towers,
    optimizer: torch.optim.Optimizer,
    rows: np.ndarray,
    *,
    step: int,
    total: int,
    ranks: Ranks | None = None,
) -> dict[str, float]:
    """Change the trainable weights once, and say what happened.

    Parameters
    ----------
    rows : (b,) int64
        The pairs of the whole step, over all processes; each cuts its part into micro-batches of
        ``settings.batch_size``.
    step, total : int
        The number of this step, from 0, and of all.
    ranks : Ranks, optional
        Where several processes train together. Dropout and explicit negatives are then drawn for
        each process, all else is as with one process on the whole batch.

    Returns
    -------
    dict
        ``step`` (from 1), ``loss``, ``learning_rate``, ``gradient_norm`` (before clipping),
        ``logit_scale`` and, where there is one, ``logit_bias``.

    Raises
    ------
    TrainingDiverged
        If loss or gradient is not finite; the weights are then still those before the step.
    AdapterError
        At the first step, if a trainable parameter got no gradient.
    """
    model, ranks = encoder.model.train(), ranks or Ranks()
    chance = np.random.default_rng([settings.seed, 1, step, *([ranks.rank] if ranks.rank else [])])
    torch.manual_seed(int(chance.integers(2**62)))  # dropout, and augmentation by global state
    generator = torch.Generator().manual_seed(int(chance.integers(2**62)))
    size, own = settings.batch_size, ranks.share(rows)
    batches = [
        _gathered(pairs, settings, towers, own[start : start + size], generator, chance)
        for start in range(0, len(own), size)
    ]
    encode = encoding(encoder, settings, towers)
    optimizer.zero_grad()
    if ranks.count > 1 and settings.loss == "sigmoid" and not settings.negatives:
        together = _together(pairs) if settings.mask_positives else None
        loss = accumulate_blocked(encode, batches, model, positives=together, ranks=ranks)
    elif ranks.count > 1 or (settings.accumulate == "cached" and len(batches) > 1):
        value = contrastive_loss(model, pairs, settings)
        loss = accumulate_cached(encode, batches, value, ranks=ranks)
    else:
        loss = accumulate_plain(encode, batches, contrastive_loss(model, pairs, settings))
    if step == 0 and ranks.is_first:
        require_gradients(model)
    ranks.sum_gradients(model)
    trainable = [p for p in model.parameters() if p.requires_grad]
    norm = torch.nn.utils.get_total_norm([p.grad for p in trainable if p.grad is not None])
    rate = learning_rate(step, total, settings)
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        raise _diverged(pairs, rows, f"step {step + 1}", float(loss), float(norm), rate, step + 1)
    if settings.clip:
        torch.nn.utils.clip_grads_with_norm_(trainable, settings.clip, norm)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    clamp_logit_scale(model.logit_scale)
    record = {
        "step": step + 1,
        "loss": float(loss),
        "learning_rate": rate,
        "gradient_norm": float(norm),
        "logit_scale": encoder.logit_scale,
    }
    return record | ({"logit_bias": encoder.logit_bias} if hasattr(model, "logit_bias") else {})


def encoding(encoder: Encoder, settings: Training, towers: Towers) -> Callable[..., tuple]:
    """The function from a gathered micro-batch to unit rows, for ``grad_cache``."""
    device = encoder.device.split(":")[0]

    def encode(batch: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
        rows, images, texts, *extra = batch
        half = settings.precision == "bf16"
        with torch.autocast(device, torch.bfloat16) if half else nullcontext():
            found = [towers.encode_images(images), towers.encode_texts(texts)]
            if extra:  # a micro-batch may happen to have none
                found.append(towers.encode_texts(extra[1]) if len(extra[0]) else found[1][:0])
        unit = [F.normalize(embedding.float(), dim=-1) for embedding in found]
        return (rows, *unit[:2]) if not extra else (rows, *unit[:2], extra[0], unit[2])

    return encode


def contrastive_loss(
    model: torch.nn.Module, pairs: TrainingPairs, settings: Training
) -> Callable[..., torch.Tensor]:
    """The loss of encoded pairs: their rows, images, texts; rows and texts of explicit negatives.

    Pairs are told apart by their rows in ``pairs``, explicit negatives by their caption's row.
    """

    def loss(
        rows: torch.Tensor,
        images: torch.Tensor,
        texts: torch.Tensor,
        extra_rows: torch.Tensor | None = None,
        extra_texts: torch.Tensor | None = None,
    ) -> torch.Tensor:
        options: dict[str, torch.Tensor | None] = {"extra_texts": extra_texts}
        if settings.mask_positives:
            options["positives"] = torch.from_numpy(pairs.positives(rows.numpy()))
        if extra_rows is not None:
            known = pairs.extra_positives(rows.numpy(), extra_rows.numpy())
            options["extra_positives"] = torch.from_numpy(known)
        options = {k: None if v is None else v.to(images.device) for k, v in options.items()}
        scale = model.logit_scale.exp()
        if settings.loss == "sigmoid":
            return pairwise_sigmoid(images, texts, scale, model.logit_bias, **options)
        return info_nce(images, texts, scale, **options)

    return loss


def _together(pairs: TrainingPairs) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Which of some pairs belong together with which of others: their rows to (n, m) bool."""

    def positives(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        whole = pairs.positives(torch.cat([rows, others]).numpy())
        return torch.from_numpy(whole[: len(rows), len(rows) :])

    return positives


def _gathered(
    pairs: TrainingPairs,
    settings: Training,
    towers: Towers,
    rows: np.ndarray,
    generator: torch.Generator,
    chance: np.random.Generator,
) -> tuple[Any, ...]:
    """A micro-batch: rows, what the towers read for them, and likewise for explicit negatives."""
    images = towers.gather_images(torch.from_numpy(pairs.image_rows[rows]), generator)
    texts = towers.gather_texts(torch.from_numpy(pairs.text_rows[rows]))
    batch = (torch.from_numpy(rows), images, texts)
    if not settings.negatives:
        return batch
    extra = torch.from_numpy(pairs.draw_negatives(rows, chance))
    return (*batch, extra, towers.gather_texts(extra))


def _diverged(
    pairs: TrainingPairs,
    rows: np.ndarray,
    where: str,
    loss: float,
    norm: float,
    rate: float,
    step: int,
) -> TrainingDiverged:
    recipes = pairs.recipe_ids[rows].tolist()
    keys = pairs.image_keys[pairs.image_rows[rows]].tolist()
    shown = ", ".join(f"{r} ({k})" for r, k in list(zip(recipes, keys, strict=True))[:8])
    more = f" and {len(rows) - 8} more" if len(rows) > 8 else ""
    return TrainingDiverged(
        f"{where}: loss {loss}, gradient norm {norm}, learning rate {rate:.3g}. The batch, recipe "
        f"(image): {shown}{more}. Look at these, or lower learning_rate",
        step=step, recipe_ids=recipes, image_keys=keys,
    )  # fmt: skip
