"""Small heads on frozen embeddings: two towers that start from nothing, or residuals that start
from what the model already knows.

A *tower* replaces an embedding by an MLP of it. A *residual* head adds a bottleneck's answer to it:
``x + alpha * A(x)``, or ``(1 - alpha) * x + alpha * A(x)`` (Gao et al. 2021, CLIP-Adapter, equation
3). With ``alpha`` 0 a residual head is the frozen model, to the last bit.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

KINDS = ("residual", "tower")
FORMS = ("add", "convex")
START_SCALE = 1 / 0.07  # Radford et al. 2021, section 2.3


class HeadError(ValueError):
    """A head that cannot be built, used or opened as asked."""


@dataclass(frozen=True)
class HeadShape:
    """What a head is made of; the same for images and texts, which never share weights.

    Attributes
    ----------
    kind : str
        ``residual`` or ``tower``.
    layers : int
        Hidden layers of the MLP, each followed by a ReLU.
    width : int
        Of a hidden layer: the bottleneck of a residual head. 0: a quarter of the embedding for a
        residual head, twice the embedding for a tower.
    form : str
        ``add``: ``x + alpha * A(x)``; ``convex``: ``(1 - alpha) * x + alpha * A(x)``.
    alpha : float
        At least 0, for ``convex`` at most 1: the start of a learned one.
    learn_alpha : bool
        Train ``alpha``, one number for images and one for texts.
    zero_init : bool
        Start the last layer of a residual head at 0: untrained, ``add`` changes nothing, and
        ``convex`` only the length, which no unit row has.

    Raises
    ------
    HeadError
        If a value is unknown, out of range, or leaves nothing to start from.
    """

    kind: str = "residual"
    layers: int = 1
    width: int = 0
    form: str = "add"
    alpha: float = 0.2
    learn_alpha: bool = False
    zero_init: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", float(self.alpha))
        for name, allowed in (("kind", KINDS), ("form", FORMS)):
            if getattr(self, name) not in allowed:
                raise HeadError(
                    f"head {name} is {getattr(self, name)!r}: use {' or '.join(allowed)}"
                )
        if self.layers < 1 or self.width < 0:
            raise HeadError(
                f"layers {self.layers}, width {self.width}: give at least 1 layer, and a width of "
                "1 or more, or 0 for the usual one"
            )
        most = 1.0 if self.form == "convex" else math.inf
        if not 0 <= self.alpha <= most or not math.isfinite(self.alpha):
            span = "from 0 to 1" if self.form == "convex" else "finite, 0 or more"
            raise HeadError(f"alpha is {self.alpha} in form {self.form!r}: give a number {span}")
        starts_empty = self.kind == "residual" and self.form == "convex" and self.zero_init
        if starts_empty and self.alpha == 1:
            raise HeadError(
                "alpha 1 in form 'convex' leaves nothing of x, and zero_init makes A(x) 0: no "
                "direction is left; set zero_init to false"
            )
        if self.learn_alpha and self.form == "convex" and not 0 < self.alpha < 1:
            raise HeadError(
                f"a learned alpha in form 'convex' starts inside 0 to 1, not at {self.alpha}"
            )

    def hidden(self, dimension: int) -> int:
        """The width of a hidden layer on embeddings of ``dimension`` numbers."""
        usual = dimension // 4 if self.kind == "residual" else 2 * dimension
        return self.width or max(1, usual)


class Head(nn.Module):
    """One head: (n, dimension) rows to (n, dimension) unit rows."""

    def __init__(self, shape: HeadShape, dimension: int) -> None:
        super().__init__()
        self.shape = shape
        self.mlp = _mlp(dimension, shape.hidden(dimension), shape.layers)
        if shape.kind == "residual" and shape.zero_init:
            nn.init.zeros_(self.mlp[-1].weight)
            nn.init.zeros_(self.mlp[-1].bias)
        if shape.kind == "residual":
            convex = shape.form == "convex" and shape.learn_alpha
            start = math.log(shape.alpha / (1 - shape.alpha)) if convex else shape.alpha
            value = torch.tensor(start, dtype=torch.float32)
            self.raw_alpha = nn.Parameter(value, requires_grad=shape.learn_alpha)

    @property
    def alpha(self) -> torch.Tensor:
        """() float32: how much of ``A(x)`` there is; 1 for a tower."""
        if self.shape.kind == "tower":
            return torch.ones(())
        squeezed = self.shape.form == "convex" and self.shape.learn_alpha
        return torch.sigmoid(self.raw_alpha) if squeezed else self.raw_alpha

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(n, dimension) unit rows to (n, dimension) unit rows."""
        if self.shape.kind == "tower":
            return F.normalize(self.mlp(rows), dim=-1)
        if not self.shape.learn_alpha and self.shape.alpha == 0:
            return rows  # dividing by a length of almost 1 would change the last bit
        kept = 1 - self.alpha if self.shape.form == "convex" else 1.0
        return F.normalize(kept * rows + self.alpha * self.mlp(rows), dim=-1)


