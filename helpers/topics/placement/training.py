"""A row trained and ranked: the adapters of peft, opened weights, and heads that are pulled.

Frozen layers below the first adapted one are computed once (:mod:`helpers.training.prefix`), in
training and in evaluation alike.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import peft
import torch
from peft import get_peft_model
from torch import nn

from helpers.experiment import PreparedSet
from helpers.models.encoder import FAMILIES, Encoder
from helpers.models.lora import Adapter, adapt, adopt
from helpers.models.placement import (
    PlacementError,
    adapted_layers,
    target_pattern,
    trainable_counts,
)
from helpers.topics.placement.rows import Row
from helpers.training.batches import TrainingPairs, normalized, plain_towers
from helpers.training.loop import Settings, fit
from helpers.training.prefix import Prefixes, why_not
from helpers.training.runs import contrastive_step

PULL = 0.001  # of linear heads towards their start, lesson 08's choice on validation
Embeds = Encoder | Prefixes


def settings_of(*, steps: int, rate: float, seed: int, batch_size: int = 128) -> Settings:
    """How a row is trained where nothing else is said: the last step is kept and validated."""
    return Settings(
        steps=steps, batch_size=batch_size, draw="image", keep="last", learning_rate=rate,
        evaluations=(steps,), seed=seed,
    )  # fmt: skip


def pixel_batches(encoder: Encoder, held: PreparedSet, *, size: int = 64) -> Iterator[torch.Tensor]:
    """The images of a prepared set as the vision tower reads them, (b, 3, px, px) float32."""
    for pixels in held.pairs.pixels.split(size):
        yield normalized(pixels.float() / 255, encoder).to(encoder.device)


@dataclass(frozen=True)
class Trained:
    """A trained row: ``embeds`` ranks sets; ``losses`` and ``evaluations`` say how it went."""

    encoder: Encoder
    embeds: Embeds
    losses: pd.DataFrame
    evaluations: pd.DataFrame
    info: dict[str, Any]


def train_row(
    base: Encoder, row: Row, pairs: TrainingPairs, *, settings: Settings,
    evaluate: Callable[[Embeds], float] | None = None,
) -> Trained:  # fmt: skip
    """Train a row on pairs; the base stays as it is.

    ``evaluate`` is called on what embeds when ``settings.evaluations`` says. ``info`` has seconds,
    numbers of parameters, and ``validation``, the last score.
    """
    encoder = adapted(base, row, seed=settings.seed)
    whole = why_not(row.placement, encoder)  # why nothing below the adapter can be cached
    embeds = encoder if whole else Prefixes(encoder)
    towers = plain_towers(encoder, pairs) if whole else embeds.towers(pairs)
    step = contrastive_step(encoder, pairs, towers, settings)
    if row.variant in ("rla", "prolip"):
        step = pulled(encoder, step, PULL)
    fitted = fit(
        encoder.model, step, settings=settings, progress=False,
        evaluate=evaluate and (lambda number: evaluate(embeds)),
    )  # fmt: skip
    counts, scores = trainable_counts(encoder.model), fitted.evaluations
    info = {"seconds": fitted.seconds, "trainable_parameters": counts.trainable,
            "parameters": counts.total,
            "validation": float(scores["score"].iloc[-1]) if len(scores) else None}  # fmt: skip
    return Trained(encoder, embeds, fitted.losses, scores, info)


def pulled(encoder: Encoder, step: Callable, weight: float) -> Callable:
    """A step whose trained matrices are pulled to where they start: ``weight * |W - W0|^2``.

    The penalty of ProLIP and RLA (Fahes et al. 2024); the logit scale is left free.
    """
    trained = [p for p in encoder.model.parameters() if p.requires_grad and p.ndim > 0]
    starts = [p.detach().clone() for p in trained]

    def both(number: int, rng: np.random.Generator) -> tuple[torch.Tensor, list[str]]:
        loss, items = step(number, rng)  # its gradients are accumulated already
        distance = sum(((p - q) ** 2).sum() for p, q in zip(trained, starts, strict=True))
        (weight * distance).backward()
        return loss + weight * distance.detach(), items

    return both


def adapted(base: Encoder, row: Row, *, seed: int) -> Encoder:
    """A copy of a model with the fresh weights of a row; a fresh one changes no embedding.

    Learned tokens and 8-bit weights do: see :func:`helpers.models.lora.adapt`.

    Raises ``PlacementError`` if the model has no place for it.
    """
    if not row.variant:
        return adapt(base, row.placement, seed=seed)
    adapted_layers(row.placement, base.model)  # refuses too many layers
    model = copy.deepcopy(base.model).requires_grad_(False)  # PiSSA writes into frozen weights
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft notes what it does not know of these classes
        torch.manual_seed(seed)
        encoder = _placed(base, model, row)
    encoder.model.logit_scale.requires_grad_(True)
    return encoder


def _placed(base: Encoder, model: Any, row: Row) -> Encoder:
    if row.variant in CONFIGS:
        config = CONFIGS[row.variant](row, target_pattern(row.placement, model))
        return adopt(base, get_peft_model(model, config), row.placement)
    opened = {"biases": _biases, "norms": _norms, "rla": _identity, "prolip": _projections}
    opened[row.variant](base, model, row)
    adapter = Adapter(row.placement, base)
    return replace(base, model=model.eval(), fingerprint="", adapter=adapter)


def _low_rank(kind: type, **more: Any) -> Callable[[Row, str], Any]:
    def config(row: Row, targets: str) -> Any:
        one = row.placement
        return kind(r=one.rank, alpha=one.alpha, target_modules=targets, **more)

    return config


# Each is given the row and a pattern of full module paths. PiSSA: Meng et al. 2024; LoHa: Hyeon-Woo
# et al. 2022; LoKr: Yeh et al. 2024; OFT: Qiu et al. 2023; HRA: Yuan et al. 2024; VeRA: Kopiczko et
# al. 2024; IA3: Liu et al. 2022.
CONFIGS: dict[str, Callable[[Row, str], Any]] = {
    "pissa": lambda row, targets: peft.LoraConfig(
        r=row.placement.rank, lora_alpha=row.placement.alpha, lora_dropout=row.placement.dropout,
        target_modules=targets, init_lora_weights="pissa"),
    "loha": _low_rank(peft.LoHaConfig),
    "lokr": _low_rank(peft.LoKrConfig),
    "oft": lambda row, targets: peft.OFTConfig(
        r=0, oft_block_size=row.placement.rank, target_modules=targets),
    "hra": lambda row, targets: peft.HRAConfig(r=row.placement.rank, target_modules=targets),
    "vera": lambda row, targets: peft.VeraConfig(
        r=row.placement.rank, target_modules=targets, save_projection=False),
    "ia3": lambda row, targets: peft.IA3Config(
        target_modules=targets, feedforward_modules=targets.rsplit("(", 1)[0] + r"(mlp\.fc2)"),
}  # fmt: skip


def _layers_of(model: Any, row: Row) -> list[nn.Module]:
    return [
        getattr(model, f"{tower}_model").encoder.layers[i]
        for tower, numbers in adapted_layers(row.placement, model).items()
        for i in numbers
    ]


def _biases(base: Encoder, model: Any, row: Row) -> None:
    """BitFit (Ben Zaken et al. 2022): the biases of the layers, those of their norms included."""
    for layer in _layers_of(model, row):
        for name, parameter in layer.named_parameters():
            parameter.requires_grad_(name.endswith("bias"))


def _norms(base: Encoder, model: Any, row: Row) -> None:
    """Gains and biases of the layer norms (Zhao et al. 2024)."""
    for layer in _layers_of(model, row):
        for module in layer.modules():
            if isinstance(module, nn.LayerNorm):
                module.requires_grad_(True)


def _identity(base: Encoder, model: Any, row: Row) -> None:
    """RLA (Fahes et al. 2024): a matrix on each embedding, which starts at the identity."""
    for path in FAMILIES[base.family].heads:
        matrix = nn.Linear(base.dimension, base.dimension, bias=False)
        nn.init.eye_(matrix.weight)
        model.set_submodule(path, nn.Sequential(model.get_submodule(path), matrix))


def _projections(base: Encoder, model: Any, row: Row) -> None:
    """ProLIP (Fahes et al. 2024): the model's own linear projections."""
    heads = [model.get_submodule(path) for path in FAMILIES[base.family].heads]
    if not all(isinstance(head, nn.Linear) for head in heads):
        raise PlacementError(
            f"{base.name} has no linear projections behind its towers, which 'prolip' trains: use "
            "a CLIP model, or method 'rla'"
        )
    for head in heads:
        head.requires_grad_(True)
