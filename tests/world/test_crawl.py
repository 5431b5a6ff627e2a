"""The crawled world: the same recipes and pictures, captions with their truth, what is refused."""

import numpy as np
import pytest

from helpers.data.records import text_problem
from helpers.world import open_world
from helpers.world.crawl import SECOND_WRITER
from helpers.world.noise import KINDS, SEVERAL, add_noise

MIXED = "kitchen?captions=mixed"


def truths(world, n=400):
    return [truth for index in range(n) for truth in world.truths(index)]


def test_recipes_and_pictures_are_those_of_the_kitchen():
    plain, crawled = open_world("kitchen"), open_world(MIXED)
    for index in range(5):
        one, other = plain.recipe(index), crawled.recipe(index)
        assert (one.recipe_id, one.images, dict(one.attributes)) == (
            other.recipe_id, other.images, dict(other.attributes),
        )  # fmt: skip
        assert [c.text for c in one.captions] == [t.clean for t in crawled.truths(index)]
        assert {c.language for c in other.captions} == {"und"}
        a, b = (np.asarray(world.draw(index, 0).image) for world in (plain, crawled))
        assert (a == b).all()


def test_a_caption_comes_with_its_truth():
    found = truths(open_world(MIXED))
    assert {t.language for t in found} == {"en", "de", "es", "fr", "it"}
    assert {t.noise for t in found} == {"none", *KINDS, SEVERAL}
    for t in found:
        assert (t.text == t.plain) == (t.noise == "none")
        assert (t.plain == t.clean) == (t.language == "en")
        assert not text_problem(t.text), t


def test_shares_are_those_asked_for():
    found = truths(open_world("kitchen?languages=de,es&noise=0.25"), 1000)
    assert {t.language for t in found} == {"de", "es"}
    assert np.mean([t.noise != "none" for t in found]) == pytest.approx(0.25, abs=0.03)
    assert np.mean([t.writer for t in found]) == pytest.approx(SECOND_WRITER, abs=0.05)
    assert np.mean([t.language == "de" for t in found]) == pytest.approx(0.5, abs=0.03)


def test_a_recipe_has_one_writer_and_does_not_depend_on_the_others():
    few, many = open_world(MIXED, n_recipes=3), open_world(MIXED, n_recipes=50)
    assert few.recipe(2) == many.recipe(2)
    for index in range(20):
        assert len({t.writer for t in many.truths(index)}) == 1


def test_name_and_fingerprint_tell_the_options():
    names = [
        "kitchen", "kitchen?captions=clean", MIXED, "kitchen?languages=de", "kitchen?noise=0.5",
        "kitchen?style=diffusion&noise=0.5",
    ]  # fmt: skip
    worlds = [open_world(name, n_recipes=3) for name in names]
    assert worlds[2].name == "world:kitchen?languages=en,de,es,fr,it&noise=0.5"
    assert worlds[5].name == "world:kitchen?style=diffusion&languages=en&noise=0.5"
    assert len({world.fingerprint for world in worlds}) == len(names)
    again = open_world(worlds[2].name.removeprefix("world:"), n_recipes=3)
    assert again.recipe(1) == worlds[2].recipe(1)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("kitchen?captions=dirty", "captions=dirty of world:kitchen"),
        ("kitchen?languages=nl", "languages=nl"),
        ("kitchen?languages=de,de", "languages=de,de"),
        ("kitchen?languages=", "languages= of"),
        ("kitchen?noise=2", "noise=2 of world:kitchen"),
        ("kitchen?noise=much", "noise='much'"),
        ("general?captions=mixed", "clean English captions alone"),
    ],
)
def test_what_there_is_not_is_refused(asked, message):
    with pytest.raises(ValueError, match=message):
        open_world(asked)


@pytest.mark.parametrize("kind", [*KINDS, SEVERAL])
@pytest.mark.parametrize("writer", [0, 1])
def test_noise_leaves_the_words_in_place(kind, writer):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        noisy = add_noise("tofu soup", kind, rng, writer=writer)
        assert noisy != "tofu soup"
        assert "tofu" in noisy
        assert "soup" in noisy


def test_misread_letters_are_what_windows_makes_of_them():
    rng = np.random.default_rng(0)
    assert add_noise("crêpes", "mojibake", rng) == "crÃªpes"
    assert add_noise("crêpes", "mojibake", rng, writer=1) == "crÃƒÂªpes"
    with pytest.raises(ValueError, match="no noise of kind 'dust'"):
        add_noise("soup", "dust", rng)
