"""Lean copies: the same rows, nothing of the encoder touched; the choice by measurement."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from helpers.first.models.lora import merge
from helpers.first.retrieval import precision as lean
from helpers.first.retrieval.precision import PackedLinear, in_precision, measure_precision
from helpers.first.retrieval.space import space_of
from tests.first.small_training import WORDS, small_adapted, small_encoder

FAMILIES = ["clip", "siglip"]


@pytest.fixture(scope="module")
def pictures():
    """Noise of several sizes."""
    rng = np.random.default_rng(0)
    shapes = [(20 + i, 30 - i, 3) for i in range(6)]
    return [Image.fromarray(rng.integers(0, 256, s, dtype=np.uint8)) for s in shapes]


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_in_fp32_are_the_encoders(family, pictures):
    encoder = small_encoder(family)
    fast = in_precision(encoder, "fp32")
    np.testing.assert_allclose(fast.images(pictures), encoder.images(pictures), atol=1e-5)
    np.testing.assert_allclose(fast.texts(WORDS), encoder.texts(WORDS), atol=1e-5)
    assert space_of(fast) == space_of(encoder)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_in_bf16_turn_little(family, pictures):
    encoder = small_encoder(family)
    fast = in_precision(encoder, "bf16")
    assert fast.precision == "bf16"
    for found, expected in (
        (fast.images(pictures), encoder.images(pictures)),
        (fast.texts(WORDS), encoder.texts(WORDS)),
    ):
        assert found.dtype == np.float32
        assert (found * expected).sum(axis=1).min() > 0.999


def test_without_packing_the_rows_are_as_good(pictures, monkeypatch):
    monkeypatch.setattr(lean, "_can_pack", lambda: False)
    encoder = small_encoder("clip")
    fast = in_precision(encoder, "bf16")
    assert not [m for m in fast.model.modules() if isinstance(m, PackedLinear)]
    assert (fast.images(pictures) * encoder.images(pictures)).sum(axis=1).min() > 0.999


def test_the_encoder_stays_what_it_is():
    encoder = small_encoder("clip")
    before = {name: p.clone() for name, p in encoder.model.named_parameters()}
    kinds = [type(m) for m in encoder.model.modules()]
    in_precision(encoder, "bf16")
    assert [type(m) for m in encoder.model.modules()] == kinds
    assert all(torch.equal(p, before[name]) for name, p in encoder.model.named_parameters())


@pytest.mark.parametrize("merged", [True, False])
def test_an_adapter_is_not_lost(merged, pictures):
    adapted = small_adapted("clip")
    with torch.no_grad():
        for name, p in adapted.encoder.model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.3)
    whole = merge(adapted) if merged else adapted.encoder
    fast = in_precision(whole, "fp32")
    np.testing.assert_allclose(fast.images(pictures), whole.images(pictures), atol=1e-5)
    changed = np.abs(whole.images(pictures) - small_encoder("clip").images(pictures)).max()
    assert changed > 1e-3


@pytest.mark.skipif(not lean._can_pack(), reason="this processor or build has no bf16 kernels")
@pytest.mark.parametrize(
    ("then", "act"), [(("none", ""), nn.Identity()), (("swish", ""), nn.SiLU())]
)
def test_a_packed_layer_is_the_layer(then, act):
    torch.manual_seed(0)
    linear = nn.Linear(24, 40).bfloat16().requires_grad_(False)
    x = torch.randn(2, 5, 24).bfloat16()
    found, expected = PackedLinear(linear, then=then)(x), act(linear(x))
    assert found.shape == (2, 5, 40)
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)


def test_wrong_precisions_are_refused():
    encoder = small_encoder("clip")
    with pytest.raises(ValueError, match="unknown precision 'fp16': use one of fp32, bf16"):
        in_precision(encoder, "fp16")
    with pytest.raises(ValueError, match="rounded its weights already: open it in fp32"):
        in_precision(replace(encoder, precision="bf16"), "bf16")


@pytest.mark.parametrize(("bf16_s", "chosen"), [(1.0, "bf16"), (3.8, "fp32"), (9.0, "fp32")])
def test_the_faster_one_is_chosen_by_the_clock(bf16_s, chosen, pictures):
    # The warm-up reads the clock only where it begins; of two passes the faster counts.
    fp32, bf16 = [(0, 10), (30, 34)], [(20, 20 + bf16_s), (40, 49)]
    clock = iter([0, 0, *fp32[0], *bf16[0], *fp32[1], *bf16[1]])
    choice = measure_precision(
        small_encoder("clip"), pictures, batch_size=8, repeats=2, clock=lambda: next(clock)
    )
    assert choice.chosen == chosen
    by_name = choice.table.set_index("precision")
    assert by_name.images_per_s["fp32"] == pytest.approx(8 / 4)
    assert by_name.images_per_s["bf16"] == pytest.approx(8 / min(bf16_s, 9))
    assert by_name.min_cosine["fp32"] == pytest.approx(1)
    assert 0.999 < by_name.min_cosine["bf16"] < 1


def test_rows_that_turn_too_far_are_not_chosen(pictures, monkeypatch):
    monkeypatch.setattr(lean, "LEAST_COSINE", 1.01)
    times = iter([0, 0, 0, 10, 10, 11])
    choice = measure_precision(
        small_encoder("clip"), pictures, batch_size=2, repeats=1, clock=lambda: next(times)
    )
    assert choice.chosen == "fp32"


def test_nothing_to_measure_with():
    with pytest.raises(ValueError, match="no pictures to measure with"):
        measure_precision(small_encoder("clip"), [])
