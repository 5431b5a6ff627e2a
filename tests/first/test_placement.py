"""Placements: the modules that peft is told to adapt, against a walk of the model, and counted."""

import re
from dataclasses import asdict, replace
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import get_peft_model
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from helpers.first.models.placement import (
    METHODS,
    MODULES,
    Placement,
    PlacementError,
    adapted_layers,
    count_parameters,
    lora_config,
    target_pattern,
)
from tests.first.small_training import small_adapted, small_encoder


@cache
def full_size(family: str):
    """The real configuration without memory for its weights; for reading alone."""
    kinds = {"clip": (CLIPModel, CLIPConfig), "siglip": (SiglipModel, SiglipConfig)}
    model, config = kinds[family]
    with torch.device("meta"):
        return model(config())


def walked(model, placement: Placement) -> set[str]:
    """The linear layers that a placement means, found by looking at every module."""
    found = set()
    for name, module in model.named_modules():
        parts = name.split(".")
        if not isinstance(module, torch.nn.Linear) or parts[1:3] != ["encoder", "layers"]:
            continue
        tower = parts[0].removesuffix("_model")
        depth = getattr(model.config, f"{tower}_config").num_hidden_layers
        k = getattr(placement, f"{tower}_layers")
        last = depth if k == -1 else k
        if int(parts[3]) >= depth - last and parts[-1] in placement.module_names:
            found.add(name)
    return found


placements = st.builds(
    Placement,
    vision_layers=st.integers(-1, 12),
    text_layers=st.sampled_from([-1, 1, 2, 11, 12]),
    modules=st.lists(st.sampled_from(list(MODULES)), min_size=1).map(",".join),
)


@given(placements, st.sampled_from(["clip", "siglip"]))
def test_the_pattern_matches_the_modules_that_are_meant_and_no_others(placement, family):
    model = full_size(family)
    pattern = target_pattern(placement, model)
    matched = {name for name, _ in model.named_modules() if re.fullmatch(pattern, name)}
    assert matched == walked(model, placement)
    assert not any("head" in name for name in matched)


def test_the_counts_of_the_report_on_clip():
    with torch.device("meta"):
        model = CLIPModel(CLIPConfig())
    get_peft_model(model, lora_config(Placement(rank=8, alpha=16), model))
    assert count_parameters(model).trainable == 983_040
    model.logit_scale.requires_grad_(True)
    counts = count_parameters(model)
    assert (counts.trainable, counts.total) == (983_041, 152_260_353)
    assert counts.share == pytest.approx(0.0065, abs=5e-5)


CLIP_HEADS = 768 * 512 + 512 * 512
POOLING = 768 + 4 * (768 * 768 + 768) + 2 * 768 + 2 * 768 * 3072 + 3072 + 768  # probe to MLP
SIGLIP_HEADS = POOLING + 768 * 768 + 768


@pytest.mark.parametrize(("family", "heads"), [("clip", CLIP_HEADS), ("siglip", SIGLIP_HEADS)])
def test_heads_are_counted_once(family, heads):
    kinds = {"clip": (CLIPModel, CLIPConfig), "siglip": (SiglipModel, SiglipConfig)}
    model_of, config_of = kinds[family]
    with torch.device("meta"):
        model = model_of(config_of())
    before = count_parameters(model).total
    placement = Placement(rank=8, vision_layers=2, text_layers=0, heads=True, modules="q_proj")
    get_peft_model(model, lora_config(placement, model))
    adapter = 2 * 8 * (768 + 768)
    assert count_parameters(model).trainable == adapter + heads
    assert count_parameters(model).total == before + adapter


