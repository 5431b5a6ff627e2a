"""Sources of triplets: the real annotations, files that are wrong in some way, drawn ones."""

import json

import pytest
from PIL import Image

from helpers.topics.cir import benchmarks
from helpers.topics.cir.benchmarks import (
    CATEGORIES,
    keep_pictured,
    left_out,
    open_triplets,
    read_circo,
    read_cirr,
)
from helpers.topics.cir.benchmarks import read_fashioniq as read_clothes
from helpers.topics.cir.triplets import Triplet, TripletError, collect, split_groups, take

QUERIES = {"dress": 2017, "shirt": 2038, "toptee": 1961}
GALLERY = {"dress": 3817, "shirt": 6346, "toptee": 5373}
COUNTS = {"train": 4, "validation": 3, "test": 2}
ALL = {"train": 0, "validation": 2, "test": 0}


@pytest.mark.parametrize("category", CATEGORIES)
def test_fashioniq_has_the_published_counts(category, fashioniq):
    found = read_clothes(fashioniq, category=category)
    assert (len(found.triplets), len(found.gallery)) == (QUERIES[category], GALLERY[category])
    assert found.n_read == QUERIES[category]
    assert set(found.excluded()) == {-1}


def test_empty_captions_of_fashioniq_are_named_and_their_query_kept(fashioniq):
    found = {c: read_clothes(fashioniq, category=c) for c in CATEGORIES}
    notes = [(r.item, r.kind) for f in found.values() for r in f.rejects]
    assert notes == [
        ("shirt-val-01929", "field"), ("toptee-val-00677", "field"), ("toptee-val-01077", "field"),
    ]  # fmt: skip
    first = found["dress"].triplets[0]
    assert first.caption == "is shiny and silver with shorter sleeves and fit and flare"
    assert (first.reference, first.targets) == ("B005X4PL1G", ("B0084Y8XIU",))


def test_cirr_has_the_published_counts(cirr):
    val, test = read_cirr(cirr), read_cirr(cirr, split="test1")
    assert (len(val.triplets), len(val.gallery), val.rejects) == (4181, 2297, ())
    assert (len(test.triplets), len(test.gallery)) == (4148, 2315)
    assert {len(t.subset) for t in (*val.triplets, *test.triplets)} == {5}
    assert all(t.reference not in t.subset for t in val.triplets)
    assert [(r.item, r.kind) for r in test.rejects] == [("27098", "field")]
    assert -1 not in val.excluded()
    with pytest.raises(TripletError, match="targets of 4148 queries are not public"):
        test.positives()


def write(folder, files):
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def pair(number, **changes):
    members = ["a", "b", "c", "d", "e", "f"]
    entry = {
        "pairid": number, "reference": "a", "target_hard": "b", "target_soft": {"b": 1.0},
        "caption": "show two dogs", "img_set": {"id": 3, "members": members},
    }  # fmt: skip
    return entry | changes


def cirr_folder(folder, entries):
    images = {name: f"./dev/{name}.png" for name in "abcdefg"}
    return write(
        folder,
        {"captions/cap.rc2.val.json": entries, "image_splits/split.rc2.val.json": images},
    )


def test_the_release_folders_of_cirr_are_found(tmp_path):
    found = read_cirr(cirr_folder(tmp_path, [pair(12)]))
    (query,) = found.triplets
    assert query == Triplet("12", "a", ("b",), "show two dogs", ("b", "c", "d", "e", "f"), "3")
    assert (found.gallery, found.files["a"]) == (tuple("abcdefg"), "dev/a.png")
    assert found.excluded() == [0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pairid": "13"}, "pairid is a string, not a number"),
        ({"reference": "z"}, "subset is without the reference"),
        ({"target_hard": "g"}, "subset is without the target"),
        ({"caption": None}, "caption is null"),
        ({"img_set": []}, "img_set is a list"),
        ({"img_set": {"members": ["a", "b", "x"]}}, "subset image 'x' is not among the images"),
        ({"pairid": 12}, "this pair id was there before"),
    ],
)
def test_a_bad_pair_is_reported_by_its_id(tmp_path, changes, reason):
    found = read_cirr(cirr_folder(tmp_path, [pair(12), pair(13, **changes), "pair", pair(14)]))
    assert [t.pair_id for t in found.triplets] == ["12", "14"]
    first, second = sorted(found.rejects, key=lambda one: "object" in one.reason)
    assert reason in first.reason
    assert first.item == str(changes.get("pairid", 13))
    assert second.reason == "the entry is a string, not an object"
    assert found.n_read == 4 == len(found.triplets) + 2


