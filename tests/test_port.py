"""The training of this edition against that of the first: same batches, same seed, same bits.

Deleted together with ``helpers/first``.
"""

import dataclasses

import numpy as np
import pytest
import torch

from helpers.first.models.lora import adapt as adapt_first
from helpers.first.models.placement import Placement as FirstPlacement
from helpers.first.training.loop import train
from helpers.first.training.settings import Training
from helpers.models.placement import Placement
from helpers.training.loop import Settings
from helpers.training.runs import train_lora
from tests import small_models
from tests.first import small_training

SHARED = {"epochs": 3, "batch_size": 4, "learning_rate": 3e-3, "patience": 1}
RUNS = {
    "lora": ({}, {}),
    "cached": ({}, {"accumulation": 2, "draw": "image"}),
    "plain": ({"vision_layers": 1, "heads": True}, {"accumulation": 2, "accumulate": "plain"}),
    "dora": ({"method": "dora"}, {"keep": "last", "clip": 0.0, "warmup": 5}),
    "rslora": ({"method": "rslora", "modules": "q_proj,fc1"}, {"final_share": 0.1}),
    "prompt": ({"method": "prompt"}, {"mask_positives": False}),
}


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("loss", ["info_nce", "sigmoid"])
@pytest.mark.parametrize("name", RUNS)
def test_weights_are_those_of_the_first_edition_bit_for_bit(family, loss, name):
    if (family, loss) == ("clip", "sigmoid"):
        pytest.skip("CLIP has no bias")
    where, how = RUNS[name]
    where, how = {"rank": 2, "dropout": 0.2, **where}, {**SHARED, "loss": loss, **how}
    encoder = small_training.small_encoder.__wrapped__(family)
    scalars = ("logit_scale", "logit_bias") if loss == "sigmoid" else ("logit_scale",)
    adapted = adapt_first(encoder, FirstPlacement(**where), train_scalars=scalars)
    pairs = small_training.small_pairs.__wrapped__(family)

    def score(texts) -> float:
        return float(np.sin(7e3 * texts.sum()))

    first = train(
        adapted.encoder, pairs, Training(**how, negatives=True), augment=small_training.noisy,
        validate=lambda: {"score": score(adapted.encoder.texts(small_training.WORDS))},
        progress=False,
    )  # fmt: skip
    second = train_lora(
        small_models.small_encoder(family), small_models.small_pairs(family),
        placement=Placement(**where), settings=Settings(**how, prefix=False),
        transform=small_models.noisy,
        validation=lambda encoder: score(encoder.texts(small_models.WORDS)), progress=False,
    )  # fmt: skip
    wanted = dict(adapted.encoder.model.named_parameters())
    found = dict(second.encoder.model.named_parameters())
    assert wanted.keys() == found.keys()
    different = [n for n in wanted if not torch.equal(wanted[n], found[n])]
    assert not different
    assert [s["loss"] for s in first.steps] == second.losses["loss"].tolist()
    assert [s["gradient_norm"] for s in first.steps] == second.losses["gradient_norm"].tolist()
    assert [s["logit_scale"] for s in first.steps] == second.losses["logit_scale"].tolist()
    assert [e["score"] for e in first.epochs] == second.evaluations["score"].tolist()
    per_epoch = first.epochs[1]["step"]
    assert second.info["best_step"] == first.kept_epoch * per_epoch
    assert dataclasses.asdict(FirstPlacement(**where)) == dataclasses.asdict(Placement(**where))
