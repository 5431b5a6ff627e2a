import unicodedata
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helpers.data import trusted as module
from helpers.data.images import ImageError, load_image
from helpers.data.records import Caption, Recipe, Reject
from helpers.data.sources import open_source
from helpers.data.trusted import build_trusted_zone, folder_name, read_trusted_recipes
from helpers.store.artefacts import ArtefactError, verify
from helpers.store.zones import open_zone


@dataclass
class Fake:
    """A source in memory, as the drawn world is one; keys that start with ``bad`` fail."""

    items: list
    name: str = "fake"
    fingerprint: str = "f1"
    asked: list = field(default_factory=list)

    def recipes(self):
        return iter(self.items)

    def load_image(self, key):
        self.asked.append(key)
        if key.startswith("bad"):
            raise ImageError(f"{key} is bad")
        return Image.new("RGB", (40, 30), tuple(key.encode()[:3].ljust(3, b"x")))


def _recipe(recipe_id, *images, **more):
    return Recipe(recipe_id, "Title", images, **more)


def test_a_folder_comes_in_and_every_loss_has_a_line(zone, folder_source):
    intake = build_trusted_zone(zone, open_source(str(folder_source)), image_px=32)
    assert intake.counts == {
        "records_read": 8, "records_kept": 5, "records_rejected": 3, "images_named": 9,
        "images_kept": 6, "images_rejected": 3, "captions_rejected": 1, "fields_rejected": 0,
    }  # fmt: skip
    assert intake.rejects[["line", "item", "kind"]].values.tolist() == [
        [5, "captions[1] of tart", "caption"], [7, "007", "record"], [8, "bare", "record"],
        [1, "gone.jpg", "image"], [4, "empty.jpg", "image"], [6, "broken.jpg", "image"],
        [6, "lost", "record"],
    ]  # fmt: skip
    assert set(intake.rejects["file"]) == {"recipes.jsonl"}
    assert intake.rejects["reason"].str.len().min() > 5
    recipes = {r.recipe_id: r for r in read_trusted_recipes(zone)}
    assert list(recipes) == ["007", "NA", "cake", "stew", "tart"]
    assert recipes["NA"].captions[1] == Caption("une tarte", "fr")
    assert recipes["tart"].captions[0].text == 'line\r\nbreak, "quoted"'
    named = {f"trusted-zone/images/{key}" for r in recipes.values() for key in r.images}
    assert named == set(zone.list("trusted-zone/images"))
    for key in named:
        image = load_image(zone.read_bytes(key))
        assert (image.format, image.size, image.mode) == (None, (32, 32), "RGB")
    assert verify(zone, "trusted-zone") == []


def test_a_second_call_opens_no_image_and_tells_the_same(zone):
    source = Fake([_recipe("1", "abc", "bad"), Reject("f", 9, "line", 'a "b", c')])
    first = build_trusted_zone(zone, source)
    source.asked.clear()
    second = build_trusted_zone(zone, source)
    assert source.asked == []
    assert second.manifest == first.manifest
    assert second.counts == first.counts
    assert second.rejects.equals(first.rejects)
    assert second.rejects["reason"].tolist() == ['a "b", c', "bad is bad"]


@pytest.mark.parametrize("change", [{"image_px": 16}, {"fit": "pad"}, {"fingerprint": "f2"}])
def test_a_change_builds_anew(local_zone, change):
    source = Fake([_recipe("1", "abc")])
    before = build_trusted_zone(local_zone, source, image_px=20).manifest
    source.fingerprint = change.pop("fingerprint", "f1")
    after = build_trusted_zone(local_zone, source, **{"image_px": 20, **change}).manifest
    assert before.fingerprint != after.fingerprint
    assert len(source.asked) == 2


def test_two_zones_of_one_source_are_byte_for_byte_the_same(tmp_path, folder_source):
    zones = [open_zone(str(tmp_path / name)) for name in "ab"]
    made = [build_trusted_zone(zone, open_source(str(folder_source))).manifest for zone in zones]
    assert made[0].fingerprint == made[1].fingerprint
    assert made[0].files == made[1].files
    assert len({(zone.root / "trusted-zone/rejects.csv").read_bytes() for zone in zones}) == 1


def test_a_picture_that_repeats_in_a_recipe_is_taken_once(local_zone):
    intake = build_trusted_zone(local_zone, Fake([_recipe("1", "abc", "xyz", "abcd", "abc")]))
    assert read_trusted_recipes(local_zone)[0].images == ("1/0.jpg", "1/1.jpg")
    assert intake.rejects["reason"].tolist() == ["the same picture as abc of this recipe"] * 2
    assert intake.rejects["file"].tolist() == ["fake", "fake"]


