"""The tiny BLIP-2: classes of transformers, frozen weights, a tower that is known, its scores."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, Blip2ForImageTextRetrieval, Blip2Processor

from helpers import paths
from helpers.first.models.blip2 import load_blip2
from helpers.first.models.loading import load_encoder
from helpers.first.models.tiny_blip2 import NAME, build_tiny_blip2
from helpers.first.training.blip2_card import token_similarities
from helpers.first.training.pretrain_blip2 import (
    Blip2Pretraining,
    contrast,
    main,
    matching,
    pretrain,
)
from helpers.repro import sha256_file
from helpers.world import open_world
from tests.first.freeze import FROZEN
from tests.first.small_blip2 import SHAPE, noise, small_blip2
from tests.first.small_training import WORDS, small_encoder

FOLDER = paths.tiny() / NAME


def built(seed):
    pixels = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return build_tiny_blip2(WORDS, small_encoder("siglip"), pixels, seed=seed, shape=SHAPE)


def test_weights_are_the_frozen_ones():
    frozen = json.loads(FROZEN.read_text())["weights"]
    assert sha256_file(FOLDER / "model.safetensors") == frozen[NAME]


def test_the_checkpoint_opens_like_any_other():
    model, info = Blip2ForImageTextRetrieval.from_pretrained(FOLDER, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.config.num_query_tokens == 8
    processor = AutoProcessor.from_pretrained(FOLDER)
    assert isinstance(processor, Blip2Processor)
    assert processor.tokenizer.decode(processor.tokenizer("Tofu curry")["input_ids"]).count("tofu")
    assert sum(p.stat().st_size for p in FOLDER.iterdir()) <= 6_000_000
    settings = json.loads((FOLDER / "training.json").read_text())["settings"]
    assert settings == vars(Blip2Pretraining())


def test_its_tower_sees_what_tiny_siglip_sees():
    """But for the class token that BLIP-2 has besides."""
    world = open_world("kitchen", n_recipes=8, seed=1001)
    pictures = [world.load_image(recipe.images[0]) for recipe in world.recipes()]
    siglip = load_encoder("tiny-siglip", device="cpu")
    with torch.no_grad():
        wanted = siglip.model.vision_model(pixel_values=siglip.pixels(pictures)).last_hidden_state
    found = torch.from_numpy(load_blip2(NAME, device="cpu").states(pictures))[:, 1:]
    cosines = torch.nn.functional.cosine_similarity(found, wanted, dim=-1)
    assert cosines.mean() > 0.99


def test_it_finds_dishes_well_above_chance():
    """60 recipes: chance of hit@10 is under a fifth."""
    world = open_world("kitchen", n_recipes=60, seed=1001)
    recipes = list(world.recipes())
    blip2 = load_blip2(NAME, device="cpu")
    images = blip2.images([world.load_image(recipe.images[0]) for recipe in recipes])
    scores = token_similarities(images, blip2.texts([r.captions[0].text for r in recipes]))
    ranks = (scores >= np.diagonal(scores)[:, None]).sum(axis=1)
    assert (ranks <= 10).mean() > 0.5


def test_building_is_repeatable():
    (a, _), (b, _), (c, _) = built(3), built(3), built(4)
    assert torch.equal(a.query_tokens, b.query_tokens)
    assert not torch.equal(a.query_tokens, c.query_tokens)
    assert torch.equal(a.vision_model.post_layernorm.weight, c.vision_model.post_layernorm.weight)


def test_fresh_query_tokens_differ():
    """Equal ones would get equal gradients for ever."""
    model, _ = built(0)
    assert torch.pdist(model.query_tokens[0]).min() > 0


def test_another_tower_is_refused():
    with pytest.raises(ValueError, match="is a clip model"):
        build_tiny_blip2(WORDS, small_encoder("clip"), torch.rand(1, 3, 16, 16), seed=0)


def test_similarities_over_tokens_by_oracle():
    draw = np.random.default_rng(0)
    images, texts = draw.normal(size=(4, 3, 5)), draw.normal(size=(6, 5))
    naive = [[max(t @ token for token in image) for image in images] for t in texts]
    np.testing.assert_allclose(token_similarities(images, texts), naive, rtol=1e-5)


def test_the_contrast_by_hand():
    images = torch.eye(2).unsqueeze(1).repeat(1, 3, 1)  # (2, 3, 2)
    loss, similarities = contrast(images, torch.eye(2), torch.tensor(2.0), smoothing=0.0)
    assert similarities.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert loss.item() == pytest.approx(np.log(1 + np.exp(-2.0)), rel=1e-5)


def test_matching_asks_right_and_wrong_pairs(monkeypatch):
    """Two thirds of the questions are wrong pairs, and no wrong partner is the right one."""
    small, seen = small_blip2(), {}

    def spy(model, queries, input_ids, attention_mask, states):
        seen.update(text=input_ids[:, 0], picture=states[:, 0, 0])
        return torch.zeros(len(input_ids), 4, 16)

    monkeypatch.setattr("helpers.first.training.pretrain_blip2.joint_states", spy)
    ids = torch.arange(5)[:, None]
    states = torch.arange(5.0)[:, None, None].expand(5, 2, 24)
    tokens = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    loss = matching(small.model, states, tokens, torch.ones(5, 5), torch.Generator().manual_seed(0))
    right = seen["text"] == seen["picture"].long()
    assert right.tolist() == [True] * 5 + [False] * 10
    bias = small.model.itm_head.bias.detach()
    answers = torch.log_softmax(bias, dim=0)
    assert loss.item() == pytest.approx(-(answers[1] + 2 * answers[0]).item() / 3, rel=1e-5)


@pytest.mark.parametrize("wrong", [["--steps", "3"], ["--steps", "0", "--out", "x"]])
def test_fewer_steps_need_another_folder(wrong, capsys):
    with pytest.raises(SystemExit):
        main(wrong)
    assert "needs --out" in capsys.readouterr().err


def test_pictures_of_noise_are_told_apart():
    tokens = small_blip2().images([noise("a"), noise("b")])
    assert np.abs(tokens[0] - tokens[1]).max() > 1e-4


def test_the_card_says_what_the_log_says():
    """The checkpoint's own card, and one of other losses."""
    record = json.loads((FOLDER / "training.json").read_text())
    text = (FOLDER / "README.md").read_text()
    assert f"matching {record['log'][-1]['matching']:.3f} (a guess: 0.637)" in text
    assert "kitchen | text to image | hit@10" in text


def test_a_pretraining_leaves_a_checkpoint_that_opens(tmp_path, monkeypatch, capsys):
    """Two steps on a few pictures; an earlier checkpoint is replaced whole."""
    monkeypatch.setattr("helpers.first.training.blip2_card.VALIDATION_RECIPES", 12)
    place = tmp_path / "made"
    place.mkdir()
    for name in ("training.json", "generation_config.json"):
        (place / name).write_text("of an earlier one")
    settings = Blip2Pretraining(steps=2, n_images=48, batch_size=16, matched=8)
    pretrain(settings, place)
    assert not (place / "generation_config.json").exists()
    assert [folder.name for folder in tmp_path.iterdir()] == ["made"]
    opened = load_blip2(str(place), device="cpu")
    assert opened.texts(["tomato soup", "a red mug"]).shape == (2, 96)
    record = json.loads((place / "training.json").read_text())
    assert record["settings"] == vars(settings)
    assert [step["step"] for step in record["log"]] == [0, 1]
    assert "(a guess: 2.77)" in (place / "README.md").read_text()  # log 16
    assert "kitchen" in capsys.readouterr().out
