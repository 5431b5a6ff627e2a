"""Training from kept prefixes: the losses and gradients of the plain loop, and what is kept."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from helpers.first.models.lora import adapt
from helpers.first.models.placement import Placement
from helpers.first.models.prefix import SplitTower
from helpers.first.training import prefix_states
from helpers.first.training.loop import train
from helpers.first.training.pairs import prepare_pairs
from helpers.first.training.prefix_cache import (
    PrefixError,
    build_prefixes,
    prefix_encoder,
    prefix_towers,
    why_not,
)
from helpers.first.training.settings import Training
from helpers.first.training.step import optimizer_for, take_step
from helpers.first.training.towers import towers_of
from tests.first.small_training import (
    SHAPE,
    WORDS,
    small_encoder,
    small_frame,
    small_picture,
    trainable,
)

DEEP = replace(SHAPE, vision_layers=5, text_layers=3)
FAMILIES = ["clip", "siglip"]
EVERYTHING = "q_proj,k_proj,v_proj,out_proj,fc1,fc2"
FEW = {"vision_layers": 2, "text_layers": 0}
ROWS = np.array([0, 5, 9, 13, 20, 22, 31, 40])
STILL = Training(
    batch_size=8, learning_rate=0.0, weight_decay=0.0, clip=0.0, negatives=True
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One cache for many tests, as for the rows of a study."""
    return tmp_path_factory.mktemp("prefix")


def deep(family, *, seed=0):
    return small_encoder(family, shape=DEEP, seed=seed)


@cache
def pairs_of(family, load=small_picture):
    return prepare_pairs(small_frame(), deep(family), load, progress=False)


def adapted_with(family, *, loss="info_nce", **choices):
    """An adapter that already does something: its second factor is no longer zero."""
    scalars = ("logit_scale", "logit_bias") if loss == "sigmoid" else ("logit_scale",)
    placement = Placement(**{"rank": 2, "dropout": 0.2, "modules": "q_proj,v_proj", **choices})
    adapted = adapt(deep(family), placement, train_scalars=scalars)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in adapted.encoder.model.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.05 * torch.randn(weight.shape, generator=generator))
    return adapted


def step_of(adapted, pairs, settings=STILL, *, towers=None):
    """Loss and gradients of a step in training mode, with dropout and explicit negatives."""
    encoder = adapted.encoder
    record = take_step(
        encoder, pairs, settings, towers or towers_of(encoder, pairs),
        optimizer_for(encoder.model, settings), ROWS, step=0, total=1,
    )  # fmt: skip
    named = encoder.model.named_parameters()
    return record["loss"], {n: p.grad.clone() for n, p in named if p.grad is not None}


def assert_equal_steps(found, wanted, *, tolerance=3e-6):  # kernels differ by processor
    (loss, gradients), (wanted_loss, wanted_gradients) = found, wanted
    assert loss == pytest.approx(wanted_loss, abs=tolerance)
    assert gradients.keys() == wanted_gradients.keys()
    top = max(float(value.abs().max()) for value in wanted_gradients.values())
    for name, value in wanted_gradients.items():
        assert float((gradients[name] - value).abs().max()) <= tolerance * top, name


def no_prefix(*args):
    raise AssertionError("a prefix is computed")


# Equal to the plain loop


@pytest.mark.parametrize("heads", [True, False])
@pytest.mark.parametrize("text", [0, 2])
@pytest.mark.parametrize("vision", [1, 2, 4, -1])
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_gradients_are_those_of_the_plain_loop(family, vision, text, heads, folder):
    adapted = adapted_with(family, vision_layers=vision, text_layers=text, heads=heads)
    pairs = pairs_of(family)
    towers = prefix_towers(adapted.encoder, pairs, adapted.placement, folder=folder, progress=False)
    wanted = step_of(adapted, pairs)
    assert_equal_steps(step_of(adapted, pairs, towers=towers), wanted)
    assert wanted[0] > 0.1
    assert len(wanted[1]) > 2


