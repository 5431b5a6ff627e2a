"""Kept features: computed once, found again, computed anew when damaged or when data change."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.data.pairs import RetrievalSet
from helpers.first.training.features import ensure_features, take_recipes
from tests.first.small_features import small_features
from tests.first.small_training import small_encoder, small_picture

DATA = RetrievalSet(
    ("1/0.jpg", "2/0.jpg", "2/1.jpg"), np.array(["1", "2", "2"]),
    ("a red mug", "two blue books"), np.array(["1", "2"]),
)  # fmt: skip
HASHES = {key: f"hash of {key}" for key in DATA.image_keys}


class Counting:
    """A loader that counts."""

    def __init__(self):
        self.loaded = []

    def __call__(self, key):
        self.loaded.append(key)
        return small_picture(key)


def kept(folder, *, encoder=None, data=DATA, hashes=HASHES, load=small_picture):
    encoder = encoder or small_encoder("clip")
    return ensure_features(encoder, data, load, image_hashes=hashes, folder=folder, progress=False)


def test_they_are_the_encoders_rows_memory_mapped_and_computed_once(tmp_path):
    load = Counting()
    first, second = kept(tmp_path, load=load), kept(tmp_path, load=load)
    assert load.loaded == list(DATA.image_keys)
    assert isinstance(second.images, np.memmap)
    encoder = small_encoder("clip")
    pictures = [small_picture(key) for key in DATA.image_keys]
    for found in (first, second):
        np.testing.assert_array_equal(found.images, encoder.images(pictures))
        np.testing.assert_array_equal(found.texts, encoder.texts(DATA.captions))
    with pytest.raises(ValueError, match="read-only"):
        second.images[0, 0] = 0


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": small_encoder("clip", seed=1)},
        {"hashes": HASHES | {"1/0.jpg": "another picture"}},
        {"data": replace(DATA, captions=("a green mug", "two blue books"))},
        {"data": replace(DATA, caption_ids=np.array(["2", "1"]))},
    ],
)
def test_another_model_picture_caption_or_recipe_is_another_entry(tmp_path, change):
    first, second = kept(tmp_path), kept(tmp_path, **change)
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("name", ["images.npy", "texts.npy", "features.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "flipped"])
def test_damage_is_mended_by_computing_again(tmp_path, name, damage):
    first = kept(tmp_path)
    file = tmp_path / first.fingerprint / name
    whole = file.read_bytes()
    file.unlink()
    if damage != "gone":
        file.write_bytes(whole[:-9] if damage == "cut" else whole[:-9] + b"x" * 9)
    load = Counting()
    np.testing.assert_array_equal(kept(tmp_path, load=load).images, first.images)
    assert load.loaded == list(DATA.image_keys)
    assert file.read_bytes() == whole


def test_a_picture_without_a_hash_is_an_error(tmp_path):
    with pytest.raises(KeyError, match=r"2/1\.jpg"):
        kept(tmp_path, hashes={"1/0.jpg": "a", "2/0.jpg": "b"})


def test_smaller_parts_are_in_larger_ones_and_keep_rows_together():
    features = small_features(20, per=3)
    small, large = (take_recipes(features, n, seed=4) for n in (5, 11))
    assert set(small.recipes) < set(large.recipes)
    assert len(small.recipes) == 5
    for part in (small, large):
        for ids, rows, keys, all_rows, all_keys in (
            (part.data.image_ids, part.images, part.data.image_keys, features.images,
             features.data.image_keys),
            (part.data.caption_ids, part.texts, part.data.captions, features.texts,
             features.data.captions),
        ):  # fmt: skip
            assert len(ids) == 3 * len(part.recipes)
            where = [all_keys.index(key) for key in keys]
            np.testing.assert_array_equal(rows, all_rows[where])
    assert set(take_recipes(features, 5, seed=5).recipes) != set(small.recipes)
    assert take_recipes(features, 0, seed=1) is features


@pytest.mark.parametrize("n", [-1, 21])
def test_recipes_that_are_not_there_cannot_be_taken(n):
    with pytest.raises(ValueError, match="there are 20"):
        take_recipes(small_features(20), n, seed=0)
