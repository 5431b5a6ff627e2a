"""Stage B: from trained heads, the last blocks of the backbone go on training with them.

The training loop of the course does it: the heads become part of the model, the towers that the
loop encodes with end in them. Everything below the first unfrozen block is run without a graph.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from helpers.data.pairs import RetrievalSet
from helpers.first.evaluation.chance import telling_k
from helpers.first.evaluation.metrics import both_directions, hit_at_k
from helpers.first.models.adapters import Heads
from helpers.first.models.encoders import Encoder
from helpers.first.models.head_files import Headed
from helpers.first.training.loop import Trained, train
from helpers.first.training.pairs import TrainingPairs
from helpers.first.training.settings import Training
from helpers.first.training.towers import Towers, towers_of


@dataclass(frozen=True)
class StageB:
    """What the second stage leaves: model and heads, and how it went."""

    headed: Headed
    trained: Trained


def unfreeze_last(
    encoder: Encoder, heads: Heads, *, vision_layers: int = 1, text_layers: int = 1
) -> Headed:
    """A copy of a model and its heads in which the last blocks and the heads can be trained.

    Parameters
    ----------
    encoder : Encoder
        In fp32; it stays as it is.
    heads : Heads
        Trained; they stay as they are.
    vision_layers, text_layers : int
        How many blocks at the end of each tower; 0: none.

    Raises
    ------
    ValueError
        If a tower has fewer blocks, or the model is not in fp32.
    """
    if encoder.precision != "fp32":
        raise ValueError(f"{encoder.name} was opened in {encoder.precision}: open it in fp32")
    model, heads = copy.deepcopy(encoder.model).requires_grad_(False), copy.deepcopy(heads)
    for tower, last in (("vision", vision_layers), ("text", text_layers)):
        blocks = getattr(model, f"{tower}_model").encoder.layers
        if not 0 <= last <= len(blocks):
            raise ValueError(
                f"{tower}_layers is {last}: the {tower} tower of {encoder.name} has {len(blocks)}"
            )
        for block in blocks[len(blocks) - last :]:
            block.requires_grad_(True)
    heads.requires_grad_(True).log_scale.requires_grad_(False)  # the model's own scale is trained
    for head in (heads.image, heads.text):
        if hasattr(head, "raw_alpha"):
            head.raw_alpha.requires_grad_(heads.shape.learn_alpha)
    with torch.no_grad():
        model.logit_scale.copy_(heads.log_scale)
    model.logit_scale.requires_grad_(True)
    model.add_module("heads", heads.to(encoder.device))
    return Headed(replace(encoder, model=model, fingerprint=""), heads)


def headed_towers(headed: Headed, pairs: TrainingPairs) -> Towers:
    """The towers of a model with heads on top, for the training loop."""
    plain = towers_of(headed.encoder, pairs)
    heads = headed.heads
    normalize = nn.functional.normalize
    return replace(
        plain,
        encode_images=lambda x: heads.image(normalize(plain.encode_images(x).float(), dim=-1)),
        encode_texts=lambda x: heads.text(normalize(plain.encode_texts(x).float(), dim=-1)),
    )


def train_stage_b(
    headed: Headed,
    pairs: TrainingPairs,
    settings: Training,
    *,
    validate: Callable[[], dict[str, float]] | None = None,
    progress: bool = True,
) -> StageB:
    """Train what :func:`unfreeze_last` opened, in place.

    Parameters
    ----------
    headed : Headed
    pairs : TrainingPairs
        Pictures and captions: kept features end below nothing that is trained now.
    settings : Training
        A rate far below that of the heads: the blocks are pretrained.
    validate : callable, optional
        As for :func:`helpers.first.training.loop.train`; see :func:`headed_score`.

    Examples
    --------
    >>> stage = train_stage_b(unfreeze_last(encoder, heads), ready, Training())  # doctest: +SKIP
    """
    towers = headed_towers(headed, pairs)
    trained = train(
        headed.encoder, pairs, settings, towers=towers, validate=validate, progress=progress
    )
    return StageB(headed, trained)


def headed_score(
    headed: Headed, data: RetrievalSet, load_image: Callable
) -> Callable[[], dict[str, float]]:
    """What the loop validates by: the mean of hit@K in both directions on a retrieval set.

    K is 10, or 5 or 1 where the set has no more images or captions.
    """
    k = telling_k(len(data.image_keys), len(data.captions))
    pictures = [load_image(key) for key in data.image_keys]

    def score() -> dict[str, float]:
        images, texts = headed.images(pictures), headed.texts(list(data.captions))
        found = both_directions(images, data.image_ids, texts, data.caption_ids)
        return {"score": float(np.mean([hit_at_k(ranking, k) for ranking in found.values()]))}

    return score
