"""Composed retrieval on the embeddings of a frozen dual encoder: baselines, composers, training.

Every model is a module with ``forward(reference, text, gallery) -> scores``: (q, d), (q, d) and
(g, d) float32 unit rows to (q, g). Most scores are cosines with one query vector; ARTEMIS has none.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from helpers.data.sets import LazyImages
from helpers.models.encoder import Encoder
from helpers.topics.cir.metrics import hit10, rank_frame
from helpers.topics.cir.triplets import Source, Triplet, TripletSet, image_names, take
from helpers.training.loop import Fitted, Settings, evaluation_steps, fit

QUERIES_AT_ONCE = 512
SCALE = 100.0  # where the inverse temperature begins, as in CLIP4CIR
SMOOTHING = 0.1
Scorer = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class ImageRows:
    """Embeddings of images by their ids: ``rows`` (n, d) float32, unit rows."""

    names: tuple[str, ...]
    rows: np.ndarray

    @cached_property
    def place(self) -> dict[str, int]:
        """The row of each id."""
        return {name: row for row, name in enumerate(self.names)}

    def join(self, other: "ImageRows") -> "ImageRows":
        """These and others, such as those of another domain."""
        new = [i for i, name in enumerate(other.names) if name not in self.place]
        names = (*self.names, *(other.names[i] for i in new))
        return ImageRows(names, np.concatenate([self.rows, other.rows[new]]))


def embed_images(encoder: Encoder, source: Source, *parts: str) -> ImageRows:
    """The images of some parts of a source (by default all), each embedded once."""
    names = source.names(*parts)
    return ImageRows(names, encoder.images(LazyImages(names, source.load_image)))


@dataclass(frozen=True)
class Features:
    """Triplets as a frozen dual encoder embeds them."""

    sets: tuple[TripletSet, ...]  # a set for each gallery
    images: ImageRows
    texts: np.ndarray  # (q, d) float32, unit rows: the modification texts, set after set

    @property
    def triplets(self) -> tuple[Triplet, ...]:
        """The queries, set after set."""
        return tuple(triplet for one in self.sets for triplet in one.triplets)

    @cached_property
    def references(self) -> np.ndarray:
        """(q,) row of ``images`` of each query's reference."""
        return np.array([self.images.place[one.reference] for one in self.triplets])

    @cached_property
    def targets(self) -> list[list[int]]:
        """The rows of ``images`` of each query's targets."""
        return [[self.images.place[name] for name in one.targets] for one in self.triplets]

    def part(self, n: int, *, seed: int) -> "Features":
        """``n`` triplets of a single set that a seed draws; 0: all."""
        if not n:
            return self
        few = take(self.sets[0], n, seed=seed)
        place = {triplet.pair_id: i for i, triplet in enumerate(self.triplets)}
        rows = [place[triplet.pair_id] for triplet in few.triplets]
        return Features((few,), self.images, self.texts[rows])


def embed(
    encoder: Encoder, sets: Sequence[TripletSet], images: ImageRows, *, joined: bool = False
) -> Features:
    """The features of sets whose images are embedded; ``joined``: as one set to train on."""
    sets = (join_sets(sets),) if joined else tuple(sets)
    lost = [n for one in sets for n in image_names(one) if n not in images.place]
    if lost:
        raise ValueError(
            f"image {lost[0]!r} is not among the {len(images.names)} embedded ones: embed the "
            "images of every part"
        )
    return Features(sets, images, encoder.texts([t.caption for one in sets for t in one.triplets]))


def join_sets(sets: Sequence[TripletSet]) -> TripletSet:
    """Several sets as one, over all their images: to train on."""
    gallery = tuple(dict.fromkeys(name for one in sets for name in one.gallery))
    triplets = tuple(triplet for one in sets for triplet in one.triplets)
    return replace(sets[0], triplets=triplets, gallery=gallery)


class Single(nn.Module):
    """One side alone, or the sum of both: nothing is trained.

    What image only finds says how much of a benchmark is near-duplicates of the reference.
    """

    def __init__(self, image: float, text: float):
        super().__init__()
        self.image, self.text = image, text

    def forward(self, reference: Tensor, text: Tensor, gallery: Tensor) -> Tensor:
        query = functional.normalize(self.image * reference + self.text * text, dim=-1)
        return query @ gallery.T  # (q, g)


class Product(nn.Module):
    """The product of both similarities, each above its minimum in the gallery: an untrained "and".

    After Psomas et al., "Instance-level composed image retrieval" (2025), who also center and
    project the embeddings.
    """

    def forward(self, reference: Tensor, text: Tensor, gallery: Tensor) -> Tensor:
        sides = (side @ gallery.T for side in (reference, text))
        image, words = (one - one.amin(dim=1, keepdim=True) for one in sides)
        return image * words


