"""What is left out of a set for want of pictures, and that it is all named."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.first.data.present_pictures import (
    LeftOut,
    find_pictures,
    keep_pictured,
    left_out,
    left_out_sentence,
)
from helpers.topics.cir.triplets import Triplet, TripletError, collect


def small(**options):
    """Two queries over four pictures."""
    return collect(
        [Triplet("1", "a", ("b",), "more"), Triplet("2", "c", ("a",), "less")],
        ["a", "b", "c", "d"],
        name="small",
        split="val",
        files={name: f"{name}.png" for name in "abcd"},
        **options,
    )


def draw(folder, names, ending="png"):
    for name in names:
        Image.new("RGB", (6, 9), (200, 5, 9)).save(folder / f"{name}.{ending}")


def counted(found):
    """Triplets, rejected ones, gallery, rejected pictures."""
    kinds = [one.kind for one in found.rejects]
    return len(found.triplets), kinds.count("record"), len(found.gallery), kinds.count("image")


def test_where_all_are_there_the_set_stays_as_it_is(tmp_path):
    draw(tmp_path, "abcd")
    assert keep_pictured(small(), tmp_path) == small()


def test_a_picture_takes_its_triplet_along_and_both_are_named(tmp_path):
    draw(tmp_path, "acd")
    found = keep_pictured(small(), tmp_path)
    assert [one.pair_id for one in found.triplets] == ["2"]
    assert found.gallery == ("a", "c", "d")
    assert [(r.item, r.kind, r.reason) for r in found.rejects] == [
        ("1", "record", "the target's picture b.png is not there"),
        ("b", "image", "picture b.png is not there"),
    ]
    assert found.positives() == [[0]]
    assert left_out(small(), found, "val") == LeftOut("val", 1, 2, 1, 4)


def test_a_picture_that_nobody_asks_for_leaves_the_gallery_alone(tmp_path):
    draw(tmp_path, "abc")
    found = keep_pictured(small(), tmp_path)
    assert counted(found) == (2, 0, 3, 1)


def test_a_lost_reference_is_named_first(tmp_path):
    draw(tmp_path, "ab")
    found = keep_pictured(small(), tmp_path)
    assert found.rejects[0].reason == "the reference's picture c.png is not there"


def test_a_triplet_with_another_target_stays(tmp_path):
    draw(tmp_path, ("a", "b", "d"))
    query = Triplet("1", "a", ("b", "c"), "more")
    files = {name: f"{name}.png" for name in "abcd"}
    whole = collect([query], list("abcd"), name="n", split="val", files=files)
    assert keep_pictured(whole, tmp_path).triplets[0].targets == ("b",)


def test_a_subset_loses_its_picture_and_says_so(tmp_path):
    draw(tmp_path, "abc")
    query = Triplet("1", "a", ("b",), "more", subset=("b", "c", "d"))
    files = {name: f"{name}.png" for name in "abcd"}
    whole = collect([query], list("abcd"), name="n", split="val", files=files)
    found = keep_pictured(whole, tmp_path)
    assert found.triplets[0].subset == ("b", "c")
    notes = [(r.item, r.reason) for r in found.rejects if r.kind == "field"]
    assert notes == [("1", "1 of 3 pictures of the subset cannot be used")]


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "webp"])
def test_another_ending_is_found(tmp_path, ending):
    draw(tmp_path, "abc")
    draw(tmp_path, "d", ending)
    found = keep_pictured(small(), tmp_path)
    assert (found.rejects, found.files["d"]) == ((), f"d.{ending}")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "zero bytes"),
        (b"<html>404</html>", "page of text"),
        ("half", "truncated or broken PNG"),
        ("half a jpeg", "truncated or broken JPEG"),
    ],
)
def test_a_broken_picture_is_a_missing_one(tmp_path, content, reason):
    draw(tmp_path, "abcd")
    if isinstance(content, str):
        place = tmp_path / "whole"
        kind = "JPEG" if content.endswith("jpeg") else "PNG"
        Image.effect_noise((60, 60), 50).save(place, format=kind)
        content = place.read_bytes()[: place.stat().st_size // 2]
    (tmp_path / "d.png").write_bytes(content)
    found = keep_pictured(small(), tmp_path)
    assert counted(found) == (2, 0, 3, 1)
    said = found.rejects[0].reason
    assert said.startswith("picture d.png cannot be read: ")
    assert reason in said


def test_bytes_after_the_end_are_no_fault(tmp_path):
    draw(tmp_path, "abcd")
    with (tmp_path / "d.png").open("ab") as stream:
        stream.write(b"\n\n")
    assert find_pictures(small(), tmp_path)[1] == {}


def test_nothing_left_names_folder_and_first_pair(tmp_path):
    draw(tmp_path, "bc")
    with pytest.raises(TripletError, match=rf"small val: none of 2 .* in {tmp_path}; .* 1: the"):
        keep_pictured(small(), tmp_path)
    nowhere = tmp_path / "images"
    with pytest.raises(TripletError, match=rf"there is no folder {nowhere}; .*data/README\.md"):
        keep_pictured(small(), nowhere)


def test_nothing_is_said_of_a_whole_set():
    assert left_out_sentence([LeftOut("test", 0, 9, 0, 20)]) == ""
    said = left_out_sentence([LeftOut("train", 0, 9, 0, 20), LeftOut("test", 0, 5, 3, 8)])
    assert "of train 0 of 9 triplets" in said
    assert "of test 0 of 5 triplets and 3 of 8 pictures" in said


@settings(max_examples=30, deadline=None)
@given(there=st.sets(st.sampled_from("abcd")).filter(lambda s: {"a", "b"} <= s or {"a", "c"} <= s))
def test_the_counts_reconcile_whatever_is_missing(there):
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), there)
        found = keep_pictured(small(), folder)
    triplets, rejected, gallery, gone = counted(found)
    assert triplets + rejected == found.n_read == 2
    assert gallery + gone == 4
    assert set(found.gallery) == there
    assert all({t.reference, *t.targets} <= there for t in found.triplets)
