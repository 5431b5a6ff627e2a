"""Noise removal: what each rule takes, what it must not touch, and the score on unseen captions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.first.prepare.noise import RULES, Step, remove_noise
from helpers.world import open_world

CLEAN = [
    "chicken soup with basil, on a white plate", "crème brûlée", "Älplermagronen (Alpine macaroni)",
    "#1 chili", "fish & chips", "7-Up cake", "3 cheese pizza", "rice for 2 < 3 people > 1",
    "a.k.a. pie", "Mac'n'cheese: the best!", "50/50 bread | rye", "1.5 kg beef", "half & half",
    "C) not a list", "soup - hot", "@ home", "recipe of my aunt", "no. of eggs", "œufs à l'été",
    "Recettes et vins", "AT&T", "a_b", "e.g. tofu/rice", "copyrighted? no", "pizza :",
]  # fmt: skip


@pytest.mark.parametrize("text", CLEAN)
def test_clean_captions_stay_as_they_are(text):
    assert remove_noise(text).text == text
    assert remove_noise(text).steps == ()


@pytest.mark.parametrize(
    ("noisy", "clean", "rules"),
    [
        ("<p>soup</p>", "soup", ["html"]),
        ("soup<br/>with &amp; without", "soup with & without", ["html"]),
        ("soup <!-- a\nremark -->", "soup", ["html"]),
        ("soup https://example.com/a?b=1", "soup", ["url"]),
        ("soup (www.example.com)", "soup", ["url"]),
        ("[tofu soup](https://example.com) hot", "tofu soup hot", ["url"]),
        ("soup #yum #so_good2 @me", "soup", ["hashtags"]),
        ("soup \N{POT OF FOOD}.", "soup.", ["emoji"]),
        ("soup :-)", "soup", ["emoji"]),
        ("3. soup", "soup", ["numbering"]),
        ("(12) soup", "soup", ["numbering"]),
        ("Fig. 4: soup", "soup", ["numbering"]),
        ("Recipe: soup | Easy Recipes", "soup", ["boilerplate"]),
        ("sopa - haz clic aquí para ver la receta", "sopa", ["boilerplate"]),
        ("Recette : soupe", "soupe", ["boilerplate"]),
        ("crÃªpes", "crêpes", ["mojibake"]),
        ("crÃƒÂªpes", "crêpes", ["mojibake"]),
        ("tofuÂ\xa0soup", "tofu soup", ["mojibake"]),
        ("two  blanks ", "two blanks", ["spacing"]),
        ("1. <b>soup</b> #yum", "soup", ["html", "hashtags", "numbering"]),
    ],
)
def test_a_rule_takes_its_noise(noisy, clean, rules):
    found = remove_noise(noisy)
    assert found.text == clean
    assert list(found.rules) == rules


def test_a_step_says_what_it_removed():
    assert remove_noise("soup #yum #hot").steps == (Step("hashtags", "#yum #hot"),)
    assert remove_noise("crÃªpes au miel").steps == (Step("mojibake", "crÃªpes"),)


@given(st.text(max_size=60))
def test_no_step_means_not_a_byte_changed_and_rules_are_known(text):
    found = remove_noise(text)
    assert (found.text == text) or found.steps
    assert set(found.rules) <= {*RULES, "spacing"}
    assert len(set(found.rules)) == len(found.rules)


WORDS = ["tofu", "soup", "with", "basil", "on", "a", "white", "plate"]


@given(st.lists(st.sampled_from(WORDS), min_size=1))
def test_plain_words_are_never_noise(words):
    text = " ".join(words)
    assert remove_noise(text).text == text


def test_unseen_captions_of_the_first_writer_come_out_as_they_were():
    """The rules were written on captions of seed 42; these are others."""
    world = open_world("kitchen?captions=mixed&noise=1", seed=7)
    seen = [t for i in range(200) for t in world.truths(i) if t.writer == 0]
    right = [remove_noise(t.text).text == t.plain for t in seen]
    assert len(right) > 300
    assert sum(right) / len(right) >= 0.99


@pytest.mark.parametrize(
    "piece",
    [" ", "<!--", "<b ", "(", "#", "- ", "| ", "a.", "&amp;", "www.", "a@", "1.", "\N{FIRE}"],
)
def test_long_runs_of_anything_come_to_an_end(piece):
    text = "soup " + piece * 20_000 + " soup"
    assert remove_noise(text).text.startswith("soup")
