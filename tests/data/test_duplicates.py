"""The search for near-duplicates: hash, alignment, decision, and what the split makes of them."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.data.duplicates import (
    COLUMNS,
    LUMINANCE,
    WHOLE,
    WINDOWS,
    aligned,
    between_recipes,
    compare,
    find_matches,
    groups_of,
    hashes,
    proposed,
    thumbnail,
    warped,
)
from helpers.data.pairs import ensure_pairs
from helpers.data.splits import leak_audit
from tests.data.conftest import write_jsonl
from tests.data.planted import KINDS, drawn_pictures, planted, with_planted

RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def drawn():
    return drawn_pictures(120, seed=42)


def test_a_hash_has_64_signs_of_which_brightness_and_contrast_move_none(drawn):
    small = np.stack([thumbnail(image) for image in drawn[0][:20]])
    plain = hashes(small @ LUMINANCE)
    assert plain.dtype == np.uint64
    assert len(np.unique(plain)) == 20
    moved = np.bitwise_count(plain ^ hashes((0.5 * small + 0.2) @ LUMINANCE))
    assert moved.max() <= 1  # a coefficient at the median itself
    assert np.bitwise_count(plain).tolist() == pytest.approx([31.5] * 20, abs=1)


def test_the_search_gives_what_a_plain_loop_over_pairs_gives(drawn):
    small = np.stack([thumbnail(image) for image in drawn[0][:150]])
    plain = hashes(small @ LUMINANCE)
    n = len(small)
    want = {}
    for number, window in enumerate(WINDOWS):
        seen = hashes(warped(small, np.tile(window, (n, 1)))[0] @ LUMINANCE) if number else plain
        for i in range(n):
            for j in range(n):
                bits = int(seen[i] ^ plain[j]).bit_count()
                if i != j and bits <= 14:
                    pair = (min(i, j), max(i, j))
                    want[pair] = min(want.get(pair, (99,)), (bits, number, i, j))
    a, b, window = proposed(small, max_bits=14)
    got = list(zip(window.tolist(), a.tolist(), b.tolist(), strict=True))
    assert got == [want[pair][1:] for pair in sorted(want)]
    assert len(got) > 3


def test_a_warp_by_nothing_and_by_two_pixels():
    picture = RNG.random((1, 32, 32, 3), dtype=np.float32)
    seen, inside = warped(picture, WHOLE[None])
    np.testing.assert_allclose(seen, picture, atol=1e-5)
    assert inside.all()
    seen, inside = warped(picture, np.float32([[1, 1, 4 / 32, 0]]))  # two pixels to the right
    np.testing.assert_allclose(seen[:, :, :30], picture[:, :, 2:], atol=1e-5)
    assert inside.sum(axis=2).tolist() == [[30] * 32]


def test_the_alignment_finds_a_known_motion(drawn):
    small = np.stack([thumbnail(image.resize((64, 64))) for image in drawn[0][:30]])
    true = np.tile(np.float32([0.97, 0.96, 0.02, -0.03]), (30, 1))
    moved, _ = warped(small, true)
    found = aligned(small, 0.8 * moved + 0.1, np.tile(WHOLE, (30, 1)))
    assert np.median(np.abs(found - true)) < 0.003


def test_planted_pictures_are_found_and_no_two_dishes_are_joined(drawn):
    images, recipes = drawn
    small, rows = with_planted(images, count=60, seed=3)
    found = find_matches(small)
    n = len(images)
    got = set(zip(found.a.tolist(), found.b.tolist(), strict=True))
    want = {(int(row), n + i) for i, row in enumerate(rows)}
    assert len(want - got) <= 1
    ids = np.array([*recipes, *(recipes[row] for row in rows)])
    assert [pair for pair in got if ids[pair[0]] != ids[pair[1]]] == []


def test_flat_pictures_few_pictures_and_other_colors_match_nothing(drawn):
    flat = np.ones((3, 32, 32, 3), np.float32) * np.float32([0.1, 0.5, 0.5])[:, None, None, None]
    assert find_matches(flat).a.tolist() == []
    assert find_matches(flat[:0]).a.tolist() == find_matches(flat[:1]).a.tolist() == []
    small = thumbnail(drawn[0][0])[None]
    other = small[..., ::-1].copy()
    structure, gap = compare(small, small, WHOLE[None])
    assert (structure[0], gap[0]) == (pytest.approx(1, abs=1e-3), pytest.approx(0, abs=1e-3))
    assert find_matches(np.concatenate([small, other])).a.tolist() == []


def _matches(*pairs):
    rows = [(f"{a}/0", f"{b}/0", a, b, "1", "0") for a, b in pairs]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype="str")


def test_groups_by_picture_and_by_near_duplicate():
    matches = _matches(("a", "b"), ("b", "c"), ("d", "d"))
    assert between_recipes(matches)["recipe_b"].tolist() == ["b", "c"]
    pictures = {"a": ["x"], "b": ["y"], "c": ["z"], "d": ["v", "w"], "e": ["v"], "f": ["u"]}
    groups = groups_of(pictures, matches)
    assert groups == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "d", "f": "f"}


def test_the_audit_names_near_duplicates_on_two_sides():
    rows = [("a", "a/0", "x", "train"), ("a", "a/0", "z", "train"), ("b", "b/0", "y", "test")]
    frame = pd.DataFrame(rows, columns=["recipe_id", "image_key", "caption", "split"])
    audit = leak_audit(frame, near_duplicates=_matches(("a", "b"), ("a", "gone")))
    assert audit.values.tolist() == [
        ["near-duplicate", "a/0 and b/0", "train", "a", "test", "b", 3]
    ]
    assert leak_audit(frame.assign(split="test"), near_duplicates=_matches(("a", "b"))).empty
    assert leak_audit(frame, near_duplicates=_matches()).empty


def test_the_split_keeps_near_duplicates_on_one_side(tmp_path, local_zone, drawn):
    folder, rng = tmp_path / "dishes", np.random.default_rng(1)
    folder.mkdir()
    records = []
    for i in range(12):
        image = drawn[0][4 * i]
        copies = [planted(image, KINDS[i % 4], rng)] if i < 6 else []
        for j, each in enumerate([image, *copies]):
            name = f"{i}-{j}.png"
            each.save(folder / name)
            records.append({"recipe_id": name, "title": f"dish {i} {j}", "images": [name]})
    write_jsonl(folder / "recipes.jsonl", records)
    for seed in range(4):
        pairs = ensure_pairs(local_zone, source=str(folder), seed=seed, test_share=0.4)
        split = dict(zip(pairs.all["recipe_id"], pairs.all["split"], strict=True))
        assert all(split[f"{i}-0.png"] == split[f"{i}-1.png"] for i in range(6))
        sizes = Counter(Counter(pairs.groups.values()).values())
        assert sizes == {1: 6, 2: 6}
        near = pairs.near_duplicates
        assert leak_audit(pairs.all, near_duplicates=near).empty
        torn = pairs.all.assign(split=np.where(pairs.all["recipe_id"] == "0-0.png", "x", "y"))
        assert leak_audit(torn, near_duplicates=near)["recipe_b"].tolist() == ["0-1.png"]


def test_pairs_without_near_duplicates_do_not_depend_on_the_search(folder_source, local_zone):
    pairs = ensure_pairs(local_zone, source=str(folder_source), image_px=32)
    assert between_recipes(pairs.near_duplicates).empty
    assert set(pairs.manifest.inputs) == {"trusted-zone"}


def test_a_thumbnail_is_small_and_in_range():
    small = thumbnail(Image.new("L", (640, 480), 255))
    assert small.shape == (32, 32, 3)
    assert (small.dtype, small.min(), small.max()) == (np.float32, 1, 1)
