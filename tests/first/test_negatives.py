"""Negatives: whose caption it is, what the guard refuses, and that order does not matter."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.records import Recipe, collapse
from helpers.first.prepare.negatives import (
    HARD_POOL,
    REASONS,
    content_words,
    near_duplicates,
    negative_pairs,
)


def frame(*rows):
    """Rows (recipe_id, image_key, caption)."""
    return pd.DataFrame(rows, columns=["recipe_id", "image_key", "caption"], dtype="str")


FOODS = ("apple pie", "beef stew", "crab salad", "duck soup", "egg curry", "fish tacos")
SIX = frame(*((str(i), f"{i}/{j}.jpg", f) for i, f in enumerate(FOODS) for j in range(2)))


@pytest.mark.parametrize("mode", ["random", "hard"])
def test_one_to_each_positive_with_label_0_and_another_recipes_caption(mode):
    found = negative_pairs(SIX, seed=1, mode=mode).frame
    assert found["image_key"].tolist() == SIX["image_key"].tolist()
    assert found["recipe_id"].tolist() == SIX["recipe_id"].tolist()
    assert set(found["label"]) == {"0"}
    assert (found["caption_recipe_id"] != found["recipe_id"]).all()
    owner = dict(zip(SIX["caption"], SIX["recipe_id"], strict=True))
    assert found["caption"].map(owner).tolist() == found["caption_recipe_id"].tolist()


def test_two_recipes_have_no_choice():
    pairs = frame(("1", "a", "apple pie"), ("2", "b", "beef stew"))
    found = negative_pairs(pairs, seed=0)
    assert found.frame["caption"].tolist() == ["beef stew", "apple pie"]
    assert found.repeated == 0


@pytest.mark.parametrize("mode", ["random", "hard"])
def test_one_recipe_is_refused_by_name(mode):
    with pytest.raises(
        ValueError, match=r"no negative caption for recipe 'soup-1'.*same recipe: 1"
    ):
        negative_pairs(frame(("soup-1", "a", "soup")), seed=0, mode=mode)


def test_near_duplicates_exchange_nothing():
    groups = {"0": "x", "1": "x", "2": "x", "3": "x", "4": "x"}
    found = negative_pairs(SIX, seed=3, groups=groups)
    rows = found.frame
    assert set(rows.loc[rows["recipe_id"] != "5", "caption_recipe_id"]) == {"5"}
    assert set(rows.loc[rows["recipe_id"] == "5", "caption_recipe_id"]) <= set("01234")
    assert found.refused["near-duplicate"] > 0
    with pytest.raises(ValueError, match="near-duplicate: 5"):
        negative_pairs(SIX, seed=3, groups=dict.fromkeys("012345", "x"))


@pytest.mark.parametrize(
    "caption",
    ["Chicken  SOUP", "the soup with chicken", "chicken soup", "soup", "prawn soup with chicken"],
)
@pytest.mark.parametrize("mode", ["random", "hard"])
def test_what_is_true_of_the_image_too_is_no_negative(caption, mode):
    own = "chicken soup with shrimp and basil"
    pairs = frame(("1", "a", own), ("2", "b", caption), ("3", "c", "beef tacos"))
    for seed in range(6):
        found = negative_pairs(pairs, seed=seed, mode=mode)
        assert found.frame["caption"].iloc[0] == "beef tacos"
    assert negative_pairs(pairs, seed=0, mode="hard").refused["says nothing else"] >= 1


def test_words_of_all_captions_of_the_recipe_count():
    pairs = frame(
        ("1", "a", "soup"), ("1", "a", "with basil"), ("2", "b", "basil soup"), ("3", "c", "tacos")
    )
    found = negative_pairs(pairs, seed=0).frame
    assert set(found.loc[found["recipe_id"] == "1", "caption"]) == {"tacos"}


def test_hard_negatives_share_more_words_than_random_ones():
    mains, plates = ("beef", "egg", "tofu", "crab", "duck"), ("red", "blue", "white", "black")
    rows = [(m, p, d) for m in mains for p in plates for d in ("soup", "pie", "curry")]
    texts = [f"{m} {d} on a {p} plate" for m, p, d in rows]
    pairs = frame(*((str(i), f"{i}.jpg", text) for i, text in enumerate(texts)))

    def shared(mode):
        found = negative_pairs(pairs, seed=0, mode=mode).frame
        pairs_of_words = zip(pairs["caption"], found["caption"], strict=True)
        return sum(len(content_words(a) & content_words(b)) for a, b in pairs_of_words) / len(pairs)

    assert shared("hard") > 2.9  # of four words, "plate" among them; its pool of ten has three
    assert shared("random") < 2.2


def test_hard_negatives_come_from_the_nearest_by_a_naive_count():
    texts = [" ".join(f"w{j}" for j in range(i, i + 6)) for i in range(30)]
    pairs = frame(*((str(i), f"{i}.jpg", text) for i, text in enumerate(texts)))
    found = negative_pairs(pairs, seed=4, mode="hard").frame
    for text, chosen in zip(pairs["caption"], found["caption"], strict=True):
        a = set(text.split())
        others = [set(t.split()) for t in texts if t != text]
        scores = sorted((len(a & b) / len(a | b) for b in others), reverse=True)
        b = set(chosen.split())
        assert len(a & b) / len(a | b) >= scores[HARD_POOL - 1]


@given(st.permutations(range(len(SIX))), st.sampled_from(["random", "hard"]))
def test_the_order_of_the_rows_does_not_matter(order, mode):
    shuffled = SIX.iloc[order]
    a = negative_pairs(SIX, seed=2, mode=mode).frame.set_index("image_key")["caption"]
    b = negative_pairs(shuffled, seed=2, mode=mode).frame.set_index("image_key")["caption"]
    assert b.index.tolist() == shuffled["image_key"].tolist()
    assert a.to_dict() == b.to_dict()


def test_the_seed_decides():
    first = negative_pairs(SIX, seed=0).frame
    assert first.equals(negative_pairs(SIX, seed=0).frame)
    assert any(not first.equals(negative_pairs(SIX, seed=s).frame) for s in (1, 2, 3))


def test_an_image_gets_each_wrong_caption_once_while_there_are_others():
    apples = [("1", "a", f"apple {word}") for word in ("pie", "cake", "tart")]
    pairs = frame(*apples, *SIX.iloc[2:].itertuples(index=False))
    found = negative_pairs(pairs, seed=5)
    assert found.frame.loc[found.frame["image_key"] == "a", "caption"].nunique() == 3
    assert found.repeated == 0
    few = frame(("1", "a", "apple pie"), ("1", "a", "apple cake"), ("2", "b", "beef stew"))
    scarce = negative_pairs(few, seed=5)
    assert scarce.frame["caption"].tolist()[:2] == ["beef stew", "beef stew"]
    assert scarce.repeated == 1


def test_more_than_one_to_each_positive():
    found = negative_pairs(SIX, seed=0, per_positive=3).frame
    assert found["image_key"].value_counts().unique().tolist() == [3]
    assert found.groupby("image_key")["caption"].nunique().unique().tolist() == [3]


@given(
    st.lists(
        st.tuples(st.sampled_from("12345"), st.sampled_from("abcdef"), st.sampled_from(FOODS)),
        min_size=1, max_size=12,
    ),
    st.dictionaries(st.sampled_from("12345"), st.sampled_from("xy")),
    st.sampled_from(["random", "hard"]),
)  # fmt: skip
def test_no_negative_is_of_the_same_recipe_or_group_or_already_said(rows, groups, mode):
    pairs = frame(*dict.fromkeys((r, f"{r}/{i}", c) for r, i, c in rows))
    said = pairs.groupby("recipe_id")["caption"].agg(set).to_dict()
    try:
        found = negative_pairs(pairs, seed=0, mode=mode, groups=groups)
    except ValueError:
        possible = {
            r: [
                c
                for other, c in zip(pairs["recipe_id"], pairs["caption"], strict=True)
                if groups.get(other, other) != groups.get(r, r) and not all(
                    any(w in own.split() for own in said[r]) for w in c.split()
                )
            ]
            for r in said
        }  # fmt: skip
        assert any(not captions for captions in possible.values())
        return
    assert len(found.frame) == len(pairs)
    for row in found.frame.itertuples():
        a, b = row.recipe_id, row.caption_recipe_id
        assert groups.get(a, a) != groups.get(b, b)
        assert row.caption in said[b]
        assert collapse(row.caption) not in said[a]


def test_near_duplicates_by_title_attributes_and_picture():
    a = Recipe("a", "Apple Pie", ("a/0",), attributes={"dish": "pie", "style": "photo"})
    b = Recipe("b", "Tarte", ("b/0",), attributes={"dish": "pie", "style": "diffusion"})
    c = Recipe("c", "apple  pie", ("c/0",))
    d = Recipe("d", "Cake", ("d/0",), attributes={"dish": "cake"})
    e = Recipe("e", "Gateau", ("e/0",))
    none = Recipe("f", "", ("f/0",))
    other = Recipe("g", "", ("g/0",))
    hashes = {"a/0": "1", "b/0": "2", "c/0": "3", "d/0": "4", "e/0": "4", "f/0": "5", "g/0": "6"}
    groups = near_duplicates([a, b, c, d, e, none, other], image_hashes=hashes)
    assert groups["a"] == groups["b"] == groups["c"]
    assert groups["d"] == groups["e"] != groups["a"]
    assert len({groups["f"], groups["g"], groups["a"], groups["d"]}) == 4
    without = near_duplicates([d, e])
    assert without["d"] != without["e"]


def test_the_guard_is_counted_by_reason():
    found = negative_pairs(SIX, seed=0, mode="hard")
    assert tuple(found.refused) == REASONS
    assert found.refused["same recipe"] == len(SIX)  # its own caption shares most words


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="unknown mode 'easy'"):
        negative_pairs(SIX, seed=0, mode="easy")
    with pytest.raises(ValueError, match="per_positive is 0"):
        negative_pairs(SIX, seed=0, per_positive=0)
