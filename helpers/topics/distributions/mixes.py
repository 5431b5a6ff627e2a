"""Mixtures of real and synthetic training images: their training, and the value of an image.

Every mixture is trained for as many steps of batches of one size: fewer images are passed over more
often. Mixtures differ in their images, not in how long they are trained.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import matplotlib.pyplot as plt
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
from helpers.report.style import LINES, MARKERS, MUTED, percent_axis, title
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
    """The training set of a mixture.

    Of ``n`` items, by default as many as the smaller set has, the mixture takes its shares. With
    one seed a larger share only adds items, and the synthetic ones are other items than the real.
    """
    most = min(len(set(real.items)), len(set(synthetic.items)))
    n = min(n or most, most)
    ids = sorted({*real.items, *synthetic.items})
    order = np.random.default_rng([seed, 17]).permutation(ids).tolist()
    wanted = [round(share * n / 100) for share in (mix.real, mix.synthetic)]
    chosen = [i for i in order if i in set(real.items)][: wanted[0]]
    left = set(synthetic.items) - set(chosen)
    parts = (real, chosen), (synthetic, [i for i in order if i in left][: wanted[1]])
    for share, got, side in zip((mix.real, mix.synthetic), wanted, ("real", "synthetic")):  # noqa: B905
        if share and not got:
            raise ValueError(f"{mix.name}: of {n} training items none is {side}: take more items")
    return _joined(parts, mark if mix.watermarked else None, name=mix.name)


def _joined(
    parts: Sequence[tuple[RetrievalSet, Sequence[str]]], mark: Mark | None, *, name: str
) -> RetrievalSet:
    """Some items of several sets as one set; the images get watermarks where there is a mark."""
    loads, image_items, captions, caption_items = [], [], [], []
    for data, items in parts:
        rows = np.flatnonzero(np.isin(data.image_items, list(items)))
        loads += [(data, int(row)) for row in rows]
        image_items += data.image_items[rows].tolist()
        rows = np.flatnonzero(np.isin(data.caption_items, list(items)))
        captions += [data.captions[row] for row in rows]
        caption_items += data.caption_items[rows].tolist()

    def load(number: str) -> Image.Image:
        data, row = loads[int(number)]
        image = data.images[row]
        return mark(image, data.image_keys[row])[0] if mark else image

    images = LazyImages([str(i) for i in range(len(loads))], load)
    return RetrievalSet(images, np.array(image_items), captions, np.array(caption_items), name)


def watermarked(data: RetrievalSet, mark: Mark) -> RetrievalSet:
    """A set whose images carry watermarks, each decided by its key."""
    keys = data.image_keys
    images = [mark(image, key)[0] for image, key in zip(data.images, keys, strict=True)]
    return RetrievalSet(images, data.image_items, data.captions, data.caption_items,
                        f"{data.name}, watermarked", data.galleries)  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A trained mixture: ``seen`` holds what was watched, by name: (evaluations, ...) arrays."""

    encoder: Encoder
    embeds: Any
    evaluations: pd.DataFrame
    info: dict[str, Any]
    seen: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def steps(self) -> list[int]:
        """After which steps it was looked at."""
        return self.evaluations["step"].astype(int).tolist()


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
    batches = lru_cache(maxsize=2)(lambda epoch: list(epoch_batches(pairs, epoch=epoch, **how)))
    seen: dict[str, list[np.ndarray]] = {name: [] for name in watch or {}}

    def step(number: int, rng: np.random.Generator) -> torch.Tensor:
        epoch, place = divmod(number, len(batches(0)))
        rows = batches(epoch)[place]
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
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

    Outside of what the conditions can measure, ``value`` is None and ``flag`` says ``below`` or
    ``above`` which ``bound`` it lies. ``low`` and ``high`` are the ends of the 95 % interval.
    """

    value: float | None
    flag: str = ""
    bound: float | None = None
    low: "Value | None" = None
    high: "Value | None" = None

    @property
    def text(self) -> str:
        """For reading: ``0.31 [0.2, above 1]``."""
        own = f"{self.value:.2f}" if self.value is not None else f"{self.flag} {self.bound:.2f}"
        return f"{own} [{self.low.text}, {self.high.text}]" if self.low and self.high else own

    @property
    def sort_key(self) -> float:
        """A number that orders values, the censored ones outermost."""
        ends = {"below": -np.inf, "above": np.inf}
        return ends[self.flag] if self.value is None else self.value


def relative_value(
    real: float, synthetic: float, score: float, alone: Sequence[float], curve: Sequence[float]
) -> Value:
    """The value of a synthetic image, read off the scores of real images alone.

    As many real images as reach the mixture's score, less its own, for each synthetic one. Between
    the amounts ``alone``, rising, the scores ``curve`` are joined over the logarithm of the amount.

    >>> relative_value(25, 75, 0.5, [25, 100], [0.4, 0.6]).value
    0.3333333333333333
    """
    amounts, curve = np.asarray(alone, float), np.asarray(curve, float)
    reached = np.flatnonzero(curve >= score)
    if not len(reached):
        return Value(None, "above", float((amounts[-1] - real) / synthetic))
    i = int(reached[0])
    if i == 0:
        worth = float((amounts[0] - real) / synthetic)
        return Value(worth) if score == curve[0] else Value(None, "below", worth)
    share = (score - curve[i - 1]) / (curve[i] - curve[i - 1])
    effective = amounts[i - 1] * (amounts[i] / amounts[i - 1]) ** share
    return Value(float((effective - real) / synthetic))


def break_even(gaps: Sequence[float], gains: Sequence[float]) -> Value:
    """The smallest gap at which adding synthetic images gains nothing, between those tried."""
    gaps, gains = np.asarray(gaps, float), np.asarray(gains, float)
    if gains[0] <= 0:
        return Value(None, "below", float(gaps[0]))
    crossed = np.flatnonzero(gains <= 0)
    if not len(crossed):
        return Value(None, "above", float(gaps[-1]))
    i = int(crossed[0])
    share = gains[i - 1] / (gains[i - 1] - gains[i])
    return Value(float(gaps[i - 1] + share * (gaps[i] - gaps[i - 1])))


def resampled_scores(
    study: Study, arms: Sequence[str], *, test: str, n: int = 1000, seed: int = 42
) -> np.ndarray:
    """hit@10 of arms, mean of both directions: (1 + n, arms), the first row as measured.

    The others draw items and seeds anew, the same ones for all arms.
    """
    rng, total = np.random.default_rng(seed), 0.0
    parts = study.queries(test, "both")
    groups = np.unique(np.concatenate([part.groups for part in parts]))
    n_seeds = max(len(parts[0].seeds[arm]) for arm in arms)
    drawn = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=n)
    weights = np.concatenate([np.ones((1, len(groups))), drawn])  # (1 + n, g)
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n) / n_seeds
    seeds = np.concatenate([np.full((1, n_seeds), 1 / n_seeds), seeds])
    for part in parts:
        code = np.searchsorted(groups, part.groups)
        sizes = np.bincount(code, minlength=len(groups))
        columns = []
        for arm in arms:
            hits = values_of(part.ranks[arm], "hit@10")
            sums = np.stack([np.bincount(code, row, len(groups)) for row in hits])
            means = weights @ sums.T / (weights @ sizes)[:, None]  # (1 + n, seeds)
            alone = means.shape[1] == 1  # one training, or none
            columns.append(means[:, 0] if alone else (means * seeds[:, : means.shape[1]]).sum(1))
        total = total + np.stack(columns, axis=1) / len(parts)
    return total


def with_interval(draws: Sequence[Value]) -> Value:
    """The first value with the 95 % interval of the others; its ends may be censored."""
    others = sorted(draws[1:], key=lambda one: one.sort_key)
    low, high = (others[int(share * (len(others) - 1))] for share in (0.025, 0.975))
    return replace(draws[0], low=low, high=high)


def values_of_mixes(study: Study, mixes: Sequence[Mix], *, test: str) -> pd.DataFrame:
    """The relative value of a synthetic image in each mixture: ``mix``, ``value``.

    The curve is that of all mixtures of the study with real images alone, two or more.
    """
    alone = sorted((m.real, m.name) for m in mixes if not m.synthetic and not m.watermarked)
    both = [m for m in mixes if m.synthetic and not m.watermarked]
    if len(alone) < 2 or not both:
        return pd.DataFrame(columns=["mix", "value"])
    scores = resampled_scores(study, [*(n for _, n in alone), *(m.name for m in both)], test=test)
    amounts, k = [amount for amount, _ in alone], len(alone)
    rows = []
    for j, m in enumerate(both):
        draws = [
            relative_value(m.real, m.synthetic, row[k + j], amounts, row[:k]) for row in scores
        ]
        rows.append((m.name, with_interval(draws)))
    return pd.DataFrame(rows, columns=["mix", "value"])


def curve_plot(study: Study, mixes: Sequence[Mix], *, test: str, heading: str) -> Figure:
    """hit@10 over the share of real images: alone, and with synthetic ones beside them."""
    fig, ax = plt.subplots(figsize=(7.2, 3.4), layout="constrained")
    names = ("real images alone", "synthetic images for the rest")
    for i, (name, color) in enumerate(zip(names, LINES, strict=False)):
        shown = [
            m for m in mixes if m.gap == 1 and not m.watermarked and not (i == 0 and m.synthetic)
        ]
        shown = sorted((m.real, m.name) for m in shown if i == 0 or m.real + m.synthetic == 100)
        if not shown:
            continue
        found = [study.estimate(arm, test=test) for _, arm in shown]
        ends = np.array([[one.value - one.low, one.high - one.value] for one in found]).T
        ax.errorbar([amount for amount, _ in shown], [one.value for one in found], ends,
                    color=color, marker=MARKERS[i], capsize=3, label=name)  # fmt: skip
    zero_shot = study.estimate("zero-shot", test=test).value
    for name, level in (("chance", study.chance("hit@10", test=test)), ("zero-shot", zero_shot)):
        ax.axhline(level, color=MUTED, ls=(0, (4, 3)), lw=1)
        ax.annotate(name, (0, level), (2, 3), color=MUTED, fontsize=8.5,
                    xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
    ax.set(xlabel="real images, percent of the training items", ylabel="hit@10, percent")
    percent_axis(ax.yaxis)
    ax.legend(loc="best")
    title(ax, heading)
    return fig


def values_told(values: pd.DataFrame) -> str:
    """A sentence: how many real images one synthetic image replaces, by mixture."""
    if values.empty:
        return "A value needs two mixtures of real images alone, and one with synthetic images."
    told = "; ".join(f"{row.mix}: {row.value.text}" for row in values.itertuples())
    return f"One synthetic image replaces so many real ones: {told}."
