"""One loader for every BLIP-2, what it encodes, and its errors; the real sizes without weights."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Blip2Config, Blip2ForImageTextRetrieval

from helpers import paths
from helpers.first.models.blip2 import joint_states, load_blip2
from helpers.first.models.qformer import ImageOptionalQFormer, image_optional
from helpers.first.models.two_hop import TwoHop
from helpers.models.checkpoints import ModelError
from tests.first.small_blip2 import noise, small_blip2

PICTURES = [noise(name) for name in ("a", "b", "c")]
TEXTS = ["red mug", "two blue books on wood", "soup"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The small model as a checkpoint."""
    place = tmp_path_factory.mktemp("blip2") / "small"
    small_blip2().model.save_pretrained(place)
    small_blip2().processor.save_pretrained(place)
    return place


def test_a_folder_opens_and_gives_the_same(folder):
    opened, small = load_blip2(str(folder), device="cpu"), small_blip2()
    assert isinstance(opened.model.qformer, ImageOptionalQFormer)
    assert (opened.name, opened.fingerprint) == ("small", small.fingerprint)
    assert (opened.n_queries, opened.dimension, opened.width, opened.text_length) == (3, 16, 16, 12)
    np.testing.assert_allclose(opened.texts(TEXTS), small.texts(TEXTS), atol=1e-6)
    np.testing.assert_allclose(opened.images(PICTURES), small.images(PICTURES), atol=1e-6)
    assert not any(weight.requires_grad for weight in opened.model.parameters())


