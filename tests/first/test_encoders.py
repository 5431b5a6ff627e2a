"""Encoders: unit rows from tiny and full-size models, one loader for names, folders and hub ids."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, BertConfig, CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from helpers import paths
from helpers.first.evaluation.embeddings import InvalidEmbeddings
from helpers.first.models.loading import load_encoder, weights_fingerprint
from helpers.models.checkpoints import TINY_MODELS, ModelError, find_checkpoint
from helpers.world import open_world

CAPTIONS = ["tomato soup with basil", "a red mug", "tofu sushi on a black plate"]


@pytest.fixture(scope="module", params=TINY_MODELS)
def encoder(request):
    return load_encoder(request.param, device="cpu")


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    world = open_world("kitchen", n_recipes=4, seed=5)
    return [world.draw(i, 0).image for i in range(4)]


def test_embeddings_are_unit_rows_in_float32(encoder, pictures):
    for rows, n in ((encoder.images(pictures), 4), (encoder.texts(CAPTIONS), 3)):
        assert rows.shape == (n, encoder.dimension)
        assert rows.dtype == np.float32
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(n), abs=1e-5)


def test_batches_and_loaders_change_nothing(encoder, pictures):
    whole = encoder.images(pictures)
    assert np.allclose(whole, encoder.images(pictures, batch_size=3), atol=1e-5)
    loaders = [lambda picture=p: picture for p in pictures]
    assert np.allclose(whole, encoder.images(iter(loaders)), atol=1e-5)
    assert np.allclose(encoder.texts(CAPTIONS), encoder.texts(CAPTIONS, batch_size=1), atol=1e-5)


def test_it_is_what_transformers_computes(encoder, pictures):
    inputs = encoder.processor(
        text=CAPTIONS, images=pictures, padding="max_length", truncation=True,
        max_length=encoder.text_length, return_tensors="pt",
    )  # fmt: skip
    with torch.no_grad():
        out = encoder.model(**inputs)
    assert np.allclose(encoder.images(pictures), out.image_embeds.numpy(), atol=1e-5)
    assert np.allclose(encoder.texts(CAPTIONS), out.text_embeds.numpy(), atol=1e-5)
    similar = encoder.texts(CAPTIONS) @ encoder.images(pictures).T
    logits = encoder.logit_scale * similar + encoder.logit_bias
    assert np.allclose(logits, out.logits_per_text.numpy(), atol=1e-3)


def test_long_captions_are_cut_and_counted(encoder):
    long = "a very long caption " * 40
    assert encoder.count_cut([*CAPTIONS, long]) == 1
    assert np.isfinite(encoder.texts([long, "soup"])).all()


def test_bfloat16_points_the_same_way(encoder, pictures):
    half = load_encoder(encoder.name, device="cpu", precision="bf16")
    cosine = (encoder.images(pictures) * half.images(pictures)).sum(1)
    assert (cosine > 0.99).all()
    assert half.fingerprint == encoder.fingerprint


def test_collapsed_or_missing_input_is_refused(encoder):
    with pytest.raises(InvalidEmbeddings, match="identical"):
        encoder.texts(["soup", "soup", "soup"])
    with pytest.raises(ValueError, match="nothing to encode"):
        encoder.images([])


def test_fingerprint_follows_the_weights():
    model = torch.nn.Linear(2, 2)
    before = weights_fingerprint(model)
    assert before == weights_fingerprint(model)
    with torch.no_grad():
        model.bias[0] += 1
    assert weights_fingerprint(model) != before


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("tiny-siglap", "owner/name"),
        ("/nowhere/at/all", "no model at"),
        ("./nowhere", "no model at"),
        ("a/b/c", "owner/name"),
    ],
)
def test_a_model_that_is_not_there_is_refused_with_the_remedy(model, message):
    with pytest.raises(ModelError, match=message):
        find_checkpoint(model)


def test_a_hub_model_that_is_not_in_the_cache_names_the_command():
    with pytest.raises(ModelError, match="hf download acme/not-there"):
        find_checkpoint("acme/not-there")


def test_a_folder_without_a_model_and_another_kind_of_model_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"config\.json"):
        load_encoder(str(tmp_path))
    BertConfig(num_hidden_layers=1, hidden_size=8, num_attention_heads=1).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="'bert' model"):
        load_encoder(str(tmp_path))


def test_an_incomplete_folder_is_refused(tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(paths.tiny() / "tiny-clip" / name, tmp_path)
    with pytest.raises(ModelError, match=r"processor|tokenizer"):
        load_encoder(str(tmp_path))


def test_weights_that_do_not_fill_the_model_are_refused(tmp_path):
    """transformers itself fills the gap with random numbers and a note."""
    shutil.copytree(paths.tiny() / "tiny-clip", tmp_path / "m")
    weights = load_file(tmp_path / "m" / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"visual_projection\.weight"):
        load_encoder(str(tmp_path / "m"))


def test_parameter_counts_of_the_real_configurations():
    with torch.device("meta"):
        clip, siglip = CLIPModel(CLIPConfig()), SiglipModel(SiglipConfig())
    assert sum(p.numel() for p in clip.parameters()) == 151_277_313
    assert sum(p.numel() for p in siglip.parameters()) == 203_155_970


def full_size_folder(folder: Path, family: str, real: Path) -> Path:
    """A checkpoint of real size with random weights; CLIP's tokenizer is the real one if there."""
    torch.manual_seed(0)
    if family == "clip":
        config = AutoConfig.from_pretrained(real)
        CLIPModel(config).to(torch.bfloat16).save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
            shutil.copy(real / name, folder)
        return folder
    tiny = load_encoder("tiny-siglip", device="cpu").processor
    words = {"vocab_size": len(tiny.tokenizer), "bos_token_id": None, "eos_token_id": None}
    config = SiglipConfig(text_config=words)
    SiglipModel(config).to(torch.bfloat16).save_pretrained(folder)
    tiny.image_processor.size = {"height": 224, "width": 224}
    tiny.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_full_size_models_open_from_a_folder(family, tmp_path, pictures):
    root = Path(os.environ.get("COURSE_REAL_DATA", paths.root().parent / "shared" / "real"))
    real = root / "clip-vit-base-patch32"
    if family == "clip" and not real.is_dir():
        pytest.skip(f"CLIP's tokenizer is not at {real}")
    encoder = load_encoder(str(full_size_folder(tmp_path / family, family, real)), device="cpu")
    assert encoder.image_px == 224
    assert encoder.images(pictures[:2]).shape == (2, encoder.dimension)
    assert encoder.texts(CAPTIONS).shape == (3, encoder.dimension)
