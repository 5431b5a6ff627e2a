"""Pretraining of the tiny InstructBLIP: its steps freeze what came before, its files are whole."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from helpers.first.models.generator import Generator
from helpers.first.models.generator_loading import load_generator
from helpers.first.models.tiny_instructblip import build_instructblip
from helpers.first.training import pretrain
from helpers.first.training import pretrain_instructblip as tested
from helpers.first.training.pretrain_instructblip import (
    BlipPretraining,
    _mean_words,
    _phrase_table,
    main,
    train_language,
    train_qformer,
)
from helpers.world.reading import N_NOTES, draw_noted, draw_reading
from tests.first.small_generator import SHAPE, TEXTS, pictures, weights
from tests.first.small_training import small_encoder

SHORT = BlipPretraining(
    readings=60, language_steps=2, qformer_steps=2, batch_size=4, n_images=12, warmup=1
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "short"
    tested.pretrain(SHORT, folder)
    return folder


def test_a_checkpoint_comes_with_its_card_and_its_log(made):
    generator = load_generator(str(made), device="cpu")
    assert generator.name == "short"
    assert sum(p.numel() for p in generator.model.parameters()) < 1_500_000
    log = json.loads((made / "training.json").read_text())
    assert log["settings"] == asdict(SHORT)
    assert {part: len(steps) for part, steps in log["log"].items()} == {
        "language": 2, "qformer": 2,
    }  # fmt: skip
    card = (made / "README.md").read_text()
    assert "tiny-siglip" in card
    assert "{" not in card.split("---")[2]


@pytest.fixture
def generator():
    """A small one with a query a note."""
    encoder, shape = small_encoder("siglip"), replace(SHAPE, queries=2 * N_NOTES)
    pixels = encoder.pixels(pictures(2))
    model, tokenizer = build_instructblip(encoder.model, TEXTS, pixels, seed=0, shape=shape)
    return Generator("small", model.eval(), tokenizer, tokenizer, (0.5,) * 3, (0.5,) * 3, "cpu", "")


def changed(before, generator):
    now = weights(generator)
    return {name.split(".")[0] for name, p in before.items() if not torch.equal(p, now[name])}


def test_the_language_model_learns_from_words_alone(generator):
    readings = [draw_reading(np.random.default_rng([1, i])) for i in range(40)]
    before = weights(generator)
    log = train_language(generator, readings, replace(SHORT, language_steps=12))
    assert changed(before, generator) == {"language_model"}
    assert log[-1]["loss"] < log[0]["loss"]


def test_the_queries_learn_to_bring_notes_and_the_rest_stays(generator):
    noted = draw_noted(6, dish_share=0.5, photo_share=1, px=16, progress=False)
    before = weights(generator)
    log = train_qformer(generator, noted, replace(SHORT, qformer_steps=12))
    assert changed(before, generator) == {"qformer", "query_tokens", "language_projection"}
    assert log[-1]["loss"] < log[0]["loss"]


def test_a_phrase_is_the_mean_of_its_words(generator):
    table = _phrase_table(generator, [("tofu", "a red plate")])
    words = generator.model.get_input_embeddings()
    found = _mean_words(words, table)
    for place, phrase in enumerate(("tofu", "a red plate")):
        ids = generator.tokenizer(phrase, add_special_tokens=False)["input_ids"]
        assert torch.allclose(found[0, place], words(torch.tensor(ids)).mean(dim=0), atol=1e-6)


def test_the_options_are_those_of_every_tiny_model(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        main(["--steps", "3"])
    assert "needs --out" in capsys.readouterr().err
    seen = []
    monkeypatch.setattr(
        tested, "pretrain",
        lambda settings, folder: seen.append((settings.language_steps, folder.name)),
    )  # fmt: skip
    assert pretrain.main(["tiny-instructblip", "--steps", "3", "--out", "x"]) == 0
    assert pretrain.main(["tiny-instructblip"]) == 0
    assert seen == [(3, "x"), (BlipPretraining().language_steps, "tiny-instructblip")]
