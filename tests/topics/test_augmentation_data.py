"""Negatives, and the augmented table in a zone: whose captions, what stays out, what is kept."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helpers.data.pairs import TRAIN, ensure_pairs
from helpers.data.records import Recipe, collapse
from helpers.store.artefacts import ArtefactError, verify
from helpers.store.zones import open_zone
from helpers.topics.augmentation.config import load_config
from helpers.topics.augmentation.dataset import (
    AUGMENTED_COLUMNS,
    AUGMENTED_IMAGES,
    TABLE,
    augmented_key,
    ensure_augmented,
    rewritten_rows,
)
from helpers.topics.augmentation.facts import content_words
from helpers.topics.augmentation.negatives import (
    HARD_POOL,
    REASONS,
    near_duplicates,
    negative_pairs,
)

CONFIG = load_config()


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
    with pytest.raises(ValueError, match="no negative caption for recipe 'soup-1': all 1"):
        negative_pairs(frame(("soup-1", "a", "soup")), seed=0, mode=mode)


def test_near_duplicates_exchange_nothing():
    groups = {"0": "x", "1": "x", "2": "x", "3": "x", "4": "x"}
    found = negative_pairs(SIX, seed=3, groups=groups)
    rows = found.frame
    assert set(rows.loc[rows["recipe_id"] != "5", "caption_recipe_id"]) == {"5"}
    assert set(rows.loc[rows["recipe_id"] == "5", "caption_recipe_id"]) <= set("01234")
    assert found.refused["near-duplicate"] > 0
    with pytest.raises(ValueError, match="near-duplicate's"):
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


def test_near_duplicates_by_title_attributes_and_image():
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


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match="unknown mode 'easy'"):
        negative_pairs(SIX, seed=0, mode="easy")


# The table in a zone


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    zone = open_zone(str(tmp_path_factory.mktemp("zone")))
    return ensure_pairs(zone, source="world:kitchen", max_recipes=14, image_px=32, progress=False)


@pytest.fixture
def made(pairs):
    """The default table; rebuilt if another test made another."""
    return ensure_augmented(pairs, config=CONFIG, seed=7)


def test_the_table_has_its_columns_its_place_and_one_negative_to_each_positive(pairs, made):
    assert tuple(made.all.columns) == AUGMENTED_COLUMNS
    assert AUGMENTED_COLUMNS[:8] == (
        "recipe_id", "image_key", "caption", "label", "language", "style", "source", "split",
    )  # fmt: skip
    assert TABLE == "fine-tuning-zone/datasets/train_pairs_augmented_with_negatives.csv"
    assert pairs.zone.exists(TABLE)
    assert len(made.positives) == len(made.negatives)
    images = made.positives["image_key"].value_counts()
    assert images.to_dict() == made.negatives["image_key"].value_counts().to_dict()


def test_validation_and_test_are_never_augmented(pairs, made):
    outside = set(pairs.validation["recipe_id"]) | set(pairs.test["recipe_id"])
    assert outside
    assert outside.isdisjoint(made.all["recipe_id"])
    assert outside.isdisjoint(made.all["caption_recipe_id"])
    assert set(made.all["split"]) == {"train"}
    elsewhere = {k.rsplit("/", 1)[0] for k in pairs.test["image_key"]}
    written = pairs.zone.list(AUGMENTED_IMAGES)
    assert not any(f"/{folder}/" in key for key in written for folder in elsewhere)
    assert "validation" in pairs.zone.read_text(TRAIN)  # it was there to be taken


def test_the_originals_are_all_there_unchanged(pairs, made):
    kept = made.positives[made.positives["origin"] == "original"]
    columns = ["recipe_id", "image_key", "caption", "language", "style", "source", "split"]
    assert kept[columns].reset_index(drop=True).equals(pairs.train[columns])
    assert set(kept["label"]) == {"1"}
    assert (kept["caption_recipe_id"] == kept["recipe_id"]).all()


def test_every_original_has_its_changed_copy(pairs, made):
    changed = made.positives[made.positives["origin"] == "augmented"]
    wanted = {augmented_key(key, 1) for key in pairs.train["image_key"]}
    assert set(changed["image_key"]) == wanted
    assert {f"{AUGMENTED_IMAGES}/{key}" for key in wanted} == set(pairs.zone.list(AUGMENTED_IMAGES))
    assert made.counts["augmented_positives"] == len(changed)
    total = made.counts["augmented_positives"] + made.counts["duplicates_removed"]
    assert total == len(pairs.train) == made.counts["original_positives"]
    for row in changed[changed["caption_rule"] == ""].itertuples():
        assert row.caption in set(pairs.train["caption"])


def test_images_open_by_their_key(pairs, made):
    key = pairs.train["image_key"].iloc[0]
    assert np.array_equal(np.asarray(made.image(key)), np.asarray(pairs.image(key)))
    rows = made.positives[made.positives["image_rule"] != ""]
    row = rows.iloc[0]
    before = np.asarray(made.image(row["image_key"].replace(".aug1", "")), float)
    after = np.asarray(made.image(row["image_key"]), float)
    assert before.shape == after.shape
    assert np.abs(before - after).mean() > 2


def test_no_negative_is_of_the_same_recipe_nor_says_what_the_recipe_says(pairs, made):
    wrong = made.negatives
    assert (wrong["recipe_id"] != wrong["caption_recipe_id"]).all()
    said = pairs.train.groupby("recipe_id")["caption"].agg(set)
    assert not any(row.caption in said[row.recipe_id] for row in wrong.itertuples())
    assert all(row.caption in said[row.caption_recipe_id] for row in wrong.itertuples())


def test_a_second_call_builds_nothing_and_a_changed_setting_does(pairs, made):
    again = ensure_augmented(pairs, config=CONFIG, seed=7)
    assert again.manifest.created == made.manifest.created
    assert again.all.equals(made.all)
    assert verify(pairs.zone, "augmented-pairs") == []
    texts_only = ensure_augmented(pairs, seed=7, config=CONFIG.only(*CONFIG.texts))
    assert texts_only.manifest.fingerprint != made.manifest.fingerprint
    assert set(texts_only.positives["image_rule"]) == {""}


def test_the_same_settings_give_the_same_files_in_another_zone(pairs, made, tmp_path):
    other = ensure_pairs(
        open_zone(str(tmp_path)),
        source="world:kitchen",
        max_recipes=14,
        image_px=32,
        progress=False,
    )
    twin = ensure_augmented(other, config=CONFIG, seed=7)
    assert twin.manifest.fingerprint == made.manifest.fingerprint
    assert (
        ensure_augmented(other, config=CONFIG, seed=8).manifest.fingerprint
        != made.manifest.fingerprint
    )


def test_copies_and_negatives_can_be_left_out(pairs):
    plain = ensure_augmented(pairs, config=CONFIG, copies=0, negatives="none")
    assert len(plain.all) == len(pairs.train)
    assert plain.negatives.empty
    assert pairs.zone.list(AUGMENTED_IMAGES) == []
    two = ensure_augmented(pairs, config=CONFIG, copies=2, negatives="none")
    keys = set(two.positives["image_key"])
    assert all(augmented_key(k, c) in keys for k in pairs.train["image_key"] for c in (1, 2))
    a, b = (two.image(augmented_key(pairs.train["image_key"].iloc[0], c)) for c in (1, 2))
    assert not np.array_equal(np.asarray(a), np.asarray(b))


def test_nothing_enabled_makes_copies_of_the_captions_as_they_are(pairs):
    same = ensure_augmented(pairs, config=CONFIG.only(), negatives="none")
    copies = same.positives[same.positives["origin"] == "augmented"]
    assert sorted(copies["caption"]) == sorted(pairs.train["caption"])
    assert same.counts["captions_unchanged"] == len(copies)


def test_foreign_files_are_refused(tmp_path):
    zone = open_zone(str(tmp_path))
    pairs = ensure_pairs(zone, source="world:kitchen", max_recipes=8, image_px=32, progress=False)
    zone.write_bytes(f"{AUGMENTED_IMAGES}/mine.jpg", b"mine")
    with pytest.raises(ArtefactError, match=r"mine\.jpg"):
        ensure_augmented(pairs, config=CONFIG)


@pytest.fixture
def small(tmp_path):
    """Three recipes of a user's own: two of one title, captions that come to be the same."""
    rng = np.random.default_rng(0)
    records = [
        {"recipe_id": "1", "title": "Plum pie", "captions": ["Homemade Pie", "Classic Pie"]},
        {"recipe_id": "2", "title": "plum  pie", "captions": ["purple dessert"]},
        {"recipe_id": "3", "title": "Suppe", "captions": [{"text": "Suppe", "language": "de"}]},
    ]
    for record in records:
        record["images"] = [f"{record['recipe_id']}.png"]
        noise = Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8))
        noise.save(tmp_path / record["images"][0])
    lines = "\n".join(json.dumps(record) for record in records)
    (tmp_path / "recipes.jsonl").write_text(lines, encoding="utf-8")
    return ensure_pairs(
        open_zone(str(tmp_path / "zone")), source=str(tmp_path), image_px=24, progress=False,
        test_share=0, validation_share=0,
    )  # fmt: skip


