"""Adapting without forgetting: what a model gains in its domain against what it loses elsewhere.

A model is trained with something that holds it near its base, or with nothing, and then looked at
along the path from the base (factor 0) to itself (1): :func:`helpers.models.lora.scaled`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image

from helpers.data.sets import RetrievalSet
from helpers.experiment import with_points
from helpers.grid import Result
from helpers.models.encoder import Encoder
from helpers.models.lora import adapt
from helpers.models.placement import Placement, trainable_counts
from helpers.report.plots import gain_against_loss
from helpers.study import Design, Study
from helpers.topics.adaptation.study import Training
from helpers.training.batches import TrainingPairs, plain_towers, prepare_pairs
from helpers.training.loop import Settings, fit
from helpers.training.runs import contrastive_step

SCRAMBLED = "scrambled"
TESTS = ("kitchen", "general")  # the domain of the training, then the other one
PATH = ("gain", "gain_low", "gain_high", "loss", "loss_low", "loss_high")
Step = Callable[[int, np.random.Generator], Any]


@dataclass(frozen=True)
class Holding:
    """What holds a model near its base while it is trained; 0 or "": nothing.

    Attributes
    ----------
    replay, replay_pairs : str, int
        A set of another domain, of which each step also takes so many pairs, with the same loss and
        negatives of their own (rehearsal: Robins 1995).
    distill, distill_pairs, distill_weight : str, int, float
        A set without labels, or ``SCRAMBLED``: embeddings of so many of its images and captions
        shall stay where the base has them. Added to the loss: weight times the mean of 1 - cosine,
        of both towers (in the manner of LDIFS: Mukhoti et al. 2023).
    penalty : float
        Times the sum of squares of all changes of trained weights (L2-SP: Li et al. 2018).
    """

    replay: str = ""
    replay_pairs: int = 0
    distill: str = ""
    distill_pairs: int = 0
    distill_weight: float = 0.0
    penalty: float = 0.0


def scrambled(encoder: Encoder, data: RetrievalSet, *, seed: int) -> RetrievalSet:
    """Images and texts of no domain, to distill on where there are no data of another one.

    Each item has one image of ``data``, its color channels in random order, inverted or not, cut
    into 1, 4 or 16 tiles that are shuffled; and a text of 3 to 10 random words of the tokenizer's
    vocabulary ("Lipsum-FT" holds a model by random texts, arXiv 2404.00860, 2024).
    """
    rng, n = np.random.default_rng(seed), len(data.items)
    tokenizer = encoder.processor.tokenizer
    parts = {tokenizer.decode([i]).strip() for i in range(len(tokenizer))}
    words = sorted(word for word in parts if word.isalpha() and len(word) > 1)
    texts = [" ".join(rng.choice(words, rng.integers(3, 11))) for _ in range(n)]
    images = [_shuffled(data.images[i], rng) for i in rng.choice(len(data.images), n)]
    items = np.arange(n).astype(str)
    return RetrievalSet(images, items, texts, items, SCRAMBLED)


def _shuffled(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image.convert("RGB"))[:, :, rng.permutation(3)]
    pixels = 255 - pixels if rng.random() < 0.5 else pixels
    k = int(rng.choice([1, 2, 4]))
    h, w = (side // k for side in pixels.shape[:2])
    tiles = pixels[: h * k, : w * k].reshape(k, h, k, w, 3).swapaxes(1, 2).reshape(-1, h, w, 3)
    tiles = rng.permutation(tiles).reshape(k, k, h, w, 3)
    return Image.fromarray(tiles.swapaxes(1, 2).reshape(k * h, k * w, 3))


def replayed(encoder: Encoder, pairs: TrainingPairs, settings: Settings, n: int) -> Step:
    """The contrastive loss of ``n`` other pairs; its gradients are accumulated, as ``fit`` takes.

    Batches follow from ``settings.seed`` as those of the training do.
    """
    own = replace(settings, batch_size=n, accumulation=1)
    return contrastive_step(encoder, pairs, plain_towers(encoder, pairs), own)


def distilled(encoder: Encoder, base: Encoder, pairs: TrainingPairs, n: int, weight: float) -> Step:
    """How far ``n`` images and as many captions move from the base's embeddings, times a weight."""
    ids = torch.arange(len(pairs.pixels)), torch.arange(len(pairs.captions))
    with torch.no_grad():
        towers, still = plain_towers(encoder, pairs), plain_towers(base, pairs)
        fixed = [
            torch.cat([embed(gather(part)) for part in all_ids.split(256)])
            for gather, embed, all_ids in (
                (lambda part: still.gather_images(part, None), still.encode_images, ids[0]),
                (still.gather_texts, still.encode_texts, ids[1]),
            )
        ]

    def step(number: int, rng: np.random.Generator) -> torch.Tensor:
        images, texts = (torch.from_numpy(rng.integers(len(one), size=n)) for one in ids)
        moved = (
            towers.encode_images(towers.gather_images(images, None)),
            towers.encode_texts(towers.gather_texts(texts)),
        )
        kept = (fixed[0][images], fixed[1][texts])
        loss = weight * sum((1 - (a * b).sum(1)).mean() for a, b in zip(moved, kept, strict=True))
        loss.backward()
        return loss.detach()

    return step


