"""Retrieval sets: lazy images, captions by item, drawn ranges that never overlap."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from helpers.data.sets import LazyImages, RetrievalSet, drawn_set, drawn_sets


def test_images_are_opened_when_they_are_asked_for():
    opened = []

    def load(key):
        opened.append(key)
        return Image.new("RGB", (2, 2))

    images = LazyImages(["a", "b", "c"], load)
    assert len(images) == 3
    assert opened == []
    assert images[1].size == (2, 2)
    assert opened == ["b"]
    assert images[1:].keys == ("b", "c")
    assert len(list(images)) == 3


def small() -> RetrievalSet:
    images = LazyImages(["1", "2", "3"], lambda key: Image.new("RGB", (int(key), 1)))
    items = np.array(["a", "a", "b"])
    return RetrievalSet(images, items, ["x", "y", "z"], np.array(["a", "b", "a"]))


def test_captions_of_an_item_and_its_part():
    data = small()
    assert data.items == ["a", "b"]
    assert data.captions_of == {"a": ["x", "z"], "b": ["y"]}
    part = data.part(1)
    assert part.image_items.tolist() == ["a", "a"]
    assert part.captions == ["x", "z"]
    assert [image.size[0] for image in part.images] == [1, 2]


def test_a_part_keeps_the_galleries_of_its_items():
    assert small().part(1).galleries is None
    assert replace(small(), galleries={"a": 0, "b": 1}).part(1).galleries == {"a": 0}


def test_a_drawn_range_is_the_same_wherever_it_begins():
    whole = drawn_set("world:kitchen", first=300, n=6, gallery=3)
    later = drawn_set("world:kitchen", first=303, n=3)
    mine = np.isin(whole.image_items, later.image_items)
    assert whole.image_items[mine].tolist() == later.image_items.tolist()
    assert np.array_equal(np.asarray(whole.images[-1]), np.asarray(later.images[-1]))
    assert sorted(set(whole.galleries.values())) == [0, 1]
    assert set(whole.caption_items) == set(whole.image_items)


def test_galleries_have_one_size():
    with pytest.raises(ValueError, match="do not fill galleries of 4"):
        drawn_set("world:kitchen", first=0, n=6, gallery=4)


def test_a_recipe_that_equals_one_of_the_training_is_passed_over():
    data = {
        "training": {"source": "world:kitchen", "first": 0, "n": 6},
        "test": {"source": "world:kitchen", "first": 3, "n": 4, "unlike": ["training"]},
    }
    sets = drawn_sets(data)
    assert sets["test"].items == drawn_set("world:kitchen", first=6, n=4).items