def test_rows_that_come_to_be_the_same_are_kept_once(small):
    made = ensure_augmented(small, config=CONFIG.only("prefix_remove"))
    pies = made.positives[made.positives["image_key"] == augmented_key("1/0.jpg", 1)]
    assert pies["caption"].tolist() == ["Pie"]
    assert made.counts["duplicates_removed"] == 1
    assert len(made.negatives) == len(made.positives) == 4 + 3


def test_recipes_of_one_title_exchange_no_captions_and_languages_follow_the_caption(small):
    wrong = ensure_augmented(small, config=CONFIG).negatives
    pies = wrong[wrong["recipe_id"].isin(["1", "2"])]
    assert set(pies["caption_recipe_id"]) == {"3"}
    assert set(pies["language"]) == {"de"}
    assert set(wrong.loc[wrong["recipe_id"] == "3", "language"]) == {"en"}


def test_a_caption_is_rewritten_alike_for_every_image_of_its_recipe(pairs):
    done = rewritten_rows(pairs.train, CONFIG, seed=0, copy=1)
    key = [pairs.train["recipe_id"], pairs.train["caption"]]
    assert done["caption"].groupby(key).nunique().max() == 1
    other = rewritten_rows(pairs.train.iloc[::-1], CONFIG, seed=0, copy=1)
    assert other.sort_index()["caption"].tolist() == done["caption"].tolist()
    second = rewritten_rows(pairs.train, CONFIG, seed=0, copy=2)
    assert (second["caption"] != done["caption"]).any()


def test_wrong_settings_are_named(pairs):
    with pytest.raises(ValueError, match="copies is -1"):
        ensure_augmented(pairs, config=CONFIG, copies=-1)
    with pytest.raises(ValueError, match="negatives is 'easy'; use one of random, hard, none"):
        ensure_augmented(pairs, config=CONFIG, negatives="easy")
    empty = replace(pairs, all=pairs.test)
    with pytest.raises(ValueError, match="no training pairs"):
        ensure_augmented(empty, config=CONFIG, seed=99)
