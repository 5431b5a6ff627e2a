"""Composed image retrieval on frozen embeddings: a reference and a text, scored with a gallery.

Every model here is a module with ``forward(reference, text, gallery) -> scores``: (q, d), (q, d)
and (g, d) float32, unit rows, to (q, g) scores that are cosines, or sums of two. Training and
ranking then know one shape. The embeddings come from the two towers of a CLIP or SigLIP model, or
from any other pair of towers with one space.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALE = 100.0  # where temperatures begin, as in CLIP4Cir


class ComposedError(ValueError):
    """An unknown model, or embeddings that do not fit it."""


class Single(nn.Module):
    """One side alone, or the sum of both: nothing is trained.

    Image only, text only and the sum are the baselines of every table of the field; what image
    only finds says how much of a benchmark is near-duplicates of the reference.
    """

    def __init__(self, image: float, text: float):
        super().__init__()
        self.image, self.text = image, text

    def query(self, reference: Tensor, text: Tensor) -> Tensor:
        """(q, d) unit rows."""
        return functional.normalize(self.image * reference + self.text * text, dim=-1)

    def forward(self, reference: Tensor, text: Tensor, gallery: Tensor) -> Tensor:
        return self.query(reference, text) @ gallery.T  # (q, g)


class Combiner(nn.Module):
    """CLIP4Cir's combiner: a learned mixture of both sides and a residual.

    Baldrati et al., "Effective conditioned and composed image retrieval combining CLIP-based
    features" (2022), figure 3: ``normalize(f(image, text) + s * text + (1 - s) * image)`` with a
    mixing weight ``s`` in (0, 1) of its own for each query.

    Parameters
    ----------
    dim : int
        Of the embeddings.
    width : int
        Of each projected side; 0: 4 x dim, as in the paper.
    dropout : float
    """

    def __init__(self, dim: int, *, width: int = 0, dropout: float = 0.5):
        super().__init__()
        width = width or 4 * dim
        self.image = nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Dropout(dropout))
        self.text = nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Dropout(dropout))
        self.joint = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Dropout(dropout))
        self.output = nn.Linear(2 * width, dim)
        self.mixing = nn.Sequential(
            nn.Linear(2 * width, 2 * width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, 1),
            nn.Sigmoid(),
        )

    def query(self, reference: Tensor, text: Tensor) -> Tensor:
        """(q, d) unit rows."""
        both = torch.cat([self.text(text), self.image(reference)], dim=-1)  # (q, 2 width)
        share = self.mixing(both)  # (q, 1)
        mixed = self.output(self.joint(both)) + share * text + (1 - share) * reference
        return functional.normalize(mixed, dim=-1)

    def forward(self, reference: Tensor, text: Tensor, gallery: Tensor) -> Tensor:
        return self.query(reference, text) @ gallery.T


class Tirg(nn.Module):
    """TIRG: the reference through a gate, plus a residual that the text asks for.

    Vo et al., "Composing text and image for image retrieval" (2019), equations 1 to 4, on pooled
    features; the weights of gate and residual are learned.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.gate = nn.Sequential(nn.BatchNorm1d(2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim))
        self.residual = nn.Sequential(
            nn.BatchNorm1d(2 * dim),
            nn.ReLU(),
            nn.Linear(2 * dim, 2 * dim),
            nn.ReLU(),
            nn.Linear(2 * dim, dim),
        )
        self.weights = nn.Parameter(torch.tensor([1.0, 1.0]))

    def query(self, reference: Tensor, text: Tensor) -> Tensor:
        """(q, d) unit rows."""
        both = torch.cat([reference, text], dim=-1)  # (q, 2 d)
        gated = torch.sigmoid(self.gate(both)) * reference
        mixed = self.weights[0] * gated + self.weights[1] * self.residual(both)
        return functional.normalize(mixed, dim=-1)

    def forward(self, reference: Tensor, text: Tensor, gallery: Tensor) -> Tensor:
        return self.query(reference, text) @ gallery.T