def test_files_that_are_missing_or_broken_are_named(tmp_path):
    with pytest.raises(TripletError, match=r"cap.rc2.val.json is not in .*captions/ below it"):
        read_cirr(tmp_path)
    with pytest.raises(TripletError, match=r"there is no folder .*nowhere to read cap.rc2.val"):
        read_cirr(tmp_path / "nowhere")
    write(tmp_path, {"cap.rc2.val.json": "[{", "split.rc2.val.json": {}})
    with pytest.raises(TripletError, match=r"cap.rc2.val.json is not JSON"):
        read_cirr(tmp_path)
    write(tmp_path, {"cap.rc2.val.json": {}})
    with pytest.raises(TripletError, match="holds an object, not a list"):
        read_cirr(tmp_path)
    write(tmp_path, {"cap.rc2.val.json": [pair(1)]})
    with pytest.raises(TripletError, match=r"no query can be used of 1 \(the first reason: ref"):
        read_cirr(tmp_path)


def entry(target="t1", candidate="c1", captions=("is red.", "has sleeves"), **more):
    return {"target": target, "candidate": candidate, "captions": list(captions), **more}


def clothes_folder(folder, entries, images=("t1", "c1", "x")):
    files = {"cap.dress.val.json": entries, "split.dress.val.json": list(images)}
    return write(folder, files)


def test_captions_of_fashioniq_are_joined_and_empty_ones_named(tmp_path):
    found = read_clothes(clothes_folder(tmp_path, [entry(), entry(captions=["", " "])]))
    assert [t.caption for t in found.triplets] == ["is red and has sleeves", ""]
    assert [r.reason.split(",")[0].split(";")[0] for r in found.rejects] == [
        "caption 1 is empty", "caption 2 is empty", "the caption is empty",
    ]  # fmt: skip
    with pytest.raises(TripletError, match="category is 'Dress': use one of"):
        read_clothes(tmp_path, category="Dress")


def test_a_target_outside_the_gallery_is_reported(tmp_path):
    found = read_clothes(clothes_folder(tmp_path, [entry(), entry(target="t9")]))
    assert [(r.item, r.reason) for r in found.rejects] == [
        ("dress-val-00002", "target 't9' is not in the gallery")
    ]
    with pytest.raises(TripletError, match="names image 't1' twice"):
        read_clothes(clothes_folder(tmp_path, [entry()], images=("t1", "c1", "t1")))


def circo_folder(folder):
    coco = folder / "COCO2017_unlabeled"
    images = [{"id": n, "file_name": f"{n:012d}.jpg"} for n in (5, 6, 7)]
    (coco / "unlabeled2017").mkdir(parents=True)
    for image in images:
        Image.new("RGB", (8, 8), "gray").save(coco / "unlabeled2017" / image["file_name"])
    queries = [
        {"id": 0, "reference_img_id": 5, "target_img_id": 6, "gt_img_ids": [6, 7],
         "relative_caption": "is on a table", "shared_concept": "a cat"},
        {"id": 1, "reference_img_id": 5, "target_img_id": 9, "gt_img_ids": [9],
         "relative_caption": "is asleep", "shared_concept": "a cat"},
    ]  # fmt: skip
    listed = "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json"
    return write(folder, {"annotations/val.json": queries, listed: {"images": images}})


