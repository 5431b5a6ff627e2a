"""Detectors by name; the fitted one looks at training pictures alone."""

import numpy as np
import pytest

from helpers.data.pairs import ensure_pairs
from helpers.first.prepare.detectors import DETECTORS, open_detector, training_pictures
from helpers.first.prepare.florence import FlorenceDetector
from helpers.models.checkpoints import ModelError
from helpers.store.zones import open_zone
from tests.small_florence import small_florence, small_processor


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    zone = open_zone(str(tmp_path_factory.mktemp("zone")))
    return ensure_pairs(zone, source="world:kitchen", max_recipes=8, image_px=16, progress=False)


def test_each_name_opens_its_detector(pairs):
    assert [open_detector(name, pairs).name for name in DETECTORS] == list(DETECTORS)


def test_the_fitted_one_sees_one_picture_of_each_training_recipe(pairs):
    pictures = open_detector("fitted", pairs).pictures()
    train = pairs.train.drop_duplicates("recipe_id")["image_key"]
    own = [np.asarray(pairs.image(key)) for key in train]
    assert len(pictures) == len(own)
    assert all((np.asarray(p) == o).all() for p, o in zip(pictures, own, strict=True))
    assert len(training_pictures(pairs, most=2)) == 2
    a, b = (open_detector("fitted", pairs, seed=seed).fingerprint for seed in (1, 2))
    assert a != b


def test_another_name_is_a_florence(pairs, tmp_path):
    small_florence().save_pretrained(tmp_path)
    small_processor().save_pretrained(tmp_path)
    assert isinstance(open_detector(str(tmp_path), pairs), FlorenceDetector)
    with pytest.raises(ModelError, match="nowhere"):
        open_detector(str(tmp_path / "nowhere"), pairs)
