"""The Q-Former that needs no picture: the original where both run, its own second hop elsewhere."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from helpers.first.models.qformer import ImageOptionalLayer, ImageOptionalQFormer, image_optional

CONFIG = Blip2QFormerConfig(
    hidden_size=12, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16,
    encoder_hidden_size=10, use_qformer_text_input=True, vocab_size=20,
)  # fmt: skip


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    return Blip2QFormerModel(CONFIG).eval()


@pytest.fixture(scope="module")
def ours(original):
    return image_optional(original)


def inputs(queries: int, words: int, seed: int = 0, *, batch: int = 2):
    draw = torch.Generator().manual_seed(seed)
    embeds = torch.randn(batch, queries + words, 12, generator=draw)
    mask = torch.ones(batch, queries + words, dtype=torch.long)
    if words > 1:
        mask[0, -1] = 0  # a shorter text
    picture = torch.randn(batch, 7, 10, generator=draw)
    return {"query_embeds": embeds, "query_length": queries, "attention_mask": mask}, picture


def run(model, given_inputs, picture=None):
    with torch.no_grad():
        return model(**given_inputs, encoder_hidden_states=picture).last_hidden_state


@settings(max_examples=15)
@given(queries=st.integers(1, 4), words=st.integers(0, 4), seed=st.integers(0, 99))
def test_with_a_picture_it_is_the_original(original, ours, queries, words, seed):
    embeds, picture = inputs(queries, words, seed)
    torch.testing.assert_close(run(ours, embeds, picture), run(original, embeds, picture))


@settings(max_examples=15)
@given(words=st.integers(1, 5), seed=st.integers(0, 99))
def test_without_query_tokens_it_is_the_original(original, ours, words, seed):
    embeds, _ = inputs(0, words, seed)
    torch.testing.assert_close(run(ours, embeds), run(original, embeds))


def test_the_original_does_not_take_query_tokens_without_a_picture(original):
    with pytest.raises(ValueError, match="encoder_hidden_states"):
        run(original, inputs(3, 2)[0])


@pytest.mark.parametrize("words", [0, 3])
def test_the_second_hop_is_the_original_without_its_cross_attention(original, ours, words):
    embeds, _ = inputs(3, words)
    without = Blip2QFormerModel(CONFIG).eval()
    without.load_state_dict(original.state_dict())
    for layer in without.encoder.layer:
        layer.has_cross_attention = False
    found = run(ours, embeds)
    torch.testing.assert_close(found, run(without, embeds))
    assert found.shape == (2, 3 + words, 12)


def test_the_picture_matters(ours):
    embeds, picture = inputs(3, 2)
    with_one, with_other = run(ours, embeds, picture), run(ours, embeds, picture + 1)
    assert (with_one - with_other).abs().max() > 1e-3
    assert (with_one - run(ours, embeds)).abs().max() > 1e-3


def test_masked_words_do_not_reach_the_second_hop(ours):
    embeds, _ = inputs(3, 3)
    other = dict(embeds, query_embeds=embeds["query_embeds"].clone())
    other["query_embeds"][0, -1, 0] += 5.0  # its mask is 0
    torch.testing.assert_close(run(ours, other)[0, :-1], run(ours, embeds)[0, :-1])
    assert (run(ours, other)[0, -1] - run(ours, embeds)[0, -1]).abs().max() > 1e-3


def test_weights_go_both_ways_under_the_same_names(original, ours):
    assert list(ours.state_dict()) == list(original.state_dict())
    back = Blip2QFormerModel(CONFIG)
    back.load_state_dict(ours.state_dict(), strict=True)
    assert all(isinstance(layer, ImageOptionalLayer) for layer in ours.encoder.layer)


def test_the_copy_shares_nothing_with_the_original(original):
    copied = image_optional(original)
    before = original.layernorm.weight.clone()
    with torch.no_grad():
        copied.layernorm.weight.add_(1.0)
    torch.testing.assert_close(original.layernorm.weight, before)
    assert not copied.training
    assert image_optional(Blip2QFormerModel(CONFIG).train()).training


def test_a_gradient_goes_through_the_second_hop(ours):
    embeds, _ = inputs(3, 2)
    queries = embeds["query_embeds"].clone().requires_grad_(True)
    ours(**dict(embeds, query_embeds=queries)).last_hidden_state[:, 3].square().sum().backward()
    assert queries.grad[:, :3].abs().max() > 0


def test_a_fresh_one_is_drawn_like_the_original():
    torch.manual_seed(3)
    made = ImageOptionalQFormer(CONFIG)
    spread = made.encoder.layer[0].attention.attention.query.weight.std().item()
    assert spread == pytest.approx(CONFIG.initializer_range, rel=0.3)
