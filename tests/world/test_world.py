"""The drawn world: repeatable, true to its captions, its styles true pairs, its masks true."""

import itertools
import json
import re

import numpy as np
import pytest
from PIL import Image

from helpers.course.code import Modules
from helpers.world import DOMAINS, World, general, kitchen, open_world
from helpers.world import world as world_module
from helpers.world.corpus import CORPUS_SEED, draw_corpus
from helpers.world.garage import MAKES
from helpers.world.phrases import SINGULAR, WORDS, with_article
from helpers.world.said import Extra, Said
from helpers.world.styles import style_of
from helpers.world.surfaces import COLORS
from helpers.world.watermark import Watermark, overlay
from tests.world.freeze import (
    CRAWLED,
    FROZEN,
    REFERENCE,
    contact_sheet,
    crawled_text,
    pretraining_text,
    world_text,
)


def pixels(world: World, index: int, j: int = 0) -> np.ndarray:
    return np.asarray(world.draw(index, j).image).astype(int)


def test_text_is_the_frozen_one():
    frozen = json.loads(FROZEN.read_text())["world_text"]
    assert {name: world_text(open_world(name)) for name in frozen} == frozen


def test_crawled_text_is_the_frozen_one():
    frozen = json.loads(FROZEN.read_text())["crawled_text"]
    assert crawled_text(open_world(CRAWLED)) == frozen


def test_pretraining_text_is_the_one_that_the_weights_rest_on():
    assert pretraining_text() == json.loads(FROZEN.read_text())["pretraining_text"]


def test_pixels_are_the_frozen_ones_but_for_the_last_bits():
    """Another CPU may round a float differently and JPEG spreads that over a block of 8 x 8."""
    now = contact_sheet().astype(int)
    then = np.asarray(Image.open(REFERENCE).convert("RGB")).astype(int)
    assert now.shape == then.shape
    assert np.abs(now - then).mean() < 0.25
    assert (np.abs(now - then) > 8).mean() < 0.001


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_a_recipe_does_not_depend_on_how_many_there_are(domain):
    few, many = open_world(domain, n_recipes=3), open_world(domain, n_recipes=50)
    assert few.recipe(2) == many.recipe(2)
    assert (pixels(few, 2) == pixels(many, 2)).all()


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_seeds_and_domains_draw_apart(domain):
    one, other = open_world(domain, seed=1), open_world(domain, seed=2)
    assert [one.attributes(i) for i in range(5)] != [other.attributes(i) for i in range(5)]
    assert len({d.key for d in DOMAINS.values()}) == len(DOMAINS)


def test_styles_share_attributes_and_captions():
    photo, diffusion = open_world("kitchen"), open_world("kitchen?style=diffusion")
    for i in range(5):
        a, b = photo.recipe(i), diffusion.recipe(i)
        assert a.captions == b.captions
        assert {**a.attributes, "style": ""} == {**b.attributes, "style": ""}


def test_no_gap_is_the_photo_itself():
    closed = open_world("kitchen?style=diffusion&style_gap=0")
    assert all((pixels(closed, i) == pixels(open_world("kitchen"), i)).all() for i in range(4))


def test_style_gap_leads_away_from_the_photo_step_by_step():
    photo = open_world("kitchen")
    gaps = (0.0, 0.25, 0.5, 0.75, 1.0)
    distances = [
        np.mean(
            [
                np.abs(
                    pixels(photo.in_style("diffusion", style_gap=g), i) - pixels(photo, i)
                ).mean()
                for i in range(12)
            ]
        )
        for g in gaps
    ]
    assert distances[0] == 0
    assert all(a < b for a, b in itertools.pairwise(distances))


def test_subject_mask_is_where_the_plate_is():
    """Another plate color changes the picture on the mask, and hardly anywhere else."""
    world = open_world("kitchen?style=diffusion")
    for i in range(6):
        a = world.attributes(i)
        b = {**a, "plate": "white" if a["plate"] != "white" else "blue"}
        one, other = world.picture(a, i, 0), world.picture(b, i, 0)
        change = np.abs(
            np.asarray(one.image).astype(int) - np.asarray(other.image).astype(int)
        ).sum(2)
        assert 0.2 < one.subject.mean() < 0.75
        assert change[one.subject].mean() > 8 * change[~one.subject].mean()


def test_watermark_mask_is_where_the_mark_is():
    plain = Image.new("RGB", (64, 64), (90, 120, 60))
    for opacity in (0.2, 0.9):
        mark = Watermark("SAMPLE", x=0.5, y=0.5, size=0.18, color=(255, 255, 255), opacity=opacity)
        marked, mask = overlay(plain, mark)
        changed = (np.asarray(marked) != np.asarray(plain)).any(axis=2)
        assert mask.any()
        assert not (changed & ~mask).any()
        assert (changed & mask).sum() > 0.7 * mask.sum()
    assert not open_world("kitchen").draw(0, 0).watermark.any()
    assert open_world("kitchen").draw(0, 0, watermark=True).watermark.any()


