"""Inpainters change what the mask covers and nothing else; a tiny diffusion pipeline runs."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.first.prepare.inpainting import (
    METHODS,
    DiffusionInpainter,
    OpenCVInpainter,
    grown,
    load_diffusion_inpainter,
    open_inpainter,
)


def ramp(width, height):
    """Light that rises evenly from left to right: what is missing can be told from the rest."""
    row = np.linspace(20, 220, width)
    return Image.fromarray(np.tile(row[None, :, None], (height, 1, 3)).astype(np.uint8))


@pytest.mark.parametrize("method", METHODS)
def test_a_hole_in_an_even_ramp_is_nearly_brought_back(method):
    picture = ramp(40, 30)
    mask = np.zeros((30, 40), bool)
    mask[12:16, 10:30] = True
    spoiled = np.asarray(picture).copy()
    spoiled[mask] = 255
    filled = OpenCVInpainter(method).fill(Image.fromarray(spoiled), mask)
    error = np.abs(np.asarray(filled, float) - np.asarray(picture, float))
    assert error[mask].mean() < 6
    assert error[~mask].max() == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(METHODS))
def test_nothing_outside_the_mask_changes_and_the_covered_values_do_not_matter(seed, method):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (20, 17, 3), dtype=np.uint8)
    mask = rng.random((20, 17)) < 0.2
    other = pixels.copy()
    other[mask] = rng.integers(0, 256, (int(mask.sum()), 3), dtype=np.uint8)
    a, b = (OpenCVInpainter(method).fill(Image.fromarray(p), mask) for p in (pixels, other))
    assert (np.asarray(a) == np.asarray(b)).all()
    assert (np.asarray(a)[~mask] == pixels[~mask]).all()


def test_an_empty_mask_leaves_a_copy():
    picture = ramp(9, 8)
    filled = OpenCVInpainter().fill(picture, np.zeros((8, 9), bool))
    assert filled is not picture
    assert (np.asarray(filled) == np.asarray(picture)).all()


def test_fingerprints_tell_settings_apart():
    made = [OpenCVInpainter(), OpenCVInpainter("telea"), OpenCVInpainter(radius=5)]
    assert len({one.fingerprint for one in made}) == 3
    assert OpenCVInpainter().fingerprint == OpenCVInpainter("navier-stokes", 3.0).fingerprint


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: OpenCVInpainter("patch"), "'patch'"),
        (lambda: OpenCVInpainter(radius=0), "radius is 0"),
        (lambda: OpenCVInpainter().fill(ramp(5, 4), np.zeros((5, 4), bool)), "4 x 5"),
        (lambda: OpenCVInpainter().fill(ramp(5, 4), np.zeros((4, 5))), "float64"),
        (lambda: OpenCVInpainter().fill(ramp(5, 4), np.ones((4, 5), bool)), "whole image"),
        (lambda: grown(np.zeros((2, 2), bool), -1), "-1"),
        (lambda: DiffusionInpainter(None, "m", px=50), "px of m is 50"),
        (lambda: DiffusionInpainter(None, "m", steps=0), "steps of m is 0"),
        (lambda: load_diffusion_inpainter("m", precision="int8"), "'int8'"),
    ],
)
def test_what_cannot_be_done_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()


@given(st.integers(0, 3), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_a_mask_grows_by_what_lies_near_and_no_further(px, seed):
    mask = np.random.default_rng(seed).random((9, 11)) < 0.1
    found = grown(mask, px)
    rows, columns = np.nonzero(mask)
    for i, j in np.ndindex(mask.shape):
        away = np.hypot(rows - i, columns - j).min() if len(rows) else np.inf
        if away <= px:
            assert found[i, j]
        if away > px + 0.6:  # OpenCV's small discs are a little round at their corners
            assert not found[i, j]


@cache
def tiny_pipeline():
    """Stable Diffusion's inpainting pipeline with a few thousand fresh weights."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline
    from diffusers import UNet2DConditionModel as UNet
    from transformers import CLIPTextConfig, CLIPTextModel

    from tests.first.small_training import small_encoder

    torch.manual_seed(0)
    tokenizer = small_encoder("clip").processor.tokenizer
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=12, bos_token_id=2, eos_token_id=3,
            pad_token_id=1,
        )
    )  # fmt: skip
    unet = UNet(
        sample_size=8, in_channels=9, out_channels=4, layers_per_block=1, norm_num_groups=8,
        block_out_channels=(8, 16), cross_attention_dim=16, attention_head_dim=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=8, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    pipeline = StableDiffusionInpaintPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet,
        scheduler=DDIMScheduler(steps_offset=1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_a_diffusion_pipeline_fills_the_hole_alone_and_repeats_itself():
    inpainter = DiffusionInpainter(tiny_pipeline(), "tiny", steps=2, px=32)
    picture = ramp(40, 24)
    mask = np.zeros((24, 40), bool)
    mask[5:12, 8:20] = True
    first, again = (np.asarray(inpainter.fill(picture, mask)) for _ in range(2))
    before = np.asarray(picture)
    assert first.shape == before.shape
    assert (first[~mask] == before[~mask]).all()
    assert (first[mask] != before[mask]).any()
    assert (first == again).all()
    assert (np.asarray(inpainter.fill(picture, np.zeros_like(mask))) == before).all()


def test_a_stored_pipeline_is_opened_by_its_folder(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path, safe_serialization=True)
    loaded = load_diffusion_inpainter(str(tmp_path), steps=2, px=32)
    kept = DiffusionInpainter(tiny_pipeline(), str(tmp_path), steps=2, px=32)
    picture, mask = ramp(32, 32), np.zeros((32, 32), bool)
    mask[8:20, 8:20] = True
    a, b = (np.asarray(one.fill(picture, mask)) for one in (loaded, kept))
    assert np.abs(a.astype(int) - b).max() <= 1
    assert loaded.fingerprint == kept.fingerprint


def test_the_parameter_chooses_the_method_or_a_model(tmp_path):
    assert open_inpainter("telea") == OpenCVInpainter("telea")
    with pytest.raises(ValueError, match="nowhere"):
        open_inpainter(str(tmp_path / "nowhere"))
