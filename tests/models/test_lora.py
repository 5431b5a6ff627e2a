"""Adapters: counts, what is trained, saved and loaded, merged, scaled; wrong bases refused."""

import json
import re

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from helpers.models.adapter_files import BASE_FILE, SCALAR_FILE, AdapterError, base_of
from helpers.models.encoder import Encoder, weights_fingerprint
from helpers.models.lora import adapt, load_adapter, merge, save_adapter, scaled
from helpers.models.placement import Placement, PlacementError, target_pattern, trainable_counts
from tests.small_models import WORDS, perturb, small_adapted, small_data, small_encoder, trainable

IMAGES = small_data(n_items=2).images
METHODS = ["lora", "dora", "rslora", "qlora", "prompt"]


def rows(encoder):
    return np.concatenate([encoder.images(IMAGES), encoder.texts(WORDS)])


def test_clip_vit_b_32_has_983_041_trainable_parameters_of_152_260_353():
    """Rank 8 on q, k, v and out of both towers, and the logit scale, without any memory for it."""
    with torch.device("meta"):
        model = CLIPModel(CLIPConfig(vision_config={"patch_size": 32}))
    encoder = Encoder("clip", "clip", model.requires_grad_(False), None)
    with torch.device("meta"):
        adapted = adapt(encoder, Placement(rank=8, alpha=16))
    assert trainable_counts(adapted.model) == (983_041, 152_260_353)


@pytest.mark.parametrize("modules", ["q_proj,k_proj,v_proj,out_proj", "out_proj,fc1,fc2"])
def test_the_pattern_never_matches_the_pooling_head_of_siglip(modules):
    with torch.device("meta"):
        model = SiglipModel(SiglipConfig())
    placement = Placement(vision_layers=2, text_layers=1, modules=modules)
    pattern = target_pattern(placement, model)
    found = [n for n, m in model.named_modules() if re.fullmatch(pattern, n)]
    assert len(found) == 3 * len(placement.module_names)
    assert all(isinstance(model.get_submodule(name), nn.Linear) for name in found)
    layers = {tuple(name.split(".")[:4]) for name in found}
    assert {(tower.split("_")[0], int(i)) for tower, _, _, i in layers} == {
        ("vision", 10), ("vision", 11), ("text", 11),
    }  # fmt: skip
    everything = target_pattern(Placement(modules="q_proj,k_proj,v_proj,out_proj,fc1,fc2"), model)
    assert not [
        n for n, _ in model.named_modules() if ".head." in n and re.fullmatch(everything, n)
    ]


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("heads", [False, True])
def test_saved_and_loaded_embeddings_are_equal_and_the_base_stays(family, method, heads, tmp_path):
    base = small_encoder(family)
    before, weights = rows(base), weights_fingerprint(base.model)
    encoder = perturb(small_adapted(family, method=method, heads=heads, vision_layers=2))
    assert abs(rows(encoder) - before).max() > 1e-2
    save_adapter(encoder, tmp_path, training={"epochs": 3}, data="two items")
    loaded = load_adapter(base, tmp_path)
    assert np.array_equal(rows(loaded), rows(encoder))
    assert loaded.logit_scale == encoder.logit_scale != base.logit_scale
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.fingerprint not in ("", base.fingerprint)
    assert weights_fingerprint(base.model) == weights
    assert np.array_equal(rows(base), before)
    assert "two items" in (tmp_path / "README.md").read_text()
    if method == "prompt":
        with pytest.raises(AdapterError, match="cannot be merged"):
            merge(loaded)
    elif method != "qlora":
        assert np.allclose(rows(merge(loaded)), rows(loaded), atol=1e-5)