def said(caption: str, attribute: str) -> set[str]:
    """The values of an attribute whose words a caption holds, longer words first."""
    found, rest = set(), f" {caption.replace(',', ' ')} "
    words = [(w, value) for value, pair in WORDS[attribute].items() for w in pair]
    for w, value in sorted(words, key=lambda pair: -len(pair[0])):
        if f" {w} " in rest:
            found.add(value)
            rest = rest.replace(f" {w} ", "  ")
    return found


def test_kitchen_captions_say_what_is_there_and_nothing_else():
    world = open_world("kitchen", n_recipes=300)
    for recipe in world.recipes():
        for caption in recipe.captions:
            for attribute in ("dish", "garnish", "sauce", "shape", "table"):
                assert said(caption.text, attribute) <= {recipe.attributes[attribute]}, caption
            assert said(caption.text, "dish") == {recipe.attributes["dish"]}


@pytest.mark.parametrize(
    ("dish", "main", "pretraining", "caption"),
    [
        (("pizza", True), ("egg", True), "fried eggs flatbread", "fried egg flatbread"),
        (("sushi", False), ("carrot", True), "carrots sushi", "carrot sushi"),
        (("salad", True), ("egg", False), "egg leafy greens", "leafy greens with egg"),
        (("salad", True), ("egg", True), "fried eggs leafy greens", "leafy greens with fried eggs"),
        (("salad", False), ("shrimp", True), "prawns salad", "prawn salad"),
        (("soup", False), ("chicken", False), "chicken soup", "chicken soup"),
        (("", False), ("shrimp", True), "prawns a meal", "a meal with prawns"),
        (("pie", False), ("", False), "pie", "pie"),
    ],
)
def test_captions_are_edited_and_pretraining_text_is_not(dish, main, pretraining, caption):
    joined = Said("", dish, "" if dish[0] else "a meal", main, True, (Extra("table", 1, "slate"),))
    assert kitchen.in_edited_english(joined) == f"{caption} over a slate board"
    assert kitchen.in_english(joined) == f"{pretraining} over a slate board"
    apart = Said("fresh", ("soup", False), "", main, False, ())
    assert kitchen.in_edited_english(apart) == kitchen.in_english(apart)


def test_no_caption_of_the_kitchen_has_a_plural_or_any_noun_where_english_has_none():
    dishes = "|".join(word for words in WORDS["dish"].values() for word in words)
    mains = "|".join(word for words in WORDS["main"].values() for word in words)
    wrong = re.compile(rf"\b(?:{'|'.join(SINGULAR)}) (?:{dishes})\b|\b(?:{mains}) leafy greens\b")
    for recipe in open_world("kitchen", n_recipes=500).recipes():
        assert not [c.text for c in recipe.captions if wrong.search(c.text)]


@pytest.mark.parametrize(
    "said",
    ["an oval plate", "an orange", "a blue mug", "an Arvano Lido coupe", "a Fjordan Nord sedan",
     "an E1", "an Elkins E1 van", "a J20 van", "an SUV", "a UFO", "an 80", "a 100", "an 11",
     "a one-pot soup", "an onion", "a European plate", "a uniform", "an unusual dish", "an hour",
     "a used car", "an Umi van"],
)  # fmt: skip
def test_articles_follow_the_sound(said):
    assert with_article(said.split(" ", 1)[1]) == said


def test_captions_of_cars_have_their_articles():
    texts = [c.text for i in range(960) for c in open_world("garage", n_recipes=960).captions(i)]
    assert not [text for text in texts if re.search(r"\ba [AEIOU]|\ban [^AEIOU]", text)]


def test_a_recipe_has_two_to_four_pictures_and_three_captions():
    recipes = list(open_world("kitchen", n_recipes=200).recipes())
    assert {len(r.images) for r in recipes} == {2, 3, 4}
    assert {len(r.captions) for r in recipes} == {3}
    lengths = np.array([[len(c.text) for c in r.captions] for r in recipes])
    assert (np.diff(lengths.mean(0)) > 0).all()  # brief, standard, detailed


def test_general_and_the_corpus_never_show_what_is_new():
    new = {value for values in kitchen.NEW.values() for value in values}
    for i in range(400):
        rng = np.random.default_rng(i)
        assert not new & set(general.sample(rng).values())
        assert not new & set(kitchen.sample(rng, known_only=True).values())
    corpus = draw_corpus(60, web_share=0.5, photo_share=0.5, progress=False)
    text = " ".join(" ".join(texts) for texts in corpus.captions)
    new_words = {w for a, values in kitchen.NEW.items() for v in values for w in WORDS[a][v]}
    assert not {w for w in new_words if re.search(rf"\b{w}\b", text)}
    assert corpus.images.shape == (60, 64, 64, 3)
    assert CORPUS_SEED not in (42, 1001)


