"""The second stage: what is opened, that nothing else moves, that it starts from the heads."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.first.models.adapters import HeadShape, make_heads
from helpers.first.models.head_files import Headed
from helpers.first.training.settings import Training
from helpers.first.training.stage_b import headed_towers, train_stage_b, unfreeze_last
from tests.first.small_training import WORDS, small_encoder, small_pairs, small_picture

SETTINGS = Training(epochs=2, batch_size=6, learning_rate=3e-3, draw="image")
PICTURES = [small_picture(f"{r}/0.jpg") for r in range(4)]


def opened(family: str, **layers) -> Headed:
    encoder = small_encoder(family)
    heads = make_heads(HeadShape(zero_init=False, width=6), encoder.dimension, seed=1)
    return unfreeze_last(encoder, heads, **layers)


def weights(headed: Headed) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in headed.encoder.model.named_parameters()}


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize(("vision", "text"), [(1, 1), (2, 0), (0, 1)])
def test_the_last_blocks_and_the_heads_are_opened(family, vision, text):
    headed = opened(family, vision_layers=vision, text_layers=text)
    model = headed.encoder.model
    open_names = {n for n, p in model.named_parameters() if p.requires_grad}
    expected = {"logit_scale"} | {n for n, _ in model.named_parameters() if n.startswith("heads.")}
    expected -= {"heads.log_scale", "heads.image.raw_alpha", "heads.text.raw_alpha"}
    for tower, depth, last in (("vision", 3, vision), ("text", 2, text)):
        for layer in range(depth - last, depth):
            start = f"{tower}_model.encoder.layers.{layer}."
            expected |= {n for n, _ in model.named_parameters() if n.startswith(start)}
    assert open_names == expected


def test_it_starts_from_the_heads_and_moves_only_what_is_open():
    encoder = small_encoder("clip")
    heads = make_heads(HeadShape(zero_init=False, width=6), encoder.dimension, seed=1)
    headed = unfreeze_last(encoder, heads)
    start = Headed(encoder, heads)
    np.testing.assert_array_equal(headed.images(PICTURES), start.images(PICTURES))
    np.testing.assert_array_equal(headed.texts(WORDS), start.texts(WORDS))
    assert headed.encoder.logit_scale == pytest.approx(float(heads.scale.detach()), rel=1e-5)
    untouched = start.images(PICTURES)
    before = weights(headed)
    stage = train_stage_b(headed, small_pairs("clip"), SETTINGS, progress=False)
    for name, now in weights(stage.headed).items():
        opened_here = stage.headed.encoder.model.get_parameter(name).requires_grad
        if not opened_here:
            assert torch.equal(now, before[name]), name
    moved = {n for n, now in weights(stage.headed).items() if not torch.equal(now, before[n])}
    assert {n.split(".")[0] for n in moved} >= {"vision_model", "text_model", "heads"}
    np.testing.assert_array_equal(start.images(PICTURES), untouched)  # the frozen one stays
    losses = [step["loss"] for step in stage.trained.steps]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


def test_the_towers_of_the_loop_end_in_the_heads():
    headed, pairs = opened("siglip"), small_pairs("siglip")
    towers = headed_towers(headed, pairs)
    rows = torch.tensor([0, 1])
    with torch.no_grad():
        found = towers.encode_images(towers.gather_images(rows, torch.Generator()))
        words = towers.encode_texts(towers.gather_texts(rows))
    pictures = [small_picture(key) for key in pairs.image_keys[:2]]
    np.testing.assert_allclose(found.numpy(), headed.images(pictures), atol=1e-5)
    np.testing.assert_allclose(words.numpy(), headed.texts(pairs.captions[:2].tolist()), atol=1e-5)


def test_a_learned_alpha_goes_on_learning():
    encoder = small_encoder("clip")
    shape = HeadShape(width=6, learn_alpha=True)
    headed = unfreeze_last(encoder, make_heads(shape, encoder.dimension))
    train_stage_b(headed, small_pairs("clip"), SETTINGS, progress=False)
    assert float(headed.heads.image.alpha.detach()) != pytest.approx(0.2, abs=1e-7)


def test_blocks_that_are_not_there_and_half_precision_are_refused():
    with pytest.raises(ValueError, match="vision tower of small-clip has 3"):
        opened("clip", vision_layers=4)
    encoder = replace(small_encoder("clip"), precision="bf16")
    with pytest.raises(ValueError, match="open it in fp32"):
        unfreeze_last(encoder, make_heads(HeadShape(), encoder.dimension))
