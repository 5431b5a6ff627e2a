"""One query in a last layer: what the whole layer gives, in numbers, gradients and dropout."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from helpers.first.models.lora import adapt
from helpers.first.models.one_token import (
    Part,
    attend,
    drawn_for_all,
    knows,
    last_layer,
    parts_of,
    pooling_head,
)
from helpers.first.models.placement import Placement
from helpers.first.models.prompts import PromptedLayer
from tests.first.small_training import small_encoder

EVERYTHING = "q_proj,k_proj,v_proj,out_proj,fc1,fc2"


def adapted_model(family, *, method="lora", modules=EVERYTHING, dropout=0.2, heads=True):
    """A model whose adapter is no longer zero."""
    choices = {"rank": 2, "dropout": dropout, "modules": modules, "heads": heads}
    model = adapt(small_encoder(family), Placement(method=method, **choices)).encoder.model
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return model


def gradients_of(module, result, *inputs):
    """What a backward pass through ``result`` leaves in the module and the inputs."""
    module.zero_grad()
    for tensor in inputs:
        tensor.grad = None
    weights = torch.linspace(-1, 1, result.numel()).view(result.shape)
    (result * weights).sum().backward()
    found = {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}
    return found | {f"input {i}": tensor.grad.clone() for i, tensor in enumerate(inputs)}


def assert_same(found, wanted, tolerance=1e-5):
    assert found.keys() == wanted.keys()
    top = max(float(value.abs().max()) for value in wanted.values())
    for name, value in wanted.items():
        assert float((found[name] - value).abs().max()) <= tolerance * top, name


# Attention with one query


def test_attention_by_hand():
    """Scores 0 and log 3: weights 1/4 and 3/4."""
    inputs = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    query = torch.tensor([[torch.log(torch.tensor(3.0)) * 2**0.5, 0.0]])
    keys, values = [Part(inputs, torch.eye(2))], [Part(inputs, torch.diag(torch.tensor([4.0, 8])))]
    assert torch.allclose(attend(query, keys, values, 1), torch.tensor([[3.0, 2.0]]))
    only_first = torch.tensor([[True, False]])
    assert torch.allclose(
        attend(query, keys, values, 1, allowed=only_first)[0, 1], torch.tensor(8.0)
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 7), st.integers(1, 3), st.integers(1, 5), st.integers(0, 999)
)
def test_attention_is_that_of_explicit_keys_and_values(b, t, heads, size, seed):
    generator = torch.Generator().manual_seed(seed)
    d = heads * size

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    query, first, second = draw(b, d), draw(b, t, d), draw(b, t, d)
    w_key, w_more, w_value = draw(d, d), draw(d, d), draw(d, d)
    allowed = torch.rand(b, t, generator=generator) < 0.5
    allowed[:, 0] = True
    keys, values = first @ w_key.T + second @ w_more.T, first @ w_value.T

    def split(rows):
        return rows.view(b, -1, heads, size).transpose(1, 2)

    wanted = F.scaled_dot_product_attention(
        split(query), split(keys), split(values), attn_mask=allowed[:, None, None]
    )
    parts = [Part(first, w_key), Part(second, w_more)]
    found = attend(query, parts, [Part(first, w_value)], heads, allowed=allowed)
    assert torch.allclose(found, wanted.transpose(1, 2).reshape(b, d), atol=1e-9)


# Linear layers in parts


@pytest.mark.parametrize("method", ["lora", "rslora", "dora"])
@pytest.mark.parametrize("training", [True, False])
def test_the_parts_of_a_linear_layer_add_up(method, training):
    model = adapted_model("clip", method=method).train(training)
    layer = model.vision_model.encoder.layers[-1].self_attn.v_proj
    inputs = torch.randn(3, 5, 24, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    wanted = layer(inputs)
    torch.manual_seed(1)
    parts, bias = parts_of(layer, inputs)
    assert torch.allclose(sum(p.inputs @ p.weight.T for p in parts) + bias, wanted, atol=1e-6)
    # Only what peft calls plain LoRA becomes matrices; the rest is called.
    assert (parts[0].inputs is inputs) == (method != "dora")


def test_a_layer_with_a_hook_is_called():
    layer = nn.Linear(3, 3)
    layer.register_forward_hook(lambda module, args, out: out + 1)
    inputs = torch.ones(1, 2, 3)
    parts, bias = parts_of(layer, inputs)
    assert torch.allclose(parts[0].inputs @ parts[0].weight.T + bias, layer(inputs))


# Dropout


@pytest.mark.parametrize("kept", [[[0], [3]], [[0, 1], [0, 1]]])
def test_the_same_entries_are_dropped_as_if_all_tokens_were_there(kept):
    drop, index = nn.Sequential(nn.Dropout(0.5)).train(), torch.tensor(kept)
    hidden = 1 + torch.rand(2, 4, 6)
    wide = index[..., None].expand(-1, -1, 6)
    torch.manual_seed(0)
    wanted, after = drop(hidden).gather(1, wide), torch.rand(1)
    torch.manual_seed(0)
    with drawn_for_all(drop, index, 4):
        found = drop(hidden.gather(1, wide))
    assert torch.equal(found, wanted)
    assert torch.rand(1) == after  # and the next draw is the same
    assert drop(hidden.gather(1, wide)).shape == found.shape  # nothing stays hooked
    assert not drop[0]._forward_hooks


# Whole layers


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("method", ["lora", "dora", "rslora", "qlora"])
@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_the_last_layer_for_one_token(family, method, training):
    model = adapted_model(family, method=method).train(training)
    layer = model.vision_model.encoder.layers[-1]
    assert knows(layer)
    hidden = torch.randn(4, 5, 24, generator=torch.Generator().manual_seed(0)).requires_grad_()
    at = torch.tensor([0, 4, 2, 0])
    torch.manual_seed(2)
    wanted = layer(hidden, None)[torch.arange(4), at]
    torch.manual_seed(2)
    found = last_layer(layer, hidden, at)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert_same(gradients_of(layer, found, hidden), gradients_of(layer, wanted, hidden))


def test_a_token_sees_only_what_is_allowed():
    layer = adapted_model("clip").text_model.encoder.layers[-1]
    hidden, at = torch.randn(3, 6, 24), torch.tensor([5, 0, 3])
    allowed = torch.arange(6).expand(3, -1) <= at[:, None]
    causal = torch.ones(6, 6, dtype=torch.bool).tril().expand(3, 1, -1, -1)
    wanted = layer(hidden, causal)[torch.arange(3), at]
    assert torch.allclose(last_layer(layer, hidden, at, allowed=allowed), wanted, atol=1e-6)
    assert not torch.allclose(last_layer(layer, hidden, at)[1], wanted[1], atol=1e-3)


def test_what_is_not_known_is_left_alone():
    layer = copy.deepcopy(small_encoder("clip").model.vision_model.encoder.layers[-1])
    assert knows(layer)
    assert not knows(PromptedLayer(layer, n=2, width=24, last=True))
    handle = layer.mlp.register_forward_hook(lambda module, args, out: out)
    assert not knows(layer)
    handle.remove()
    layer.self_attn.dropout = 0.1
    assert not knows(layer)


# SigLIP's pooling


@pytest.mark.parametrize("heads", [True, False])
def test_the_pooling_head(heads):
    model = adapted_model("siglip", heads=heads)
    head = model.vision_model.head
    hidden = torch.randn(4, 5, 24, generator=torch.Generator().manual_seed(0)).requires_grad_()
    wanted, found = head(hidden), pooling_head(head, hidden)
    assert torch.allclose(found, wanted, atol=1e-6)
    grads = gradients_of(head, found, hidden)
    assert_same(grads, gradients_of(head, wanted, hidden))
    assert len(grads) > 1 if heads else len(grads) == 1


def test_a_head_of_another_kind_is_called():
    assert torch.equal(pooling_head(nn.Flatten(), torch.ones(2, 3, 4)), torch.ones(2, 12))
    head = copy.deepcopy(small_encoder("siglip").model.vision_model.head)
    head.register_forward_hook(lambda module, args, out: out + 1)
    hidden = torch.randn(2, 5, 24)
    assert torch.equal(pooling_head(head, hidden), head(hidden))