def test_scores_are_those_of_the_class_itself(folder):
    plain = Blip2ForImageTextRetrieval.from_pretrained(folder).eval()
    small = small_blip2()
    pixels = small.processor.image_processor(images=PICTURES, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        wanted = plain(pixel_values=pixels, **small.tokens(TEXTS)).logits_per_image  # (3, 3)
    images, texts = small.images(PICTURES), small.texts(TEXTS)
    ours = np.einsum("ind,td->itn", images, texts).max(axis=2)
    np.testing.assert_allclose(ours, wanted.numpy(), atol=1e-5)


def test_joint_states_are_what_matching_reads(folder):
    plain = Blip2ForImageTextRetrieval.from_pretrained(folder).eval()
    small = small_blip2()
    pixels = small.processor.image_processor(images=PICTURES, return_tensors="pt")["pixel_values"]
    tokens = small.tokens(TEXTS)
    with torch.no_grad():
        wanted = plain(pixel_values=pixels, **tokens, use_image_text_matching_head=True)
        states = torch.from_numpy(small.states(PICTURES))
        joined = joint_states(small.model, small.model.query_tokens, **tokens, states=states)
        found = small.model.itm_head(joined[:, :3]).mean(dim=1)
    torch.testing.assert_close(found, wanted.logits_per_image, atol=1e-5, rtol=1e-5)
    assert joined.shape[1] == 3 + tokens["input_ids"].shape[1]


def test_shapes_unit_rows_and_loaders():
    small = small_blip2()
    tokens = small.images(PICTURES, batch_size=2)
    assert tokens.shape == (3, 3, 16)
    np.testing.assert_allclose(np.linalg.norm(tokens, axis=2), 1, atol=1e-5)
    rows = small.image_rows([lambda: PICTURES[0], *PICTURES[1:]])
    mean = tokens.mean(axis=1)
    np.testing.assert_allclose(rows, mean / np.linalg.norm(mean, axis=1)[:, None], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(small.texts(TEXTS), axis=1), 1, atol=1e-5)


def test_padding_changes_nothing_and_long_texts_are_cut():
    small = small_blip2()
    alone = small.texts(TEXTS[:2])[0]
    np.testing.assert_allclose(alone, small.texts([TEXTS[0], TEXTS[2]])[0], atol=1e-5)
    assert small.tokens(["mug " * 50])["input_ids"].shape == (1, 12)
    few = max(n for n in range(1, 12) if small.tokens(["mug " * n])["input_ids"].shape[1] < 12)
    fits = "mug " * (few + 1)  # with the tokens at both ends as long as is read
    assert small.count_cut([fits, fits + "mug ", "mug " * 50]) == 2
    np.testing.assert_allclose(*small.texts(["mug " * 50, "mug " * 60, "soup"])[:2], atol=1e-6)


def test_nothing_to_encode_is_refused():
    with pytest.raises(ValueError, match="no image was given to small-blip2"):
        small_blip2().states([])
    with pytest.raises(ValueError, match="no text was given"):
        small_blip2().texts([])


def test_half_precision_is_the_towers_alone(folder):
    half = load_blip2(str(folder), device="cpu", precision="bf16")
    assert half.model.vision_model.dtype == torch.bfloat16
    assert half.model.qformer.layernorm.weight.dtype == torch.float32
    full, lean = small_blip2().images(PICTURES), half.images(PICTURES)
    assert (full * lean).sum(axis=2).min() > 0.98


def edited(folder, tmp_path, **changes):
    """A copy of the checkpoint whose configuration is another."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    for name, value in changes.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) else value
    (copy / "config.json").write_text(json.dumps(config))
    return str(copy)


def test_a_captioning_blip2_is_refused(folder, tmp_path):
    place = edited(folder, tmp_path, qformer_config={"use_qformer_text_input": False})
    with pytest.raises(ModelError, match="reads no text"):
        load_blip2(place, device="cpu")


def test_weights_that_do_not_fill_the_model_are_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"text_projection\.weight and 0 more"):
        load_blip2(str(copy), device="cpu")


def test_a_folder_without_a_processor_is_refused(folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folder / name, tmp_path)
    with pytest.raises(ModelError, match=r"processor|tokenizer"):
        load_blip2(str(tmp_path), device="cpu")


def test_a_preprocessor_named_as_on_the_hub_opens(folder, tmp_path):
    """The hub's files name the class that needs another library; its PIL form is taken."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    settings = json.loads((copy / "processor_config.json").read_text())
    image = settings.pop("image_processor") | {"image_processor_type": "BlipImageProcessor"}
    (copy / "preprocessor_config.json").write_text(
        json.dumps(image | {"processor_class": "Blip2Processor"})
    )
    (copy / "processor_config.json").write_text(json.dumps(settings))
    opened = load_blip2(str(copy), device="cpu")
    np.testing.assert_allclose(opened.images(PICTURES), small_blip2().images(PICTURES), atol=1e-6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("tiny-blip", "no model at 'tiny-blip': give tiny-blip2"),
        ("tiny-siglip", "'siglip' model, no BLIP-2"),
        ("/nowhere/at/all", "no model at"),
    ],
)
def test_what_is_no_blip2_is_refused(model, message):
    with pytest.raises(ModelError, match=message):
        load_blip2(model, device="cpu")


def test_names_and_precision(monkeypatch, tmp_path):
    with pytest.raises(ModelError, match="hf download acme/not-there"):
        load_blip2("acme/not-there")
    with pytest.raises(ModelError, match="unknown precision 'int8'"):
        load_blip2("tiny-blip2", precision="int8")
    monkeypatch.setattr(paths, "tiny", lambda: tmp_path)
    with pytest.raises(ModelError, match="course pretrain tiny-blip2"):
        load_blip2("tiny-blip2")


def test_the_real_sizes():
    """blip2-itm-vit-g without its weights: 32 queries, rows of 256, a Q-Former of 180 to 190 M."""
    config = Blip2Config(qformer_config={"use_qformer_text_input": True})
    with torch.device("meta"):
        model = Blip2ForImageTextRetrieval(config)
        model.qformer = image_optional(model.qformer)
        composer = TwoHop(model)
        targets = composer.targets(torch.empty(2, 257, 1408))
    assert targets.shape == (2, 32, 256)
    assert 180e6 < sum(p.numel() for p in composer.parameters()) < 190e6
