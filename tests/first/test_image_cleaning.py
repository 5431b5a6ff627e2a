"""Subsets side by side: what each holds, that only pictures differ, when they are built."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pytest

from helpers.data.images import encode_jpeg, load_image
from helpers.data.pairs import ensure_pairs, retrieval_set
from helpers.first.data.marked_sets import DrawnMarks
from helpers.first.evaluation.masks import psnr
from helpers.first.prepare.image_cleaning import (
    CLEAN,
    CLEANED,
    SUBSETS,
    WATERMARKED,
    ensure_cleaned_images,
)
from helpers.first.prepare.inpainting import OpenCVInpainter, grown
from helpers.store.artefacts import ArtefactError, verify
from helpers.store.zones import open_zone


@dataclass(frozen=True)
class Corner:
    """A detector that always finds the same corner, and counts how often it is asked."""

    asked: list
    px: int = 5
    name: str = "corner"

    @property
    def fingerprint(self):
        return f"corner {self.px}"

    def find(self, images):
        self.asked.append(len(images))
        masks = []
        for image in images:
            mask = np.zeros((image.height, image.width), bool)
            mask[: self.px, : self.px] = True
            masks.append(mask)
        return masks


@pytest.fixture
def pairs(tmp_path):
    zone = open_zone(str(tmp_path / "zone"))
    return ensure_pairs(zone, source="world:kitchen", max_recipes=8, image_px=32, progress=False)


def pixels(image):
    return np.asarray(image, float)


def test_with_true_masks_the_marks_are_known_and_gone(pairs):
    drawn = DrawnMarks(share=0.6, opacity=(0.95, 0.95))  # a faint mark can hide less than a repair
    made = ensure_cleaned_images(pairs, detector=None, drawn=drawn, progress=False)
    assert set(made.subsets) == {WATERMARKED, CLEANED, CLEAN}
    assert made.subsets[CLEAN] is pairs
    assert list(made.table["image_key"]) == list(dict.fromkeys(pairs.all["image_key"]))
    assert set(made.table["marked"]) == {"0", "1"}
    gains = []
    for row in made.table.itertuples():
        clean, marked, cleaned = (
            made.subsets[name].image(row.image_key) for name in (CLEAN, WATERMARKED, CLEANED)
        )
        truth = made.truth(row.image_key)
        assert truth.any() == (row.marked == "1")
        assert truth.mean() == pytest.approx(row.mark_share, abs=1e-6)
        assert (made.found(row.image_key) == truth).all()
        if truth.any():
            gains.append(psnr(pixels(cleaned), pixels(clean), truth)
                         - psnr(pixels(marked), pixels(clean), truth))  # fmt: skip
        else:
            again = load_image(encode_jpeg(load_image(encode_jpeg(clean))))
            assert np.abs(pixels(cleaned) - pixels(again)).max() == 0
    assert np.median(gains) > 0


def test_subsets_differ_in_pictures_and_in_nothing_else(pairs):
    made = ensure_cleaned_images(pairs, detector=Corner([]), drawn=DrawnMarks(), progress=False)
    for name, subset in made.subsets.items():
        same = ["recipe_id", "image_key", "caption", "language", "style", "split"]
        assert subset.all[same].equals(pairs.all[same])
        assert (subset.source == pairs.source) == (name == CLEAN)
        assert retrieval_set(subset.test).image_keys == retrieval_set(pairs.test).image_keys
    prints = {subset.manifest.fingerprint for subset in made.subsets.values()}
    assert len(prints) == 3
    assert made.subsets[CLEANED].source == "world:kitchen, cleaned"
    assert (made.detector, made.inpainter) == ("corner", "navier-stokes")


def test_hashes_are_those_of_the_pictures_that_are_shown(pairs):
    made = ensure_cleaned_images(pairs, detector=Corner([]), drawn=DrawnMarks(), progress=False)
    for subset in (made.subsets[WATERMARKED], made.subsets[CLEANED]):
        assert set(subset.image_hashes) == set(pairs.image_hashes)
        for key in pairs.image_hashes:
            data = pairs.zone.read_bytes(f"{subset.folder}/images/{key}")
            assert subset.image_hashes[key] == hashlib.sha256(data).hexdigest()


def test_some_pictures_alone(pairs):
    asked = []
    keys = set(pairs.test["image_key"])
    made = ensure_cleaned_images(pairs, detector=Corner(asked), drawn=DrawnMarks(), keys=keys,
                                 progress=False)  # fmt: skip
    assert asked == [len(keys)]
    for subset in made.subsets.values():
        assert list(subset.all["image_key"]) == list(pairs.test["image_key"])
        assert subset.train.empty
    assert set(made.table["image_key"]) == keys
    clean = made.subsets[CLEAN]
    assert clean.manifest.fingerprint != pairs.manifest.fingerprint
    key = next(iter(keys))
    assert (pixels(clean.image(key)) == pixels(pairs.image(key))).all()
    with pytest.raises(ValueError, match="'nobody'"):
        ensure_cleaned_images(pairs, detector=Corner([]), keys={"nobody"})


def test_a_found_mask_is_grown_and_filled_and_the_rest_is_left_alone(pairs):
    made = ensure_cleaned_images(pairs, detector=Corner([]), drawn=DrawnMarks(share=0),
                                 progress=False)  # fmt: skip
    key = made.table["image_key"][0]
    mask = made.found(key)
    assert mask.sum() == 25
    before = made.subsets[WATERMARKED].image(key)
    want = load_image(encode_jpeg(OpenCVInpainter().fill(before, mask)))
    assert (pixels(made.subsets[CLEANED].image(key)) == pixels(want)).all()
    wider = ensure_cleaned_images(pairs, detector=Corner([]), drawn=DrawnMarks(share=0), grow=2,
                                  progress=False)  # fmt: skip
    assert (wider.found(key) == grown(mask, 2)).all()


def test_what_is_there_is_read_and_another_detector_leaves_the_marked_pictures(pairs):
    asked = []
    n = pairs.all["image_key"].nunique()

    def made(**settings):
        return ensure_cleaned_images(pairs, drawn=DrawnMarks(), progress=False, **settings)

    first, again = made(detector=Corner(asked)), made(detector=Corner(asked))
    assert asked == [n]
    assert first.table.equals(again.table)
    other = made(detector=Corner(asked, px=3))
    assert asked == [n, n]
    kept, new = ([made.subsets[name].manifest for made in (first, other)]
                 for name in (WATERMARKED, CLEANED))  # fmt: skip
    assert kept[0] == kept[1]
    assert new[0].fingerprint != new[1].fingerprint
    beside = made(detector=Corner(asked), subset="cleaned-again")
    assert beside.subsets[CLEANED].folder == f"{SUBSETS}/cleaned-again"
    assert other.subsets[CLEANED].image(pairs.all["image_key"][0])  # still there
    assert not verify(pairs.zone, "cleaned-images")


def test_pictures_as_they_come_have_no_truth(pairs):
    made = ensure_cleaned_images(pairs, detector=Corner([]), progress=False)
    assert set(made.subsets) == {WATERMARKED, CLEANED}
    assert set(made.table["marked"]) == {""}
    assert made.table["mark_share"].isna().all()
    key = made.table["image_key"][0]
    with pytest.raises(FileNotFoundError):
        made.truth(key)
    with pytest.raises(ValueError, match="no masks to clean by"):
        ensure_cleaned_images(pairs, detector=None)


def test_each_picture_has_a_mark_of_its_own_or_all_share_one(pairs):
    keys = [f"{i}.jpg" for i in range(40)]
    own = [DrawnMarks().mark_of(key, seed=1) for key in keys]
    shared = [DrawnMarks(repeated=True).mark_of(key, seed=1) for key in keys]
    assert len(set(own)) > 30
    assert len(set(shared)) == 1
    some = [DrawnMarks(share=0.5).mark_of(key, seed=1) for key in keys]
    assert 10 < sum(mark is not None for mark in some) < 30
    assert [m for m in some if m] == [o for o, m in zip(own, some, strict=True) if m]
    assert [DrawnMarks().mark_of(key, seed=2) for key in keys] != own


def test_a_foreign_file_is_refused(pairs):
    pairs.zone.write_bytes(f"{SUBSETS}/{CLEANED}/images/mine.jpg", b"mine")
    with pytest.raises(ArtefactError, match=r"mine\.jpg"):
        ensure_cleaned_images(pairs, detector=Corner([]), progress=False)


@pytest.mark.parametrize(
    "wrong", [{"share": 1.2}, {"opacity": (0.9, 0.5)}, {"opacity": (0.0, 0.5)}]
)
def test_marks_that_cannot_be_drawn_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DrawnMarks(**wrong)
