"""Attention maps: the weights that the model itself uses, and rollout worked out by hand."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.models.attention import attention_kinds, attention_maps, mean_attention, rollout
from tests.first.small_training import small_adapted, small_encoder, small_picture, train_busy

PICTURES = [small_picture(f"{i}/0.jpg") for i in range(5)]
FAMILIES = ("clip", "siglip")


@pytest.fixture(params=FAMILIES)
def encoder(request):
    return small_encoder(request.param)


def asked_of_the_model(encoder, pictures):
    """Each layer's weights as its own eager attention reports them, and the pooling head's."""
    model = copy.deepcopy(encoder.model)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        out = model.vision_model(pixel_values=encoder.pixels(pictures), output_attentions=True)
        layers = [weights.mean(dim=1) for weights in out.attentions]  # (b, n, n)
        if encoder.family == "clip":
            return layers, None
        head, states = model.vision_model.head, out.last_hidden_state
        probe = head.probe.repeat(len(states), 1, 1)
        pooled = head.attention(probe, states, states, need_weights=True)[1][:, 0]
    return layers, pooled


def shares(tokens: torch.Tensor) -> np.ndarray:
    patches = tokens[:, -4:].numpy()
    return (patches / patches.sum(axis=1, keepdims=True)).reshape(-1, 2, 2)


def slow_rollout(layers):
    total = torch.eye(layers[0].shape[-1]).expand(layers[0].shape)
    for weights in layers:
        total = 0.5 * (weights @ total) + 0.5 * total
    return total


def wanted(encoder, kind):
    layers, pooled = asked_of_the_model(encoder, PICTURES)
    if kind == "pooling":
        return shares(pooled)
    if kind == "last":
        return shares(layers[-1][:, 0])
    through = slow_rollout(layers)
    if encoder.family == "clip":
        return shares(through[:, 0])
    return shares(torch.einsum("bn,bnm->bm", pooled, through))


def test_maps_are_those_of_the_models_own_weights(encoder):
    for kind in attention_kinds(encoder):
        found = attention_maps(encoder, PICTURES, kind=kind)
        assert found.dtype == np.float32
        assert found == pytest.approx(wanted(encoder, kind), abs=1e-6), kind
        assert found.sum(axis=(1, 2)) == pytest.approx(np.ones(5))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("heads", [False, True])
def test_a_trained_adapter_has_maps_of_its_own(family, heads):
    base, adapted = small_encoder(family), small_adapted(family, heads=heads, dropout=0.0)
    train_busy(adapted)
    for kind in attention_kinds(base):
        found = attention_maps(adapted.encoder, PICTURES, kind=kind)
        assert found == pytest.approx(wanted(adapted.encoder, kind), abs=1e-5)
    after, before = (attention_maps(e, PICTURES, kind="rollout") for e in (adapted.encoder, base))
    assert np.abs(after - before).max() > 1e-5


def hooks_of(encoder) -> int:
    """All hooks, those that transformers itself has put on included."""
    modules = encoder.model.modules()
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)


def with_prompts(layers, n, *, extra):
    """Every layer widened to the learned tokens, which look at themselves where they are not."""
    wide = []
    for weights in layers:
        if weights.shape[-1] == n:
            full = torch.eye(n + extra).repeat(len(weights), 1, 1)
            own = [0, *range(1 + extra, n + extra)]
            full[:, torch.tensor(own)[:, None], torch.tensor(own)] = weights
            weights = full
        wide.append(weights)
    return wide


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("vision_layers", [2, -1])
def test_learned_tokens_are_no_place_of_the_picture(family, vision_layers):
    adapted = small_adapted(
        family, method="prompt", rank=3, vision_layers=vision_layers, text_layers=0
    )
    train_busy(adapted)
    encoder, n = adapted.encoder, 4 + (family == "clip")
    layers, pooled = asked_of_the_model(encoder, PICTURES)
    assert [w.shape[-1] for w in layers] == [n if vision_layers == 2 else n + 3, n + 3, n + 3]
    own = [0, *range(4, n + 3)]  # the tokens of the tower: learned ones stand after the first
    through = slow_rollout(with_prompts(layers, n, extra=3))[:, own][:, :, own]
    if family == "clip":
        assert attention_maps(encoder, PICTURES, kind="last") == pytest.approx(
            shares(layers[-1][:, 0, own]), abs=1e-5
        )
        want = through[:, 0]
    else:
        assert attention_maps(encoder, PICTURES, kind="pooling") == pytest.approx(
            shares(pooled), abs=1e-5
        )
        want = torch.einsum("bn,bnm->bm", pooled, through)
    assert attention_maps(encoder, PICTURES) == pytest.approx(shares(want), abs=1e-5)


def test_batches_change_nothing_and_no_hook_stays(encoder):
    before = hooks_of(encoder)
    for kind in attention_kinds(encoder):
        whole = attention_maps(encoder, PICTURES, kind=kind)
        assert attention_maps(encoder, PICTURES, kind=kind, batch_size=2) == pytest.approx(
            whole, abs=1e-6
        )
    with pytest.raises(ZeroDivisionError):
        attention_maps(encoder, [lambda: 1 / 0])
    assert hooks_of(encoder) == before


def test_a_picture_s_map_does_not_depend_on_its_neighbors(encoder):
    alone = attention_maps(encoder, PICTURES[2:3])
    assert attention_maps(encoder, PICTURES)[2] == pytest.approx(alone[0], abs=1e-6)


@pytest.mark.parametrize(("family", "kind"), [("clip", "pooling"), ("siglip", "last")])
def test_a_kind_that_a_family_lacks_is_refused_with_those_it_has(family, kind):
    with pytest.raises(ValueError, match=f"no '{kind}' map; use one of rollout, "):
        attention_maps(small_encoder(family), PICTURES, kind=kind)


def test_an_unknown_kind_and_no_picture_are_refused(encoder):
    with pytest.raises(ValueError, match="no 'gradients' map"):
        attention_maps(encoder, PICTURES, kind="gradients")
    with pytest.raises(ValueError, match="no picture was given"):
        attention_maps(encoder, [])


def test_rollout_by_hand():
    first = torch.tensor([[1.0, 0], [1, 0]])  # both read token 0
    second = torch.tensor([[0.0, 1], [1, 0]])  # both read the other
    # A1 = [[1, 0], [.5, .5]], A2 = [[.5, .5], [.5, .5]]
    assert rollout([first, second]).tolist() == [[0.75, 0.25], [0.75, 0.25]]
    assert rollout([second, first]).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    # A1 A2 would be [[.5, .5], [.5, .5]] for the first pair: the order matters.


def test_layers_that_look_at_themselves_roll_out_to_nothing_new():
    assert torch.equal(rollout([torch.eye(3)] * 4), torch.eye(3))
    with pytest.raises(ValueError, match="at least one layer"):
        rollout([])


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 50))
def test_rows_of_a_rollout_sum_to_one_and_it_is_the_slow_one(n_layers, n, seed):
    weights = torch.rand(n_layers, 2, n, n, generator=torch.Generator().manual_seed(seed))
    layers = [w / w.sum(dim=-1, keepdim=True) for w in weights]
    found = rollout(layers)
    assert found.sum(dim=-1).numpy() == pytest.approx(np.ones((2, n)), abs=1e-5)
    assert found.numpy() == pytest.approx(slow_rollout(layers).numpy(), abs=1e-6)


def test_mean_attention_by_hand():
    # Two heads of width 1; the first tells keys apart, the second does not.
    queries = torch.tensor([[[1.0, 0.0]]])
    keys = torch.tensor([[[np.log(3.0), 5.0], [0.0, -5.0]]], dtype=torch.float32)
    found = mean_attention(queries, keys, 2)
    assert found.shape == (1, 1, 2)
    assert found[0, 0].tolist() == pytest.approx([(0.75 + 0.5) / 2, (0.25 + 0.5) / 2])


def test_heads_of_more_width_have_smaller_logits():
    queries, keys = torch.ones(1, 1, 4), torch.zeros(1, 2, 4)
    keys[0, 0] = 0.5  # logit 4 * .5 / sqrt(4) = 1
    found = mean_attention(queries, keys, 1)[0, 0]
    assert found[0].item() == pytest.approx(np.e / (np.e + 1))