@pytest.mark.parametrize("method", ["lora", "dora", "rslora"])
def test_plain_peft_opens_the_folder_with_its_factor(method, tmp_path):
    base = small_encoder("siglip")
    encoder = perturb(small_adapted("siglip", method=method))
    with scaled(encoder, 0.5):
        half = rows(encoder)
    save_adapter(encoder, tmp_path, factor=0.5)
    assert np.allclose(rows(load_adapter(base, tmp_path)), half, atol=1e-6)
    fresh = adapt(base, Placement(rank=1), seed=0).adapter.peft.unload()
    fresh.load_state_dict(load_file(tmp_path / SCALAR_FILE), strict=False)
    PeftModel.from_pretrained(fresh, str(tmp_path)).eval()
    opened = Encoder("x", "siglip", fresh.eval(), base.processor)
    assert np.allclose(rows(opened), half, atol=1e-6)


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("choices", [
    {}, {"heads": True}, {"method": "dora"}, {"method": "rslora"},
    {"method": "full"}, {"method": "full", "vision_layers": 1, "text_layers": 0},
])  # fmt: skip
def test_scaled_goes_from_the_base_to_the_model_and_back(family, choices):
    base, encoder = small_encoder(family), perturb(small_adapted(family, **choices))
    ends = rows(base), rows(encoder)
    with scaled(encoder, 0) as same:
        assert same is encoder
        assert np.allclose(rows(encoder), ends[0], atol=1e-6)
        assert encoder.logit_scale == pytest.approx(base.logit_scale)
    with scaled(encoder, 0.5):
        assert abs(rows(encoder) - ends[0]).max() > 1e-3 < abs(rows(encoder) - ends[1]).max()
    with pytest.raises(KeyError), scaled(encoder, 0.3):
        raise KeyError
    assert np.array_equal(rows(encoder), ends[1])


def test_scaled_lora_is_the_update_times_the_factor():
    encoder = perturb(small_adapted("clip", modules="fc1"))
    layer = encoder.model.vision_model.encoder.layers[1].mlp.fc1
    whole = layer.get_delta_weight("default").clone()
    with scaled(encoder, 0.25):
        assert torch.allclose(layer.get_delta_weight("default"), whole / 4)


def test_a_prompt_has_no_path_to_its_base():
    with (
        pytest.raises(AdapterError, match="no path"),
        scaled(small_adapted("clip", method="prompt"), 0),
    ):
        pass


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("prompt", "qlora")])
def test_a_fresh_adapter_changes_nothing(method):
    base = small_encoder("clip")
    assert np.allclose(
        rows(small_adapted("clip", method=method, heads=True)), rows(base), atol=1e-6
    )


def test_what_is_trained():
    names = set(trainable(small_adapted("siglip", vision_layers=1, text_layers=0, modules="fc2")))
    layer = "vision_model.encoder.layers.2.mlp.fc2"
    assert names == {
        f"{layer}.lora_A.default.weight",
        f"{layer}.lora_B.default.weight",
        "logit_scale",
    }
    full = trainable(small_adapted("siglip", method="full"))
    every = dict(small_encoder("siglip").model.named_parameters())
    assert set(every) - set(full) == {"logit_bias"}
    last = trainable(small_adapted("clip", method="full", vision_layers=1, text_layers=0))
    assert all(name.startswith(("vision_model.encoder.layers.2.", "logit_scale")) for name in last)
    assert len(last) == 17
    with pytest.raises(AdapterError, match=r"has no 'logit_bias'; use logit_scale"):
        small_adapted("clip", scalars=("logit_bias",))


def test_full_fine_tuning_leaves_the_base_alone_and_saves_as_a_model(tmp_path):
    base = small_encoder("clip")
    weights = weights_fingerprint(base.model)
    encoder = perturb(small_adapted("clip", method="full"))
    assert weights_fingerprint(base.model) == weights
    with pytest.raises(AdapterError, match="save_pretrained"):
        save_adapter(encoder, tmp_path)
    assert np.array_equal(rows(merge(encoder)), rows(encoder))


