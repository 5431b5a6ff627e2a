"""Claims of texts are read as they were meant: by hand, and on all that the world can say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.world import kitchen, open_world
from helpers.world.changes import applied, draw_changes, modification
from helpers.world.domain import NONE
from helpers.world.mentions import attributes_told, claims, is_there, true_changes


@pytest.mark.parametrize(
    ("text", "wanted", "removed"),
    [
        ("", set(), set()),
        ("make it nicer", set(), set()),
        ("with tofu instead of beef", {("main", "tofu")}, {("main", "beef")}),
        ("steak and not prawns", {("main", "beef")}, {("main", "shrimp")}),
        ("replace red onion with basil leaves", {("garnish", "basil")}, {("garnish", "onion")}),
        ("without soy sauce, on a red plate", {("plate", "red")}, {("sauce", "soy")}),
        ("with red sauce", {("sauce", "tomato")}, set()),
        ("with tomato", {("main", "tomato")}, set()),
        ("a pie instead and on marble", {("dish", "pie"), ("table", "marble")}, set()),
        ("on a blue oblong dish", {("plate", "blue"), ("shape", "oval")}, set()),
        ("on an angular plate", {("shape", "square")}, set()),
        ("No Basil", set(), {("garnish", "basil")}),
        ("a plate", set(), set()),
    ],
)
def test_by_hand(text, wanted, removed):
    found = claims(text)
    assert (found.wanted, found.removed) == (wanted, removed)
    assert found.all == wanted | removed


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**6))
def test_every_modification_says_what_it_changes_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    before = kitchen.sample(rng)
    changes = draw_changes(before, rng, held_out=frozenset())
    after = applied(before, changes)
    found = claims(modification(changes, rng))
    assert found.wanted == {(c.attribute, c.new) for c in changes if c.new != NONE}
    assert found.removed <= {(c.attribute, c.old) for c in changes}
    assert {(c.attribute, c.old) for c in changes if c.new == NONE} <= found.removed
    assert true_changes(before, after) == {(c.attribute, c.old, c.new) for c in changes}


def test_captions_are_read_without_a_mistake():
    world = open_world("kitchen", n_recipes=150)
    for index in range(world.n_recipes):
        attributes = world.attributes(index)
        captions = [caption.text for caption in world.captions(index)]
        for caption in captions:
            found = claims(caption)
            assert not found.removed, caption
            assert all(is_there(value, attributes) for value in found.wanted), caption
        told = attributes_told(captions)
        assert {"dish", "main", "plate"} <= set(told)
        assert all(values == {attributes[name]} for name, values in told.items())


def test_what_is_none_is_not_there():
    assert not is_there(("garnish", NONE), {"garnish": NONE})
    assert is_there(("garnish", "basil"), {"garnish": "basil"})
    assert not is_there(("color", "red"), {"garnish": "basil"})