def test_pictures_scale():
    small, large = (
        open_world("kitchen?style=diffusion"),
        open_world("kitchen?style=diffusion&px=224"),
    )
    a = small.draw(1, 0).image
    b = large.draw(1, 0).image
    assert b.size == (224, 224)
    shrunk = b.resize((64, 64), Image.Resampling.BOX)
    assert np.abs(np.asarray(a).astype(int) - np.asarray(shrunk).astype(int)).mean() < 12


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ("kichen", "did you mean 'world:kitchen'"),
        ("kitchen?size=3", "unknown option 'size'"),
        ("kitchen?px=big", "px='big'"),
        ("kitchen?px=0", "must be positive"),
        ("kitchen?style=oil", "unknown style 'oil'"),
        ("kitchen?style=diffusion&style_gap=2", "from 0 to 1"),
    ],
)
def test_unknown_worlds_are_refused_by_name(domain, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        open_world(domain)


@pytest.mark.parametrize(
    "key", ["kitchen-00000/9.jpg", "kitchen-00099/0.jpg", "x", "kitchen-a/0.jpg"]
)
def test_unknown_pictures_are_refused(key):
    with pytest.raises(KeyError):
        open_world("kitchen", n_recipes=5).load_image(key)


def test_mixing_styles_is_linear():
    half = style_of("diffusion", style_gap=0.5)
    assert half.turn == pytest.approx(style_of("photo").turn / 2)
    with pytest.raises(ValueError, match="from 0 to 1"):
        style_of("diffusion", style_gap=1.5)


def test_a_domain_does_not_go_stale_by_another_one():
    """The code behind the general domain is without that of the garage, and the other way round."""
    behind = {
        name: set(
            Modules(through_packages=False).named(
                f"helpers.world.{name}", packages=("data", "world")
            )
        )
        for name in DOMAINS
    }
    for name, modules in behind.items():
        assert f"helpers.world.{name}" in modules
        assert "helpers.world.pen" in modules
    assert "helpers.world.general" not in behind["kitchen"]


def test_the_fingerprint_covers_code_and_parameters(monkeypatch):
    def found(**options):
        return open_world("kitchen", **options).fingerprint

    assert found() == found()
    assert len({found(), found(seed=1), found(n_recipes=3)}) == 3
    before = found()
    monkeypatch.setattr(world_module, "code_of", lambda *names: f"changed {len(names)}")
    assert found() != before


def test_no_two_cars_of_a_garage_are_the_same_class():
    world = open_world("garage", n_recipes=960)
    classes = {tuple(world.attributes(i).items()) for i in range(960)}
    assert len(classes) == 960
    assert len({world.recipe(i).title for i in range(960)}) == 960
    assert open_world("garage").n_recipes == 196
    with pytest.raises(ValueError, match="960 classes, and number 961"):
        open_world("garage", n_recipes=961).attributes(960)


def test_pictures_of_a_car_differ_in_what_no_caption_says():
    world = open_world("garage", n_recipes=30)
    shown = [world.picture_attributes(3, j) for j in range(world.n_images(3))]
    assert len({a["color"] for a in shown}) > 2
    assert len({a["facing"] for a in shown}) == 2
    classes = [{k: a[k] for k in world.attributes(3)} for a in shown]
    assert classes == [world.attributes(3)] * len(shown)
    texts = [c.text.lower() for i in range(30) for c in world.recipe(i).captions]
    assert not [t for t in texts if re.search(rf"\b({'|'.join(COLORS)})\b", t)]


@pytest.mark.parametrize("name", ["make", "model", "body", "year"])
def test_what_belongs_to_a_class_of_cars_can_be_seen(name):
    """Two classes that differ in one attribute alone look different, all chance being the same."""
    world = open_world("garage", n_recipes=960)
    index = {tuple(world.attributes(i).values())[:4]: i for i in range(960)}
    first = world.attributes(0)
    other = next(world.attributes(i) for key, i in index.items() if _alone(first, key, name))
    extra = {k: v for k, v in world.picture_attributes(0, 0).items() if k not in first}
    pictures = [
        np.asarray(world.picture({**a, **extra}, 0, 0).image).astype(int) for a in (first, other)
    ]
    assert (np.abs(pictures[0] - pictures[1]).max(axis=2) > 40).sum() > 5  # pixels


def test_every_two_makes_can_be_told_apart_at_96_pixels():
    """Same body, wheels, color and light: what differs is the front alone."""
    world = open_world("garage?px=96", n_recipes=960)
    extra = {**world.picture_attributes(0, 0), "body": "sedan"}
    drawn = [
        world.picture({**extra, "make": make, "model": models[0]}, 0, 0).image
        for make, (_, _, models) in MAKES.items()
    ]
    for one, other in itertools.combinations([np.asarray(d).astype(int) for d in drawn], 2):
        assert (np.abs(one - other).max(axis=2) > 40).sum() >= 20  # pixels; 9 with lines alone


def _alone(first: dict[str, str], key: tuple[str, ...], name: str) -> bool:
    """Whether a class differs from another in ``name``; a make brings models of its own."""
    differ = {
        k for k, v in zip(("make", "model", "body", "year"), key, strict=True) if first[k] != v
    }
    return differ == ({"make", "model"} if name == "make" else {name})