class Combiner(nn.Module):
    """CLIP4CIR's combiner: a learned mixture of both sides and a residual.

    Baldrati et al., "Effective conditioned and composed image retrieval combining CLIP-based
    features" (2022), figure 3: ``normalize(f(image, text) + s * text + (1 - s) * image)`` with a
    mixing weight ``s`` in (0, 1) of its own for each query.
    """

    def __init__(self, dim: int):
        super().__init__()
        width = 4 * dim  # of each projected side, as in the paper
        self.image, self.text = _layer(dim, width), _layer(dim, width)
        self.joint = _layer(2 * width, 2 * width)
        self.output = nn.Linear(2 * width, dim)
        mixing = _layer(2 * width, 2 * width)
        self.mixing = nn.Sequential(*mixing, nn.Linear(2 * width, 1), nn.Sigmoid())

    def forward(self, reference: Tensor, text: Tensor, gallery: Tensor) -> Tensor:
        both = torch.cat([self.text(text), self.image(reference)], dim=-1)  # (q, 2 width)
        share = self.mixing(both)  # (q, 1)
        mixed = self.output(self.joint(both)) + share * text + (1 - share) * reference
        return functional.normalize(mixed, dim=-1) @ gallery.T


class Tirg(nn.Module):
    """TIRG: the reference through a gate, plus a residual that the text asks for.

    Vo et al., "Composing text and image for image retrieval" (2019), equations 1 to 4, on pooled
    features; the weights of gate and residual are learned.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.gate = nn.Sequential(nn.BatchNorm1d(2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim))
        self.residual = nn.Sequential(
            nn.BatchNorm1d(2 * dim), nn.ReLU(), nn.Linear(2 * dim, 2 * dim), nn.ReLU(),
            nn.Linear(2 * dim, dim),
        )  # fmt: skip
        self.weights = nn.Parameter(torch.tensor([1.0, 1.0]))

    def forward(self, reference: Tensor, text: Tensor, gallery: Tensor) -> Tensor:
        both = torch.cat([reference, text], dim=-1)  # (q, 2 d)
        gated = torch.sigmoid(self.gate(both)) * reference
        mixed = self.weights[0] * gated + self.weights[1] * self.residual(both)
        return functional.normalize(mixed, dim=-1) @ gallery.T


class Artemis(nn.Module):
    """ARTEMIS: the text weighs the dimensions, in two scores that are added.

    Delmas et al., "ARTEMIS: attention-based retrieval with text-explicit matching and implicit
    similarity" (2022), section 3. Explicit matching compares the text with the target, implicit
    similarity the reference with the target.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.transform = nn.Linear(dim, dim)
        self.explicit, self.implicit = (
            nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.Softmax(dim=-1))
            for _ in range(2)
        )

    def forward(self, reference: Tensor, text: Tensor, gallery: Tensor) -> Tensor:
        wanted = functional.normalize(self.transform(text), dim=-1)  # (q, d)
        explicit, implicit = self.explicit(text), self.implicit(text)  # (q, d) weights
        seen = functional.normalize(implicit * reference, dim=-1)
        pairs = ((wanted, explicit), (seen, implicit))
        return sum(_weighted_cosine(unit, weights, gallery) for unit, weights in pairs)


def _layer(d_in: int, d_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(d_in, d_out), nn.ReLU(), nn.Dropout(0.5))


def _weighted_cosine(unit: Tensor, weights: Tensor, gallery: Tensor) -> Tensor:
    """(q, g): the cosine of each unit row with every gallery row times that row's weights.

    Two matrix products instead of a (q, g, d) array.
    """
    length = (weights.square() @ gallery.square().T).clamp_min(1e-12).sqrt()  # (q, g)
    return (unit * weights) @ gallery.T / length


BASELINES = ("image only", "text only", "sum", "product")
_SINGLE = {"image only": (1.0, 0.0), "text only": (0.0, 1.0), "sum": (1.0, 1.0)}
TRAINED = {"combiner": Combiner, "TIRG": Tirg, "ARTEMIS": Artemis}


