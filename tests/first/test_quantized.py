"""Eight-bit frozen weights: rounded as they should be, smaller, trained on, put back, restored."""

import copy
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from bitsandbytes.nn import Linear8bitLt
from safetensors.torch import load_file

from helpers.first.models import methods
from helpers.first.models.loading import load_encoder, weights_fingerprint
from helpers.first.models.lora import (
    AdapterError,
    load_adapter,
    merge,
    require_gradients,
    save_adapter,
)
from helpers.first.models.placement import count_parameters
from helpers.first.models.quantized import quantize, quantized, restore, restored, weights_mb
from tests.first.small_training import (
    WORDS,
    small_adapted,
    small_encoder,
    small_picture,
    train_busy,
    trainable,
)

PICTURES = [small_picture(f"{i}/0.jpg") for i in range(3)]
FAMILIES = ["clip", "siglip"]


def rounded(weight: torch.Tensor) -> torch.Tensor:
    """A matrix whose rows are whole numbers from -127 to 127 times a scale, element by element."""
    rows = []
    for row in weight.half().float():  # the library rounds to float16 first
        top = row.abs().max()
        rows.append(torch.tensor([round(float(v * 127 / top)) for v in row]) * top / 127)
    return torch.stack(rows)


def linear_names(model) -> set[str]:
    return {n for n, m in model.named_modules() if isinstance(m, Linear8bitLt)}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_encoders_linear_layers_and_no_others(family):
    encoder = small_encoder(family)
    found = linear_names(quantized(encoder).model)
    wanted = {
        name
        for name, m in encoder.model.named_modules()
        if isinstance(m, torch.nn.Linear) and ".encoder.layers." in name
    }
    assert found == wanted
    assert len(found) == 6 * (3 + 2)
    assert not linear_names(encoder.model)
    assert weights_fingerprint(encoder.model) == encoder.fingerprint


@pytest.mark.parametrize("family", FAMILIES)
def test_the_weights_are_rounded_row_by_row(family):
    encoder = small_encoder(family)
    small = quantized(encoder)
    for name in sorted(linear_names(small.model))[::5]:
        layer, weight = small.model.get_submodule(name), encoder.model.get_submodule(name).weight
        assert layer.weight.dtype == torch.int8
        assert layer.weight.data.abs().max() == 127
        step = weight.abs().amax(1, keepdim=True) / 127
        away = (restored(layer) - weight).abs() / step
        assert away.max() < 0.57  # half a step, and what float16 loses at 127 on the way
        same = torch.isclose(restored(layer), rounded(weight), atol=1e-6)
        assert same.float().mean() > 0.9
    before = restored(layer)
    small.texts(WORDS)
    small.images(PICTURES)
    assert torch.equal(restored(layer), before)  # the first call moves the scales elsewhere


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_close_and_the_memory_is_counted(family, caplog):
    encoder = small_encoder(family)
    small = quantized(encoder)
    for mine, whole in ((small.texts(WORDS), encoder.texts(WORDS)),
                        (small.images(PICTURES), encoder.images(PICTURES))):  # fmt: skip
        assert ((mine * whole).sum(1) > 0.99).all()
        assert not np.array_equal(mine, whole)
    assert not caplog.records  # the library says at each call that it casts
    assert small.fingerprint == f"{encoder.fingerprint}-int8"
    names = linear_names(small.model)
    weights = [encoder.model.get_submodule(name).weight for name in names]
    saved = sum(3 * w.numel() - 4 * w.shape[0] for w in weights)  # a scale is a float32
    buffers = sum(b.numel() * b.element_size() for b in encoder.model.buffers())
    floats = 4 * sum(p.numel() for p in encoder.model.parameters())
    assert weights_mb(encoder.model) == pytest.approx((floats + buffers) / 1e6)
    assert weights_mb(small.model) == pytest.approx((floats + buffers - saved) / 1e6)


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_are_those_of_lora(family):
    counts = [
        count_parameters(small_adapted(family, method=m, heads=True).encoder.model)
        for m in ("lora", "qlora")
    ]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_training_on_them_reopens_bit_for_bit(family, tmp_path):
    adapted = small_adapted(family, method="qlora", heads=True)
    before, frozen = trainable(adapted), weights_fingerprint(quantized(small_encoder(family)).model)
    train_busy(adapted)
    require_gradients(adapted.encoder.model)
    after = trainable(adapted)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    save_adapter(adapted, tmp_path)
    assert not any(t.dtype == torch.int8 for t in load_file(_weights(tmp_path)).values())
    base = small_encoder(family)
    again = load_adapter(base, tmp_path)
    assert np.allclose(again.encoder.texts(WORDS), adapted.encoder.texts(WORDS), atol=1e-6)
    assert np.allclose(again.encoder.images(PICTURES), adapted.encoder.images(PICTURES), atol=1e-6)
    assert again.base.fingerprint == base.fingerprint  # of the weights in full precision
    assert weights_fingerprint(quantized(base).model) == frozen
    assert "bitsandbytes int8" in (tmp_path / "base.json").read_text()
    assert "near but not the same" in (tmp_path / "README.md").read_text()


