"""Instance classes: pictures and texts split within a class, nothing alike on two sides."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.pairs import ensure_pairs
from helpers.data.splits import leak_audit
from helpers.first.data.instances import (
    car_recipes,
    ensure_instances,
    source_of_cars,
    split_pictures,
    split_texts,
    texts_of_queries,
)
from helpers.store.zones import open_zone
from helpers.topics.cars.metadata import COLUMNS, Cars

SHARES = {"seed": 1, "test_share": 0.3, "validation_share": 0.1}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(4, 15), min_size=1, max_size=6), st.integers(0, 50), st.data())
def test_every_class_is_on_every_side_and_no_group_on_two(sizes, seed, data):
    pictures = {f"c{c}": [f"c{c}/{i}" for i in range(n)] for c, n in enumerate(sizes)}
    everything = [key for keys in pictures.values() for key in keys]
    pair = data.draw(st.lists(st.sampled_from(everything), min_size=2, max_size=2))
    groups = dict.fromkeys(pair, "twins")
    sides = split_pictures(pictures, groups=groups, seed=seed, test_share=0.3, validation_share=0.1)
    assert set(sides) == set(everything)
    assert sides[pair[0]] == sides[pair[1]]
    for keys in pictures.values():
        held = [sides[key] for key in keys]
        assert set(held) == {"train", "validation", "test"}
        assert abs(held.count("test") - 0.3 * len(held)) <= 1.5


def test_a_split_depends_on_neither_order_nor_company():
    pictures = {"a": list("123456789"), "b": list("xyzuvw")}
    alone = split_pictures({"a": pictures["a"][::-1]}, **SHARES)
    both = split_pictures(dict(reversed(pictures.items())), **SHARES)
    assert {k: both[k] for k in alone} == alone
    other = split_pictures(pictures, **SHARES | {"seed": 2})
    assert other != both


def test_a_given_split_is_kept_and_a_near_duplicate_leaves_training():
    pictures = {"a": list("1234567890")}
    fixed = dict.fromkeys("12345", "train") | dict.fromkeys("67890", "test")
    sides = split_pictures(pictures, groups={"1": "g", "6": "g"}, fixed=fixed, **SHARES)
    assert {key for key, side in sides.items() if side == "test"} == set("67890")
    assert sides["1"] == ""
    assert sorted(sides[key] for key in "2345") == ["train", "train", "train", "validation"]


def texts(*rows):
    return pd.DataFrame(rows, columns=["recipe_id", "caption"])


def test_a_text_of_two_classes_is_for_training():
    rows = texts(*[("a", f"a{i}") for i in range(6)], *[("b", f"b{i}") for i in range(6)],
                 ("a", "Red  Car"), ("b", "red car"))  # fmt: skip
    for seed in range(8):
        sides = split_texts(rows, seed=seed, test_share=0.4, validation_share=0.2)
        assert sides[rows["caption"].str.contains("ar")].tolist() == ["train", "train"]
        for _, own in sides.groupby(rows["recipe_id"]):
            assert set(own) == {"train", "validation", "test"}


def test_the_texts_of_queries_are_those_of_every_class_that_fits():
    queries = pd.DataFrame({"id": ["a", "b"], "query": ["x", "y"], "fits": ["a; b", "b"]})
    assert texts_of_queries(queries).values.tolist() == [["a", "x"], ["b", "x"], ["b", "y"]]
    assert texts_of_queries(queries.drop(columns="fits")).values.tolist() == [
        ["a", "x"],
        ["b", "y"],
    ]


@pytest.fixture(scope="module")
def pairs():
    return ensure_pairs(
        open_zone("memory://instances"), source="world:garage", image_px=32, max_recipes=6,
        progress=False,
    )  # fmt: skip


def own_texts(pairs, n=6):
    return texts(*[(name, f"{name} {i}") for name in pairs.all["recipe_id"].unique()
                   for i in range(n)])  # fmt: skip


def test_the_frame_is_pictures_by_texts_of_each_side(pairs):
    found = ensure_instances(pairs, own_texts(pairs))
    frame = found.pairs.all
    assert found.left_out.empty
    assert set(frame["image_key"]) == set(pairs.all["image_key"])
    for _, own in frame.groupby(["recipe_id", "split"]):
        assert len(own) == own["image_key"].nunique() * own["caption"].nunique()
    by_picture = frame.assign(recipe_id=frame["image_key"])
    leaks = leak_audit(
        by_picture, image_hashes=pairs.image_hashes, near_duplicates=pairs.near_duplicates
    )
    assert leaks.empty
    assert (frame.groupby("caption")["split"].nunique() == 1).all()
    again = ensure_instances(pairs, own_texts(pairs))
    assert again.pairs.manifest.fingerprint == found.pairs.manifest.fingerprint


def test_other_texts_are_other_pairs(pairs):
    first = ensure_instances(pairs, own_texts(pairs)).pairs.manifest.fingerprint
    second = ensure_instances(pairs, own_texts(pairs, 7)).pairs.manifest.fingerprint
    assert first != second


def test_a_class_without_a_text_for_the_test_is_named(pairs):
    given_texts = own_texts(pairs)
    poor = given_texts["recipe_id"].iloc[0]
    kept = given_texts[(given_texts["recipe_id"] != poor) | (given_texts.index == 0)]
    found = ensure_instances(pairs, kept)
    assert found.left_out["recipe_id"].tolist() == [poor]
    assert "no text for" in found.left_out["reason"].iloc[0]
    assert poor not in set(found.pairs.all["recipe_id"])


def test_bad_inputs_are_refused(pairs):
    with pytest.raises(ValueError, match="class 'nobody'"):
        ensure_instances(pairs, texts(("nobody", "x")))
    with pytest.raises(ValueError, match="test_share 0"):
        ensure_instances(pairs, test_share=0)
    with pytest.raises(ValueError, match="no class can be used"):
        ensure_instances(pairs, texts((pairs.all["recipe_id"].iloc[0], "one text alone")))


def small_cars() -> Cars:
    rows = [
        (f"cars_{split}/{n:05}.jpg", split, c, name, make, model, body, "2012", 0, 0, 9, 9)
        for split, numbers in (("train", (1, 2)), ("test", (1, 2, 3)))
        for c, (name, make, model, body) in enumerate(
            [
                ("Acura TL Sedan 2012", "Acura", "TL", "Sedan"),
                ("Acura ZDX 2012", "Acura", "ZDX", ""),
            ],
            start=1,
        )
        for n in (10 * c + i for i in numbers)
    ]
    return Cars(pd.DataFrame(rows, columns=list(COLUMNS)), ("a", "b"), ())


def test_stanford_cars_keep_their_own_split():
    first, second = car_recipes(small_cars())
    assert first.recipe_id == "car-001"
    assert first.images[0].startswith("cars_train/")
    assert first.images[2].startswith("cars_test/")
    assert first.attributes["test_from"] == "2"
    assert "body" not in second.attributes


def test_a_source_that_is_no_folder_of_cars_is_left_alone(tmp_path):
    assert source_of_cars("world:garage") == "world:garage"
    assert source_of_cars(str(tmp_path)) == str(tmp_path)
    assert list(tmp_path.iterdir()) == []