def test_circo_has_several_targets_and_is_a_test_alone(tmp_path):
    found = read_circo(circo_folder(tmp_path))
    assert [(t.pair_id, t.targets) for t in found.triplets] == [("0", ("6", "7"))]
    assert (found.positives(), found.excluded()) == ([[1, 2]], [-1])
    assert [r.item for r in found.rejects] == ["1"]
    source = open_triplets(f"circo:{tmp_path}", counts={"test": 0})
    assert list(source.sets) == ["test"]
    assert source.load_image("6").size == (8, 8)
    with pytest.raises(TripletError, match=r"no training triplets.*-p transfer=circo:"):
        open_triplets(f"circo:{tmp_path}", counts=COUNTS)
    with pytest.raises(TripletError, match="CIRCO has no categories"):
        open_triplets(f"circo:{tmp_path}#dress", counts={"test": 9})
    info = "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json"
    write(tmp_path, {info: {"images": [{"id": 5}]}})
    with pytest.raises(TripletError, match="objects with id and file_name"):
        read_circo(tmp_path)


@pytest.fixture
def clothes(tmp_path, monkeypatch):
    """A FashionIQ of two categories: six triplets to train on and two to test, of each."""
    monkeypatch.setattr(benchmarks, "IMAGE_PX", 16)
    monkeypatch.setattr(benchmarks, "CATEGORIES", ("dress", "shirt"))
    (tmp_path / "images").mkdir()
    for category in ("dress", "shirt"):
        for split, n in (("train", 6), ("val", 2)):
            names = [f"{split}{i}" + "s" * (category == "shirt") for i in range(2 * n)]
            entries = [
                entry(names[2 * i + 1], names[2 * i], captions=["is red", "long"]) for i in range(n)
            ]
            files = {"cap": entries, "split": names}
            write(tmp_path, {f"{k}.{category}.{split}.json": v for k, v in files.items()})
            for i, name in enumerate(names):
                Image.new("RGB", (20, 30), (10 * i, 5, 9)).save(tmp_path / "images" / f"{name}.png")
    return tmp_path


def test_a_folder_gives_validation_and_pool_a_part_of_train(clothes):
    counts = {"train": 3, "pool": 0, "validation": 2, "test": 0}
    found = open_triplets(f"fashioniq:{clothes}#dress", counts=counts)
    sizes = {part: len(found.triplets(part)) for part in found.sets}
    assert sizes == {"train": 3, "validation": 2, "pool": 1, "test": 2}
    used = [t.pair_id for part in ("train", "validation", "pool") for t in found.triplets(part)]
    assert len(set(used)) == 6
    assert found.load_image("train0").size == (16, 16)
    assert found.image_hash("train0") != found.image_hash("train1")
    assert (found.truth, found.left_out, found.name) == (None, "", "FashionIQ dress")
    one = found.triplets("test")[0]
    assert (one.caption, found.unlike(one)) == ("is red and long", one.reference)
    assert "hit@10 by change" in found.unknown("hit@10 by change")


def test_all_categories_are_a_gallery_each(clothes):
    found = open_triplets(f"fashioniq:{clothes}", counts=ALL)
    assert [one.name for one in found.sets["test"]] == ["FashionIQ dress", "FashionIQ shirt"]
    assert [len(one.gallery) for one in found.sets["test"]] == [4, 4]
    assert (found.name, len(found.triplets("train"))) == ("FashionIQ", 10)
    assert len(found.names()) == 32


def test_what_has_no_image_is_left_out_of_every_set(clothes):
    (clothes / "images" / "val1.png").unlink()
    (clothes / "images" / "train4.png").write_bytes(b"")
    found = open_triplets(f"fashioniq:{clothes}#dress", counts=ALL)
    assert [t.pair_id for t in found.triplets("test")] == ["dress-val-00002"]
    assert found.sets["test"][0].gallery == ("val0", "val2", "val3")
    used = [t.pair_id for part in ("train", "validation") for t in found.triplets(part)]
    assert "dress-train-00003" not in used
    assert len(used) == 5
    assert found.left_out == (
        "Left out, as images are missing or broken: of train and validation 1 of 6 triplets and "
        "1 of 12 images of its gallery; of test 1 of 2 triplets and 1 of 4 images of its gallery. "
        "Numbers on an incomplete gallery cannot be compared with published ones."
    )