def test_last_layers_by_hand():
    pattern = target_pattern(
        Placement(vision_layers=2, text_layers=1, modules="q_proj, fc1"), full_size("siglip")
    )
    for name, expected in (
        ("vision_model.encoder.layers.10.self_attn.q_proj", True),
        ("vision_model.encoder.layers.11.mlp.fc1", True),
        ("vision_model.encoder.layers.9.self_attn.q_proj", False),
        ("vision_model.encoder.layers.11.self_attn.k_proj", False),
        ("vision_model.head.mlp.fc1", False),
        ("text_model.encoder.layers.11.self_attn.q_proj", True),
        ("text_model.encoder.layers.10.self_attn.q_proj", False),
    ):
        assert bool(re.fullmatch(pattern, name)) is expected, name


def test_all_is_minus_one():
    assert Placement(vision_layers="all") == Placement(vision_layers=-1)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "prompt"])
@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_methods_scale_and_decompose_as_they_say(family, method):
    adapted = small_adapted(family, rank=4, alpha=8, method=method, modules="v_proj")
    layer = adapted.encoder.model.vision_model.encoder.layers[0].self_attn.v_proj
    assert layer.scaling["default"] == {"rslora": 4.0}.get(method, 2.0)
    names = [n for n, p in adapted.encoder.model.named_parameters() if p.requires_grad]
    assert any("magnitude" in n for n in names) == (method == "dora")
    assert layer.lora_dropout["default"].p == 0.2


def test_a_prompt_forgets_what_says_nothing_about_tokens():
    one = Placement(method="prompt", rank=4, alpha=32, dropout=0.5, modules="fc1")
    assert one == Placement(method="prompt", rank=4, modules="q_prj")
    assert (one.alpha, one.dropout, one.modules, one.module_names) == (0.0, 0.0, "", ())
    assert Placement(**asdict(one)) == one
    with pytest.raises(PlacementError, match="adapt puts the tokens in"):
        lora_config(one, full_size("clip"))


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize(("vision", "text", "numbers"), [
    (-1, 0, (range(3), range(2, 2))), (2, -1, (range(1, 3), range(2))),
    (0, 1, (range(3, 3), range(1, 2))),
])  # fmt: skip
def test_the_last_layers_by_tower(family, vision, text, numbers):
    placement = Placement(vision_layers=vision, text_layers=text)
    found = adapted_layers(placement, small_encoder(family).model)
    assert found == {"vision": numbers[0], "text": numbers[1]}


@pytest.mark.parametrize("method", ["lora", "prompt"])
@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"vision_layers": 4}, r"vision_layers is 4.* has 3 layers: give at most 3"),
        ({"text_layers": 3}, r"text_layers is 3.* has 2 layers: give at most 2"),
    ],
)
def test_more_layers_than_there_are_is_refused_by_name(choice, message, method):
    with pytest.raises(PlacementError, match=message):
        small_adapted("clip", method=method, **choice)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            {"method": "vera"},
            "'vera' is not .*: use one of lora, dora, rslora, qlora, prompt",
        ),
        ({"method": "prompt", "rank": 0}, "rank is at least 1"),
        ({"method": "promt"}, "did you mean 'prompt'"),
        ({"method": "lorra"}, "did you mean 'lora'"),
        ({"modules": "q_proj,v_prj"}, "no 'v_prj'.*did you mean 'v_proj'"),
        ({"modules": ""}, "there is no ''"),
        ({"vision_layers": 0, "text_layers": 0}, "needs a layer"),
        ({"vision_layers": -2}, "vision_layers is -2"),
        ({"text_layers": "most"}, "text_layers is 'most'"),
        ({"vision_layers": True}, "vision_layers is True"),
        ({"rank": 0}, "rank is at least 1"),
        ({"alpha": 0}, "alpha above 0"),
        ({"dropout": 1.0}, r"dropout in \[0, 1\)"),
    ],
)
def test_an_impossible_placement_is_refused(choice, message):
    with pytest.raises(PlacementError, match=message):
        replace(Placement(), **choice)


def test_another_family_is_refused():
    model = small_encoder("clip").model.vision_model
    with pytest.raises(PlacementError, match="clip_vision_model"):
        lora_config(Placement(), model)
