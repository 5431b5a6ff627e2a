"""Does cleaning move retrieval: slots, agreement by hand, paired queries, runs, and the records."""

import numpy as np
import pandas as pd
import pytest

from helpers.data.pairs import ensure_pairs
from helpers.first.evaluation.intervals import wilson_interval
from helpers.first.models.placement import Placement
from helpers.first.prepare.cleaning import ensure_cleaned
from helpers.first.prepare.crawled import crawled_pairs
from helpers.first.report.cleaning import moved, moved_records, rule_table, score_table
from helpers.first.report.studies import comparison_table
from helpers.first.studies.cleaning import (
    CLEAN,
    CLEANED,
    CRAWLED,
    TEXTS,
    Measured,
    agreement,
    caption_slots,
    short_arm,
    trained,
    training_pairs,
    untouched,
    zero_shot,
)
from helpers.first.training import runs
from helpers.first.training.arms import Arm
from helpers.first.training.settings import Training
from helpers.store.zones import open_zone
from tests.first.small_training import small_encoder

ARM = Arm(Placement(rank=2, alpha=4), Training(epochs=1, batch_size=8, draw="image", keep="last"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    zone = open_zone(str(tmp_path_factory.mktemp("study") / "z"))
    pairs = ensure_pairs(zone, source="world:kitchen", max_recipes=30, progress=False)
    crawled, truth = crawled_pairs(pairs, source="world:kitchen", max_recipes=30)
    cleaned = ensure_cleaned(crawled)
    return pairs, cleaned, truth, caption_slots(cleaned, truth)


SLOTS = pd.DataFrame(
    [
        ("1", "soup #yum", "soup", "soup", "en", "url", ""),
        ("1", "sopa", "soup", "soup", "es", "none", ""),
        ("1", "pan", "pan", "bread", "es", "none", "untranslated: pan"),
        ("1", "torta", "cake", "pie", "es", "none", ""),
        ("1", "Pie", "pie", "Pie", "en", "none", ""),
    ],
    columns=["recipe_id", CRAWLED, CLEANED, CLEAN, "language", "noise", "flags"],
)


def test_agreement_by_hand():
    table = agreement(SLOTS, ["language"]).set_index("language")
    assert table["n"].to_dict() == {"en": 2, "es": 3}
    assert table["agree"].to_dict() == {"en": 1.0, "es": pytest.approx(1 / 3)}
    assert table["flagged"].to_dict() == {"en": 0.0, "es": pytest.approx(1 / 3)}
    assert table["wrong"].to_dict() == {"en": 0.0, "es": pytest.approx(1 / 3)}
    limits = wilson_interval(1, 3)
    assert tuple(table.loc["es", ["low", "high"]]) == pytest.approx((limits.low, limits.high))
    both = agreement(SLOTS, ["language", "noise"])
    assert both[["language", "noise", "n"]].values.tolist() == [
        ["en", "none", 1], ["en", "url", 1], ["es", "none", 3],
    ]  # fmt: skip
    assert untouched(SLOTS) == (0, 1)  # "Pie" became "pie"


def test_a_slot_is_a_caption_with_its_three_texts(made):
    pairs, cleaned, truth, slots = made
    assert len(slots) == len(truth) == len(cleaned.captions)
    assert set(slots.columns) >= {*TEXTS, "split", "language", "language_found", "noise", "flags"}
    split = dict(zip(pairs.all["recipe_id"], pairs.all["split"], strict=True))
    assert [split[r] for r in slots["recipe_id"]] == slots["split"].tolist()
    without = caption_slots(cleaned, truth.iloc[:0])
    assert CLEAN not in without
    assert len(without) == len(slots)


def test_zero_shot_asks_the_same_pictures_with_each_text(made):
    pairs, _, _, slots = made
    encoder = small_encoder("siglip")
    found = zero_shot(pairs, slots, encoder)
    n_slots = int((slots["split"] == "test").sum())
    n_images = pairs.test["image_key"].nunique()
    for way, n in (("text_to_image", n_slots), ("image_to_text", n_images)):
        assert list(found.values[way]) == list(TEXTS)
        assert {len(v) for v in found.values[way].values()} == {len(found.groups[way])} == {n}
    same = slots.assign(**{CRAWLED: slots[CLEAN], CLEANED: slots[CLEAN]})
    for values in zero_shot(pairs, same, encoder).values.values():
        assert (values[CRAWLED] == values[CLEAN]).all()
    assert (found.values["text_to_image"][CLEAN] == values_of(pairs, slots, encoder)).all()


def values_of(pairs, slots, encoder):
    """Text-to-image hit@10 of the clean captions, one query at a time."""
    asked = slots[slots["split"] == "test"]
    pictures = pairs.test.drop_duplicates("image_key")
    images = encoder.images([pairs.image(key) for key in pictures["image_key"]])
    hits = []
    for recipe, text in asked[["recipe_id", CLEAN]].itertuples(index=False):
        scores = images @ encoder.texts([text])[0]
        right = (pictures["recipe_id"] == recipe).to_numpy()
        hits.append(float((scores > scores[right].max()).sum() < 10))
    return np.array(hits)


def test_training_pairs_differ_in_the_training_part_alone(made):
    pairs, _, _, slots = made
    parts = {text: training_pairs(pairs, slots, text) for text in TEXTS}
    assert len({p.manifest.fingerprint for p in parts.values()}) == 3
    for text, found in parts.items():
        assert found.test["caption"].tolist() == parts[CLEAN].test["caption"].tolist()
        known = slots[slots["split"] != "test"]
        assert set(found.train["caption"]) <= set(known[text])
        assert set(found.train["image_key"]) == set(pairs.train["image_key"])
        assert not found.all.duplicated(["image_key", "caption"]).any()
    assert set(parts[CRAWLED].train["caption"]) != set(parts[CLEAN].train["caption"])
    few = training_pairs(pairs, slots, CLEAN, train_recipes=5)
    assert few.train["recipe_id"].nunique() == 5
    assert few.test.equals(parts[CLEAN].test)
    with pytest.raises(ValueError, match="no text 'dirty'"):
        training_pairs(pairs, slots, "dirty")
    with pytest.raises(ValueError, match="no text 'clean'"):
        training_pairs(pairs, slots.drop(columns=CLEAN), CLEAN)


def test_trained_models_answer_the_same_questions(made, tmp_path, monkeypatch):
    monkeypatch.setattr(runs.paths, "cache", lambda: tmp_path)
    pairs, _, _, slots = made
    found = trained(pairs, slots, small_encoder("siglip"), ARM, seeds=[1, 2])
    for way in ("text_to_image", "image_to_text"):
        values = found.values[way]
        assert list(values) == list(TEXTS)
        assert {len(v) for v in values.values()} == {len(found.groups[way])}
        assert all(set(np.unique(v)) <= {0.0, 0.5, 1.0} for v in values.values())
    assert len(found.groups["image_to_text"]) == pairs.test["image_key"].nunique()


def test_the_short_training_is_that_of_lesson_04():
    arm = short_arm(epochs=1)
    assert (arm.placement.rank, arm.training.epochs, arm.training.keep) == (8, 1, "last")


def test_records_and_tables():
    values = {CRAWLED: np.zeros(40), CLEANED: np.ones(40), CLEAN: np.ones(40)}
    groups = np.repeat([f"r{i}" for i in range(20)], 2)
    ways = ("text_to_image", "image_to_text")
    measured = Measured(dict.fromkeys(ways, values), dict.fromkeys(ways, groups))
    records = moved_records({"zero-shot": measured}, lesson="01", run="t", data="d")
    assert len(records) == 2 * (3 + 2 * 2)
    assert len(moved(records)) == 2 * 2 * 2
    table = comparison_table(moved(records))
    assert table["model"].tolist() == ["zero-shot, cleaned", "zero-shot, clean"] * 2
    assert set(table["verdict"]) == {"better"}
    shown = score_table(agreement(SLOTS, ["language"]))
    assert shown["as the clean caption, %"].tolist()[0].startswith("100.0 [")
    assert shown["flagged and kept, %"].tolist() == [0.0, 33.3]


def test_the_rule_table_counts_each_rule_once_a_caption():
    captions = pd.DataFrame(
        {"rules": ["html", "html url", "", "url"], "removed": ["<b>", "<i> www.x.y", "", "www.z.y"]}
    )
    assert rule_table(captions).values.tolist() == [["html", 2, "<b>"], ["url", 2, "www.z.y"]]
    assert rule_table(captions.iloc[2:3]).empty
