"""Mixtures of real and synthetic training images: their training, and the value of an image.

Every mixture is trained for as many steps of batches of one size: fewer images are passed over more
often. Mixtures differ in their images, not in how long they are trained.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image

from helpers.data.sets import LazyImages, RetrievalSet
from helpers.evaluation.metrics import values_of
from helpers.models.encoder import Encoder
from helpers.models.lora import adapt
from helpers.models.placement import Placement, trainable_counts
from helpers.report.plots import lines_with_intervals
from helpers.study import Study
from helpers.training.batches import (
    encode_batch,
    epoch_batches,
    gather,
    plain_towers,
    prepare_pairs,
)
from helpers.training.loop import Settings, fit
from helpers.training.losses import info_nce
from helpers.training.prefix import Prefixes, why_not

Mark = Callable[[Image.Image, str], tuple[Image.Image, np.ndarray]]
NAME = re.compile(
    r"(?:(?P<real>\d+) real)?(?: \+ )?(?:(?P<synthetic>\d+) synthetic)?"
    r"(?: gap (?P<gap>0?\.\d+|[01]))?(?P<watermarked> watermarked)?"
)


@dataclass(frozen=True)
class Mix:
    """Percent of the training items whose real, and whose synthetic images are trained on.

    ``gap`` moves the synthetic images towards the real ones (0); ``watermarked`` draws a watermark
    on every training image. No item is in both parts.
    """

    real: float = 0
    synthetic: float = 0
    gap: float = 1.0
    watermarked: bool = False

    @classmethod
    def parse(cls, text: str) -> "Mix":
        """A mixture by its name, such as ``25 real + 75 synthetic gap 0.5``.

        >>> Mix.parse("100 real watermarked").name
        '100 real watermarked'
        """
        known = NAME.fullmatch(" ".join(text.split()))
        parts = {k: v for k, v in (known.groupdict() if known else {}).items() if v}
        marked = bool(parts.pop("watermarked", ""))
        mix = cls(**{name: float(value) for name, value in parts.items()}, watermarked=marked)
        if not known or not 0 < mix.real + mix.synthetic <= 100:
            raise ValueError(
                f"unknown mixture {text!r}: give percent of the training items, together above 0 "
                "and at most 100, such as '100 real', '25 real + 75 synthetic', '75 synthetic gap "
                "0.5' or '100 real watermarked'"
            )
        return mix

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        sides = {"real": self.real, "synthetic": self.synthetic}
        name = " + ".join(f"{share:g} {side}" for side, share in sides.items() if share)
        gap = f" gap {self.gap:g}" if self.gap != 1 else ""
        return name + gap + " watermarked" * self.watermarked


def mixed(
    real: RetrievalSet, synthetic: RetrievalSet, mix: Mix, *, seed: int, n: int = 0,
    mark: Mark | None = None,
) -> RetrievalSet:  # fmt: skip
    """The training set of a mixture; ``mark`` draws the watermarks of one that is watermarked.

    Of ``n`` items, by default as many as the smaller set has, the mixture takes its shares. With
    one seed a larger share only adds items, and the synthetic ones are other items than the real.
    """
    most = min(len(set(real.items)), len(set(synthetic.items)))
    n = min(n or most, most)
    left = np.random.default_rng([seed, 17]).permutation(sorted({*real.items, *synthetic.items}))
    images, image_items, captions, caption_items = [], [], [], []
    for side, data in (("real", real), ("synthetic", synthetic)):
        share = getattr(mix, side)
        chosen = left[np.isin(left, data.items)][: round(share * n / 100)]
        left = left[~np.isin(left, chosen)]
        if share and not len(chosen):
            raise ValueError(f"{mix.name}: of {n} training items none is {side}: take more items")
        rows = np.flatnonzero(np.isin(data.image_items, chosen))
        images += [(data, int(row)) for row in rows]
        image_items += data.image_items[rows].tolist()
        rows = np.flatnonzero(np.isin(data.caption_items, chosen))
        captions += [data.captions[row] for row in rows]
        caption_items += data.caption_items[rows].tolist()

    def load(number: str) -> Image.Image:
        data, row = images[int(number)]
        image = data.images[row]
        return mark(image, data.image_keys[row])[0] if mix.watermarked and mark else image

    lazy = LazyImages([str(i) for i in range(len(images))], load)
    return RetrievalSet(lazy, np.array(image_items), captions, np.array(caption_items), mix.name)


@dataclass(frozen=True)
class Trained:
    """A trained mixture: ``seen`` holds what was watched, by name: (evaluations, ...) arrays."""

    encoder: Encoder
    embeds: Any
    evaluations: pd.DataFrame
    info: dict[str, Any]
    seen: dict[str, np.ndarray]


def train_mix(
    base: Encoder, data: RetrievalSet, *, placement: Placement, settings: Settings,
    score: Callable[[Any], float] | None = None,
    watch: Mapping[str, Callable[[Any], np.ndarray]] | None = None,
) -> Trained:  # fmt: skip
    """Fine-tune a copy of a model on a mixture, and watch fixed images on the way.

    ``score``, where validation is recorded, and each function of ``watch`` are given what embeds,
    when ``settings.evaluations`` says. The weights of the last step are kept: none is chosen by
    images that a mixture must not have.
    """
    encoder = adapt(base, placement, seed=settings.seed, scalars=("logit_scale",))
    pairs = prepare_pairs(encoder, data, progress=False)
    whole = bool(why_not(placement, encoder))  # else what is frozen is computed once
    embeds = encoder if whole else Prefixes(encoder)
    towers = plain_towers(encoder, pairs) if whole else embeds.towers(pairs)
    how = {"batch_size": settings.batch_size, "draw": settings.draw, "seed": settings.seed}
    batches = (rows for epoch in count() for rows in epoch_batches(pairs, epoch=epoch, **how))
    seen: dict[str, list[np.ndarray]] = {name: [] for name in watch or {}}

    def step(_: int, rng: np.random.Generator) -> torch.Tensor:
        rows, generator = next(batches), torch.Generator().manual_seed(int(rng.integers(2**62)))
        batch = gather(pairs, towers, rows, generator)
        _, u, v = encode_batch(towers, batch, device=encoder.device)
        same = torch.from_numpy(pairs.positives(rows))
        return info_nce(u, v, encoder.model.logit_scale.exp(), positives=same)

    def look(_: int) -> float:
        for name, function in (watch or {}).items():
            seen[name].append(function(embeds))
        return score(embeds) if score else 0.0

    found = fit(encoder.model, step, settings=settings, evaluate=look, progress=False)
    stacked = {name: np.stack(parts) for name, parts in seen.items()}
    trainable = trainable_counts(encoder.model).trainable
    info = {"seconds": found.seconds, "trainable_parameters": trainable}
    return Trained(encoder, embeds, found.evaluations, info, stacked)


@dataclass(frozen=True)
class Value:
    """How many real images one synthetic image replaces, or the gap at which it replaces none.

    Outside of what the conditions can measure, ``flag`` says that it lies ``below`` or ``above``
    the number. ``low`` and ``high`` are the ends of the 95 % interval.
    """

    number: float
    flag: str = ""
    low: "Value | None" = None
    high: "Value | None" = None

    @property
    def text(self) -> str:
        """For reading: ``0.31 [0.20, above 1.00]``."""
        own = f"{self.flag} {self.number:.2f}".strip()
        return f"{own} [{self.low.text}, {self.high.text}]" if self.low and self.high else own

    @property
    def sort_key(self) -> float:
        """A number that orders values, the censored ones outermost."""
        return {"": self.number, "below": -np.inf, "above": np.inf}[self.flag]


def relative_value(
    real: float, synthetic: float, score: float, alone: Sequence[float], curve: Sequence[float]
) -> Value:
    """The value of a synthetic image, read off the scores of real images alone.

    As many real images as reach the mixture's score, less its own, for each synthetic one. Between
    the amounts ``alone``, rising, the scores ``curve`` are joined over the logarithm of the amount.

    >>> relative_value(25, 75, 0.5, [25, 100], [0.4, 0.6]).text
    '0.33'
    """
    found = _first_reached(np.log(alone), np.asarray(curve) - score)
    number = round((np.exp(found.number) - real) / synthetic, 9) + 0.0  # never -0.00
    return Value(float(number), found.flag)


def break_even(gaps: Sequence[float], gains: Sequence[float]) -> Value:
    """The smallest gap at which adding synthetic images gains nothing, between those tried."""
    return _first_reached(gaps, -np.asarray(gains, float))


def _first_reached(x: Sequence[float], y: np.ndarray) -> Value:
    """The smallest x, rising, at which y reaches 0 from below, joined by straight lines."""
    reached = np.flatnonzero(y >= 0)
    if not len(reached):
        return Value(float(x[-1]), "above")
    i = int(reached[0])
    if i == 0:
        return Value(float(x[0]), "below" * bool(y[0] > 0))
    return Value(float(x[i - 1] + (x[i] - x[i - 1]) * y[i - 1] / (y[i - 1] - y[i])))


def resampled_scores(
    study: Study, arms: Sequence[str], *, test: str, n: int = 1000, seed: int = 42
) -> np.ndarray:
    """hit@10 of arms, mean of both directions: (1 + n, arms), the first row as measured.

    The others draw items and seeds anew, the same ones for all arms.
    """
    rng, parts, total = np.random.default_rng(seed), study.queries(test, "both"), 0.0
    groups = np.unique(np.concatenate([part.groups for part in parts]))
    n_items, n_seeds = len(groups), max(len(parts[0].seeds[arm]) for arm in arms)

    def draws(size: int) -> np.ndarray:  # how often each is drawn, (1 + n, size); first as it is
        drawn = rng.multinomial(size, np.full(size, 1 / size), size=n)
        return np.concatenate([np.ones((1, size)), drawn])

    weights, seeds = draws(n_items), draws(n_seeds) / n_seeds
    for part in parts:
        code, columns = np.searchsorted(groups, part.groups), []
        sizes = weights @ np.bincount(code, minlength=n_items)
        for arm in arms:
            hits = values_of(part.ranks[arm], "hit@10")
            sums = np.stack([np.bincount(code, row, n_items) for row in hits])
            means = weights @ sums.T / sizes[:, None]  # (1 + n, seeds)
            alone = means.shape[1] == 1  # one training, or none
            columns.append(means[:, 0] if alone else (means * seeds[:, : means.shape[1]]).sum(1))
        total = total + np.stack(columns, axis=1) / len(parts)
    return total


def with_interval(draws: Sequence[Value]) -> Value:
    """The first value with the 95 % interval of the others; its ends may be censored."""
    others = sorted(draws[1:], key=lambda one: one.sort_key)
    low, high = (others[int(share * (len(others) - 1))] for share in (0.025, 0.975))
    return replace(draws[0], low=low, high=high)


def values_of_mixes(study: Study, mixes: Sequence[Mix], *, test: str) -> dict[str, Value]:
    """The relative value of a synthetic image in each mixture, by its name.

    The curve is that of all mixtures of the study with real images alone, two or more.
    """
    plain = [m for m in mixes if not m.watermarked]
    alone = sorted((m for m in plain if not m.synthetic), key=lambda m: m.real)
    both, k = [m for m in plain if m.synthetic], len(alone)
    if k < 2 or not both:
        return {}
    scores = resampled_scores(study, [m.name for m in (*alone, *both)], test=test)
    amounts = [m.real for m in alone]
    return {
        m.name: with_interval(
            [relative_value(m.real, m.synthetic, row[j], amounts, row[:k]) for row in scores]
        )
        for j, m in enumerate(both, start=k)
    }


def curve_plot(study: Study, mixes: Sequence[Mix], *, test: str, heading: str) -> Figure:
    """hit@10 over the share of real images: alone, and with synthetic ones beside them."""
    shown = [m for m in mixes if m.gap == 1 and not m.watermarked]
    lines = {
        "real alone": [m for m in shown if not m.synthetic],
        "synthetic for the rest": [m for m in shown if m.real + m.synthetic == 100],
    }
    rows = [
        (name, m.real, study.estimate(m.name, test=test)) for name, part in lines.items()
        for m in part
    ]  # fmt: skip
    levels = {"chance": study.chance("hit@10", test=test),
              "zero-shot": study.estimate("zero-shot", test=test).value}  # fmt: skip
    return lines_with_intervals(
        pd.DataFrame(rows, columns=["series", "real", "estimate"]), x="real", series="series",
        heading=heading, xlabel="real images, percent of the training items", references=levels,
    )  # fmt: skip


def values_told(values: Mapping[str, Value]) -> str:
    """A sentence: the relative value of a synthetic image, by mixture."""
    if not values:
        return "A value needs two mixtures of real images alone, and one with synthetic images."
    told = "; ".join(f"{name}: {value.text}" for name, value in values.items())
    return f"Real images that one synthetic image replaces: {told}."
