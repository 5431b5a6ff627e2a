"""Cached prefixes against the plain towers: same embeddings, same gradients, same training."""

import numpy as np
import pytest
import torch

from helpers import paths
from helpers.cache import Cache
from helpers.models.lora import adapt
from helpers.models.placement import Placement
from helpers.training.batches import plain_towers
from helpers.training.loop import Settings
from helpers.training.prefix import PrefixError, Prefixes, splits_of, why_not
from helpers.training.runs import SCALARS, contrastive_step, train_lora
from tests.small_models import (
    WORDS,
    perturb,
    small_data,
    small_encoder,
    small_pairs,
    trainable,
)

PLACEMENTS = {
    "one layer": {"vision_layers": 1, "text_layers": 0},
    "two layers and heads": {"vision_layers": 2, "text_layers": 1, "heads": True},
    "one whole tower": {"vision_layers": -1, "text_layers": 0},
    "text alone": {"vision_layers": 0, "text_layers": 1, "modules": "q_proj,fc2"},
    "heads of a frozen tower": {"vision_layers": 0, "text_layers": 1, "heads": True},
    "dora": {"vision_layers": 1, "text_layers": 1, "method": "dora"},
    "prompt": {"vision_layers": 2, "text_layers": 1, "method": "prompt"},
    "int8": {"vision_layers": 1, "text_layers": 0, "method": "qlora"},
    "full": {"vision_layers": 1, "text_layers": 1, "method": "full"},
    "full tower": {"vision_layers": -1, "text_layers": 1, "method": "full"},
}
CASES = [(family, name) for family in ("clip", "siglip") for name in PLACEMENTS]


def adapted(family, name, *, loss="info_nce"):
    placement = Placement(**{"rank": 2, "dropout": 0.0, **PLACEMENTS[name]})
    return perturb(adapt(small_encoder(family), placement, scalars=SCALARS[loss]))


def gradients(encoder, towers, loss):
    settings = Settings(batch_size=8, loss=loss)
    step = contrastive_step(encoder, small_pairs(family_of(encoder)), towers, settings)
    encoder.model.zero_grad()
    value, _ = step(0, np.random.default_rng(0))
    return float(value), {n: p.grad for n, p in encoder.model.named_parameters() if p.requires_grad}


def family_of(encoder):
    return encoder.family


@pytest.mark.parametrize(("family", "name"), CASES)
def test_loss_and_gradients_are_those_of_the_plain_towers(family, name, tmp_path):
    loss = "sigmoid" if family == "siglip" else "info_nce"
    encoder, pairs = adapted(family, name, loss=loss), small_pairs(family)
    plain, wanted = gradients(encoder, plain_towers(encoder, pairs), loss)
    wanted = {n: g.clone() for n, g in wanted.items()}
    cached, found = gradients(encoder, Prefixes(encoder, tmp_path).towers(pairs), loss)
    assert cached == pytest.approx(plain, rel=1e-5)
    scale = max(float(g.abs().max()) for g in wanted.values())
    worst = max(float((found[n] - wanted[n]).abs().max()) for n in wanted)
    # 8-bit layers round the activations in evaluation, and the prefix runs in evaluation mode
    assert worst <= (2e-2 if name == "int8" else 2e-6) * scale


@pytest.mark.parametrize(("family", "name"), CASES)
def test_embeddings_are_those_of_the_encoder(family, name, tmp_path):
    encoder, images = adapted(family, name), small_data(n_items=3).images
    cached = Prefixes(encoder, tmp_path)
    for _ in range(2):  # computed, then found
        assert np.allclose(cached.images(images), encoder.images(images), atol=2e-6)
        assert np.allclose(cached.texts(WORDS), encoder.texts(WORDS), atol=2e-6)
    one_by_one = np.concatenate([cached.texts([word]) for word in WORDS])
    assert np.allclose(one_by_one, encoder.texts(WORDS), atol=2e-6)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_a_run_from_the_cache_ends_where_the_plain_run_ends(family, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "cache", lambda: tmp_path)
    placement = Placement(rank=2, dropout=0.0, vision_layers=1, text_layers=0)
    runs = [
        train_lora(
            small_encoder(family), small_pairs(family), placement=placement, settings=settings,
            validation=lambda encoder: float(encoder.texts(WORDS)[0, 0]),
        )
        for settings in (Settings(epochs=2, batch_size=4, prefix=p) for p in (False, True))
    ]  # fmt: skip
    assert [run.info["prefix"] for run in runs][1] == "cached"
    plain, cached = (trainable(run.encoder) for run in runs)
    assert all(torch.allclose(plain[n], cached[n], atol=1e-4) for n in plain)
    assert np.allclose(*(run.losses["loss"] for run in runs), atol=1e-5)


def test_seeds_and_placements_share_what_they_split_alike(tmp_path, monkeypatch):
    built = []
    write = Cache._write
    monkeypatch.setattr(
        Cache, "_write", lambda self, items: (built.extend(items), write(self, items))
    )
    base, pairs = small_encoder("clip"), small_pairs("clip")
    for seed, choices in ((1, {"rank": 2}), (2, {"rank": 4, "modules": "fc1"})):
        placement = Placement(vision_layers=1, text_layers=0, **choices)
        Prefixes(adapt(base, placement, seed=seed), tmp_path).towers(pairs)
    assert len(built) == len(set(built)) == len(pairs.pixels) + len(pairs.captions)
    other = Placement(vision_layers=2, text_layers=0)
    Prefixes(adapt(base, other), tmp_path).towers(pairs)
    assert len(built) == 2 * len(pairs.pixels) + len(pairs.captions)


def test_where_a_prefix_ends_and_why_there_is_none():
    encoder = small_encoder("siglip")
    assert splits_of(Placement(vision_layers=2, text_layers=0), encoder) == {"vision": 1, "text": 3}
    heads = Placement(vision_layers=0, text_layers=1, heads=True)
    assert splits_of(heads, encoder) == {"vision": 3, "text": 1}
    assert not why_not(Placement(vision_layers=2, text_layers=0), encoder)
    assert "nothing below" in why_not(Placement(), encoder)
    assert "nothing below" in why_not(Placement(method="full"), encoder)
    assert "augmented" in why_not(Placement(vision_layers=1), encoder, transforms=True)
    with pytest.raises(PrefixError, match="nothing below"):
        Prefixes(adapt(encoder, Placement()))


def test_a_trained_weight_below_the_split_is_refused():
    encoder = adapt(small_encoder("clip"), Placement(vision_layers=1, text_layers=0))
    encoder.model.vision_model.encoder.layers[0].mlp.fc1.weight.requires_grad_(True)
    with pytest.raises(PrefixError, match=r"mlp.fc1.weight.*must be frozen"):
        Prefixes(encoder)
