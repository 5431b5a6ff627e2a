"""Adapters: put on, written, opened by plain peft, put back bit for bit, refused elsewhere."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

from helpers.first.models.loading import load_encoder, weights_fingerprint
from helpers.first.models.lora import (
    AdapterError,
    adapt,
    adapter_files,
    load_adapter,
    merge,
    require_gradients,
    save_adapter,
)
from helpers.first.models.method_names import METHODS
from helpers.first.models.placement import Placement
from tests.first.small_training import (
    SHAPE,
    WORDS,
    small_adapted,
    small_encoder,
    small_picture,
    trainable,
)

PICTURES = [small_picture(f"{i}/0.jpg") for i in range(3)]


def changed(family: str, **choices):
    """An adapter all of whose weights, scalars too, are far from where they began."""
    adapted = small_adapted(family, **choices)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in adapted.encoder.model.parameters():
            if p.requires_grad:
                p.add_(0.2 * torch.randn(p.shape, generator=generator))
        if family == "siglip":
            adapted.encoder.model.logit_bias.fill_(-3.21)
    return adapted


@pytest.fixture(scope="module", params=["clip", "siglip"])
def saved(request, tmp_path_factory):
    """A family, an adapter and the folder it was saved to."""
    folder = tmp_path_factory.mktemp("adapter") / request.param
    adapted = changed(request.param, heads=True)
    save_adapter(adapted, folder, training={"epochs": 3}, data="24 drawn pairs")
    return request.param, adapted, folder


def same_rows(a, b) -> bool:
    """Equal weights, equal rows; some processors' kernels round by where an array lies."""
    return np.allclose(a.texts(WORDS), b.texts(WORDS), atol=1e-6) and np.allclose(
        a.images(PICTURES), b.images(PICTURES), atol=1e-6
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("heads", [False, True])
def test_saved_and_reloaded_bit_for_bit_scalars_included(family, method, heads, tmp_path):
    adapted = changed(family, method=method, heads=heads, vision_layers=1)
    save_adapter(adapted, tmp_path / "a")
    again = load_adapter(small_encoder(family), tmp_path / "a")
    before = dict(adapted.encoder.model.named_parameters())
    after = dict(again.encoder.model.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert again.encoder.logit_scale == adapted.encoder.logit_scale
    assert again.encoder.logit_bias == adapted.encoder.logit_bias
    assert again.placement == adapted.placement
    assert same_rows(again.encoder, adapted.encoder)
    assert not any(p.requires_grad for p in after.values())
    assert not again.encoder.model.training
    save_adapter(again, tmp_path / "b")
    first, second = ({p.name: p.read_bytes() for p in f.glob("*s*n*")} for f in tmp_path.iterdir())
    assert first == second


def test_the_base_stays_what_it_was(saved):
    family, adapted, folder = saved
    encoder = small_encoder(family)
    assert weights_fingerprint(encoder.model) == encoder.fingerprint
    assert not same_rows(encoder, adapted.encoder)
    fresh = adapt(encoder, Placement())
    assert same_rows(encoder, fresh.encoder)  # a fresh adapter changes nothing
    shared = fresh.encoder.model.text_model.embeddings.token_embedding.weight
    assert shared is encoder.model.text_model.embeddings.token_embedding.weight
    loaded = load_adapter(encoder, folder).encoder
    assert weights_fingerprint(encoder.model) == encoder.fingerprint
    assert loaded.fingerprint not in ("", encoder.fingerprint)


def test_plain_peft_opens_the_folder(saved):
    family, adapted, folder = saved
    encoder = small_encoder(family, seed=0)
    base = type(encoder.model)(encoder.model.config)
    base.load_state_dict(encoder.model.state_dict())
    opened = PeftModel.from_pretrained(base, str(folder)).eval()
    base.load_state_dict(load_file(folder / "scalars.safetensors"), strict=False)
    assert same_rows(replace(encoder, model=opened.base_model.model), adapted.encoder)
    assert float(base.logit_scale.detach().exp()) == adapted.encoder.logit_scale


@pytest.mark.slow
def test_the_card_s_own_lines_open_it_in_a_fresh_process(saved, tmp_path):
    family, adapted, folder = saved
    encoder, base = small_encoder(family), tmp_path / "base"
    encoder.model.save_pretrained(base)
    encoder.processor.save_pretrained(base)
    card = (folder / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    code = code.replace(f'"{encoder.name}"', f'"{base}"').replace("this folder", str(folder))
    ids = encoder.tokens(WORDS)["input_ids"].tolist()
    code += (
        f"import torch\nout = model.get_text_features(input_ids=torch.tensor({ids})).pooler_output"
        "\nprint([base.logit_scale.item(), *out.flatten().tolist()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    found = np.array(json.loads(done.stdout.splitlines()[-1]), np.float32)
    rows = found[1:].reshape(len(WORDS), -1)
    assert np.allclose(
        rows / np.linalg.norm(rows, axis=1, keepdims=True), adapted.encoder.texts(WORDS), atol=1e-6
    )
    assert found[0] == adapted.encoder.model.logit_scale.item()


def test_load_encoder_takes_the_folder(saved, tmp_path, monkeypatch):
    family, adapted, folder = saved
    encoder, base = small_encoder(family), tmp_path / f"small-{family}"
    encoder.model.save_pretrained(base)
    encoder.processor.save_pretrained(base)
    opened = load_encoder(str(base), adapter=str(folder), device="cpu")
    assert weights_fingerprint(opened.model) == weights_fingerprint(adapted.encoder.model)
    same = np.abs(opened.images(PICTURES) - adapted.encoder.images(PICTURES)).max()
    assert same < 1e-6  # a library of the processor may order its sums by the memory it gets
    assert opened.logit_bias == adapted.encoder.logit_bias
    monkeypatch.setenv("COURSE_HOME", str(folder.parent))
    monkeypatch.chdir(tmp_path)
    half = load_encoder(str(base), adapter=folder.name, device="cpu", precision="bf16")
    assert half.fingerprint == opened.fingerprint
    assert ((half.texts(WORDS) * opened.texts(WORDS)).sum(1) > 0.98).all()
    with pytest.raises(AdapterError, match=r"no adapter at .*nowhere"):
        load_encoder(str(base), adapter="nowhere", device="cpu")


def test_merged_rows_are_the_adapted_ones(saved):
    _, adapted, _ = saved
    before = weights_fingerprint(adapted.encoder.model)
    merged = merge(adapted)
    assert weights_fingerprint(adapted.encoder.model) == before
    assert np.allclose(merged.texts(WORDS), adapted.encoder.texts(WORDS), atol=1e-5)
    assert np.allclose(merged.images(PICTURES), adapted.encoder.images(PICTURES), atol=1e-5)
    assert type(merged.model) is type(small_encoder(merged.family).model)
    assert not any("lora" in name for name, _ in merged.model.named_modules())
    assert merged.logit_scale == adapted.encoder.logit_scale


def other_processor(encoder, *, tokenizer: bool):
    """The same weights behind other preprocessing, or another tokenizer."""
    other = small_encoder(encoder.family, shape=replace(SHAPE, vocabulary=280))
    processor = type(encoder.processor)(
        type(encoder.processor.image_processor)(
            **encoder.processor.image_processor.to_dict() | {"image_mean": [0.1, 0.5, 0.5]}
        ),
        encoder.processor.tokenizer,
    )
    if tokenizer:
        processor = type(encoder.processor)(
            encoder.processor.image_processor, other.processor.tokenizer
        )
    return replace(encoder, processor=processor)


WRONG = {
    "other weights": (lambda e: small_encoder(e.family, seed=1), "the weights differs"),
    "other depth": (
        lambda e: small_encoder(e.family, shape=replace(SHAPE, vision_layers=4)),
        r"number of vision layers differs \(3 there, 4 here\)",
    ),
    "other text depth": (
        lambda e: small_encoder(e.family, shape=replace(SHAPE, text_layers=1)),
        r"number of text layers differs \(2 there, 1 here\)",
    ),
    "other width": (
        lambda e: small_encoder(e.family, shape=replace(SHAPE, width=32)),
        "width of the vision tower differs",
    ),
    "other family": (
        lambda e: small_encoder({"clip": "siglip", "siglip": "clip"}[e.family]),
        "the family differs",
    ),
    "other preprocessing": (
        lambda e: other_processor(e, tokenizer=False),
        "image preprocessing differs",
    ),
    "other tokenizer": (lambda e: other_processor(e, tokenizer=True), "tokenizer differs"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_another_base_is_refused(saved, kind):
    family, _, folder = saved
    other, message = WRONG[kind]
    with pytest.raises(AdapterError, match=message):
        load_adapter(other(small_encoder(family)), folder)


@pytest.mark.parametrize(
    "name", ["adapter_model.safetensors", "scalars.safetensors", "adapter_config.json", "base.json"]
)
@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_a_folder_that_is_not_whole_is_refused(saved, tmp_path, name, damage):
    family, _, folder = saved
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    content = (copy / name).read_bytes()
    if damage == "missing":
        (copy / name).unlink()
    elif damage == "cut":
        (copy / name).write_bytes(content[: len(content) // 2])
    elif name == "base.json":
        (copy / name).write_bytes(content.replace(b'"fingerprint"', b'"fingerprlnt"'))
    else:
        (copy / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(AdapterError, match=re.escape(name)):
        load_adapter(small_encoder(family), copy)


def test_using_a_tokenizer_does_not_change_what_it_is(saved):
    family, _, folder = saved
    encoder = small_encoder(family)
    encoder.tokens(["soup"] * 3)
    encoder.processor.tokenizer(WORDS, padding="longest", truncation=True, max_length=5)
    assert load_adapter(encoder, folder).base.name == f"small-{family}"


def test_the_same_seed_gives_the_same_adapter():
    a, b, c = (adapt(small_encoder("clip"), Placement(), seed=s) for s in (1, 1, 2))
    first, second, third = map(trainable, (a, b, c))
    assert all(torch.equal(first[n], second[n]) for n in first)
    assert any(not torch.equal(first[n], third[n]) for n in first)
    state = torch.get_rng_state()
    adapt(small_encoder("clip"), Placement())
    assert torch.equal(state, torch.get_rng_state())


def test_scalars_train_or_do_not():
    assert "logit_scale" in trainable(small_adapted("clip"))
    none = adapt(small_encoder("siglip"), Placement(), train_scalars=())
    assert not any(name.startswith("logit") for name in trainable(none))
    both = adapt(small_encoder("siglip"), Placement(), train_scalars=("logit_scale", "logit_bias"))
    assert sum(name.startswith("logit") for name in trainable(both)) == 2
    with pytest.raises(AdapterError, match="no 'logit_bias'"):
        adapt(small_encoder("clip"), Placement(), train_scalars=("logit_bias",))


def test_half_precision_weights_are_not_adapted():
    with pytest.raises(AdapterError, match="fp32"):
        adapt(replace(small_encoder("clip"), precision="bf16"), Placement())


def test_a_parameter_without_gradient_is_named():
    """A name list catches the pooling head's attention, whose product never runs."""
    model = type(small_encoder("siglip").model)(small_encoder("siglip").model.config)
    get_peft_model(model, LoraConfig(r=2, target_modules=["out_proj"]))
    encoder = replace(small_encoder("siglip"), model=model)
    out = model.get_image_features(pixel_values=encoder.pixels(PICTURES)).pooler_output
    out = out.sum() + model.get_text_features(**encoder.tokens(WORDS)).pooler_output.sum()
    out.backward()
    with pytest.raises(AdapterError, match=r"vision_model\.head\.attention\.out_proj.*and 1 more"):
        require_gradients(model)


def test_gradients_of_zero_are_gradients():
    layer = torch.nn.Linear(2, 1)
    (0 * layer(torch.ones(1, 2))).sum().backward()
    require_gradients(layer)
    assert not layer.weight.grad.any()


def test_the_card_is_filled_in(saved):
    family, adapted, folder = saved
    card = (folder / "README.md").read_text()
    assert f"base_model: small-{family}" in card
    assert "on 24 drawn pairs" in card
    assert "| epochs | 3 |" in card
    assert f"`{adapted.base.fingerprint}`" in card
    assert "{" not in card
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == f"small-{family}"


def test_files_are_the_same_every_time():
    assert adapter_files(changed("clip")) == adapter_files(changed("clip"))