@pytest.mark.parametrize(
    "choices",
    [
        {"vision_layers": 0, "text_layers": 1, "heads": True},
        {"vision_layers": 0, "text_layers": -1, "heads": False},
        {"vision_layers": 2, "text_layers": 1, "modules": EVERYTHING, "method": "lora"},
        {"vision_layers": 2, "text_layers": 1, "modules": EVERYTHING, "method": "dora"},
        {"vision_layers": 2, "text_layers": 1, "modules": EVERYTHING, "method": "rslora"},
        {"vision_layers": 2, "text_layers": 1, "modules": EVERYTHING, "method": "qlora"},
        {"vision_layers": 2, "text_layers": 1, "method": "prompt", "heads": True},
    ],
)
@pytest.mark.parametrize(("family", "loss"), [("clip", "info_nce"), ("siglip", "sigmoid")])
def test_so_with_other_methods_modules_and_losses(family, loss, choices, folder):
    adapted, pairs = adapted_with(family, loss=loss, **choices), pairs_of(family)
    towers = prefix_towers(adapted.encoder, pairs, adapted.placement, folder=folder, progress=False)
    settings = replace(STILL, loss=loss)
    wanted = step_of(adapted, pairs, settings)
    assert_equal_steps(step_of(adapted, pairs, settings, towers=towers), wanted)


