"""Sources of triplets: the drawn world, cars to test on, and folders of a benchmark."""

import json

import numpy as np
import pytest
from PIL import Image

from helpers.first.data.composed_sources import open_composed, split_groups, take
from helpers.topics.cir.triplets import Triplet, TripletError, TripletSet

COUNTS = {"train": 4, "validation": 3, "test": 2}
ALL = {"train": 0, "validation": 2, "test": 0}


def test_the_world_gives_three_sets_that_share_no_reference():
    found = open_composed("world:kitchen", counts=COUNTS)
    assert {name: len(one.triplets) for name, one in found.sets.items()} == COUNTS
    references = [t.reference for one in found.sets.values() for t in one.triplets]
    assert len(set(references)) == 9
    name = references[0]
    assert found.load_image(name) is found.load_image(name)  # drawn once
    assert found.image_hash(name) != found.image_hash(references[1])
    assert found.truth.shown[name].attributes["dish"]


def test_the_same_picture_has_the_same_hash_whatever_stands_around_it():
    one = open_composed("world:kitchen", counts=COUNTS)
    two = open_composed("world:kitchen", counts=COUNTS)
    name = one.sets["test"].triplets[0].reference
    assert one.image_hash(name) == two.image_hash(name)
    assert one.fingerprint == two.fingerprint
    other = open_composed("world:kitchen", counts=COUNTS, seed=1)
    assert one.fingerprint != other.fingerprint


def test_cars_are_a_test_set_alone():
    found = open_composed("world:garage", counts={"test": 3})
    assert list(found.sets) == ["test"]
    assert len(found.sets["test"].gallery) == 9


def test_circo_is_a_test_set_alone(tmp_path):
    coco = tmp_path / "COCO2017_unlabeled"
    (coco / "unlabeled2017").mkdir(parents=True)
    (coco / "annotations").mkdir()
    (tmp_path / "annotations").mkdir()
    images = [{"id": n, "file_name": f"{n:012d}.jpg"} for n in (5, 6, 7)]
    for image in images:
        Image.new("RGB", (8, 8), "gray").save(coco / "unlabeled2017" / image["file_name"])
    query = {"id": 0, "reference_img_id": 5, "target_img_id": 6, "gt_img_ids": [6, 7],
             "relative_caption": "is on a table", "shared_concept": "a cat"}  # fmt: skip
    (tmp_path / "annotations" / "val.json").write_text(json.dumps([query]))
    (coco / "annotations" / "image_info_unlabeled2017.json").write_text(
        json.dumps({"images": images})
    )
    found = open_composed(f"circo:{tmp_path}", counts={"test": 9})
    assert list(found.sets) == ["test"]
    assert found.sets["test"].triplets[0].targets == ("6", "7")
    assert found.load_image("6").size == (8, 8)
    with pytest.raises(TripletError, match=r"no training triplets.*-p transfer=circo:"):
        open_composed(f"circo:{tmp_path}", counts=COUNTS)
    with pytest.raises(TripletError, match="CIRCO has no categories"):
        open_composed(f"circo:{tmp_path}#dress", counts={"test": 9})


@pytest.mark.parametrize("source", ["kitchen", "world:", "shop:x", "fashioniq:#dress"])
def test_an_unknown_source_is_named(source):
    with pytest.raises(TripletError, match="unknown source of triplets"):
        open_composed(source, counts=COUNTS)


def test_in_the_place_of_recipes_the_kitchen_is_opened_and_that_is_said(tmp_path):
    (tmp_path / "recipes.jsonl").write_text("{}")
    drawn = open_composed("world:kitchen", counts=COUNTS)
    for source in (tmp_path, tmp_path / "recipes.jsonl", "world:general?px=64"):
        found = open_composed(str(source), counts=COUNTS)
        assert found.left_out.startswith(f"{source} has no triplets: ")
        assert (found.name, found.fingerprint) == (drawn.name, drawn.fingerprint)
    assert drawn.left_out == ""


def test_the_world_has_to_be_told_how_many():
    with pytest.raises(TripletError, match="draws as many triplets"):
        open_composed("world:kitchen", counts={"train": 3, "validation": 0, "test": 1})


@pytest.fixture
def clothes(tmp_path):
    """A FashionIQ of one category: six triplets to train on and two to validate."""
    (tmp_path / "images").mkdir()
    for split, n in (("train", 6), ("val", 2)):
        names = [f"{split}{i}" for i in range(2 * n)]
        entries = [
            {"candidate": names[2 * i], "target": names[2 * i + 1], "captions": ["is red", "long"]}
            for i in range(n)
        ]
        (tmp_path / f"cap.dress.{split}.json").write_text(json.dumps(entries))
        (tmp_path / f"split.dress.{split}.json").write_text(json.dumps(names))
        for i, name in enumerate(names):
            Image.new("RGB", (20, 30), (10 * i, 5, 9)).save(tmp_path / "images" / f"{name}.png")
    return tmp_path


def test_a_folder_gives_validation_a_part_of_train(clothes):
    counts = {"train": 0, "validation": 2, "test": 0}
    found = open_composed(f"fashioniq:{clothes}#dress", counts=counts, image_px=16)
    sizes = {name: len(one.triplets) for name, one in found.sets.items()}
    assert sizes == {"train": 4, "validation": 2, "test": 2}
    kept = {t.pair_id for t in found.sets["train"].triplets}
    assert kept.isdisjoint(t.pair_id for t in found.sets["validation"].triplets)
    assert found.load_image("train0").size == (16, 16)
    assert found.image_hash("train0") != found.image_hash("train1")
    assert found.truth is None
    assert found.sets["test"].triplets[0].caption == "is red and long"


