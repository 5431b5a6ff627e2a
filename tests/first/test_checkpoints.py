"""What is wrong with a checkpoint is said at the door: the same broken ones that the commands meet."""

import json
import re
import shutil
from pathlib import Path

import pytest

from helpers import paths
from helpers.first.models.loading import load_encoder
from helpers.first.models.opening import lower_texts, lowers
from helpers.models.checkpoints import ModelError, cached_revision, find_checkpoint
from helpers.topics.cir.blip2 import load_blip2
from helpers.topics.cir.generator import load_generator
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
    capitals, small = encoder.tokens(["Hot CURRY"]), encoder.tokens(["hot curry"])
    assert capitals["input_ids"].tolist() == small["input_ids"].tolist()
    lower_texts(tokenizer, find_checkpoint("tiny-siglip"))  # once more changes nothing
    assert encoder.tokens(["hot curry"])["input_ids"].tolist() == small["input_ids"].tolist()


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
    "text", ["world:kitchen", "tiny-clip", "", "a/b/c", "../a", "acme/nothing"]
)
def test_what_is_no_hub_model_in_the_cache_has_no_revision(text):
    assert cached_revision(text) == ""