def test_a_recipe_without_words_is_rejected(local_zone):
    empty = Recipe("0", "", ("abc",))
    intake = build_trusted_zone(local_zone, Fake([empty, _recipe("1", "abc")]))
    assert intake.rejects["reason"].tolist() == [
        "has no caption, and no title, description or ingredients to make one of"
    ]


def test_nothing_kept_is_an_error_with_the_reasons(local_zone):
    with pytest.raises(
        ValueError, match=r"none of its 2 records can be kept \(2 times, first in .*: bad is bad"
    ):
        build_trusted_zone(local_zone, Fake([_recipe("1", "bad"), _recipe("2", "bad")]))
    with pytest.raises(ValueError, match="holds no record"):
        build_trusted_zone(local_zone, Fake([]))


def test_a_count_that_does_not_add_up_is_an_error(local_zone, monkeypatch):
    keep = module._keep_images

    def lose(recipe, jpeg_of, rejects):
        return {} if recipe.recipe_id == "2" else keep(recipe, jpeg_of, rejects)

    monkeypatch.setattr(module, "_keep_images", lose)
    with pytest.raises(AssertionError, match="records_read is 2, accounted for: 1"):
        build_trusted_zone(local_zone, Fake([_recipe("1", "abc"), _recipe("2", "abc")]))


def test_a_zone_with_files_of_somebody_else_is_left_alone(local_zone):
    local_zone.write_bytes("trusted-zone/images/mine.jpg", b"mine")
    with pytest.raises(ArtefactError, match=r"mine\.jpg"):
        build_trusted_zone(local_zone, Fake([_recipe("1", "abc")]))
    assert local_zone.list("trusted-zone") == ["trusted-zone/images/mine.jpg"]


ITEMS = st.lists(
    st.one_of(
        st.builds(_recipe, st.sampled_from("123"), st.sampled_from(["abc", "bad", "xyz"])),
        st.builds(_recipe, st.sampled_from("45"), st.just("abc"), st.sampled_from(["bad", "xyz"])),
        st.builds(_recipe, st.sampled_from("678")),
        st.builds(Reject, st.just("f"), st.integers(1, 9), st.text(), st.text(),
                  st.sampled_from(["record", "image", "caption", "field"])),
    ), max_size=8,
)  # fmt: skip


@given(ITEMS)
def test_counts_reconcile_for_any_source(items):
    zone = open_zone("memory://reconcile")
    zone.root.fs.rm("/", recursive=True)
    intake = build_trusted_zone(zone, Fake([*items, _recipe("ok", "abc")]), image_px=8)
    counts, kinds = intake.counts, intake.rejects["kind"].value_counts()
    for thing, total in (("record", "records_read"), ("image", "images_named")):
        assert counts[total] == counts[f"{thing}s_kept"] + counts[f"{thing}s_rejected"]
        assert kinds.get(thing, 0) == counts[f"{thing}s_rejected"]
    assert counts["images_kept"] == len(zone.list("trusted-zone/images"))
    assert counts["records_read"] == 1 + sum(
        isinstance(item, Recipe) or item.kind == "record" for item in items
    )


def test_folder_names():
    assert [folder_name(i) for i in ("007", "a-b_c")] == ["007", "a-b_c"]
    tricky = ["NA", "na", "Na", "con", "lpt1", "a/b", "a b", "..", ".", "é", "e\u0301", "豆沙包",
              "x" * 300, "-x", "nul.txt"]  # fmt: skip
    names = [folder_name(i) for i in tricky]
    assert len({name.lower() for name in names}) == len(tricky)
    assert not {"con", "lpt1", "nul", "..", "."} & set(names)


@given(st.text(min_size=1).filter(lambda t: t.isprintable()))
def test_a_folder_name_is_plain(text):
    name = folder_name(text)
    assert name.isascii()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")
    assert 0 < len(name) <= 64
    assert unicodedata.is_normalized("NFC", name)


def test_the_real_recipes_come_in_whole(real_recipes, local_zone):
    intake = build_trusted_zone(
        local_zone, open_source(str(real_recipes), max_recipes=6), image_px=64, progress=False
    )
    assert intake.counts["records_kept"] == 6
    assert intake.rejects.empty
    key = local_zone.list("trusted-zone/images")[0]
    assert np.asarray(load_image(local_zone.read_bytes(key))).std() > 5
