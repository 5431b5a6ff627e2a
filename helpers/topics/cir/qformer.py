"""Composed retrieval with a Q-Former: SPRC's single hop, two-hop alignment, and their training.

Bai et al., "Sentence-level prompts for composed image retrieval" (2024): query tokens, the text and
the reference are read together, which gives the query. A target is a handful of unit tokens, and
its similarity the largest over them. SPRC's published code sends the joined tokens through the
Q-Former a second time, without the image; here that is a model of its own, so that the two can be
compared with nothing else between them. Two-hop alignment (PTHA, Zhou et al. 2025): the first hop
gives ``p``, its query tokens; the second reads the text again with ``p`` in the place of the
queries. Three losses: the query finds its target (q2t); the text alone, with learned prompt tokens,
finds it too (t2t); and ``p`` comes close to what the reverse text makes of the target (p2p). The
reverse side is detached, so that one side is pulled to the other and not both to a point between.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from helpers.topics.cir.blip2 import Blip2, States, Tokens, image_tokens, read_together
from helpers.topics.cir.composers import (
    SMOOTHING,
    draw_batch,
    query_to_target,
    when_evaluated,
    with_scale,
)
from helpers.topics.cir.metrics import hit10, rank_frame
from helpers.topics.cir.triplets import Triplet, TripletSet
from helpers.training.loop import Fitted, Settings, fit

SCALE = 1 / 0.07  # where the inverse temperature begins, in BLIP-2 as in what builds on it
P2P = 0.5  # weight of the published two-hop model
COLLAPSED = 0.05  # share of the squared length of p that differs between queries


class Sprc(nn.Module):
    """The Q-Former of a BLIP-2 as a model of composed retrieval; one hop.

    Copies of the Q-Former, its embeddings, query tokens and projections, all trainable; prompt
    tokens that begin as the query tokens, and a temperature. The image encoder stays outside.
    """

    hops = 1

    def __init__(self, blip2: Blip2):
        super().__init__()
        for name in ("qformer", "embeddings", "vision_projection", "text_projection"):
            setattr(self, name, copy.deepcopy(getattr(blip2.model, name)).requires_grad_(True))
        first = blip2.model.query_tokens.detach().float()
        self.query_tokens = nn.Parameter(first.clone())  # (1, n, width)
        self.prompt_tokens = nn.Parameter(first.clone())
        with_scale(self, SCALE)

    @property
    def n_queries(self) -> int:
        """Query tokens, and tokens of a target."""
        return self.query_tokens.shape[1]

    def joint(self, tokens: Tokens, states: Tensor) -> Tensor:
        """Query tokens and text read with an image: (b, n_queries + l, width)."""
        return read_together(self, self.query_tokens, tokens, states)

    def without_image(self, queries: Tensor, tokens: Tokens) -> Tensor:
        """A text read with tokens in the place of the queries, and no image, as ``joint``."""
        return read_together(self, queries, tokens, None)

    def row(self, joined: Tensor) -> Tensor:
        """Joined tokens as a unit row of the shared space, (b, d).

        The mean over the query tokens and the first token of the text: the one definition for
        training and for search.
        """
        pooled = joined[:, : self.n_queries + 1].mean(dim=1)
        return functional.normalize(self.text_projection(pooled), dim=-1)

    def compose(self, joined: Tensor, tokens: Tokens) -> Tensor:
        """The query of tokens that ``joint`` gave: (b, d) unit rows."""
        return self.row(joined)

    def queries(self, tokens: Tokens, states: Tensor) -> Tensor:
        """Modifications of reference images as queries: (b, d) unit rows."""
        return self.compose(self.joint(tokens, states), tokens)

    def targets(self, states: Tensor) -> Tensor:
        """Images as they are looked for: (b, n_queries, d) unit tokens."""
        return image_tokens(self, states)


class TwoHop(Sprc):
    """:class:`Sprc` with a second hop: the same weights, read twice."""

    hops = 2

    def compose(self, joined: Tensor, tokens: Tokens) -> Tensor:
        """The query after the second hop: (b, d) unit rows."""
        return self.row(self.without_image(joined[:, : self.n_queries], tokens))


MODELS = {"SPRC": Sprc, "two hops": TwoHop}


def build(name: str, blip2: Blip2) -> Sprc:
    """A copy of a BLIP-2's Q-Former for composing queries, as it is before training."""
    return MODELS[name](blip2).to(blip2.device).eval()


