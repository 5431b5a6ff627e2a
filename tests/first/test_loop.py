"""The loop: batches, schedule, precision, early stop, logs, and what stops it."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.models.lora import AdapterError, adapt
from helpers.first.models.placement import Placement
from helpers.first.training.loop import Training, TrainingDiverged, train
from helpers.first.training.pairs import DRAWS, epoch_batches, prepare_pairs
from helpers.first.training.settings import learning_rate
from helpers.first.training.towers import Towers, normalized, towers_of
from tests.first.small_training import (
    small_adapted,
    small_encoder,
    small_frame,
    small_pairs,
    small_picture,
    trainable,
)

QUICK = Training(epochs=2, batch_size=8, learning_rate=3e-3)


def run(adapted, settings=QUICK, **options):
    pairs = small_pairs(adapted.encoder.family)
    return train(adapted.encoder, pairs, settings, progress=False, **options)


# Pairs and batches


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_pixels_are_what_the_processor_gives(family):
    encoder, pairs = small_encoder(family), small_pairs(family)
    pictures = [small_picture(key) for key in pairs.image_keys]
    assert pairs.pixels.dtype == torch.uint8
    found = normalized(pairs.pixels.float() / 255, encoder)
    assert torch.allclose(found, encoder.pixels(pictures), atol=1e-5)


def test_pairs_are_the_frame_s_and_every_picture_is_read_once():
    frame, read = small_frame(), []
    pairs = prepare_pairs(
        frame, small_encoder("clip"), lambda k: read.append(k) or small_picture(k), progress=False
    )
    assert Counter(read) == Counter(set(frame["image_key"]))
    right = frame[frame["label"] == "1"]
    assert pairs.recipe_ids.tolist() == right["recipe_id"].tolist()
    assert pairs.image_keys[pairs.image_rows].tolist() == right["image_key"].tolist()
    assert pairs.captions[pairs.text_rows].tolist() == right["caption"].tolist()
    wrong = frame[frame["label"] == "0"]
    assert pairs.captions[pairs.negative_text_rows].tolist() == wrong["caption"].tolist()
    ids = small_encoder("clip").tokens(pairs.captions.tolist())["input_ids"]
    assert torch.equal(pairs.tokens["input_ids"], ids)


def test_the_fingerprint_follows_pixels_captions_and_labels():
    encoder, frame = small_encoder("clip"), small_frame(recipes=3)
    changed = frame.assign(label="1"), frame.assign(caption=frame["caption"] + "!")
    frames = [frame, frame.copy(), *changed]
    found = [prepare_pairs(f, encoder, small_picture, progress=False) for f in frames]
    darker = replace(found[0], pixels=found[0].pixels // 2)
    first, same, *others = [p.fingerprint for p in (*found, darker)]
    assert first == same
    assert len({first, *others}) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(label="2"), "label '2'"),
        (lambda f: f[f["label"] == "0"], "0 positive pairs"),
        (lambda f: f.head(1), "1 positive pairs"),
    ],
)
def test_a_frame_that_cannot_be_trained_on_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        prepare_pairs(change(small_frame()), small_encoder("clip"), small_picture, progress=False)


@given(st.sampled_from(DRAWS), st.integers(1, 60), st.integers(0, 99), st.integers(0, 3))
def test_an_epoch_goes_through_everything_once(draw, size, seed, epoch):
    pairs = small_pairs("clip")
    options = {"batch_size": size, "draw": draw, "seed": seed}
    batches = list(epoch_batches(pairs, epoch=epoch, **options))
    rows = np.concatenate(batches)
    column = {"pair": np.arange(len(pairs)), "image": pairs.image_rows, "recipe": pairs.recipe_rows}
    units = column[draw][rows]
    total = len(np.unique(column[draw]))
    assert len(set(units.tolist())) == len(units)
    assert {len(b) for b in batches} == {min(size, total)}
    assert total - len(rows) < min(size, total)
    again = np.concatenate(list(epoch_batches(pairs, epoch=epoch, **options)))
    other = np.concatenate(list(epoch_batches(pairs, epoch=epoch + 1, **options)))
    assert (rows == again).all()
    if len(rows) > 8:
        assert (rows != other).any()


def test_positives_are_pairs_of_one_recipe_picture_or_caption():
    pairs = small_pairs("clip")
    rows = np.array([0, 1, 2, 4, 9])
    found = pairs.positives(rows)
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            assert found[i, j] == (pairs.recipe_ids[a] == pairs.recipe_ids[b])
    shared = replace(pairs, text_rows=np.zeros_like(pairs.text_rows))
    assert shared.positives(rows).all()


def test_negatives_belong_to_their_picture_and_are_unmasked_where_right():
    pairs = small_pairs("clip")
    rows, rng = np.arange(len(pairs)), np.random.default_rng(0)
    drawn = pairs.draw_negatives(rows, rng)
    assert len(drawn) == len(rows)  # each picture has one
    wrong = set(zip(pairs.negative_image_rows, pairs.negative_text_rows, strict=True))
    assert set(zip(pairs.image_rows, drawn, strict=True)) == wrong
    known = pairs.extra_positives(rows, np.concatenate([drawn[:2], pairs.text_rows[:1]]))
    assert not known[:, :2].any()
    assert (known[:, 2] == (pairs.recipe_rows == pairs.recipe_rows[0])).all()
    none = replace(
        pairs, negative_image_rows=pairs.negative_image_rows[:1],
        negative_text_rows=pairs.negative_text_rows[:1],
    )  # fmt: skip
    assert len(none.draw_negatives(rows, rng)) == 2  # the pairs of the one picture that has any


# Settings and schedule


def test_the_schedule_by_hand():
    s = Training(learning_rate=2.0, warmup=0.25, final_share=0.1)
    rates = [learning_rate(i, 8, s) for i in range(8)]
    assert rates[:3] == pytest.approx([1, 2, 2])
    for i in range(2, 8):
        cosine = 0.5 * (1 + math.cos(math.pi * (i - 2) / 6))
        assert rates[i] == pytest.approx(2 * (0.1 + 0.9 * cosine))
    assert learning_rate(0, 8, replace(s, warmup=0)) == 2
    assert learning_rate(7, 8, replace(s, warmup=100)) == 2
    assert learning_rate(2, 8, replace(s, warmup=4)) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"loss": "hinge"}, "loss is 'hinge'"),
        ({"accumulate": "yes"}, "cached, plain"),
        ({"precision": "fp16"}, "fp32, bf16"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 1}, "no negatives"),
        ({"batch_size": 1, "accumulation": 8, "accumulate": "plain"}, "no negatives"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"warmup": -1}, "warmup is -1"),
    ],
)
def test_impossible_settings_are_refused(choice, message):
    with pytest.raises(ValueError, match=message):
        replace(QUICK, **choice)


# Runs


@pytest.mark.parametrize(
    ("family", "loss"), [("clip", "info_nce"), ("siglip", "info_nce"), ("siglip", "sigmoid")]
)
def test_it_learns_the_pairs(family, loss):
    scalars = ("logit_scale", "logit_bias") if loss == "sigmoid" else ("logit_scale",)
    placement = Placement(heads=True, dropout=0, modules="q_proj,k_proj,v_proj,out_proj,fc1,fc2")
    adapted = adapt(small_encoder(family), placement, train_scalars=scalars)
    settings = Training(epochs=40, batch_size=12, learning_rate=1e-2, loss=loss, draw="recipe")
    done = run(adapted, settings)
    assert done.epochs[-1]["loss"] < done.epochs[0]["loss"] / 2
    if loss == "info_nce":
        assert done.epochs[-1]["loss"] < math.log(12) / 2  # well below what telling nothing costs
    assert not adapted.encoder.model.training


def test_logs_say_what_happened():
    adapted, seen, scores = small_adapted("siglip"), [], iter([0, 1, 2])
    done = run(adapted, validate=lambda: {"score": next(scores), "other": 2}, on_step=seen.append)
    assert list(done.steps) == seen
    assert [r["step"] for r in done.steps] == list(range(1, 13))  # 48 pairs, 8 a step, 2 epochs
    assert [r["epoch"] for r in done.steps] == [1] * 6 + [2] * 6
    rates = [learning_rate(i, 12, QUICK) for i in range(12)]
    assert [r["learning_rate"] for r in done.steps] == rates
    assert done.steps[-1]["logit_scale"] == adapted.encoder.logit_scale
    assert done.steps[-1]["logit_bias"] == adapted.encoder.logit_bias
    assert [(r["epoch"], r["step"], r["other"]) for r in done.epochs] == [
        (0, 0, 2), (1, 6, 2), (2, 12, 2),
    ]  # fmt: skip
    mean = np.mean([r["loss"] for r in done.steps[6:]])
    assert done.epochs[2]["loss"] == pytest.approx(mean)
    assert done.seconds >= done.epochs[1]["seconds"] > 0
    pd.DataFrame(done.steps).astype(float)


def test_what_is_frozen_stays_and_what_trains_moves():
    adapted = small_adapted("clip", heads=True)
    before = {n: p.detach().clone() for n, p in adapted.encoder.model.named_parameters()}
    run(adapted)
    for name, p in adapted.encoder.model.named_parameters():
        assert torch.equal(before[name], p) != p.requires_grad, name


def test_runs_are_repeatable_and_leave_the_global_state_alone():
    state = torch.get_rng_state()
    adapters = [small_adapted("siglip") for _ in range(3)]
    for adapted, seed in zip(adapters, (1, 1, 2), strict=True):
        run(adapted, replace(QUICK, seed=seed))
    a, b, c = map(trainable, adapters)
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert any(not torch.equal(a[n], c[n]) for n in a)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_cached_micro_batches_train_as_the_whole_batch_does_and_plain_ones_do_not(family):
    whole, cached, plain = (small_adapted(family, dropout=0) for _ in range(3))
    losses = [
        run(adapted, replace(QUICK, epochs=1, **choice)).steps[0]["loss"]
        for adapted, choice in (
            (whole, {"batch_size": 16}),
            (cached, {"batch_size": 2, "accumulation": 8}),
            (plain, {"batch_size": 2, "accumulation": 8, "accumulate": "plain"}),
        )
    ]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    a, b = trainable(whole), trainable(cached)
    assert max(float((a[n] - b[n]).abs().max()) for n in a) < 1e-4
    assert losses[2] < losses[0] - 0.5


def test_masking_and_negatives_change_the_first_loss_as_they_must():
    def first(**choice):
        settings = replace(QUICK, epochs=1, batch_size=24, **choice)
        return run(small_adapted("clip", dropout=0), settings).steps[0]["loss"]

    masked, unmasked, more = first(), first(mask_positives=False), first(negatives=True)
    assert masked < unmasked  # fewer columns in the denominators
    assert masked < more


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_bfloat16_is_autocast_and_weights_stay_float32(family):
    full, half = (small_adapted(family, dropout=0) for _ in range(2))
    a = run(full, replace(QUICK, epochs=1))
    b = run(half, replace(QUICK, epochs=1, precision="bf16"))
    assert b.steps[0]["loss"] != a.steps[0]["loss"]
    assert b.steps[0]["loss"] == pytest.approx(a.steps[0]["loss"], rel=0.02)
    assert {p.dtype for p in half.encoder.model.parameters()} == {torch.float32}


def test_the_gradient_is_clipped():
    by_norm, free = small_adapted("clip"), small_adapted("clip")
    settings = replace(QUICK, epochs=1, learning_rate=1e-3, weight_decay=0)
    a = run(by_norm, replace(settings, clip=1e-9))
    b = run(free, replace(settings, clip=0))
    assert a.steps[0]["gradient_norm"] == b.steps[0]["gradient_norm"] > 1e-3
    start, end = trainable(small_adapted("clip")), trainable(by_norm)
    # AdamW divides by the gradient's size, except where that is far below its epsilon of 1e-8.
    moved = max(float((start[n] - end[n]).abs().max()) for n in start)
    moved_freely = max(float((start[n] - trainable(free)[n]).abs().max()) for n in start)
    assert moved < moved_freely / 5


def test_the_best_epoch_is_kept_and_patience_ends_the_run():
    scores = iter([9.0, 1.0, 3.0, 2.0, 2.5, 99.0])
    adapted, kept = small_adapted("clip"), []

    def validate():
        kept.append(trainable(adapted))
        return {"score": next(scores)}

    done = run(adapted, replace(QUICK, epochs=5, patience=2), validate=validate)
    assert (done.kept_epoch, done.stopped_early, len(done.epochs)) == (2, True, 5)
    final = trainable(adapted)
    assert all(torch.equal(final[n], kept[2][n]) for n in final)
    assert any(not torch.equal(final[n], kept[4][n]) for n in final)


@pytest.mark.parametrize(("keep", "expected"), [("best", 1), ("last", 3)])
def test_keeping_the_last_epoch(keep, expected):
    scores = iter([0.0, 3.0, 2.0, 1.0])
    settings = replace(QUICK, epochs=3, keep=keep)
    done = run(small_adapted("clip"), settings, validate=lambda: {"score": next(scores)})
    assert (done.kept_epoch, done.stopped_early) == (expected, False)


def test_without_validation_the_last_epoch_is_kept():
    assert run(small_adapted("clip")).kept_epoch == 2


@pytest.mark.parametrize("scores", [{"score": math.nan}, {"other": 1.0}, {}])
def test_a_validation_that_says_nothing_is_refused(scores):
    with pytest.raises(ValueError, match="finite scores, 'score' too"):
        run(small_adapted("clip"), validate=lambda: scores)


def test_augmentation_sees_pixels_and_a_seeded_generator():
    drawn = []

    def augment(pixels, generator):
        assert pixels.shape == (8, 3, 16, 16)
        assert 0 <= pixels.min() <= pixels.max() <= 1
        drawn.append(float(torch.rand(1, generator=generator)))
        return pixels

    first, second = small_adapted("clip"), small_adapted("clip")
    run(first, augment=augment)
    run(second)
    assert len(set(drawn)) == 12
    a, b = trainable(first), trainable(second)
    assert all(torch.equal(a[n], b[n]) for n in a)  # an augmentation that changes nothing


def test_other_towers_can_be_handed_in():
    """A table of gathered pixels in the place of the gathering gives the same weights."""
    ways = [small_adapted("siglip") for _ in range(2)]
    run(ways[0])
    pairs = small_pairs("siglip")
    usual = towers_of(ways[1].encoder, pairs)
    table = usual.gather_images(torch.arange(len(pairs.pixels)), torch.Generator())
    kept = Towers(
        lambda rows, generator: table[rows],
        usual.encode_images, usual.gather_texts, usual.encode_texts,
    )  # fmt: skip
    run(ways[1], towers=kept)
    a, b = map(trainable, ways)
    assert all(torch.equal(a[n], b[n]) for n in a)
    with pytest.raises(ValueError, match="augment belongs into the towers"):
        run(ways[1], towers=kept, augment=lambda x, g: x)


# What stops a run


@pytest.mark.parametrize("settings", [QUICK, replace(QUICK, batch_size=2, accumulation=4)])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_with_the_batch_named(settings, value):
    adapted, before = small_adapted("clip"), []
    usual = towers_of(adapted.encoder, small_pairs("clip"))
    bad = 7  # a row of pictures

    def gather(rows, generator):
        pixels = usual.gather_images(rows, generator)
        pixels[rows == bad] = value
        return pixels

    def on_step(record):
        before.append(trainable(adapted))

    towers = replace(usual, gather_images=gather)
    with pytest.raises(TrainingDiverged, match="Look at these") as caught:
        run(adapted, settings, towers=towers, on_step=on_step)
    error, pairs = caught.value, small_pairs("clip")
    assert pairs.image_keys[bad] in error.image_keys
    assert pairs.image_keys[bad] in str(error)
    assert f"step {error.step}:" in str(error)
    assert len(error.recipe_ids) == len(error.image_keys) == 8
    assert error.step == len(before) + 1
    after = trainable(adapted)
    start = before[-1] if before else trainable(small_adapted("clip"))
    assert all(torch.equal(start[n], after[n]) for n in after)


def test_a_parameter_that_the_loss_does_not_reach_stops_the_first_step():
    adapted = adapt(
        small_encoder("siglip"), Placement(), train_scalars=("logit_scale", "logit_bias")
    )
    with pytest.raises(AdapterError, match="'logit_bias' got no gradient"):
        run(adapted)


def test_nothing_to_train_and_no_negatives_are_refused():
    with pytest.raises(ValueError, match="nothing to train"):
        run(replace(small_adapted("clip"), encoder=small_encoder("clip")))
    none = np.zeros(0, int)
    pairs = replace(small_pairs("clip"), negative_image_rows=none, negative_text_rows=none)
    with pytest.raises(ValueError, match="label 0"):
        train(small_adapted("clip").encoder, pairs, replace(QUICK, negatives=True), progress=False)
