"""Adapting without forgetting: each thing that holds a model, and the study's points on a path."""

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import experiment
from helpers.evaluation.ranking import rank_both_directions
from helpers.experiment import hit10, ranks_of
from helpers.models.placement import Placement
from helpers.study import Design
from helpers.topics.adaptation import frontier
from helpers.topics.adaptation.frontier import Holding, train_holding
from helpers.training.loop import Settings
from tests.small_models import (
    perturb,
    small_adapted,
    small_data,
    small_encoder,
    small_pairs,
    trainable,
)

RNG = np.random.default_rng(0)
SETTINGS = Settings(steps=4, batch_size=4, learning_rate=0.02, keep="last", draw="image", seed=1)
LORA = Placement(rank=2, dropout=0.0)


def gradients(encoder):
    named = encoder.model.named_parameters()
    return {n: p.grad.clone() for n, p in named if p.requires_grad and p.grad is not None}


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_nothing_is_lost_by_distillation_before_a_model_moves(family):
    base, pairs, adapted = small_encoder(family), small_pairs(family), small_adapted(family)
    step = frontier.distilled(adapted, base, pairs, 6, 2.0)
    assert float(step(0, RNG)) == pytest.approx(0, abs=1e-6)
    perturb(adapted, spread=0.3)
    moved, twice = (
        float(frontier.distilled(adapted, base, pairs, 6, w)(0, np.random.default_rng(1)))
        for w in (1.0, 2.0)
    )
    assert 0 < moved == pytest.approx(twice / 2, rel=1e-5)
    assert any(grad.abs().sum() > 0 for grad in gradients(adapted).values())


def test_distillation_measures_the_angle_to_the_base():
    base, pairs = small_encoder("siglip"), small_pairs("siglip")
    adapted = perturb(small_adapted("siglip", dropout=0.0), spread=0.3)
    images, texts = np.random.default_rng(3), np.random.default_rng(3)
    i, t = images.integers(len(pairs.pixels), size=5), images.integers(len(pairs.captions), size=5)
    data = small_data()
    pictures, words = [data.images[k] for k in i], list(pairs.captions[t])
    cosines = [
        (adapted.images(pictures) * base.images(pictures)).sum(1).mean(),
        (adapted.texts(words) * base.texts(words)).sum(1).mean(),
    ]
    found = frontier.distilled(adapted, base, pairs, 5, 1.0)(0, texts)
    assert float(found) == pytest.approx(sum(1 - c for c in cosines), abs=0.02)  # pixels rounded


def test_the_penalty_is_the_squared_distance_from_the_start():
    adapted = small_adapted("siglip")
    step, starts = frontier.penalized(adapted, 0.5), trainable(adapted)
    assert float(step(0, RNG)) == 0
    perturb(adapted)
    adapted.model.zero_grad()
    moved = trainable(adapted)
    squares = sum(((moved[n] - starts[n]) ** 2).sum() for n in starts)
    assert float(step(0, RNG)) == pytest.approx(0.5 * float(squares), rel=1e-5)
    for name, grad in gradients(adapted).items():
        assert torch.allclose(grad, moved[name] - starts[name], atol=1e-6)


def test_replay_adds_the_gradient_of_the_other_pairs():
    """With the training pairs themselves replayed at the same size, a step's loss is doubled."""
    base, pairs = small_encoder("siglip"), small_pairs("siglip", negatives=False)
    both = {"training": pairs, "other": pairs}
    plain, replayed = (
        train_holding(base, both, placement=LORA, settings=SETTINGS, holding=holding)
        for holding in (Holding(), Holding(replay="other", replay_pairs=4))
    )
    assert replayed[1]["loss"].iloc[0] == pytest.approx(2 * plain[1]["loss"].iloc[0], rel=1e-5)
    assert replayed[1]["gradient_norm"].iloc[0] == pytest.approx(
        2 * plain[1]["gradient_norm"].iloc[0], rel=1e-4
    )


@pytest.mark.parametrize(
    "holding",
    [
        Holding(distill="training", distill_pairs=8, distill_weight=100.0),
        Holding(penalty=1e4),
    ],
    ids=["distillation", "penalty"],
)
def test_what_holds_a_model_holds_it(holding):
    base, pairs = small_encoder("siglip"), {"training": small_pairs("siglip", negatives=False)}
    free, held = (
        train_holding(base, pairs, placement=Placement(method="full"), settings=SETTINGS,
                      holding=one)[0]
        for one in (Holding(), holding)
    )  # fmt: skip
    words = ["a red mug on wood", "two blue books"]
    turned = [1 - (one.texts(words) * base.texts(words)).sum(1).mean() for one in (free, held)]
    assert turned[1] < 0.75 * turned[0]