def penalized(encoder: Encoder, weight: float) -> Step:
    """The sum of squared changes of the trained weights since now, times a weight."""
    trained = [p for p in encoder.model.parameters() if p.requires_grad]
    starts = [p.detach().clone() for p in trained]

    def step(number: int, rng: np.random.Generator) -> torch.Tensor:
        loss = weight * sum(((p - q) ** 2).sum() for p, q in zip(trained, starts, strict=True))
        loss.backward()
        return loss.detach()

    return step


def train_holding(
    base: Encoder, pairs: Mapping[str, TrainingPairs], *, placement: Placement, settings: Settings,
    holding: Holding, evaluate: Callable[[Encoder], float] | None = None,
) -> tuple[Encoder, pd.DataFrame, pd.DataFrame, dict[str, float]]:  # fmt: skip
    """Train on ``pairs["training"]`` while something holds the model.

    Returns the adapted encoder, the losses and evaluations of
    :class:`helpers.training.loop.Fitted`, and seconds and numbers of parameters.
    """
    adapted = adapt(base, placement, seed=settings.seed)
    own = pairs["training"]
    steps = [contrastive_step(adapted, own, plain_towers(adapted, own), settings)]
    if holding.replay_pairs:
        steps.append(replayed(adapted, pairs[holding.replay], settings, holding.replay_pairs))
    if holding.distill_pairs:
        other = pairs[holding.distill]
        steps.append(distilled(adapted, base, other, holding.distill_pairs, holding.distill_weight))
    if holding.penalty:
        steps.append(penalized(adapted, holding.penalty))

    def all_steps(number: int, rng: np.random.Generator) -> tuple[torch.Tensor, list[str]]:
        given = [step(number, rng) for step in steps]
        losses = [one[0] if isinstance(one, tuple) else one for one in given]
        return sum(losses), given[0][1]

    found = fit(
        adapted.model, all_steps, settings=settings, progress=False,
        evaluate=evaluate and (lambda step: evaluate(adapted)),
    )  # fmt: skip
    info = {
        "seconds": found.seconds,
        "trainable_parameters": trainable_counts(adapted.model).trainable,
    }
    return adapted, found.losses, found.evaluations, info


