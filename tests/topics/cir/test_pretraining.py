"""Pretraining of the tiny InstructBLIP: folded norms, frozen parts, whole files."""

import json
from dataclasses import asdict
from functools import partial

import numpy as np
import pytest
import torch

from helpers.pretraining import encoder, instructblip
from helpers.pretraining.instructblip import NAME, Pretraining, main
from helpers.topics.cir.generator import START, load_generator, load_start
from tests.topics.cir.small import small_generator

SHORT = Pretraining(
    images=12, encoder_steps=2, encoder_batch=4, readings=120, changes=120, language_steps=2,
    qformer_steps=2, batch_size=4, steps=2, annotated=6, checked=4,
)  # fmt: skip


def test_a_folded_stem_gives_what_the_norms_gave():
    torch.manual_seed(0)
    stem = encoder.NormedStem(8, 24, (4, 6)).train()
    with torch.no_grad():
        for norm in stem.norms:
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_()
        for _ in range(5):
            stem(torch.randn(8, 3, 16, 16))
        stem, x = stem.eval(), torch.randn(2, 3, 16, 16)
        assert torch.allclose(stem.folded(8, 24, (4, 6)).eval()(x), stem(x), atol=1e-5)


def test_a_phrase_is_the_mean_of_its_words():
    generator = small_generator()
    table = instructblip.phrase_table(generator, [("tofu", "a red plate")])
    words = generator.model.get_input_embeddings()
    found = instructblip.mean_words(words, table)
    for place, phrase in enumerate(("tofu", "a red plate")):
        ids = generator.tokenizer(phrase, add_special_tokens=False)["input_ids"]
        assert torch.allclose(found[0, place], words(torch.tensor(ids)).mean(dim=0), atol=1e-6)


def test_a_change_is_written_with_the_notes_of_both_ends():
    for i in range(20):
        one = instructblip.draw_change(i, 0.5)
        changed = sum(a != b for a, b in zip(one.first, one.second, strict=True))
        assert 1 <= changed <= 2
        assert one.text


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "_measure_norms", partial(encoder._measure_norms, n=2))
        few = partial(encoder.encoder_accuracy, n=8)
        patch.setattr(instructblip, "encoder_accuracy", few)
        patch.setattr("helpers.paths.cache", lambda: folder / "cache")
        instructblip.pretrain(SHORT, folder / "short", folder / "work")
    return folder / "short"


@pytest.mark.slow
def test_a_checkpoint_comes_with_its_start_its_card_and_its_log(made):
    generator = load_generator(str(made), device="cpu")
    assert generator.name == "short"
    assert generator.image_px == encoder.PX
    assert sum(p.numel() for p in generator.model.parameters()) < 1_500_000
    record = json.loads((made / "training.json").read_text())
    assert record["settings"] == asdict(SHORT)
    assert set(record["losses"]) == {"encoder", "language", "qformer", "triplets"}
    assert {"before", "after"} < set(record["scores"])
    assert "{" not in (made / "README.md").read_text().split("---")[2]


@pytest.mark.slow
def test_the_start_differs_in_what_is_trained_on_triplets_alone(made):
    generator = load_generator(str(made), device="cpu")
    assert (made / START).is_file()
    start = dict(load_start(generator, str(made)).model.named_parameters())
    moved = {n.split(".")[0] for n, p in generator.model.named_parameters()
             if not torch.equal(p, start[n])}  # fmt: skip
    assert moved == {"qformer", "query_tokens", "language_projection"}


@pytest.mark.slow
def test_finished_stages_are_not_trained_again(made, monkeypatch):
    """The state of each stage lies in the work folder; a second call ends with the same weights."""
    monkeypatch.setattr(encoder, "_measure_norms", partial(encoder._measure_norms, n=2))
    monkeypatch.setattr(instructblip, "encoder_accuracy", partial(encoder.encoder_accuracy, n=8))
    monkeypatch.setattr("helpers.paths.cache", lambda: made.parent / "cache")
    instructblip.pretrain(SHORT, made.parent / "again", made.parent / "work")
    pair = [load_generator(str(made.parent / n), device="cpu") for n in ("short", "again")]
    assert pair[0].fingerprint == pair[1].fingerprint


def test_the_options_are_those_of_every_tiny_model(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        main(["--steps", "3"])
    assert "needs --out" in capsys.readouterr().err
    seen = []
    monkeypatch.setattr(
        instructblip, "pretrain",
        lambda s, folder, work: seen.append((s.language_steps, folder.name, work.name)),
    )  # fmt: skip
    assert main(["--steps", "3", "--out", "x"]) == 0
    assert main([]) == 0
    steps = Pretraining().language_steps
    assert seen == [(3, "x", f"{NAME}-3"), (steps, NAME, f"{NAME}-whole")]


def test_equal_settings_draw_equal_images():
    (a, told), (b, again) = (encoder.draw(3, seed=5, px=32) for _ in range(2))
    assert np.array_equal(a, b)
    assert told == again
