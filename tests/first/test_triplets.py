"""Benchmarks of composed retrieval: the real annotations, and files that are wrong in some way."""

import json

import numpy as np
import pytest

from helpers.first.data.composed_benchmarks import CATEGORIES, read_circo, read_cirr, read_fashioniq
from helpers.first.evaluation.composed import cirr_metrics, fashioniq_metrics, rank_subsets
from helpers.first.evaluation.metrics import chance_hit_at_k
from helpers.first.evaluation.positives import positives_from_lists
from helpers.first.evaluation.ranks import rank_positives_from_scores
from helpers.topics.cir.triplets import Triplet, TripletError
from tests.first.real_data import CIRR, FASHIONIQ, real_cirr, real_fashioniq

QUERIES = {"dress": 2017, "shirt": 2038, "toptee": 1961}
GALLERY = {"dress": 3817, "shirt": 6346, "toptee": 5373}
EASIER = {"dress": 2628, "shirt": 3089, "toptee": 2902}


def rank(triplets, scores):
    relation = positives_from_lists(triplets.positives(), n_gallery=len(triplets.gallery))
    return rank_positives_from_scores(scores, relation, exclude=np.array(triplets.excluded()))


def oracle(triplets):
    scores = np.zeros((len(triplets.triplets), len(triplets.gallery)), dtype=np.float32)
    for query, rows in enumerate(triplets.positives()):
        scores[query, rows] = 1
    return scores


@real_fashioniq
@pytest.mark.parametrize("category", CATEGORIES)
def test_fashioniq_has_the_published_counts(category):
    original = read_fashioniq(FASHIONIQ, category=category)
    assert (len(original.triplets), len(original.gallery)) == (QUERIES[category], GALLERY[category])
    assert original.n_read == QUERIES[category]
    assert set(original.excluded()) == {-1}
    easier = read_fashioniq(FASHIONIQ, category=category, gallery="VAL")
    assert (len(easier.triplets), len(easier.gallery)) == (QUERIES[category], EASIER[category])
    used = {name for t in easier.triplets for name in (t.reference, *t.targets)}
    assert set(easier.gallery) == used


@real_fashioniq
def test_empty_captions_are_named_and_their_query_kept():
    found = {c: read_fashioniq(FASHIONIQ, category=c) for c in CATEGORIES}
    notes = [(r.item, r.kind) for f in found.values() for r in f.rejects]
    assert notes == [
        ("shirt-val-01929", "field"), ("toptee-val-00677", "field"), ("toptee-val-01077", "field"),
    ]  # fmt: skip
    apart = read_fashioniq(FASHIONIQ, category="shirt", captions="separate")
    assert len(apart.triplets) == 2 * QUERIES["shirt"] - 1
    first = found["dress"].triplets[0]
    assert first.caption == "is shiny and silver with shorter sleeves and fit and flare"
    assert (first.reference, first.targets) == ("B005X4PL1G", ("B0084Y8XIU",))


@real_fashioniq
def test_perfect_random_and_tied_predictions_on_fashioniq():
    dress = read_fashioniq(FASHIONIQ, category="dress")
    assert fashioniq_metrics({"dress": rank(dress, oracle(dress))})["mean"] == 1.0
    tied = fashioniq_metrics({"dress": rank(dress, np.zeros_like(oracle(dress)))})
    assert tied["mean"] == 0.0
    scores = np.random.default_rng(1).random(oracle(dress).shape)
    relation = positives_from_lists(dress.positives(), n_gallery=len(dress.gallery))
    found = fashioniq_metrics({"dress": rank(dress, scores)})
    for k in (10, 50):
        chance = chance_hit_at_k(relation, k)
        error = np.sqrt(chance * (1 - chance) / len(dress.triplets))
        assert abs(found[f"R@{k}"] - chance) < 4 * error


@real_cirr
def test_cirr_has_the_published_counts():
    val, test = read_cirr(CIRR), read_cirr(CIRR, split="test1")
    assert (len(val.triplets), len(val.gallery), val.rejects) == (4181, 2297, ())
    assert (len(test.triplets), len(test.gallery)) == (4148, 2315)
    assert {len(t.subset) for t in (*val.triplets, *test.triplets)} == {5}
    assert all(t.reference not in t.subset for t in val.triplets)
    assert [(r.item, r.kind) for r in test.rejects] == [("27098", "field")]
    assert -1 not in val.excluded()
    with pytest.raises(TripletError, match="targets of 4148 queries are not public"):
        test.positives()


