"""Prompts: the tokens in their place, masks and pooling right, against a tower walked by hand."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from helpers.first.models.lora import (
    AdapterError,
    load_adapter,
    merge,
    require_gradients,
    save_adapter,
)
from helpers.first.models.placement import PlacementError, count_parameters
from helpers.first.models.prompts import (
    PromptedLayer,
    insert_prompts,
    prompt_names,
    widened,
    with_tokens,
    without_tokens,
)
from helpers.repro import sha256_file
from tests.first.small_training import (
    WORDS,
    small_adapted,
    small_encoder,
    small_picture,
    train_busy,
    trainable,
)

N = 3
PICTURES = [small_picture(f"{i}/0.jpg") for i in range(3)]


def prompted(family: str, *, attention: str = "sdpa", **choices):
    """A model with tokens far from zero; the layers that have none of their own stay plain."""
    adapted = small_adapted(family, method="prompt", rank=N, **choices)
    for tower in (adapted.encoder.model.vision_model, adapted.encoder.model.text_model):
        tower.config._attn_implementation = attention
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, p in adapted.encoder.model.named_parameters():
            if p.requires_grad and name != "logit_scale":
                p.add_(torch.randn(p.shape, generator=generator))
    return adapted


def attend(layer, hidden: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """A transformer layer written out; ``seen`` (b, length, length) says who sees whom."""
    heads, normed = layer.self_attn.num_heads, layer.layer_norm1(hidden)
    parts = [getattr(layer.self_attn, f"{n}_proj")(normed) for n in ("q", "k", "v")]
    q, k, v = (p.unflatten(-1, (heads, -1)).transpose(1, 2) for p in parts)
    scores = (q @ k.mT) / q.shape[-1] ** 0.5
    weights = scores.masked_fill(~seen[:, None], float("-inf")).softmax(-1)
    hidden = hidden + layer.self_attn.out_proj((weights @ v).transpose(1, 2).flatten(2))
    return hidden + layer.mlp(layer.layer_norm2(hidden))


def walked(tower, hidden: torch.Tensor, *, causal: bool, real: torch.Tensor) -> torch.Tensor:
    """The encoder of a tower, its tokens put in and taken out by hand; ``real``: no padding."""
    for layer in tower.encoder.layers:
        inner, n = layer, 0
        if isinstance(layer, PromptedLayer):
            inner, n = layer.layer, layer.n
            if layer.tokens is not None:
                token = layer.tokens[None].repeat(len(hidden), 1, 1)
                hidden = torch.cat([hidden[:, :1], token, hidden[:, 1:]], 1)
        length = hidden.shape[1]
        keys = torch.cat([real[:, :1], real.new_ones(len(real), n), real[:, 1:]], 1)
        seen = keys[:, None].expand(-1, length, -1)
        if causal:
            seen = seen & torch.ones(length, length, dtype=torch.bool).tril()
        hidden = attend(inner, hidden, seen)
        if n and layer.last:
            hidden = torch.cat([hidden[:, :1], hidden[:, n + 1 :]], 1)
    return hidden


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("k", [1, -1])
@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_the_towers_are_those_walked_by_hand(family, k, attention):
    adapted = prompted(family, attention=attention, vision_layers=k, text_layers=k)
    encoder, model = adapted.encoder, adapted.encoder.model
    pixels, tokens = encoder.pixels(PICTURES), encoder.tokens([*WORDS, "soup"])
    with torch.no_grad():
        vision, text = model.vision_model, model.text_model
        hidden = vision.embeddings(pixels)
        if family == "clip":
            hidden = vision.pre_layrnorm(hidden)
        everything = torch.ones(hidden.shape[:2], dtype=torch.bool)
        hidden = walked(vision, hidden, causal=False, real=everything)
        if family == "clip":
            images = model.visual_projection(vision.post_layernorm(hidden[:, 0]))
        else:
            images = vision.head(vision.post_layernorm(hidden))
        ids = tokens["input_ids"]
        real = tokens.get("attention_mask", torch.ones_like(ids)).bool()
        assert real.all() == (family == "siglip")  # CLIP's shorter captions are padded
        hidden = walked(text, text.embeddings(ids), causal=family == "clip", real=real)
        hidden = text.final_layer_norm(hidden)
        if family == "clip":
            end = (ids == model.config.text_config.eos_token_id).int().argmax(1)
            texts = model.text_projection(hidden[torch.arange(len(ids)), end])
        else:
            texts = text.head(hidden[:, -1])
        found = model.get_image_features(pixel_values=pixels).pooler_output
        assert torch.allclose(found, images, atol=1e-5)
        assert torch.allclose(model.get_text_features(**tokens).pooler_output, texts, atol=1e-5)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_tokens_change_the_rows_of_their_tower_alone(family):
    encoder = small_encoder(family)
    seen = prompted(family, text_layers=0).encoder
    assert np.array_equal(seen.texts(WORDS), encoder.texts(WORDS))
    assert not np.allclose(seen.images(PICTURES), encoder.images(PICTURES), atol=1e-3)
    read = prompted(family, vision_layers=0, text_layers=1).encoder
    assert np.array_equal(read.images(PICTURES), encoder.images(PICTURES))
    assert not np.allclose(read.texts(WORDS), encoder.texts(WORDS), atol=1e-3)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_a_caption_s_row_does_not_depend_on_its_neighbors(family):
    encoder = prompted(family).encoder
    alone = np.concatenate([encoder.texts([word, word + " on wood"])[:1] for word in WORDS])
    assert np.allclose(encoder.texts([*WORDS, "soup"])[:-1], alone, atol=1e-5)


def test_under_a_causal_mask_the_first_token_sees_itself_alone():
    layer = prompted("clip", text_layers=1).encoder.model.text_model.encoder.layers[-1]
    hidden = torch.randn(1, 5, 24)
    longer = torch.cat([hidden[:, :1], torch.randn(1, 4, 24)], dim=1)
    with torch.no_grad():
        first, other = (layer(h, None, is_causal=True) for h in (hidden, longer))
        plain = layer.layer(hidden, None, is_causal=True)
    assert first.shape == hidden.shape
    assert torch.allclose(first[:, 0], other[:, 0], atol=1e-6)
    assert torch.allclose(first[:, 0], plain[:, 0], atol=1e-6)
    assert not torch.allclose(first[:, 1], plain[:, 1], atol=1e-3)


@given(st.integers(1, 6), st.integers(1, 4))
def test_what_is_put_in_comes_out_again(length, n):
    hidden, tokens = torch.randn(2, length, 4), torch.randn(n, 4)
    longer = with_tokens(hidden, tokens)
    assert longer.shape == (2, length + n, 4)
    assert torch.equal(longer[1, 1 : n + 1], tokens)
    assert torch.equal(without_tokens(longer, n), hidden)


def test_a_widened_mask_by_hand():
    seen = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 0]]).bool()[None, None]  # the last is padding
    by_hand = torch.tensor(
        [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0]]
    ).bool()
    assert torch.equal(widened(seen, 2, causal=True)[0, 0], by_hand)
    added = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
    assert torch.equal(widened(added, 2, causal=True)[0, 0] == 0, by_hand)
    both_ways = torch.tensor([[1, 1, 0]] * 3).bool()[None, None]
    assert widened(both_ways, 1, causal=False)[0, 0].tolist() == [[True, True, True, False]] * 4
    with pytest.raises(ValueError, match=r"4 dimensions, not 2.*attn_implementation='sdpa'"):
        widened(torch.ones(2, 3), 1, causal=True)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_counts_by_hand_and_the_base_untouched(family):
    encoder = small_encoder(family)
    before = count_parameters(encoder.model)
    one = count_parameters(small_adapted(family, method="prompt", rank=5).encoder.model)
    assert one.trainable == 2 * 5 * 24 + 1  # both towers, and the logit scale
    assert one.total == before.total + 2 * 5 * 24
    heads = small_adapted(family, method="prompt", rank=5, text_layers=0, heads=True)
    named = dict(encoder.model.named_parameters())
    parts = {"clip": "projection.", "siglip": ".head."}
    retrained = {n: p for n, p in named.items() if parts[family] in n}
    counts = count_parameters(heads.encoder.model)
    assert counts.trainable == 5 * 24 + sum(p.numel() for p in retrained.values()) + 1
    assert counts.total == before.total + 5 * 24
    mine = dict(heads.encoder.model.named_parameters())
    assert all(mine[n] is not p and torch.equal(mine[n], p) for n, p in retrained.items())
    assert not any(p.requires_grad for p in named.values())
    tokens = "text_model.embeddings.token_embedding.weight"
    assert mine[tokens] is named[tokens]


@pytest.mark.parametrize("heads", [False, True])
@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_training_reaches_every_token(family, heads, tmp_path):
    adapted = small_adapted(family, method="prompt", rank=2, vision_layers=2, heads=heads)
    before = trainable(adapted)
    names = prompt_names(adapted.encoder.model, adapted.placement)
    assert {*names, "logit_scale"} == set(before)
    train_busy(adapted)  # raises where a trainable parameter gets no gradient
    require_gradients(adapted.encoder.model)
    after = trainable(adapted)
    assert all(not torch.equal(before[name], after[name]) for name in names)
    save_adapter(adapted, tmp_path / "a")
    again = load_adapter(small_encoder(family), tmp_path / "a").encoder
    assert np.allclose(again.texts(WORDS), adapted.encoder.texts(WORDS), atol=1e-6)
    assert np.allclose(again.images(PICTURES), adapted.encoder.images(PICTURES), atol=1e-6)
    assert not (tmp_path / "a" / "adapter_config.json").exists()
    assert "peft has no folder" in (tmp_path / "a" / "README.md").read_text()


def test_another_base_and_other_tensors_are_refused(tmp_path):
    save_adapter(prompted("clip"), tmp_path)
    with pytest.raises(AdapterError, match="the weights differs"):
        load_adapter(small_encoder("clip", seed=1), tmp_path)
    path, record = tmp_path / "prompt.safetensors", tmp_path / "base.json"
    content, tensors, digest = path.read_bytes(), load_file(path), sha256_file(path)
    path.write_bytes(content[:-1])
    with pytest.raises(AdapterError, match=r"prompt\.safetensors was cut off"):
        load_adapter(small_encoder("clip"), tmp_path)
    save_file({name: tensor[:2].contiguous() for name, tensor in tensors.items()}, path)
    record.write_text(record.read_text().replace(digest, sha256_file(path)))
    with pytest.raises(AdapterError, match=r"tokens' is \(2, 24\) there, \(3, 24\) here"):
        load_adapter(small_encoder("clip"), tmp_path)


def test_a_prompt_is_not_merged():
    with pytest.raises(AdapterError, match="3 tokens of a prompt cannot be merged"):
        merge(prompted("siglip"))


def test_a_copy_has_tokens_of_its_own():
    model = prompted("clip").encoder.model
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.vision_model.encoder.layers[0].tokens.zero_()
    assert model.vision_model.encoder.layers[0].tokens.abs().sum() > 0


def test_a_model_of_another_family_is_refused():
    model = small_encoder("clip").model.vision_model
    with pytest.raises(PlacementError, match="clip_vision_model"):
        insert_prompts(model, small_adapted("clip", method="prompt").placement)