def test_so_with_gradient_caching(folder):
    adapted, pairs = adapted_with("clip", **FEW), pairs_of("clip")
    settings = replace(STILL, batch_size=2, accumulation=4)
    towers = prefix_towers(adapted.encoder, pairs, adapted.placement, folder=folder, progress=False)
    wanted = step_of(adapted, pairs, settings)
    assert_equal_steps(step_of(adapted, pairs, settings, towers=towers), wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_run_ends_with_the_same_weights(family, folder):
    settings = Training(epochs=1, batch_size=8, learning_rate=1e-3, draw="image")
    pairs, ends = pairs_of(family), []
    for kept in (False, True):
        adapted = adapted_with(family, **FEW, heads=True)
        encoder, start = adapted.encoder, trainable(adapted)
        options = {"folder": folder, "progress": False}
        towers = prefix_towers(encoder, pairs, adapted.placement, **options) if kept else None
        done = train(encoder, pairs, settings, towers=towers, progress=False)
        ends.append((trainable(adapted), [step["loss"] for step in done.steps]))
    (plain, losses), (found, others) = ends
    assert others == pytest.approx(losses, abs=1e-4)
    moved = max(float((plain[name] - start[name]).abs().max()) for name in plain)
    apart = max(float((plain[name] - found[name]).abs().max()) for name in plain)
    assert moved > 1e-3
    assert apart < 0.05 * moved


# What is kept


def test_a_second_use_computes_nothing_and_rows_share(tmp_path, monkeypatch):
    options = {"folder": tmp_path, "progress": False}
    pairs = pairs_of("clip")
    first = adapted_with("clip", **FEW)
    prefix_towers(first.encoder, pairs, first.placement, **options)
    monkeypatch.setattr(SplitTower, "prefix", no_prefix)
    for choices in ({}, {"rank": 4}, {"modules": EVERYTHING}, {"method": "dora"}):
        other = adapted_with("clip", **FEW, **choices)
        towers = prefix_towers(other.encoder, pairs, other.placement, **options)
        assert np.isfinite(step_of(other, pairs, towers=towers)[0])
    deeper = adapted_with("clip", vision_layers=1, text_layers=0)
    with pytest.raises(AssertionError, match="is computed"):
        prefix_towers(deeper.encoder, pairs, deeper.placement, **options)


def test_another_picture_under_an_old_name_is_computed(tmp_path):
    def darker(key):
        picture = small_picture(key)
        return picture.point(lambda value: value // 2) if key == "3/1.jpg" else picture

    options = {"folder": tmp_path, "progress": False}
    adapted = adapted_with("clip", **FEW)
    for load in (small_picture, darker):
        pairs = pairs_of("clip", load)
        towers = prefix_towers(adapted.encoder, pairs, adapted.placement, **options)
        assert_equal_steps(step_of(adapted, pairs, towers=towers), step_of(adapted, pairs))
    split = SplitTower(adapted.encoder, "vision")
    how = prefix_states.How("fp32", tmp_path, training=True, progress=False)
    old = prefix_states.image_states(split, pairs_of("clip").pixels, [3], how)[0]
    new = prefix_states.image_states(split, pairs.pixels, [3], how)[0]
    same = [
        torch.equal(old.batch(torch.tensor([i])), new.batch(torch.tensor([i])))
        for i in range(len(old))
    ]
    assert [pairs.image_keys[i] for i, is_same in enumerate(same) if not is_same] == ["3/1.jpg"]


def test_another_model_or_normalization_has_prefixes_of_its_own(tmp_path):
    pairs = pairs_of("clip")
    how = prefix_states.How("fp32", tmp_path, training=True, progress=False)
    found = {}
    encoders = {"first": deep("clip"), "other": deep("clip", seed=1)}
    for name, encoder in encoders.items():
        states = prefix_states.image_states(SplitTower(encoder, "vision"), pairs.pixels, [1], how)
        found[name] = states[0].batch(torch.arange(3))
    assert not torch.allclose(found["first"], found["other"], atol=1e-3)
    names = {path.name for path in tmp_path.iterdir()}
    assert len(names) == 2
    assert all(name.startswith("clip-vision-1-fp32-") for name in names)
    processor = encoders["first"].processor.image_processor
    before = processor.image_mean
    try:
        processor.image_mean = [0.1, 0.2, 0.3]
        split = SplitTower(encoders["first"], "vision")
        shifted = prefix_states.image_states(split, pairs.pixels, [1], how)[0]
    finally:
        processor.image_mean = before
    assert not torch.allclose(shifted.batch(torch.arange(3)), found["first"], atol=1e-3)


def test_prefixes_of_all_rows_are_computed_in_one_pass(tmp_path, monkeypatch):
    options = {"folder": tmp_path, "progress": False}
    rows = [
        Placement(vision_layers=k, text_layers=t, heads=h)
        for k, t, h in ((2, 0, True), (2, 0, False), (4, 2, True), (-1, 0, False))
    ]
    asked, prefix = [], SplitTower.prefix

    def watched(self, inputs, cuts):
        asked.append((self.name, tuple(cuts)))
        return prefix(self, inputs, cuts)

    pairs = pairs_of("siglip")
    monkeypatch.setattr(SplitTower, "prefix", watched)
    build_prefixes(deep("siglip"), pairs, rows, **options)
    assert set(asked) == {("vision", (1, 3)), ("text", (1, 3, 4))}
    monkeypatch.setattr(SplitTower, "prefix", no_prefix)
    for row in rows:
        adapted = adapt(deep("siglip"), row)
        prefix_towers(adapted.encoder, pairs, row, **options)


def test_bf16_halves_the_disk_and_changes_the_numbers(tmp_path):
    adapted, pairs = adapted_with("siglip", **FEW, dropout=0.0), pairs_of("siglip")
    split = SplitTower(adapted.encoder, "vision")
    sizes, steps = {}, {}
    for precision in ("fp32", "bf16"):
        how = prefix_states.How(precision, tmp_path, training=True, progress=False)
        sizes[precision] = prefix_states.image_states(split, pairs.pixels, [3], how)[0].bytes
        towers = prefix_towers(
            adapted.encoder, pairs, adapted.placement, precision=precision, folder=tmp_path,
            progress=False,
        )  # fmt: skip
        steps[precision] = step_of(adapted, pairs, towers=towers)
    assert sizes["fp32"] == 2 * sizes["bf16"]
    assert_equal_steps(steps["bf16"], steps["fp32"], tolerance=0.1)
    with pytest.raises(AssertionError):
        assert_equal_steps(steps["bf16"], steps["fp32"], tolerance=1e-5)


# Encoding


@pytest.mark.parametrize("text", [0, 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_encoder_gives_the_rows_of_the_plain_one(family, text, tmp_path, monkeypatch):
    adapted = adapted_with(family, vision_layers=2, text_layers=text)
    pictures = [small_picture(f"{i}/0.jpg") for i in range(5)]
    quick = prefix_encoder(adapted.encoder, adapted.placement, folder=tmp_path)
    loaders = [lambda picture=picture: picture for picture in pictures]
    assert np.allclose(quick.images(pictures), adapted.encoder.images(pictures), atol=1e-6)
    captions = [*WORDS, "a"]
    assert np.allclose(quick.texts(captions), adapted.encoder.texts(captions), atol=1e-6)
    assert quick.dimension == adapted.encoder.dimension
    monkeypatch.setattr(SplitTower, "prefix", no_prefix)
    assert np.allclose(quick.images(loaders), adapted.encoder.images(pictures), atol=1e-6)
    assert quick.texts(captions[::-1]).shape == (5, quick.dimension)


def test_a_quantised_model_is_trained_and_evaluated_as_the_plain_one_is(tmp_path):
    """Its frozen layers round otherwise in training than in evaluation: two prefixes."""
    adapted, pairs = adapted_with("clip", **FEW, method="qlora"), pairs_of("clip")
    quick = prefix_encoder(adapted.encoder, adapted.placement, folder=tmp_path)
    towers = prefix_towers(
        adapted.encoder, pairs, adapted.placement, folder=tmp_path, progress=False
    )
    assert_equal_steps(step_of(adapted, pairs, towers=towers), step_of(adapted, pairs))
    adapted.encoder.model.eval()
    pictures = [small_picture(f"{i}/0.jpg") for i in range(5)]
    assert np.allclose(quick.images(pictures), adapted.encoder.images(pictures), atol=2e-3)


# Where it is not valid


@pytest.mark.parametrize(
    ("placement", "options", "reason"),
    [
        (Placement(**FEW), {}, ""),
        (Placement(vision_layers=-1, text_layers=0), {}, ""),
        (Placement(**FEW, method="prompt"), {}, ""),
        (Placement(), {}, "nothing below is frozen"),
        (Placement(vision_layers=5, text_layers=-1), {}, ""),
        (Placement(vision_layers=5, text_layers=3), {"encoder": deep("clip")}, "nothing below"),
        (Placement(**FEW), {"augment": True}, "augmented at run time"),
        (Placement(**FEW), {"method": "full"}, "method 'full'"),
        (Placement(**FEW), {"encoder": deep("clip")}, ""),
        (
            Placement(**FEW),
            {"encoder": replace(deep("clip"), precision="bf16")},
            "open it in fp32",
        ),
    ],
)
def test_why_not(placement, options, reason):
    found = why_not(placement, **options)
    assert reason in found
    assert bool(found) == bool(reason)


def test_dropout_in_the_frozen_part_is_named_and_refused(folder):
    adapted, pairs = adapted_with("siglip", **FEW), pairs_of("siglip")
    adapted.encoder.model.config.vision_config.attention_dropout = 0.1
    assert "dropout 0.1" in why_not(adapted.placement, encoder=adapted.encoder)
    with pytest.raises(PrefixError, match=r"the vision tower has dropout 0\.1.*prefix='off'"):
        prefix_towers(adapted.encoder, pairs, adapted.placement, folder=folder)


@pytest.mark.parametrize(
    "name",
    ["vision_model.encoder.layers.2.mlp.fc1.bias", "text_model.embeddings.token_embedding.weight"],
)
def test_a_parameter_that_trains_below_the_cut_is_named(name, folder):
    adapted, pairs = adapted_with("clip", **FEW), pairs_of("clip")
    adapted.encoder.model.get_parameter(name).requires_grad_(True)
    with pytest.raises(PrefixError, match=name.rsplit(".", 2)[-2]):
        prefix_towers(adapted.encoder, pairs, adapted.placement, folder=folder)


def test_an_unknown_precision_is_named(folder):
    adapted, pairs = adapted_with("clip", **FEW), pairs_of("clip")
    with pytest.raises(PrefixError, match="'fp16': use one of fp32, bf16"):
        prefix_towers(adapted.encoder, pairs, adapted.placement, precision="fp16", folder=folder)