@dataclass(frozen=True)
class Frontier(Training):
    """Trains an arm of the design, and ranks every test along its path."""

    @cached_property
    def _scrambled(self) -> dict[str, TrainingPairs]:
        return {}

    def pairs_of(self, base: str, name: str) -> TrainingPairs:
        """The pairs of a set, prepared once for a base model."""
        if name != SCRAMBLED:
            return self.prepared(base, name).pairs
        if base not in self._scrambled:
            data = scrambled(self.bases[base], self.sets["training"], seed=1)
            self._scrambled[base] = prepare_pairs(self.bases[base], data, progress=False)
        return self._scrambled[base]

    def train(
        self, *, seed: int, base: str, factors: Sequence[float] = (1.0,), placement: str = "",
        learning_rate: float = 0.0, **holding: Any,
    ) -> Result:  # fmt: skip
        """Train one arm with one seed; without a ``placement`` the base itself is ranked.

        The ranks have a column ``factor``; the frame ``path`` has the score of both domains on
        validation at each factor.
        """
        if not placement:
            return self._ranked(base, self.bases[base], (1.0,), {})
        held = Holding(**holding)
        names = {"training", held.replay, held.distill} - {""}
        encoder, losses, evaluations, info = train_holding(
            self.bases[base], {name: self.pairs_of(base, name) for name in names},
            placement=Placement(**self.design.settings["placements"][placement]),
            settings=self.settings(seed, {"learning_rate": learning_rate, **self.shared}),
            holding=held, evaluate=self.prepared(base, f"validation, {TESTS[0]}").hit10,
        )  # fmt: skip
        result = self._ranked(base, encoder, factors, info)
        more = {"losses": losses[["step", "loss"]], "evaluations": evaluations[["step", "score"]]}
        return replace(result, frames={**result.frames, **more})

    @property
    def shared(self) -> dict[str, int]:
        """Steps and pairs of a step, alike for all arms."""
        return {name: self.design.settings[name] for name in ("steps", "batch_size")}

    def _ranked(
        self, base: str, encoder: Encoder, factors: Sequence[float], info: Mapping[str, float]
    ) -> Result:
        ranks, path = self.along_path(base, encoder, factors, tests=TESTS)
        return Result(ranks, info, {"path": path} if len(path) else {})


def run_study(design: Design, folder: Path, *, device: str = "cpu") -> Study:
    """Train what the design asks; finished runs in ``folder`` are not trained again.

    An arm with ``of`` and ``factor`` is a point on the path of another one, and is not trained.
    """
    experiment = Frontier(design, device)
    points = {arm: about for arm, about in design.arms.items() if "of" in about}
    trained = {arm: dict(about) for arm, about in design.arms.items() if arm not in points}
    for arm, about in trained.items():
        own = [point["factor"] for point in points.values() if point["of"] == arm]
        about |= {"factors": sorted({1.0, *own})} if "placement" in about else {}
    settings = experiment.settings(1, {"learning_rate": 0.0, **experiment.shared})
    identity = experiment.identity("helpers.training.runs", __name__, training=asdict(settings))
    return with_points(experiment.run(folder, identity, trained), points)


def curves(study: Study, design: Design) -> pd.DataFrame:
    """The path of each method: ``method``, ``factor`` and what ``adaptation.PATH`` names.

    Differences from the base that the method was trained from, in points, with their intervals.
    """
    bases = {about["base"]: arm for arm, about in design.arms.items() if _is_base(about)}
    rows = []
    for arm, about in design.arms.items():
        if _is_base(about):
            continue
        method = about.get("of", arm)
        zero = bases[design.arms[method]["base"]]
        found = [study.difference(arm, zero, test=test) for test in TESTS]
        numbers = [100 * x for one in found for x in (one.value, one.low, one.high)]
        rows.append((method, about.get("factor", 1.0), *numbers))
    frame = pd.DataFrame(rows, columns=["method", "factor", *PATH])
    starts = [(method, 0.0, *[0.0] * len(PATH)) for method in dict.fromkeys(frame["method"])]
    whole = pd.concat([pd.DataFrame(starts, columns=frame.columns), frame])
    return whole.sort_values(["method", "factor"], ignore_index=True)


def figure(study: Study, design: Design) -> Figure:
    """Gain against loss, one curve for each method that the design's settings list as shown."""
    own, other = (design.data[test]["source"] for test in TESTS)
    found = curves(study, design)
    return gain_against_loss(
        found[found["method"].isin(design.settings["shown"])],
        heading="What holds a model near its base",
        xlabel=f"hit@10 on {other}, change in points", ylabel=f"hit@10 on {own}, change in points",
    )  # fmt: skip


def gain_and_loss(
    base: Mapping[str, pd.DataFrame], moved: Mapping[str, pd.DataFrame]
) -> list[float]:
    """What an adapted model gains on its domain and loses on another, in points.

    Both mappings hold ranks: of the domain first, then of the other one. The numbers are those of
    ``PATH``: each difference of hit@10 with its interval over items.
    """
    numbers = []
    for test, ranks in moved.items():
        both = Study.of({"base": base[test], "moved": ranks}, test=test)
        one = both.difference("moved", "base", test=test)
        numbers += [100 * x for x in (one.value, one.low, one.high)]
    return numbers


def _is_base(about: Mapping[str, Any]) -> bool:
    return "of" not in about and "placement" not in about
