"""How a Q-Former of composed retrieval is trained: settings, and the arms that a study compares."""

import math
from dataclasses import dataclass, field

import numpy as np

from helpers.first.models.sprc import POOLINGS
from helpers.first.models.two_hop import LossWeights

FIRST_LOOK = 10
P2P_WEIGHT = 0.5  # of the published two-hop model


@dataclass(frozen=True)
class QformerTraining:
    """Settings of a training; equal settings, data and start give equal weights on one machine.

    Attributes
    ----------
    steps, batch_size : int
        The published models take batches of 128.
    learning_rate : float
        At the end of the warm-up; then half a cosine down to 0. The published ones are 5e-6 to
        1e-5, for a Q-Former of 188 M weights; a tiny one needs more.
    weight_decay : float
        On matrices alone.
    warmup : float
        Share of the steps.
    label_smoothing : float
    looks : int
        How often validation is looked at, at steps that grow like a geometric series; the start
        counts as a look.
    seed : int

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    steps: int = 150
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    label_smoothing: float = 0.1
    looks: int = 5
    seed: int = 42

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch_size", 2), ("looks", 1)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"Q-Former training {name} is {getattr(self, name)}: give at least {least}"
                )
        for name in ("learning_rate", "weight_decay", "warmup", "label_smoothing"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"Q-Former training {name} is {value}: give a finite number, 0 or more"
                )

    @property
    def look_steps(self) -> tuple[int, ...]:
        """After which steps validation is looked at; the last step is one of them.

        >>> QformerTraining(steps=80, looks=4).look_steps
        (10, 20, 40, 80)
        """
        first = min(FIRST_LOOK, self.steps)
        found = np.geomspace(first, self.steps, self.looks) if self.looks > 1 else [self.steps]
        return tuple(sorted({round(float(step)) for step in found}))


@dataclass(frozen=True)
class QformerArm:
    """One way to compose queries with a Q-Former; all arms have the same parameters.

    Attributes
    ----------
    hops : int
        1: SPRC's composition; 2: a second hop without the picture.
    pooling : str
        ``mean`` or ``first text``; see :func:`helpers.first.models.sprc.pool`.
    t2t_weight : float
        Of the loss of texts read with prompt tokens.
    p2p_weight : float, optional
        Of the pull to the reverse side. Default: 0.5 with two hops, 0 with one.
    detach : bool
        Whether the reverse side is a fixed aim.
    training : QformerTraining
    n_triplets : int
        How many training triplets, drawn by the training's seed; 0: all.

    Raises
    ------
    ValueError
        If a value is unknown or out of range.
    """

    hops: int = 2
    pooling: str = "mean"
    t2t_weight: float = 1.0
    p2p_weight: float | None = None
    detach: bool = True
    training: QformerTraining = field(default_factory=QformerTraining)
    n_triplets: int = 0

    def __post_init__(self) -> None:
        if self.hops not in (1, 2):
            raise ValueError(f"hops is {self.hops}: use 1 or 2")
        if self.pooling not in POOLINGS:
            raise ValueError(f"unknown pooling {self.pooling!r}: use {' or '.join(POOLINGS)}")
        for name in ("t2t_weight", "p2p_weight"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}: give a finite number, 0 or more")
        if self.n_triplets < 0:
            raise ValueError(f"n_triplets is {self.n_triplets}: give a number, 0 for all")

    @property
    def weights(self) -> LossWeights:
        """What counts how much.

        >>> QformerArm().weights.p2p, QformerArm(hops=1).weights.p2p
        (0.5, 0.0)
        """
        usual = P2P_WEIGHT if self.hops == 2 else 0.0
        p2p = usual if self.p2p_weight is None else self.p2p_weight
        return LossWeights(self.t2t_weight, p2p, self.detach, self.training.label_smoothing)
