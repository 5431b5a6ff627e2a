"""Watermarked pictures of the world with their truth; asking changes no picture."""

import numpy as np
import pytest

from helpers.first.data.masks import marked_pictures, masks
from helpers.world import open_world

WORLD = open_world("kitchen", n_recipes=6, seed=9)
KEYS = [f"kitchen-0000{i}/{j}.jpg" for i in range(6) for j in range(2)]


def test_the_clean_picture_is_the_worlds_own():
    found = marked_pictures(WORLD, KEYS)
    for key, clean in zip(KEYS, found.clean, strict=True):
        assert np.array_equal(np.asarray(clean), np.asarray(WORLD.load_image(key)))


def test_both_versions_differ_exactly_within_the_mark():
    found = marked_pictures(WORLD, KEYS)
    for clean, marked, mark in zip(found.clean, found.marked, found.mark, strict=True):
        changed = (np.asarray(clean, int) != np.asarray(marked, int)).any(axis=2)
        assert not (changed & ~mark).any()
        assert changed[mark].mean() > 0.8
        assert 0 < mark.mean() < 0.2


def test_the_dish_is_where_the_plate_is_drawn():
    found = marked_pictures(WORLD, KEYS)
    assert found.dish.shape == found.mark.shape == (12, 64, 64)
    assert found.dish.dtype == found.mark.dtype == bool
    assert found.dish[:, 28:36, 28:36].all()
    assert (found.dish.mean(axis=(1, 2)) > 0.3).all()
    assert set(found.masks) == {"watermark", "dish"}
    assert found.recipe_ids == tuple(k.split("/")[0] for k in KEYS)


def test_marks_of_a_picture_are_the_same_in_every_style():
    photo, drawn = (marked_pictures(w, KEYS) for w in (WORLD, WORLD.in_style("diffusion")))
    assert np.array_equal(photo.mark, drawn.mark)
    assert not np.array_equal(np.asarray(photo.clean[0]), np.asarray(drawn.clean[0]))


def test_one_key_with_and_without_its_mark():
    key = KEYS[3]
    assert masks(WORLD, key).watermark.any()
    assert not masks(WORLD, key, watermark=False).watermark.any()
    assert np.array_equal(masks(WORLD, key).subject, masks(WORLD, key, watermark=False).subject)


@pytest.mark.parametrize(
    "key",
    ["", "kitchen-00000", "kitchen-00000/9.jpg", "kitchen-00006/0.jpg", "general-00000/0.jpg",
     "kitchen-00000/0.png", "kitchen--1/0.jpg", "kitchen-x/0.jpg", "kitchen-0/0.jpg"],
)  # fmt: skip
def test_a_key_that_is_no_picture_is_named(key):
    with pytest.raises(KeyError, match="is not a picture of world:kitchen with 6 recipes"):
        masks(WORLD, key)


def test_no_key_is_refused():
    with pytest.raises(ValueError, match="no key"):
        marked_pictures(WORLD, [])
