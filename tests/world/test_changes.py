"""Triplets of the drawn world: true to their texts, complete in their targets, apart by split."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.world import changes, open_triplets, open_world
from helpers.world.changes import (
    CHANGEABLE,
    Change,
    applied,
    dish_rules,
    draw_changes,
    draw_triplets,
    held_out_combinations,
    modification,
)
from helpers.world.domain import NONE
from helpers.world.kitchen import VALUES
from helpers.world.phrases import WORDS

COUNTS = {"train": 120, "validation": 30, "test": 120}
PARTS = {
    "train": {"first": 0, "n": 120},
    "validation": {"first": 120, "n": 30},
    "test": {"first": 150, "n": 120},
}


def drawn(seed):
    return draw_triplets(open_world("kitchen", n_recipes=300), dish_rules(seed), PARTS, seed=seed)


@pytest.fixture(scope="module")
def composed():
    return drawn(7)


def combinations(composed, split):
    """(attribute, new value, dish) of every change that a split asks for."""
    for triplet in composed.parts[split][0].triplets:
        target = composed.shown[triplet.targets[0]].attributes
        for name in triplet.changed:
            yield triplet, (name, target[name], target["dish"])


def test_a_target_is_the_reference_with_the_changes_and_nothing_else(composed):
    for (triplets,) in composed.parts.values():
        for triplet in triplets.triplets:
            reference = composed.shown[triplet.reference].attributes
            for name in triplet.targets:
                target = composed.shown[name].attributes
                assert {k for k in VALUES if target[k] != reference[k]} == set(triplet.changed)
            assert 1 <= len(triplet.changed) <= 2


def test_every_true_target_of_the_gallery_is_a_positive(composed):
    """Naively: all pictures with the wanted attributes, but for the reference itself."""
    for (triplets,) in composed.parts.values():
        for triplet in triplets.triplets:
            wanted = composed.shown[triplet.targets[0]].attributes
            alike = {n for n in triplets.gallery if composed.shown[n].attributes == wanted}
            assert set(triplet.targets) == alike - {triplet.reference}


def test_no_picture_is_in_two_splits(composed):
    galleries = [set(s.gallery) for (s,) in composed.parts.values()]
    assert all(a.isdisjoint(b) for a, b in itertools.combinations(galleries, 2))
    assert sum(map(len, galleries)) == len(composed.shown) == 3 * sum(COUNTS.values())
    recipes = [{composed.shown[n].index for n in gallery} for gallery in galleries]
    assert all(a.isdisjoint(b) for a, b in itertools.combinations(recipes, 2))


def test_training_asks_for_no_held_out_combination(composed):
    held_out = held_out_combinations(7)
    assert not [c for _, c in combinations(composed, "train") if c in held_out]
    assert not [t for t in composed.parts["train"][0].triplets if t.held_out]
    for triplet, combination in combinations(composed, "test"):
        assert triplet.held_out or combination not in held_out
    share = np.mean([t.held_out for t in composed.parts["test"][0].triplets])
    assert 0.25 < share < 0.6


def test_every_value_is_asked_for_in_training_with_some_dish():
    """What is held out is the combination: each value is known from other dishes."""
    held_out = held_out_combinations(42)
    for name in CHANGEABLE[1:]:
        for value in VALUES[name]:
            assert [d for d in VALUES["dish"] if (name, value, d) not in held_out]
        for dish in VALUES["dish"]:
            assert sum((name, v, dish) not in held_out for v in VALUES[name]) >= 2


def test_every_query_has_positives_in_the_gallery(composed):
    test = composed.parts["test"][0]
    positives, rows = test.positives(), range(len(test.gallery))
    assert len(positives) == COUNTS["test"]
    assert all(len(some) and all(row in rows for row in some) for some in positives)
    assert -1 not in test.excluded()


def test_the_world_is_the_same_again_and_another_with_another_seed(composed):
    again, other = drawn(7), drawn(8)
    assert again.parts == composed.parts
    assert again.fingerprint == composed.fingerprint != other.fingerprint
    assert other.parts["test"][0].triplets != composed.parts["test"][0].triplets


def test_pictures_of_a_triplet_differ_in_view_and_wish(composed):
    triplet = composed.parts["test"][0].triplets[0]
    first, second = (
        np.asarray(composed.load_image(n)).astype(int)
        for n in (triplet.reference, triplet.targets[0])
    )
    assert first.shape == (64, 64, 3)
    assert np.abs(first - second).mean() > 5
    with pytest.raises(KeyError, match="nothing"):
        composed.load_image("nothing")


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (Change("sauce", "soy", NONE), {"without soy sauce", "no brown sauce"}),
        (Change("garnish", NONE, "basil"), {"with basil", "add basil leaves"}),
        (Change("main", "beef", "tofu"), {"with tofu instead of beef", "replace steak with tofu"}),
        (Change("plate", "red", "black"), {"on a black plate", "with a black plate"}),
        (Change("table", "wood", "marble"), {"on marble", "on a marble counter"}),
        (Change("dish", "soup", "sushi"), {"sushi instead", "as maki rolls"}),
        (Change("dish", "soup", "pie"), {"a pie instead", "as a tart"}),
    ],
)
def test_texts_ask_for_the_change(change, texts):
    rng = np.random.default_rng(0)
    found = {modification((change,), rng).removeprefix("the same but ") for _ in range(200)}
    assert texts <= found
    if change.new != NONE and change.attribute in WORDS:
        new = WORDS[change.attribute][change.new]
        assert all(any(w in text for w in new) for text in found)
    assert all("none" not in text for text in found)


def test_the_way_back_undoes_the_changes():
    world = open_world("kitchen", n_recipes=40)
    rng = np.random.default_rng(3)
    for index in range(40):
        a = world.attributes(index)
        changes = draw_changes(a, rng, held_out=frozenset())
        assert applied(applied(a, changes), tuple(c.back for c in changes)) == a


def test_parts_of_a_design_lie_where_it_says_and_pass_over_known_references():
    parts = {
        "train": {"first": 50, "n": 6},
        "test": {"first": 700_000, "n": 6, "gallery": 3, "unlike": ["train"]},
    }
    found = open_triplets("kitchen", parts, seed=42)
    assert [len(one.triplets) for one in found.parts["test"]] == [3, 3]
    assert found.parts["test"][0].triplets[0].pair_id == "test-700000"
    galleries = [set(one.gallery) for one in found.parts["test"]]
    assert galleries[0].isdisjoint(galleries[1])
    beside = open_triplets("kitchen", {"a": parts["train"], "b": {"first": 56, "n": 2}}, seed=42)
    assert beside.parts["a"][0].triplets[0].caption == found.parts["train"][0].triplets[0].caption
    with pytest.raises(ValueError, match="the parts a and b of world:kitchen share recipes"):
        open_triplets("kitchen", {"a": {"first": 0, "n": 2}, "b": {"first": 1, "n": 2}})
    with pytest.raises(ValueError, match="5 triplets do not fill galleries of 3"):
        open_triplets("kitchen", {"test": {"first": 0, "n": 5, "gallery": 3}})
    with pytest.raises(ValueError, match="world:general has no triplets"):
        open_triplets("general", {"test": {"first": 0, "n": 5}})


def test_a_reference_with_known_attributes_is_passed_over(monkeypatch):
    same = [{"dish": "soup"}, {"dish": "pie"}, {"dish": "soup"}, {"dish": "taco"}]
    parts = {"a": {"first": 0, "n": 1}, "b": {"first": 1, "n": 2, "unlike": ["a"]}}
    rules = SimpleNamespace(attributes=lambda world, i: same[i])
    assert changes._indices(None, rules, parts) == {"a": [0], "b": [1, 3]}


def test_captions_are_put_into_words_as_differences():
    rng = np.random.default_rng(0)
    found = open_triplets("kitchen", {"test": {"first": 0, "n": 1}})
    assert found.difference("beef soup", "tofu soup", rng) == "with tofu instead of beef"
    assert found.difference("beef soup with basil", "beef soup", rng) == "without basil"
    assert found.difference("a thing", "a thing", rng) == ""
