"""Training with and without augmentation: the live run of lesson 02, and its study."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from helpers.data.sets import LazyImages, RetrievalSet
from helpers.experiment import Experiment, hit10, ranks_of
from helpers.grid import Result
from helpers.models.encoder import Encoder
from helpers.models.lora import adapt
from helpers.models.placement import Placement, trainable_counts
from helpers.report.style import LINES
from helpers.study import Design, Study
from helpers.topics.augmentation.config import Config, load_config
from helpers.topics.augmentation.images import training_transform
from helpers.topics.augmentation.texts import rewritten
from helpers.training.batches import (
    encode_batch,
    epoch_batches,
    gather,
    plain_towers,
    prepare_pairs,
)
from helpers.training.loop import Fitted, Settings, fit
from helpers.training.losses import info_nce

TEST = "kitchen"
LOOKS = (0, 0.1, 0.2, 0.35, 0.5, 0.75, 1)
CONDITIONS = ("none", "images", "texts", "both")
COLORS = dict(zip(CONDITIONS, LINES, strict=False))


def drawn_items(data: RetrievalSet, n: int, *, seed: int) -> RetrievalSet:
    """``n`` items of a set with their images and captions, drawn at random; 0 or too many: all."""
    items = np.unique(data.image_items)
    if not 0 < n < len(items):
        return data
    chosen = np.random.default_rng([seed, n]).permutation(items)[:n]
    images, captions = (
        np.flatnonzero(np.isin(of, chosen)) for of in (data.image_items, data.caption_items)
    )
    return RetrievalSet(
        LazyImages([str(i) for i in images], lambda key: data.images[int(key)]),
        data.image_items[images], [data.captions[i] for i in captions],
        data.caption_items[captions], data.name,
    )  # fmt: skip


def with_rewritten(data: RetrievalSet, config: Config, *, seed: int) -> RetrievalSet:
    """The set with a rewritten copy beside each caption, where a rule applies to it."""
    both = zip(data.captions, data.caption_items, strict=True)
    new = [(rewritten(text, config.texts, seed=seed, key=item).text, item) for text, item in both]
    known = set(zip(data.captions, data.caption_items, strict=True))
    added = [pair for pair in dict.fromkeys(new) if pair not in known]
    captions = [*data.captions, *(text for text, _ in added)]
    return replace(
        data, captions=captions, caption_items=np.r_[data.caption_items, [i for _, i in added]]
    )


def pair_loss(encoder: Encoder, data: RetrievalSet, n: int = 0) -> float:
    """InfoNCE over one image and one caption of each of the first ``n`` items, as they are.

    Of equally many items of two sets the losses compare: guessing has loss log n in both.
    """
    items = data.items[: n or None]
    first = pd.Series(data.image_items).drop_duplicates()
    images = [data.images[i] for i in first.index[: len(items)]]
    texts = [data.captions_of[item][0] for item in items]
    u, v = torch.from_numpy(encoder.images(images)), torch.from_numpy(encoder.texts(texts))
    return info_nce(u, v, torch.tensor(encoder.logit_scale)).item()


def measured(
    base: Encoder, encoders: Mapping[str, Encoder], data: RetrievalSet, *, seed: int
) -> Study:
    """The ranks of the base, ``zero-shot``, and of encoders that were trained once."""
    live = Study.of({"zero-shot": ranks_of(base, data)}, test=data.name)
    for name, encoder in encoders.items():
        live = live.add(name, ranks_of(encoder, data), test=data.name, seed=seed)
    return live


def train_condition(
    base: Encoder, train: RetrievalSet, validation: RetrievalSet, *, condition: str,
    config: Config, steps: int, batch_size: int, learning_rate: float, seed: int,
    looks: Sequence[float] = LOOKS, placement: Placement | None = None,
    loss_of: Callable[[Encoder, RetrievalSet], float] = pair_loss,
    score: Callable[[Encoder], float] | None = None,
) -> tuple[Encoder, Fitted, pd.DataFrame]:  # fmt: skip
    """Train LoRA under one of the ``CONDITIONS``, and look at both losses along the way.

    Parameters
    ----------
    train, validation : RetrievalSet
        Validation is never augmented.
    looks : sequence of float
        Shares of the steps after which both losses are taken, and the score.
    placement : Placement, optional
        By default rank 8 on q, k, v and out of every layer of both towers.
    loss_of : callable
        An encoder and a set to a loss.
    score : callable, optional
        An encoder to its validation score; by default minus its validation loss.

    Returns
    -------
    Encoder, Fitted, DataFrame
        The encoder has the weights of the last step. The frame has ``step``, ``training`` and
        ``validation``: losses of pairs as they are.
    """
    if condition not in CONDITIONS:
        raise ValueError(f"unknown condition {condition!r}; use one of {', '.join(CONDITIONS)}")
    settings = Settings(
        steps=steps, batch_size=batch_size, keep="last", learning_rate=learning_rate, seed=seed,
        evaluations=tuple(sorted({round(steps * share) for share in looks})),
    )  # fmt: skip
    encoder = adapt(base, placement or Placement(rank=8, alpha=16.0, dropout=0.05), seed=seed,
                    scalars=("logit_scale",))  # fmt: skip
    seen: list[tuple[int, float, float]] = []

    def look(step: int) -> float:
        seen.append((step, *(loss_of(encoder, data) for data in (train, validation))))
        return score(encoder) if score else -seen[-1][2]

    texts, images = condition in ("texts", "both"), condition in ("images", "both")
    data = with_rewritten(train, config, seed=seed) if texts else train
    transform = training_transform(config.images) if images else None
    step = contrastive_step(encoder, data, settings, transform)
    fitted = fit(encoder.model, step, settings=settings, evaluate=look, progress=False)
    return encoder, fitted, pd.DataFrame(seen, columns=["step", "training", "validation"])


def contrastive_step(
    encoder: Encoder, data: RetrievalSet, settings: Settings, transform: Any = None
) -> Callable[[int, np.random.Generator], torch.Tensor]:
    """The loss of a step: images of an epoch in turn, each with one caption of its item."""
    pairs = prepare_pairs(encoder, data, progress=False)
    towers = plain_towers(encoder, pairs, transform=transform)
    options = {"batch_size": settings.batch_size, "draw": "image", "seed": settings.seed}
    batches = lru_cache(maxsize=2)(lambda epoch: list(epoch_batches(pairs, epoch=epoch, **options)))

    def step(number: int, rng: np.random.Generator) -> torch.Tensor:
        epoch, place = divmod(number, len(batches(0)))
        rows = batches(epoch)[place]
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        _, u, v = encode_batch(towers, gather(pairs, towers, rows, generator),
                               device=encoder.device)  # fmt: skip
        same = torch.from_numpy(pairs.positives(rows))
        return info_nce(u, v, encoder.model.logit_scale.exp(), positives=same)

    return step


class Training(Experiment):
    """Trains an arm of the design, and ranks the test."""

    @cached_property
    def config(self) -> Config:
        """What is done to images and captions."""
        return load_config()

    def train(
        self, *, seed: int, condition: str = "", n: int = 0, steps: int = 0, rate: float = 0.0,
        batch_size: int = 0,
    ) -> Result:  # fmt: skip
        """Train one arm with one seed, which also draws its ``n`` items, and rank the test.

        Without a condition the base itself is ranked.
        """
        validation = self.sets["validation"]
        if not condition:
            scores = {"step": [0], "score": [hit10(ranks_of(self.base, validation))]}
            ranks = ranks_of(self.base, self.sets[TEST]).assign(test=TEST)
            return Result(ranks, {}, {"evaluations": pd.DataFrame(scores)})
        settings = self.design.settings
        encoder, fitted, losses = train_condition(
            self.base, drawn_items(self.sets["training"], n, seed=seed), validation,
            condition=condition, config=self.config, steps=steps, batch_size=batch_size,
            learning_rate=rate, seed=seed, looks=settings["looks"],
            placement=Placement(**settings["placement"]),
            loss_of=partial(pair_loss, n=settings["pairs of a loss"]),
            score=lambda one: hit10(ranks_of(one, validation)),
        )  # fmt: skip
        scores = fitted.evaluations.set_index("step")["score"]
        info = {
            "seconds": fitted.seconds, "validation": float(scores.iloc[-1]),
            "best_step": int(scores.idxmax()), "best_validation": float(scores.max()),
            "trainable_parameters": trainable_counts(encoder.model).trainable,
        }  # fmt: skip
        frames = {
            "evaluations": scores.reset_index(), "generalization": losses,
            "losses": fitted.losses[["step", "loss", "gradient_norm"]],
        }  # fmt: skip
        return Result(ranks_of(encoder, self.sets[TEST]).assign(test=TEST), info, frames)


def run_study(design: Design, folder, *, device: str = "cpu") -> Study:
    """Train what the design asks; finished runs in ``folder`` are not trained again."""
    experiment, topic = Training(design, device), "helpers.topics.augmentation"
    identity = experiment.identity(
        *(f"{topic}.{name}" for name in ("images", "texts", "facts", "study")),
        augmentation=experiment.config.dump(),
    )
    return experiment.run(folder, identity)


def mean_losses(study: Study, design: Design) -> pd.DataFrame:
    """Training and validation loss by look, mean over seeds.

    Columns ``recipes``, ``condition``, ``step``, ``training`` and ``validation``.
    """
    frame = study.frames["generalization"]
    recipes, condition = ([design.arms[arm][name] for arm in frame["arm"]]
                          for name in ("n", "condition"))  # fmt: skip
    frame = frame.assign(recipes=recipes, condition=condition)
    by = ["recipes", "condition", "step"]
    return frame.groupby(by, sort=False)[["training", "validation"]].mean().reset_index()
