"""What is wrong with a checkpoint is said when it is opened; models of full size."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoConfig, CLIPModel, SiglipConfig, SiglipModel

from helpers import paths
from helpers.models.checkpoints import ModelError, cached_revision, find_checkpoint, lowers
from helpers.models.encoder import load_encoder
from helpers.topics.cir.blip2 import load_blip2
from helpers.topics.cir.generator import load_generator
from tests.behaviour.conftest import real_data
from tests.behaviour.model_inputs import BROKEN, FAMILIES, edit, tiny_copy


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_checkpoint_is_refused_with_file_numbers_and_remedy(name, tmp_path):
    spoil, words = BROKEN[name]
    folder = tiny_copy(tmp_path / name)
    spoil(folder)
    with pytest.raises(ModelError) as caught:
        load_encoder(str(folder), device="cpu")
    for word in (str(folder), *words):
        assert word in str(caught.value)
    assert not re.search(r"\w+Error\b|weights_only", str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_whole_copy_opens(tmp_path):
    assert load_encoder(str(tiny_copy(tmp_path / "m")), device="cpu").name == "m"


def test_a_table_that_is_rounded_up_is_the_tokenizers_own(tmp_path):
    """Many checkpoints have a few rows more than tokens: no other model's tokenizer."""
    folder = tiny_copy(tmp_path / "m")
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["vocab"] = {t: i for t, i in content["model"]["vocab"].items() if i < 600}
    content["model"]["merges"] = []
    file.write_text(json.dumps(content))
    assert load_encoder(str(folder), device="cpu").text_length


def test_clips_end_token_has_to_be_the_tokenizers(tmp_path):
    folder = tiny_copy(tmp_path / "m")
    edit(folder / "config.json", text_config__eos_token_id=77)
    with pytest.raises(
        ModelError, match="ends a text with token 3, the model reads it at token 77"
    ):
        load_encoder(str(folder), device="cpu")


@pytest.mark.parametrize("family", FAMILIES)
def test_capitals_change_no_token(family, tmp_path):
    encoder = load_encoder(str(FAMILIES[family](tmp_path / family)), device="cpu")
    tokenizer = encoder.processor.tokenizer
    assert lowers(tokenizer)
    both = [encoder.prepare_texts([text])["input_ids"] for text in ("Hot CURRY", "hot curry")]
    assert both[0].tolist() == both[1].tolist()


def broken_tiny(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(paths.tiny() / name, folder))


@pytest.mark.parametrize(
    ("name", "opens", "file"),
    [
        ("tiny-blip2", load_blip2, "tokenizer.json"),
        ("tiny-instructblip", load_generator, "tokenizer.json"),
        ("tiny-instructblip", load_generator, "qformer_tokenizer/tokenizer.json"),
        ("tiny-instructblip", load_generator, "model.safetensors"),
    ],
)
def test_the_other_families_have_the_same_door(name, opens, file, tmp_path):
    folder = broken_tiny(name, tmp_path / "gone")
    (folder / file).unlink()
    with pytest.raises(ModelError, match=r"has no (tokenizer|weights)"):
        opens(str(folder), device="cpu")
    folder = broken_tiny(name, tmp_path / "empty")
    (folder / file).write_bytes(b"")
    with pytest.raises(ModelError, match=f"{file} of model .* is empty"):
        opens(str(folder), device="cpu")


def test_a_blip2_with_another_preprocessor_is_refused(tmp_path):
    folder = broken_tiny("tiny-blip2", tmp_path / "m")
    size = {"height": 96, "width": 96}
    edit(folder / "processor_config.json", image_processor__size=size)
    with pytest.raises(ModelError, match="96 x 96 pixels, the model takes 64 x 64"):
        load_blip2(str(folder), device="cpu")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("tiny-siglap", "owner/name"), ("/nowhere/at/all", "no model at"),
        ("./nowhere", "no model at"), ("a/b/c", "owner/name"),
        ("acme/not-there", "hf download acme/not-there"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_there_is_refused_with_the_remedy(model, message):
    with pytest.raises(ModelError, match=message):
        find_checkpoint(model)


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
def test_full_size_models_open_from_a_folder(family, tmp_path):
    real = real_data("clip-vit-base-patch32")
    if family == "clip" and real is None:
        pytest.skip("CLIP's tokenizer is not on this machine")
    encoder = load_encoder(str(full_size_folder(tmp_path / family, family, real)), device="cpu")
    images = [Image.new("RGB", (300, 200), color) for color in ("red", "navy")]
    assert encoder.image_px == 224
    assert encoder.images(images).shape == (2, encoder.dimension)
    assert encoder.texts(["tomato soup", "a red mug"]).shape == (2, encoder.dimension)


@pytest.mark.parametrize(
    "text", ["world:kitchen", "tiny-clip", "", "a/b/c", "../a", "acme/nothing"]
)
def test_what_is_no_hub_model_in_the_cache_has_no_revision(text):
    assert cached_revision(text) == ""
