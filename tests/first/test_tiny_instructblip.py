"""The tiny InstructBLIP: a class of transformers, its tower that of SigLIP, its weights frozen."""

import json
import sys

import pytest
import torch
from torch.nn.functional import cosine_similarity
from transformers import AutoTokenizer, InstructBlipForConditionalGeneration

from helpers import paths
from helpers.first.models.generator_loading import load_generator
from helpers.first.models.loading import load_encoder
from helpers.first.models.tiny_instructblip import NAME, QFORMER, build_instructblip
from helpers.repro import sha256_file
from helpers.world import open_world
from tests.first.freeze import FROZEN
from tests.first.small_generator import SHAPE, TEXTS, pictures, small_generator
from tests.first.small_training import small_encoder

FOLDER = paths.tiny() / NAME


def test_weights_are_the_frozen_ones():
    assert (
        sha256_file(FOLDER / "model.safetensors")
        == (json.loads(FROZEN.read_text())["weights"][NAME])
    )


def test_the_checkpoint_opens_like_any_other_and_is_small():
    model = InstructBlipForConditionalGeneration.from_pretrained(FOLDER)
    assert model.config.text_config.model_type == "llama"
    assert model.config.use_decoder_only_language_model
    for tokenizer in (
        AutoTokenizer.from_pretrained(FOLDER),
        AutoTokenizer.from_pretrained(FOLDER, subfolder=QFORMER),
    ):
        assert "tofu" in tokenizer.decode(tokenizer("with Tofu")["input_ids"])
        assert len(tokenizer) == model.config.text_config.vocab_size
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()) <= 6_000_000
    assert "torchvision" not in sys.modules


@torch.no_grad()
def test_its_image_encoder_sees_what_tiny_siglip_sees():
    siglip, generator = load_encoder("tiny-siglip", device="cpu"), load_generator(device="cpu")
    world = open_world("kitchen", n_recipes=12)
    drawn = [world.draw(i, 0).image for i in range(12)]
    pixels = siglip.pixels(drawn)
    assert torch.allclose(pixels, generator.pixels(drawn), atol=1e-5)
    known = siglip.model.vision_model(pixel_values=pixels).last_hidden_state  # (12, 64, 96)
    found = torch.from_numpy(generator.see(drawn))
    assert found.shape == (12, 65, 96)
    alike = cosine_similarity(known, found[:, 1:], dim=-1)
    assert alike.mean() > 0.99
    assert alike.min() > 0.8


@torch.no_grad()
def test_every_mapped_weight_is_in_its_place():
    """Without the class token, which SigLIP lacks, both towers compute the same numbers."""
    siglip, model = small_encoder("siglip").model, small_generator().model
    pixels = small_encoder("siglip").pixels(pictures(3))
    hidden = model.vision_model.embeddings(pixels)[:, 1:]
    hidden = model.vision_model.encoder(inputs_embeds=hidden).last_hidden_state
    found = model.vision_model.post_layernorm(hidden)
    known = siglip.vision_model(pixel_values=pixels).last_hidden_state
    assert torch.allclose(found, known, atol=1e-5)


def test_building_is_repeatable_and_queries_differ():
    encoder = small_encoder("siglip")
    pixels = encoder.pixels(pictures(4))
    a, b, c = (
        build_instructblip(encoder.model, TEXTS, pixels, seed=s, shape=SHAPE)[0] for s in (1, 1, 2)
    )
    assert torch.equal(a.query_tokens, b.query_tokens)
    assert not torch.equal(a.query_tokens, c.query_tokens)
    assert not torch.equal(a.query_tokens[0, 0], a.query_tokens[0, 1])
    assert a.query_tokens.shape == (1, SHAPE.queries, SHAPE.width)


@pytest.mark.parametrize("instruction", ["describe the first image", "what has changed?"])
def test_it_writes_in_words(instruction):
    generator = load_generator(device="cpu").with_instruction(instruction)
    world = open_world("kitchen", n_recipes=8)
    seen = generator.see([world.draw(i, 0).image for i in range(8)])
    texts = generator.write(seen[:4], seen[4:])
    assert len(texts) == 4
    assert all(3 <= len(text) < 120 for text in texts)
