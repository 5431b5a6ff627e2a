"""Looks of the same pictures: twins in the second style, watermarks, two folders."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.data.pairs import ensure_pairs
from helpers.data.sources import open_source
from helpers.first.studies import style_pictures as looks
from helpers.store.zones import open_zone

SOURCE = "world:kitchen?px=32"
SETTINGS = {"max_recipes": 8, "seed": 3, "progress": False}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    zone = open_zone(str(tmp_path_factory.mktemp("looks") / "z"))
    return ensure_pairs(zone, source=SOURCE, **SETTINGS)


@pytest.fixture(scope="module")
def twins(pairs):
    return looks.ensure_twins(pairs, SOURCE, style_gap=1.0, **SETTINGS)


def level(image: Image.Image) -> np.ndarray:
    return np.asarray(image, float)


def test_a_twin_is_the_same_scene_in_the_second_style(pairs, twins):
    world = open_source(f"{SOURCE}&style=diffusion", max_recipes=8, seed=3)
    photos = looks.real_pictures(pairs)
    for key in pairs.all["image_key"].unique()[:5]:
        drawn = level(world.load_image(key))
        assert np.abs(level(twins.load(key)) - drawn).mean() < 6  # stored as JPEG
        assert np.abs(level(photos.load(key)) - drawn).mean() > 6
    assert twins.fingerprint != photos.fingerprint


def test_a_gap_of_nothing_is_the_real_pictures(pairs):
    none = looks.ensure_twins(pairs, SOURCE, style_gap=0.0, **SETTINGS)
    assert none.fingerprint == looks.real_pictures(pairs).fingerprint


def test_twins_are_built_once(pairs, twins, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("drawn again")

    monkeypatch.setattr("helpers.data.trusted._build", refuse)
    again = looks.ensure_twins(pairs, SOURCE, style_gap=1.0, **SETTINGS)
    assert again.fingerprint == twins.fingerprint


def test_another_seed_or_number_of_recipes_is_no_twin(pairs):
    with pytest.raises(ValueError, match="have no twin in"):
        looks.ensure_twins(pairs, SOURCE, style_gap=0.9, max_recipes=2, seed=3, progress=False)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("photos", "only the drawn world does"),
        ("world:kitchen?style=diffusion", "sets style itself"),
        ("world:kitchen?px=64&style_gap=0.1", "sets style_gap itself"),
    ],
)
def test_sources_without_twins_are_refused(source, said):
    with pytest.raises(ValueError, match=said):
        looks.twin_source(source, 1.0)


def test_a_watermark_follows_from_key_and_seed_and_changes_nothing_but_itself(pairs):
    key = pairs.all["image_key"].iloc[0]
    plain = pairs.image(key)
    one, mask = looks.watermark_of(plain, key, seed=1)
    again, _ = looks.watermark_of(plain, key, seed=1)
    other, _ = looks.watermark_of(plain, key, seed=2)
    elsewhere, _ = looks.watermark_of(plain, "another", seed=1)
    assert level(one).tolist() == level(again).tolist()
    assert not np.array_equal(level(one), level(other))
    assert not np.array_equal(level(one), level(elsewhere))
    changed = (level(one) != level(plain)).any(axis=2)
    assert changed.any()
    assert not (changed & ~mask).any()


def test_watermarked_pictures_have_a_name_and_a_fingerprint_of_their_own(pairs):
    photos = looks.real_pictures(pairs)
    marked = looks.watermarked(photos, seed=1)
    key = pairs.all["image_key"].iloc[0]
    want, _ = looks.watermark_of(pairs.image(key), key, seed=1)
    assert level(marked.load(key)).tolist() == level(want).tolist()
    others = (photos, looks.watermarked(photos, seed=2), looks.watermarked(photos, opacity=(1, 1)))
    assert marked.fingerprint not in {look.fingerprint for look in others}


def test_both_looks_of_the_test_recipes_are_compared_in_pairs(pairs, twins):
    photos = looks.real_pictures(pairs)
    sides = looks.world_sides(pairs, photos, twins, seed=5)
    assert set(sides.groups_real) == set(pairs.test["recipe_id"])
    assert sides.groups_real == sides.groups_synthetic
    assert (sides.paired, sides.px, sides.data) == (True, 32, pairs.source)
    key = pairs.test.drop_duplicates("recipe_id")["image_key"].iloc[0]
    assert level(sides.real[0]).tolist() == level(photos.load(key)).tolist()
    assert level(sides.synthetic[0]).tolist() == level(twins.load(key)).tolist()
    few = looks.world_sides(replace(pairs, all=more_test(pairs)), photos, twins, max_images=3)
    assert len(few.real) == len(few.synthetic) == 3


def more_test(pairs) -> pd.DataFrame:
    return pairs.all.assign(split="test")


def test_folders_from_outside_are_paired_by_name(tmp_path):
    rng = np.random.default_rng(0)
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
        for i in range(3):
            noise = rng.integers(0, 255, (40, 40, 3)).astype(np.uint8)
            Image.fromarray(noise).save(tmp_path / side / f"{i}.png")
    (tmp_path / "b" / "notes.txt").write_text("no picture")
    sides = looks.two_folders(str(tmp_path / "a"), str(tmp_path / "b"))
    assert sides.paired
    assert sides.groups_real == sides.groups_synthetic == ("0", "1", "2")
    assert [reject.item for reject in sides.rejects] == ["notes.txt"]
    with pytest.raises(ValueError, match="give two folders, or none"):
        looks.two_folders(str(tmp_path / "a"), "")


def test_another_source_trains_on_the_kitchen_beside_its_zone(tmp_path):
    zone = open_zone(str(tmp_path / "mine"))
    assert looks.world_for(zone, "world:general")[:2] == (zone, "world:general")
    beside, source, said = looks.world_for(zone, "recipes/")
    assert str(beside.root) == f"{zone.root}-world"
    assert source == "world:kitchen"
    assert "about your data" in said
