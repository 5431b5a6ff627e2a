"""Pools hold pictures and what is said of them, and nothing of what was annotated."""

import pytest

from helpers.world import open_world
from helpers.world.changes import composed_world
from helpers.world.mentions import claims, is_there
from helpers.world.picture_pool import PicturePool, split_annotated
from helpers.world.pool import world_pool


@pytest.fixture(scope="module")
def composed():
    return composed_world(open_world("kitchen", n_recipes=40), counts={"train": 40})


def test_the_annotated_part_grows_within_itself_and_leaves_the_rest(composed):
    triplets = composed.sets["train"].triplets
    few, rest = split_annotated(triplets, n=5, seed=3)
    more, _ = split_annotated(triplets, n=20, seed=3)
    assert len(few) == 5
    assert set(few) < set(more)
    assert set(few) | set(rest) == set(triplets)
    assert not set(few) & set(rest)
    assert split_annotated(triplets, n=5, seed=4)[0] != few
    with pytest.raises(ValueError, match="41 annotated triplets"):
        split_annotated(triplets, n=41)


def test_the_pool_of_the_world_tells_the_truth_of_single_pictures(composed):
    annotated, rest = split_annotated(composed.sets["train"].triplets, n=10)
    pool = world_pool(composed, rest)
    assert len(pool.names) == 3 * len(rest)
    assert not {t.reference for t in annotated} & set(pool.names)
    for name, category in zip(pool.names, pool.categories, strict=True):
        attributes = composed.shown[name].attributes
        assert category == attributes["dish"]
        for caption in pool.captions[name]:
            assert all(is_there(value, attributes) for value in claims(caption).wanted)
    assert pool.load_image(pool.names[0]).size == (64, 64)
    assert world_pool(composed, rest).fingerprint == pool.fingerprint
    assert world_pool(composed, rest[1:]).fingerprint != pool.fingerprint


def test_impossible_pools_are_refused(composed):
    load = composed.load_image
    with pytest.raises(ValueError, match="whose pictures"):
        world_pool(composed, [])
    with pytest.raises(ValueError, match="1 pictures and 0 categories"):
        PicturePool(("a",), (), {"a": ("x",)}, load, "")
    with pytest.raises(ValueError, match="'a' is in the pool twice"):
        PicturePool(("a", "a"), ("x", "x"), {"a": ("x",)}, load, "")
    with pytest.raises(ValueError, match="'b' first"):
        PicturePool(("a", "b"), ("x", "x"), {"a": ("x",)}, load, "")
