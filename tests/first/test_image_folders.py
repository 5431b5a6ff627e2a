"""Two folders of images: what is read, what is refused and named, what is a pair."""

import os

import numpy as np
import pytest
from PIL import Image

from helpers import paths
from helpers.data import images
from helpers.first.data.image_folders import open_folder_pair, open_image_folder
from tests.data.damage import saved


def noise(seed: int, side: int = 24) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def filled(folder, names, *, start=0):
    for i, name in enumerate(names):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(saved(noise(start + i), "PNG"))
    return folder


def reasons(opened) -> dict[str, str]:
    return {reject.item: reject.reason for reject in opened.rejects}


def test_images_come_in_the_order_of_their_stems_at_any_depth(tmp_path):
    opened = open_image_folder(filled(tmp_path, ["b.png", "a/2.png", "a/1.PNG"]))
    assert opened.stems == ("a/1", "a/2", "b")
    assert (opened.n_files, opened.rejects) == (3, ())
    assert np.array_equal(np.asarray(opened.images[2]), np.asarray(noise(0)))


def test_every_file_is_either_an_image_or_a_named_reject(tmp_path):
    folder = filled(tmp_path, ["good.png", "same.png"])
    (folder / "same.jpg").write_bytes(saved(noise(5), "JPEG"))
    (folder / "notes.txt").write_text("not mine")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "cut.png").write_bytes(saved(noise(6), "PNG")[:300])
    (folder / "page.jpg").write_text("<html>")
    (folder / "white.png").write_bytes(saved(Image.new("RGB", (9, 9), "white"), "PNG"))
    opened = open_image_folder(folder)
    assert opened.n_files == 8 == len(opened.images) + len(opened.rejects)
    said = reasons(opened)
    assert "no picture's" in said["notes.txt"]
    assert said["empty.jpg"] == "zero bytes"
    assert "truncated or broken" in said["cut.png"]
    assert "HTML" in said["page.jpg"]
    assert "one color" in said["white.png"]
    assert said["same.png"] == "same.jpg has the same stem"


def test_a_link_out_of_the_folder_is_refused_and_hidden_files_are_no_files(tmp_path):
    outside = filled(tmp_path / "outside", ["secret.png"])
    folder = filled(tmp_path / "in", ["a.png", ".hidden.png"])
    (folder / "link.png").symlink_to(outside / "secret.png")
    opened = open_image_folder(folder)
    assert opened.stems == ("a",)
    assert opened.n_files == 2
    assert "leads out" in reasons(opened)["link.png"]


def test_a_pipe_and_a_huge_file_are_refused_unread(tmp_path, monkeypatch):
    folder = filled(tmp_path, ["a.png", "b.png"])
    os.mkfifo(folder / "pipe.png")
    monkeypatch.setattr(images, "MAX_BYTES", (folder / "a.png").stat().st_size)
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes() + b"x" * 99)
    said = reasons(open_image_folder(folder))
    assert said["pipe.png"] == "no regular file"
    assert "more than" in said["b.png"]


def test_a_sample_is_the_same_for_a_seed_and_grows_into_the_larger_one(tmp_path):
    folder = filled(tmp_path, [f"{i:02}.png" for i in range(30)])
    few, again, more = (open_image_folder(folder, max_images=n, seed=3) for n in (5, 5, 12))
    assert few.stems == again.stems
    assert set(few.stems) < set(more.stems)
    assert few.fingerprint == again.fingerprint != more.fingerprint
    assert open_image_folder(folder, max_images=5, seed=4).stems != few.stems


def test_bad_images_do_not_shrink_a_sample(tmp_path):
    folder = filled(tmp_path, [f"{i}.png" for i in range(8)])
    for i in range(5):
        (folder / f"{i}.png").write_bytes(b"broken")
    assert open_image_folder(folder, max_images=3).stems == ("5", "6", "7")


def test_the_fingerprint_follows_bytes_names_and_size(tmp_path):
    folder = filled(tmp_path, ["a.png", "b.png"])
    before = open_image_folder(folder).fingerprint
    assert open_image_folder(folder, image_px=16).fingerprint != before
    (folder / "b.png").rename(folder / "c.png")
    renamed = open_image_folder(folder).fingerprint
    (folder / "c.png").write_bytes(saved(noise(9), "PNG"))
    assert len({before, renamed, open_image_folder(folder).fingerprint}) == 3


@pytest.mark.parametrize("max_images", [-1])
def test_a_negative_count_is_refused(tmp_path, max_images):
    with pytest.raises(ValueError, match="max_images is -1"):
        open_image_folder(tmp_path, max_images=max_images)


def test_a_missing_folder_and_one_without_images_are_errors_that_say_so(tmp_path):
    with pytest.raises(ValueError, match="no folder nowhere"):
        open_image_folder("nowhere")
    with pytest.raises(ValueError, match="no usable image below"):
        open_image_folder(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"first of 1 refused: a.jpg: zero bytes"):
        open_image_folder(tmp_path)


def test_a_relative_folder_is_found_under_the_root(tmp_path, monkeypatch):
    filled(tmp_path / "photos", ["a.png"])
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    assert open_image_folder("photos").stems == ("a",)


def test_equal_stems_make_pairs_whatever_the_ending(tmp_path):
    a = filled(tmp_path / "a", ["1.png", "2.png", "3.png", "x.png"])
    b = filled(tmp_path / "b", ["3.png", "1.png", "2.png"], start=50)
    (b / "1.png").rename(b / "1.webp")
    pair = open_folder_pair(a, b)
    assert pair.paired
    assert pair.a.stems == pair.b.stems == ("1", "2", "3") == pair.groups_a == pair.groups_b
    assert reasons(pair.a) == {"x.png": f"no twin in {b}"}
    assert np.array_equal(np.asarray(pair.b.images[2]), np.asarray(noise(50)))


def test_a_bad_twin_takes_its_pair_away_and_the_sample_stays_full(tmp_path):
    names = [f"{i}.png" for i in range(6)]
    a, b = filled(tmp_path / "a", names), filled(tmp_path / "b", names, start=50)
    for i in range(4):
        (b / f"{i}.png").write_bytes(b"broken")
    pair = open_folder_pair(a, b, max_images=2)
    assert pair.a.stems == pair.b.stems == ("4", "5")
    assert {"0.png", "1.png", "2.png", "3.png"} >= set(reasons(pair.b))
    assert open_folder_pair(a, b).a.stems == ("4", "5")


def test_few_equal_stems_are_chance_and_no_pairs(tmp_path):
    a = filled(tmp_path / "a", ["1.png", "a.png", "b.png"])
    b = filled(tmp_path / "b", ["1.png", "c.png", "d.png"], start=50)
    pair = open_folder_pair(a, b)
    assert not pair.paired
    assert len(pair.a.images) == len(pair.b.images) == 3
    assert not set(pair.groups_a) & set(pair.groups_b)


def test_px_is_the_smallest_side_of_all(tmp_path):
    a, b = filled(tmp_path / "a", ["1.png"]), filled(tmp_path / "b", ["2.png"])
    (b / "2.png").write_bytes(saved(noise(1, side=17), "PNG"))
    assert open_folder_pair(a, b).px == 17
    assert open_folder_pair(a, b, image_px=10).px == 10


def test_pairs_without_two_good_images_are_an_error(tmp_path):
    a, b = filled(tmp_path / "a", ["1.png"]), filled(tmp_path / "b", ["1.png"])
    (b / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match="no usable image"):
        open_folder_pair(a, b)
