"""Linear maps on frozen embeddings whose first numbers are trained to be enough."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import normalize

from helpers.data.sets import RetrievalSet
from helpers.evaluation.ranking import positives_of, rank_both_directions
from helpers.experiment import hit10
from helpers.models.encoder import Encoder
from helpers.study import Study
from helpers.training.loop import Fitted, Settings, fit
from helpers.training.losses import info_nce

SHARES = (0.1, 0.25, 0.5, 0.75, 1)  # of the steps, where validation is searched


@dataclass(frozen=True)
class Embedded:
    """A retrieval set with its embeddings: (n, d) of images, (m, d) of captions, unit rows."""

    data: RetrievalSet
    images: np.ndarray
    texts: np.ndarray

    @classmethod
    def by(cls, encoder: Encoder, data: RetrievalSet) -> "Embedded":
        """Embed a set with an encoder."""
        return cls(data, encoder.images(data.images), encoder.texts(data.captions))

    @classmethod
    def stored(
        cls, data: RetrievalSet, rows: Mapping[str, np.ndarray], text_encoder: Any
    ) -> "Embedded":
        """A set whose images are embedded already: ``rows`` has the row (d,) of each key."""
        images = np.stack([rows[key] for key in data.image_keys])
        return cls(data, images, text_encoder.texts(data.captions))

    @property
    def chance(self) -> float:
        """hit@10 of a random ranking, mean of both directions."""
        ranks = rank_both_directions(self.images, self.texts, self.data)
        return Study.of({"set": ranks}, test="set").chance("hit@10", test="set")

    @cached_property
    def _numbers(self) -> tuple[np.ndarray, ...]:
        """The item of each image and caption, captions by image, where they start, their rows."""
        items, n = [self.data.image_items, self.data.caption_items], len(self.images)
        numbers = np.unique(np.concatenate(items), return_inverse=True)[1]
        counts, rows = positives_of(*items)
        return numbers[:n], numbers[n:], counts, np.cumsum(counts) - counts, rows

    def batch(
        self, size: int, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Images (b, d) with a caption each (b, d), and which belong to one item, (b, b) bool."""
        of_image, of_text, counts, first, rows = self._numbers
        images = rng.permutation(len(self.images))[:size]
        texts = rows[first[images] + (rng.random(len(images)) * counts[images]).astype(int)]
        same = torch.from_numpy(of_image[images][:, None] == of_text[texts])
        return torch.from_numpy(self.images[images]), torch.from_numpy(self.texts[texts]), same


class Maps(nn.Module):
    """A square matrix for images and one for captions, which start as the identity, and the scale.

    ``logit_scale`` is the logarithm of the inverse temperature.
    """

    def __init__(self, dimension: int, logit_scale: float) -> None:
        super().__init__()
        self.image, self.text = (nn.Parameter(torch.eye(dimension)) for _ in range(2))
        self.logit_scale = nn.Parameter(torch.tensor(logit_scale).log())

    def forward(
        self, images: torch.Tensor, texts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mapped images and captions, not yet scaled to length 1."""
        return images @ self.image.T, texts @ self.text.T


def nested_loss(
    maps: Maps, embedded: Embedded, size: int, rng: np.random.Generator, *, dims: Sequence[int]
) -> torch.Tensor:
    """InfoNCE on the first d numbers of a batch, averaged over all d in ``dims``.

    Kusupati et al., "Matryoshka representation learning" (2022). One d alone, the whole length, is
    the plain loss.
    """
    images, texts, same = embedded.batch(size, rng)
    x, y = maps(images, texts)
    scale = maps.logit_scale.exp()
    parts = [
        info_nce(normalize(x[:, :d], dim=-1), normalize(y[:, :d], dim=-1), scale, positives=same)
        for d in dims
    ]
    return torch.stack(parts).mean()


@torch.no_grad()
def ranks_of(maps: Maps, embedded: Embedded, dimensions: int) -> pd.DataFrame:
    """Ranks in both directions by the first numbers of the mapped embeddings."""
    both = maps(torch.from_numpy(embedded.images), torch.from_numpy(embedded.texts))
    sides = (normalize(one[:, :dimensions], dim=-1).numpy() for one in both)
    return rank_both_directions(*sides, embedded.data)


def train(
    embedded: Embedded, validation: Embedded, *, dims: Sequence[int], shown: int,
    logit_scale: float, steps: int, learning_rate: float, seed: int, batch_size: int = 128,
    loss_of: Callable[..., torch.Tensor] = nested_loss,
) -> tuple[Maps, Fitted]:  # fmt: skip
    """Train maps for all lengths in ``dims``; they end as the last step leaves them.

    ``shown`` is the length whose hit@10 on validation is recorded. Nothing is chosen by it.
    """
    maps = Maps(embedded.images.shape[1], logit_scale)
    evaluated = tuple(sorted({0, *(max(1, round(steps * share)) for share in SHARES)}))
    settings = Settings(
        steps=steps, batch_size=batch_size, learning_rate=learning_rate, warmup=0.05, keep="last",
        evaluations=evaluated, seed=seed,
    )  # fmt: skip
    fitted = fit(
        maps, lambda step, rng: loss_of(maps, embedded, batch_size, rng, dims=dims),
        settings=settings, evaluate=lambda step: hit10(ranks_of(maps, validation, shown)),
        progress=False,
    )  # fmt: skip
    return maps, fitted
