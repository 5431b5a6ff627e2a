"""Texts from two captions: their difference in words, and what silence does to them."""

import numpy as np
import pytest

from helpers.first.retrieval.caption_texts import difference_text, texts_from_captions
from helpers.world import open_world
from helpers.world.mentions import claims


def said(before, after):
    return difference_text(before, after, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("beef soup", "tofu soup", "with tofu instead of beef"),
        ("beef soup", "beef soup on a red plate", "on a red plate"),
        ("beef soup on a red plate", "beef soup", ""),
        ("beef soup with basil", "beef soup", "without basil"),
        ("beef soup", "beef soup topped with lemon slices", "with lemon"),
        ("beef soup on wood", "beef pie on marble", "pie instead and on a marble counter"),
        ("beef soup", "beef broth", ""),
        ("a red shirt", "a green shirt", "with green instead of red"),
        ("a long red shirt", "a shirt", "without long red"),
    ],
)
def test_by_hand(before, after, text):
    assert said(before, after) == text


def test_at_most_two_changes_and_the_same_ones_back():
    before = "beef soup with basil, in soy sauce, on a red plate, on wood"
    after = "tofu pie with lemon, in pesto, on a blue plate, on marble"
    ((forward, reverse),) = texts_from_captions([((before,) * 3, (after,) * 3)])
    there, back = claims(forward), claims(reverse)
    assert len({name for name, _ in there.wanted}) == 2
    assert {name for name, _ in there.wanted} == {name for name, _ in back.wanted}


def test_texts_name_only_what_a_caption_says():
    world = open_world("kitchen", n_recipes=60)
    captions = [tuple(c.text for c in world.captions(i)) for i in range(60)]
    pairs = list(zip(captions[:30], captions[30:], strict=True))
    for (before, after), (text, _) in zip(pairs, texts_from_captions(pairs), strict=True):
        found = claims(text)
        assert found.wanted <= claims(after[1]).wanted
        assert found.removed <= claims(before[1]).wanted
