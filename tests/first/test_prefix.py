"""Towers cut in two: prefix and suffix together are the tower, wherever it is cut."""

import copy
from dataclasses import replace

import pytest
import torch

from helpers.first.models.placement import Placement, PlacementError
from helpers.first.models.prefix import (
    SplitTower,
    Texts,
    cuts_of,
    end_tokens,
    fingerprint_below,
    trimmed,
)
from tests.first.small_training import WORDS, small_adapted, small_encoder, small_picture

LONG = [*WORDS, "a", "a red mug on a red mug on a red mug on a red mug on a red mug"]
FAMILIES = ["clip", "siglip"]


def inputs_of(encoder, tower):
    """What a tower reads, and the embeddings that the model itself gives."""
    with torch.no_grad():
        if tower == "vision":
            pixels = encoder.pixels([small_picture(f"{i}/0.jpg") for i in range(4)])
            return pixels, encoder.model.get_image_features(pixel_values=pixels).pooler_output
        tokens = encoder.tokens(LONG)
        wanted = encoder.model.get_text_features(**tokens).pooler_output
        return trimmed(tokens, encoder), wanted


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("tower", ["vision", "text"])
@pytest.mark.parametrize("family", FAMILIES)
def test_prefix_and_suffix_are_the_tower_at_every_cut(family, tower, attention):
    encoder = small_encoder(family)
    model = copy.deepcopy(encoder.model)
    model.set_attn_implementation(attention)
    encoder = replace(encoder, model=model)
    inputs, wanted = inputs_of(encoder, tower)
    split = SplitTower(encoder, tower)
    cuts = list(range(split.depth + 2))
    texts = inputs if isinstance(inputs, Texts) else None
    with torch.no_grad():
        for cut, states in zip(cuts, split.prefix(inputs, cuts), strict=True):
            assert torch.allclose(split.suffix(states, cut, texts), wanted, atol=2e-6), cut
            (alone,) = split.prefix(inputs, [cut])
            assert torch.equal(alone, states)
        assert torch.allclose(split.whole(inputs), wanted, atol=2e-6)


def test_captions_of_clip_lose_their_padding_and_nothing_else():
    encoder = small_encoder("clip")
    tokens = encoder.tokens(LONG)
    split = SplitTower(encoder, "text")
    with torch.no_grad():
        wanted = encoder.model.get_text_features(**tokens).pooler_output
        for i in range(len(LONG)):
            one = trimmed({name: ids[i : i + 1] for name, ids in tokens.items()}, encoder)
            real = int(tokens["attention_mask"][i].sum())
            assert one.ids.shape[1] == real == int(one.ends) + 1
            assert one.full == tokens["input_ids"].shape[1]
            assert torch.allclose(split.whole(one), wanted[i], atol=2e-6)


def test_padding_on_the_left_is_kept_and_masked():
    encoder = small_encoder("clip")
    tokenizer = copy.deepcopy(encoder.processor.tokenizer)
    tokenizer.padding_side = "left"
    tokens = dict(tokenizer(LONG[:5], padding="longest", return_tensors="pt"))
    tokens = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    assert int(tokens["attention_mask"][-1, 0]) == 0
    with torch.no_grad():
        wanted = encoder.model.get_text_features(**tokens).pooler_output
        found = SplitTower(encoder, "text").whole(trimmed(tokens, encoder))
    assert torch.allclose(found, wanted, atol=2e-6)


def test_padding_of_siglip_decides_its_embeddings_and_stays():
    encoder = small_encoder("siglip")
    tokens = encoder.tokens(WORDS)
    found = trimmed(tokens, encoder)
    assert torch.equal(found.ids, tokens["input_ids"])
    assert found.ends.tolist() == [encoder.text_length - 1] * len(WORDS)
    shorter = tokens["input_ids"][:, :-1]
    assert (shorter[:, -1] == encoder.processor.tokenizer.pad_token_id).all()  # only padding is cut
    with torch.no_grad():
        whole = encoder.model.get_text_features(**tokens).pooler_output
        cut = encoder.model.get_text_features(input_ids=shorter).pooler_output
    assert float((whole - cut).abs().max()) > 1e-3


def test_the_pooled_token_follows_the_configuration():
    ids = torch.tensor([[1, 4, 9, 3, 3], [1, 9, 3, 9, 3], [1, 5, 5, 5, 5]])
    assert end_tokens(ids, 3).tolist() == [3, 2, 0]  # the first; none at all: the first token
    assert end_tokens(ids, 2).tolist() == [2, 1, 1]  # 2 in a configuration: the largest number


@pytest.mark.parametrize(
    ("vision", "text", "heads", "wanted"),
    [
        (1, 0, False, (2, 3)),
        (1, 0, True, (2, 2)),
        (-1, 1, True, (0, 1)),
        (0, -1, False, (4, 0)),
        (3, 2, False, (0, 0)),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_cuts_of_a_placement(family, vision, text, heads, wanted):
    """Small towers: three vision layers, two text layers."""
    placement = Placement(vision_layers=vision, text_layers=text, heads=heads)
    cuts = cuts_of(placement, small_encoder(family))
    assert (cuts["vision"], cuts["text"]) == wanted


def test_more_layers_than_there_are_have_no_cut():
    with pytest.raises(PlacementError, match="vision_layers is 4"):
        cuts_of(Placement(vision_layers=4), small_encoder("clip"))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fingerprint_is_that_of_what_lies_below(family):
    base, adapted = small_encoder(family), small_adapted(family, vision_layers=1, heads=True)

    def at(encoder, cut):
        return fingerprint_below(SplitTower(encoder, "vision").below(cut))

    for cut in (0, 1, 2):
        assert at(base, cut) == at(adapted.encoder, cut)
    assert at(base, 3) != at(adapted.encoder, 3)
    assert len({at(base, cut) for cut in range(5)}) == 5
    assert at(small_encoder(family, seed=1), 1) != at(base, 1)
    deeper = small_adapted(family, vision_layers=2)
    assert at(deeper.encoder, 2) != at(base, 2)