def test_faulty_folders_are_refused_by_name(clothes, tmp_path):
    source = f"fashioniq:{clothes}#dress"
    place = clothes / "images" / "val1.png"
    whole = place.read_bytes()
    place.write_bytes(whole[:45] + b"\0" * 12 + whole[57:])
    found = open_triplets(source, counts=ALL)
    with pytest.raises(TripletError, match=r"val1\.png cannot be read: .*delete it"):
        found.load_image("val1")
    with pytest.raises(TripletError, match="no triplet is left to train on"):
        open_triplets(source, counts=ALL | {"validation": 99})
    with pytest.raises(TripletError, match=r"#dres: FashionIQ has no 'dres'; end it in #dress or"):
        open_triplets(f"fashioniq:{clothes}#dres", counts=ALL)
    with pytest.raises(TripletError, match="CIRR has no categories; write cirr:"):
        open_triplets(f"cirr:{clothes}#dress", counts=ALL)
    (clothes / "images").rename(clothes / "pictures")
    wanted = r"none of 6 triplets .* there is no folder .*images; the first is dress-train-00001"
    with pytest.raises(TripletError, match=wanted):
        open_triplets(source, counts=ALL)


def test_a_relative_folder_is_under_the_root(clothes, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(clothes.parent))
    found = open_triplets(f"fashioniq:{clothes.name}#dress", counts={"test": 0})
    assert len(found.triplets("test")) == 2


def small():
    """Two queries over four images."""
    queries = [Triplet("1", "a", ("b",), "more"), Triplet("2", "c", ("a",), "less")]
    files = {name: f"{name}.png" for name in "abcd"}
    return collect(queries, list("abcd"), name="small", split="val", files=files)


def save(folder, names, ending="png"):
    for name in names:
        Image.new("RGB", (6, 9), (200, 5, 9)).save(folder / f"{name}.{ending}")


def test_an_image_takes_its_triplet_along_and_both_are_named(tmp_path):
    save(tmp_path, "acd")
    found = keep_pictured(small(), tmp_path)
    assert [one.pair_id for one in found.triplets] == ["2"]
    assert found.gallery == ("a", "c", "d")
    assert [(r.item, r.kind, r.reason) for r in found.rejects] == [
        ("1", "record", "the target's image b.png is not there"),
        ("b", "image", "image b.png is not there"),
    ]
    assert "of val 1 of 2 triplets and 1 of 4" in left_out({"val": small()}, {"val": found})
    save(tmp_path, "b")
    assert keep_pictured(small(), tmp_path) == small()
    assert left_out({"val": small()}, {"val": small()}) == ""


