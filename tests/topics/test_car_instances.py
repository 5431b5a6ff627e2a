"""Classes of cars: images and queries on sides, galleries, files of Stanford Cars, own folders."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.topics.cars import instances
from helpers.topics.cars.instances import open_classes, split_images, split_queries
from helpers.topics.cars.queries import write_queries
from helpers.topics.cars.reading import cars_of
from helpers.world import open_world
from helpers.world.garage import nth
from tests.topics.test_car_metadata import NAMES, row, write


@pytest.fixture(scope="module")
def garage():
    return open_classes("world:garage?px=16&images=6", max_recipes=96)


@pytest.fixture(scope="module")
def texts(garage):
    return split_queries(write_queries(garage.cars, n=8, progress=False).queries, garage, seed=42)


def test_each_class_has_images_on_each_side(garage):
    counts = garage.images.groupby(["car", "split"]).size().unstack()
    assert (counts == [3, 2, 1]).all(axis=None)  # test, train, validation
    assert garage.images["key"].is_unique
    again = open_classes("world:garage?px=16&images=6", max_recipes=96)
    other = open_classes("world:garage?px=16&images=6", max_recipes=96, seed=7)
    assert again.images.equals(garage.images)
    assert other.cars == garage.cars  # pretraining saw others: the classes never follow the seed
    assert not other.images["split"].equals(garage.images["split"])


def test_no_text_is_on_two_sides_and_a_test_query_has_one_right_class(garage, texts):
    assert (texts.groupby(texts["caption"].str.lower())["split"].nunique() == 1).all()
    for side in ("validation", "test"):
        asked = texts[texts["split"] == side]
        gallery = asked["car"].map(garage.galleries)
        assert not pd.DataFrame({"text": asked["caption"], "gallery": gallery}).duplicated().any()
    counts = texts["split"].value_counts()
    assert counts["train"] > counts["test"] > counts["validation"] > 0


def test_sets_hold_the_sides_in_galleries_of_one_size(garage, texts):
    sets = garage.sets(texts)
    assert sets["train"].galleries is None
    for side in ("validation", "test"):
        one = sets[side]
        assert set(one.galleries.values()) == {0, 1}
        assert set(one.image_items) == set(one.caption_items)
        keys = garage.images.loc[garage.images["split"] == side, "key"]
        assert set(one.images.keys) <= set(keys)
    assert len(set(sets["test"].image_items)) >= 90
    assert sets["test"].images[0].size == (16, 16)


def test_classes_that_fill_no_gallery_train_only(texts):
    few = open_classes("world:garage?px=16&images=6", max_recipes=50)
    assert len(few.galleries) == 48
    assert len(open_classes("world:garage?px=16&images=6", max_recipes=5).galleries) == 5


def test_a_number_of_images_is_an_option_of_the_world_and_part_of_its_fingerprint():
    few, many = (open_world(f"garage?images={n}", n_recipes=2) for n in (3, 24))
    assert [few.n_images(0), many.n_images(1)] == [3, 24]
    assert few.load_image("garage-00000/2.jpg").tobytes() == many.load_image(
        "garage-00000/2.jpg").tobytes()  # fmt: skip
    assert (
        len({few.fingerprint, many.fingerprint, open_world("garage", n_recipes=2).fingerprint}) == 3
    )
    with pytest.raises(ValueError, match=r"images=0 in 'world:garage\?images=0'"):
        open_world("garage?images=0")


def test_what_the_base_was_pretrained_on_is_refused():
    with pytest.raises(
        ValueError, match=r"max_recipes is 385: .*pretrained on the classes from 384"
    ):
        open_classes("world:garage", max_recipes=385)


def test_a_given_split_is_kept_and_validation_cut_from_its_training_part():
    images = pd.DataFrame({"key": list("abcdefgh"), "car": ["x"] * 8})
    fixed = pd.Series(["test", "train"] * 4)
    sides = split_images(images, seed=1, fixed=fixed)
    assert ((sides == "test") == (fixed == "test")).all()
    assert (sides == "validation").sum() == 1


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_class_of_few_images_keeps_one_for_training(n):
    images = pd.DataFrame({"key": list("abc")[:n], "car": ["x"] * n})
    assert "train" in set(split_images(images, seed=1))


def photo(folder, name, seed, size=(60, 40)):
    noise = np.random.default_rng(seed).integers(0, 255, (5, 8, 3), dtype=np.uint8)
    place = folder / name
    place.parent.mkdir(exist_ok=True)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(place, quality=95)


def test_a_folder_of_stanford_cars_keeps_its_split_and_names_what_is_missing(tmp_path):
    train = [row(f"{i:05d}.jpg", 1 + i % 3) for i in range(9)]
    test = [row(f"{i:05d}.jpg", 1 + i % 3) for i in range(3)]
    write(tmp_path, train=train, test=test)
    for i in range(8):
        photo(tmp_path, f"cars_train/{i:05d}.jpg", i)
    for i in range(3):
        photo(tmp_path, f"cars_test/{i:05d}.jpg", 0 if i == 0 else 20 + i)
    found = open_classes(str(tmp_path), image_px=32)
    assert [car.make for car in found.cars] == ["AM General", "Acura", "Acura"]
    assert [
        " ".join((c.make, c.model, c.body, c.year)).replace("  ", " ") for c in found.cars
    ] == NAMES
    side = found.images.set_index("key")["split"]
    assert (side[side.index.str.startswith("cars_test")] == "test").all()
    assert "test" not in set(side[side.index.str.startswith("cars_train")])
    left = found.left_out.set_index("item")["reason"]
    assert left["cars_train/00000.jpg"] == instances.NEAR
    assert "cars_train/00008.jpg" in left
    assert found.load("cars_train/00001.jpg").size == (32, 32)


def test_records_without_a_make_are_refused_by_name(tmp_path):
    (tmp_path / "recipes.jsonl").write_text(
        '{"recipe_id": "7", "title": "Pie", "images": ["7.jpg"]}\n'
    )
    photo(tmp_path, "7.jpg", 1)
    with pytest.raises(ValueError, match=r"record '7' has no attribute 'make'"):
        open_classes(str(tmp_path))


def test_the_classes_of_pretraining_share_no_attributes_with_the_lessons():
    known = [tuple(nth(i, instances.WORLD_SEED).values()) for i in range(960)]
    assert not set(known[: instances.LESSON_CLASSES]) & set(known[instances.LESSON_CLASSES :])
    assert cars_of({"id": str(i), **nth(i, 42)} for i in range(2))[0].make
