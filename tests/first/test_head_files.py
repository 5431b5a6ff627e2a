"""Heads on disk, refused on another model; an encoder with heads encodes as both by hand."""

import json

import numpy as np
import pytest

from helpers.first.models.adapter_base import AdapterError
from helpers.first.models.adapters import HeadError, HeadShape, apply_heads, make_heads
from helpers.first.models.head_files import Headed, load_heads, save_heads
from tests.first.small_training import WORDS, small_encoder, small_picture

LEARNED = HeadShape(form="convex", alpha=0.4, learn_alpha=True, zero_init=False)


@pytest.fixture
def saved(tmp_path):
    encoder = small_encoder("clip")
    heads = make_heads(LEARNED, encoder.dimension, seed=1)
    save_heads(heads, encoder, tmp_path / "heads")
    return heads, tmp_path / "heads"


def test_heads_survive_the_folder(saved):
    heads, folder = saved
    found = load_heads(small_encoder("clip"), folder)
    rows = small_encoder("clip").texts(WORDS)
    for a, b in zip(apply_heads(heads, rows, rows), apply_heads(found, rows, rows), strict=True):
        assert (a == b).all()
    assert found.shape == LEARNED


@pytest.mark.parametrize("other", [small_encoder("siglip"), small_encoder("clip", seed=1)])
def test_another_model_is_refused(saved, other):
    with pytest.raises(AdapterError, match="belongs to 'small-clip'"):
        load_heads(other, saved[1])


def test_damage_is_refused_by_name(saved):
    folder = saved[1]
    weights = folder / "heads.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(HeadError, match="differs from what was saved"):
        load_heads(small_encoder("clip"), folder)
    weights.unlink()
    with pytest.raises(HeadError, match=r"has no heads\.safetensors"):
        load_heads(small_encoder("clip"), folder)
    weights.write_bytes(whole)
    record = json.loads((folder / "heads.json").read_text())
    (folder / "heads.json").write_text(json.dumps({**record, "shape": {"kind": "odd"}}))
    with pytest.raises(HeadError, match="cannot be read"):
        load_heads(small_encoder("clip"), folder)
    (folder / "heads.json").write_text(json.dumps({**record, "dimension": 7}))
    with pytest.raises(HeadError, match="does not fit its record"):
        load_heads(small_encoder("clip"), folder)


def test_a_headed_encoder_encodes_through_its_heads():
    encoder = small_encoder("siglip")
    heads = make_heads(HeadShape("tower"), encoder.dimension, seed=2)
    headed = Headed(encoder, heads)
    pictures = [small_picture("1/0.jpg"), small_picture("2/0.jpg")]
    images, texts = apply_heads(heads, encoder.images(pictures), encoder.texts(WORDS))
    np.testing.assert_array_equal(headed.images(pictures), images)
    np.testing.assert_array_equal(headed.texts(WORDS), texts)
    other = Headed(encoder, make_heads(HeadShape("tower"), encoder.dimension, seed=3))
    assert len({headed.fingerprint, other.fingerprint, encoder.fingerprint}) == 3
    assert headed.processor is encoder.processor
    assert headed.dimension == encoder.dimension
