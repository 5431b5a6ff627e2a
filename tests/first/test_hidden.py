"""Pooled layers of the vision tower: what transformers computes, and nothing left behind."""

import numpy as np
import pytest
import torch

from helpers.first.models.hidden import (
    grid_side,
    hidden_features,
    n_patches,
    removed_after,
    vision_layers,
)
from tests.first.small_training import small_adapted, small_encoder, small_picture, train_busy

PICTURES = [small_picture(f"{i}/0.jpg") for i in range(5)]


@pytest.fixture(params=["clip", "siglip"])
def encoder(request):
    return small_encoder(request.param)


def hooks_of(model) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_layers_are_the_means_over_patches_of_what_transformers_gives(encoder):
    found = hidden_features(encoder, PICTURES)
    with torch.no_grad():
        out = encoder.model.vision_model(
            pixel_values=encoder.pixels(PICTURES), output_hidden_states=True
        )
    first = encoder.family == "clip"  # CLIP's class token comes before the patches
    want = [states[:, first:].mean(dim=1).numpy() for states in out.hidden_states]
    assert list(found) == ["patches", "layer 1", "layer 2", "layer 3", "output"]
    for name, states in zip(found, want, strict=False):
        assert found[name] == pytest.approx(states, abs=1e-5), name
        assert found[name].dtype == np.float32


def test_the_output_is_the_embedding_and_batches_change_nothing(encoder):
    whole = hidden_features(encoder, PICTURES)
    assert whole["output"] == pytest.approx(encoder.images(PICTURES), abs=1e-6)
    by_two = hidden_features(encoder, iter([lambda p=p: p for p in PICTURES]), batch_size=2)
    for name in whole:
        assert by_two[name] == pytest.approx(whole[name], abs=1e-5)


def test_no_hook_stays_on_the_model(encoder):
    before = hooks_of(encoder.model)
    hidden_features(encoder, PICTURES[:1])
    with pytest.raises(ZeroDivisionError):
        hidden_features(encoder, [lambda: 1 / 0])
    assert hooks_of(encoder.model) == before


def test_hooks_go_when_the_block_fails():
    module = torch.nn.Linear(1, 1)
    with pytest.raises(KeyError), removed_after([module.register_forward_hook(lambda *_: None)]):
        raise KeyError
    assert not module._forward_hooks


def test_an_adapter_changes_only_what_lies_above_it(encoder):
    adapted = small_adapted(encoder.family, vision_layers=1, text_layers=0, dropout=0.0)
    train_busy(adapted)
    before, after = (hidden_features(e, PICTURES) for e in (encoder, adapted.encoder))
    for name in ("patches", "layer 1", "layer 2"):
        assert np.array_equal(before[name], after[name])
    assert not np.allclose(before["layer 3"], after["layer 3"], atol=1e-4)


def test_learned_tokens_are_left_out_of_the_means(encoder):
    adapted = small_adapted(
        encoder.family, method="prompt", rank=3, vision_layers=2, text_layers=0, heads=False
    )
    found = hidden_features(adapted.encoder, PICTURES)
    with torch.no_grad():
        out = adapted.encoder.model.vision_model(
            pixel_values=encoder.pixels(PICTURES), output_hidden_states=True
        )
    inside = out.hidden_states[2].numpy()  # between the two layers that see the tokens
    clip = encoder.family == "clip"
    assert inside.shape[1] == 3 + 4 + clip
    patches = inside[:, 4:] if clip else inside[:, [0, 4, 5, 6]]
    assert found["layer 2"] == pytest.approx(patches.mean(axis=1), abs=1e-5)
    assert found["output"] == pytest.approx(adapted.encoder.images(PICTURES), abs=1e-6)


def test_nothing_to_read_is_refused(encoder):
    with pytest.raises(ValueError, match=f"no picture was given to {encoder.name}"):
        hidden_features(encoder, [])


def test_patches_are_counted_from_the_configuration(encoder):
    assert (grid_side(encoder), n_patches(encoder)) == (2, 4)
    assert len(vision_layers(encoder)) == 3
