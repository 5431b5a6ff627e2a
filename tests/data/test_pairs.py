import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helpers.data.pairs import (
    COLUMNS,
    build_pairs,
    ensure_pairs,
    read_pairs,
    removed_captions,
    retrieval_set,
    write_pairs,
)
from helpers.data.records import Caption, Recipe
from helpers.data.splits import leak_audit
from helpers.store.artefacts import ArtefactError, verify
from helpers.store.zones import open_zone
from tests.data.conftest import write_jsonl

PIE = Recipe(
    "007", "Pie", ("7/0.jpg", "7/1.jpg"),
    (Caption("NA"), Caption(" a  pie"), Caption("a pie "), Caption("  "), Caption("A pie", "fr")),
    attributes={"style": "photo"},
)  # fmt: skip
SOUP = Recipe("NA", "None", ("n/0.jpg",))


def test_every_image_with_every_distinct_caption_of_its_recipe():
    frame = build_pairs([PIE, SOUP], source="s")
    assert frame.values.tolist() == [
        ["007", image, caption, language, "photo", "s", ""]
        for image in ("7/0.jpg", "7/1.jpg")
        for caption, language in (("NA", "en"), (" a  pie", "en"), ("A pie", "fr"))
    ] + [["NA", "n/0.jpg", "None", "en", "", "s", ""]]
    assert list(frame.columns) == list(COLUMNS)
    assert frame.dtypes.map(str).isin(["str", "object"]).all()
    assert removed_captions([PIE, SOUP]).values.tolist() == [
        ["007", "a pie ", "same as an earlier caption of its recipe"], ["007", "  ", "empty"],
    ]  # fmt: skip
    assert list(build_pairs([]).columns) == list(COLUMNS)


def test_a_caption_that_two_recipes_share_stays_with_both():
    other = Recipe("8", "None", ("8/0.jpg",))
    assert build_pairs([SOUP, other])["recipe_id"].tolist() == ["NA", "8"]


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=9) | st.sampled_from(
    ["007", "NA", "None", "nan", "", '"', "a\nb", "a\r\nb", "\r", ",", "1e5", " x ", "\ufeff", "#"]
)


@given(st.lists(st.tuples(*[TEXT] * len(COLUMNS)), max_size=5))
def test_any_text_survives_the_round_trip(rows):
    frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype="str")
    pd.testing.assert_frame_equal(read_pairs(write_pairs(frame)), frame)


def test_a_retrieval_set_has_each_image_and_caption_once():
    frame = build_pairs([PIE, SOUP, Recipe("8", "None", ("8/0.jpg",))])
    found = retrieval_set(frame)
    assert found.image_keys == ("7/0.jpg", "7/1.jpg", "n/0.jpg", "8/0.jpg")
    assert found.image_ids.tolist() == ["007", "007", "NA", "8"]
    assert found.captions == ("NA", " a  pie", "A pie", "None", "None")
    assert found.caption_ids.tolist() == ["007"] * 3 + ["NA", "8"]
    assert found.image_ids.dtype.kind == found.caption_ids.dtype.kind == "U"
    assert retrieval_set(frame[:0]).caption_ids.shape == (0,)


def test_a_test_of_one_recipe_is_refused():
    frame = build_pairs([PIE, SOUP])
    tested = frame.assign(split="test")
    assert len(retrieval_set(tested).captions) == len(retrieval_set(frame).captions)
    for split in ("train", "validation"):
        assert set(retrieval_set(frame[:1].assign(split=split)).caption_ids) == {"007"}
    assert len(retrieval_set(frame[:1].drop(columns="split")).captions) == 1
    with pytest.raises(ValueError, match=r"one recipe, '007', and .* raise test_share"):
        retrieval_set(tested[:1])


