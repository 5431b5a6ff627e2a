"""The tiny checkpoints: classes of transformers, frozen weights, their chosen difficulty."""

import json

import pytest
from transformers import AutoModel, AutoProcessor, CLIPModel, SiglipModel

from helpers import paths
from helpers.experiment import ranks_of
from helpers.models.encoder import Encoder, load_encoder
from helpers.pretraining.dual_encoder import SETTINGS, WANTED, zero_shot
from helpers.pretraining.shapes import (
    SIGMOID_START,
    TINY_MODELS,
    TinyShape,
    build_tiny,
    train_tokenizer,
)
from helpers.repro import sha256_file
from tests.world.freeze import FROZEN

WORDS = ["a red mug on wood", "chicken soup with basil", "two blue books on a steel worktop"]


@pytest.mark.parametrize("name", TINY_MODELS)
def test_weights_are_the_frozen_ones(name):
    frozen = json.loads(FROZEN.read_text())["weights"]
    assert sha256_file(paths.tiny() / name / "model.safetensors") == frozen[name]


@pytest.mark.parametrize(("name", "kind"), [("tiny-clip", CLIPModel), ("tiny-siglip", SiglipModel)])
def test_the_checkpoint_opens_like_any_other(name, kind):
    folder = paths.tiny() / name
    model = AutoModel.from_pretrained(folder)
    assert type(model) is kind
    assert model.config.vision_config.num_hidden_layers >= 6
    assert model.config.text_config.num_hidden_layers >= 4
    processor = AutoProcessor.from_pretrained(folder)
    assert processor.tokenizer.decode(processor.tokenizer("Tofu curry")["input_ids"]).count("tofu")
    assert sum(p.stat().st_size for p in folder.iterdir()) <= 6_000_000
    assert SETTINGS[name].loss in json.dumps(json.loads((folder / "training.json").read_text()))


@pytest.mark.parametrize("name", TINY_MODELS)
def test_zero_shot_difficulty_is_in_the_chosen_range(name):
    encoder = load_encoder(name, device="cpu")
    found = zero_shot(lambda data: ranks_of(encoder, data), domains=("kitchen",))
    hit = found["kitchen, text to image, hit@10"]
    assert WANTED[0] <= hit["value"] <= WANTED[1]
    assert hit["low"] < hit["value"] < hit["high"]


@pytest.mark.parametrize("name", TINY_MODELS)
def test_building_is_repeatable(name):
    (a, _), (b, _) = (build_tiny(name, WORDS, seed=3) for _ in range(2))
    c, _ = build_tiny(name, WORDS, seed=4)
    first = [next(m.vision_model.parameters()).detach().numpy() for m in (a, b, c)]
    assert (first[0] == first[1]).all()
    assert (first[0] != first[2]).any()


def test_a_fresh_siglip_starts_where_the_paper_starts():
    model, _ = build_tiny("tiny-siglip", WORDS, seed=0)
    assert (model.logit_scale.item(), model.logit_bias.item()) == pytest.approx(SIGMOID_START)


@pytest.mark.parametrize("start_token", [True, False])
def test_no_text_is_out_of_vocabulary_and_the_end_token_stays(start_token):
    tokenizer = train_tokenizer(WORDS, TinyShape(), start_token=start_token)
    for text in ("Älplermagronen 007", "寿司", "a" * 500, ""):
        ids = tokenizer(text, truncation=True, max_length=40)["input_ids"]
        assert len(ids) <= 40
        assert ids[-1] == tokenizer.eos_token_id
        assert tokenizer.unk_token_id not in ids
        assert (ids[0] == tokenizer.bos_token_id) == start_token
    assert tokenizer.decode(
        tokenizer("Red MUG")["input_ids"], skip_special_tokens=True
    ).strip() == ("red mug")


@pytest.mark.parametrize("name", TINY_MODELS)
def test_a_reloaded_model_reads_text_as_it_did_in_training(name, tmp_path):
    """SigLIP is trained without a mask: a tokenizer that brings one back changes every text."""
    model, processor = build_tiny(name, WORDS, seed=0)
    fresh = Encoder(name, name.removeprefix("tiny-"), model.eval(), processor)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = load_encoder(str(tmp_path), device="cpu")
    tokens = fresh.prepare_texts(WORDS)
    assert tokens.keys() == again.prepare_texts(WORDS).keys() == set(processor.tokenizer(WORDS))
    assert set(AutoProcessor.from_pretrained(tmp_path).tokenizer(WORDS)) == set(tokens)
    assert (fresh.texts(WORDS) == again.texts(WORDS)).all()


def test_an_unknown_tiny_model_is_refused():
    with pytest.raises(ValueError, match="tiny-siglip"):
        build_tiny("tiny-sigclip", WORDS, seed=0)


def test_shapes_of_the_towers_follow_the_settings():
    model, processor = build_tiny(
        "tiny-clip", WORDS, seed=0, shape=TinyShape(width=48, text_layers=5)
    )
    assert model.config.text_config.num_hidden_layers == 5
    assert model.visual_projection.weight.shape == (48, 48)
    crop = processor.image_processor.crop_size
    assert (crop.height, crop.width) == (64, 64)
