"""One run of instance retrieval: pairs made ready once, an arm trained, a side measured.

Runs that are compared draw the same pairs in the same number, whatever the loss and the batch: how
many pairs are in memory at once is a setting of its own, and gradient caching makes it no matter.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.data.pairs import Pairs, RetrievalSet, retrieval_set
from helpers.first.evaluation.instances import instance_values
from helpers.first.evaluation.metrics import both_directions
from helpers.first.models.encoders import Encoder
from helpers.first.models.lora import Adapted, adapt, load_adapter, save_adapter
from helpers.first.models.placement import Placement
from helpers.first.training.loop import Trained, train
from helpers.first.training.pairs import TrainingPairs, epoch_batches, prepare_pairs
from helpers.first.training.ranks import Ranks
from helpers.first.training.settings import Training

SCALARS = {"info_nce": ("logit_scale",), "sigmoid": ("logit_scale", "logit_bias")}
DUAL = Placement(rank=8, alpha=16.0, dropout=0.0, modules="q_proj,v_proj")


@dataclass(frozen=True)
class InstanceArm:
    """One way to train.

    Attributes
    ----------
    loss : str
        ``sigmoid`` or ``info_nce``.
    batch : int
        Pairs that an optimizer step takes, over all processes.
    samples : int
        Pairs that the whole run takes; a whole number of batches.
    held : int
        Pairs in memory at once, at most.
    accumulate : str
        ``cached``: one loss over the whole batch; ``plain``: the mean over parts of ``held`` pairs.
    placement : Placement
    learning_rate, warmup : float
    precision : str
    seed : int

    Raises
    ------
    ValueError
        If ``samples`` is no whole number of batches, or ``batch`` none of the parts held.
    """

    loss: str = "sigmoid"
    batch: int = 64
    samples: int = 1024
    held: int = 32
    accumulate: str = "cached"
    placement: Placement = field(default_factory=lambda: DUAL)
    learning_rate: float = 0.005
    warmup: float = 0.1
    precision: str = "fp32"
    seed: int = 42

    def __post_init__(self) -> None:
        if self.batch < 2 or self.samples % self.batch or self.samples < self.batch:
            raise ValueError(
                f"samples {self.samples} are no whole number of batches of {self.batch} (at least "
                "2): give a multiple"
            )
        if self.batch % min(self.held, self.batch):
            raise ValueError(
                f"a batch of {self.batch} is no whole number of parts of {self.held}: change held"
            )

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return self.samples // self.batch

    @property
    def training(self) -> Training:
        """What the loop takes."""
        size = min(self.batch, self.held)
        return Training(
            epochs=1, batch_size=size, accumulation=self.batch // size, loss=self.loss,
            accumulate=self.accumulate, draw="pair", learning_rate=self.learning_rate,
            warmup=self.warmup, precision=self.precision, keep="last", seed=self.seed,
        )  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """Instance pairs, ready for many runs.

    Attributes
    ----------
    pairs : Pairs
        Split by picture (:func:`helpers.first.data.instances.ensure_instances`).
    ready : TrainingPairs
    data : mapping of side to RetrievalSet
        ``validation`` and ``test``.
    pictures : mapping of side to tuple of images
        Decoded once.
    """

    pairs: Pairs
    ready: TrainingPairs
    data: Mapping[str, RetrievalSet]
    pictures: Mapping[str, tuple[Image.Image, ...]]


@dataclass(frozen=True)
class Measured:
    """What an encoder makes of one side.

    Attributes
    ----------
    data : RetrievalSet
    images, texts : (n, d), (m, d) float32, unit rows
    scale, bias : float
        The encoder's own.
    values : dict of direction to (dict of metric to (q,) float64)
    """

    data: RetrievalSet
    images: np.ndarray
    texts: np.ndarray
    scale: float
    bias: float
    values: Mapping[str, Mapping[str, np.ndarray]]

    @property
    def logits(self) -> np.ndarray:
        """(m, n) float64: every text with every picture, scale and bias included."""
        return self.scale * (self.texts.astype(float) @ self.images.T) + self.bias

    @property
    def matches(self) -> np.ndarray:
        """(m, n) bool: text and picture of one class."""
        return self.data.caption_ids[:, None] == self.data.image_ids[None]

    def groups(self, direction: str) -> np.ndarray:
        """The class of each query of a direction."""
        return self.data.caption_ids if direction == "text_to_image" else self.data.image_ids


def ready_bench(pairs: Pairs, encoder: Encoder, *, progress: bool = False) -> Bench:
    """Decode, resize and tokenize what all runs share."""
    sides = {side: frame for side in ("validation", "test") if len(frame := getattr(pairs, side))}
    data = {side: retrieval_set(frame) for side, frame in sides.items()}
    pictures = {s: tuple(pairs.image(key) for key in d.image_keys) for s, d in data.items()}
    ready = prepare_pairs(pairs.train, encoder, pairs.image, progress=progress)
    return Bench(pairs, ready, data, pictures)


def drawn_pairs(ready: TrainingPairs, n: int, *, seed: int) -> TrainingPairs:
    """Exactly ``n`` pairs: every picture once with one of its texts, then every picture again.

    A pair may come twice where ``n`` is large; in a batch such two are masked like any that belong
    together.
    """
    rows: list[np.ndarray] = []
    while sum(map(len, rows)) < n:
        found = epoch_batches(
            ready, batch_size=len(ready), draw="image", seed=seed, epoch=len(rows)
        )
        rows += list(found)
    chosen = np.concatenate(rows)[:n]
    return replace(
        ready,
        recipe_ids=ready.recipe_ids[chosen],
        image_rows=ready.image_rows[chosen],
        text_rows=ready.text_rows[chosen],
    )


def train_arm(
    bench: Bench,
    encoder: Encoder,
    arm: InstanceArm,
    *,
    ranks: Ranks | None = None,
    state: Path | None = None,
    on_step: Callable[[dict[str, float]], None] | None = None,
    progress: bool = False,
) -> tuple[Adapted, Trained]:
    """A fresh adapter on ``encoder``, trained; scale and bias start from the checkpoint's values.

    Parameters as for :func:`helpers.first.training.loop.train`.

    Examples
    --------
    >>> adapted, trained = train_arm(bench, encoder, InstanceArm())  # doctest: +SKIP
    """
    adapted = adapt(encoder, arm.placement, train_scalars=SCALARS[arm.loss], seed=arm.seed)
    pairs = drawn_pairs(bench.ready, arm.samples, seed=arm.seed)
    trained = train(
        adapted.encoder, pairs, arm.training, ranks=ranks, state=state, on_step=on_step,
        progress=progress,
    )  # fmt: skip
    return adapted, trained


def measure(encoder: Encoder, bench: Bench, side: str = "test", *, cut: int = 5) -> Measured:
    """Encode a side and rank it in both directions, at class level.

    Raises
    ------
    ValueError
        If the pairs have no such side.
    """
    if side not in bench.data:
        raise ValueError(f"no {side} pairs; there are {', '.join(bench.data)}")
    data = bench.data[side]
    images, texts = encoder.images(bench.pictures[side]), encoder.texts(data.captions)
    rankings = both_directions(images, data.image_ids, texts, data.caption_ids)
    values = {way: instance_values(ranking, cut=cut) for way, ranking in rankings.items()}
    return Measured(data, images, texts, encoder.logit_scale, encoder.logit_bias, values)


def stored_again(adapted: Adapted, base: Encoder, folder: Path | None = None) -> Adapted:
    """The adapter written and read back: what is measured is what a file holds.

    ``folder`` keeps it; without one it is written to a place that is removed.
    """
    with tempfile.TemporaryDirectory() as name:
        place = folder or Path(name)
        save_adapter(adapted, place)
        return load_adapter(base, place)
