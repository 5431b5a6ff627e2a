"""Bad input, each kind in a few variants; ``make test-long`` tries ten times more."""

import pytest

from tests.data.damage import IMAGES, LARGE
from tests.data.damage_records import HOSTILE, LINES
from tests.data.intake_checks import (
    damaged_images,
    damaged_lines,
    fuzzed,
    hostile_image_keys,
    hostile_zone_keys,
    memory_of_large_headers,
    survives_pairs,
)


@pytest.mark.parametrize("name", IMAGES)
def test_a_damaged_image_comes_out_right_or_with_a_reason(name, tmp_path):
    assert damaged_images(name, 2, tmp_path) == []


@pytest.mark.parametrize("name", LINES)
def test_a_damaged_line_is_named(name, tmp_path):
    assert damaged_lines(name, 2, tmp_path) == []


def test_headers_over_the_limit_take_no_memory():
    refused, grown_mb = memory_of_large_headers(1)
    assert refused == len(LARGE)
    assert grown_mb < 100


def test_no_key_leaves_a_zone(zone, tmp_path):
    assert hostile_zone_keys(zone, tmp_path) == []
    assert len(HOSTILE) == 50


def test_no_key_leaves_a_source(tmp_path):
    assert hostile_image_keys(tmp_path) == []


def test_fuzzed_lines_are_recipes_or_named():
    tried, failures = fuzzed(100)
    assert failures == []
    assert tried >= 90


def test_ids_and_captions_that_look_like_something_else_survive(tmp_path):
    assert survives_pairs(tmp_path)
