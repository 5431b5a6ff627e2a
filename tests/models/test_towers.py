"""Towers against naive code: the split, the lean last layer."""

import copy

import numpy as np
import pytest
import torch

from helpers.models.towers import SplitTower, pooled_last_layer
from tests.small_models import WORDS, perturb, small_adapted, small_data, small_encoder

IMAGES = small_data(n_items=3).images


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("name", ["vision", "text"])
def test_prefix_and_suffix_make_the_tower_wherever_it_is_split(family, name):
    encoder = small_encoder(family)
    tower = SplitTower(encoder, name)
    prepared = (
        encoder.prepare_images(list(IMAGES)) if name == "vision" else encoder.prepare_texts(WORDS)
    )
    wanted = encoder.images(IMAGES) if name == "vision" else encoder.texts(WORDS)
    inputs = tower.inputs(prepared)
    for split in range(tower.depth + 2):
        with torch.no_grad():
            states = tower.prefix(inputs, split)
            found = tower.suffix(states, split, None if name == "vision" else inputs)
        assert np.allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_the_lean_last_layer_gives_the_same_numbers_and_gradients(causal):
    torch.manual_seed(0)
    family = "clip" if causal else "siglip"
    model = copy.deepcopy(perturb(small_adapted(family, dropout=0.0)).model).double()
    layer = model.text_model.encoder.layers[-1]
    hidden = torch.randn(5, 7, 24, dtype=torch.double, requires_grad=True)
    at = torch.tensor([0, 6, 3, 3, 1])
    mask = torch.ones(7, 7, dtype=torch.bool).tril() if causal else None
    whole = layer(hidden, None if mask is None else mask[None, None])[torch.arange(5), at]
    lean = pooled_last_layer(layer, hidden, at, causal=causal)
    assert torch.allclose(lean, whole, atol=1e-12)
    weights = [hidden, *(p for p in layer.parameters() if p.requires_grad)]
    upstream = torch.randn_like(whole)
    for a, b in zip(
        *(torch.autograd.grad(x, weights, upstream) for x in (lean, whole)), strict=True
    ):
        assert torch.allclose(a, b, atol=1e-12)


def test_which_token_clip_pools():
    tower = SplitTower(small_encoder("clip"), "text")
    ids = torch.tensor([[2, 9, 3, 3], [2, 3, 1, 1]])  # <eos> is 3
    assert tower.ends(ids).tolist() == [2, 1]
    assert tower.inputs({"input_ids": ids}).shape == (2, 3)  # no padding behind the longest
    config = tower.encoder.model.config.text_config
    config.eos_token_id = 2  # the first checkpoints: the largest number
    try:
        assert tower.ends(ids).tolist() == [1, 1]
    finally:
        config.eos_token_id = 3


def test_fingerprints_follow_what_lies_below():
    base = small_encoder("clip")
    tower = SplitTower(base, "vision")
    adapted = SplitTower(perturb(small_adapted("clip", vision_layers=1)), "vision")
    assert adapted.fingerprint(2) == tower.fingerprint(2) != tower.fingerprint(1)
    assert adapted.fingerprint(3) != tower.fingerprint(3)