def test_a_refused_model_leaves_the_folder_of_an_adapter_alone(tmp_path):
    save_adapter(small_adapted("clip"), tmp_path)
    with pytest.raises(AdapterError, match="save_pretrained"):
        save_adapter(small_adapted("clip", method="full"), tmp_path)
    load_adapter(small_encoder("clip"), tmp_path)


def test_alpha_is_put_back_when_saving_fails(tmp_path, monkeypatch):
    def full_disk(*args, **kwargs):
        raise OSError("no space left")

    encoder = small_adapted("siglip")
    monkeypatch.setattr(encoder.adapter.peft, "save_pretrained", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_adapter(encoder, tmp_path, factor=0.5)
    alpha = encoder.adapter.peft.peft_config["default"].lora_alpha
    assert alpha == encoder.adapter.placement.alpha


def test_another_base_is_refused(tmp_path):
    save_adapter(small_adapted("siglip"), tmp_path)
    for other, words in (
        (small_encoder("siglip", seed=1), "the weights differs"),
        (small_encoder("clip"), "the family differs"),
    ):
        with pytest.raises(AdapterError, match=rf"belongs to 'small-siglip'.*{words}.*own base"):
            load_adapter(other, tmp_path)


def test_damaged_folders_are_refused(tmp_path):
    base = small_encoder("siglip")
    with pytest.raises(AdapterError, match="no adapter at"):
        load_adapter(base, tmp_path / "none")
    with pytest.raises(AdapterError, match="nothing says which model"):
        load_adapter(base, tmp_path)
    save_adapter(small_adapted("siglip"), tmp_path)
    record = tmp_path / BASE_FILE
    for name in ("adapter_model.safetensors", SCALAR_FILE, "adapter_config.json"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:-5])
        with pytest.raises(AdapterError, match=rf"{name}.*save or copy the adapter again"):
            load_adapter(base, tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(AdapterError, match=rf"{name} is missing"):
            load_adapter(base, tmp_path)
        (tmp_path / name).write_bytes(content)
    save_file({"logit_scale": torch.tensor(1.0)}, tmp_path / SCALAR_FILE)
    with pytest.raises(AdapterError, match=r"differs from what was saved"):
        load_adapter(base, tmp_path)
    whole = json.loads(record.read_text())
    del whole["base"]["fingerprint"]
    record.write_text(json.dumps(whole))
    with pytest.raises(AdapterError, match=r"'fingerprint' is missing or wrong"):
        load_adapter(base, tmp_path)
    record.write_text("{")
    with pytest.raises(AdapterError, match="is no JSON"):
        load_adapter(base, tmp_path)


def test_what_a_base_is_known_by():
    base = base_of(small_encoder("siglip"))
    assert base["vision_layers"] == 3
    assert base["fingerprint"] == weights_fingerprint(small_encoder("siglip").model)
    assert base["tokenizer"] != base_of(small_encoder("clip"))["tokenizer"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "lore"}, "method 'lore' is not available.*did you mean 'lora'"),
        ({"method": "baseline"}, "it trains nothing"),
        ({"modules": "q_prok"}, "there is no 'q_prok'.*did you mean 'q_proj'"),
        ({"vision_layers": -2}, "vision_layers is -2: give the number of last layers"),
        ({"vision_layers": 0, "text_layers": 0}, "both 0"),
        ({"rank": 0}, "rank is at least 1"),
        ({"alpha": 0}, "alpha above 0"),
        ({"dropout": 1.0}, r"dropout in \[0, 1\)"),
    ],
)
def test_placements_that_are_refused(values, message):
    with pytest.raises(PlacementError, match=message):
        Placement(**values)


def test_placements_that_are_equal_and_too_deep_ones():
    assert Placement(vision_layers="all", alpha=16) == Placement(vision_layers=-1, alpha=16.0)
    assert Placement(method="prompt", alpha=3) == Placement(method="prompt", modules="fc1")
    assert Placement(method="full", rank=3) == Placement(method="full")
    with pytest.raises(PlacementError, match="has 3 layers: give at most 3"):
        small_adapted("clip", vision_layers=4)
