"""How a model is trained: one frozen record of settings, and the learning rate that follows."""

import math
from dataclasses import dataclass

from helpers.first.training.pairs import DRAWS

CHOICES = {
    "loss": ("info_nce", "sigmoid"),
    "accumulate": ("cached", "plain"),
    "draw": DRAWS,
    "precision": ("fp32", "bf16"),
    "keep": ("best", "last"),
}


@dataclass(frozen=True)
class Training:
    """Settings of a training run; equal settings, data and start give equal weights.

    Attributes
    ----------
    epochs, batch_size, accumulation : int
        An optimizer step takes ``batch_size`` pairs ``accumulation`` times.
    accumulate : str
        ``cached``: one loss over all pairs of a step (gradient caching); ``plain``: the mean of the
        losses of its micro-batches.
    loss : str
        ``info_nce`` or ``sigmoid``.
    draw : str
        What an epoch goes through once: every ``pair``, ``image`` or ``recipe``.
    mask_positives : bool
        Leave pairs of one recipe out of each other's negatives.
    negatives : bool
        Add an explicit negative (label 0) for each pair that has one.
    learning_rate : float
        At the end of the warm-up; it then follows half a cosine to ``final_share`` of itself.
    warmup : float
        Share of all steps below 1, a number of steps from 1 on.
    weight_decay : float
        On matrices; never on biases, norms, magnitudes and scalars.
    clip : float
        Largest norm of the whole gradient; 0: no clipping.
    precision : str
        ``bf16``: the towers run under autocast; weights, loss and optimizer stay float32.
    patience : int
        Stop after so many epochs with a lower validation score than the best; 0: never.
    keep : str
        ``best``: end with the weights of the best epoch, where there is a validation; ``last``.
    seed : int
    """

    epochs: int = 3
    batch_size: int = 32
    accumulation: int = 1
    accumulate: str = "cached"
    loss: str = "info_nce"
    draw: str = "pair"
    mask_positives: bool = True
    negatives: bool = False
    learning_rate: float = 1e-3
    warmup: float = 0.1
    final_share: float = 0.0
    weight_decay: float = 0.01
    clip: float = 1.0
    precision: str = "fp32"
    patience: int = 0
    keep: str = "best"
    seed: int = 42

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"training {name} is {value!r}: use one of {', '.join(allowed)}")
        for name, least in (("epochs", 1), ("batch_size", 1), ("accumulation", 1), ("patience", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"training {name} is {getattr(self, name)}: give at least {least}")
        if self.batch_size * self.accumulation < 2:
            raise ValueError("batch_size 1 without accumulation has no negatives: give at least 2")
        if self.accumulate == "plain" and self.batch_size < 2:
            raise ValueError(
                "batch_size 1 with plain accumulation has no negatives: give at least 2, "
                "or accumulate='cached'"
            )
        for name in ("learning_rate", "warmup", "weight_decay", "clip", "final_share"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"training {name} is {value}: give a finite number, 0 or more")

    @property
    def pairs_per_step(self) -> int:
        """Pairs that an optimizer step takes."""
        return self.batch_size * self.accumulation


def learning_rate(step: int, total: int, settings: Training) -> float:
    """The learning rate of a step, counted from 0: linear warm-up, then half a cosine.

    Loshchilov and Hutter 2017 (equation 5, without restarts), after a warm-up.

    >>> s = Training(learning_rate=1.0, warmup=2)
    >>> [round(learning_rate(i, 6, s), 3) for i in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    warm = settings.warmup if settings.warmup >= 1 else settings.warmup * total
    warm = min(round(warm), total)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    share = (step - warm) / max(1, total - warm)
    low = settings.final_share
    return settings.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * share)))
