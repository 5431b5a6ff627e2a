"""Listings with known noise, and queries as people type them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.records import Recipe
from helpers.first.prepare.food_words import SMALL_WORDS
from helpers.first.prepare.product_text import NOISE, noisy_listings, user_queries
from helpers.world import open_world

RECIPES = list(open_world("kitchen", n_recipes=200).recipes())
TITLES = {r.recipe_id: r.title for r in RECIPES}
SHARES = {"short": 0.3, "incomplete": 0.3, "wrong": 0.2}


def test_each_noise_is_what_it_is_called_and_about_as_frequent():
    frame = noisy_listings(RECIPES, SHARES)
    assert frame["recipe_id"].tolist() == list(TITLES)
    for row in frame.itertuples():
        title = TITLES[row.recipe_id]
        words, listed = title.split(), row.listing.split()
        if row.noise == "as it is":
            assert row.listing == title
        elif row.noise == "wrong":
            assert row.listing in TITLES.values()
            assert row.listing != title
        elif row.noise == "short":
            before = title.split(" with ")[0].split()
            assert listed == [before[-1]]
        else:
            lost = Counter(words) - Counter(listed)
            content = [w for w in lost if w.lower() not in SMALL_WORDS]
            assert len(content) == 1
            assert not Counter(listed) - Counter(words)
            assert listed[-1].lower() not in SMALL_WORDS
    counts = frame["noise"].value_counts(normalize=True)
    for noise in NOISE:
        expected = SHARES.get(noise, 0.2)
        assert counts[noise] == pytest.approx(expected, abs=0.1)


def test_a_listing_depends_on_its_recipe_and_the_seed():
    only = {"incomplete": 0.5}
    part, whole = noisy_listings(RECIPES[:20][::-1], only), noisy_listings(RECIPES, only)
    by_id = whole.set_index("recipe_id")["listing"]
    assert [by_id[i] for i in part["recipe_id"]] == part["listing"].tolist()
    assert noisy_listings(RECIPES, only, seed=1)["listing"].tolist() != whole["listing"].tolist()


def test_what_cannot_lose_a_word_stays_and_what_has_no_title_is_left_out():
    plain = [Recipe("1", "Pie", ()), Recipe("2", "  ", ())]
    for noise in NOISE[1:]:
        frame = noisy_listings(plain, {noise: 1})
        assert frame.to_numpy().tolist() == [["1", "Pie", "as it is"]]


@pytest.mark.parametrize("shares", [{"long": 0.1}, {"short": -0.1}, {"short": 0.7, "wrong": 0.4}])
def test_shares_that_cannot_be_are_refused(shares):
    with pytest.raises(ValueError, match="at most 1"):
        noisy_listings(RECIPES, shares)


def test_queries_keep_what_is_asked_for_in_order():
    captions = ["A photo of Beef soup, garnished with basil, on an oval plate", "with the"]
    assert user_queries(captions, typos=0) == ["beef soup basil oval plate", "with the"]
    with pytest.raises(ValueError, match="from 0 to 1"):
        user_queries(captions, typos=2)


@given(st.integers(0, 50))
def test_a_slip_exchanges_two_letters_of_one_word(seed):
    captions = [r.captions[0].text for r in RECIPES[:30]]
    plain, slipped = (user_queries(captions, typos=t, seed=seed) for t in (0, 1))
    for a, b in zip(plain, slipped, strict=True):
        changed = [(x, y) for x, y in zip(a.split(), b.split(), strict=True) if x != y]
        assert len(changed) <= 1
        for x, y in changed:
            assert sorted(x) == sorted(y)
            assert x[0] == y[0]
            assert sum(p != q for p, q in zip(x, y, strict=True)) == 2
    assert plain != slipped
    assert slipped == user_queries(captions, typos=1, seed=seed)