def test_other_targets_and_subsets_stay(tmp_path):
    save(tmp_path, ("a", "b", "d"))
    query = Triplet("1", "a", ("b", "c"), "more", subset=("b", "c", "d"))
    files = {name: f"{name}.png" for name in "abcd"}
    whole = collect([query], list("abcd"), name="n", split="val", files=files)
    found = keep_pictured(whole, tmp_path)
    assert (found.triplets[0].targets, found.triplets[0].subset) == (("b",), ("b", "d"))
    notes = [(r.item, r.reason) for r in found.rejects if r.kind == "field"]
    assert notes == [("1", "1 of 3 images of the subset cannot be used")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "zero bytes"),
        (b"<html>404</html>", "page of text"),
        ("half", "truncated or broken PNG"),
        ("half a jpeg", "truncated or broken JPEG"),
    ],
)
def test_a_broken_image_is_a_missing_one(tmp_path, content, reason):
    save(tmp_path, "abc")
    save(tmp_path, "d", "jpg")
    assert keep_pictured(small(), tmp_path).files["d"] == "d.jpg"  # another ending is found
    if isinstance(content, str):
        place = tmp_path / "whole"
        kind = "JPEG" if content.endswith("jpeg") else "PNG"
        Image.effect_noise((60, 60), 50).save(place, format=kind)
        content = place.read_bytes()[: place.stat().st_size // 2]
    (tmp_path / "d.png").write_bytes(content)
    found = keep_pictured(small(), tmp_path)
    assert (len(found.triplets), found.gallery) == (2, ("a", "b", "c"))
    said = found.rejects[0].reason
    assert said.startswith("image d.png cannot be read: ")
    assert reason in said


def test_drawn_parts_share_no_reference_and_fill_galleries():
    found = open_triplets("world:kitchen", counts=COUNTS | {"pool": 2, "test": 4}, gallery=2)
    assert [len(one.triplets) for one in found.sets["test"]] == [2, 2]
    references = [t.reference for part in found.sets for t in found.triplets(part)]
    assert len(set(references)) == 13
    assert len(found.names()) == 39 - 4  # training has no distractors
    name = references[0]
    assert found.load_image(name) is found.load_image(name)  # drawn once
    again = open_triplets("world:kitchen", counts={"train": 4})
    assert again.image_hash(name) == found.image_hash(name) != found.image_hash(references[1])
    assert found.unlike(found.triplets("test")[0]) in found.truth.shown


def test_a_scene_is_the_same_at_every_size():
    found = open_triplets("world:kitchen", counts={"test": 1})
    name = found.names()[0]
    large = found.load_image(name, px=128)
    assert (found.load_image(name).size, large.size) == ((64, 64), (128, 128))
    small_again = large.resize((64, 64), Image.Resampling.BOX)
    other = found.load_image(found.names()[1])

    def distance(a, b):
        return sum(abs(x - y) for x, y in zip(a.tobytes(), b.tobytes(), strict=True))

    assert distance(small_again, found.load_image(name)) < 0.5 * distance(small_again, other)


def test_cars_are_a_test_alone():
    found = open_triplets("world:garage", counts={"test": 3})
    assert (list(found.sets), len(found.sets["test"][0].gallery)) == (["test"], 9)
    assert not found.truth.reads


@pytest.mark.parametrize("source", ["kitchen", "world:", "shop:x", "fashioniq:#dress"])
def test_an_unknown_source_is_named(source):
    with pytest.raises(TripletError, match="unknown source of triplets"):
        open_triplets(source, counts=COUNTS)


def test_in_the_place_of_recipes_the_kitchen_is_opened_and_that_is_said(tmp_path):
    (tmp_path / "recipes.jsonl").write_text("{}")
    for source in (tmp_path, tmp_path / "recipes.jsonl", "world:general?px=64"):
        found = open_triplets(str(source), counts=COUNTS)
        assert found.left_out.startswith(f"{source} has no triplets: ")
        assert found.name == "world:kitchen"
    with pytest.raises(TripletError, match="draws as many triplets"):
        open_triplets("world:kitchen", counts={"train": 3, "validation": 0})


def made(groups):
    return tuple(Triplet(f"p{i}", "r", ("t",), "text", group=g) for i, g in enumerate(groups))


def test_groups_stay_together():
    triplets = made("aabbccdd")
    kept, aside = split_groups(triplets, 3, seed=1)
    assert len(aside) == 4
    assert {t.group for t in kept}.isdisjoint(t.group for t in aside)
    assert sorted((*kept, *aside), key=lambda t: t.pair_id) == list(triplets)


def test_what_is_taken_keeps_its_order():
    whole = collect(made("abcdefgh"), ["r", "t"], name="n", split="train")
    few, more = (take(whole, n, seed=2).triplets for n in (3, 6))
    assert set(few) < set(more)
    assert [t.pair_id for t in few] == sorted(t.pair_id for t in few)
    assert take(whole, 0, seed=2) is whole
    with pytest.raises(ValueError, match="9 triplets are asked for and there are 8"):
        take(whole, 9, seed=2)