def test_pairs_of_a_folder(zone, folder_source):
    pairs = ensure_pairs(zone, source=str(folder_source), image_px=32)
    assert pairs.counts.loc["all"].to_dict() == {
        "recipes": 5, "images": 6, "captions": 8, "pairs": 10, "duplicates_removed": 1,
        "missing_removed": 0,
    }  # fmt: skip
    assert pairs.counts["recipes"].to_dict() == {"train": 2, "validation": 1, "test": 2, "all": 5}
    assert pairs.counts[:3].sum().tolist() == pairs.counts.loc["all"].tolist()
    assert pd.concat([pairs.train, pairs.validation, pairs.test])["split"].tolist() == (
        ["train"] * len(pairs.train) + ["validation"] * len(pairs.validation)
        + ["test"] * len(pairs.test)
    )  # fmt: skip
    assert set(pairs.all["source"]) == {"dishes"}
    assert set(pairs.all["recipe_id"]) == {"007", "NA", "cake", "stew", "tart"}
    assert 'line\r\nbreak, "quoted"' in set(pairs.all["caption"])
    assert leak_audit(pairs.all, image_hashes=pairs.image_hashes).empty
    assert {pairs.image(key).size for key in pairs.all["image_key"]} == {(32, 32)}
    test_file = read_pairs(zone.read_text("fine-tuning-zone/datasets/test_pairs_positive.csv"))
    assert set(test_file["split"]) == {"test"}
    assert verify(zone, "pairs") == []


def test_a_second_call_writes_nothing(local_zone, folder_source, monkeypatch):
    first = ensure_pairs(local_zone, source=str(folder_source))
    monkeypatch.setattr(type(local_zone), "write_bytes", lambda *_: pytest.fail("wrote"))
    second = ensure_pairs(local_zone, source=str(folder_source))
    assert second.manifest == first.manifest
    pd.testing.assert_frame_equal(second.all, first.all)
    pd.testing.assert_frame_equal(second.counts, first.counts)


def test_what_changes_the_pairs_and_what_only_the_split(tmp_path, folder_source):
    zone = open_zone(str(tmp_path / "z"))
    first = ensure_pairs(zone, source=str(folder_source))
    other_seed = ensure_pairs(zone, source=str(folder_source), seed=43)
    assert other_seed.intake.manifest == first.intake.manifest
    assert other_seed.manifest.fingerprint != first.manifest.fingerprint
    half = ensure_pairs(zone, source=str(folder_source), test_share=0.6, validation_share=0)
    assert half.counts["recipes"].to_dict() == {"train": 2, "validation": 0, "test": 3, "all": 5}
    small = ensure_pairs(zone, source=str(folder_source), max_recipes=2, split_used=False)
    assert small.counts.loc["all", "recipes"] <= 2
    assert set(zone.list("fine-tuning-zone/images")) == {
        f"fine-tuning-zone/images/{key}" for key in small.all["image_key"]
    }
    again = ensure_pairs(open_zone(str(tmp_path / "y")), source=str(folder_source))
    assert again.manifest.fingerprint == first.manifest.fingerprint
    assert again.manifest.files == first.manifest.files


def test_recipes_with_one_picture_stay_on_one_side(tmp_path, local_zone):
    records = []
    for i in range(20):
        noise = np.random.default_rng(i).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((80, 80), Image.Resampling.BICUBIC).save(
            tmp_path / f"{i}.png"
        )
        images = [f"{i}.png"] + (["0.png"] if i % 4 == 0 else [])
        records.append({"recipe_id": f"{i}", "title": f"dish {i}", "images": images})
    path = write_jsonl(tmp_path / "r.jsonl", records)
    for seed in range(6):
        pairs = ensure_pairs(local_zone, source=str(path), seed=seed, image_px=24)
        assert leak_audit(pairs.all, image_hashes=pairs.image_hashes).empty
        assert set(pairs.all["split"]) == {"train", "validation", "test"}
        joined = pairs.all[pairs.all["recipe_id"].astype(int) % 4 == 0]
        assert joined["split"].nunique() == 1
    swapped = pairs.all.assign(split=pairs.all["split"].where(pairs.all["recipe_id"] != "4", "x"))
    assert "image" in set(leak_audit(swapped, image_hashes=pairs.image_hashes)["leak"])


def test_edited_pairs_are_refused_by_name(local_zone, folder_source):
    ensure_pairs(local_zone, source=str(folder_source))
    local_zone.write_bytes("fine-tuning-zone/datasets/test_pairs_positive.csv", b"mine")
    with pytest.raises(ArtefactError, match=r"test_pairs_positive\.csv.*delete it"):
        ensure_pairs(local_zone, source=str(folder_source))


def test_pairs_of_a_drawn_world(local_zone):
    pairs = ensure_pairs(local_zone, source="world:kitchen", max_recipes=6, image_px=32)
    assert pairs.counts.loc["all", "recipes"] == 6
    assert set(pairs.all["style"]) == {"photo"}
    assert pairs.intake.rejects.empty