@real_cirr
def test_perfect_random_and_tied_predictions_on_cirr():
    val = read_cirr(CIRR)
    rows = val.rows()
    subsets = [[rows[name] for name in t.subset] for t in val.triplets]
    positives = val.positives()

    def metrics(scores):
        return cirr_metrics(rank(val, scores), rank_subsets(scores, subsets, positives))

    assert set(metrics(oracle(val)).values()) == {1.0}
    tied = metrics(np.zeros_like(oracle(val)))
    assert (tied["R@50"], tied["R_subset@2"], tied["R_subset@3"]) == (0.0, 0.0, 1.0)
    random = metrics(np.random.default_rng(2).random(oracle(val).shape))
    for k in (1, 2, 3):  # the target is one of five, the reference being out
        error = np.sqrt(k / 5 * (1 - k / 5) / len(val.triplets))
        assert abs(random[f"R_subset@{k}"] - k / 5) < 4 * error


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
    cirr = read_cirr(cirr_folder(tmp_path, [pair(12)]))
    (query,) = cirr.triplets
    assert query == Triplet("12", "a", ("b",), "show two dogs", ("b", "c", "d", "e", "f"), "3")
    assert (cirr.gallery, cirr.files["a"]) == (tuple("abcdefg"), "dev/a.png")
    assert cirr.exclude_reference
    assert cirr.excluded() == [0]


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
    cirr = read_cirr(cirr_folder(tmp_path, [pair(12), pair(13, **changes), pair(14)]))
    assert [t.pair_id for t in cirr.triplets] == ["12", "14"]
    (reject,) = cirr.rejects
    assert reason in reject.reason
    assert reject.item == str(changes.get("pairid", 13))
    assert cirr.n_read == 3 == len(cirr.triplets) + 1


def test_an_entry_that_is_no_object_is_reported_by_its_place(tmp_path):
    cirr = read_cirr(cirr_folder(tmp_path, [pair(12), "pair"]))
    assert [(r.item, r.reason) for r in cirr.rejects] == [
        ("2", "the entry is a string, not an object")
    ]


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


def fashioniq_folder(folder, entries, images=("t1", "c1", "x")):
    files = {"cap.dress.val.json": entries, "split.dress.val.json": list(images)}
    return write(folder, files)


def test_captions_of_fashioniq_are_joined_or_apart(tmp_path):
    folder = fashioniq_folder(tmp_path, [entry(), entry(captions=["", " "])])
    joined = read_fashioniq(folder)
    assert [t.caption for t in joined.triplets] == ["is red and has sleeves", ""]
    assert [r.reason.split(",")[0].split(";")[0] for r in joined.rejects] == [
        "caption 1 is empty", "caption 2 is empty", "the caption is empty",
    ]  # fmt: skip
    apart = read_fashioniq(folder, captions="separate")
    assert [t.pair_id for t in apart.triplets] == [
        "dress-val-00001-1", "dress-val-00001-2", "dress-val-00002",
    ]  # fmt: skip


def test_the_easier_gallery_holds_references_and_targets(tmp_path):
    folder = fashioniq_folder(tmp_path, [entry()])
    assert read_fashioniq(folder).gallery == ("t1", "c1", "x")
    assert read_fashioniq(folder, gallery="VAL").gallery == ("t1", "c1")


@pytest.mark.parametrize(
    ("option", "value"), [("category", "Dress"), ("gallery", "val"), ("captions", "both")]
)
def test_unknown_options_are_refused(tmp_path, option, value):
    with pytest.raises(TripletError, match=f"{option} is '{value}': use one of"):
        read_fashioniq(tmp_path, **{option: value})


def test_a_target_outside_the_gallery_is_reported(tmp_path):
    found = read_fashioniq(fashioniq_folder(tmp_path, [entry(), entry(target="t9")]))
    assert [(r.item, r.reason) for r in found.rejects] == [
        ("dress-val-00002", "target 't9' is not in the gallery")
    ]


def test_a_gallery_that_repeats_an_image_is_refused(tmp_path):
    with pytest.raises(TripletError, match="names image 't1' twice"):
        read_fashioniq(fashioniq_folder(tmp_path, [entry()], images=("t1", "c1", "t1")))


def test_circo_has_several_targets(tmp_path):
    images = [{"id": n, "file_name": f"{n:012d}.jpg"} for n in (5, 6, 7)]
    info = "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json"
    queries = [
        {"id": 0, "reference_img_id": 5, "target_img_id": 6, "gt_img_ids": [6, 7],
         "relative_caption": "is on a table", "shared_concept": "a cat"},
        {"id": 1, "reference_img_id": 5, "target_img_id": 9, "gt_img_ids": [9],
         "relative_caption": "is asleep", "shared_concept": "a cat"},
    ]  # fmt: skip
    write(tmp_path, {"annotations/val.json": queries, info: {"images": images}})
    circo = read_circo(tmp_path)
    assert [(t.pair_id, t.targets) for t in circo.triplets] == [("0", ("6", "7"))]
    assert circo.positives() == [[1, 2]]
    assert circo.excluded() == [-1]
    assert [r.item for r in circo.rejects] == ["1"]
    write(tmp_path, {info: {"images": [{"id": 5}]}})
    with pytest.raises(TripletError, match="objects with id and file_name"):
        read_circo(tmp_path)
