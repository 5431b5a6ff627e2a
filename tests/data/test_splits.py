import random
from itertools import combinations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.data.duplicates import groups_by_picture
from helpers.data.records import collapse
from helpers.data.splits import check_splits, leak_audit, split_by_recipe

IDS = [f"{i:03d}" for i in range(100)]
SHARES = {"seed": 42, "test_share": 0.2, "validation_share": 0.1}


def _sizes(splits):
    return pd.Series(splits).value_counts().to_dict()


def test_shares_are_met_and_order_and_repeats_do_not_matter():
    splits = split_by_recipe(IDS, **SHARES)
    assert _sizes(splits) == {"train": 70, "test": 20, "validation": 10}
    shuffled = random.Random(1).sample(IDS, 100) + IDS[:7]
    assert split_by_recipe(shuffled, **SHARES) == splits
    assert list(splits) == IDS


def test_seeds_differ():
    assert split_by_recipe(IDS, **SHARES) != split_by_recipe(IDS, **{**SHARES, "seed": 43})


@pytest.mark.parametrize(
    ("n", "want"),
    [(0, {}), (1, {"train": 1}), (2, {"train": 1, "test": 1}),
     (3, {"train": 1, "test": 1, "validation": 1}), (4, {"train": 1, "test": 2, "validation": 1}),
     (5, {"train": 2, "test": 2, "validation": 1})],
)  # fmt: skip
def test_few_recipes(n, want):
    assert _sizes(split_by_recipe(IDS[:n], **SHARES)) == want


def test_one_large_group_leaves_something_for_test_and_validation():
    groups = {i: "all" if int(i) < 80 else i for i in IDS}
    splits = split_by_recipe(IDS, groups=groups, **SHARES)
    assert _sizes(splits) == {"train": 80, "test": 13, "validation": 7}
    check_splits(splits, groups, test_share=0.2, validation_share=0.1)


@pytest.mark.parametrize(
    ("n", "groups", "said"),
    [(1, {}, "test has no recipe of the 1 recipe: train, validation and test need at least 4 "),
     (3, {}, "test has one recipe of the 3 recipes: train, validation and test need at least 4 "),
     (8, dict.fromkeys(IDS[:8], "x"), "8 recipes, which form 1 group as they share images")],
)  # fmt: skip
def test_a_part_that_would_be_empty_is_refused(n, groups, said):
    splits = split_by_recipe(IDS[:n], groups=groups, **SHARES)
    joined = {i: groups.get(i, i) for i in IDS[:n]}
    with pytest.raises(ValueError, match=said):
        check_splits(splits, joined, test_share=0.2, validation_share=0.1)
    check_splits(dict.fromkeys(joined, "train"), joined, test_share=0, validation_share=0)


def test_long_chains_of_shared_pictures_take_no_time():
    n = 20_000
    pictures = {f"{n - i:05d}": [f"p{i}", f"p{i + 1}", "all"] for i in range(n)}
    assert set(groups_by_picture(pictures).values()) == {"00001"}


def test_no_share_no_split():
    splits = split_by_recipe(IDS, seed=1, test_share=0, validation_share=0)
    assert set(splits.values()) == {"train"}


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.1, -0.1), (0.6, 0.4), (1, 0)])
def test_bad_shares(shares):
    with pytest.raises(ValueError, match="below 1 together"):
        split_by_recipe(IDS, seed=1, test_share=shares[0], validation_share=shares[1])


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40), st.integers(0, 5))
def test_groups_stay_together_and_train_is_never_empty(labels, seed):
    ids = IDS[: len(labels)]
    groups = {i: f"g{label}" for i, label in zip(ids, labels, strict=True) if label}
    splits = split_by_recipe(ids, seed=seed, test_share=0.2, validation_share=0.1, groups=groups)
    assert set(splits) == set(ids)
    for a, b in combinations(groups, 2):
        assert groups[a] != groups[b] or splits[a] == splits[b]
    assert "train" in splits.values()


def test_a_group_named_like_an_id_is_not_that_recipe():
    splits = {
        split_by_recipe(["a", "b", "c", "d"], seed=s, test_share=0.25, validation_share=0,
                        groups={"b": "a"})["a"] for s in range(30)
    }  # fmt: skip
    assert splits == {"train", "test"}


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("uvwxyz"), max_size=3))
)
def test_groups_by_picture_are_the_connected_parts(pictures):
    part = {i: {i} for i in pictures}  # naive: merge until nothing changes
    for _ in pictures:
        for a, b in combinations(pictures, 2):
            if set(pictures[a]) & set(pictures[b]):
                joined = part[a] | part[b]
                for i in joined:
                    part[i] = joined
    assert groups_by_picture(pictures) == {i: min(part[i]) for i in pictures}


def _frame(rows):
    return pd.DataFrame(rows, columns=["recipe_id", "image_key", "caption", "split"], dtype="str")


def test_the_audit_names_each_kind_of_leak():
    frame = _frame([
        ("1", "1/0", "soup", "train"), ("1", "1/1", "hot", "test"),
        ("2", "2/0", "pie", "train"), ("3", "3/0", "tart", "validation"),
        ("4", "4/0", "a  cake", "train"), ("5", "5/0", "a cake", "test"),
        ("6", "6/0", "soup", "test"),
    ])  # fmt: skip
    hashes = {"1/0": "A", "1/1": "B", "2/0": "C", "3/0": "C", "4/0": "D", "5/0": "D", "6/0": "E"}
    got = leak_audit(frame, image_hashes=hashes)
    assert got.values.tolist() == [
        ["recipe", "1", "test", "1", "train", "1", 2],
        ["image", "2/0", "train", "2", "validation", "3", 2],
        ["image", "5/0", "test", "5", "train", "4", 2],
        ["image and caption", "5/0", "test", "5", "train", "4", 2],
    ]
    assert leak_audit(frame)["leak"].tolist() == ["recipe"]


def test_no_leak_is_an_empty_table_and_a_missing_hash_an_error():
    frame = _frame([("1", "1/0", "soup", "train"), ("2", "2/0", "soup", "test")])
    assert leak_audit(frame, image_hashes={"1/0": "A", "2/0": "B"}).empty
    assert leak_audit(_frame([])).empty
    with pytest.raises(KeyError, match="2/0"):
        leak_audit(frame, image_hashes={"1/0": "A"})


ROW = st.tuples(*map(st.sampled_from, ("12345", "abcde", ("x", "y", " x"), ("train", "test"))))


@given(st.lists(ROW, max_size=12), st.lists(st.sampled_from("PQR"), min_size=5, max_size=5))
def test_the_audit_finds_what_comparing_all_rows_finds(rows, contents):
    hashes = dict(zip("abcde", contents, strict=True))
    want = set()
    for (r1, i1, c1, s1), (r2, i2, c2, s2) in combinations(rows, 2):
        if s1 != s2:
            same_image = hashes[i1] == hashes[i2]
            want |= {("recipe", r1)} if r1 == r2 else set()
            want |= {("image", hashes[i1])} if same_image else set()
            both = same_image and collapse(c1) == collapse(c2)
            want |= {("image and caption", hashes[i1])} if both else set()
    got = leak_audit(_frame(rows), image_hashes=hashes)
    assert {(leak, hashes.get(i, i)) for leak, i in got[["leak", "item"]].to_numpy()} == want