def similarity(queries: Tensor, targets: Tensor) -> Tensor:
    """(q, g): of each (q, d) query with each (g, n, d) target, the largest over its tokens."""
    scores = queries @ targets[:, 0].T
    for token in range(1, targets.shape[1]):  # (q, g) at a time, never (q, g, n)
        scores = torch.maximum(scores, queries @ targets[:, token].T)
    return scores


@dataclass(frozen=True)
class TripletBatch:
    """b triplets with the states of their images."""

    tokens: Tokens  # (b, l) int64: the modifications
    references: Tensor  # (b, t, w) float32
    targets: Tensor  # (u, t, w) float32: the distinct targets of the batch
    positives: Tensor  # (b, u) bool: every true target among them
    own: Tensor  # (b,) int64: the column of a true target of each triplet
    reverse: Tokens | None = None  # the texts that lead back from target to reference


def triplet_batch(
    blip2: Blip2, triplets: Sequence[Triplet], states: States, size: int,
    rng: np.random.Generator, *, reverse: bool,
) -> TripletBatch:  # fmt: skip
    """A batch of triplets that is drawn at random, fewer where there are fewer."""
    names = sorted({name for one in triplets for name in one.targets})
    place = {name: i for i, name in enumerate(names)}
    queries, columns, positives = draw_batch(
        [[place[name] for name in one.targets] for one in triplets], size, rng
    )
    chosen, answers = [triplets[i] for i in queries], torch.from_numpy(positives).to(blip2.device)
    return TripletBatch(
        *_read(blip2, chosen, states),
        targets=states.of([names[i] for i in columns]).to(blip2.device),
        positives=answers,
        own=answers.int().argmax(dim=1),
        reverse=blip2.tokens([one.reverse for one in chosen]) if reverse else None,
    )


def batch_of(blip2: Blip2, triplets: Sequence[Triplet], states: States) -> TripletBatch:
    """Some triplets as one batch, reverse texts included."""
    rng = np.random.default_rng(0)
    return triplet_batch(blip2, triplets, states, len(triplets), rng, reverse=True)


def losses(
    model: Sprc, batch: TripletBatch, *, t2t: float = 1.0, p2p: float = P2P, detach: bool = True,
    smoothing: float = SMOOTHING,
) -> tuple[Tensor, dict[str, Tensor], Tensor]:  # fmt: skip
    """The loss of a batch, its parts, and ``p``, (b, n_queries, width) without a gradient.

    ``t2t`` and ``p2p`` are weights beside q2t, which counts 1; 0 leaves a loss out. With ``detach``
    the reverse side of p2p is a fixed aim, without a gradient.
    """
    targets = model.targets(batch.targets)  # (u, n, d)
    joined = model.joint(batch.tokens, batch.references)
    p = joined[:, : model.n_queries]  # (b, n, width)

    def found(queries: Tensor) -> Tensor:
        scores = similarity(queries, targets)  # (b, u)
        return query_to_target(scores, batch.positives, model.logit_scale, smoothing=smoothing)

    parts = {"q2t": found(model.compose(joined, batch.tokens))}
    if t2t:
        parts["t2t"] = found(model.row(model.without_image(model.prompt_tokens, batch.tokens)))
    if p2p:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not detach):
            back = model.joint(batch.reverse, batch.targets[batch.own])[:, : model.n_queries]
        parts["p2p"] = functional.mse_loss(p.mean(dim=1), back.mean(dim=1))
    factors = {"q2t": 1.0, "t2t": t2t, "p2p": p2p}
    return sum(factors[name] * part for name, part in parts.items()), parts, p.detach()


@dataclass(frozen=True)
class Trained:
    """How a training went; the weights are in the model.

    ``steps`` has a row a step: ``step``, ``q2t``, ``t2t`` and ``p2p`` where they count, and
    ``spread`` of ``p`` over the queries of the batch.
    """

    fitted: Fitted
    steps: pd.DataFrame


