"""Opening a dual encoder: the library's own numbers, families, and what is refused by name."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel

from helpers import paths
from helpers.evaluation.ranking import InvalidEmbeddings
from helpers.models.checkpoints import ModelError
from helpers.models.encoder import checkpoint_path, load_encoder, weights_fingerprint
from tests.small_models import WORDS, small_data, small_encoder

IMAGES = small_data(n_items=3).images


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Small checkpoints as anyone would save them."""
    folder = tmp_path_factory.mktemp("models")
    for family in ("clip", "siglip"):
        encoder = small_encoder(family)
        encoder.model.save_pretrained(folder / family)
        encoder.processor.save_pretrained(folder / family)
    return folder


@pytest.fixture
def checkpoint(saved, tmp_path):
    """A copy to be damaged."""
    return shutil.copytree(saved / "siglip", tmp_path / "model")


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_a_folder_opens_and_embeds_as_the_library_does(saved, family):
    encoder, small = load_encoder(str(saved / family), device="cpu"), small_encoder(family)
    assert (encoder.name, encoder.family) == (family, family)
    assert encoder.fingerprint == small.fingerprint == weights_fingerprint(encoder.model)
    assert encoder.logit_scale == small.logit_scale
    assert encoder.dimension == 24
    model = AutoModel.from_pretrained(checkpoint_path(str(saved / family)))
    with torch.no_grad():
        pixels = encoder.prepare_images(list(IMAGES))
        images = model.get_image_features(pixel_values=pixels).pooler_output
        texts = [model.get_text_features(**encoder.prepare_texts([w])).pooler_output for w in WORDS]
    for found, raw in ((encoder.images(IMAGES), images), (encoder.texts(WORDS), torch.cat(texts))):
        assert found.dtype == np.float32
        assert np.allclose(found, torch.nn.functional.normalize(raw, dim=-1), atol=1e-6)
    assert np.allclose(encoder.images(IMAGES, batch_size=4), encoder.images(IMAGES), atol=1e-6)
    assert not any(p.requires_grad for p in encoder.model.parameters())


def test_siglip_is_padded_to_its_length_without_a_mask_and_clip_is_not():
    siglip, clip = (small_encoder(family).prepare_texts(["a mug"]) for family in ("siglip", "clip"))
    assert siglip["input_ids"].shape == (1, 12)
    assert "attention_mask" not in siglip
    assert clip["input_ids"].shape[1] < 12
    assert small_encoder("siglip").text_rules == "in lower case, padded to 12 tokens"


def test_a_siglip_whose_tokenizer_keeps_capitals_lowers_them(checkpoint):
    file = checkpoint / "tokenizer.json"
    rules = json.loads(file.read_text())
    rules["normalizer"] = None
    file.write_text(json.dumps(rules))
    encoder = load_encoder(str(checkpoint), device="cpu")
    assert np.array_equal(encoder.texts(["A Red MUG"]), encoder.texts(["a red mug"]))


def test_gradients_flow_and_broken_embeddings_are_refused(saved):
    encoder = load_encoder(str(saved / "clip"), device="cpu")
    pixels = encoder.prepare_images(list(IMAGES)).requires_grad_()
    encoder.image_features(pixels).sum().backward()
    assert (pixels.grad != 0).any()
    with pytest.raises(InvalidEmbeddings, match="empty"):
        encoder.images([])
    with torch.no_grad():
        encoder.model.visual_projection.weight.fill_(float("nan"))
    with pytest.raises(InvalidEmbeddings, match=r"image embeddings of clip: 6 of 6 rows have NaN"):
        encoder.images(IMAGES)


def test_bf16_embeds_nearly_alike(saved):
    half = load_encoder(str(saved / "siglip"), device="cpu", precision="bf16")
    whole = small_encoder("siglip")
    assert half.fingerprint == whole.fingerprint
    assert 0 < abs(half.images(IMAGES) - whole.images(IMAGES)).max() < 0.05
    with pytest.raises(ModelError, match="unknown precision 'fp8': use one of fp32, bf16"):
        load_encoder(str(saved / "siglip"), precision="fp8")


def damage_weights(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def point_to_weights(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def deepen(folder):
    edit(folder, lambda config: config["vision_config"].update(num_hidden_layers=4))


def shallow(folder):
    edit(folder, lambda config: config["vision_config"].update(num_hidden_layers=2))


def naflex(folder):
    edit(folder, lambda config: config.update(model_type="siglip2"))


def bert(folder):
    edit(folder, lambda config: config.update(model_type="bert"))


def edit(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def other_tokens(folder):
    shutil.copy(paths.tiny() / "tiny-siglip" / "tokenizer.json", folder)


def other_pixels(folder):
    shutil.copy(paths.tiny() / "tiny-siglip" / "processor_config.json", folder)


def no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_weights, r"model.safetensors of .* was cut off: it has .* bytes"),
        (point_to_weights, r"is a git-lfs pointer .*: run 'git lfs pull' there"),
        (deepen, r"do not fill its configuration: .*layers.3.* more are missing"),
        (shallow, r"hold layers that its config.json does not name"),
        (naflex, r"any shape \(NaFlex\).*use a SigLIP 2 of fixed resolution"),
        (bert, r"is a 'bert' model; this course adapts clip"),
        (other_tokens, r"is of another model: it has 627 tokens, the model 300"),
        (other_pixels, r"makes pictures of 64 x 64 pixels, the model takes 16 x 16"),
        (no_tokenizer, r"has no tokenizer: none of tokenizer.json, .* lies beside its weights"),
    ],
)
def test_what_does_not_belong_together_is_refused_with_a_remedy(checkpoint, damage, message):
    damage(checkpoint)
    with pytest.raises(ModelError, match=message):
        load_encoder(str(checkpoint), device="cpu")


def test_names_that_lead_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name, message in (
        ("no model", "give tiny-clip, tiny-siglip, a directory, or a hub id"),
        ("owner/name", r"'hf download owner/name' gets it"),
        (str(tmp_path), "is a directory without config.json"),
    ):
        with pytest.raises(ModelError, match=message):
            load_encoder(name)


def test_equal_images_of_one_encoder_are_refused_as_collapsed():
    same = [Image.new("RGB", (20, 20), "red")] * 3
    with pytest.raises(InvalidEmbeddings, match=r"all 3 rows .* are identical"):
        small_encoder("clip").images(same)
