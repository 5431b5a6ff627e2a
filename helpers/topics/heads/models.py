"""Heads on frozen embeddings: residual, from scratch, or linear and pulled towards their start.

A residual head adds a small network's output to the embedding, ``x + alpha * A(x)`` (Gao et al.,
"CLIP-Adapter", 2021, who take the convex form). An MLP head replaces the embedding. A linear head
is a matrix that starts at the identity (RLA) or at the model's own projection (ProLIP), with a
penalty on its distance from there (Fahes et al., "CLIP's visual embedding projector is a few-shot
cornucopia", 2024).
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from helpers.models.encoder import FAMILIES, Encoder

KINDS = ("residual", "mlp", "rla", "prolip")
START_SCALE = 1 / 0.07  # Radford et al. 2021, section 2.3


class Residual(nn.Module):
    """``x + alpha * A(x)``, (n, d) to (n, d) unit rows; A is a bottleneck that starts at zero."""

    def __init__(self, d: int, *, alpha: float = 0.2, width: int = 0):
        super().__init__()
        self.alpha, width = alpha, width or max(1, d // 4)
        self.mlp = nn.Sequential(nn.Linear(d, width), nn.ReLU(), nn.Linear(width, d))
        nn.init.zeros_(self.mlp[-1].weight)
        nn.init.zeros_(self.mlp[-1].bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Unit rows in, unit rows out."""
        return F.normalize(x + self.alpha * self.mlp(x), dim=-1)


class Mlp(nn.Module):
    """Two hidden layers of twice the width in the place of the embedding, from random weights."""

    def __init__(self, d: int):
        super().__init__()
        sizes = (d, 2 * d, 2 * d)
        hidden = [m for i in (0, 1) for m in (nn.Linear(sizes[i], sizes[i + 1]), nn.ReLU())]
        self.mlp = nn.Sequential(*hidden, nn.Linear(2 * d, d))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Unit rows in, unit rows out."""
        return F.normalize(self.mlp(x), dim=-1)


class Linear(nn.Module):
    """A matrix (d, h) on (n, h) rows that is pulled towards where it starts."""

    def __init__(self, start: torch.Tensor):
        super().__init__()
        self.weight = nn.Parameter(start.clone())
        self.register_buffer("start", start.clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, h) rows to (n, d) unit rows."""
        return F.normalize(x @ self.weight.T, dim=-1)

    def distance(self) -> torch.Tensor:
        """The squared Frobenius distance from the start."""
        return (self.weight - self.start).square().sum()


class Heads(nn.Module):
    """A head for images, one for texts, the logit scale of InfoNCE, and the pull of linear heads.

    ``pull`` is the weight of :func:`penalty` in the loss; ``logit_scale`` is a logarithm;
    ``reads_below`` says that the heads take the place of the model's projections.
    """

    def __init__(
        self, image: nn.Module, text: nn.Module, *, pull: float = 0.0, reads_below: bool = False
    ):
        super().__init__()
        self.image, self.text, self.pull, self.reads_below = image, text, pull, reads_below
        self.logit_scale = nn.Parameter(torch.tensor(math.log(START_SCALE)))

    @property
    def trainable(self) -> int:
        """How many numbers both heads train; the logit scale apart."""
        return sum(p.numel() for head in (self.image, self.text) for p in head.parameters())


def make_heads(
    kind: str, encoder: Encoder, *, seed: int, alpha: float = 0.2, width: int = 0, pull: float = 0.1
) -> Heads:
    """Fresh heads for the embeddings of a model; torch's global state is left alone.

    Parameters
    ----------
    kind : str
        ``residual``, ``mlp``, ``rla``, or ``prolip``, which reads what the projections read.
    alpha, width
        Of a residual head; width 0: a quarter of the embedding.
    pull : float
        Of a linear head.

    Raises
    ------
    ValueError
        If the kind is unknown, or the model has no linear projections to start from.
    """
    if kind not in KINDS:
        raise ValueError(f"head {kind!r} is unknown: use one of {', '.join(KINDS)}")
    d = encoder.dimension
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "residual":
            return Heads(*(Residual(d, alpha=alpha, width=width) for _ in range(2)))
        if kind == "mlp":
            return Heads(Mlp(d), Mlp(d))
    if kind == "rla":
        return Heads(Linear(torch.eye(d)), Linear(torch.eye(d)), pull=pull)
    found = projections(encoder)
    if not found:
        raise ValueError(
            f"{encoder.name} has no linear projections behind its towers, which ProLIP trains: use "
            "a CLIP model, or the kind 'rla'"
        )
    starts = (Linear(one.weight.detach().float().cpu()) for one in found)
    return Heads(*starts, pull=pull, reads_below=True)


def penalty(heads: nn.Module) -> torch.Tensor | float:
    """What the pull of linear heads adds to their loss; 0 for heads that are pulled nowhere."""
    pull = getattr(heads, "pull", 0.0)
    return pull * (heads.image.distance() + heads.text.distance()) if pull else 0.0


def projections(encoder: Encoder) -> list[nn.Linear]:
    """The linear projections of images and texts; empty where a model ends in something else."""
    found = [encoder.model.get_submodule(path) for path in FAMILIES[encoder.family].heads]
    return found if all(isinstance(one, nn.Linear) for one in found) else []


def with_alpha(heads: Heads, alpha: float) -> Heads:
    """Trained residual heads with another alpha; the weights are shared."""
    turned = Heads(*(Residual(head.mlp[0].in_features, alpha=alpha) for head in _sides(heads)))
    for new, head in zip(_sides(turned), _sides(heads), strict=True):
        new.mlp = head.mlp
    return turned.eval()


def apply(heads: nn.Module, images: np.ndarray, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What heads make of (n, h) and (m, h) rows: (n, d) and (m, d) float32 unit rows."""
    with torch.inference_mode():
        found = [
            head(torch.from_numpy(np.asarray(rows, np.float32))).numpy()
            for head, rows in zip(_sides(heads), (images, texts), strict=True)
        ]
    return found[0], found[1]


def _sides(heads: nn.Module) -> tuple[nn.Module, nn.Module]:
    return heads.image, heads.text