def train(
    model: Sprc, blip2: Blip2, triplets: Sequence[Triplet], states: States,
    validation: Sequence[TripletSet], *, steps: int, learning_rate: float = 1e-3,
    batch_size: int = 64, seed: int = 42, evaluations: int = 5, keep: str = "best",
    t2t: float = 1.0, p2p: float | None = None, detach: bool = True, progress: bool = False,
) -> Trained:  # fmt: skip
    """Train a Q-Former in place; it ends with the weights that validate best, its start included.

    ``p2p`` is 0.5 by default with two hops and 0 with one; ``keep="last"`` ends with the last
    weights.
    """
    weight = (P2P if model.hops == 2 else 0.0) if p2p is None else p2p
    check_triplets(triplets, reverse=weight > 0)
    model.prompt_tokens.requires_grad_(t2t > 0)  # no other loss reaches them
    rows: list[dict[str, float]] = []

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        batch = triplet_batch(blip2, triplets, states, batch_size, rng, reverse=weight > 0)
        value, parts, p = losses(model, batch, t2t=t2t, p2p=weight, detach=detach)
        told = {name: float(part.detach()) for name, part in parts.items()}
        rows.append({"step": step + 1, **told, "spread": spread(p)})
        return value

    def score(step: int) -> float:
        return hit10(ranks_of(model, blip2, validation, states))

    settings = Settings(
        steps=steps, batch_size=batch_size, learning_rate=learning_rate, weight_decay=0.05,
        evaluations=when_evaluated(steps, evaluations), start_counts=True, seed=seed, keep=keep,
    )  # fmt: skip
    fitted = fit(model, loss, settings=settings, evaluate=score, progress=progress)
    model.requires_grad_(True)
    return Trained(fitted, pd.DataFrame(rows))


def check_triplets(triplets: Sequence[Triplet], *, reverse: bool) -> None:
    """Refuse triplets that cannot be trained on, by the id of the first."""
    if len(triplets) < 2:
        raise ValueError(f"{len(triplets)} triplets have no negatives: give at least two")
    for one in triplets:
        if not one.targets:
            raise ValueError(f"triplet {one.pair_id} has no target: it cannot be trained on")
        if reverse and not one.reverse.strip():
            raise ValueError(
                f"triplet {one.pair_id} has no reverse text, which p2p needs: write one, or set "
                "its weight to 0"
            )


def scores_of(
    model: Sprc, blip2: Blip2, sets: Sequence[TripletSet], states: States, *, batch_size: int = 128
) -> list[np.ndarray]:
    """(q, g) float32 scores of each set's queries with its gallery, in the gallery's order."""
    was, device = model.training, blip2.device

    def batched(items: Sequence, run) -> Tensor:
        starts = range(0, len(items), batch_size)
        return torch.cat([run(items[at : at + batch_size]).float() for at in starts])

    def queries(some: Sequence[Triplet]) -> Tensor:
        return model.queries(*_read(blip2, some, states))

    def targets(names: Sequence[str]) -> Tensor:
        return model.targets(states.of(names).to(device))

    model.eval()
    with torch.inference_mode():
        found = [similarity(batched(one.triplets, queries), batched(one.gallery, targets))
                 for one in sets]  # fmt: skip
    model.train(was)
    return [scores.cpu().numpy() for scores in found]


def _read(blip2: Blip2, some: Sequence[Triplet], states: States) -> tuple[Tokens, Tensor]:
    """The modifications of some triplets, and the states of their references."""
    seen = states.of([one.reference for one in some]).to(blip2.device)
    return blip2.tokens([one.caption for one in some]), seen


def ranks_of(model: Sprc, blip2: Blip2, sets: Sequence[TripletSet], states: States) -> pd.DataFrame:
    """Ranks of every query's first target, as a study takes them."""
    return rank_frame(scores_of(model, blip2, sets, states), sets)


def joint_tokens(model: Sprc, blip2: Blip2, triplets: Sequence[Triplet], states: States) -> Tensor:
    """``p``, the query tokens after the first hop: (q, n_queries, width) float32."""
    parts = [triplets[at : at + 128] for at in range(0, len(triplets), 128)]
    with torch.inference_mode():
        return torch.cat([
            model.joint(*_read(blip2, some, states))[:, : model.n_queries].cpu() for some in parts
        ])  # fmt: skip


def spread(p: Tensor) -> float:
    """The share of the squared length of ``p`` that differs between queries; 0: all are one.

    ``p`` is (b, n, width), of which the mean over n counts, or (b, width). A loss that pulls
    vectors together is at its best where they have become one, and no loss curve shows that.

    >>> spread(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])), spread(torch.ones(2, 3))
    (1.0, 0.0)
    """
    rows = p.mean(dim=1) if p.ndim == 3 else p
    return float((rows - rows.mean(dim=0)).square().sum() / rows.square().sum())


def effective_rank(p: Tensor) -> float:
    """The exponential of the entropy of the normalized singular values of the centered rows.

    Roy and Vetterli, "The effective rank" (2007): 1 on a line, up to min(n - 1, d).
    """
    rows = p.mean(dim=1) if p.ndim == 3 else p
    values = torch.linalg.svdvals(rows - rows.mean(dim=0))
    shares = values[values > 1e-12] / values.sum()
    return float(torch.exp(-(shares * shares.log()).sum()))
