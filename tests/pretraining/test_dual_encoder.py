"""The pretraining of the tiny dual encoders: batches, augmentation, first loss, a whole run."""

import json
import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from helpers.models.encoder import load_encoder, weights_fingerprint
from helpers.pretraining import dual_encoder
from helpers.pretraining.command import RECORD, main
from helpers.pretraining.dual_encoder import augmented, batches, loss_of_step, start
from helpers.training.loop import learning_rate
from helpers.world.corpus import draw_corpus

NAMES = list(dual_encoder.SETTINGS)


@pytest.fixture(scope="module")
def corpus():
    return draw_corpus(24, web_share=0.35, photo_share=0.85, progress=False)


def test_an_epoch_takes_every_image_once_but_for_a_rest_smaller_than_a_batch():
    stream = batches(11, 4, np.random.default_rng(0))
    first, second = (np.concatenate(list(islice(stream, 2))) for _ in range(2))
    for epoch in (first, second):
        assert len(set(epoch)) == 8
        assert set(epoch) <= set(range(11))
    assert first.tolist() != second.tolist()


def test_an_augmented_image_is_a_shifted_or_mirrored_one_in_another_light():
    """Per image and channel, the light is one gain and one offset: a line through all pixels."""
    images = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    mirrored = set()
    for seed in range(12):
        found = augmented(images, np.random.default_rng(seed), lambda x: x / 255).numpy()
        assert found.shape == (3, 3, 16, 16)
        top, left = np.random.default_rng(seed).integers(0, 9, 2)
        padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), "edge") / 255
        cut = padded[:, top : top + 16, left : left + 16].transpose(0, 3, 1, 2)
        for i, channel in np.ndindex(3, 3):
            one, wanted, fits = cut[i, channel], found[i, channel], []
            for flip, side in enumerate((one, one[:, ::-1])):
                line = np.polyfit(side.ravel(), wanted.ravel(), 1)
                fits.append((np.abs(np.polyval(line, side) - wanted).max(), flip, line[0]))
            error, flip, gain = min(fits)
            assert error < 1e-5
            assert 0.8 <= gain <= 1.2
            mirrored.add(flip)
    assert mirrored == {0, 1}


@pytest.mark.parametrize("name", NAMES)
def test_the_first_loss_is_near_that_of_a_model_that_guesses(name, corpus):
    """InfoNCE of n pairs: log n. Sigmoid at bias -10: a positive costs 10 less its similarity."""
    s = replace(dual_encoder.SETTINGS[name], batch_size=16)
    encoder = start(s, corpus)
    loss = loss_of_step(s, encoder, corpus)(0, np.random.default_rng(0))
    guess = math.log(16) if s.loss == "info_nce" else 10
    assert loss.item() == pytest.approx(guess, rel=0.2)
    loss.backward()
    assert all(p.grad is not None for p in encoder.model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_equal_settings_start_alike(name, corpus):
    s = replace(dual_encoder.SETTINGS[name], batch_size=8)
    losses = []
    for seed in (0, 0, 1):
        one = replace(s, seed=seed)
        with torch.no_grad():
            losses.append(loss_of_step(one, start(one, corpus), corpus)(0, None).item())
    assert losses[0] == losses[1] != losses[2]


def test_the_learning_rate_rises_and_then_follows_a_cosine_over_all_steps():
    s = dual_encoder.SETTINGS["tiny-clip"]
    settings = dual_encoder.fit_settings(s)
    rates = [learning_rate(step, s.steps, settings) / s.learning_rate for step in range(s.steps)]
    assert rates[0] == pytest.approx(1 / 60)
    assert rates[350] == pytest.approx(0.5)
    assert rates[-1] == 0.02
    assert dual_encoder.fit_settings(replace(s, steps=3)).warmup == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_short_run_writes_a_checkpoint_with_its_card(name, tmp_path, monkeypatch, capsys):
    short = replace(dual_encoder.SETTINGS[name], batch_size=8, n_images=24)
    monkeypatch.setitem(dual_encoder.SETTINGS, name, short)
    monkeypatch.setattr(dual_encoder, "VALIDATION_RECIPES", 12)
    folder = tmp_path / "out"
    assert main([name, "--steps", "2", "--out", str(folder)]) == 0
    encoder = load_encoder(str(folder), device="cpu")
    assert weights_fingerprint(encoder.model) == encoder.fingerprint
    record = json.loads((folder / RECORD).read_text())
    assert record["settings"]["steps"] == 2
    assert [one["step"] for one in record["log"]] == [0, 1]
    text = (folder / "README.md").read_text()
    assert f"# {name}\n" in text
    assert "2 steps of 8" in text
    assert "| general, image to text, mrr |" in text
    assert not [part for part in ("{", "}", "nan", "|  |") if part in text]
    assert f"{name}: " in capsys.readouterr().out