def build(name: str, dim: int, *, seed: int = 42) -> nn.Module:
    """A model by its name, its first weights drawn from a seed; torch's state is left alone."""
    if name in BASELINES:
        return Single(*_SINGLE[name]) if name in _SINGLE else Product()
    if name not in TRAINED:
        raise ValueError(f"unknown model {name!r}: use one of {', '.join((*BASELINES, *TRAINED))}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return with_scale(TRAINED[name](dim))


def with_scale(model: nn.Module, scale: float = SCALE) -> nn.Module:
    """The model with a ``logit_scale`` that training learns: the logarithm of 1 / temperature."""
    model.logit_scale = nn.Parameter(torch.tensor(math.log(scale)))
    return model


def query_to_target(
    scores: Tensor, positives: Tensor, logit_scale: Tensor, *, smoothing: float = SMOOTHING
) -> Tensor:
    """Cross-entropy of each query over the targets of the batch; no target looks for its query.

    ``scores`` (q, t) are multiplied by the exponential of ``logit_scale``; ``positives`` (q, t)
    bool are all true targets among the distinct ones of the batch, and a query shares its weight
    among them. Raises ``ValueError`` if it has none.
    """
    if not bool(positives.any(dim=1).all()):
        query = int((~positives.any(dim=1)).nonzero()[0])
        raise ValueError(f"query {query} of the batch has no target among its columns")
    wanted = positives.float() / positives.sum(dim=1, keepdim=True)  # (q, t)
    wanted = (1 - smoothing) * wanted + smoothing / scores.shape[1]
    return -(wanted * functional.log_softmax(logit_scale.exp() * scores, dim=1)).sum(dim=1).mean()


def draw_batch(
    targets: Sequence[Sequence[int]], size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Queries (b,), the distinct targets drawn for them (t,), and which answers which, (b, t)."""
    queries = rng.permutation(len(targets))[:size]
    drawn = [targets[q][int(rng.integers(len(targets[q])))] for q in queries]
    columns = np.unique(drawn)
    place = {row: i for i, row in enumerate(columns.tolist())}
    positives = np.zeros((len(queries), len(columns)), dtype=bool)
    for i, q in enumerate(queries):
        positives[i, [place[row] for row in targets[q] if row in place]] = True
    return queries, columns, positives


def batch_loss(model: nn.Module, features: Features, size: int, rng: np.random.Generator) -> Tensor:
    """The loss of a composer on a batch that is drawn at random."""
    queries, columns, positives = draw_batch(features.targets, size, rng)
    rows = features.images.rows
    sides = (rows[features.references[queries]], features.texts[queries], rows[columns])
    scores = model(*map(torch.from_numpy, sides))  # (q, t)
    return query_to_target(scores, torch.from_numpy(positives), model.logit_scale)


def train(
    model: nn.Module, features: Features, validation: Features, *, steps: int,
    learning_rate: float = 1e-3, batch_size: int = 128, seed: int = 42, evaluations: int = 8,
    loss_of: Callable[..., Tensor] = batch_loss, progress: bool = False,
) -> Fitted:  # fmt: skip
    """Train a composer in place; it ends with the weights that validate best, its start included.

    ``loss_of(model, features, size, rng)`` gives the loss of a step. hit@10 on ``validation``
    decides; batch normalization keeps the statistics of the selected step.
    """
    kept: dict[str, float | dict[str, Tensor]] = {"score": -1.0, "buffers": {}}

    def score(step: int) -> float:
        found = hit10(ranks_of(model, validation))
        if found >= kept["score"]:
            kept["score"] = found
            kept["buffers"] = {name: one.clone() for name, one in model.named_buffers()}
        return found

    settings = Settings(
        steps=steps, batch_size=batch_size, learning_rate=learning_rate, warmup=0.05, clip=0.0,
        evaluations=when_evaluated(steps, evaluations), start_counts=True, seed=seed,
    )  # fmt: skip
    fitted = fit(
        model, lambda step, rng: loss_of(model, features, batch_size, rng), settings=settings,
        evaluate=score, progress=progress,
    )  # fmt: skip
    for name, one in model.named_buffers():
        one.copy_(kept["buffers"][name])
    return fitted


def when_evaluated(steps: int, n: int) -> tuple[int, ...]:
    """The start, and ``n`` geometric steps from 10 to the last."""
    return (0, *evaluation_steps(Settings(evaluations=n), steps, 0))


def scores_of(model: Scorer, features: Features) -> list[np.ndarray]:
    """(q, g) float32 scores of each set's queries with its gallery; the model is left as it is.

    ``model`` is a module or a function of (q, d) references, (q, d) texts and a (g, d) gallery.
    """
    trained = isinstance(model, nn.Module) and model.training
    found, start, rows = [], 0, features.images.rows
    if trained:
        model.eval()
    with torch.inference_mode():
        for one in features.sets:
            gallery = torch.from_numpy(rows[[features.images.place[n] for n in one.gallery]])
            blocks, stop = [], start + len(one.triplets)
            for at in range(start, stop, QUERIES_AT_ONCE):
                part = slice(at, min(at + QUERIES_AT_ONCE, stop))
                sides = rows[features.references[part]], features.texts[part]
                blocks.append(model(*map(torch.from_numpy, sides), gallery).numpy())
            found.append(np.concatenate(blocks))
            start = stop
    if trained:
        model.train()
    return found


def ranks_of(model: Scorer, features: Features) -> pd.DataFrame:
    """Ranks of every query's first target, as a study takes them."""
    return rank_frame(scores_of(model, features), features.sets)