def _weights(folder):
    return folder / "adapter_model.safetensors"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_opens_with_its_model_and_in_bf16(family, tmp_path):
    encoder, base = small_encoder(family), tmp_path / f"small-{family}"
    encoder.model.save_pretrained(base)
    encoder.processor.save_pretrained(base)
    adapted = small_adapted(family, method="qlora")
    save_adapter(adapted, tmp_path / "adapter")
    opened = load_encoder(str(base), adapter=str(tmp_path / "adapter"), device="cpu")
    assert np.array_equal(opened.texts(WORDS), adapted.encoder.texts(WORDS))
    half = load_encoder(
        str(base), adapter=str(tmp_path / "adapter"), device="cpu", precision="bf16"
    )
    assert ((half.texts(WORDS) * opened.texts(WORDS)).sum(1) > 0.98).all()
    assert ((half.images(PICTURES) * opened.images(PICTURES)).sum(1) > 0.98).all()


def test_another_base_and_another_quantization_are_refused(tmp_path, monkeypatch):
    save_adapter(small_adapted("clip", method="qlora"), tmp_path)
    with pytest.raises(AdapterError, match="the weights differs"):
        load_adapter(small_encoder("clip", seed=1), tmp_path)
    with pytest.raises(AdapterError, match="the weights differs"):
        load_adapter(quantized(small_encoder("clip")), tmp_path)
    monkeypatch.setattr(methods, "QUANTIZATION", "four bits")
    with pytest.raises(AdapterError, match=r"quantized as 'bitsandbytes int8.*'four bits'"):
        load_adapter(small_encoder("clip"), tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_merged_in_full_precision(family):
    adapted = small_adapted(family, method="qlora", heads=True, vision_layers=1, modules="v_proj")
    with torch.no_grad():
        for p in adapted.encoder.model.parameters():
            if p.requires_grad:
                p.add_(0.1)
    name = "vision_model.encoder.layers.2.self_attn.v_proj"
    layer = adapted.encoder.model.get_submodule(name)
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    wanted = restored(layer.base_layer) + layer.scaling["default"] * up @ down
    before = weights_fingerprint(adapted.encoder.model)
    merged = merge(adapted)
    assert weights_fingerprint(adapted.encoder.model) == before
    assert not linear_names(merged.model)
    assert type(merged.model.get_submodule(name)) is torch.nn.Linear
    assert torch.allclose(merged.model.get_submodule(name).weight, wanted, atol=1e-6)
    assert not any("lora" in name for name, _ in merged.model.named_modules())
    assert ((merged.texts(WORDS) * adapted.encoder.texts(WORDS)).sum(1) > 0.995).all()
    assert ((merged.images(PICTURES) * adapted.encoder.images(PICTURES)).sum(1) > 0.995).all()


def test_in_training_on_a_cpu_the_restored_weights_multiply():
    small = quantized(small_encoder("siglip")).model
    plain = copy.deepcopy(small)
    restore(plain)
    ids = small_encoder("siglip").tokens(WORDS)
    with torch.no_grad():
        trained = small.train().get_text_features(**ids).pooler_output
        asked = small.eval().get_text_features(**ids).pooler_output
        whole = plain.get_text_features(**ids).pooler_output
    assert torch.allclose(trained, whole, atol=1e-6)
    assert not torch.allclose(asked, whole, atol=1e-6)


def test_what_cannot_be_quantized_is_refused_by_name():
    model = copy.deepcopy(small_encoder("clip").model)
    with pytest.raises(AdapterError, match="float32 on mps"):
        quantize(model, device="mps")
    with pytest.raises(AdapterError, match=r"torch\.bfloat16 on cpu"):
        quantize(model.bfloat16(), device="cpu")
    assert not linear_names(model)


def test_other_notes_of_the_library_are_heard(caplog):
    quantized(small_encoder("clip"))
    logging.getLogger("bitsandbytes.autograd._functions").warning("something else")
    assert [r.message for r in caplog.records] == ["something else"]


def test_an_encoder_without_a_fingerprint_gets_none():
    assert quantized(replace(small_encoder("clip"), fingerprint="")).fingerprint == ""
