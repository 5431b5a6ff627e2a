"""The pretraining of the base that sees cars: its start, its captions, a run that was stopped."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import SiglipModel

from helpers import paths
from helpers.models.encoder import load_encoder
from helpers.pretraining import cars
from helpers.repro import sha256_file
from helpers.topics.cars.instances import LESSON_CLASSES
from helpers.world import open_world

TINY = cars.Pretraining(steps=3, images=1, batch=4, captions=3, save=2, watch=10, warmup=1)


@pytest.fixture(scope="module")
def images():
    """As many as the classes have, all gray but for noise: what is drawn does not matter here."""
    n = cars.ALL - LESSON_CLASSES
    return np.random.default_rng(0).integers(0, 255, (n, 96, 96, 3), dtype=np.uint8)


def test_the_start_sees_a_flat_image_as_the_smaller_model_did():
    """On a flat image a resized kernel has to give the patches the embedding that they had."""
    model, processor = cars.enlarged_start(TINY)
    old = SiglipModel.from_pretrained(paths.tiny() / cars.START)
    with torch.inference_mode():
        before, after = (m.vision_model.embeddings(torch.full((1, 3, px, px), 0.4))
                         for m, px in ((old, 64), (model, 96)))  # fmt: skip
    assert before.shape == after.shape
    assert (before - after).abs().max() < 0.02 * before.abs().max()
    assert processor.image_processor.size["height"] == 96


def test_a_caption_states_what_is_true_of_its_class_and_names_it_in_other_ways():
    world = open_world("garage", n_recipes=20)
    rng = np.random.default_rng(0)
    for i in range(20):
        facts = cars.facts_of(world.attributes(i))
        text, stated = cars.caption(facts, rng)
        assert stated <= facts.items()
        assert text.split() == [w for k, v in sorted(stated, key=lambda x: text.index(x[1]))
                                for w in v.split()] or len(stated) > 1  # fmt: skip
        assert all(value in text for _, value in stated)


def run_of(s, images):
    run = cars.Training(s, images)
    while run.step < s.steps:
        run.advance()
    return run


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(images, tmp_path):
    whole = run_of(TINY, images)
    half = cars.Training(TINY, images)
    half.advance()
    half.advance()
    half.save(tmp_path / "state.safetensors")
    again = cars.Training(TINY, images)
    again.resume(tmp_path / "state.safetensors")
    assert again.step == 2
    again.advance()
    for name, weight in whole.named.items():
        assert torch.equal(weight, again.named[name]), name
    start = SiglipModel.from_pretrained(paths.tiny() / cars.START).state_dict()
    layer = "vision_model.encoder.layers.0.mlp.fc1.weight"
    assert not torch.equal(whole.named[layer], start[layer])
    other = cars.Training(replace(TINY, seed=1), images)
    with pytest.raises(ValueError, match="state of other settings or code: delete it"):
        other.resume(tmp_path / "state.safetensors")


@pytest.mark.slow
def test_a_checkpoint_opens_with_its_card_and_says_whether_it_is_as_hard_as_wanted(
    images, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(cars, "drawn", lambda s: images)
    few = cars.open_classes("world:garage?px=96&images=6", max_recipes=6)
    written = cars.write_queries(few.cars, n=9, progress=False)
    data = few.sets(cars.split_queries(written.queries, few, seed=42))["validation"]
    monkeypatch.setattr(cars, "validation", lambda s: data)
    assert cars.pretrain(replace(TINY, steps=2), tmp_path / "out") in (True, False)
    encoder = load_encoder(str(tmp_path / "out"), device="cpu")
    assert (encoder.image_px, encoder.dimension) == (96, 96)
    assert "no combination of make" in (tmp_path / "out" / "README.md").read_text()
    assert not list(tmp_path.glob("*.safetensors"))
    assert "% to 70%" in capsys.readouterr().out
    size = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*"))
    assert size < 6e6


def test_the_committed_base_is_frozen_and_as_hard_as_wanted():
    """Every study of lesson 09 stands on it; its classes were held out by their attributes."""
    folder = paths.tiny() / cars.NAME
    frozen = json.loads((paths.tiny() / "frozen.json").read_text())["weights"]
    assert sha256_file(folder / "model.safetensors") == frozen[cars.NAME]
    record = json.loads((folder / cars.RECORD).read_text())
    assert record["settings"]["seed"] == 0
    low, high = cars.WANTED
    assert low <= record["validation"]["hit@1, both"]["value"] <= high
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 6e6
