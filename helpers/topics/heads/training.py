"""Training of heads on embeddings that are computed once, and what they are trained against."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import nn

from helpers.data.sets import RetrievalSet
from helpers.evaluation.ranking import positives_of, rank_both_directions
from helpers.experiment import hit10
from helpers.models.encoder import Encoder
from helpers.models.lora import adapt
from helpers.models.placement import Placement
from helpers.topics.heads.models import apply, penalty, projections
from helpers.training.batches import encode_batch, gather, plain_towers, prepare_pairs
from helpers.training.loop import Fitted, Settings, fit
from helpers.training.losses import info_nce, margin_contrastive, triplet
from helpers.training.prefix import Prefixes, why_not

LOSSES = {"margin": margin_contrastive, "triplet": triplet}
SHARES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.75, 1)  # of the steps, where validation is searched


@dataclass(frozen=True)
class Features:
    """A retrieval set with its embeddings under a frozen model.

    Attributes
    ----------
    data : RetrievalSet
    images, texts : (n, d), (m, d) float32
        Unit rows; those of :attr:`below` have any length.
    before : tuple of (n, h), (m, h) float32
        What the linear projections of the model read; empty where it has none.
    """

    data: RetrievalSet
    images: np.ndarray
    texts: np.ndarray
    before: tuple[np.ndarray, ...] = ()

    @property
    def below(self) -> "Features":
        """The same items as the projections read them: what heads of the kind ``prolip`` take."""
        return replace(self, images=self.before[0], texts=self.before[1])

    @cached_property
    def captions_of_image(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How many captions each image has, where they start, and their rows, image by image."""
        counts, rows = positives_of(self.data.image_items, self.data.caption_items)
        return counts, np.cumsum(counts) - counts, rows

    @cached_property
    def item_numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """The item of each image and of each caption as a number."""
        n, both = len(self.images), [self.data.image_items, self.data.caption_items]
        numbers = np.unique(np.concatenate(both), return_inverse=True)[1]
        return numbers[:n], numbers[n:]

    def part(self, n_items: int, seed: int) -> "Features":
        """``n_items`` items drawn at random; 0 or too many: all."""
        items = np.unique(self.data.image_items)
        if not 0 < n_items < len(items):
            return self
        drawn = np.random.default_rng([seed, n_items]).permutation(items)[:n_items]
        of_image, of_text = (
            np.flatnonzero(np.isin(one, drawn))
            for one in (self.data.image_items, self.data.caption_items)
        )
        data = RetrievalSet(
            _Chosen(self.data.images, of_image), self.data.image_items[of_image],
            [self.data.captions[i] for i in of_text], self.data.caption_items[of_text],
            self.data.name,
        )  # fmt: skip
        before = tuple(x[i] for x, i in zip(self.before, (of_image, of_text), strict=False))
        return Features(data, self.images[of_image], self.texts[of_text], before)

    def draw(self, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A batch: (b,) rows of distinct images, and of one caption of the item of each."""
        count, first, rows = self.captions_of_image
        images = rng.permutation(len(self.images))[:size]
        return images, rows[first[images] + (rng.random(len(images)) * count[images]).astype(int)]


class _Chosen:
    """Some of a sequence of images, opened when they are asked for."""

    def __init__(self, images, rows: np.ndarray):
        self.images, self.rows = images, rows
        keys = getattr(images, "keys", None)
        self.keys = [str(row) if keys is None else keys[row] for row in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int):
        return self.images[int(self.rows[i])]

    def __iter__(self) -> Iterator:
        return (self.images[int(row)] for row in self.rows)


def embed(encoder: Encoder, data: RetrievalSet) -> Features:
    """Embed a set once; with a CLIP model what its projections read is kept too."""
    with _inputs_of(projections(encoder)) as read:
        images, texts = encoder.images(data.images), encoder.texts(data.captions)
    return Features(data, images, texts, tuple(np.concatenate(one) for one in read if one))


@contextmanager
def _inputs_of(layers: list[nn.Module]) -> Iterator[list[list[np.ndarray]]]:
    read: list[list[np.ndarray]] = [[] for _ in layers]
    hooks = [
        layer.register_forward_pre_hook(
            lambda _, given, rows=rows: rows.append(given[0].float().cpu().numpy())
        )
        for layer, rows in zip(layers, read, strict=True)
    ]
    try:
        yield read
    finally:
        for hook in hooks:
            hook.remove()


def read_by(heads: nn.Module, features: Features) -> Features:
    """The features as heads read them: embeddings, or what lies below the projections."""
    return features.below if getattr(heads, "reads_below", False) else features


def moved(heads: nn.Module | None, features: Features) -> Features:
    """The embeddings under heads, (n, d) and (m, d) unit rows; None: as they are."""
    if heads is None:
        return features
    source = read_by(heads, features)
    images, texts = apply(heads, source.images, source.texts)
    return replace(features, images=images, texts=texts)


def ranks_of(heads: nn.Module | None, features: Features) -> pd.DataFrame:
    """Ranks in both directions under heads; None: of the features as they are."""
    found = moved(heads, features)
    return rank_both_directions(found.images, found.texts, features.data)


def score_of(heads: nn.Module | None, features: Features) -> float:
    """hit@10, mean of both directions, under heads: what every choice on validation is made by."""
    return hit10(ranks_of(heads, features))


def same_item(features: Features, images: np.ndarray, texts: np.ndarray) -> torch.Tensor:
    """(b, t) bool: which captions belong to the items of which images."""
    of_image, of_text = features.item_numbers
    return torch.from_numpy(of_image[images][:, None] == of_text[texts])


def batch_loss(
    heads: nn.Module, features: Features, size: int, rng: np.random.Generator, *,
    loss: str = "info_nce", negatives: str = "batch", margin: float = 0.2,
    mined: np.ndarray | None = None,
) -> torch.Tensor:  # fmt: skip
    """The loss of heads on a batch that is drawn at random.

    Parameters
    ----------
    loss : str
        ``info_nce``, ``margin`` (contrastive) or ``triplet``.
    negatives : str
        Of the two losses with a margin: ``random``, one other pair for each image and each caption,
        or ``batch``, all of them.
    mined : (n, k) int, optional
        Captions that are wrong for each image, as :func:`mine` gives them (-1: none): further
        columns of InfoNCE.
    """
    of_image, of_text = features.draw(size, rng)
    images = heads.image(torch.from_numpy(features.images[of_image]))  # (b, d)
    texts = heads.text(torch.from_numpy(features.texts[of_text]))
    same = same_item(features, of_image, of_text)
    if loss == "info_nce":
        extra = {}
        if mined is not None:
            rows = np.unique(mined[of_image])
            rows = rows[rows >= 0]
            extra["negatives"] = heads.text(torch.from_numpy(features.texts[rows]))
            extra["negative_positives"] = same_item(features, of_image, rows)
        value = info_nce(images, texts, heads.logit_scale.exp(), positives=same, **extra)
        return value + penalty(heads)
    cosines, positive = images @ texts.T, (images * texts).sum(dim=1)
    if negatives == "batch":
        wrong, counted = torch.cat([cosines, cosines.T], 1), torch.cat([~same, ~same.T], 1)
    else:
        other = (torch.arange(len(images)) + int(rng.integers(1, len(images)))) % len(images)
        own = torch.arange(len(images))
        wrong = torch.stack([cosines[own, other], cosines[other, own]], dim=1)
        counted = ~torch.stack([same[own, other], same[other, own]], dim=1)
    return LOSSES[loss](positive, wrong, margin=margin, counted=counted) + penalty(heads)


def train(
    heads: nn.Module, features: Features, validation: Features, *, seed: int, steps: int,
    learning_rate: float, batch_size: int = 128, keep: str = "best",
    loss_of: Callable[..., torch.Tensor] = batch_loss, **options,
) -> Fitted:  # fmt: skip
    """Train heads in place; they end with the weights that validated best.

    ``options`` are those of :func:`batch_loss`. Validation is searched at ``SHARES`` of the steps,
    early ones too: heads overfit within a few steps where there are few items.
    """
    features = read_by(heads, features)
    if options.get("loss", "info_nce") != "info_nce":
        heads.logit_scale.requires_grad_(False)  # losses with a margin have no temperature
    evaluated = tuple(sorted({0, *(max(1, round(steps * share)) for share in SHARES)}))
    settings = Settings(
        steps=steps, batch_size=batch_size, learning_rate=learning_rate, warmup=0.05, keep=keep,
        evaluations=evaluated, seed=seed,
    )  # fmt: skip
    return fit(
        heads, lambda step, rng: loss_of(heads, features, batch_size, rng, **options),
        settings=settings, evaluate=lambda step: score_of(heads, validation),
        progress=False,
    )  # fmt: skip


def mine(features: Features, *, k: int = 2, ceiling: float = 0.95) -> np.ndarray:
    """Hard negatives: for each image the captions of other items that score highest with it.

    Captions worded like one of the image's own are no negatives. One that scores above ``ceiling``
    times the best of its own may be right as well and is left out (Moreira et al., "NV-Retriever",
    2024).

    Returns
    -------
    (n, k) int64
        Rows of captions, the hardest first; -1 where there are fewer.
    """
    words = pd.factorize(np.array([" ".join(c.lower().split()) for c in features.data.captions]))[0]
    of_image, of_text = features.item_numbers
    said = np.unique(of_text * (words.max() + 1) + words)
    found = np.full((len(of_image), k), -1)
    for start in range(0, len(found), 512):
        part = slice(start, start + 512)
        scores = features.images[part] @ features.texts.T  # (b, m)
        own = of_image[part, None] == of_text
        best = np.where(own, scores, -np.inf).max(axis=1, keepdims=True)
        alike = np.isin(of_image[part, None] * (words.max() + 1) + words, said)
        scores = np.where(own | alike | (scores > ceiling * best), -np.inf, scores)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        kept = np.isfinite(np.take_along_axis(scores, order, axis=1))
        found[part, : order.shape[1]] = np.where(kept, order, -1)
    return found


@dataclass(frozen=True)
class SecondStage:
    """Heads and a model whose last block was trained with them, and how that went."""

    encoder: Encoder
    heads: nn.Module
    fitted: Fitted

    @property
    def trainable(self) -> int:
        """How many numbers were trained, the logit scale apart."""
        parts = (self.encoder.model, self.heads.image, self.heads.text)
        return sum(p.numel() for part in parts for p in part.parameters() if p.requires_grad)

    def features(self, data: RetrievalSet) -> Features:
        """A set as the trained model embeds it, its heads applied."""
        sides = apply(
            self.heads, self.encoder.images(data.images), self.encoder.texts(data.captions)
        )
        return Features(data, *sides)


def second_stage(
    encoder: Encoder, heads: nn.Module, train_data: RetrievalSet, validation: RetrievalSet, *,
    seed: int, steps: int, learning_rate: float, batch_size: int = 128,
) -> SecondStage:  # fmt: skip
    """Go on from trained heads with the last block of both towers unfrozen.

    What lies below the block is computed once for each image and caption (see
    :mod:`helpers.training.prefix`). The heads are copied, the model's weights too.
    """
    placement = Placement(method="full", vision_layers=1, text_layers=1)
    opened = adapt(encoder, placement, seed=seed, scalars=())
    pairs = prepare_pairs(encoder, train_data, progress=False)
    cached = not why_not(placement, opened)
    embeds = Prefixes(opened) if cached else opened
    towers = embeds.towers(pairs) if cached else plain_towers(opened, pairs)
    heads, shown = copy.deepcopy(heads), list(validation.images)  # each evaluation reads them
    images = np.unique(pairs.image_ids)
    first = np.searchsorted(pairs.image_ids, images)
    count = np.bincount(pairs.image_ids)[images]

    def loss(step: int, rng: np.random.Generator) -> torch.Tensor:
        drawn = rng.permutation(len(images))[:batch_size]
        rows = first[drawn] + (rng.random(len(drawn)) * count[drawn]).astype(int)
        batch = gather(pairs, towers, rows, torch.Generator())
        _, x, y = encode_batch(towers, batch, device=encoder.device)
        same = torch.from_numpy(pairs.positives(rows))
        scale = heads.logit_scale.exp()
        return info_nce(heads.image(x.cpu()), heads.text(y.cpu()), scale, positives=same)

    def score(step: int) -> float:
        sides = embeds.images(shown), embeds.texts(validation.captions)
        return score_of(heads, Features(validation, *sides))

    evaluated = tuple(
        sorted({0, *(max(1, round(steps * share)) for share in (0.25, 0.5, 0.75, 1))})
    )
    settings = Settings(
        steps=steps, batch_size=batch_size, learning_rate=learning_rate, evaluations=evaluated,
        seed=seed, start_counts=True,
    )  # fmt: skip
    both = nn.ModuleDict({"heads": heads, "model": opened.model})
    fitted = fit(both, loss, settings=settings, evaluate=score, progress=False)
    return SecondStage(opened, heads, fitted)