class Heads(nn.Module):
    """A head for images, one for texts, and the temperature that they are trained with.

    ``log_scale`` is the logarithm of the inverse temperature; only InfoNCE reads it.
    """

    def __init__(self, shape: HeadShape, dimension: int) -> None:
        super().__init__()
        self.shape, self.dimension = shape, dimension
        self.image, self.text = Head(shape, dimension), Head(shape, dimension)
        self.log_scale = nn.Parameter(torch.tensor(math.log(START_SCALE)))

    @property
    def scale(self) -> torch.Tensor:
        """() float32: the inverse temperature."""
        return self.log_scale.exp()


def make_heads(shape: HeadShape, dimension: int, *, seed: int = 42) -> Heads:
    """Fresh heads for embeddings of ``dimension`` numbers; torch's global state is left alone.

    Examples
    --------
    >>> make_heads(HeadShape(alpha=0), 96).image(torch.eye(96)).equal(torch.eye(96))
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Heads(shape, dimension)


def apply_heads(
    heads: Heads, images: np.ndarray, texts: np.ndarray, *, alpha: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What heads make of embeddings.

    Parameters
    ----------
    heads : Heads
    images, texts : (n, d), (m, d) float32, unit rows
    alpha : float, optional
        Turn the dial of trained residual heads to another value than they were trained at.

    Returns
    -------
    (n, d), (m, d) float32, unit rows
    """
    heads = heads if alpha is None else with_alpha(heads, alpha)
    with torch.inference_mode():
        return tuple(
            head(_tensor(rows, heads.dimension).to(head.mlp[0].weight.device)).cpu().numpy()
            for head, rows in ((heads.image, images), (heads.text, texts))
        )


def with_alpha(heads: Heads, alpha: float) -> Heads:
    """A copy of trained residual heads with a fixed ``alpha``.

    Raises
    ------
    HeadError
        If the heads are towers, which have no such dial, or alpha is out of range.
    """
    if heads.shape.kind != "residual":
        raise HeadError("alpha: a tower has none; only residual heads mix in what they were given")
    # The last layer is trained by now, so that alpha 1 leaves a direction.
    shape = replace(heads.shape, alpha=alpha, learn_alpha=False, zero_init=False)
    copy = Heads(shape, heads.dimension)
    state = {k: v for k, v in heads.state_dict().items() if not k.endswith("raw_alpha")}
    copy.load_state_dict(state, strict=False)
    return copy.to(heads.log_scale.device).eval()


def _mlp(dimension: int, width: int, layers: int) -> nn.Sequential:
    sizes = [dimension] + [width] * layers
    parts: list[nn.Module] = []
    for here, there in pairwise(sizes):
        parts += [nn.Linear(here, there), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(width, dimension))


def _tensor(rows: np.ndarray, dimension: int) -> torch.Tensor:
    if rows.ndim != 2 or rows.shape[1] != dimension:
        raise HeadError(
            f"rows of shape {rows.shape} for heads of dimension {dimension}: embed with the model "
            "that the heads were trained on"
        )
    return torch.from_numpy(np.array(rows, dtype=np.float32))  # a memory map is read only
