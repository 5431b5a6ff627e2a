"""Two-hop alignment of composed queries (PTHA), and the losses of both hops.

The first hop reads query tokens and text with the reference: ``p`` are its query tokens. The second
reads the text again with ``p`` in the place of the queries, without a picture. Three losses: the
query finds its target (q2t); the text alone, with learned prompt tokens, finds it too (t2t); and
``p`` comes close to what the reverse text makes of the target picture (p2p). The reverse side is
detached, so that one side is pulled to the other and not both to a point between them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from helpers.first.models.composed import composed_loss
from helpers.first.models.sprc import Sprc, Tokens, similarity


class TwoHop(Sprc):
    """:class:`helpers.first.models.sprc.Sprc` with a second hop: the same weights, read twice."""

    hops = 2

    def compose(self, joined: Tensor, tokens: Tokens) -> Tensor:
        """The query after the second hop: (b, d) unit rows."""
        return self.row(self.without_picture(joined[:, : self.n_queries], tokens))


@dataclass(frozen=True)
class TripletBatch:
    """b triplets with what the vision tower says of their pictures.

    Attributes
    ----------
    tokens : dict of (b, l) int64
        The modifications.
    references : (b, t, w) float32
    targets : (u, t, w) float32
        The distinct target pictures of the batch.
    positives : (b, u) bool
        Every true target among them.
    own : (b,) int64
        The column of the target that was drawn for each triplet.
    reverse : dict of (b, l) int64, optional
        The texts that lead back from target to reference.
    """

    tokens: Tokens
    references: Tensor
    targets: Tensor
    positives: Tensor
    own: Tensor
    reverse: Tokens | None = None


@dataclass(frozen=True)
class LossWeights:
    """What counts how much.

    Attributes
    ----------
    t2t, p2p : float
        Beside q2t, which counts 1; 0 leaves a loss out.
    detach : bool
        Whether the reverse side of p2p is a fixed aim, without a gradient.
    label_smoothing : float
        Of q2t and t2t.
    """

    t2t: float = 1.0
    p2p: float = 0.5
    detach: bool = True
    label_smoothing: float = 0.1


def composition_losses(
    model: Sprc, batch: TripletBatch, weights: LossWeights
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """The loss of a batch, its parts, and ``p``.

    Parameters
    ----------
    model : Sprc or TwoHop

    Returns
    -------
    loss : () float32
    parts : dict of () float32
        ``q2t``, and ``t2t`` and ``p2p`` where they count.
    p : (b, n_queries, width) float32, without a gradient

    Raises
    ------
    ValueError
        If p2p counts and the batch has no reverse texts.
    """
    if weights.p2p and batch.reverse is None:
        raise ValueError("p2p counts and the batch has no reverse texts: give them, or weight 0")
    targets = model.targets(batch.targets)  # (u, n, d)
    joined = model.joint(batch.tokens, batch.references)
    p = joined[:, : model.n_queries]  # (b, n, width)
    found = similarity(model.compose(joined, batch.tokens), targets)  # (b, u)
    parts = {"q2t": _classified(model, found, batch, weights)}
    if weights.t2t:
        by_text = similarity(model.prompted(batch.tokens), targets)
        parts["t2t"] = _classified(model, by_text, batch, weights)
    if weights.p2p:
        parts["p2p"] = functional.mse_loss(p.mean(dim=1), _reverse(model, batch, weights.detach))
    factors: Mapping[str, float] = {"q2t": 1.0, "t2t": weights.t2t, "p2p": weights.p2p}
    loss = sum(factors[name] * part for name, part in parts.items())
    return loss, parts, p.detach()


def _classified(model: Sprc, scores: Tensor, batch: TripletBatch, weights: LossWeights) -> Tensor:
    """Query to target alone: a target picture asks for no query."""
    return composed_loss(
        scores, batch.positives, model.log_scale, label_smoothing=weights.label_smoothing
    )


def _reverse(model: Sprc, batch: TripletBatch, detach: bool) -> Tensor:
    """(b, width): the mean of the first hop's query tokens on the way back."""
    with torch.set_grad_enabled(torch.is_grad_enabled() and not detach):
        joined = model.joint(batch.reverse, batch.targets[batch.own])
    return joined[:, : model.n_queries].mean(dim=1)