class Artemis(nn.Module):
    """ARTEMIS: the text says which dimensions to look at, in two scores that are added.

    Delmas et al., "ARTEMIS: attention-based retrieval with text-explicit matching and implicit
    similarity" (2022), section 3. Explicit matching compares the text with the target, implicit
    similarity the reference with the target, each after the text's own weighting of the
    dimensions. A query has no single vector: the weighting of the target depends on the text.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.transform = nn.Linear(dim, dim)
        self.explicit, self.implicit = _attention(dim), _attention(dim)

    def forward(self, reference: Tensor, text: Tensor, gallery: Tensor) -> Tensor:
        wanted = functional.normalize(self.transform(text), dim=-1)  # (q, d)
        explicit, implicit = self.explicit(text), self.implicit(text)  # (q, d) weights
        seen = functional.normalize(implicit * reference, dim=-1)
        return _weighted_cosine(wanted, explicit, gallery) + _weighted_cosine(
            seen, implicit, gallery
        )


def _attention(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.Softmax(dim=-1))


def _weighted_cosine(unit: Tensor, weights: Tensor, gallery: Tensor) -> Tensor:
    """(q, g): the cosine of each unit row with every gallery row times that row's weights.

    Two matrix products instead of a (q, g, d) array.
    """
    length = (weights.square() @ gallery.square().T).clamp_min(1e-12).sqrt()  # (q, g)
    return (unit * weights) @ gallery.T / length


BASELINES = {"image only": (1.0, 0.0), "text only": (0.0, 1.0), "sum": (1.0, 1.0)}
TRAINED = {"combiner": Combiner, "TIRG": Tirg, "ARTEMIS": Artemis}


def build_composed(name: str, dim: int, *, seed: int = 42, **options: float) -> nn.Module:
    """A model of composed retrieval by its name, its first weights drawn from a seed.

    Parameters
    ----------
    name : str
        ``image only``, ``text only``, ``sum``, ``combiner``, ``TIRG`` or ``ARTEMIS``.
    dim : int
        Of the embeddings.
    **options
        Of the model's class, such as ``width`` of the combiner.

    Raises
    ------
    ComposedError
        If the name is unknown.

    Examples
    --------
    >>> build_composed("sum", 4)(torch.eye(4)[:1], torch.eye(4)[1:2], torch.eye(4)).argmax().item()
    0
    """
    if name in BASELINES:
        return Single(*BASELINES[name])
    if name not in TRAINED:
        raise ComposedError(
            f"unknown model {name!r}: use one of {', '.join((*BASELINES, *TRAINED))}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TRAINED[name](dim, **options)


def composed_loss(
    scores: Tensor, positives: Tensor, log_scale: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Batch-based classification: cross-entropy of each query over the targets of the batch.

    Parameters
    ----------
    scores : (q, g) float
        Of the batch's queries with the batch's distinct targets.
    positives : (q, g) bool
        Every true target among them: a query shares its weight among its positives.
    log_scale : () float
        The scores are multiplied by its exponential.

    Raises
    ------
    ComposedError
        If a query has no positive in the batch.
    """
    if not bool(positives.any(dim=1).all()):
        query = int((~positives.any(dim=1)).nonzero()[0])
        raise ComposedError(f"query {query} of the batch has no target among its columns")
    wanted = positives.float() / positives.sum(dim=1, keepdim=True)  # (q, g)
    wanted = (1 - label_smoothing) * wanted + label_smoothing / scores.shape[1]
    return -(wanted * functional.log_softmax(log_scale.exp() * scores, dim=1)).sum(dim=1).mean()


def starting_log_scale(scale: float = SCALE) -> nn.Parameter:
    """The logarithm of a learnable scale (1 / temperature)."""
    return nn.Parameter(torch.tensor(math.log(scale)))
