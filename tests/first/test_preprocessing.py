"""The fused preprocessing against the processor's own, on sizes, modes and settings."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil

from helpers.first.retrieval.preprocessing import fast_preprocessing
from tests.first.small_training import small_encoder

PROCESSORS = {
    "clip": CLIPImageProcessorPil(),
    "siglip": SiglipImageProcessorPil(size={"height": 224, "width": 224}),
    "bilinear, no shift": SiglipImageProcessorPil(
        size={"height": 40, "width": 56}, resample=2, do_normalize=False
    ),
    "crop of a fixed size": CLIPImageProcessorPil(
        size={"height": 48, "width": 64}, crop_size={"height": 33, "width": 21}, do_rescale=False
    ),
}


def encoder_with(processor):
    """An encoder whose image processor is another one."""
    tools = SimpleNamespace(image_processor=processor, tokenizer=None)
    return replace(small_encoder("clip"), processor=tools)


def noise(width, height, mode="RGB", seed=0):
    """A picture in which every pixel counts."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    return Image.fromarray(values, "RGBA").convert(mode)


@pytest.mark.parametrize("name", PROCESSORS)
@settings(max_examples=8, deadline=None)
@given(width=st.integers(30, 330), height=st.integers(30, 330), seed=st.integers(0, 99))
def test_the_pixels_are_the_processors(name, width, height, seed):
    processor = PROCESSORS[name]
    ready = fast_preprocessing(encoder_with(processor))
    picture = noise(width, height, seed=seed)
    expected = processor(images=[picture], return_tensors="pt")["pixel_values"]
    found = ready.finish([ready.prepare(picture)])
    assert ready.name == "fused"
    assert found.dtype == torch.float32
    scale = 255 if name == "crop of a fixed size" else 1  # values up to 255 are not rescaled
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "1"])
def test_other_modes_become_rgb_as_in_the_processor(mode):
    picture = noise(70, 50, mode)
    ready = fast_preprocessing(encoder_with(PROCESSORS["clip"]))
    expected = PROCESSORS["clip"](images=[picture], return_tensors="pt")["pixel_values"]
    found = ready.finish([ready.prepare(picture)])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_a_batch_is_what_the_encoder_reads(family):
    encoder = small_encoder(family)
    pictures = [noise(20 + i, 31 - i, seed=i) for i in range(3)]
    ready = fast_preprocessing(encoder)
    found = ready.finish([ready.prepare(p) for p in pictures])
    assert found.shape == (3, 3, 16, 16)
    torch.testing.assert_close(found, encoder.pixels(pictures), rtol=0, atol=1e-5)


def test_workers_hand_on_bytes():
    prepared = fast_preprocessing(encoder_with(PROCESSORS["clip"])).prepare(noise(40, 30))
    assert (prepared.dtype, prepared.shape) == (np.uint8, (3, 224, 224))


@pytest.mark.parametrize(
    "processor",
    [
        CLIPImageProcessorPil(do_resize=False),
        CLIPImageProcessorPil(do_pad=True, pad_size={"height": 230, "width": 230}),
        CLIPImageProcessorPil(crop_size={"height": 240, "width": 240}),
        CLIPImageProcessorPil(size={"shortest_edge": 224, "longest_edge": 300}),
    ],
    ids=["no resizing", "padding", "a crop wider than the picture", "a longest edge"],
)
def test_a_step_that_is_not_known_is_left_to_the_processor(processor):
    picture = noise(260, 250)
    ready = fast_preprocessing(encoder_with(processor))
    expected = processor(images=[picture], return_tensors="pt")["pixel_values"]
    assert ready.name == "processor"
    assert torch.equal(ready.finish([ready.prepare(picture)]), expected)
