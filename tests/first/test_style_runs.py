"""Arms on chosen looks: trained once, kept epoch by epoch, measured on each test set."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.data.pairs import ensure_pairs
from helpers.first.models.placement import Placement
from helpers.first.studies import style_pictures, style_runs
from helpers.first.studies.mixes import Mix
from helpers.first.training.settings import Training
from helpers.store.zones import open_zone
from tests.first.small_training import small_encoder

SETTINGS = {"max_recipes": 20, "seed": 1, "progress": False}
SOURCE = "world:kitchen?px=32"
PLACEMENT = Placement(rank=2, alpha=4, vision_layers=1, text_layers=0, modules="q_proj,v_proj")
TRAINING = Training(epochs=2, batch_size=16, draw="image", learning_rate=1e-2)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    zone = open_zone(str(tmp_path_factory.mktemp("styles") / "z"))
    pairs = ensure_pairs(zone, source=SOURCE, **SETTINGS)
    real = style_pictures.real_pictures(pairs)
    twins = {1.0: style_pictures.ensure_twins(pairs, SOURCE, **SETTINGS)}
    return pairs, real, twins


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "style-cache"
    monkeypatch.setattr("helpers.paths.cache", lambda: folder)


def run(study, *mixes, seeds=(7,), placement=PLACEMENT, marked=None):
    pairs, real, twins = study
    marked = marked or style_pictures.watermarked(real)
    return style_runs.run_mixes(
        pairs, small_encoder("siglip"), mixes, twins=twins, real=real, marked=marked, seeds=seeds,
        tests={"real": real, "watermarked": marked}, placement=placement, training=TRAINING,
        progress=False,
    )  # fmt: skip


def test_an_arm_is_measured_and_keeps_every_epoch(study):
    pairs, real, _ = study
    one = run(study, Mix(0.5, 0.5))[Mix(0.5, 0.5)][0]
    assert len(one.weights) == len(one.epochs) == 3  # before, and after two
    assert one.n_pictures == pairs.train["image_key"].nunique()
    base = small_encoder("siglip")
    kept = style_runs.ranks_of_tests(pairs, one.encoder(base), {"real": real})["real"]
    for way, ranks in one.ranks["real"].items():
        assert np.array_equal(ranks, kept[way])
    assert set(one.ranks) == {"real", "watermarked"}


def test_epoch_zero_is_the_base_and_a_later_one_is_not(study):
    pairs, real, _ = study
    one = run(study, Mix())[Mix()][0]
    base = small_encoder("siglip")
    some = [real.load(key) for key in pairs.test["image_key"].unique()[:3]]
    assert np.allclose(one.encoder(base, epoch=0).images(some), base.images(some), atol=1e-6)
    assert not np.allclose(one.encoder(base, epoch=2).images(some), base.images(some), atol=1e-4)
    with pytest.raises(ValueError, match=r"epoch 3 of 100 % real: 0 \(before\) to 2"):
        one.encoder(base, epoch=3)


def test_all_arms_take_as_many_steps(study):
    found = run(study, Mix(), Mix(0.25), Mix(0, 1))
    steps = {done[0].epochs[-1]["step"] for done in found.values()}
    assert len(steps) == 1
    fewer = found[Mix(0.25)][0].n_pictures
    assert fewer < found[Mix()][0].n_pictures


def test_a_second_call_reads_and_does_not_train(study, monkeypatch):
    first = run(study, Mix(0, 1))[Mix(0, 1)][0]
    monkeypatch.setattr(style_runs, "train", None)
    again = run(study, Mix(0, 1))[Mix(0, 1)][0]
    assert again.manifest.fingerprint == first.manifest.fingerprint
    for one, other in zip(first.weights, again.weights, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_seed_look_and_placement_make_other_runs(study):
    base = run(study, Mix(), Mix(watermark=True))
    marked = style_pictures.watermarked(study[1], seed=8)
    runs = [
        base[Mix()][0],
        base[Mix(watermark=True)][0],
        run(study, Mix(), seeds=(8,))[Mix()][0],
        run(study, Mix(), placement=replace(PLACEMENT, rank=3))[Mix()][0],
        run(study, Mix(watermark=True), marked=marked)[Mix(watermark=True)][0],
    ]
    assert len({one.manifest.name for one in runs}) == 5


def test_a_gap_of_nothing_trains_as_real_pictures_do(study):
    pairs, real, _ = study
    looks = {"real": real, "synthetic": real}
    options = {"tests": {"real": real}, "placement": PLACEMENT, "training": TRAINING}
    whole, split = (
        style_runs.ensure_style_run(
            pairs, small_encoder("siglip"), mix, looks=looks, progress=False, **options
        )
        for mix in (Mix(), Mix(0.25, 0.75, style_gap=0.0))
    )
    for name, value in whole.weights[-1].items():
        assert torch.equal(value, split.weights[-1][name])


def test_a_placement_with_no_frozen_layer_trains_whole(study):
    placement = replace(PLACEMENT, vision_layers=-1, text_layers=-1)
    assert run(study, Mix(), placement=placement)[Mix()][0].n_pictures


def test_looks_that_are_missing_are_named(study):
    pairs, real, twins = study
    options = {"twins": twins, "real": real, "seeds": (1,), "training": TRAINING}
    with pytest.raises(ValueError, match=r"twins of the gaps \[1.0\] alone"):
        style_runs.run_mixes(pairs, small_encoder("siglip"), [Mix(0, 1, 0.5)], **options)
    with pytest.raises(ValueError, match="give them as `marked`"):
        style_runs.run_mixes(pairs, small_encoder("siglip"), [Mix(watermark=True)], **options)