def test_heads_alone_are_trained():
    base, pairs = small_encoder("siglip"), {"training": small_pairs("siglip", negatives=False)}
    heads = Placement(method="full", vision_layers=0, text_layers=0, heads=True)
    found, *_ = train_holding(base, pairs, placement=heads, settings=SETTINGS, holding=Holding())
    before = dict(base.model.named_parameters())
    changed = {n for n, p in found.model.named_parameters() if not torch.equal(p, before[n])}
    assert {name.split(".")[1] for name in changed - {"logit_scale"}} == {"head"}


def test_a_prepared_set_is_ranked_as_the_set_is():
    data = small_data()
    adapted = perturb(small_adapted("clip"))
    found = experiment.PreparedSet.of(small_encoder("clip"), data)
    images, texts = found.embed(adapted, batch_size=5)
    assert rank_both_directions(images, texts, data).equals(ranks_of(adapted, data))
    assert found.hit10(adapted) == pytest.approx(hit10(ranks_of(adapted, data)))


DESIGN = {
    "lesson": "04", "version": 1, "date": "2026-01-01", "question": "?", "base": {"small": ""},
    "seeds": {"default": 2, "zero-shot": 0}, "hypotheses": [],
    "settings": {"shown": ["LoRA", "full, replay"], "steps": 4, "batch_size": 4,
                 "placements": {"LoRA": {"rank": 2, "dropout": 0.0}, "full": {"method": "full"}}},
    "arms": {
        "zero-shot": {"base": "small"},
        "LoRA": {"base": "small", "placement": "LoRA", "learning_rate": 0.05},
        "LoRA, half": {"of": "LoRA", "factor": 0.5},
        "LoRA, almost none": {"of": "LoRA", "factor": 1e-6},
        "full, replay": {"base": "small", "placement": "full", "learning_rate": 0.01,
                         "replay": "replay", "replay_pairs": 4},
    },
    "data": {
        "training": {"source": "world:kitchen", "n": 12, "first": 0},
        "replay": {"source": "world:general", "n": 12, "first": 0},
        "kitchen": {"source": "world:kitchen", "n": 12, "first": 60},
        "general": {"source": "world:general", "n": 12, "first": 60},
        "validation, kitchen": {"source": "world:kitchen", "n": 12, "first": 30},
        "validation, general": {"source": "world:general", "n": 12, "first": 30},
    },
}  # fmt: skip


def test_the_points_of_a_path_are_arms_of_the_study(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "load_encoder", lambda name, device: small_encoder("siglip"))
    study = frontier.run_study(Design(**DESIGN), tmp_path)
    assert study.arms == ["zero-shot", "LoRA", "full, replay", "LoRA, half", "LoRA, almost none"]
    assert study.seeds("LoRA, half") == [1, 2]
    ranks = study.ranks.set_index(["arm", "seed", "test", "direction", "query"])["rank"]
    where = [(test, way) for test in frontier.TESTS for way in ("text_to_image", "image_to_text")]
    for test, way in where:
        zero, almost = ranks["zero-shot", -1, test, way], ranks["LoRA, almost none", 1, test, way]
        pd.testing.assert_series_equal(zero, almost)  # the path starts at the base
    assert not ranks["LoRA", 1].equals(ranks["LoRA, half", 1])
    path = study.frames["path"]
    assert set(path.loc[path["arm"] == "LoRA", "factor"]) == {1e-6, 0.5, 1.0}
    assert set(study.frames) == {"path", "losses", "evaluations"}
    without = {arm: about for arm, about in DESIGN["arms"].items() if arm != "LoRA, almost none"}
    curves = frontier.curves(study, Design(**{**DESIGN, "arms": without}))
    curves = curves.set_index(["method", "factor"])
    assert (curves.loc[("LoRA", 0.0)] == 0).all()
    at_one = 100 * study.difference("LoRA", "zero-shot", test="kitchen").value
    assert curves.loc[("LoRA", 1.0), "gain"] == pytest.approx(at_one)
    shown = frontier.figure(study, Design(**{**DESIGN, "arms": without})).axes[0]
    assert [line.get_label() for line in shown.lines[:2]] == ["LoRA", "full, replay"]


def test_scrambled_data_have_the_pixels_of_images_and_words_of_the_vocabulary():
    base, data = small_encoder("siglip"), small_data()
    made = frontier.scrambled(base, data, seed=3)
    again = frontier.scrambled(base, data, seed=3)
    assert len(made.images) == len(made.captions) == len(data.items)
    assert list(made.captions) == list(again.captions)
    own = [np.sort(np.asarray(one.convert("RGB")).reshape(-1, 3).sum(1)) for one in data.images]
    inverted = [np.sort(765 - one) for one in own]
    for image, twin in zip(made.images, again.images, strict=True):
        assert np.array_equal(image, twin)
        sums = np.sort(np.asarray(image).reshape(-1, 3).sum(1))  # neither order nor channels count
        assert any(np.array_equal(sums, one) for one in (*own, *inverted))
    assert all(3 <= len(text.split()) <= 10 for text in made.captions)
    vocabulary = {base.processor.tokenizer.decode([i]).strip() for i in range(2000)}
    assert {word for text in made.captions for word in text.split()} <= vocabulary
