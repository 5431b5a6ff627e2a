"""The augmented table in a zone: what it holds, what stays out of it, when it is built anew."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from helpers.data.pairs import TRAIN, ensure_pairs
from helpers.first.prepare.augment import (
    AUGMENTED_COLUMNS,
    AUGMENTED_IMAGES,
    TABLE,
    augmented_captions,
    augmented_key,
    ensure_augmented,
)
from helpers.first.prepare.augmentation_settings import load_config, only
from helpers.store.artefacts import ArtefactError, verify
from helpers.store.zones import open_zone

CONFIG = load_config()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    zone = open_zone(str(tmp_path_factory.mktemp("zone")))
    return ensure_pairs(zone, source="world:kitchen", max_recipes=14, image_px=32, progress=False)


@pytest.fixture
def made(pairs):
    """The default table; rebuilt if another test made another."""
    return ensure_augmented(pairs, seed=7)


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
    again = ensure_augmented(pairs, seed=7)
    assert again.manifest.created == made.manifest.created
    assert again.all.equals(made.all)
    assert verify(pairs.zone, "augmented-pairs") == []
    texts_only = ensure_augmented(pairs, seed=7, config=only(CONFIG, *CONFIG.texts))
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
    twin = ensure_augmented(other, seed=7)
    assert twin.manifest.fingerprint == made.manifest.fingerprint
    assert ensure_augmented(other, seed=8).manifest.fingerprint != made.manifest.fingerprint


def test_copies_and_negatives_can_be_left_out(pairs):
    plain = ensure_augmented(pairs, copies=0, negatives="none")
    assert len(plain.all) == len(pairs.train)
    assert plain.negatives.empty
    assert pairs.zone.list(AUGMENTED_IMAGES) == []
    two = ensure_augmented(pairs, copies=2, negatives="none")
    keys = set(two.positives["image_key"])
    assert all(augmented_key(k, c) in keys for k in pairs.train["image_key"] for c in (1, 2))
    a, b = (two.image(augmented_key(pairs.train["image_key"].iloc[0], c)) for c in (1, 2))
    assert not np.array_equal(np.asarray(a), np.asarray(b))


def test_nothing_enabled_makes_copies_of_the_captions_as_they_are(pairs):
    same = ensure_augmented(pairs, config=only(CONFIG), negatives="none")
    copies = same.positives[same.positives["origin"] == "augmented"]
    assert sorted(copies["caption"]) == sorted(pairs.train["caption"])
    assert same.counts["captions_unchanged"] == len(copies)


def test_foreign_files_are_refused(tmp_path):
    zone = open_zone(str(tmp_path))
    pairs = ensure_pairs(zone, source="world:kitchen", max_recipes=8, image_px=32, progress=False)
    zone.write_bytes(f"{AUGMENTED_IMAGES}/mine.jpg", b"mine")
    with pytest.raises(ArtefactError, match=r"mine\.jpg"):
        ensure_augmented(pairs)


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
    made = ensure_augmented(small, config=only(CONFIG, "prefix_remove"))
    pies = made.positives[made.positives["image_key"] == augmented_key("1/0.jpg", 1)]
    assert pies["caption"].tolist() == ["Pie"]
    assert made.counts["duplicates_removed"] == 1
    assert len(made.negatives) == len(made.positives) == 4 + 3


def test_recipes_of_one_title_exchange_no_captions_and_languages_follow_the_caption(small):
    wrong = ensure_augmented(small).negatives
    pies = wrong[wrong["recipe_id"].isin(["1", "2"])]
    assert set(pies["caption_recipe_id"]) == {"3"}
    assert set(pies["language"]) == {"de"}
    assert set(wrong.loc[wrong["recipe_id"] == "3", "language"]) == {"en"}


def test_a_caption_is_rewritten_alike_for_every_image_of_its_recipe(pairs):
    done = augmented_captions(pairs.train, CONFIG.texts, seed=0, copy=1)
    key = [pairs.train["recipe_id"], pairs.train["caption"]]
    assert done["caption"].groupby(key).nunique().max() == 1
    other = augmented_captions(pairs.train.iloc[::-1], CONFIG.texts, seed=0, copy=1)
    assert other.sort_index()["caption"].tolist() == done["caption"].tolist()
    second = augmented_captions(pairs.train, CONFIG.texts, seed=0, copy=2)
    assert (second["caption"] != done["caption"]).any()


def test_wrong_settings_are_named(pairs):
    with pytest.raises(ValueError, match="copies is -1"):
        ensure_augmented(pairs, copies=-1)
    with pytest.raises(ValueError, match="negatives is 'easy'; use one of random, hard, none"):
        ensure_augmented(pairs, negatives="easy")
    empty = replace(pairs, all=pairs.test)
    with pytest.raises(ValueError, match="no training pairs"):
        ensure_augmented(empty, seed=99)
