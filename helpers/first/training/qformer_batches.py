"""Batches of triplets for a Q-Former, drawn from a seed, and what a triplet needs to be in one."""

from collections.abc import Sequence

import numpy as np
import torch

from helpers.first.models.blip2 import Blip2
from helpers.first.models.two_hop import TripletBatch
from helpers.first.training.image_states import ImageStates
from helpers.topics.cir.triplets import Triplet


def take_triplets(triplets: Sequence[Triplet], n: int, *, seed: int) -> tuple[Triplet, ...]:
    """``n`` triplets that a seed draws; the smaller part is in the larger; 0: all, as they are.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    if n == 0:
        return tuple(triplets)
    if not 0 < n <= len(triplets):
        raise ValueError(f"{n} triplets are asked for and there are {len(triplets)}: 0 for all")
    chosen = np.sort(np.random.default_rng([seed, 7]).permutation(len(triplets))[:n])
    return tuple(triplets[i] for i in chosen)


def draw_batch(
    blip2: Blip2,
    triplets: Sequence[Triplet],
    states: ImageStates,
    size: int,
    rng: np.random.Generator,
    *,
    reverse: bool,
) -> TripletBatch:
    """A batch of triplets, fewer where there are fewer.

    One of each triplet's targets is drawn; all true ones among the batch's pictures count as
    positives.

    Parameters
    ----------
    rng : numpy.random.Generator
    reverse : bool
        Whether to read the reverse texts too.
    """
    chosen = [triplets[i] for i in rng.permutation(len(triplets))[:size]]
    drawn = [one.targets[int(rng.integers(len(one.targets)))] for one in chosen]
    columns = list(dict.fromkeys(drawn))
    place = {name: column for column, name in enumerate(columns)}
    positives = torch.zeros(len(chosen), len(columns), dtype=torch.bool)
    for row, one in enumerate(chosen):
        positives[row, [place[name] for name in one.targets if name in place]] = True
    device = blip2.device
    return TripletBatch(
        tokens=blip2.tokens([one.caption for one in chosen]),
        references=states.of([one.reference for one in chosen]).to(device),
        targets=states.of(columns).to(device),
        positives=positives.to(device),
        own=torch.tensor([place[name] for name in drawn], device=device),
        reverse=blip2.tokens([one.reverse for one in chosen]) if reverse else None,
    )


def check_triplets(triplets: Sequence[Triplet], *, reverse: bool) -> None:
    """Refuse triplets that cannot be trained on.

    Raises
    ------
    ValueError
        If there are fewer than two, one has no target, or, with ``reverse``, one has no reverse
        text; the message names the triplet.
    """
    if len(triplets) < 2:
        raise ValueError(f"{len(triplets)} triplets have no negatives: give at least two")
    for one in triplets:
        if not one.targets:
            raise ValueError(f"triplet {one.pair_id} has no target: it cannot be trained on")
        if reverse and not one.reverse.strip():
            raise ValueError(
                f"triplet {one.pair_id} has no reverse text, which p2p needs: write one, or set "
                "p2p_weight to 0"
            )
