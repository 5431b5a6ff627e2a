"""Searching with a Q-Former: queries and targets encoded batch by batch, and their scores."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from helpers.first.evaluation.collapse import Spread, spread_of
from helpers.first.models import sprc
from helpers.first.models.blip2 import Blip2
from helpers.first.models.sprc import Sprc
from helpers.first.training.image_states import ImageStates
from helpers.topics.cir.triplets import Triplet, TripletSet


def encode_queries(
    composer: Sprc,
    blip2: Blip2,
    triplets: Sequence[Triplet],
    states: ImageStates,
    *,
    batch_size: int = 128,
) -> np.ndarray:
    """Queries of triplets: (q, d) float32 unit rows."""

    def run(batch: Sequence[Triplet]) -> torch.Tensor:
        return composer.queries(*_asked(blip2, batch, states))

    return _batched(composer, triplets, run, batch_size)


def joint_tokens(
    composer: Sprc,
    blip2: Blip2,
    triplets: Sequence[Triplet],
    states: ImageStates,
    *,
    batch_size: int = 128,
) -> np.ndarray:
    """``p``, the query tokens after the first hop: (q, n_queries, width) float32."""

    def run(batch: Sequence[Triplet]) -> torch.Tensor:
        return composer.joint(*_asked(blip2, batch, states))[:, : composer.n_queries]

    return _batched(composer, triplets, run, batch_size)


def encode_targets(
    composer: Sprc,
    blip2: Blip2,
    names: Sequence[str],
    states: ImageStates,
    *,
    batch_size: int = 256,
) -> np.ndarray:
    """Pictures as they are looked for: (g, n_queries, d) float32 unit tokens."""
    return _batched(
        composer, names, lambda batch: composer.targets(states.of(batch).to(blip2.device)),
        batch_size,
    )  # fmt: skip


def similarity(queries: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(q, g) float32: of each query with each target the largest over the target's tokens.

    >>> similarity(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)[None]).tolist()
    [[1.0], [1.0]]
    """
    found = sprc.similarity(torch.from_numpy(queries), torch.from_numpy(targets))
    return found.numpy()


def qformer_scores(
    composer: Sprc, blip2: Blip2, triplets: TripletSet, states: ImageStates
) -> np.ndarray:
    """(q, g) float32: every query of a set with its gallery, in the gallery's order."""
    queries = encode_queries(composer, blip2, triplets.triplets, states)
    return similarity(queries, encode_targets(composer, blip2, triplets.gallery, states))


def spread_of_joint(
    composer: Sprc, blip2: Blip2, triplets: Sequence[Triplet], states: ImageStates
) -> Spread:
    """How much ``p`` differs between queries."""
    return spread_of(joint_tokens(composer, blip2, triplets, states))


def _asked(
    blip2: Blip2, batch: Sequence[Triplet], states: ImageStates
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What a query is made of: the tokens of its text, the states of its reference."""
    seen = states.of([one.reference for one in batch]).to(blip2.device)
    return blip2.tokens([one.caption for one in batch]), seen


def _batched(composer: Sprc, items: Sequence, run: Callable, batch_size: int) -> np.ndarray:
    was = composer.training
    composer.eval()
    with torch.inference_mode():
        done = [
            run(items[start : start + batch_size]).float().cpu().numpy()
            for start in range(0, len(items), batch_size)
        ]
    composer.train(was)
    if not done:
        raise ValueError("nothing to encode: give at least one triplet or picture")
    return np.concatenate(done)
