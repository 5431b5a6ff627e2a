"""Scores by opacity, repairs, and retrieval with pictures watermarked, cleaned and clean."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.data.pairs import ensure_pairs
from helpers.first.data.marked_sets import DrawnMarks, kitchen_backgrounds, labelled_set
from helpers.first.models.placement import Placement
from helpers.first.prepare.detectors import kitchen_detector
from helpers.first.prepare.image_cleaning import CLEAN, CLEANED, WATERMARKED, ensure_cleaned_images
from helpers.first.prepare.inpainting import OpenCVInpainter
from helpers.first.prepare.watermarks import RepeatedMarkDetector
from helpers.first.studies.watermarks import (
    LEFT,
    MASK_METRICS,
    REPAIR_METRICS,
    detector_scores,
    marked_backgrounds,
    repair_scores,
    source_scores,
    trained,
    training_subset,
    with_intervals,
    zero_shot,
)
from helpers.first.training.arms import Arm
from helpers.first.training.settings import Training
from helpers.store.zones import open_zone
from tests.first.small_training import small_encoder


@dataclass(frozen=True)
class Knows:
    """A detector that has been told the masks; ``shift`` moves them to the right."""

    masks: list
    shift: int = 0
    name: str = "knows"
    fingerprint: str = "knows"

    def find(self, images):
        return [np.roll(mask, self.shift, axis=1) for mask in self.masks]


def labelled():
    return labelled_set("develop", kitchen_backgrounds("develop", 5, px=32), opacities=(0.3, 0.9))


def test_a_detector_that_knows_scores_one_and_a_shifted_one_less():
    rows = labelled()
    masks = [row.mask for row in rows]
    scores = detector_scores({"knows": Knows(masks), "shifted": Knows(masks, shift=3)}, rows)
    assert len(scores) == 2 * len(rows)
    marked = scores[scores["opacity"] > 0]
    best = marked[marked["detector"] == "knows"]
    assert (best[list(MASK_METRICS)] == 1).all(axis=None)
    assert (marked.loc[marked["detector"] == "shifted", "iou"] < 1).all()
    none = scores[scores["opacity"] == 0]
    assert not none["any"].any()
    assert set(marked["kind"]) <= {"text", "logo"}


def test_intervals_group_by_picture_and_leave_out_what_has_no_value():
    scores = pd.DataFrame(
        {
            "opacity": [0.5] * 4 + [0.9] * 2,
            "key": ["a", "a", "b", "c", "a", "b"],
            "iou": [0.2, 0.4, 0.6, np.nan, np.nan, np.nan],
            "psnr_db": [10.0, np.inf, 20, 30, 40, 50],
        }
    )
    found = with_intervals(scores, ["iou", "psnr_db"], by=["opacity"], n_resamples=200)
    assert list(found["metric"]) == ["iou", "psnr_db", "psnr_db"]
    iou = found.iloc[0]
    assert iou["value"] == pytest.approx(0.4)
    assert (iou["n"], iou["opacity"]) == (3, 0.5)
    assert 0.2 <= iou["low"] <= iou["value"] <= iou["high"] <= 1
    assert found.iloc[1]["value"] == pytest.approx((10 + 100 + 20 + 30) / 4)
    assert with_intervals(scores.iloc[:0], ["iou"], by=["opacity"]).empty


def test_filling_the_true_mask_beats_a_strong_mark_and_is_the_same_whatever_its_opacity():
    rows = labelled()
    scores = repair_scores({"filled": OpenCVInpainter()}, rows)
    assert set(scores["inpainter"]) == {LEFT, "filled"}
    assert len(scores) == 2 * 2 * 5
    mean = scores.groupby(["inpainter", "opacity"])["psnr_db"].mean()
    assert mean["filled", 0.9] > mean[LEFT, 0.9]
    assert mean[LEFT, 0.3] > mean[LEFT, 0.9]
    assert abs(mean["filled", 0.3] - mean["filled", 0.9]) < 1  # but for JPEG around the mark
    none = [np.zeros_like(row.mask) for row in rows]
    untouched = repair_scores({"filled": OpenCVInpainter()}, rows, masks=none)
    wide = untouched.pivot(
        index=["key", "opacity"], columns="inpainter", values=["psnr_db", "ssim"]
    )
    for metric in REPAIR_METRICS:
        assert (wide[metric][LEFT] == wide[metric]["filled"]).all()


def test_pictures_of_a_source_are_one_group():
    scores = source_scores(RepeatedMarkDetector(), "develop",
                           kitchen_backgrounds("develop", 10, px=32), opacities=(0.5,),
                           n_sources=2)  # fmt: skip
    assert set(scores["key"]) == {"source 0", "source 1"}
    assert len(scores) == 20
    assert set(scores["detector"]) == {"repeated"}


def test_a_kitchen_detector_is_fitted_on_the_develop_half_alone():
    detector = kitchen_detector(32, n=4)
    pictures = [np.asarray(picture) for picture in detector.pictures()]
    own = [np.asarray(picture) for _, picture in kitchen_backgrounds("develop", 4, px=32)]
    assert all((a == b).all() for a, b in zip(pictures, own, strict=True))
    assert detector.fingerprint != kitchen_detector(32, n=5).fingerprint


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    zone = open_zone(str(tmp_path_factory.mktemp("zone")))
    pairs = ensure_pairs(zone, source="world:kitchen", max_recipes=16, image_px=16, progress=False)
    return ensure_cleaned_images(pairs, detector=None, drawn=DrawnMarks(), progress=False)


def test_zero_shot_asks_the_same_of_every_subset(made):
    found = zero_shot(made.subsets, small_encoder("siglip"))
    clean = made.subsets[CLEAN]
    for way, values in found.values.items():
        assert list(values) == [WATERMARKED, CLEANED, CLEAN]
        assert {len(v) for v in values.values()} == {len(found.groups[way])}
        assert set(found.groups[way]) == set(clean.test["recipe_id"])
    alone = zero_shot({CLEAN: clean}, small_encoder("siglip"))
    for way in found.values:
        assert (alone.values[way][CLEAN] == found.values[way][CLEAN]).all()


def test_training_takes_its_pictures_from_the_subset_and_tests_with_clean_ones(made):
    marked, clean = made.subsets[WATERMARKED], made.subsets[CLEAN]
    mixed = training_subset(marked, clean)
    train, test = mixed.train["image_key"][0], mixed.test["image_key"][0]
    assert same(mixed.image(train), marked.image(train))
    assert not same(mixed.image(train), clean.image(train))
    assert same(mixed.image(test), clean.image(test))
    assert mixed.image_hashes[train] == marked.image_hashes[train]
    assert mixed.image_hashes[test] == clean.image_hashes[test]
    prints = {p.manifest.fingerprint for p in (mixed, marked, clean, training_subset(clean, clean))}
    assert len(prints) == 4


def test_models_of_every_subset_answer_the_same_clean_questions(made):
    arm = Arm(Placement(rank=2), Training(epochs=1, batch_size=16, keep="last", draw="image"))
    subsets = {name: made.subsets[name] for name in (WATERMARKED, CLEAN)}
    clean = made.subsets[CLEAN]
    found = trained(subsets, clean, small_encoder("siglip"), arm, seeds=[0], metric="mrr")
    for way, values in found.values.items():
        assert {len(v) for v in values.values()} == {len(found.groups[way])}
    again = trained({CLEAN: clean}, clean, small_encoder("siglip"), arm, seeds=[0], metric="mrr")
    for way in found.values:
        assert (again.values[way][CLEAN] == found.values[way][CLEAN]).all()


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.tobytes() == b.tobytes()


def test_backgrounds_are_one_picture_of_each_test_recipe(made):
    clean = made.subsets[CLEAN]
    found = marked_backgrounds(clean, 2)
    first = clean.test.drop_duplicates("recipe_id").head(2)
    assert [key for key, _ in found] == list(first["recipe_id"])
    assert same(found[0][1], clean.image(first["image_key"].iloc[0]))
