"""Triplets of the garage: true to their texts, complete in their targets, the same for a seed."""

import numpy as np
import pytest

from helpers.world import open_world
from helpers.world.car_changes import CHANGEABLE, car_modification, car_rules
from helpers.world.changes import Change, draw_triplets


def drawn(seed):
    part = {"test": {"first": 0, "n": 80}}
    return draw_triplets(open_world("garage", n_recipes=80), car_rules(), part, seed=seed)


@pytest.fixture(scope="module")
def cars():
    return drawn(7)


def test_a_target_is_the_reference_with_the_changes_and_nothing_else(cars):
    for triplet in cars.parts["test"][0].triplets:
        reference = cars.shown[triplet.reference].attributes
        assert triplet.targets
        for name in triplet.targets:
            target = cars.shown[name].attributes
            changed = {k for k in reference if reference[k] != target[k]} - {"year"}
            assert changed == set(triplet.changed)
            assert changed <= set(CHANGEABLE)


def test_every_true_target_of_the_gallery_is_a_positive(cars):
    for triplet in cars.parts["test"][0].triplets:
        wanted = cars.shown[triplet.targets[0]].attributes
        alike = {n for n in cars.parts["test"][0].gallery if cars.shown[n].attributes == wanted}
        assert set(triplet.targets) == alike - {triplet.reference}


def test_year_and_decade_agree(cars):
    assert all(one.attributes["decade"][:3] == one.attributes["year"][:3]
               for one in cars.shown.values())  # fmt: skip


def test_the_same_seed_gives_the_same_triplets_and_another_one_others(cars):
    again = drawn(7)
    assert again.parts == cars.parts
    assert again.fingerprint == cars.fingerprint
    assert drawn(8).parts != cars.parts


def test_a_text_names_every_new_value(cars):

    rng = np.random.default_rng(0)
    changes = (Change("color", "red", "blue"), Change("body", "van", "coupe"))
    for _ in range(20):
        text = car_modification(changes, rng)
        assert "blue" in text
        assert "coupe" in text


def test_a_picture_of_a_target_can_be_drawn(cars):
    name = cars.parts["test"][0].triplets[0].targets[0]
    assert cars.load_image(name).size == (64, 64)