def test_a_whole_folder_leaves_nothing_out(clothes):
    found = open_composed(f"fashioniq:{clothes}#dress", counts=ALL)
    assert found.left_out == ""
    assert all(one.rejects == () for one in found.sets.values())
    assert [len(one.gallery) for one in found.sets.values()] == [12, 12, 4]
    assert found.name == "FashionIQ dress"


def test_what_has_no_picture_is_left_out_of_every_set(clothes):
    (clothes / "images" / "val1.png").unlink()
    (clothes / "images" / "train4.png").write_bytes(b"")
    found = open_composed(f"fashioniq:{clothes}#dress", counts=ALL)
    assert [t.pair_id for t in found.sets["test"].triplets] == ["dress-val-00002"]
    assert found.sets["test"].gallery == ("val0", "val2", "val3")
    used = [t for name in ("train", "validation") for t in found.sets[name].triplets]
    assert "dress-train-00003" not in {t.pair_id for t in used}
    assert len(used) == 5
    assert found.left_out == (
        "Left out, as pictures are missing or broken: of train and validation 1 of 6 triplets and "
        "1 of 12 pictures of its gallery; of test 1 of 2 triplets and 1 of 4 pictures of its "
        "gallery. Numbers on an incomplete gallery cannot be compared with published ones."
    )


def test_a_folder_without_pictures_is_refused(clothes):
    (clothes / "images").rename(clothes / "pictures")
    wanted = r"none of 6 triplets .* there is no folder .*images; the first is dress-train-00001"
    with pytest.raises(TripletError, match=wanted):
        open_composed(f"fashioniq:{clothes}#dress", counts=ALL)


def test_a_picture_that_breaks_within_is_named_with_the_remedy(clothes):
    place = clothes / "images" / "val1.png"
    whole = place.read_bytes()
    place.write_bytes(whole[:45] + b"\0" * 12 + whole[57:])
    found = open_composed(f"fashioniq:{clothes}#dress", counts=ALL)
    assert found.left_out == ""
    with pytest.raises(TripletError, match=r"val1\.png cannot be read: .*delete it"):
        found.load_image("val1")


def test_the_fingerprint_follows_the_pictures(clothes):
    source = f"fashioniq:{clothes}#dress"
    one, two = (open_composed(source, counts=ALL).fingerprint for _ in range(2))
    assert one == two
    Image.new("RGB", (20, 30), (200, 5, 9)).save(clothes / "images" / "val1.png")
    assert open_composed(source, counts=ALL).fingerprint != one


def test_what_is_not_asked_for_needs_no_truth(clothes):
    found = open_composed(f"fashioniq:{clothes}#dress", counts=ALL)
    one = found.sets["test"].triplets[0]
    assert found.unlike(one) == one.reference
    assert found.unlike(Triplet("p", "r", ("t",), "text", subset=("t", "s"))) == "s"
    assert "hit@10 by change" in found.unknown("hit@10 by change")
    drawn = open_composed("world:kitchen", counts=COUNTS)
    name = drawn.unlike(drawn.sets["test"].triplets[0])
    assert name in drawn.truth.shown


def test_a_misspelt_category_is_named_with_those_that_are(clothes):
    wanted = rf"{clothes}#dres: FashionIQ has no 'dres'; end it in #dress or #shirt or #toptee"
    with pytest.raises(TripletError, match=wanted):
        open_composed(f"fashioniq:{clothes}#dres", counts=ALL)


def test_cirr_has_no_categories(tmp_path):
    with pytest.raises(TripletError, match="CIRR has no categories; write cirr:"):
        open_composed(f"cirr:{tmp_path}#dress", counts=ALL)


def test_a_relative_folder_is_under_the_root(clothes, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(clothes.parent))
    found = open_composed(f"fashioniq:{clothes.name}#dress", counts=ALL)
    assert len(found.sets["test"].triplets) == 2


def test_nothing_left_to_train_on_is_refused(clothes):
    with pytest.raises(TripletError, match="no triplet is left"):
        open_composed(f"fashioniq:{clothes}#dress", counts={"validation": 99})


def made(groups):
    return tuple(
        Triplet(f"p{i}", "r", ("t",), "text", group=group) for i, group in enumerate(groups)
    )


def test_groups_stay_together():
    triplets = made("aabbccdd")
    kept, aside = split_groups(triplets, 3, seed=1)
    assert len(aside) == 4
    assert {t.group for t in kept}.isdisjoint(t.group for t in aside)
    assert sorted((*kept, *aside), key=lambda t: t.pair_id) == list(triplets)


def test_a_smaller_part_lies_in_the_larger():
    whole = TripletSet("n", "train", made("abcdefgh"), ("r", "t"))
    few, more = (take(whole, n, seed=2).triplets for n in (3, 6))
    assert set(few) < set(more)
    assert take(whole, 0, seed=2) is whole
    with pytest.raises(ValueError, match="9 triplets are asked for and there are 8"):
        take(whole, 9, seed=2)
    assert np.array_equal([t.pair_id for t in few], sorted(t.pair_id for t in few))
